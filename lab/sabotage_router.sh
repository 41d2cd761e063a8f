# What may happen to a router under dovetail-natd while tunnels pass through it. Source after lab.sh and dovetail.sh.
#
#   ROUTER_USER                 whom natd becomes; unset: as without a setting
#   router_lab                  c1 and c2 behind `router`, both with raw ESP to one gateway, natd between; both tunnels are up,
#                               with IPv4 and IPv6 in them. At the end: router_lab_end
#   router_flows                numbered packets both ways and a TCP stream run through c1's tunnel; what leaves the router is captured
#   router_sabotages VISITOR    calls VISITOR router NAME TEXT DO [UNDO [WHY]] for each: DO and UNDO are shell commands that run on the
#                               router; UNDO stands where only the administrator can mend it, and WHY is what `nat status`
#                               must say until then
#   router_barrier NAME         which of the two barriers before an inside source it takes away: translation, egress, both, or nothing
#   router_up_again             a shell command that puts the router's own settings right, whatever was done to them
#   router_healed               the kernel has what natd wants, it says `up`, and both tunnels pass both ways
#   router_leaked               packets outside so far that are in the clear, or bear an inside source
#   router_stream_ends          the TCP stream is ended, and every byte of it has arrived

. "$LAB_ROOT/lab/office.sh"

ROUTER_FLOW=${LAB_BIN:?}/../lab/lab-flow ROUTER_STREAM=$LAB_BIN/../lab/lab-stream
ROUTER_PLAIN='src net 192.168.0.0/16 or net 10.0.0.0/8'

router_natd() # [ARG...]
{
    natd_start router lan wan --pin "$LAB_DIR/bpf/tables" --set t_out=1 --config "$LAB_DIR/natd.conf" ${ROUTER_USER:+--set "user=$ROUTER_USER"} "$@"
}

router_lab()
{
    office_lab 2
    (umask 077; echo 't_ei = 300' >"$LAB_DIR/natd.conf")
    mkdir -p "$LAB_DIR/bpf" && mount -t bpf bpf "$LAB_DIR/bpf" || return 1
    office_road6
    office_gateway "$ROUTER_PARAMS" | dt_conf gateway
    office_client c1 'encap = esp' "$ROUTER_PARAMS"
    office_client c2 'local = "bert@example.net"' 'encap = esp' "$ROUTER_PARAMS"
    router_natd && ROUTER_TABLES=$(ls "$LAB_DIR/bpf/tables" | wc -l) && [ "$ROUTER_TABLES" -ge 14 ] && dt_start gateway && dt_start c1 && dt_start c2 &&
        dt_wait_up c1 office 20 && dt_wait_up c2 office 20 || return 1
    ROUTER_INSIDE1=$(dt_field c1 office '.inside[0]') ROUTER_INSIDE2=$(dt_field c2 office '.inside[0]')
    lab_wait 5 router_passes
}
router_lab_end()
{
    umount "$LAB_DIR/bpf" 2>/dev/null
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
        [ "$(ls "$LAB_DIR/bpf/tables" | wc -l)" = "$ROUTER_TABLES" ]
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
    lab_dumped outside
}

router_watch()
{
    lab_dump internet isp outside "$ROUTER_PLAIN"
}

router_differs() # for who reads a failed test
{
    nat router status | sed 's/^/#   /'
    tail -n 5 "$LAB_DIR/natd-router.log" | sed 's/^/#   router: /'
    for r_ns in c1 c2; do tap_note "$r_ns: $(dt_field $r_ns office '.state, .why' | tr '\n' ' ')"; done
}

# Masquerade may be gone since long. (before-drop lets nothing in, which is no way out.)
router_barrier() # NAME
{
    case $1 in
    filter-in | qdisc-in | ingress-in | before-accept | our-preference | bare) echo translation ;;
    filter-egress | qdisc-out | ingress-out) echo egress ;;
    esac
}

router_up_again()
{
    cat <<'D'
ip link set other down 2>/dev/null && ip link set other name wan
tc filter del dev wan ingress pref 10
tc filter del dev lan ingress pref 10
tc qdisc del dev wan ingress # not what natd has there: that is a clsact
ip link set lan up
ip link set wan up
ip addr add 192.168.7.1/24 dev lan
ip addr add fd77::1/64 dev lan nodad
ip -4 -o addr show dev wan | grep -q 'inet 198.51.100' || ip addr add 198.51.100.2/24 dev wan
ip route add 192.168.7.0/24 dev lan src 192.168.7.1
ip route add 198.51.100.0/24 dev wan
ip route replace default via 198.51.100.1
sysctl -qw net.ipv4.ip_forward=1
D
}

