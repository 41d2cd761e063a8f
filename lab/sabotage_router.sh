# What may happen to a router under dovetail-natd while tunnels pass through it. Source after lab.sh and dovetail.sh.
#
#   router_lab                  c1 and c2 behind `router`, both with raw ESP to one gateway, natd between; both tunnels are up
#   router_flows                numbered packets both ways and a TCP stream run through c1's tunnel; what leaves the router is captured
#   router_sabotages VISITOR    calls VISITOR NAME TEXT DO [UNDO [WHY]] for each: DO and UNDO are shell commands that run on the
#                               router; UNDO stands where only the administrator can mend it, and WHY is what `nat status`
#                               must say until then
#   router_healed               the kernel has what natd wants, it says `up`, and both tunnels pass both ways
#   router_leaked               packets outside so far that are in the clear, or bear an inside source
#   router_stream_ends          the TCP stream is ended, and every byte of it has arrived

ROUTER_FLOW=${LAB_BIN:?}/../lab/lab-flow ROUTER_STREAM=$LAB_BIN/../lab/lab-stream
ROUTER_PLAIN='src net 192.168.0.0/16 or net 10.0.0.0/8'

router_natd() # [ARG...]
{
    natd_start router lan wan --pin "$LAB_DIR/bpf/tables" --set t_out=1 "$@"
}

router_lab()
{
    lab_nat_topology 2
    lab_nft_masquerade router wan
    mkdir -p "$LAB_DIR/bpf" && mount -t bpf bpf "$LAB_DIR/bpf" || return 1
    {
        for r_who in anna bert; do
            (umask 077; head -c 24 /dev/urandom | base64 >"$LAB_DIR/$r_who.psk")
            echo "client \"$r_who@example.net\" { psk = \"file:$LAB_DIR/$r_who.psk\" }"
        done
        cat <<C
gateway "head-office" {
    listen   = { "203.0.113.1" }
    identity = "vpn.example.net"
    protect  = { "10.1.0.0/16" }
    pool     = { "10.9.0.0/16" }
    $ROUTER_PARAMS
}
C
    } | dt_conf gateway
    for r_ns in c1 c2; do
        [ $r_ns = c1 ] && r_who=anna || r_who=bert
        dt_conf $r_ns <<C
tunnel "office" {
    gateway = "203.0.113.1"
    local   = "$r_who@example.net"
    remote  = "vpn.example.net"
    psk     = "file:$LAB_DIR/$r_who.psk"
    protect = { "10.1.0.0/16" }
    encap   = esp
    $ROUTER_PARAMS
}
C
    done
    router_natd && dt_start gateway && dt_start c1 && dt_start c2 &&
        dt_wait_up c1 office 20 && dt_wait_up c2 office 20 || return 1
    ROUTER_INSIDE1=$(dt_field c1 office '.inside[0]') ROUTER_INSIDE2=$(dt_field c2 office '.inside[0]')
    lab_wait 5 router_passes
}
ROUTER_PARAMS='maxidle = 1s  pingtime = 300ms  pingtries = 5  pingtime2 = 500ms  pingtries2 = 3  timeout = 2s  elimit = 2'

router_passes()
{
    lab_in c1 ping -q -c 1 -W 1 10.1.0.10 && lab_in c2 ping -q -c 1 -W 1 10.1.0.10 &&
        lab_in server ping -q -c 1 -W 1 "$ROUTER_INSIDE1" && lab_in server ping -q -c 1 -W 1 "$ROUTER_INSIDE2"
}

# As the kernel tells it, not as natd does.
router_kernel()
{
    lab_in router tc filter show dev wan ingress | grep -q 'pref 53 .*nat_outside.*direct-action' &&
        lab_in router tc filter show dev wan egress | grep -q 'pref 53 .*nat_egress.*direct-action' &&
        lab_in router tc filter show dev lan ingress | grep -q 'pref 53 .*nat_inside.*direct-action' &&
        [ "$(lab_in router sysctl -n net.ipv4.conf.lo.accept_local)" = 1 ] &&
        [ "$(ls "$LAB_DIR/bpf/tables" | wc -l)" = 14 ]
}

router_says() # STATE TEXT
{
    nat router --json status | jq -r '.state, .reasons[]' | grep -q "$1"
}

router_healed()
{
    router_kernel && router_says '^up$' && router_passes
}

router_leaked()
{
    tcpdump -n -r "$LAB_DIR/outside.pcap" 2>/dev/null | wc -l
}

router_flows()
{
    lab_run internet outside tcpdump -U -n -i isp -w "$LAB_DIR/outside.pcap" --immediate-mode "$ROUTER_PLAIN"
    lab_wait 5 "grep -q 'listening on' $LAB_DIR/outside.log"
    lab_run server echo "$ROUTER_FLOW" echo 4411
    lab_run server serve "$ROUTER_STREAM" serve 4412
    lab_run c1 echo-c1 "$ROUTER_FLOW" echo 4411
    sleep 0.3
    lab_run c1 out1 "$ROUTER_FLOW" send 10.1.0.10 4411 -i 2 -t 0 -g 200
    lab_run c2 out2 "$ROUTER_FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 200
    lab_run server back1 "$ROUTER_FLOW" send "$ROUTER_INSIDE1" 4411 -i 5 -t 0 -g 200
    lab_run c1 stream "$ROUTER_STREAM" send 10.1.0.10 4412 0 200000
}

