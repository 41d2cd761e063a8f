# What may happen to a host under a tunnel, and a laboratory to see what comes of it. Source after lab.sh and dovetail.sh.
#
#   sabotage_lab               c1 behind a masquerading router, a gateway, a server; IPv4 and IPv6 both ways; tunnel "office" is up
#   sabotage_rest              the same for a laboratory that is up already, with c1, gateway and server
#   sabotage_flows [MS]        numbered packets both ways, IPv4 and IPv6, and a TCP stream run; captures outside of client and gateway
#   sabotages VISITOR          calls VISITOR WHERE NAME TEXT DO [UNDO [WHY]] for each: WHERE is c1 or gateway, DO and UNDO are
#                              shell commands that run there; UNDO stands where only the administrator can mend it,
#                              and WHY is what `status` there must say until then (host_says)
#   sabotage_barrier NAME      which of the two barriers it takes away for a moment: routes, filter, or nothing
#   sabotage_do WHERE COMMAND  runs it there
#   host_healed                both hosts are as they were at rest, and packets pass both ways
#   host_differs               says in what they are not
#   leaked                     packets in the clear so far, on both uplinks
#   sabotage_stream_ends       the TCP stream is ended, and every byte of it has arrived

. "$LAB_ROOT/lab/office.sh"

SAB_FLOW=${LAB_BIN:?}/../lab/lab-flow SAB_STREAM=$LAB_BIN/../lab/lab-stream
SAB_PLAIN='net 10.1.0.0/16 or net 10.9.0.0/16 or net fd01::/64 or net fd09::/64'

sabotage_lab() # [SETTING...]: of the tunnel
{
    office_lab 1
    office_road6
    office_gateway | dt_conf gateway
    office_tunnel "$@" | dt_conf c1
    dt_start gateway && dt_start c1 && sabotage_rest
}

# What c1 and the gateway are like when nobody does anything to them.
sabotage_rest()
{
    dt_wait_up c1 office 20 || return 1
    SAB_INSIDE4=$(dt_field c1 office '.inside[0]') SAB_INSIDE6=$(dt_field c1 office '.inside[1]')
    lab_wait 5 sabotage_passes || return 1
    for s_ns in c1 gateway; do host_state "$s_ns" >"$LAB_DIR/rest.$s_ns"; done
}

# Probed from the far ends: the server speaks first as well as the client.
sabotage_passes()
{
    lab_in c1 ping -q -c 1 -W 1 10.1.0.10 && lab_in c1 ping -q -c 1 -W 1 fd01::10 &&
        lab_in server ping -q -c 1 -W 1 "$SAB_INSIDE4" && lab_in server ping -q -c 1 -W 1 "$SAB_INSIDE6"
}

# All that Dovetail has in the kernel of a namespace.
host_state()
{
    lab_in "$1" ip rule
    lab_in "$1" ip -6 rule
    lab_in "$1" ip route show table 17494 proto 174
    lab_in "$1" ip route show table 17494 | wc -l
    lab_in "$1" ip -6 route show table 17494 proto 174
    lab_in "$1" ip -6 route show table 17494 | wc -l
    lab_in "$1" ip -o link show dev dovetail0 | grep -o '[<,]UP[,>]\|mtu [0-9]*\|master [a-z0-9]*'
    lab_in "$1" ip -o addr show dev dovetail0 scope global | awk '{ print $3, $4 }'
    lab_in "$1" nft -s list table inet dovetail
}

host_as_at_rest()
{
    [ "$(host_state "$1" 2>&1)" = "$(cat "$LAB_DIR/rest.$1")" ]
}

host_says() # WHERE TEXT: why it does not carry
{
    dt "$1" --json status | jq -r '.tunnels[].why // empty, .gateways[].blocked // empty' | grep -q "$2"
}

host_healed()
{
    host_as_at_rest c1 && host_as_at_rest gateway && sabotage_passes
}

