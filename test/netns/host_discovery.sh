#!/bin/sh
# Whatever somebody does to the host of a gateway that discovers its peers: not one packet that a proxy describes leaves in the clear,
# and it is mended, read back from the kernel's tables, or `status` says what is in the way. Numbered packets go both ways, IPv4
# and IPv6. The core between the gateways would carry them in the clear, and captures there keep those that are neither ESP nor
# IKE nor a probe.
set -u
LAB=${LAB:-dthdi}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sites.sh"
FLOW=$LAB_BIN/../lab/lab-flow
HEAL=15 # seconds
lab_begin

add_site() # N
{
    site "$1" in "h$1"
    dt_conf "g$1" <<C
discover "mesh" {
    protect  = { "10.$1.0.0/16 10.0.0.0/8", "fd0$1::/64 fd00::/8" }
    identity = "g$1.example.net"
    psk      = "file:$LAB_DIR/psk"
    remember = 1s
}
C
}

passes() # probed from both ends
{
    lab_in h1 ping -q -c 1 -W 1 10.2.1.10 && lab_in h1 ping -q -c 1 -W 1 fd02::10 &&
        lab_in h2 ping -q -c 1 -W 1 10.1.1.10 && lab_in h2 ping -q -c 1 -W 1 fd01::10
}

# All that discovery has in the kernel of a gateway.
state()
{
    for v in -4 -6; do
        lab_in "$1" ip $v rule
        lab_in "$1" ip $v route show table 17496
    done
    lab_in "$1" ip route show table 18518
    lab_in "$1" ip -o link show dev dovetail0 | grep -o '[<,]UP[,>]\|mtu [0-9]*'
    lab_in "$1" nft -s list table inet dovetail
    lab_in "$1" nft -s list table inet dovetail_discovery
}

at_rest()
{
    [ "$(state "$1" 2>&1)" = "$(cat "$LAB_DIR/rest.$1")" ]
}

healed()
{
    at_rest g1 && at_rest g2 && passes
}

differs()
{
    for g in g1 g2; do
        state $g 2>&1 | diff "$LAB_DIR/rest.$g" - | sed "s/^/#   $g: /"
        tail -n 8 "$LAB_DIR/dt-$g.log" | sed "s/^/#   $g: /"
    done
}

leaked()
{
    for c in plain1 plain2; do tcpdump -n -r "$LAB_DIR/$c.pcap" 2>/dev/null; done | wc -l
}

says() # NS TEXT: of discovery as a whole, and of what it found
{
    dt "$1" --json status >"$LAB_DIR/says" && jq -r '.discovery.blocked // empty' "$LAB_DIR/says" | grep -q "$2" &&
        jq -e '[.tunnels[] | select(.state == "blocked" and (.why | test("'"$2"'")))] + [.gateways[].blocked // empty] | length > 0' "$LAB_DIR/says" >/dev/null
}

lab_ns core
lab_forward core
echo a-secret-of-the-whole-mesh-0123456789 >"$LAB_DIR/psk"
chmod 600 "$LAB_DIR/psk"
add_site 1
add_site 2
begins()
{
    dt_start g1 && dt_start g2 && lab_wait 15 passes && for g in g1 g2; do state $g >"$LAB_DIR/rest.$g"; done
}
tap_ok 'two gateways find each other, and packets pass both ways' begins
bears_our_number()
{
    cat "$LAB_DIR/rest.g1"
    # Each rule and route of ours, and nobody else's, is of protocol 174.
    [ "$(grep -c '^1749[678]:' "$LAB_DIR/rest.g1")" = 8 ] && [ "$(grep '^1749[678]:' "$LAB_DIR/rest.g1" | grep -vc 'proto 174')" = 0 ] &&
        [ "$(grep -c '^default dev dovetail0 proto 174' "$LAB_DIR/rest.g1")" = 2 ] && [ "$(grep -c '^unreachable default .*proto 174' "$LAB_DIR/rest.g1")" = 2 ]
}
tap_ok 'rules and routes of discovery bear our protocol number, with a barrier behind each route' bears_our_number
for i in 1 2; do
    lab_run core "plain$i" tcpdump -U -n -i "c$i" -w "$LAB_DIR/plain$i.pcap" --immediate-mode '(net 10.0.0.0/8 or net fd00::/12) and not udp dst port 500'
    lab_wait 5 "grep -q 'listening on' $LAB_DIR/plain$i.log"
    lab_run "h$i" "echo$i" "$FLOW" echo 4411
