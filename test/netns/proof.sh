#!/bin/sh
# Every epoch is proved, whatever its selectors carry: tunnels narrowed to a port, in tunnel and transport mode, IPv4 and IPv6,
# configured and discovered, heal like one that carries everything when their gateway is killed and comes back without memory,
# and when the SPI of a new epoch collides with a neighbour's in the NAT. What nothing proves is called unproved.
#
#   c1 everything, c2 UDP 4411, c3 TCP 7000, c4 UDP 4411 in IPv6, c5 everything (whose SPI is taken): behind dovetail-natd
#   t  transport mode, TCP 7000, IPv4 and IPv6: straight on the internet
#   h1 - s1 - internet - s2 - h2: discovered, UDP 4411
set -u
LAB=${LAB:-dtproof}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
BUILD=$(dirname "$LAB_BIN")
FLOW=$BUILD/lab/lab-flow KNOCK=$BUILD/lab/lab-knock SHIM=$BUILD/lab/lab-rand-shim.so
PARAMS='maxidle = 1500ms pingtime = 300ms pingtries = 8 pingtime2 = 400ms pingtries2 = 3 timeout = 3s elimit = 2
    keylife = 10min rekeymargin = 1min'
SECRET='psk = "proof-psk-0123456789abcdef"'
lab_begin

topology()
{
    lab_nat_topology 5
    lab_ns t s1 s2 h1 h2
    lab_wire internet it '198.18.0.254/24 2001:db8::fe/64' t eth0 '198.18.0.1/24 2001:db8::1/64'
    lab_wire internet i1 198.18.1.254/24 s1 eth0 198.18.1.1/24
    lab_wire internet i2 198.18.2.254/24 s2 eth0 198.18.2.1/24
    lab_wire s1 inside 10.21.0.1/24 h1 eth0 10.21.0.10/24
    lab_wire s2 inside 10.22.0.1/24 h2 eth0 10.22.0.10/24
    ip -n "$LAB-internet" addr add 2001:db8:9::fe/64 dev dc nodad
    ip -n "$LAB-gateway" addr add 2001:db8:9::1/64 dev eth0 nodad
    ip -n "$LAB-t" route add default via 198.18.0.254
    ip -n "$LAB-t" -6 route add default via 2001:db8::fe
    ip -n "$LAB-gateway" -6 route add default via 2001:db8:9::fe
    for n in 1 2; do
        ip -n "$LAB-s$n" route add default via 198.18.$n.254
        ip -n "$LAB-h$n" route add default via 10.2$n.0.1
        ip -n "$LAB-internet" route add 10.2$n.0.0/24 via 198.18.$n.1 # a probe of discovery travels under inside addresses
    done
    lab_forward s1 s2
    lab_in server ethtool -K eth0 tx off >/dev/null 2>&1
}

client() # NS PROTECT
{
    dt_conf "$1" <<C
tunnel "t" {
    gateway = "203.0.113.1" local = "$1.test" remote = "gateway.test" $SECRET
    protect = { "$2" } encap = esp
    $PARAMS
}
C
}

site() # NS PROXY
{
    dt_conf "$1" <<C
discover "mesh" { protect = { "$2" } identity = "$1.test" $SECRET $PARAMS }
C
}

configure()
{
    dt_conf gateway <<C
gateway "g" {
    listen = { "203.0.113.1" } identity = "gateway.test" $SECRET
    protect = { "10.1.0.0/16", "fd01::/64" } pool = { "10.9.0.0/24", "fd09::/64" }
    $PARAMS
}
gateway "host" {
    identity = "host.test" $SECRET
    protect = { "203.0.113.1", "2001:db8:9::1" } remote = { "198.18.0.1", "2001:db8::1" } transport = yes
    $PARAMS
}
client "t4.test" { networks = "198.18.0.1" }
client "t6.test" { networks = "2001:db8::1" }
gateway "plain" {
    listen = { "203.0.113.1" } identity = "plain.test" $SECRET
    protect = { "10.1.0.0/16" } pool = { "10.8.0.0/24" } probe = no
    $PARAMS
}
C
    client c1 10.1.0.0/16
    client c2 '10.1.0.0/16[udp/4411]'
    client c3 '10.1.0.0/16[tcp/7000]'
    client c4 'fd01::/64[udp/4411]'
    client c5 10.1.0.0/16
    dt_conf t <<C
tunnel "t4" {
    gateway = "203.0.113.1" local = "t4.test" remote = "host.test" $SECRET
    protect = { "203.0.113.1[tcp/7000]" } transport = yes encap = esp $PARAMS
}
tunnel "t6" {
    gateway = "2001:db8:9::1" local = "t6.test" remote = "host.test" $SECRET
    protect = { "2001:db8:9::1[tcp/7000]" } transport = yes encap = esp $PARAMS
}
C
    site s1 '10.21.0.0/24 10.22.0.0/24 udp any 4411'
    site s2 '10.22.0.0/24 10.21.0.0/24 udp 4411 any'
}

