# Machines of the laboratory: a namespace with an /etc, a /root and a state of its own, where commands and configurations run as
# they stand. Source after lab.sh.
#
#   machine NAME             the namespace NAME becomes one; the package's configuration and folders are there
#   machine_on NAME FILE     a shell script, as root there, with our programs in PATH
#   machine_daemon NAME      dovetaild, in the background; its log is $LAB_DIR/daemon-NAME.log
#   machine_end NAME         and its end

machine()
{
    mkdir -p "$LAB_DIR/machine-$1"
    # shellcheck disable=SC2016
    lab_run "$1" "machine-$1" unshare -m --propagation private sh -c '
        mount -t tmpfs tmpfs "$1" && mkdir "$1/etc" "$1/run" "$1/lib" "$1/root" "$1/log" && cp -a /etc/. "$1/etc" || exit 1
        rm -rf "$1/etc/dovetail"
        mkdir -p /run/dovetail /var/lib/dovetail && mkdir -m 700 -p "$1/etc/dovetail/conf.d" "$1/etc/dovetail/secrets" || exit 1
        cp "$2" "$1/etc/dovetail/" 2>/dev/null || echo "include(\"/etc/dovetail/conf.d/*.conf\")" >"$1/etc/dovetail/dovetaild.conf"
        echo "203.0.113.1 vpn.example.net" >>"$1/etc/hosts"
        for d in etc=/etc run=/run/dovetail lib=/var/lib/dovetail root=/root log=/var/log; do
            mount --bind "$1/${d%%=*}" "${d#*=}" || exit 1
        done
        : >"$1/ready"
        exec sleep infinity' sh "$LAB_DIR/machine-$1" "$LAB_ROOT/packaging/dovetaild.conf"
    lab_wait 20 "nsenter -t $(cat "$LAB_DIR/machine-$1.pid") -m test -e $LAB_DIR/machine-$1/ready"
}

machine_on() # NAME FILE
{
    nsenter -t "$(cat "$LAB_DIR/machine-$1.pid")" -m -n env PATH="$LAB_BIN:$PATH" sh -e "$2"
}

machine_in() # NAME COMMAND...
{
    machine_name=$1
    shift
    nsenter -t "$(cat "$LAB_DIR/machine-$machine_name.pid")" -m -n env PATH="$LAB_BIN:$PATH" "$@"
}

machine_daemon() # NAME [ARGUMENT...]
{
    machine_name=$1
    shift
    nsenter -t "$(cat "$LAB_DIR/machine-$machine_name.pid")" -m -n "$LAB_BIN/dovetaild" "$@" >"$LAB_DIR/daemon-$machine_name.log" 2>&1 &
    echo $! >"$LAB_DIR/daemon-$machine_name.pid"
    lab_wait 20 "machine_in $machine_name dovetail status"
}

machine_end() # NAME
{
    [ -e "$LAB_DIR/daemon-$1.pid" ] || return 0
    kill "$(cat "$LAB_DIR/daemon-$1.pid")" 2>/dev/null
    lab_wait 10 "! kill -0 $(cat "$LAB_DIR/daemon-$1.pid") 2>/dev/null"
    rm -f "$LAB_DIR/daemon-$1.pid"
}
