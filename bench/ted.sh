#!/bin/sh
# ./dev bench ted: from the first packet of a host to the first reply, through a tunnel whose peer was discovered and
# through one whose peer is configured (start = demand), in turn, medians. Then round trips between the gateways until
# that reply, counted on the wire: how often the direction changed. Last, the time that a pair costs among 1,000 and among
# 4,000 simulated gateways. ROUNDS (7) from the environment.
set -u
LAB=${LAB:-dtbted}
cd "$(dirname "$0")/.." || exit 1
. lab/lab.sh
. lab/dovetail.sh
ROUNDS=${ROUNDS:-7}
lab_begin
echo a-secret-of-the-bench-0123456789 >"$LAB_DIR/psk"
chmod 600 "$LAB_DIR/psk"
lab_ns core
lab_forward core

# site KIND N: gateway and host; d1, d2 discover, t1, t2 are configured
site()
{
    lab_ns "$1$2" "h$1$2"
    lab_wire core "c$1$2" "192.0.$3.254/24" "$1$2" eth0 "192.0.$3.1/24"
    lab_wire "$1$2" in "10.$3.0.1/16" "h$1$2" eth0 "10.$3.0.10/16"
    ip -n "$LAB-$1$2" route add default via "192.0.$3.254"
    ip -n "$LAB-h$1$2" route add default via "10.$3.0.1"
    ip -n "$LAB-core" route add "10.$3.0.0/16" via "192.0.$3.1"
    lab_forward "$1$2"
}
site d 1 1
site d 2 2
site t 1 3
site t 2 4
for i in 1 2; do
    dt_conf d$i <<C
discover "bench" {
    protect  = { "10.$i.0.0/16 10.0.0.0/8" }
    identity = "d$i.example.net"
    psk      = "file:$LAB_DIR/psk"
    encap    = esp
}
C
done
dt_conf t1 <<C
tunnel "bench" {
    gateway = "192.0.4.1"
    local   = "t1.example.net"
    remote  = "t2.example.net"
    psk     = "file:$LAB_DIR/psk"
    protect = { "10.4.0.0/16" }
    inside  = { "10.3.0.0/16" }
    start   = demand
    encap   = esp
}
C
dt_conf t2 <<C
gateway "bench" {
    listen   = { "192.0.4.1" }
    identity = "t2.example.net"
    psk      = "file:$LAB_DIR/psk"
    protect  = { "10.4.0.0/16" }
    remote   = { "10.3.0.0/16" }
    peers    = "t1.example.net"
}
C
dt_start d2 && dt_start t2 || { echo "bench ted: a gateway does not start" >&2; cat "$LAB_DIR"/dt-*.log >&2; exit 1; }

first_ms() # KIND DESTINATION -> milliseconds to the first reply, with a fresh daemon
{
    dt_stop "$1" 2>/dev/null
    dt_start "$1" || return 1
    sleep 0.3
    ip netns exec "$LAB-$1" true
    lab_in "h$1" ping -n -c 1 -W 5 "$2" | sed -n 's/.*time=\([0-9.]*\) ms.*/\1/p'
}

median() # FILE
{
    sort -n "$1" | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

r=0
while [ "$r" -lt "$ROUNDS" ]; do
    first_ms d1 10.2.0.10 >>"$LAB_DIR/d"
    first_ms t1 10.4.0.10 >>"$LAB_DIR/t"
    r=$((r + 1))
done
lab_in hd1 ping -n -c 20 -i 0.05 -q 10.2.0.10 | sed -n 's|.*= [0-9.]*/\([0-9.]*\)/.*|\1|p' >"$LAB_DIR/rtt"
D=$(median "$LAB_DIR/d") T=$(median "$LAB_DIR/t")
[ -n "$D" ] && [ -n "$T" ] || { echo "bench ted: no reply came through a tunnel" >&2; tail -n 5 "$LAB_DIR"/dt-*.log >&2; exit 1; }
jq -nc --argjson d "$D" --argjson t "$T" '{bench: "ted", case: "first-reply", value: $d, unit: "ms", peer: "configured tunnel", peer_value: $t, ratio: ($t / $d * 1000 | round / 1000)}'
jq -nc --argjson r "$(cat "$LAB_DIR/rtt")" --argjson d "$D" --argjson t "$T" '{bench: "ted", case: "discovery-costs", value: (($d - $t) * 1000 | round / 1000), unit: "ms", round_trip_ms: $r}'

# round_trips KIND LINK DESTINATION: direction changes on the gateway's link until the first reply, halved
round_trips()
{
    dt_stop "$1" 2>/dev/null
    dt_start "$1" || return 1
    # Neighbours are known, so that ARP is not counted (the filter leaves it out anyway).
    lab_run core "cap-$1" tshark -q -i "$2" -w "$LAB_DIR/$1.pcap" -f 'ip and not icmp'
    lab_wait 8 "[ -s $LAB_DIR/$1.pcap ]"
    sleep 0.5
    lab_in "h$1" ping -n -c 1 -W 5 "$3" >/dev/null
    sleep 0.3
    lab_stop "cap-$1" INT
    # From here (the gateway or its host: 10.N or 192.0.N.1) or back.
    tshark -r "$LAB_DIR/$1.pcap" -T fields -e eth.src 2>/dev/null | awk 'NR == 1 { first = $1; at = $1 } $1 != at { n++; at = $1 } END { print int((n + 1) / 2) }'
}
if command -v tshark >/dev/null; then
    D=$(round_trips d1 cd1 10.2.0.10) T=$(round_trips t1 ct1 10.4.0.10)
    [ -n "$D" ] && [ -n "$T" ] && jq -nc --argjson d "$D" --argjson t "$T" \
        '{bench: "ted", case: "round-trips", value: $d, unit: "round trips", peer: "configured tunnel", peer_value: $t, ratio: ($t / $d * 1000 | round / 1000)}'
else
    echo "bench ted: round trips are not counted: tshark is not installed" >&2
fi

# us_a_pair GATEWAYS: what a pair of hosts that begins to talk costs a simulated mesh, in microseconds of this machine
us_a_pair()
{
    a=$(date +%s%N)
    "$LAB_BIN/dovetail-sim" discover --gateways "$1" --json >"$LAB_DIR/sim.json" || return 1
    b=$(date +%s%N)
    jq --argjson ns "$((b - a))" '$ns / 1000 / ([.rows[].pairs] | add) * 10 | round / 10' "$LAB_DIR/sim.json"
}
r=0
while [ "$r" -lt 3 ]; do
    us_a_pair 4000 >>"$LAB_DIR/many"
    us_a_pair 1000 >>"$LAB_DIR/few"
    r=$((r + 1))
done
jq -nc --argjson m "$(median "$LAB_DIR/many")" --argjson f "$(median "$LAB_DIR/few")" \
    '{bench: "ted", case: "simulated-pair-of-4000-gateways", value: $m, unit: "us", peer: "of 1000 gateways", peer_value: $f, ratio: ($f / $m * 1000 | round / 1000)}'
