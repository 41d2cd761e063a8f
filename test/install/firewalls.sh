#!/bin/sh
# docs/install.md, its lines for ufw and for firewalld, by the programs of a fresh Debian, in the gateway's namespace: before them the laptop
# is kept out, after them it reaches what is behind the gateway.
set -u
LAB=${LAB:-dtfw}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/debian.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
lab_begin
F=$LAB_DIR/debian
RELEASE=${1:-$(debian_here)}

folder()
{
    debian_folder "$RELEASE" "$F" && debian_in "$F" apt-get -qq update &&
        debian_in "$F" apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install ufw firewalld dbus iptables nftables procps
}

# As on a machine of its own: one mount namespace for all of it, in the gateway's network.
begin_host()
{
    mkdir -p "$LAB_DIR/host-gateway/etc/dovetail" "$LAB_DIR/host-gateway/var/lib/dovetail" "$LAB_DIR/host-gateway/run"
    lab_run gateway host unshare -m --propagation private sh -c '
        d=$1; mount --bind /proc "$d/proc" && mount --rbind /sys "$d/sys" && mount --rbind /dev "$d/dev" && mount -t tmpfs tmpfs "$d/run" || exit 1
        mkdir "$d/run/dbus"; : >"$d/run/ready"; exec sleep infinity' sh "$F"
    lab_wait 10 "nsenter -t $(lab_pid host) -m test -e $F/run/ready"
}

on_host() # COMMAND...
{
    nsenter -t "$(lab_pid host)" -m -n env LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$F" "$@"
}

# The lines of the page, below a heading of their own.
lines() # WHOSE
{
    python3 "$LAB_ROOT/test/netns/install_blocks.py" "$LAB_ROOT/docs/install.md" "$LAB_DIR/page" >"$LAB_DIR/page/list" || return 1
    n=$(awk -F '\t' -v who="$1" '$6 == who { print $1 }' "$LAB_DIR/page/list")
    [ -n "$n" ] && cp "$LAB_DIR/page/$n.sh" "$F/root/lines.sh" && cat "$F/root/lines.sh" && on_host sh -e /root/lines.sh
}

comes() # the laptop, anew
{
    dt_stop c1
    dt_start c1
    dt c1 up office --timeout 12
}

answers() # ADDRESS
{
    lab_in c1 ping -n -q -c 2 -i 0.2 -W 2 "$1"
}

kept_out()
{
    dt_stop c1
    dt_start c1
    lab_in gateway conntrack -F >/dev/null 2>&1 # what was let in before
    ! dt c1 up office --timeout 5
}

try() # WHOSE
{
    tap_ok "$1: the laptop is kept out" kept_out
    tap_ok "$1: the lines of docs/install.md" lines "$1"
    tap_ok "$1: the laptop comes in" comes
    tap_ok "$1: by raw ESP too" sh -c "echo '$(dt_field c1 office .encap)' | tee /dev/stderr | grep -qx esp"
    tap_ok "$1: and reaches what is behind the gateway" answers 10.1.0.10
    tap_ok "$1: and is reached from there, when it has asked" sh -c "ip netns exec $LAB-c1 ping -nqc 1 -W 2 10.1.0.10"
}

mkdir -p "$LAB_DIR/page"
tap_ok "a fresh Debian ($RELEASE) with ufw and firewalld" folder || { tap_end; exit 1; }
office_lab 1
office_gateway 'pool = "10.9.0.0/24"' 'protect = "10.1.0.0/16"' | dt_conf gateway
office_tunnel 'protect = "10.1.0.0/16"' | dt_conf c1
begin_host
dt_start gateway
dt_start c1
tap_ok "without a firewall the laptop comes in" comes

tap_ok "ufw is enabled" on_host ufw --force enable
try ufw
on_host ufw --force disable >/dev/null
on_host sh -c 'iptables -P INPUT ACCEPT; iptables -P FORWARD ACCEPT; nft flush ruleset'
dt_stop gateway
dt_start gateway
tap_ok "without ufw it comes in again" comes

lab_run gateway bus nsenter -t "$(lab_pid host)" -m chroot "$F" dbus-daemon --system --nofork --nopidfile
lab_wait 10 "[ -S $F/run/dbus/system_bus_socket ] || nsenter -t $(lab_pid host) -m test -S $F/run/dbus/system_bus_socket"
lab_run gateway firewalld nsenter -t "$(lab_pid host)" -m chroot "$F" firewalld --nofork --nopid
tap_ok "firewalld runs" lab_wait 30 "on_host firewall-cmd --state"
tap_ok "the gateway's device is in its zone for strangers" on_host firewall-cmd --zone=public --add-interface=eth0
try firewalld
tap_end
