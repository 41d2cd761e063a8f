#!/bin/sh
# ./dev demo [--json FILE]: three clients behind one NAT with raw ESP to one gateway, real TCP and a numbered flow through
# each tunnel, epochs rekeyed every few seconds; then the NAT is rebooted and the gateway killed. What heals it is printed
# as it happens (demo.jq), and at the end what it cost (demo_result.jq). About a minute.
set -u
cd "$(dirname "$0")/.." || exit 1
LAB=${LAB:-dtdemo} LAB_ROOT=$PWD
. lab/lab.sh
. lab/dovetail.sh
. lab/office.sh

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

# What we do to them goes into the same timeline.
inflict() # WHAT [true: it hurts]
{
    jq -nc --arg w "$1" --argjson sore "${2:-false}" --argjson t "$(date +%s.%N)" \
        '{time: $t, client: "", event: "inflicted", sore: $sore, text: $w}' >>"$EVENTS"
}

background() # NAME COMMAND...: killed at the end with all that it started
{
    bg_name=$1
    shift
    setsid sh -c "$*" &
    echo "-$!" >"$LAB_DIR/$bg_name.pid"
}

show_timeline()
{
    background timeline "tail -n +1 -f '$EVENTS' | jq -nr --unbuffered --argjson t0 '$T0' -f lab/demo.jq"
}

start_client() # NAME INDEX
{
    office_client "c$2" "local = \"$1@example.net\"" "encap = $ENCAP" 'start = manual' "$PARAMS"
    dt_start "c$2" || { echo "demo: dovetaild did not start:"; cat "$LAB_DIR/dt-c$2.log"; exit 1; }
    background "mon-c$2" "'$LAB_BIN/dovetail' --socket '$LAB_DIR/dt-c$2/sock' --json monitor 2>/dev/null |
        jq -c --unbuffered '. + {client: \"$1\"}' >>'$EVENTS'"
}

start_gateway()
{
    dt_start gateway || { echo "demo: the gateway did not start:"; cat "$LAB_DIR/dt-gateway.log"; exit 1; }
}

office_lab 3
if [ -x "$LAB_BIN/dovetail-natd" ]; then
    ENCAP=esp NAT=dovetail-natd
    printf '%s\n' "$NAT_SET" >"$LAB_DIR/natd.conf"
    natd_start router lan wan --config "$LAB_DIR/natd.conf" || { echo "demo: dovetail-natd did not start:"; cat "$LAB_DIR/natd-router.log"; exit 1; }
else
    ENCAP=auto NAT=nftables
fi
cat <<P

  anna --.
  ben  ---+-- NAT ---- internet ---- gateway ---- server
  cleo --'

  The NAT is $NAT; clients send $([ $ENCAP = esp ] && echo "raw ESP (protocol 50)" || echo "ESP or UDP, as it passes").
  Each has TCP at 60 Mb/s and a numbered packet every 5 ms in its tunnel, and a
  new epoch about every 7 s. Then the NAT is rebooted, and the gateway killed.

P
office_gateway "$PARAMS" | dt_conf gateway
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
    dt "c$i" up office --timeout 15 >"$LAB_DIR/up.out" 2>&1 || { echo "demo: $c's tunnel did not come up:"; cat "$LAB_DIR/up.out"; exit 1; }
    dt "c$i" --json status | jq -c --arg c "$c" --argjson t "$(date +%s.%N)" \
        '.tunnels[0] | {time: $t, client: $c, event: "up", epoch, encap, inside}' >>"$EVENTS"
    : >"$LAB_DIR/flow$i.log"
    lab_run "c$i" "flow$i" "$FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 200 -e
    background "outages$i" "tail -n +1 -f '$LAB_DIR/flow$i.log' | jq -c --unbuffered \
        'select(.outage_s) | {time: (.t + .outage_s), client: \"$c\", event: \"silent\", took_s: .outage_s}' >>'$EVENTS'"
    lab_run "c$i" "tcp$i" iperf3 -c 10.1.0.10 -p "520$i" -t 120 -b 60M -J
done

sleep 17
inflict "the NAT reboots: every translation is forgotten" true
if [ "$NAT" = dovetail-natd ]; then
    natd_stop router
    natd_start router lan wan --config "$LAB_DIR/natd.conf" --flush
fi
lab_in router conntrack -F >/dev/null 2>&1
sleep 16
inflict "the gateway is killed (SIGKILL), and started again two seconds later" true
dt_stop gateway KILL
sleep 2
start_gateway
inflict "the gateway is back, and remembers nobody"
sleep 15

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
sleep 0.3
kill -- "$(lab_pid timeline)" 2>/dev/null
END=$(date +%s.%N)

jq -n --slurpfile events "$EVENTS" --slurpfile clients "$LAB_DIR/clients" --argjson t0 "$T0" --argjson stop "$END" \
    -f lab/demo_result.jq >"$LAB_DIR/result" || exit 1

echo
printf '%-7s %-8s %7s %9s %9s %7s %16s\n' CLIENT VERIFIED EPOCHS CARRIED PACKETS LOST "LONGEST OUTAGE"
i=0
while [ $i -lt 3 ]; do
    jq -r --argjson i $i --slurpfile c "$LAB_DIR/clients" '.clients[$i] | [.name, (if .verified then "yes" else "no" end), .epochs,
        (.bytes / 1e6 | floor | tostring + " MB"), $c[$i].sent_packets, .lost_packets, ((.longest_outage_s * 10 | round) / 10 | tostring + " s")] | @tsv' "$LAB_DIR/result"
    i=$((i + 1))
done | while IFS="$(printf '\t')" read -r a b c d e f g; do printf '%-7s %-8s %7s %9s %9s %7s %16s\n' "$a" "$b" "$c" "$d" "$e" "$f" "$g"; done
echo
jq -r '.events[] | "at \(.t_s) s \(.what)\n  healed after \(.healed_after_s) s, by\n" + (.healed_by | split("; ") | map("    " + .) | join("\n"))' "$LAB_DIR/result"
jq -r --slurpfile c "$LAB_DIR/clients" '
    ([$c[].outages[].length_s] | add // 0) as $silent | ([$c[].lost_packets] | add) as $lost | ([$c[].epochs] | add) as $epochs |
    "\n\($epochs) epochs; \($lost) of \([$c[].sent_packets] | add) numbered packets were lost;\nthe outages (\($silent * 10 | round / 10) s, at 200 packets a second) account for \($silent * 200 | round)"' "$LAB_DIR/result"
if [ "$NAT" = dovetail-natd ]; then
    echo "in the NAT now: $(nat router list | tail -n 1)"
fi
[ -z "$json" ] || cp "$LAB_DIR/result" "$json"
jq -e '[.clients[].verified] | all' "$LAB_DIR/result" >/dev/null
