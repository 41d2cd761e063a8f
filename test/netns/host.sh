#!/bin/sh
# The host under a tunnel: somebody's rule before ours, a killed daemon, an orderly end, and plain packets from outside. Numbered
# packets run all the time; a capture on the client's uplink keeps what is not ESP or IKE. What else may happen to a host:
# host_sabotage.sh.
set -u
LAB=${LAB:-dthost}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
FLOW=$LAB_BIN/../lab/lab-flow
HEAL=10 # seconds; the benchmark measures how long it takes

lab_begin
(umask 077; head -c 24 /dev/urandom | base64 >"$LAB_DIR/office.psk")
lab_nat_topology 1
lab_nft_masquerade router wan

# A way out for IPv6 too, or nothing could leak.
ip -n "$LAB-router" addr add fd77::1/64 dev lan nodad
ip -n "$LAB-c1" addr add fd77::11/64 dev eth0 nodad
ip -n "$LAB-c1" -6 route add default via fd77::1

dt_conf gateway <<C
gateway "head-office" {
    listen   = { "203.0.113.1" }
    identity = "vpn.example.net"
    psk      = "file:$LAB_DIR/office.psk"
    protect  = { "10.1.0.0/16", "fd01::/64" }
    pool     = { "10.9.0.0/16", "fd09::/64" }
}
C
dt_conf c1 <<C
tunnel "office" {
    gateway = "203.0.113.1"
    local   = "anna@example.net"
    remote  = "vpn.example.net"
    psk     = "file:$LAB_DIR/office.psk"
    protect = { "10.1.0.0/16", "fd01::/64" }
    encap   = udp
}
C

# What leaves the client and is neither IKE nor ESP nor of its own link.
PLAIN='(ip and net 10.0.0.0/8) or (ip6 and net fd00::/8)'
capture() # NS IF NAME
{
    lab_run "$1" "$3" tcpdump -U -n -i "$2" -w "$LAB_DIR/$3.pcap" --immediate-mode "$PLAIN"
    lab_wait 5 "grep -q 'listening on' $LAB_DIR/$3.log"
}
plain_packets() # NAME
{
    tcpdump -n -r "$LAB_DIR/$1.pcap" 2>/dev/null | wc -l
}

passes()
{
    lab_in c1 ping -q -c 1 -W 1 10.1.0.10 && lab_in c1 ping -q -c 1 -W 1 fd01::10
}
as_wanted()
{
    lab_in c1 ip rule | grep -q "^17494:.*not from all fwmark 0x44560001 lookup 17494" &&
        lab_in c1 ip -6 rule | grep -q "^17494:.*not from all fwmark 0x44560001 lookup 17494" &&
        lab_in c1 ip route show table 17494 proto 174 | grep -q '^10.1.0.0/16 dev dovetail0' &&
        lab_in c1 ip route show table 17494 proto 174 | grep -q '^unreachable 10.1.0.0/16' &&
        lab_in c1 ip -6 route show table 17494 proto 174 | grep -q '^fd01::/64 dev dovetail0' &&
        lab_in c1 ip -6 route show table 17494 proto 174 | grep -q '^unreachable fd01::/64' &&
        [ "$(lab_in c1 ip route show table 17494 | wc -l)" = 2 ] &&
        [ "$(lab_in c1 ip -6 route show table 17494 | wc -l)" = 2 ] &&
        lab_in c1 ip -o addr show dev dovetail0 | grep -q 'inet 10.9.0' &&
        lab_in c1 ip -o addr show dev dovetail0 | grep -q 'inet6 fd09:' &&
        lab_in c1 ip link show dev dovetail0 | grep -q '[<,]UP[,>]' &&
        [ "$(lab_in c1 nft -s list table inet dovetail)" = "$FILTER" ]
}

dt_start gateway
dt_start c1
dt_wait_up c1 office 15 || tap_note "not up: $(dt_field c1 office .why)"
lab_wait 5 passes
FILTER=$(lab_in c1 nft -s list table inet dovetail)
tap_ok "the filter has what is protected and what is inside" sh -c 'for w in 10.1.0.0/16 fd01::/64 10.9.0. fd09:; do echo "$0" | grep -q "elements = { $w" || exit 1; done' "$FILTER"
tap_ok "up, and the host is as wanted" lab_wait 5 'as_wanted && passes'
capture c1 eth0 uplink
lab_run c1 flow "$FLOW" send 10.1.0.10 4411 -i 2 -t 0 -g 200
lab_run c1 flow6 ping -q -i 0.02 fd01::10

