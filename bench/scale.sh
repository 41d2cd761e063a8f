#!/bin/sh
# ./dev bench scale: one host with TUNNELS tunnels (10,000) to one gateway, which so has as many clients. Measured at both are
# the times of start, status, metrics and reload, and the longest time for which the loop answered nobody else meanwhile.
set -u
LAB=${LAB:-dtscale}
cd "$(dirname "$0")/.." || exit 1
. lab/lab.sh
. lab/dovetail.sh
TUNNELS=${TUNNELS:-10000} START=${START:-always}
TOOLS=build/lab
lab_begin
umask 077

now_ms() { date +%s%3N; }

host() # N BASE: the Nth address of a network
{
    echo "$2.$(($1 / 250)).$(($1 % 250 + 1))"
}

client_conf()
{
    awk -v n="$TUNNELS" 'BEGIN {
        for (i = 0; i < n; i++)
            printf "tunnel \"t%d\" { gateway = 203.0.113.1 encap = udp local = c%d@example.net remote = vpn.example.net\n" \
                   " psk = \"a secret that is long enough %d\" inside = 100.64.%d.%d protect = 10.64.%d.%d start = START }\n",
                   i, i, i, i / 250, i % 250 + 1, i / 250, i % 250 + 1
    }'
}

gateway_conf() # CLIENTS
{
    awk -v n="$1" 'BEGIN {
        print "gateway \"g\" { identity = vpn.example.net protect = 10.64.0.0/16 remote = 100.64.0.0/16 }"
        for (i = 0; i < n; i++)
            printf "client \"c%d@example.net\" { psk = \"a secret that is long enough %d\" networks = 100.64.%d.%d }\n",
                   i, i, i / 250, i % 250 + 1
    }'
}

turns_begin() # NS
{
    mkfifo "$LAB_DIR/turn-$1"
    "$TOOLS/lab-turn" "$LAB_DIR/dt-$1/sock" <"$LAB_DIR/turn-$1" >"$LAB_DIR/turns-$1" &
    echo $! >"$LAB_DIR/turn-$1.pid"
    case $1 in client) exec 8>"$LAB_DIR/turn-$1" ;; *) exec 9>"$LAB_DIR/turn-$1" ;; esac
}

longest() # NS: the longest wait since the last call, in ms
{
    lines=$(wc -l <"$LAB_DIR/turns-$1")
    case $1 in client) echo >&8 ;; *) echo >&9 ;; esac
    lab_wait 30 "[ \$(wc -l <$LAB_DIR/turns-$1) -gt $lines ]"
    tail -n 1 "$LAB_DIR/turns-$1" | jq .longest_ms
}

measure() # NS WHAT COMMAND...
{
    ns=$1 what=$2
    shift 2
    longest "$ns" >/dev/null
    from=$(now_ms)
    "$@" >"$LAB_DIR/out" 2>&1 || echo "bench scale: $what at the $ns failed: $(head -c 300 "$LAB_DIR/out")" >&2
    took=$(($(now_ms) - from))
    printf '{"bench":"scale","host":"%s","tunnels":%d,"what":"%s","ms":%d,"longest_turn_ms":%s,"bytes":%d}\n' "$ns" "$TUNNELS" \
        "$what" "$took" "$(longest "$ns")" "$(wc -c <"$LAB_DIR/out")"
}

start() # NS
{
    from=$(now_ms)
    lab_run "$1" "dt-$1" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-$1/conf"
    lab_wait 60 "[ -S $LAB_DIR/dt-$1/sock ] && echo '{\"v\":1,\"id\":1,\"command\":\"explain\"}' | $TOOLS/lab-control $LAB_DIR/dt-$1/sock 60"
    turns_begin "$1"
    longest "$1" >/dev/null
    printf '{"bench":"scale","host":"%s","tunnels":%d,"what":"start","ms":%d}\n' "$1" "$TUNNELS" $(($(now_ms) - from))
}

up() { dt gateway --json status | jq '[.gateways[].verified] | add'; }

page() # NS
{
    lab_in "$1" curl -fsS "http://127.0.0.1:9470/metrics"
}

lab_ns client gateway
lab_wire client eth0 203.0.113.2/24 gateway eth0 203.0.113.1/24
gateway_conf "$TUNNELS" | dt_conf gateway "metrics = 9470 log = warn"
client_conf | sed "s/START/$START/" | dt_conf client "metrics = 9470 log = warn"
start gateway
from=$(now_ms)
start client
[ "$START" = manual ] || lab_wait "${UP_WITHIN:-120}" '[ "$(up)" -ge "$TUNNELS" ]'
printf '{"bench":"scale","host":"both","tunnels":%d,"what":"all up","ms":%d,"up":%s,"longest_turn_ms":{"client":%s,"gateway":%s}}\n' \
    "$TUNNELS" $(($(now_ms) - from)) "$(up)" "$(longest client)" "$(longest gateway)"
for ns in client gateway; do
    measure "$ns" "nothing, 5 s" sleep 5
    measure "$ns" status dt "$ns" --json status
    measure "$ns" "status of one" dt "$ns" --json status "$([ "$ns" = client ] && echo t77 || echo c77@example.net)"
    measure "$ns" metrics page "$ns"
    measure "$ns" "reload, nothing changed" dt "$ns" reload
done
sed -i 's/^tunnel "t77" {/& mtu = 1300/' "$LAB_DIR/dt-client/conf"
measure client "reload, one changed" dt client reload
sed -i '/^client "c77@/d' "$LAB_DIR/dt-gateway/conf"
measure gateway "reload, one client taken out" dt gateway reload
exec 8>&- 9>&-