host_differs() # from rest, for who reads a failed test
{
    for s_ns in c1 gateway; do
        host_state "$s_ns" 2>&1 | diff "$LAB_DIR/rest.$s_ns" - | sed "s/^/#   $s_ns: /"
        tail -n 12 "$LAB_DIR/dt-$s_ns.log" | sed "s/^/#   $s_ns: /"
        dt "$s_ns" status | head -n 12 | sed "s/^/#   $s_ns: /"
    done
    lab_in c1 ping -q -c 1 -W 1 10.1.0.10 >/dev/null || echo "#   the client does not reach the server"
    lab_in c1 ping -q -c 1 -W 1 fd01::10 >/dev/null || echo "#   the client does not reach the server (IPv6)"
    lab_in server ping -q -c 1 -W 1 "$SAB_INSIDE4" >/dev/null || echo "#   the server does not reach the client"
    lab_in server ping -q -c 1 -W 1 "$SAB_INSIDE6" >/dev/null || echo "#   the server does not reach the client (IPv6)"
}

leaked()
{
    echo $(($(lab_dumped plain-c1) + $(lab_dumped plain-gateway)))
}

sabotage_flows() # [MS]: silences of that length are told when they end
{
    s_gap=${1:-200}
    lab_dump router lan plain-c1 "$SAB_PLAIN"
    lab_dump internet dc plain-gateway "$SAB_PLAIN"
    lab_run server echo "$SAB_FLOW" echo 4411
    lab_run server serve "$SAB_STREAM" serve 4412
    lab_run c1 echo-c1 "$SAB_FLOW" echo 4411
    sleep 0.3
    lab_run c1 flow4 "$SAB_FLOW" send 10.1.0.10 4411 -i 2 -t 0 -e -g "$s_gap"
    lab_run c1 flow6 "$SAB_FLOW" send fd01::10 4411 -i 5 -t 0 -e -g "$s_gap"
    lab_run server back4 "$SAB_FLOW" send "$SAB_INSIDE4" 4411 -i 5 -t 0 -e -g "$s_gap"
    lab_run server back6 "$SAB_FLOW" send "$SAB_INSIDE6" 4411 -i 5 -t 0 -e -g "$s_gap"
    lab_run c1 stream "$SAB_STREAM" send 10.1.0.10 4412 0 200000
}

sabotage_stream_ends()
{
    kill -TERM "$(lab_pid stream)"
    lab_wait 30 "grep -q '^ok ' $LAB_DIR/stream.log"
}

sabotage_barrier() # NAME
{
    case $1 in
    filter | ruleset | chain | element | accept | dormant) echo filter ;;
    rule4 | rule6 | rules | table4 | table6 | route | barrier | narrower | replaced | vrf | diverted) echo routes ;;
    down | down-up | deleted | renamed | other-name | no-ipv6 | mtu | address | addresses) echo routes ;;
    esac
}

sabotage_do() # WHERE COMMAND
{
    lab_in "$1" sh -c "$2"
}

sabotage_up_again() # an interface's addresses and routes of IPv6 go with it
{
    case $1 in
    c1) echo 'ip route replace default via 192.168.7.1; ip addr add fd77::11/64 dev eth0 nodad 2>/dev/null; ip -6 route replace default via fd77::1' ;;
    gateway) echo 'ip route replace default via 203.0.113.254; ip addr add fd66::1/64 dev eth0 nodad 2>/dev/null; ip -6 route replace default via fd66::254' ;;
    esac
}