done
sleep 0.3
lab_run h1 flow4 "$FLOW" send 10.2.1.10 4411 -i 2 -t 0 -e -g 200
lab_run h1 flow6 "$FLOW" send fd02::10 4411 -i 5 -t 0 -e -g 200
lab_run h2 back4 "$FLOW" send 10.1.1.10 4411 -i 5 -t 0 -e -g 200
lab_run h2 back6 "$FLOW" send fd01::10 4411 -i 5 -t 0 -e -g 200

# Our gateway answers by ICMP, from its outer address, and quotes what came out of the tunnel.
not_there()
{
    lab_in h2 ping -q -c 4 -i 0.2 -W 1 10.1.1.99
    lab_in h2 ping -q -c 4 -i 0.2 -W 1 fd01::99
    sleep 3.5 # until the neighbour is given up
    [ "$(leaked)" = 0 ] || { tcpdump -n -r "$LAB_DIR/plain1.pcap"; return 1; }
}
tap_ok 'a host behind us that is not there: nothing that quotes its packets leaves in the clear' not_there

visit() # NAME DO [UNDO WHY]: on g1
{
    if ! lab_in g1 sh -c "$2" >"$LAB_DIR/do.out" 2>&1; then
        tap_ok "$1: can be done" false
        tap_note "$(cat "$LAB_DIR/do.out")"
        return
    fi
    if [ -n "${3:-}" ]; then
        tap_ok "$1: status says why" lab_wait "$HEAL" "says g1 '$4'"
        sleep 0.5 # packets would leave now
        lab_in g1 sh -c "$3"
    fi
    tap_ok "$1: mended" lab_wait "$HEAL" healed || differs
    sleep 0.1
    tap_ok "$1: not one packet in the clear" [ "$(leaked)" = 0 ]
}
visit 'a rule removed' 'ip rule del pref 17497 from 10.1.0.0/16 to 10.0.0.0/8'
visit 'an IPv6 rule removed' 'ip -6 rule del pref 17497 from fd01::/64 to fd00::/8'
visit 'the rule for our own outer packets removed' 'ip rule del pref 17496 fwmark 0x44560001; ip rule del pref 17498'
visit 'all rules flushed' 'ip rule flush; ip -6 rule flush; for f in -4 -6; do ip $f rule add pref 32766 lookup main; done; ip rule add pref 32767 lookup default'
visit 'rules of others flushed, as systemd-networkd does' 'for f in -4 -6; do ip $f rule | sed -n "s/^\([0-9]*\):.*proto 174.*/\1/p" | while read -r p; do ip $f rule del pref "$p"; done; ip $f route flush table all proto 174; done'
visit 'the table flushed' 'ip route flush table 17496'
visit 'the IPv6 table flushed' 'ip -6 route flush table 17496'
visit 'a route removed' 'ip route del default dev dovetail0 table 17496'
visit 'a barrier removed' 'ip route del unreachable default metric 4294967295 table 17496'
visit 'our route replaced' 'ip route replace default via 192.0.1.254 table 17496'
visit 'a narrower route in our table' 'ip route add 10.2.1.10/32 via 192.0.1.254 table 17496'
visit 'the device down' 'ip link set dovetail0 down'
visit 'the device deleted' 'ip link del dovetail0'
visit 'the filter deleted' 'nft delete table inet dovetail'
visit 'a chain of the filter flushed' 'nft flush chain inet dovetail pairs_out'
visit 'the whole ruleset flushed' 'nft flush ruleset'
visit 'the link to our hosts down and up' 'ip link set in down; sleep 0.5; ip link set in up; ip addr add fd01::1/64 dev in nodad 2>/dev/null; true'
visit 'the network of our hosts away for a second' 'ip addr flush dev in; sleep 1; ip addr add 10.1.1.1/24 dev in; ip addr add fd01::1/64 dev in nodad'
visit 'another rule before ours' 'ip rule add pref 100 to 10.2.0.0/16 lookup main' 'ip rule del pref 100' 'another routing rule stands before 17496'

