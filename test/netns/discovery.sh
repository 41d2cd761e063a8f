#!/bin/sh
# Tunnel endpoint discovery: five gateways around one core, none of which knows another, each with two subnets
# and a policy of its own. The core lets no inside address pass save in a probe, so that what arrives came through a tunnel.
#
#   g1  10.1.0.0/16 with all            g4  a port: UDP 4411 of its own side
#   g2  two proxies, one a subnet       g5  a source: only 10.1.1.0/24 and 10.2.0.0/16 may come
#   g3  a protocol: UDP
set -u
LAB=${LAB:-dtted}
. "$(dirname "$0")/../../lab/lab.sh"
. "$(dirname "$0")/../../lab/sites.sh"
. "$(dirname "$0")/../../lab/dovetail.sh"
BUILD=$(dirname "$LAB_BIN")
FLOW=$BUILD/lab/lab-flow GUN=$BUILD/lab/lab-tedgun
lab_begin

add_site() # N
{
    site "$1" ina "h$1a"
    lab_ns "h$1b"
    lab_wire "g$1" inb "10.$1.2.1/24" "h$1b" eth0 "10.$1.2.10/24"
    ip -n "$LAB-h$1b" route add default via "10.$1.2.1"
    lab_run "h$1a" "echo$1a" "$FLOW" echo 4411
    lab_run "h$1b" "echo$1b" "$FLOW" echo 4411
    lab_run "h$1a" "other$1a" "$FLOW" echo 9999
}

conf() # N PROXY...
{
    conf_n=$1 conf_list=
    shift
    for p in "$@"; do conf_list="$conf_list${conf_list:+, }\"$p\""; done
    dt_conf "g$conf_n" <<C
discover "mesh" {
    protect  = { $conf_list }
    identity = "g$conf_n.example.net"
    psk      = "file:$LAB_DIR/psk"
    peers    = { "*.example.net 10.0.0.0/8,fd00::/8" }
    remember = 4s
}
C
    dt_start "g$conf_n"
}

# sends FROM TO [COUNT]: a numbered flow from one host to another; true when nothing was lost
sends()
{
    lab_in "h$1" "$FLOW" send "$(addr_of "$2")" "${3:-4411}" -i 20 -t 0.4 >"$LAB_DIR/flow.out" 2>&1
    jq -e '.sent > 2 and .lost == 0' "$LAB_DIR/flow.out" >/dev/null || { cat "$LAB_DIR/flow.out"; false; }
}

addr_of()
{
    case $1 in *v6) echo "fd0${1%v6}::10" ;; *a) echo "10.${1%a}.1.10" ;; *b) echo "10.${1%b}.2.10" ;; *c) echo "10.${1%c}.9.10" ;; esac
}

# refused FROM-GATEWAY FROM TO PATTERN [PORT]: nothing arrives, and the gateway says why with both sides' values
refused()
{
    lab_in "h$2" "$FLOW" send "$(addr_of "$3")" "${5:-4411}" -i 50 -t 0.3 >"$LAB_DIR/flow.out" 2>&1
    jq -e '.received == 0' "$LAB_DIR/flow.out" >/dev/null || { cat "$LAB_DIR/flow.out"; return 1; }
    # The answer of the other gateway may come after the last datagram.
    lab_wait 10 "grep -qE '$4' $LAB_DIR/dt-g$1.log" && grep -E "$4" "$LAB_DIR/dt-g$1.log"
}

counter() # N NAME
{
    dt "g$1" --json discover | jq -r ".counters.$2"
}

rss() # N: kilobytes
{
    awk '/^VmRSS/ { print $2 }' "/proc/$(lab_pid "dt-g$1")/status"
}

lab_ns core
lab_forward core
echo a-secret-of-the-whole-mesh-0123456789 >"$LAB_DIR/psk"
chmod 600 "$LAB_DIR/psk"
for i in 1 2 3 4 5; do add_site $i; done
# A subnet behind g2 that g2 does not protect.
lab_ns h2c
lab_wire g2 inc 10.2.9.1/24 h2c eth0 10.2.9.10/24
ip -n "$LAB-h2c" route add default via 10.2.9.1
lab_in core nft -f - <<N
table inet guard {
    counter clear { }
    counter replies { }
    chain pre { # a reply: version 1.0 and exchange type 241
        type filter hook prerouting priority raw; policy accept;
        iifname "c2" udp sport 500 @th,200,8 0x10 @th,208,8 241 counter name replies
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        udp dport 500 accept
        ip saddr 10.0.0.0/8 counter name clear drop
        ip daddr 10.0.0.0/8 counter name clear drop
        ip6 saddr fd00::/8 counter name clear drop
        ip6 daddr fd00::/8 counter name clear drop
    }
}
N
conf 1 '10.1.0.0/16 10.0.0.0/8' 'fd01::/64 fd00::/8' || tap_note "g1: $(tail -n 3 "$LAB_DIR/dt-g1.log")"
conf 2 '10.2.1.0/24 10.0.0.0/8' '10.2.2.0/24 10.0.0.0/8' 'fd02::/64 fd00::/8 udp'
conf 3 '10.3.0.0/16 10.0.0.0/8 udp'
conf 4 '10.4.0.0/16 10.0.0.0/8 udp 4411 any'
conf 5 '10.5.0.0/16 10.1.1.0/24' '10.5.0.0/16 10.2.0.0/16'
strangers()
{
    for i in 1 2 3 4 5; do
        dt "g$i" status >"$LAB_DIR/started" || { cat "$LAB_DIR/dt-g$i.log"; return 1; }
        for other in 1 2 3 4 5; do
            [ $i = $other ] || ! grep -E "192\.0\.$other\.|g$other\.example" "$LAB_DIR/dt-g$i/conf" || return 1
        done
    done
}
tap_ok 'five gateways start; none names another in its configuration' strangers
for i in 1 2 3 4 5; do dt_monitor g$i; done
for i in 1 2; do
    "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-g$i/sock" --json discover --listen >"$LAB_DIR/listen$i" 2>/dev/null &
    echo $! >"$LAB_DIR/listen-g$i.pid"