sabotages() # VISITOR
{
    for s_at in c1 gateway; do
        # What the tunnel carries, and where it would leak to.
        case $s_at in
        c1) s_net=10.1.0.0/16 s_host=10.1.0.10 s_via=192.168.7.1 ;;
        gateway) s_net=10.9.0.0/16 s_host=$SAB_INSIDE4 s_via=203.0.113.254 ;;
        esac
        "$1" $s_at rule4 "the IPv4 rule removed" 'ip rule del pref 17494'
        "$1" $s_at rule6 "the IPv6 rule removed" 'ip -6 rule del pref 17494'
        "$1" $s_at rules "all rules flushed" 'ip rule flush; ip -6 rule flush; for f in -4 -6; do ip $f rule add pref 32766 lookup main; done; ip rule add pref 32767 lookup default'
        "$1" $s_at table4 "the table flushed" 'ip route flush table 17494'
        "$1" $s_at table6 "the IPv6 table flushed" 'ip -6 route flush table 17494'
        "$1" $s_at route "a route removed" "ip route del $s_net dev dovetail0 table 17494"
        "$1" $s_at barrier "a barrier removed" "ip route del unreachable $s_net table 17494"
        "$1" $s_at narrower "a narrower route in our table" "ip route add $s_host/32 via $s_via table 17494"
        "$1" $s_at replaced "our route replaced" "ip route replace $s_net via $s_via table 17494"
        "$1" $s_at down "the device down" 'ip link set dovetail0 down'
        "$1" $s_at down-up "the device down and up" 'ip link set dovetail0 down; ip link set dovetail0 up'
        "$1" $s_at deleted "the device deleted" 'ip link del dovetail0'
        "$1" $s_at renamed "the device renamed and back" 'ip link set dovetail0 down; ip link set dovetail0 name other; ip link set other name dovetail0; ip link set other up 2>/dev/null; true'
        "$1" $s_at other-name "the device renamed" 'ip link set dovetail0 down; ip link set dovetail0 name other && { ip link set other up 2>/dev/null || ip link show dovetail0; }'
        "$1" $s_at mtu "the device's MTU changed" 'ip link set dovetail0 mtu 700'
        "$1" $s_at vrf "the device put into a VRF" 'ip link add vrf9 type vrf table 99 && ip link set dovetail0 master vrf9'
        "$1" $s_at no-ipv6 "IPv6 disabled on the device" 'sysctl -qw net.ipv6.conf.dovetail0.disable_ipv6=1'
        "$1" $s_at filter "the filter deleted" 'nft delete table inet dovetail'
        "$1" $s_at ruleset "the whole ruleset flushed" 'nft flush ruleset'
        "$1" $s_at chain "a chain of the filter flushed" 'nft flush chain inet dovetail out'
        "$1" $s_at element "an element of the filter removed" "nft delete element inet dovetail closed4 '{ $s_net }'"
        "$1" $s_at accept "a rule before ours in the filter" 'nft insert rule inet dovetail out accept'
        "$1" $s_at dormant "the filter made dormant" "nft 'add table inet dovetail { flags dormant; }'"
        "$1" $s_at uplink "the uplink down and up" "ip link set eth0 down; sleep 0.3; ip link set eth0 up; $(sabotage_up_again $s_at)"
        "$1" $s_at default "the default route away for a second" "ip route del default; sleep 1; ip route add default via $s_via"
        "$1" $s_at neighbours "the neighbours forgotten" 'ip neigh flush all'
        "$1" $s_at diverted "another rule before ours" "ip rule add pref 100 to $s_net lookup main" 'ip rule del pref 100' 'another routing rule stands before 17494'
        "$1" $s_at dropped "somebody's filter drops our UDP" "nft -f - <<N
table inet theirs { chain out { type filter hook output priority 0; udp sport { 500, 4500 } drop; }; }
N" 'nft delete table inet theirs'
    done
    "$1" c1 address "the inside address removed" "ip addr del $SAB_INSIDE4/32 dev dovetail0"
    "$1" c1 addresses "the device's addresses flushed" 'ip addr flush dev dovetail0 scope global'
    "$1" c1 moved "the client's own address changes" 'ip addr del 192.168.7.11/24 dev eth0; ip addr add 192.168.7.61/24 dev eth0; ip route replace default via 192.168.7.1' \
        'ip addr del 192.168.7.61/24 dev eth0; ip addr add 192.168.7.11/24 dev eth0; ip route replace default via 192.168.7.1'
    "$1" gateway listen "the gateway's address away for a second" "ip addr del 203.0.113.1/24 dev eth0; sleep 1; ip addr add 203.0.113.1/24 dev eth0; $(sabotage_up_again gateway)"
    "$1" gateway lan "the gateway's inner link down and up" 'ip link set inside down; sleep 0.3; ip link set inside up; ip addr add fd01::1/64 dev inside nodad 2>/dev/null; true'
    "$1" gateway lan-gone "the gateway's inner network away for a second" 'ip addr flush dev inside scope global; sleep 1; ip addr add 10.1.0.1/16 dev inside; ip addr add fd01::1/64 dev inside nodad'
    # The kernel's ICMP errors for the server quote what was to go into the tunnel.
    "$1" gateway lan-gone-mtu "the gateway's inner network away for a second, and no IPv6 on the device" 'ip link set dovetail0 mtu 700; ip addr flush dev inside scope global; sleep 1; ip addr add 10.1.0.1/16 dev inside; ip addr add fd01::1/64 dev inside nodad'
}
