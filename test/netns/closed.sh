#!/bin/sh
# Fail closed: what is protected leaves the client's uplink in the clear when, and only when, the setting `closed` says so.
# Packets for each network run all the time; a capture on the uplink is the judge.
set -u
LAB=${LAB:-dtclosed}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
SECRET='psk = "closed-psk-0123456789abcdef"'

lab_begin
lab_nat_topology 1
lab_nft_masquerade router wan

dt_conf gateway <<C
gateway "g" {
    listen = { "203.0.113.1" } identity = "gateway.test" $SECRET
    protect = { "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16" } pool = { "10.9.0.0/24" }
}
C
tunnel() # NAME PROTECT SETTINGS...
{
    t_name=$1 t_protect=$2
    shift 2
    echo "tunnel \"$t_name\" { gateway = \"203.0.113.1\" local = \"$t_name.test\" remote = \"gateway.test\" $SECRET
    protect = { $t_protect } encap = udp $* }"
}
conf() # LINES
{
    echo "$1" | dt_conf c1
}

lab_dump c1 eth0 uplink 'ip and net 10.0.0.0/8'
for n in 1 2 3; do
    lab_run c1 "flow$n" ping -q -i 0.03 "10.$n.0.10"
done
plain() # NETWORK
{
    lab_dumped uplink "dst net $1"
}
# Nothing for the network leaves in the clear while the command runs, and for a while after it.
none() # NETWORK COMMAND...
{
    n_net=$1 n_before=$(plain "$1")
    shift
    "$@" || return 1
    sleep 0.3
    n_after=$(plain "$n_net")
    [ "$n_after" = "$n_before" ] || { tap_note "$((n_after - n_before)) packets left"; return 1; }
}
some() # NETWORK
{
    s_before=$(plain "$1")
    lab_wait 3 "[ \$(plain $1) -gt $s_before ]"
}
is_none()
{
    none "$1" true
}
up()
{
    dt c1 up --timeout 15 "$1" >"$LAB_DIR/up.out" 2>&1
}
says_down() # TUNNEL TEXT
{
    dt c1 down "$1" >"$LAB_DIR/down.out" 2>&1 && grep -qF "$2" "$LAB_DIR/down.out" && return
    tap_note "$(cat "$LAB_DIR/down.out")"
    return 1
}
table_there()
{
    lab_in c1 nft list tables | grep -q 'inet dovetail$'
}
ours() # the routes of our table
{
    lab_in c1 ip route show table 17494 2>/dev/null
}

dt_start gateway
tap_ok "without a daemon it leaves" some 10.1.0.0/16

# ---- wanted, before the gateway's name is known
conf "$(tunnel a '"10.1.0.0/16"' | sed 's/203.0.113.1/nowhere.invalid/')"
dt_start c1
tap_ok "closed before its gateway's name is known" is_none 10.1.0.0/16
tap_ok "status says so" dt_says c1 "closed as long as it is wanted"
tap_ok "the rest leaves as ever" some 10.2.0.0/16
dt_stop c1
tap_ok "an orderly end opens" some 10.1.0.0/16

# ---- manual: what was asked for is kept
conf "$(tunnel m '"10.1.0.0/16"' start = manual)"
dt_start c1
tap_ok "manual, not asked for: open" some 10.1.0.0/16
tap_ok "and status says so" dt_says c1 "open now"
tap_ok "up" up m
tap_ok "up: nothing leaves in the clear" is_none 10.1.0.0/16
tap_ok "killed: nothing leaves" none 10.1.0.0/16 dt_stop c1 KILL
tap_ok "started again: nothing leaves" none 10.1.0.0/16 dt_start c1
tap_ok "and it is wanted, and comes up" dt_wait_up c1 m 15
dt_stop c1
dt_start c1
tap_ok "a restart: wanted still" dt_wait_up c1 m 15
tap_ok "down says what it opens" says_down m '10.1.0.0/16 goes out in the clear now'
tap_ok "and it does" some 10.1.0.0/16
dt_stop c1 KILL
dt_start c1
tap_ok "what was taken down stays open" some 10.1.0.0/16
dt_stop c1
echo 'x' >>"$LAB_DIR/dt-c1/wants"
dt_start c1
tap_ok "a damaged file keeps closed" is_none 10.1.0.0/16
tap_ok "and status says what to do" dt_says c1 "whether it was wanted before the restart is not known"
tap_ok "and the log" grep -q 'wants: it is damaged' "$LAB_DIR/dt-c1.log"
tap_ok "down opens it" says_down m '10.1.0.0/16 goes out in the clear now'
tap_ok "then it leaves" some 10.1.0.0/16