done

# ---- asking, before there is any tunnel
ask()
{
    dt g1 --json discover "$@" >"$LAB_DIR/ask.json" 2>"$LAB_DIR/ask.err"
}
asked()
{
    ask 10.2.1.10 --from 10.1.1.10 && cat "$LAB_DIR/ask.json" &&
        jq -e '.peer == "192.0.2.1" and .result.text == "10.1.0.0/16 10.2.1.0/24" and .steps[1].figure == "3B" and .rtt_ms > 0' "$LAB_DIR/ask.json" &&
        dt g1 --json status | jq -e '.tunnels | length == 0'
}
tap_ok 'discover DST prints peer, proxies and intersection, and makes no tunnel' asked
asked_no()
{
    ask 10.3.1.10 --from 10.1.1.10 --protocol tcp --dport 80
    [ $? = 1 ] && cat "$LAB_DIR/ask.err" && grep 'initiator tcp, responder udp\|initiator ip, responder udp\|does not lie' "$LAB_DIR/ask.err" &&
        jq -e '.result == null and .peer == "192.0.3.1"' "$LAB_DIR/ask.json"
}
tap_ok 'discover DST for what the peer does not allow ends with 1 and both sides' asked_no
asked_silent()
{
    ask 10.77.0.1 --from 10.1.1.10
    [ $? = 1 ] && grep 'nobody answered 4 probes' "$LAB_DIR/ask.err"
}
tap_ok 'a host that nobody protects: times out, is said' asked_silent
asked_up()
{
    ask 10.2.2.10 --from 10.1.2.10 --up
    cat "$LAB_DIR/ask.json" "$LAB_DIR/ask.err"
    jq -e '.tunnel != null and .result.text == "10.1.0.0/16 10.2.2.0/24"' "$LAB_DIR/ask.json" && dt g1 --json status | jq -e '[.tunnels[].state] == ["up"]'
}
tap_ok 'discover DST --up goes on to a tunnel' asked_up

# ---- all pairs that both policies allow, from the first packet on
for pair in 1a-2b 1b-2a 2a-1b 2b-1a 1a-3b 2b-3a 3a-1b 3b-2a 1b-4a 2a-4b 3a-4a 1a-5b 2a-5a 2b-5b 5a-1a 5b-2b 1a-2v6 2a-1v6; do
    tap_ok "$pair: found, negotiated and carried without the loss of a packet" sends "${pair%-*}" "${pair#*-}"
done
exact()
{
    dt g1 --json discover | jq -r '.tunnels[].proxy.text' | sort >"$LAB_DIR/texts"
    cat "$LAB_DIR/texts"
    dt g3 --json discover | jq -r '.tunnels[].proxy.text' | sort >>"$LAB_DIR/texts"
    cat "$LAB_DIR/texts"
    grep -x '10.1.0.0/16 10.4.0.0/16 udp any 4411' "$LAB_DIR/texts" && grep -x '10.1.1.0/24 10.5.0.0/16' "$LAB_DIR/texts" &&
        grep -x '10.1.0.0/16 10.3.0.0/16 udp' "$LAB_DIR/texts"
}
tap_ok 'tunnels carry exactly the intersections' exact
one_each()
{
    for i in 1 2 3 4 5; do dt "g$i" --json status | jq -c '{tunnels: [.tunnels[].name], clients: [.gateways[].clients[].identity]}'; done
    # g1's pairs above: with each of g2's two proxies, g3, g4 and g5 (IPv4), and with g2 in IPv6
    lab_wait 5 "[ \$(dt g1 --json status | jq '[.tunnels[], .gateways[].clients[]] | length') -le 12 ]"
}
tap_ok 'each intersection has one tunnel, whoever began' one_each