start_client() # NS: with what it draws next in the file shim-NS.4, where there is one
{
    lab_run "$1" "dt-$1" env LD_PRELOAD="$SHIM" ASAN_OPTIONS=verify_asan_link_order=0 DT_SHIM="$LAB_DIR/shim-$1" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-$1/conf"
    lab_wait 10 "dt $1 status"
}

# flows SECONDS NAME...: each name's traffic with its answers, what became of it in NAME.flow
flows()
{
    flow_for=$1
    shift
    for name in "$@"; do
        case $name in
        c1 | c2) set -- "$name" "$FLOW" send 10.1.0.10 4411 -i 20 -t "$flow_for" ;;
        c3) set -- c3 "$KNOCK" 10.1.0.10 7000 -t "$flow_for" ;;
        c4) set -- c4 "$FLOW" send fd01::10 4411 -i 20 -t "$flow_for" ;;
        t4) set -- t "$KNOCK" 203.0.113.1 7000 -t "$flow_for" ;;
        t6) set -- t "$KNOCK" 2001:db8:9::1 7000 -t "$flow_for" ;;
        discovered) set -- h1 "$FLOW" send 10.22.0.10 4411 -i 20 -t "$flow_for" ;;
        esac
        rm -f "$LAB_DIR/flow-$name.log"
        ns=$1
        shift
        lab_run "$ns" "flow-$name" "$@"
    done
}

# The longest time without an answer from the far end is what counts; nothing at all was answered: no figure.
outage() # NAME
{
    jq -r 'select((.received // .answered) > 0) | .longest_outage_s' "$LAB_DIR/flow-$1.log"
}

# healed NAME SECONDS: it was silent for some time, and is no more. The ceilings are far above what it takes (three to four
# seconds), and below the rest of the flow: without a proof the silence lasts for minutes, or until the lifetime ends.
healed()
{
    tail -n 1 "$LAB_DIR/flow-$1.log"
    awk -v o="$(outage "$1")" -v most="$2" 'BEGIN { exit !(o != "" && o > 0.3 && o < most) }'
}

proved() # NS TUNNEL
{
    dt "$1" --json status "$2" | jq -c '.tunnels[0] | {state, verified, probe_kind, n: .counters.verified}'
    dt "$1" --json status "$2" | jq -e '.tunnels[0] | .state == "up" and .verified and .counters.verified > 0'
}

ended() # NAME...
{
    for name in "$@"; do wait "$(lab_pid "flow-$name")"; done
}

topology
configure
natd_start router lan wan --flush
for n in gateway s2 s1 t; do
    dt_start $n || { sed 's/^/# /' "$LAB_DIR/dt-$n.log"; echo "Bail out! $n did not start"; exit 1; }
done
for n in 1 2 3 4 5; do start_client c$n; done
lab_run server echo "$FLOW" echo 4411
lab_run h2 echo2 "$FLOW" echo 4411
for n in 1 2 3 4 5; do dt_wait_up c$n t 20; done
flows 2 discovered
ended discovered
found=$(dt s1 --json discover | jq -r '.tunnels[0].name')

tap_ok 'everything' proved c1 t
tap_ok 'one UDP port' proved c2 t
tap_ok 'one TCP port' proved c3 t
tap_ok 'one UDP port, IPv6' proved c4 t
dt_wait_up t t4 10
dt_wait_up t t6 10
tap_ok 'transport mode, one TCP port' proved t t4
tap_ok 'transport mode, one TCP port, IPv6' proved t t6
tap_ok 'discovered, one UDP port' proved s1 "$found"

# ---- a new epoch's SPI is a neighbour's: the NAT hands it what is for us
spi_of() # NS: of the epoch that carries data, as it lies in memory
{
    dt_field "$1" t '.epochs[] | select(.carries) | .spi_in' | sed 's/^0x\(..\)\(..\)\(..\)\(..\)$/\4\3\2\1/'
}

collide() # NS HEX
{
    for b in $(echo "$2" | sed 's/../0x& /g'); do
        # shellcheck disable=SC2059
        printf "$(printf '\\%03o' "$b")"
    done >"$LAB_DIR/shim-$1.new"
    mv "$LAB_DIR/shim-$1.new" "$LAB_DIR/shim-$1.4"
}

# One after the other: the probes of one wait behind the unanswered one of another (docs/nat.md).
lab_in c5 ping -q -c 2 -i 0.2 -W 1 10.1.0.10 >/dev/null
for n in 1 2 3; do
    flows 14 c$n
    sleep 1
    collide c$n "$(spi_of c5)"
    dt c$n rekey --no-wait t >/dev/null || tap_note "c$n: $(dt c$n rekey --no-wait t 2>&1)"
    ended c$n
    tap_ok "c$n's new epoch had the SPI of another client's" [ ! -e "$LAB_DIR/shim-c$n.4" ]
    tap_ok "SPI collision, c$n: it heals" healed c$n 12
    tap_note "SPI collision, c$n: $(tail -n 1 "$LAB_DIR/flow-c$n.log" | cut -c 1-140)"