# ---- always, and what a reload changes
conf "$(tunnel m '"10.1.0.0/16"' start = manual closed = always)"
dt c1 reload >/dev/null
tap_ok "closed = always by a reload: closed at once, never asked for" is_none 10.1.0.0/16
tap_ok "status says always" dt_says c1 "closed always"
tap_ok "up" up m
tap_ok "down says that it stays closed" says_down m '10.1.0.0/16 stays closed by closed = always'
tap_ok "and it does" is_none 10.1.0.0/16
tap_ok "an orderly end opens nothing" none 10.1.0.0/16 dt_stop c1
tap_ok "what is not protected leaves" some 10.2.0.0/16
sed 's/leases = /metrics = "192.0.2.77:1" leases = /' "$LAB_DIR/dt-c1/conf" >"$LAB_DIR/bad.conf"
tap_ok "a start that fails opens nothing" none 10.1.0.0/16 sh -c "! ip netns exec $LAB-c1 $LAB_BIN/dovetaild $LAB_DIR/bad.conf 2>/dev/null"
tap_ok "dovetaild --open opens" sh -c "ip netns exec $LAB-c1 $LAB_BIN/dovetaild --open >/dev/null"
tap_ok "it leaves" some 10.1.0.0/16
tap_ok "nothing of ours is left" sh -c "[ -z \"$(ours)\" ]"
lab_in c1 "$LAB_BIN/dovetaild" --close --config "$LAB_DIR/dt-c1/conf"
tap_ok "dovetaild --close, as at boot: closed without a daemon" is_none 10.1.0.0/16
tap_ok "by both barriers" sh -c "ip netns exec $LAB-c1 nft list table inet dovetail | grep -q 10.1.0.0/16 && ip -n $LAB-c1 route show table 17494 | grep -q '^unreachable 10.1.0.0/16'"
lab_in c1 nft delete table inet dovetail
tap_ok "the filter gone: closed" is_none 10.1.0.0/16
lab_in c1 "$LAB_BIN/dovetaild" --close --config "$LAB_DIR/dt-c1/conf"
lab_in c1 ip route flush table 17494
tap_ok "the routes gone: closed" is_none 10.1.0.0/16
tap_ok "the daemon takes it over without a gap" none 10.1.0.0/16 dt_start c1

# ---- no
conf "$(tunnel n '"10.1.0.0/16"' closed = no | sed 's/203.0.113.1/203.0.113.77/')"
dt c1 reload >/dev/null
tap_ok "closed = no: it leaves until it is up" some 10.1.0.0/16
tap_ok "and there is no barrier" sh -c "[ -z \"$(ours)\" ]"
tap_ok "no table either" sh -c "! ip netns exec $LAB-c1 nft list tables | grep -q 'inet dovetail$'"

# ---- several
conf "$(tunnel one '"10.1.0.0/16", "10.2.0.0/16"'; tunnel two '"10.2.0.0/16"' closed = always; tunnel three '"10.3.0.0/16"' closed = no)"
dt c1 reload >/dev/null
dt_wait_up c1 one 15
tap_ok "down of one of two says both" says_down one '10.1.0.0/16 goes out in the clear now; 10.2.0.0/16 stays closed by tunnel "two"'
tap_ok "the one leaves" some 10.1.0.0/16
tap_ok "the other does not" is_none 10.2.0.0/16
dt_stop c1
tap_ok "nor after the end" is_none 10.2.0.0/16
tap_ok "and the rest does" some 10.3.0.0/16

# ---- narrowed to a port: that alone is routed and closed, the rest goes as without the tunnel
FLOW=$(dirname "$LAB_BIN")/lab/lab-flow
for n in 1 2 3; do
    lab_stop "flow$n"