# ---- pairs with disjoint policies
tap_ok '3a-5a: the source is not admitted, with both sides' refused 3 3a 5a 'refused: .*10\.3\.0\.0/16.*192\.0\.5\.1.*10\.5\.0\.0/16'
tap_ok '1b-5a: nor is the other subnet of a site that may' refused 1 1b 5a 'refused: .*10\.1\.0\.0/16.*192\.0\.5\.1.*10\.5\.0\.0/16'
tap_ok '1a-4a on another port: refused, with both sides' refused 1 1a 4a 'refused: .*192\.0\.4\.1.*udp 4411|refused: .*192\.0\.4\.1.*4411' 9999
tcp_refused()
{
    ! lab_in h1a ping -c 2 -i 0.3 -W 1 10.3.1.10 || return 1
    grep -E 'refused: .*192\.0\.3\.1.*udp' "$LAB_DIR/dt-g1.log"
}
tap_ok '1a-3a with another protocol: refused, with both sides' tcp_refused
said_no()
{
    lab_in h1a ping -c 3 -i 0.3 -W 1 10.3.1.10
    lab_in h1a ping -c 3 -i 0.3 -W 1 10.3.1.10 | grep -i 'prohibited\|filtered\|unreachable'
}
tap_ok 'the sender is told at once (ICMP) while the refusal is remembered' said_no
seen_no()
{
    lab_in h1a ping -c 2 -i 0.3 -W 1 10.3.1.10
    dt g1 --json status | jq -e '.discovery.refusals[] | select(.packet.dst == "10.3.1.10" and .peer == "192.0.3.1") | (.why | test("ours 10.1.0.0/16.*theirs.*10.3.0.0/16")) and .for_s > 0' || return 1
    dt g1 status | tr -s ' \n' ' ' | grep '10\.1\.1\.10 10\.3\.1\.10 .*theirs (192\.0\.3\.1) 10\.0\.0\.0/8 10\.3\.0\.0/16 udp' &&
        dt g1 discover | grep '^10\.1\.1\.10 *10\.3\.1\.10'
}
tap_ok 'status and discover show what is refused, why, and for how long still' seen_no
nothing_clear()
{
    lab_in core nft list counter inet guard clear
    [ "$(lab_in core nft -j list counter inet guard clear | jq '.nftables[1].counter.packets')" = 0 ]
}
tap_ok 'no inside packet ever tried to cross the core in the clear' nothing_clear

watched()
{
    for what in probe found refused silence; do
        jq -e --arg w "$what" 'select(.event == $w) | .rule == "mesh" and .packet.src != null and (.text | length) > 0' "$LAB_DIR/listen1" | grep -q true || { echo "no $what"; return 1; }
        jq -e --arg w "discover_$what" 'select(.event == $w)' "$LAB_DIR/dt-g1/events" | grep -q . || { echo "no $what in monitor"; return 1; }
    done
    jq -e 'select(.event == "replied") | .peer == "192.0.1.1"' "$LAB_DIR/listen2" | grep -q true
}
tap_ok 'discover --listen and monitor tell of probes, answers, refusals and silence' watched
counted()
{
    dt g1 --json discover | tee "$LAB_DIR/counted" | jq -e '.counters | .probes_sent > 0 and .replies_good > 0 and .found > 0 and .refused > 0 and .silent > 0 and .outstanding == 0'
}
tap_ok 'and counters count them' counted

# ---- two ends at once
twins()
{
    lab_in h2a "$FLOW" send 10.4.2.10 4411 -i 10 -t 1 >"$LAB_DIR/t1" &
    t1=$!
    for i in 2 5; do dt_stop "g$i" && dt_start "g$i"; done
    sleep 0.5
    wait $t1
    lab_in h2b "$FLOW" send 10.5.1.10 4411 -i 10 -t 2 >"$LAB_DIR/t2" &
    t2=$!
    lab_in h5a "$FLOW" send 10.2.2.10 4411 -i 10 -t 2 >"$LAB_DIR/t3"
    wait $t2
    cat "$LAB_DIR/t1" "$LAB_DIR/t2" "$LAB_DIR/t3"
    # The first runs into gateways that are started again; of the other two, begun together, most is answered.
    jq -es 'all(.sent > 100 and .lost < 50)' "$LAB_DIR/t2" "$LAB_DIR/t3" || return 1
    lab_wait 8 'n=$(dt g2 --json status | jq "[.tunnels[] | select(.name | contains(\"192.0.5.1\"))] + [.gateways[].clients[] | select(.identity | contains(\"g5.\"))] | length"); [ "$n" = 1 ]'
}
tap_ok 'both ends at once: one tunnel for the traffic stays' twins