# ---- what holds back probes
held_back()
{
    # Where the kernel knows owners, nobody else takes it away; where it does not, it is made anew.
    lab_in g1 nft delete table inet dovetail_discovery
    lab_in g1 nft add rule inet dovetail_discovery probes accept
    lab_wait "$HEAL" healed || { differs; return 1; }
    lab_in g1 nft list table inet dovetail_discovery | grep 'ip daddr 10.1.0.0/16 counter name "held_back" drop'
}
tap_ok 'the table that holds back probes is deleted or changed: it stands' held_back

# ---- what comes in the clear
plain_in()
{
    before=$(dt g1 --json status | jq .plain_dropped.in)
    lab_in core ip route add 10.99.0.0/16 dev c2 2>/dev/null
    lab_in core ip addr add 10.99.0.1/32 dev c1
    lab_in core ping -c 3 -i 0.2 -W 1 -I 10.99.0.1 10.1.1.10
    lab_in core ip addr del 10.99.0.1/32 dev c1
    lab_wait 10 '[ "$(dt g1 --json status | jq .plain_dropped.in)" -ge '$((before + 3))' ]' || { dt g1 --json status | jq .plain_dropped; return 1; }
}
lab_run h1 heard tcpdump -U -n -i eth0 -w "$LAB_DIR/heard.pcap" --immediate-mode 'src net 10.99.0.0/16'
lab_wait 5 "grep -q 'listening on' $LAB_DIR/heard.log"
tap_ok 'what comes in the clear from a network of the others is dropped and counted' plain_in
tap_ok 'and not delivered' [ "$(tcpdump -n -r "$LAB_DIR/heard.pcap" 2>/dev/null | wc -l)" = 0 ]
core_leaks=$(leaked) # those three packets were seen on their way to the gateway

# ---- both barriers at once
said=$(grep -c 'this host: the table inet dovetail of' "$LAB_DIR/dt-g1.log")
tap_ok 'both barriers taken away at once' lab_in g1 sh -c 'nft flush ruleset; ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default'
tap_ok 'both barriers: mended' lab_wait "$HEAL" healed || differs
sleep 0.2
then=$(leaked)
tap_note "both barriers: $((then - core_leaks)) packets in the clear meanwhile"
sleep 0.5
tap_ok 'both barriers: nothing more in the clear after that' [ "$(leaked)" = "$then" ]
tap_ok 'both barriers: the log says so of the rule' grep -q "this host: the routing rule 'from 10.1.0.0/16 to 10.0.0.0/8 lookup 17496'" "$LAB_DIR/dt-g1.log"
tap_ok 'both barriers: and of the filter' [ "$(grep -c 'this host: the table inet dovetail of' "$LAB_DIR/dt-g1.log")" -gt "$said" ]

# ---- the daemon is killed, and a route of it is taken away meanwhile
killed()
{
    dt_stop g1 KILL
    sleep 1
    [ "$(lab_in g1 ip rule | grep -c '^1749[678]:')" = 4 ] || { lab_in g1 ip rule; return 1; }
    lab_in g1 ip route del default dev dovetail0 table 17496 2>/dev/null
    sleep 0.5
    [ "$(leaked)" = "$then" ]
}
tap_ok 'the daemon is killed: nothing goes in the clear' killed
again()
{
    dt_start g1 && lab_wait "$HEAL" healed || { differs; return 1; }
    [ "$(leaked)" = "$then" ] && [ -z "$(lab_in g1 ip rule | sort | uniq -d)" ]
}
tap_ok 'and started again: everything is there once, and packets pass' again
opened()
{
    dt_stop g1 KILL
    lab_in g1 "$LAB_BIN/dovetaild" --open || return 1
    [ "$(lab_in g1 ip rule | grep -c 174)" = 0 ] && [ -z "$(lab_in g1 ip route show table 17496)" ] &&
        ! lab_in g1 nft list ruleset | grep dovetail || return 1
    lab_wait 5 '[ "$(leaked)" -gt "$then" ]' # and the captures see what is in the clear
}
tap_ok 'killed, and opened by dovetaild --open: nothing of it is left, and the captures see what leaves then' opened
lab_flows_end flow4 flow6 back4 back6
tap_end
