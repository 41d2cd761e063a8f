#!/bin/sh
# ./dev bench policy: rule look-ups (bench-policy), then what one, two and three nested tunnels leave of the throughput of
# one TCP stream. The same wires and hops for all: client - g1 - g2 - g3 - host; only the addresses decide how many layers
# carry it: from 192.0.2.11 to 10.3.0.11 one, from .12 to .12 two, from .13 to .13 three. Every round measures each once, medians are compared. ROUNDS (5), SECONDS_EACH (2).
set -u
LAB=${LAB:-dtbpol}
cd "$(dirname "$0")/.." || exit 1
. lab/lab.sh
. lab/dovetail.sh
[ -n "${LAYERS_ONLY:-}" ] || "$LAB_BIN/../bench/bench-policy" || exit 1
ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-2}
lab_begin
umask 077
echo 'a secret of more than sixteen bytes' >"$LAB_DIR/secret"
lab_gateways_in_a_row '192.0.2.11/24 192.0.2.12/24 192.0.2.13/24' '10.3.0.11/24 10.3.0.12/24 10.3.0.13/24'

gateway() # NS LISTEN PROTECT CLIENT_ADDRESSES
{
    printf 'gateway "%s" { listen = "%s" identity = "%s.example.net" psk = "file:%s" protect = { %s } remote = { %s } peers = "anna@example.net" }\n' \
        "$1" "$2" "$1" "$LAB_DIR/secret" "$3" "$4" | dt_conf "$1"
    dt_start "$1" || { cat "$LAB_DIR/dt-$1.log" >&2; exit 1; }
}

layer() # NAME GATEWAY TO SOURCE INSIDE
{
    cat <<C
tunnel "$1" {
    gateway = "$2"
    local   = "anna@example.net"
    remote  = "$1.example.net"
    psk     = "file:$LAB_DIR/secret"
    protect = { $3 }
    source  = "$4"
    inside  = { $5 }
    encap   = esp
}
rule "to-$1" { action = tunnel gateway = "$1" to = { $3 } }
C
}

gateway g1 192.0.2.1 '"198.51.101.2", "10.3.0.11"' '"192.0.2.11-192.0.2.13"'
gateway g2 198.51.101.2 '"198.51.102.3", "10.3.0.12"' '"192.0.2.12-192.0.2.13"'
gateway g3 198.51.102.3 '"10.3.0.13"' '"192.0.2.13"'
{
    layer g1 192.0.2.1 '"198.51.101.2", "10.3.0.11"' 192.0.2.11 '"192.0.2.11-192.0.2.13"'
    layer g2 198.51.101.2 '"198.51.102.3", "10.3.0.12"' 192.0.2.12 '"192.0.2.12-192.0.2.13"'
    layer g3 198.51.102.3 '"10.3.0.13"' 192.0.2.13 '"192.0.2.13"'
} | dt_conf client
dt_start client || { cat "$LAB_DIR/dt-client.log" >&2; exit 1; }
lab_run host iperf iperf3 -s
for n in 1 2 3; do
    lab_wait 10 "ip netns exec $LAB-client ping -n -c 1 -W 1 -I 192.0.2.1$n 10.3.0.1$n" || { echo "bench policy: no answer through $n layers" >&2; exit 1; }
done

round=0
while [ "$round" -lt "$ROUNDS" ]; do
    for n in 1 2 3; do
        lab_in client iperf3 -B "192.0.2.1$n" -c "10.3.0.1$n" -t "$SECONDS_EACH" -O 0.5 -J 2>/dev/null |
            jq -r '.end.sum_received.bits_per_second / 1e9' >>"$LAB_DIR/layers.$n"
    done
    round=$((round + 1))
done

median()
{
    sort -n "$LAB_DIR/layers.$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

one=$(median 1)
for n in 1 2 3; do
    jq -cn --arg case "$(echo "one two three" | cut -d' ' -f$n) nested tunnel$([ $n = 1 ] || echo s), TCP" \
        --argjson v "$(median $n)" --argjson one "$one" \
        '{bench: "policy", case: $case, value: $v, unit: "Gb/s", peer: "one tunnel", peer_value: $one, ratio: ($v / $one)}'
done