# ---- a sixth gateway
add_six()
{
    for i in 1 2 3 4 5; do cksum "$LAB_DIR/dt-g$i/conf" && lab_pid "dt-g$i"; done >"$LAB_DIR/before"
    add_site 6
    conf 6 '10.6.0.0/16 10.0.0.0/8'
    sends 1a 6a && sends 6b 2a && sends 6a 3a || return 1
    for i in 1 2 3 4 5; do cksum "$LAB_DIR/dt-g$i/conf" && lab_pid "dt-g$i"; done | cmp - "$LAB_DIR/before"
}
tap_ok 'a sixth gateway is added: it reaches the others, and nothing changed in them' add_six

holes()
{
    # 10.6.1.0/24 and 10.6.3.0/24, not the subnet between them.
    dt_stop g6
    sleep 5 # until g1 has forgotten
    conf 6 '10.6.1.0/255.255.253.0 10.0.0.0/8'
    lab_wait 10 'sends 1a 6a' || return 1
    lab_in h1a "$FLOW" send 10.6.2.10 4411 -i 50 -t 0.3 >"$LAB_DIR/flow.out"
    jq -e '.received == 0' "$LAB_DIR/flow.out" || return 1
    dt g6 --json status | jq -c '[.tunnels[], .gateways[].clients[]]'
}
tap_ok 'a mask with holes: its subnets are reached, the one between them is not' holes

# ---- probes for others
passes()
{
    lab_run h2c listen "$GUN" listen 10.2.9.10 500 6
    before=$(counter 2 probes_answered)
    sleep 0.3
    lab_in h1a "$FLOW" send 10.2.9.10 4411 -i 100 -t 0.3 >/dev/null 2>&1
    lab_wait 4 "grep -q '^10.1.1.10 ' '$LAB_DIR/listen.log'"
    cat "$LAB_DIR/listen.log"
    # From the source host itself, 116 octets, initiator cookie, no responder cookie, exchange 240.
    grep -qE '^10\.1\.1\.10 [0-9]+ [0-9a-f]{16}0{16}0d10f000' "$LAB_DIR/listen.log" && [ "$(counter 2 probes_answered)" = "$before" ]
}
tap_ok 'a probe for a host that the gateway does not protect passes untouched' passes

