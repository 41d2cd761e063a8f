# libreswan from Debian as a peer in a namespace: pre-shared keys, and its folders of its own. Source after lab.sh. It has no ESP but the
# kernel's: without that its IKE is all there is to see.
#
#   lsw_missing                       what it wants and is not here
#   lsw_start NS <<conn               pluto in NS, with this in its ipsec.conf, and $PSK for everybody
#   lsw NS auto --up t                ipsec there
#   lsw_said NS WORDS                 its log has them
#   lsw_stop NS

lsw_missing()
{
    command -v ipsec >/dev/null && ipsec --version 2>/dev/null | grep -qi libreswan || { echo "libreswan"; return; }
    # Without the kernel's SAs pluto does not even start.
    ip xfrm state >/dev/null 2>&1 || echo "XFRM in this kernel"
}

lsw_start() # NS
{
    lsw_dir=$LAB_DIR/lsw-$1
    mkdir -p "$lsw_dir/nss"
    {
        printf 'config setup\n    logfile=%s/log\n    plutodebug=none\n    dumpdir=%s\n' "$lsw_dir" "$lsw_dir"
        cat
    } >"$lsw_dir/ipsec.conf"
    (umask 077 && echo ": PSK \"$PSK\"" >"$lsw_dir/ipsec.secrets")
    # shellcheck disable=SC2016
    lab_run "$1" "lsw-$1" unshare -m --propagation private sh -c '
        mount -t tmpfs tmpfs /run && mkdir -p /run/pluto || exit 1
        for f in ipsec.conf ipsec.secrets; do [ -e "/etc/$f" ] || : >"/etc/$f"; mount --bind "$1/$f" "/etc/$f" || exit 1; done
        mount --bind "$1/nss" /var/lib/ipsec/nss && ipsec initnss >/dev/null || exit 1
        exec "$(ls /usr/libexec/ipsec/pluto /usr/lib/ipsec/pluto 2>/dev/null | head -n 1)" --nofork --config /etc/ipsec.conf' sh "$lsw_dir"
    lab_wait 20 "lsw $1 whack --status"
}

lsw() # NS COMMAND...
{
    lsw_pid=$(lab_pid "lsw-$1")
    shift
    nsenter -t "$lsw_pid" -m -n ipsec "$@"
}

lsw_said() # NS WORDS
{
    grep -q -- "$2" "$LAB_DIR/lsw-$1/log"
}

lsw_stop() # NS
{
    lsw "$1" whack --shutdown >/dev/null 2>&1
    lab_stop "lsw-$1"
}
