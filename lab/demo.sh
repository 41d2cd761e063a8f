#!/bin/sh
# ./dev demo [--json FILE]: three clients behind one NAT with raw ESP to one gateway, real TCP and a numbered flow through
# each tunnel, epochs rekeyed every few seconds; then the NAT is rebooted and the gateway killed. What heals it is printed
# as it happens, and at the end a table of what it cost. About a minute.
set -u
cd "$(dirname "$0")/.." || exit 1
LAB=${LAB:-dtdemo} LAB_ROOT=$PWD
. lab/lab.sh
. lab/dovetail.sh

json=
while [ $# -gt 0 ]; do
    case $1 in
    --json) [ $# -gt 1 ] || { echo "demo: --json needs a FILE" >&2; exit 2; }; json=$2; shift 2 ;;
    --json=*) json=${1#--json=}; shift ;;
    *) echo "usage: ./dev demo [--json FILE]" >&2; exit 2 ;;
    esac
done
if [ -n "$json" ]; then
    : >"$json" 2>/dev/null || { echo "demo: cannot write $json" >&2; exit 1; }
fi

CLIENTS="anna ben cleo"
FLOW=$LAB_BIN/../lab/lab-flow
PARAMS='keylife = 14s  rekeymargin = 5s  rekeyfuzz = 60
    maxidle = 2s  pingtime = 300ms  pingtries = 8  pingtime2 = 500ms  pingtries2 = 3  timeout = 3s  elimit = 2'
NAT_SET='t_out = 1s n_out = 10 t_ei = 30s'

lab_begin
EVENTS=$LAB_DIR/events
: >"$EVENTS"
T0=$(date +%s.%N)

since()
{
    awk -v a="$T0" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'
}

# What we do to them goes into the same timeline.
inflict() # WHAT
{
    jq -nc --arg w "$1" --argjson t "$(date +%s.%N)" '{time: $t, client: "", event: "inflicted", text: $w}' >>"$EVENTS"
}