# ---- what strangers send
# The median delay of 50 pings through the tunnel, in milliseconds.
delay()
{
    lab_in h1a ping -n -i 0.02 -c 50 -W 1 10.2.1.10 | sed -n 's/.*time=\([0-9.]*\) ms.*/\1/p' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] + 0 }'
}
replies() # packets or bytes, on the wire
{
    lab_in core nft -j list counter inet guard replies | jq ".nftables[1].counter.$1"
}
quiet_start()
{
    lab_in h1a "$FLOW" send 10.2.1.10 4411 -i 5 -t 0.5 >/dev/null
    [ -n "${CALM:-}" ] || CALM=$(delay)
    { sleep 0.3; delay >"$LAB_DIR/delay"; } &
    DELAY=$!
    lab_run h1a steady "$FLOW" send 10.2.1.10 4411 -i 5 -t 60 -g 50
    RSS=$(rss 2) T=$(date +%s.%N) ANSWERED=$(counter 2 probes_answered)
    lab_in core nft reset counter inet guard replies >/dev/null
    TUNNELS=$(dt g2 --json status | jq '[.tunnels[], .gateways[].clients[]] | length')
}
quiet_end()
{
    wait "$DELAY"
    kill -TERM "$(lab_pid steady)"
    wait "$(lab_pid steady)" 2>/dev/null
    rm -f "$LAB_DIR/steady.pid"
    WIRE=$(replies packets) BYTES=$(replies bytes) # before the daemon's own count: some may be on their way still
    DREW=$(($(counter 2 probes_answered) - ANSWERED)) GREW=$(($(rss 2) - RSS))
    SECONDS_=$(awk -v a="$T" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
    tail -n 1 "$LAB_DIR/steady.log" >"$LAB_DIR/steady.json"
    BUSY=$(cat "$LAB_DIR/delay")
    tap_note "$1: median delay $BUSY ms (before: $CALM ms), $WIRE replies of $BYTES bytes on the wire"
    tap_note "$1: drew $DREW replies in $SECONDS_ s, memory $GREW kB, flow $(jq -c '{sent, lost, longest_outage_s}' "$LAB_DIR/steady.json")"
    : >"$LAB_DIR/steady.log"
}
fire() # ARG... of lab-tedgun; calm() looks whether it went out
{
    lab_in core "$GUN" "$@" >>"$LAB_DIR/gun" || echo "lab-tedgun $*: status $?" >>"$LAB_DIR/gun"
}
fired()
{
    grep -q '^[1-9][0-9]* sent in ' "$LAB_DIR/gun" && ! grep -v ' sent in ' "$LAB_DIR/gun"
}
# calm LIMIT-A-SECOND BURST: what all of them must show
calm()
{
    fired || return 1
    awk -v n="$DREW" -v s="$SECONDS_" -v r="$1" -v b="$2" 'BEGIN { exit !(n <= r * s + b) }' || { echo "drew $DREW replies"; return 1; }
    # On the wire as many, none longer than three times the probe (116 octets, with 28 of IP and UDP).
    [ "$WIRE" -le "$DREW" ] && [ "$BYTES" -le $((WIRE * (28 + 3 * 116))) ] || { echo "$WIRE replies, $BYTES bytes"; return 1; }
    awk -v a="$CALM" -v b="$BUSY" 'BEGIN { exit !(b > 0 && b < a + 10) }' || { echo "the tunnel is slower: $CALM ms, then $BUSY ms"; return 1; }
    # A build with the address sanitizer keeps freed memory for a while.
    [ "$GREW" -lt 16384 ] || { echo "memory grew by $GREW kB"; return 1; }
    jq -e '.sent > 0 and .lost <= .sent * 0.02' "$LAB_DIR/steady.json" || return 1
    [ "$(dt g2 --json status | jq '[.tunnels[], .gateways[].clients[]] | length')" = "$TUNNELS" ]
}

quiet_start
: >"$LAB_DIR/gun"
fire probe 10.1.1.10 10.2.1.10 192.0.1.1 -n 200000 -r 100000
quiet_end "flood of one source, $(cat "$LAB_DIR/gun")"
tap_ok 'a flood of probes from one source: replies within its limit, memory and tunnels as before' calm 20 21
quiet_start
: >"$LAB_DIR/gun"
fire probe 10.1.1.10 10.2.1.10 192.0.1.1 -i -n 200000 -r 100000
quiet_end "flood of many sources, $(cat "$LAB_DIR/gun")"
tap_ok 'a flood of probes with many forged identities: replies within the limit of all' calm 500 501
quiet_start
: >"$LAB_DIR/gun"
fire probe 10.1.1.10 10.2.1.10 192.0.1.1 -f 7 -n 20000 -r 20000
fire reply 192.0.3.1 192.0.2.1 -f 9 -n 20000 -r 20000
quiet_end "fuzzed, $(tr '\n' ' ' <"$LAB_DIR/gun")"
tap_ok 'fuzzed probes and replies change nothing' calm 500 501
quiet_start
LATE=$(counter 2 replies_late)
: >"$LAB_DIR/gun"
fire reply 192.0.3.1 192.0.2.1 -n 100000 -r 100000
quiet_end "forged replies, $(cat "$LAB_DIR/gun")"
forged()
{
    [ "$(counter 2 replies_late)" -gt "$LATE" ] && calm 20 21
}
tap_ok 'a flood of replies that answer no probe of ours is counted and dropped' forged
reflected()
{
    # A probe whose reply would go to the gateway itself, or to a broadcast of probes back: it draws nothing.
    a=$(counter 2 probes_answered)
    lab_in core nft reset counter inet guard replies
    lab_in core "$GUN" probe 10.1.1.10 10.2.1.10 192.0.2.1 -n 10 || return 1
    sleep 0.5
    [ "$(counter 2 probes_answered)" = "$a" ] && [ "$(replies packets)" = 0 ]
}
tap_ok 'a probe in our own name is not answered (no reflection)' reflected
replayed()
{
    before=$(dt g2 --json discover | jq '.tunnels | length')
    lab_run h2a listen2 "$GUN" listen 10.2.1.10 500 2
    lab_wait 2 "lab_in h2a ss -lun | grep -q '10.2.1.10:500 '"
    lab_in core "$GUN" probe 10.1.1.10 10.2.1.10 192.0.1.1 -n 5 -r 10 || return 1
    sleep 0.5
    # The probe ended at the gateway: its host has seen nothing.
    [ "$(dt g2 --json discover | jq '.tunnels | length')" = "$before" ] && [ ! -s "$LAB_DIR/listen2.log" ] && [ "$(counter 1 replies_late)" -ge 1 ]
}
tap_ok 'a probe that is replayed leaves nothing at the responder, its reply nothing at the initiator' replayed

# ---- who saw a probe and answers in another's place
spoofed()
{
    sleep 4 # g1 has forgotten the silence of that host
    lab_run h2c listen "$GUN" listen 10.2.9.10 500 5
    sleep 0.3
    s=$(counter 1 replies_spoofed) l=$(counter 1 replies_late) g=$(counter 1 replies_good)
    lab_in h1a ping -n -c 1 -W 6 10.2.9.10 >"$LAB_DIR/ping.out" &
    ping=$!
    : >"$LAB_DIR/listen.log"
    lab_wait 4 "grep -q '^10.1.1.10 ' '$LAB_DIR/listen.log'" || return 1
    cookie=$(sed -n 's/^10\.1\.1\.10 [0-9]* \([0-9a-f]\{16\}\).*/\1/p' "$LAB_DIR/listen.log" | head -n 1)
    echo "cookie $cookie"
    lab_in core "$GUN" reply 192.0.3.1 192.0.1.1 -c "$cookie" -a 192.0.4.1 # in whose name?
    lab_in core "$GUN" reply 192.0.3.1 192.0.1.1 -c "$cookie" -p 501       # not from IKE's port
    lab_in core "$GUN" reply 192.0.3.1 10.1.1.1 -c "$cookie"               # to another address of the gateway
    lab_in core "$GUN" reply 192.0.3.1 192.0.1.1                           # another cookie
    lab_wait 3 "[ \$(counter 1 replies_spoofed) = $((s + 3)) ] && [ \$(counter 1 replies_late) = $((l + 1)) ]" || { counter 1 replies_spoofed; return 1; }
    [ "$(counter 1 replies_good)" = "$g" ] || return 1
    # All is right, but who is named cannot prove to protect that host: nothing goes there.
    lab_in core "$GUN" reply 192.0.3.1 192.0.1.1 -c "$cookie"
    lab_wait 3 "[ \$(counter 1 replies_good) = $((g + 1)) ]" || return 1
    wait $ping && return 1
    dt g1 --json discover | jq -e '[.tunnels[] | select(.up and (.proxy.text | test("10.0.0.0/8$")))] == []' &&
        grep 'g3.example.net was found for 10.0.0.0/8, and now allows 10.3.0.0/16.udp. only' "$LAB_DIR/dt-g1.log"
}
tap_ok 'replies with another name, port, address or cookie are dropped; one that is right in all of it wins no tunnel' spoofed

# ---- settings and their change
change()
{
    conf_six "$@"
    dt g6 reload
}
conf_six() # PROXY SETTING
{
    dt_conf g6 <<C
discover "mesh" {
    protect  = { "$1" }
    identity = "g6.example.net"
    psk      = "file:$LAB_DIR/psk"
    remember = 2s
    $2
}
C
}
six()
{
    dt g6 --json discover | jq -r '.tunnels[].proxy.text' | sort
}
flow6() # TO [PORT]: sent, received and lost, from 6a
{
    lab_in h6a "$FLOW" send "$(addr_of "$1")" 4411 -i 20 -t 0.8 >"$LAB_DIR/flow.out"
    cat "$LAB_DIR/flow.out"
}
drops_first()
{
    change '10.6.0.0/16 10.0.0.0/8' 'hold = no' && [ -z "$(six)" ] || return 1
    flow6 3a
    jq -e '.lost > 0 and .received > 2' "$LAB_DIR/flow.out" && six | grep -x '10.6.0.0/16 10.3.0.0/16 udp' &&
        dt g6 --json discover | jq -e '.rules[0].hold == false and .counters.found > 0'
}
tap_ok 'hold = no, by a reload: what asks first is dropped, the rest goes through the tunnel' drops_first
holds_again()
{
    change '10.6.0.0/16 10.0.0.0/8' 'hold = yes' && [ -z "$(six)" ] && flow6 3a && jq -e '.lost == 0' "$LAB_DIR/flow.out"
}
tap_ok 'and with hold = yes nothing is lost' holds_again
reads_again()
{
    before=$(dt g6 --json status | jq -c '[.tunnels[] | {name, epoch, state}]')
    dt g6 reload && [ "$(dt g6 --json status | jq -c '[.tunnels[] | {name, epoch, state}]')" = "$before" ] && [ -n "$(six)" ]
}
tap_ok 'a reload without a change keeps what was found' reads_again
port_of_any()
{
    change '10.6.0.0/16 10.0.0.0/8 any 4411 any' '' || return 1
    lab_wait 10 'sends 1b 6b' || return 1
    dt g1 --json discover | jq -e '[.tunnels[].proxy.text] | index("10.1.0.0/16 10.6.0.0/16 any any 4411")' &&
        refused 1 1b 6b 'refused: .*10\.6\.0\.0/16 10\.0\.0\.0/8 any 4411|refused: .*192\.0\.6\.1.*4411' 9999
}
tap_ok 'a port of any protocol: its packets go, those of another port are refused' port_of_any
overlapping()
{
    # The narrower one first: what g6 answers as a gateway comes in parts, which together are the whole.
    change '10.6.1.0/24 10.0.0.0/8", "10.6.0.0/16 10.0.0.0/8 udp' '' || return 1
    lab_wait 10 'sends 2a 6b' && dt g2 --json discover | jq -e '[.tunnels[] | select(.up) | .proxy.text] | index("10.2.1.0/24 10.6.0.0/16 udp")'
}
tap_ok 'proxies that overlap: the wider one is found, and negotiated whole' overlapping
off_and_on()
{
    echo | dt_conf g6
    dt g6 reload || return 1
    ! lab_in g6 nft list ruleset | grep dovetail && ! lab_in g6 ip rule | grep 1749 || return 1
    dt g6 discover | grep 'no discover rule' || return 1
    change '10.6.0.0/16 10.0.0.0/8' '' && lab_in g6 nft list ruleset | grep -q dovetail && flow6 3b && jq -e '.lost == 0' "$LAB_DIR/flow.out"
}
tap_ok 'a reload without the section takes rules and table away; one with it brings them back' off_and_on

# ---- the rules lead to the peer through another tunnel
stacked()
{
    lab_ns g8 h8a o8
    lab_wire core c8 192.0.80.254/24 o8 out 192.0.80.1/24
    lab_wire o8 in 192.0.8.254/24 g8 eth0 192.0.8.1/24
    lab_wire g8 ina 10.8.1.1/24 h8a eth0 10.8.1.10/24
    ip -n "$LAB-o8" route add default via 192.0.80.254
    ip -n "$LAB-o8" route add 10.8.0.0/16 via 192.0.8.1
    ip -n "$LAB-g8" route add default via 192.0.8.254
    ip -n "$LAB-h8a" route add default via 10.8.1.1
    ip -n "$LAB-core" route add 192.0.8.0/24 via 192.0.80.1
    ip -n "$LAB-core" route add 10.8.0.0/16 via 192.0.80.1
    lab_forward g8 o8
    lab_in o8 nft -f - <<N
table inet t {
    counter bare { }
    counter outer { }
    chain pre {
        type filter hook prerouting priority raw; policy accept;
        iifname "in" ip daddr 192.0.2.1 ip protocol esp counter name bare
        iifname "in" ip daddr 192.0.8.254 ip protocol esp counter name outer
    }
}
N
    dt_conf o8 <<C
gateway "outer" {
    listen   = "192.0.8.254"
    identity = "o8.example.net"
    psk      = "file:$LAB_DIR/psk"
    protect  = "192.0.2.1"
    remote   = "192.0.8.1"
    peers    = "g8.example.net"
}
C
    g8_conf
    dt_start o8 && dt_start g8
}
g8_conf() # [NO-RULE]
{
    dt_conf g8 <<C
discover "mesh" {
    protect  = "10.8.0.0/16 10.0.0.0/8"
    identity = "g8.example.net"
    psk      = "file:$LAB_DIR/psk"
    encap    = esp
    remember = 2s
}
tunnel "outer" {
    gateway = "192.0.8.254"
    local   = "g8.example.net"
    remote  = "o8.example.net"
    psk     = "file:$LAB_DIR/psk"
    protect = "192.0.2.1"
    inside  = "192.0.8.1"
    encap   = esp
    start   = manual
}
${1:-rule "outer" { action = tunnel gateway = outer to = 192.0.2.1 protocol = esp always = yes \}}
C
}
counted8()
{
    lab_in o8 nft -j list counter inet t "$1" | jq '.nftables[1].counter.packets'
}
layered()
{
    stacked || return 1
    lab_in h8a "$FLOW" send 10.2.1.10 4411 -i 20 -t 0.5 >"$LAB_DIR/flow.out"
    cat "$LAB_DIR/flow.out"
    jq -e '.sent > 2 and .lost == 0' "$LAB_DIR/flow.out" || return 1
    dt g8 --json status | jq -e '[.plans[] | select(.state == "up") | [.layers[].peer]] | any(. == ["192.0.8.254", "192.0.2.1"])' || return 1
    [ "$(counted8 bare)" = 0 ] && [ "$(counted8 outer)" -gt 4 ]
}
tap_ok 'a peer behind another tunnel: the rules stack what is discovered on top of it, and nothing is lost' layered
unlayered()
{
    dt_stop o8 # or it would put what comes back into its tunnel
    g8_conf '# no rule'
    dt g8 reload && lab_in h8a "$FLOW" send 10.2.1.10 4411 -i 20 -t 0.5 >"$LAB_DIR/flow.out"
    cat "$LAB_DIR/flow.out"
    jq -e '.sent > 2 and .lost == 0' "$LAB_DIR/flow.out" && [ "$(counted8 bare)" -gt 2 ]
}
tap_ok 'without the rule, by a reload, it stands by itself' unlayered

# ---- a secret for each pair
secrets() # N LINE...
{
    secrets_n=$1
    shift
    printf '%s\n' "$@" >"$LAB_DIR/secrets$secrets_n"
    chmod 600 "$LAB_DIR/secrets$secrets_n"
    dt_conf "g$secrets_n" <<C
discover "mesh" {
    protect  = { "10.$secrets_n.0.0/16 10.0.0.0/8" }
    identity = "g$secrets_n.example.net"
    secrets  = "file:$LAB_DIR/secrets$secrets_n"
    remember = 5s
}
C
    dt "g$secrets_n" reload
}
by_name()
{
    secrets 1 'g2.example.net secret-of-one-and-two-0123' 'g3.example.net secret-of-one-and-three-012' &&
        secrets 2 'g1.example.net secret-of-one-and-two-0123' 'g3.example.net secret-of-two-and-three-012' &&
        secrets 3 'g1.example.net secret-of-another-0123456' 'g2.example.net secret-of-two-and-three-012' || return 1
    sends 1a 2a && sends 3a 2b || return 1
    dt g1 --json discover 10.2.1.10 --from 10.1.1.10 | jq -e '.peer_name == "g2.example.net"'
}
tap_ok 'with a secret for each pair the peer says who it is, and IKE proves it' by_name
other_secret()
{
    made=$(counter 1 tunnels_made)
    lab_in h1a "$FLOW" send 10.3.1.10 4411 -i 20 -t 1.5 >"$LAB_DIR/flow.out"
    # Tried twice by IKE, and then not again while it is remembered.
    jq -e '.received == 0' "$LAB_DIR/flow.out" || return 1
    lab_wait 3 "dt g1 discover | tr -s ' \\n' ' ' | grep '10.1.1.10 10.3.1.10 any .*given up'" || { dt g1 discover; return 1; }
    [ "$(counter 1 tunnels_made)" = $((made + 1)) ]
}
tap_ok 'where the secrets of a pair differ there is no tunnel, and that is said' other_secret
no_secret()
{
    secrets 1 'g3.example.net secret-of-one-and-three-012' || return 1
    lab_in h1a "$FLOW" send 10.2.1.10 4411 -i 50 -t 0.5 >"$LAB_DIR/flow.out"
    jq -e '.received == 0' "$LAB_DIR/flow.out" && dt g1 discover | tr -s ' \n' ' ' | grep '192.0.2.1 calls itself g2.example.net: there is no secret for it'
}
tap_ok 'one for whom there is no secret is not asked' no_secret

# ---- who may speak for what
liar()
{
    lab_ns g7 h7a
    lab_wire core c7 192.0.7.254/24 g7 eth0 192.0.7.1/24
    lab_wire g7 ina 11.7.1.1/24 h7a eth0 11.7.1.10/24
    ip -n "$LAB-g7" route add default via 192.0.7.254
    ip -n "$LAB-h7a" route add default via 11.7.1.1
    ip -n "$LAB-core" route add 11.7.0.0/16 via 192.0.7.1
    lab_forward g7
    dt_conf g7 <<C
discover "mesh" {
    protect  = { "11.7.0.0/16 10.0.0.0/8" }
    identity = "g7.elsewhere.org"
    psk      = "file:$LAB_DIR/psk"
}
C
    dt_start g7
    dt_conf g1 <<C
discover "mesh" {
    protect  = { "10.1.0.0/16 any" }
    identity = "g1.example.net"
    psk      = "file:$LAB_DIR/psk"
    peers    = { "*.example.net 10.0.0.0/8", "g7.elsewhere.org 11.8.0.0/16" }
    remember = 4s
}
C
    dt g1 reload || return 1
    lab_in h7a ping -c 4 -i 0.5 -W 1 10.1.1.10 && return 1
    grep 'g7.elsewhere.org may speak for 11.8.0.0/16' "$LAB_DIR/dt-g1.log"
}
tap_ok 'a peer that answers for more than it may is refused by name' liar

# ---- the end leaves nothing
gone()
{
    dt_stop g1
    [ "$(lab_in g1 ip rule | grep -c 1749)" = 0 ] && ! lab_in g1 nft list ruleset | grep -q dovetail
}
tap_ok 'a gateway that ends leaves no rule and no table' gone
clear_now() # inside packets that tried to cross the core in the clear since the last time
{
    lab_in core nft -j reset counter inet guard clear | jq '.nftables[1].counter.packets'
}
killed()
{
    clear_now
    dt_stop g2 KILL
    lab_wait 3 '! lab_in g2 nft list ruleset | grep -q dovetail_discovery' || { lab_in g2 nft list ruleset; return 1; }
    lab_wait 3 'lab_in h2c ping -c 1 -W 1 10.2.9.1' || return 1
    lab_in h2a ping -c 3 -i 0.2 -W 1 10.3.1.10
    [ "$(clear_now)" = 0 ] && [ "$(lab_in g2 ip route show table 17496 proto 174)" != "" ] || return 1
    dt_start g2 && lab_wait 10 'sends 2a 3a' && [ "$(clear_now)" = 0 ] &&
        [ "$(lab_in g2 ip rule show pref 17497 | sort | uniq -d | wc -l)" = 0 ]
}
tap_ok 'one that is killed holds no probe back, lets nothing out in the clear, and comes again' killed
opened()
{
    dt_stop g2 KILL
    lab_in g2 "$LAB_BIN/dovetaild" --open || return 1
    lab_in g2 ip rule
    [ "$(lab_in g2 ip rule | grep -c 174)" = 0 ] && [ -z "$(lab_in g2 ip route show table 17496)" ] &&
        ! lab_in g2 nft list ruleset | grep dovetail || return 1
    lab_in h2a ping -c 3 -i 0.2 -W 1 10.3.1.10
    [ "$(clear_now)" = 3 ]
}
tap_ok 'and --open takes away what a killed one has left closed' opened
tap_end