router_stream_ends()
{
    kill -TERM "$(lab_pid stream)"
    lab_wait 30 "grep -q '^ok ' $LAB_DIR/stream.log"
}

router_sabotages() # VISITOR
{
    r_out='ip route replace default via 198.51.100.1'
    r_drop="bpf da bytecode '1,6 0 0 2,'" r_accept="bpf da bytecode '1,6 0 0 0,'"
    "$1" filter-in "the inside filter removed" 'tc filter del dev lan ingress'
    "$1" filter-out "the outside filter removed" 'tc filter del dev wan ingress'
    "$1" filter-egress "the egress filter removed" 'tc filter del dev wan egress'
    "$1" qdisc-in "the inside queueing discipline deleted" 'tc qdisc del dev lan clsact'
    "$1" qdisc-out "the outside queueing discipline deleted" 'tc qdisc del dev wan clsact'
    "$1" ingress-in "the inside queueing discipline replaced" \
        'printf "qdisc del dev lan clsact\nqdisc add dev lan ingress\n" | tc -batch -' 'true' '^up$'
    "$1" ingress-out "the outside queueing discipline replaced" \
        'printf "qdisc del dev wan clsact\nqdisc add dev wan ingress\n" | tc -batch -' 'tc qdisc del dev wan ingress' 'tc qdisc del dev wan ingress'
    "$1" before-drop "a filter before ours that drops" "tc filter add dev wan ingress pref 10 protocol ip $r_drop" \
        'tc filter del dev wan ingress pref 10' 'with preference 10 on ingress of wan ends the chain'
    "$1" before-accept "a filter before ours that accepts" "tc filter add dev lan ingress pref 10 protocol ip $r_accept" \
        'tc filter del dev lan ingress pref 10' 'with preference 10 on ingress of lan ends the chain'
    "$1" our-preference "a filter with our preference" \
        'printf "filter del dev lan ingress\nfilter add dev lan ingress pref 53 protocol all u32 match u32 0 0\n" | tc -batch -' \
        'tc filter del dev lan ingress pref 53' '"u32" has its preference'
    "$1" our-handle "another program in our filter's place" \
        "tc filter replace dev wan ingress protocol all pref 53 handle 1 $r_accept"
    "$1" wan-down-up "the outside interface down and up" "ip link set wan down; sleep 0.3; ip link set wan up; $r_out"
    "$1" lan-down-up "the inside interface down and up" 'ip link set lan down; sleep 0.3; ip link set lan up'
    "$1" wan-down "the outside interface down" 'ip link set wan down' "ip link set wan up; $r_out" '"wan" is down'
    "$1" wan-name "the outside interface renamed" 'ip link set wan down; ip link set wan name other' \
        "ip link set other name wan; ip link set wan up; $r_out" 'there is no interface "wan"'
    "$1" no-address "the outside address removed" 'ip addr flush dev wan' "ip addr add 198.51.100.2/24 dev wan; $r_out" \
        '"wan" has no IPv4 address'
    "$1" new-address "the outside address changed" \
        "ip addr flush dev wan; ip addr add 198.51.100.77/24 dev wan; $r_out"
    "$1" old-address "the outside address changed back" \
        "ip addr flush dev wan; ip addr add 198.51.100.2/24 dev wan; $r_out"
    "$1" ruleset "the whole ruleset flushed, with masquerade" 'nft flush ruleset'
    "$1" bare "no masquerade, and the inside filter removed" 'nft flush ruleset; tc filter del dev lan ingress'
    "$1" masquerade "masquerade put back" 'nft add table ip lab_nat; nft add chain ip lab_nat post "{ type nat hook postrouting priority srcnat; }"; nft add rule ip lab_nat post oifname wan masquerade'
    "$1" conntrack "connection tracking emptied" 'conntrack -F'
    "$1" strict "reverse paths filtered strictly" 'sysctl -qw net.ipv4.conf.all.rp_filter=1'
    "$1" accept-local "accept_local of the loopback device reset" 'sysctl -qw net.ipv4.conf.lo.accept_local=0 net.ipv4.conf.all.rp_filter=0'
    "$1" forward "forwarding switched off" 'sysctl -qw net.ipv4.ip_forward=0' 'sysctl -qw net.ipv4.ip_forward=1' 'does not forward (sysctl net.ipv4.ip_forward = 1)'
    "$1" pin "a pinned table removed" "rm $LAB_DIR/bpf/tables/t_server"
    "$1" pins "all pinned tables removed" "rm -r $LAB_DIR/bpf/tables"
    "$1" routes "the routing table flushed" 'ip route flush table main' \
        "ip route add 192.168.7.0/24 dev lan src 192.168.7.1; ip route add 198.51.100.0/24 dev wan src 198.51.100.2; $r_out" \
        'no network is routed by interface "lan"'
    "$1" neighbours "the neighbours forgotten" 'ip neigh flush all'
}