done
lab_ns h
lab_wire c1 lan0 10.50.0.1/24 h eth0 10.50.0.10/24
ip -n "$LAB-h" route add default via 10.50.0.1
lab_forward c1
ip -n "$LAB-router" route add 10.50.0.0/24 via 192.168.7.11
ip -n "$LAB-internet" route add 10.1.0.0/16 via 203.0.113.1
lab_in server ethtool -K eth0 tx off >/dev/null 2>&1
lab_run server echo1 "$FLOW" echo 4411
lab_run server echo2 "$FLOW" echo 4412
dt_conf gateway <<C
gateway "g" {
    listen = { "203.0.113.1" } identity = "gateway.test" $SECRET
    protect = { "10.1.0.0/16" } pool = { "10.9.0.0/24" }
}
gateway "branches" {
    listen = { "203.0.113.1" } identity = "branches.test" $SECRET
    protect = { "10.1.0.0/16" } remote = { "10.50.0.0/24" }
}
client "p.test" { gateway = "g" }
client "b.test" { gateway = "branches" networks = { "10.50.0.0/24" } }
C
dt gateway reload >/dev/null
conf "$(tunnel p '"10.1.0.0/16[udp/4411]"')"
dt_start c1
port() # PORT: how many packets to or from it left or came in the clear, fragments of such too
{
    lab_dumped uplink "net 10.1.0.0/16 and (udp port $1 or ip[6:2] & 0x1fff != 0)"
}
flow() # NS PORT ARG...: does every packet come back?
{
    f_ns=$1 f_port=$2
    shift 2
    lab_in "$f_ns" "$FLOW" send 10.1.0.10 "$f_port" -i 20 -t 0.4 "$@" >"$LAB_DIR/flow.out" 2>&1
    jq -e '.sent > 0 and .received == .sent' "$LAB_DIR/flow.out" >/dev/null && return
    tap_note "$(cut -c1-200 "$LAB_DIR/flow.out")"
    return 1
}
no_4411() # TEXT COMMAND...: while it runs no packet of the port leaves
{
    p_before=$(port 4411) p_text=$1
    shift
    "$@"
    p_rc=$?
    sleep 0.3
    p_after=$(port 4411)
    [ "$p_after" = "$p_before" ] || tap_note "$((p_after - p_before)) packets left"
    tap_ok "$p_text" [ "$p_rc $p_after" = "0 $p_before" ]
}
tap_ok "a port: up" dt_wait_up c1 p 15
no_4411 "its packets go through the tunnel" flow c1 4411
p_plain=$(port 4412)
tap_ok "those to another port go as without it" flow c1 4412
tap_ok "in the clear" [ "$(port 4412)" -gt "$p_plain" ]
rules()
{
    lab_in c1 ip rule | grep -q '^17492:.*fwmark 0x44560001 goto 17495' &&
        lab_in c1 ip rule | grep -q '^17493:.*to 10.1.0.0/16 ipproto udp dport 4411 lookup' &&
        lab_in c1 ip rule | grep -q '^17493:.*to 10.1.0.0/16 fwmark 0x44560004 lookup' &&
        lab_in c1 ip rule | grep -q '^17495:.*nop' &&
        [ "$(lab_in c1 ip route show table all proto 174 | grep -c '10.1.0.0/16')" = 2 ] &&
        [ "$(lab_in c1 nft -s list table inet dovetail)" = "$FILTER" ]
}
FILTER=$(lab_in c1 nft -s list table inet dovetail)
TABLE=$(lab_in c1 ip rule | sed -n 's/.*dport 4411 lookup \([0-9]*\).*/\1/p')
tap_ok "rules, routes and filter are there" rules
tap_ok "and nothing of it in the table of what is whole" [ -z "$(ours)" ]
sabotage() # TEXT COMMAND...
{
    s_text=$1
    shift
    lab_run c1 storm "$FLOW" send 10.1.0.10 4411 -i 10 -t 0
    no_4411 "$s_text: nothing of the port leaves" lab_in c1 "$@"
    tap_ok "$s_text: mended" lab_wait 10 'rules && flow c1 4411'
    lab_stop storm
}
sabotage "the rule removed" ip rule del pref 17493 ipproto udp
sabotage "what passes by it removed" ip rule del pref 17492
sabotage "the landing removed" ip rule del pref 17495
sabotage "its table flushed" ip route flush table "$TABLE"
sabotage "the filter deleted" nft delete table inet dovetail
sabotage "the device down" ip link set dovetail0 down
sabotage "the whole ruleset flushed" nft flush ruleset

# plain packets that come in, or would go out by another way: none passes, and each is counted
lab_in c1 sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
ip -n "$LAB-router" addr add 10.1.0.10/32 dev lo
inside=$(dt_field c1 p '.inside[0]')
ip -n "$LAB-router" route add "$inside/32" via 192.168.7.11
lab_run c1 heard python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 7777))
while True: print(s.recvfrom(100)[1], flush=True)
"
lab_wait 5 "ip netns exec $LAB-c1 ss -lun | grep -q :7777"
send() # NS FROM PORT TO PORT COUNT [DEVICE]
{
    lab_in "$1" python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if '${7:-}': s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'${7:-}')
s.bind(('$2', $3))
for i in range($6):
    try: s.sendto(b'x', ('$4', $5))
    except PermissionError: pass # the packet filter's word to the sender