done
for n in 1 2 3; do
    dt_stop c$n
    start_client c$n
    dt_wait_up c$n t 20
done

# ---- fragments that are forwarded into a tunnel with a port: no part of them crosses in the clear
lab_in internet nft 'add table inet g; add chain inet g f { type filter hook forward priority 0; }
    add rule inet g f udp dport 500 accept; add rule inet g f ip saddr 10.21.0.0/24 counter; add rule inet g f ip saddr 10.22.0.0/24 counter'
in_the_clear() { lab_in internet nft -j list table inet g | jq '[.. | .counter? // empty | .packets] | add'; }
lab_in h1 "$FLOW" send 10.22.0.10 4411 -i 20 -t 1 -s 5000 >"$LAB_DIR/fragments"
tap_ok 'discovered: datagrams of 5000 bytes through one port, all there and back' jq -e '.sent > 20 and .lost == 0' "$LAB_DIR/fragments"
tap_ok 'discovered: and no fragment of them in the clear' [ "$(in_the_clear)" = 0 ]
lab_in h1 "$FLOW" send 10.22.0.10 4412 -i 20 -t 0.2 -s 5000 -w 0 >"$LAB_DIR/fragments"
tap_ok 'discovered: fragments of another port are not carried, nor sent in the clear' [ "$(in_the_clear)" = 0 ]

# ---- the gateways are killed and come back without memory, in the middle of everybody's traffic
ALL='c1 c2 c3 c4 t4 t6 discovered'
flows 18 $ALL
sleep 2
dt_stop gateway KILL
dt_stop s2 KILL
dt_start gateway
dt_start s2
ended $ALL
for name in $ALL; do
    tap_ok "gateway killed, $name: it heals" healed "$name" 12
    tap_note "gateway killed, $name: $(tail -n 1 "$LAB_DIR/flow-$name.log" | cut -c 1-140)"
done
for ns in c1 c2 c3 c4; do tap_ok "gateway killed, $ns: proved again" proved $ns t; done

# ---- a peer that answers no control packet, and selectors that carry no echo
sed 's/gateway.test/plain.test/; s|10.1.0.0/16|10.1.0.0/16[udp/4411]|' "$LAB_DIR/dt-c1/conf" >"$LAB_DIR/conf.new"
dt_stop c1
mv "$LAB_DIR/conf.new" "$LAB_DIR/dt-c1/conf"
sed -i 's/^daemon {/daemon { metrics = 9470/; s/start = always//; s/encap = esp/encap = esp start = manual/' "$LAB_DIR/dt-c1/conf"
dt_start c1
: >"$LAB_DIR/dt-c1/events"
dt_monitor c1
says_unproved()
{
    dt c1 up t
    dt c1 --json up t >"$LAB_DIR/up.json"
    cat "$LAB_DIR/up.json"
    dt c1 up t | grep 'unproved.*no Dovetail' && jq -e '.tunnels[0].verified == false' "$LAB_DIR/up.json"
}
tap_ok 'nothing proves it: `up` says so' says_unproved
lab_in c1 "$FLOW" send 10.1.0.10 4411 -i 20 -t 1 >"$LAB_DIR/plain.json"
tap_ok 'though it carries data' jq -e '.lost == 0 and .sent > 20' "$LAB_DIR/plain.json"
tap_ok 'nothing proves it: `status --json`' sh -c "$LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock --json status | jq -e '.tunnels[0] |
    .state == \"unproved\" and .verified == false and .probe_kind == \"none\" and (.why | test(\"no Dovetail\")) and
    ([.epochs[].phase] == [\"unproved\"]) and .counters.verified == 0'"
tap_ok 'nothing proves it: `status`' sh -c "$LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock status | tee /dev/stderr | grep -A1 ' unproved ' | grep 'unproved: the peer is no Dovetail'"
tap_ok 'nothing proves it: `monitor`' grep -q '"event":"unproved"' "$LAB_DIR/dt-c1/events"
tap_ok 'and no event says up or verified' sh -c "! grep '\"event\":\"\(up\|verified\)\"' $LAB_DIR/dt-c1/events"
tap_ok 'nothing proves it: metrics' sh -c "ip netns exec $LAB-c1 curl -s http://127.0.0.1:9470/metrics | tee /dev/stderr |
    awk '/^dovetail_tunnel_up\{/ { up = \$2 } /^dovetail_tunnel_unproved\{/ { un = \$2 } END { exit !(up == 0 && un == 1) }'"
tap_end