show_timeline()
{
    tail -n +1 -f "$EVENTS" | jq -r --unbuffered --argjson t0 "$T0" '
        def pad(n): (. // "")[0:n] | . + (" " * (n - length));
        select(.event | IN("inflicted", "verified", "up", "down", "idle", "idle_dead", "unanswered", "session_lost",
            "session_dropped", "encap_chosen", "unverified_use", "timeout", "refused")) |
        (((.time - $t0) * 10 | floor) / 10 | tostring | if test("\\.") then . else . + ".0" end) as $t |
        (" " * (6 - ($t | length))) + $t + " s  " +
        if .event == "inflicted" then "*** " + .text else (.client | pad(6)) + " " + .text end' &
    echo $! >"$LAB_DIR/timeline.pid"
}

start_client() # NAME INDEX
{
    # the third daemon section setting is the client's own; see docs/configuration.md
    dt_conf "c$2" <<C
tunnel "office" {
    gateway = "203.0.113.1"
    local   = "$1@example.net"
    remote  = "vpn.example.net"
    psk     = "demo-psk-0123456789abcdef"
    protect = { "10.1.0.0/16", "fd01::/64" }
    encap   = $ENCAP
    $PARAMS
}
C
    dt_start "c$2" || { echo "demo: dovetaild did not start:"; cat "$LAB_DIR/dt-c$2.log"; exit 1; }
    "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-c$2/sock" --json monitor 2>/dev/null |
        jq -c --unbuffered --arg c "$1" '. + {client: $c}' >>"$EVENTS" &
    echo $! >"$LAB_DIR/mon-c$2.pid"
}

start_gateway()
{
    dt_start gateway || { echo "demo: the gateway did not start:"; cat "$LAB_DIR/dt-gateway.log"; exit 1; }
}

echo "three clients - NAT router - internet - gateway - server, in network namespaces"
lab_nat_topology 3
lab_nft_masquerade router wan
if [ -x "$LAB_BIN/dovetail-natd" ]; then
    ENCAP=esp NAT=dovetail-natd
    printf '%s\n' "$NAT_SET" >"$LAB_DIR/natd.conf"
    natd_start router lan wan --config "$LAB_DIR/natd.conf" || { echo "demo: dovetail-natd did not start:"; cat "$LAB_DIR/natd-router.log"; exit 1; }
    echo "the router runs dovetail-natd; every client sends raw ESP (protocol 50) to the one gateway"
else
    ENCAP=auto NAT=nftables
    echo "the router runs nftables masquerade; clients use encap = auto"
fi
dt_conf gateway <<C
gateway "head-office" {
    listen   = { "203.0.113.1" }
    identity = "vpn.example.net"
    psk      = "demo-psk-0123456789abcdef"
    protect  = { "10.1.0.0/16", "fd01::/64" }
    pool     = { "10.9.0.0/16", "fd09::/64" }
    $PARAMS
}
C
start_gateway
lab_run server echo "$FLOW" echo 4411
for i in 1 2 3; do lab_run server "iperf$i" iperf3 -s -p "520$i"; done
show_timeline
i=0
for c in $CLIENTS; do
    i=$((i + 1))
    start_client "$c" $i
done
i=0
for c in $CLIENTS; do
    i=$((i + 1))
    dt_wait_up "c$i" office 15 || { echo "demo: $c's tunnel did not come up:"; dt "c$i" status; exit 1; }
    lab_run "c$i" "flow$i" "$FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 60
    lab_run "c$i" "tcp$i" iperf3 -c 10.1.0.10 -p "520$i" -t 120 -b 60M -J
done

sleep 17
inflict "the NAT reboots: every translation is forgotten"
if [ "$NAT" = dovetail-natd ]; then
    natd_stop router
    natd_start router lan wan --config "$LAB_DIR/natd.conf" --flush
fi
lab_in router conntrack -F >/dev/null 2>&1
sleep 16
inflict "the gateway is killed (SIGKILL) and started again two seconds later"
dt_stop gateway KILL
sleep 2
start_gateway
sleep 17

# ---- what it came to
i=0
: >"$LAB_DIR/clients"
for c in $CLIENTS; do
    i=$((i + 1))
    kill -TERM "$(lab_pid "flow$i")" 2>/dev/null
    wait "$(lab_pid "flow$i")" 2>/dev/null
    rm -f "$LAB_DIR/flow$i.pid"
    dt "c$i" --json status >"$LAB_DIR/status$i" 2>/dev/null || echo '{}' >"$LAB_DIR/status$i"
    jq -c --arg name "$c" --slurpfile flow "$LAB_DIR/flow$i.log" '
        (.tunnels[0] // {}) as $t | ($flow[-1] // {}) as $f |
        {name: $name, verified: ($t.state == "up"), epochs: ($t.epoch // 0), bytes: (($t.rx_bytes // 0) + ($t.tx_bytes // 0)),
         sent_packets: $f.sent, lost_packets: $f.lost, longest_outage_s: $f.longest_outage_s, outages: ($f.outages // [])}' \
        "$LAB_DIR/status$i" >>"$LAB_DIR/clients"
done
kill "$(lab_pid timeline)" 2>/dev/null
END=$(date +%s.%N)

# An affliction is healed when the last outage that began after it is over; what healed it is the newest event of that
# client before its packets came again.
jq -n --slurpfile events "$EVENTS" --slurpfile clients "$LAB_DIR/clients" --argjson t0 "$T0" --argjson stop "$END" '
    def r(n): (. * n | round) / n;
    ($events | map(select(.event == "inflicted"))) as $inflicted |
    {
        duration_s: ($stop - $t0 | r(10)),
        clients: ($clients | map(del(.outages, .sent_packets))),
        events: [ range($inflicted | length) as $k | $inflicted[$k] as $e |
            (if $k + 1 < ($inflicted | length) then $inflicted[$k + 1].time else $stop end) as $until |
            [ $clients[] | . as $c | .outages[] | select(.t > $e.time - 0.3 and .t < $until) |
              {client: $c.name, over: (.t + .length_s)} ] as $out |
            ($out | max_by(.over)) as $last |
            ($last | if . == null then null else . as $l | [$events[] | select(.client == $l.client and .time >= $e.time and
                .time <= $l.over + 0.05 and (.event | IN("verified", "idle_over", "session_up", "up", "switched")))] | last end) as $by |
            { t_s: ($e.time - $t0 | r(10)), what: $e.text,
              healed_by: (if $last == null then "nothing to heal: no outage above 60 ms"
                  elif $by == null then "\($last.client): the packets themselves made new items in the NAT"
                  else "\($last.client): \($by.text)" end),
              healed_after_s: (if $last == null then 0 else ($last.over - $e.time | r(100)) end) } ]
    }' >"$LAB_DIR/result" || exit 1

echo
printf '%-8s %-9s %7s %12s %14s %16s\n' CLIENT VERIFIED EPOCHS CARRIED "LOST PACKETS" "LONGEST OUTAGE"
jq -r '.clients[] | [.name, (if .verified then "yes" else "no" end), .epochs, (.bytes / 1e6 | floor | tostring + " MB"), .lost_packets, ((.longest_outage_s * 100 | round) / 100 | tostring + " s")] | @tsv' "$LAB_DIR/result" |
    while IFS="$(printf '\t')" read -r a b c d e f; do printf '%-8s %-9s %7s %12s %14s %16s\n' "$a" "$b" "$c" "$d" "$e" "$f"; done
echo
jq -r '.events[] | "at \(.t_s) s: \(.what)\n  healed after \(.healed_after_s) s by \(.healed_by)"' "$LAB_DIR/result"
if [ "$NAT" = dovetail-natd ]; then
    echo
    echo "the NAT's items now:"
    nat router list
fi
[ -z "$json" ] || cp "$LAB_DIR/result" "$json"
jq -e '[.clients[].verified] | all' "$LAB_DIR/result" >/dev/null