"
}
dropped() # WAY
{
    dt c1 --json status | jq ".plain_dropped.$1"
}
sleep 5.2 # as of the last look
d_in=$(dropped in) d_out=$(dropped out) d_heard=$(wc -l <"$LAB_DIR/heard.log") d_plain=$(port 4411)
send router 10.1.0.10 4411 192.168.7.11 7777 3
send router 192.168.7.1 0 "$inside" 7777 2
send c1 0.0.0.0 0 10.1.0.10 4411 5 eth0
tap_ok "from the port, and to an inside address: each is counted" lab_wait 7 "[ \$(dropped in) = $((d_in + 5)) ]"
tap_ok "on the way out too" lab_wait 7 "[ \$(dropped out) = $((d_out + 5)) ]"
tap_ok "none came in" [ "$(wc -l <"$LAB_DIR/heard.log")" = "$d_heard" ]
tap_ok "and none went out" [ "$(port 4411)" = "$((d_plain + 3))" ] # which the router sent, and the capture saw
send router 10.1.0.10 4412 192.168.7.11 7777 3
tap_ok "from another port they come in" lab_wait 3 "[ \$(wc -l <$LAB_DIR/heard.log) = $((d_heard + 3)) ]"
tap_ok "and are not counted" [ "$(dropped in)" = "$((d_in + 5))" ]
d_out=$(dropped out)
tap_ok "down" says_down p '10.1.0.0/16[udp/4411] goes out in the clear now'
no_table() { ! table_there; }
tap_ok "nothing is closed: no filter" lab_wait 7 no_table
tap_ok "and what it dropped is counted still" [ "$(dropped out)" -ge "$d_out" -a "$d_out" -gt 0 ]
tap_ok "up again" up p
lab_stop heard
ip -n "$LAB-router" addr del 10.1.0.10/32 dev lo
ip -n "$LAB-router" route del "$inside/32"

# killed, with one barrier of two
dt_stop c1 KILL
lab_run c1 storm "$FLOW" send 10.1.0.10 4411 -i 10 -t 0
no_4411 "killed: nothing of the port leaves" sleep 0.2
tap_ok "the rest goes" flow c1 4412
lab_in c1 ip rule del pref 17493 ipproto udp
no_4411 "killed, and the rule removed: nothing" sleep 0.2
lab_stop storm
dt_start c1
dt_wait_up c1 p 15
dt_stop c1 KILL
lab_in c1 nft delete table inet dovetail
lab_run c1 storm "$FLOW" send 10.1.0.10 4411 -i 10 -t 0
no_4411 "killed, and the filter removed: nothing" sleep 0.2
lab_stop storm
tap_ok "dovetaild --open opens ports too" sh -c "ip netns exec $LAB-c1 $LAB_BIN/dovetaild --open >/dev/null && ! ip -n $LAB-c1 rule | grep -q ^1749"

# a branch: packets that are forwarded, in fragments too, whose later parts have no ports
conf "$(tunnel b '"10.1.0.0/16[udp/4411]"' 'inside = "10.50.0.0/24"' closed = always | sed 's/gateway.test/branches.test/')"
dt_start c1
tap_ok "a branch: up" dt_wait_up c1 b 15
no_4411 "its packets go through the tunnel, those in fragments too" flow h 4411 -s 4000
tap_ok "those to another port do not" flow h 4412
no_4411 "the gateway killed: nothing leaves" dt_stop gateway KILL
dt_stop c1
lab_run h storm "$FLOW" send 10.1.0.10 4411 -i 10 -s 4000 -t 0
no_4411 "closed = always: nothing after the end, no part of a fragmented packet" sleep 0.3
lab_in c1 ip rule del pref 17493 ipproto udp
lab_in c1 ip rule del pref 17493
no_4411 "nor without the rules" sleep 0.3
lab_stop storm

# ---- thousands of prefixes
many()
{
    awk -v S="$SECRET" 'BEGIN { for (t = 0; t < 320; t++) {
        printf "tunnel \"t%d\" { gateway = \"203.0.113.1\" local = \"t%d.test\" remote = \"gateway.test\" %s start = demand protect = {", t, t, S
        for (k = 0; k < 16; k++) { n = (t * 16 + k) * 2; printf "%s \"11.%d.%d.0/24\"", k ? "," : "", n / 256, n % 256 }
        print " } }" } }'
}
lab_in c1 "$LAB_BIN/dovetaild" --open >/dev/null
conf "$(many)"
dt_start c1
all_there()
{
    [ "$(lab_in c1 ip route show table 17494 | grep -c '^unreachable 11')" = 5120 ] &&
        [ "$(lab_in c1 ip route show table 17494 | grep -c '^11.*dev dovetail0')" = 5120 ] &&
        [ "$(lab_in c1 nft list set inet dovetail closed4 | grep -o '/24' | wc -l)" = 5120 ]
}
tap_ok "5120 prefixes: each has its routes, and is in the filter" lab_wait 10 all_there
lab_in c1 ip route flush table 17494
tap_ok "the table flushed: all of them are set again" lab_wait 10 all_there
lab_in c1 nft flush ruleset
tap_ok "the ruleset flushed: all of them are there again" lab_wait 10 all_there
tap_end