# ---- somebody's rule stands before ours: that is theirs to take away; nothing leaves, and status says why
s_before=$(plain_packets uplink)
lab_in c1 ip rule add pref 100 to 10.1.0.0/16 lookup main
diverted()
{
    dt_field c1 office .why | grep -q 'routed to eth0: another routing rule stands before 17494' &&
        [ "$(dt_field c1 office .state)" = blocked ]
}
tap_ok "a foreign rule before ours: not up but blocked, and status says why" lab_wait "$HEAL" diverted
sleep 0.3
tap_ok "a foreign rule before ours: not one packet in the clear" [ "$(plain_packets uplink)" = "$s_before" ]
lab_in c1 ip rule del pref 100
tap_ok "it is gone: up again" lab_wait "$HEAL" 'as_wanted && passes && dt_is_up c1 office'

# ---- the daemon is killed, and comes again
s_before=$(plain_packets uplink)
dt_stop c1 KILL
sleep 1
tap_ok "killed: what is protected goes nowhere" sh -c "! ip netns exec $LAB-c1 ping -q -c 1 -W 1 10.1.0.10"
dt_start c1
tap_ok "started again: it carries" lab_wait 15 'as_wanted && passes'
tap_ok "killed and started again: not one packet in the clear" [ "$(plain_packets uplink)" = "$s_before" ]

lab_stop flow
lab_stop flow6

# ---- nothing plain comes in
lab_run server heard tcpdump -U -n -i eth0 -w "$LAB_DIR/heard.pcap" --immediate-mode icmp
lab_wait 5 "grep -q 'listening on' $LAB_DIR/heard.log"
ip -n "$LAB-internet" addr add 10.9.0.77/32 dev lo
ip -n "$LAB-internet" route add 10.1.0.0/16 via 203.0.113.1
lab_in internet ping -q -c 3 -i 0.2 -W 1 -I 10.9.0.77 10.1.0.10 >"$LAB_DIR/spoof.out" 2>&1
tap_ok "a plain packet with an address of the pool is not let in" grep -q '3 packets transmitted, 0 received' "$LAB_DIR/spoof.out"
sleep 0.3
tap_ok "and does not reach the server" [ "$(tcpdump -n -r "$LAB_DIR/heard.pcap" src 10.9.0.77 2>/dev/null | wc -l)" = 0 ]
counted() # NS COUNTER AT_LEAST
{
    [ "$(lab_in "$1" nft -j list counter inet dovetail "$2" | jq '[.nftables[] | .counter? // empty | .packets] | add')" -ge "$3" ]
}
tap_ok "it is counted" counted gateway in 3
inside=$(dt_field c1 office '.inside[0]')
ip -n "$LAB-router" route add "$inside/32" via 192.168.7.11
lab_in router ping -q -c 3 -i 0.2 -W 1 "$inside" >"$LAB_DIR/inside.out" 2>&1
tap_ok "a plain packet to an inside address is not answered" grep -q '3 packets transmitted, 0 received' "$LAB_DIR/inside.out"
tap_ok "and counted" counted c1 in 3
lab_in c1 nft delete table inet dovetail
tap_ok "the tunnel goes on meanwhile" passes
dt_stop c1
tap_ok "after an orderly end nothing is left" sh -c "! ip -n $LAB-c1 rule | grep -q 17494 && [ -z \"\$(ip -n $LAB-c1 route show table 17494 2>/dev/null)\" ] && ! ip netns exec $LAB-c1 nft list tables | grep dovetail"

# ---- a host without IPv6: what is of IPv6 is closed and has no way out; the rest carries
lab_in c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1
dt_start c1
tap_ok "IPv6 is switched off on the host: up, and IPv4 passes" lab_wait 15 '[ "$(dt_field c1 office .state)" = up ] && lab_in c1 ping -q -c 1 -W 1 10.1.0.10'
tap_ok "nothing in its log is an error" sh -c "! tail -n +\$(grep -n 'dovetaild .* runs' $LAB_DIR/dt-c1.log | tail -n 1 | cut -d: -f1) $LAB_DIR/dt-c1.log | grep ' error '"
lab_in c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=0
tap_ok "it is switched on again: IPv6 passes" lab_wait "$HEAL" 'lab_in c1 ping -q -c 1 -W 1 fd01::10'
tap_end
