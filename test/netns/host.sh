#!/bin/sh
# The host under a tunnel: somebody's rule before ours, a killed daemon, an orderly end, and plain packets from outside. Numbered
# packets run all the time; a capture on the client's uplink keeps what is not ESP or IKE. What else may happen to a host:
# host_sabotage.sh.
set -u
LAB=${LAB:-dthost}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sabotage.sh"
HEAL=10 # seconds; the benchmark measures how long it takes

# What host_as_at_rest compares with is what is wanted.
rests_as_wanted()
{
    rest=$LAB_DIR/rest.c1
    [ "$(grep -c "^17494:.*not from all fwmark 0x44560001 lookup 17494" "$rest")" = 2 ] &&
        grep -q '^10.1.0.0/16 dev dovetail0' "$rest" && grep -q '^unreachable 10.1.0.0/16' "$rest" &&
        grep -q '^fd01::/64 dev dovetail0' "$rest" && grep -q '^unreachable fd01::/64' "$rest" &&
        [ "$(grep -cx 2 "$rest")" = 2 ] && # no other route in the tables
        grep -q 'inet 10.9.0' "$rest" && grep -q 'inet6 fd09:' "$rest" && grep -q '[<,]UP[,>]' "$rest"
}

lab_begin
sabotage_lab 'encap = udp' || tap_note "not up: $(dt_field c1 office .why)"
tap_ok "the filter has what is protected and what is inside" sh -c 'for w in 10.1.0.0/16 fd01::/64 10.9.0. fd09:; do grep -q "elements = { $w" "$0" || exit 1; done' "$LAB_DIR/rest.c1"
tap_ok "up, and the host is as wanted" lab_wait 5 'rests_as_wanted && host_as_at_rest c1 && sabotage_passes'
sabotage_flows

# ---- somebody's rule stands before ours: that is theirs to take away; nothing leaves, and status says why
s_before=$(leaked)
lab_in c1 ip rule add pref 100 to 10.1.0.0/16 lookup main
diverted()
{
    dt_field c1 office .why | grep -q 'routed to eth0: another routing rule stands before 17494' &&
        [ "$(dt_field c1 office .state)" = blocked ]
}
tap_ok "a foreign rule before ours: not up but blocked, and status says why" lab_wait "$HEAL" diverted
sleep 0.3
tap_ok "a foreign rule before ours: not one packet in the clear" [ "$(leaked)" = "$s_before" ]
lab_in c1 ip rule del pref 100
tap_ok "it is gone: up again" lab_wait "$HEAL" 'host_as_at_rest c1 && sabotage_passes && dt_is_up c1 office'

# ---- the daemon is killed, and comes again
s_before=$(leaked)
dt_stop c1 KILL
sleep 1
tap_ok "killed: what is protected goes nowhere" sh -c "! ip netns exec $LAB-c1 ping -q -c 1 -W 1 10.1.0.10"
dt_start c1
tap_ok "started again: it carries" lab_wait 15 'host_as_at_rest c1 && sabotage_passes'
tap_ok "killed and started again: not one packet in the clear" [ "$(leaked)" = "$s_before" ]

for s_job in flow4 flow6 back4 back6 stream; do lab_stop "$s_job"; done

# ---- nothing plain comes in
lab_dump server eth0 heard icmp
ip -n "$LAB-internet" addr add 10.9.0.77/32 dev lo
ip -n "$LAB-internet" route add 10.1.0.0/16 via 203.0.113.1
lab_in internet ping -q -c 3 -i 0.2 -W 1 -I 10.9.0.77 10.1.0.10 >"$LAB_DIR/spoof.out" 2>&1
tap_ok "a plain packet with an address of the pool is not let in" grep -q '3 packets transmitted, 0 received' "$LAB_DIR/spoof.out"
sleep 0.3
tap_ok "and does not reach the server" [ "$(lab_dumped heard 'src 10.9.0.77')" = 0 ]
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
tap_ok "the tunnel goes on meanwhile" sabotage_passes
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