router_flows()
{
    router_watch
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
    "$1" router filter-in "the inside filter removed" 'tc filter del dev lan ingress'
    "$1" router filter-out "the outside filter removed" 'tc filter del dev wan ingress'
    "$1" router filter-egress "the egress filter removed" 'tc filter del dev wan egress'
    "$1" router qdisc-in "the inside queueing discipline deleted" 'tc qdisc del dev lan clsact'
    "$1" router qdisc-out "the outside queueing discipline deleted" 'tc qdisc del dev wan clsact'
    "$1" router ingress-in "the inside queueing discipline replaced" \
        'printf "qdisc del dev lan clsact\nqdisc add dev lan ingress\n" | tc -batch -' 'true' '^up$'
    "$1" router ingress-out "the outside queueing discipline replaced" \
        'printf "qdisc del dev wan clsact\nqdisc add dev wan ingress\n" | tc -batch -' 'tc qdisc del dev wan ingress' 'tc qdisc del dev wan ingress'
    "$1" router before-drop "a filter before ours that drops" "tc filter add dev wan ingress pref 10 protocol ip $r_drop" \
        'tc filter del dev wan ingress pref 10' 'with preference 10 on ingress of wan ends the chain'
    "$1" router before-accept "a filter before ours that accepts" "tc filter add dev lan ingress pref 10 protocol ip $r_accept" \
        'tc filter del dev lan ingress pref 10' 'with preference 10 on ingress of lan ends the chain'
    "$1" router our-preference "a filter with our preference" \
        'printf "filter del dev lan ingress\nfilter add dev lan ingress pref 53 protocol all u32 match u32 0 0\n" | tc -batch -' \
        'tc filter del dev lan ingress pref 53' '"u32" has its preference'
    "$1" router our-handle "another program in our filter's place" \
        "tc filter replace dev wan ingress protocol all pref 53 handle 1 $r_accept"
    "$1" router wan-down-up "the outside interface down and up" "ip link set wan down; sleep 0.3; ip link set wan up; $r_out"
    "$1" router lan-down-up "the inside interface down and up" 'ip link set lan down; sleep 0.3; ip link set lan up'
    "$1" router wan-down "the outside interface down" 'ip link set wan down' "ip link set wan up; $r_out" '"wan" is down'
    "$1" router wan-name "the outside interface renamed" 'ip link set wan down; ip link set wan name other' \
        "ip link set other name wan; ip link set wan up; $r_out" 'there is no interface "wan"'
    "$1" router no-address "the outside address removed" 'ip addr flush dev wan' "ip addr add 198.51.100.2/24 dev wan; $r_out" \
        '"wan" has no IPv4 address'
    "$1" router new-address "the outside address changed" \
        "ip addr flush dev wan; ip addr add 198.51.100.77/24 dev wan; $r_out"
    "$1" router old-address "the outside address changed back" \
        "ip addr flush dev wan; ip addr add 198.51.100.2/24 dev wan; $r_out"
    "$1" router ruleset "the whole ruleset flushed, with masquerade" 'nft flush ruleset'
    "$1" router bare "no masquerade, and the inside filter removed" 'nft flush ruleset; tc filter del dev lan ingress'
    "$1" router masquerade "masquerade put back" 'nft add table ip lab_nat; nft add chain ip lab_nat post "{ type nat hook postrouting priority srcnat; }"; nft add rule ip lab_nat post oifname wan masquerade'
    "$1" router conntrack "connection tracking emptied" 'conntrack -F'
    "$1" router strict "reverse paths filtered strictly" 'sysctl -qw net.ipv4.conf.all.rp_filter=1'
    "$1" router accept-local "accept_local of the loopback device reset" 'sysctl -qw net.ipv4.conf.lo.accept_local=0 net.ipv4.conf.all.rp_filter=0'
    "$1" router forward "forwarding switched off" 'sysctl -qw net.ipv4.ip_forward=0' 'sysctl -qw net.ipv4.ip_forward=1' 'does not forward (sysctl net.ipv4.ip_forward = 1)'
    "$1" router pin "a pinned table removed" "rm $LAB_DIR/bpf/tables/t_server"
    "$1" router pins "all pinned tables removed" "rm -r $LAB_DIR/bpf/tables"
    "$1" router routes "the routing table flushed" 'ip route flush table main' \
        "ip route add 192.168.7.0/24 dev lan src 192.168.7.1; ip route add 198.51.100.0/24 dev wan src 198.51.100.2; $r_out" \
        'no network is routed by interface "lan"'
    "$1" router neighbours "the neighbours forgotten" 'ip neigh flush all'
}
