#!/bin/sh
# So many kernel objects change at once that the socket on which the kernel tells of it overflows (ENOBUFS): that is noticed as
# quickly as any other change, each time. The slow timer of both daemons looks every 5 s; what is back within SOON again and again
# was not found by it.
set -u
LAB=${LAB:-dtnews}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
PREFIXES=8000
SOON=2
ROUNDS="1 2 3 4"

lab_begin
lab_ns c1 router
lab_wire c1 eth0 192.0.2.2/24 router lan 192.0.2.1/24
ip -n "$LAB-c1" route add default via 192.0.2.1

# ---- dovetaild: thousands of prefixes of ours
tunnels()
{
    awk -v n=$PREFIXES 'BEGIN { for (t = 0; t * 16 < n; t++) {
        printf "tunnel \"t%d\" { gateway = \"203.0.113.1\" local = \"c%d.test\" remote = \"g.test\" start = manual closed = always psk = \"news-psk-0123456789abcdef\" protect = {", t, t
        for (i = t * 16; i < t * 16 + 16; i++)
            printf "%s\"10.%d.%d.%d/31\"", i % 16 ? ", " : " ", i / 16384, i / 64 % 256, i % 64 * 4
        print " } }" } }'
}
filter()
{
    lab_in c1 nft -s list table inet dovetail 2>/dev/null | md5sum
}
routes()
{
    ip -n "$LAB-c1" route show table 17494 2>/dev/null | wc -l
}
all_is_there()
{
    [ "$(routes)" = "$PREFIXES" ] && [ "$(lab_in c1 nft list set inet dovetail closed4 | grep -o '/31' | wc -l)" = "$PREFIXES" ]
}
tunnels | dt_conf c1
dt_start c1
tap_ok "$PREFIXES prefixes are closed by both barriers" lab_wait 30 all_is_there
FILTER=$(filter)
filter_is_back()
{
    [ "$(filter)" = "$FILTER" ]
}
routes_are_back()
{
    [ "$(routes)" = "$PREFIXES" ]
}
# A program does not run while it happens, as on a host that is busy: what does not fit into its socket is lost.
behind_its_back() # JOB COMMAND...
{
    b_pid=$(lab_pid "$1")
    shift
    kill -STOP "$b_pid"
    "$@"
    b_rc=$?
    kill -CONT "$b_pid"
    return $b_rc
}
overflows() # NS NETLINK-PROTOCOL: messages that sockets of that protocol lost
{
    lab_in "$1" awk -v p="$2" '$2 == p { sum += $9 } END { print sum + 0 }' /proc/net/netlink
}
for n in $ROUNDS; do
    s_lost=$(overflows c1 12)
    behind_its_back dt-c1 lab_in c1 nft flush ruleset
    tap_ok "round $n: the ruleset is flushed, and back" lab_wait "$SOON" filter_is_back
    s_lost=$(($(overflows c1 12) - s_lost))
    [ "$n" != 1 ] || tap_ok "news of it was lost" [ "$s_lost" -gt 0 ]
done
for n in $ROUNDS; do
    s_lost=$(overflows c1 0)
    behind_its_back dt-c1 ip -n "$LAB-c1" route flush table 17494
    tap_ok "round $n: the routes are flushed, and back" lab_wait "$SOON" routes_are_back
    s_lost=$(($(overflows c1 0) - s_lost))
    [ "$n" != 1 ] || tap_ok "news of it was lost" [ "$s_lost" -gt 0 ]
done
dt_stop c1

# ---- a fact that this host does not take: a sysctl that is read-only, as in a container
lab_in c1 sysctl -qw net.ipv4.conf.all.rp_filter=1
lab_in c1 sysctl -qw net.ipv4.conf.all.src_valid_mark=0
dt_conf c1 'metrics = "127.0.0.1:9174"' <<C
tunnel "office" { gateway = "203.0.113.1" local = "c.test" remote = "g.test" psk = "news-psk-0123456789abcdef" protect = "0.0.0.0/0" }
C
: >"$LAB_DIR/dt-c1.log"
lab_run c1 dt-c1 unshare -m sh -c "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec $LAB_BIN/dovetaild --config $LAB_DIR/dt-c1/conf"
failed_looks()
{
    lab_in c1 curl -s http://127.0.0.1:9174/metrics | awk '$1 == "dovetail_host_failed_looks_total" { print $2 }'
}
looked_often() # each change of the host is a reason to look
{
    ip -n "$LAB-c1" addr add 192.0.2.99/32 dev lo
    ip -n "$LAB-c1" addr del 192.0.2.99/32 dev lo
    [ "$(failed_looks)" -ge 5 ]
}
told()
{
    grep -c "$1" "$LAB_DIR/dt-c1.log"
}
tap_ok "a sysctl is read-only: found at each look" lab_wait 20 looked_often
tap_ok "and told once" [ "$(told 'this host does not take .*src_valid_mark')" = 1 ]
nsenter -t "$(lab_pid dt-c1)" -m umount /proc/sys
tap_ok "it can be set: told that it is over" lab_wait 10 '[ "$(told "this host is as it is wanted again")" = 1 ]'
tap_ok "and set it is" [ "$(lab_in c1 sysctl -n net.ipv4.conf.all.src_valid_mark)" = 1 ]
dt_stop c1

# ---- natd: its filters, after thousands of routes by its inside interface
lab_ns internet
lab_wire router wan 198.51.100.2/24 internet eth0 198.51.100.1/24
ip -n "$LAB-router" route add default via 198.51.100.1
natd_start router lan wan
attached()
{
    lab_in router tc filter show dev wan ingress | grep -q nat_outside && lab_in router tc filter show dev wan egress | grep -q nat_egress
}
many_routes()
{
    awk 'BEGIN { for (i = 0; i < 4000; i++) printf "route add 10.%d.%d.0/24 via 192.0.2.2\n", i / 256, i % 256 }' |
        ip -n "$LAB-router" -batch -
}
tap_ok "natd: its filters are there" lab_wait 5 attached
s_lost=$(overflows router 0)
tap_ok "natd: thousands of routes come at once" behind_its_back natd-router many_routes
tap_ok "natd: news of it was lost" [ "$(overflows router 0)" -gt "$s_lost" ]
for n in $ROUNDS; do
    lab_in router tc qdisc del dev wan clsact
    tap_ok "round $n: its filters are taken away, and back" lab_wait "$SOON" attached
done
natd_stop router
tap_end
