#!/bin/sh
# ./dev bench outage: how long is a person without traffic? A client behind a masquerading router, with the settings that each
# program comes with; something happens to the path; a packet each 20 ms says how long nobody hears anything. The value is the
# longest silence at a receiver, in seconds, counted from when the path could carry again (from the fault, when another way was
# open all the time). Settings from the environment, all lists of words:
#
#   SPEAKERS  dovetail wireguard keepalive strongswan dpd (lab/speakers.sh); what is not installed is left out, and said
#   FAULTS    see `outage_faults` below
#   WHO       client: it asks and is answered; gateway: a flow from its side alone; both: a flow each way, answered by nobody
#   ROUNDS    of Dovetail (3); OTHER_ROUNDS of the others (1)
#   WATCH     so many seconds are waited for traffic (40); what is silent then is told as `still_silent`
#
# And ceilings for what Dovetail does, in seconds: where one is passed, or where it is silent to the end, the status is 1.
#
#   MEDIAN, WORST                    where the client sends (client, both)
#   GATEWAY_MEDIAN, GATEWAY_WORST    where the gateway alone does
set -u
cd "$(dirname "$0")/.." || exit 1
SPEAKERS=${SPEAKERS:-dovetail wireguard keepalive strongswan dpd}
ROUNDS=${ROUNDS:-3} OTHER_ROUNDS=${OTHER_ROUNDS:-1} WATCH=${WATCH:-40}
WHO=${WHO:-client gateway both}

# nat-forgets      the router forgets every mapping
# client-moves     the client's LAN address changes
# gateway-killed   the gateway's daemon is killed, and started again after 2 s
# router-moves     the router's outside address changes
# esp-filtered     ESP passes no more, either way
# udp-filtered     UDP passes no more for 10 s
# back-lost        for 5 s nothing comes back
# out-lost         for 5 s nothing gets out
# esp-swallowed    the router lets no ESP in any more
outage_faults='nat-forgets client-moves gateway-killed router-moves esp-filtered udp-filtered back-lost out-lost esp-swallowed'
FAULTS=${FAULTS:-$outage_faults}

# ---- one of the speakers

case ${1:-} in '') ;; *)
    LAB=${LAB:-dtoutage}-$1
    . lab/lab.sh
    . lab/dovetail.sh
    . lab/office.sh
    . lab/strongswan.sh
    . lab/speakers.sh
    FLOW=$LAB_BIN/../lab/lab-flow
    ;;
esac

now()
{
    date +%s.%N
}

filter() # NS HOOK RULE
{
    lab_in "$1" nft "add table inet fault; add chain inet fault $2 { type filter hook $2 priority -300; }; add rule inet fault $2 $3"
}

unfilter() # NS
{
    lab_in "$1" nft delete table inet fault 2>/dev/null
}

# Does it, and says when the path could carry again.
fault() # NAME SPEAKER
{
    case $1 in
    esp-* | udp-*) now ;;
    esac
    case $1 in
    nat-forgets) lab_in router conntrack -F ;;
    client-moves) lab_in c1 sh -c 'ip addr del 192.168.7.11/24 dev eth0; ip addr add 192.168.7.61/24 dev eth0; ip route replace default via 192.168.7.1' ;;
    gateway-killed)
        speaker_gateway_dies "$2"
        sleep 2
        now >"$LAB_DIR/came"
        speaker_gateway_comes "$2"
        ;;
    router-moves) lab_in router sh -c 'ip addr del 198.51.100.2/24 dev wan; ip addr add 198.51.100.3/24 dev wan; ip route replace default via 198.51.100.1' ;;
    esp-filtered) filter internet forward 'meta l4proto esp drop' ;;
    esp-swallowed) filter router prerouting 'iifname wan meta l4proto esp drop' ;;
    udp-filtered)
        filter internet forward 'meta l4proto udp drop'
        sleep 10
        unfilter internet
        ;;
    back-lost | out-lost)
        case $1 in back-lost) to=isp ;; *) to=dc ;; esac
        filter internet forward "oifname $to drop"
        sleep 5
        unfilter internet
        ;;
    esac >/dev/null 2>&1
    case $1 in
    gateway-killed) cat "$LAB_DIR/came" ;;
    esp-* | udp-*) ;;
    *) now ;;
    esac
}

# Everything as it was.
mend()
{
    for ns in router internet; do unfilter $ns; done
    lab_in c1 sh -c 'ip addr flush dev eth0 scope global; ip addr add 192.168.7.11/24 dev eth0; ip route replace default via 192.168.7.1'
    lab_in router sh -c 'ip addr flush dev wan scope global; ip addr add 198.51.100.2/24 dev wan; ip route replace default via 198.51.100.1; conntrack -F' >/dev/null 2>&1
}

flows_start() # WHO INSIDE
{
    heard=''
    rm -f "$LAB_DIR"/hear-*.log
    case $1 in
    client)
        lab_run server echo "$FLOW" echo 4411
        sleep 0.2
        lab_run c1 hear-c1 "$FLOW" send 10.1.0.10 4411 -i 20 -t 0 -g 50 -e -b
        heard=hear-c1
        ;;
    *)
        lab_run c1 hear-c1 "$FLOW" hear 4411 -i 20 -g 50 -e -b
        sleep 0.2
        lab_run server tell-c1 "$FLOW" send "$2" 4411 -i 20 -t 0
        heard=hear-c1
        ;;
    esac
    case $1 in both)
        lab_run server hear-server "$FLOW" hear 4412 -i 20 -g 50 -e -b
        sleep 0.2
        lab_run c1 tell-server "$FLOW" send 10.1.0.10 4412 -i 20 -t 0
        heard='hear-c1 hear-server'
        ;;
    esac
}

flows_stop()
{
    for job in $heard tell-c1 tell-server echo; do lab_stop "$job"; done
}

# The last seconds of each receiver were without silence, and lie after that moment.
settled() # SINCE
{
    for job in $heard; do
        jq -es --argjson since "$1" '[.[] | select(.now)][-3:] as $b | ([.[] | select(.outage_s) | .t + .outage_s] | max // 0) as $over |
            ($b | length == 3 and all(.quiet_s < 0.3)) and $b[0].now > ([$since, $over] | max)' "$LAB_DIR/$job.log" >/dev/null || return 1
    done
}

# One round: {"s": silence, "still": true when it has not ended}
measure() # SPEAKER FAULT WHO
{
    speaker_start "$1" || { echo "bench outage: no tunnel of $1 for $2" >&2; speaker_stop "$1"; mend; return 1; }
    sleep 1
    flows_start "$3" "$(speaker_inside "$1")"
    sleep 2
    fair=$(fault "$2" "$1")
    sleep 3
    until=$(($(date +%s) + WATCH))
    until settled "$fair" || [ "$(date +%s)" -ge $until ]; do sleep 0.2; done
    flows_stop
    for job in $heard; do
        jq -cs --argjson fair "$fair" '(.[-1].outages // []) as $all | ($all | map(.t + .length_s - ([.t, $fair] | max)) | map(select(. > 0)) | max // 0) as $s |
            {s: (($s * 1000 | round) / 1000), still: ([.[] | select(.now)][-1].quiet_s > 1)}' "$LAB_DIR/$job.log"
    done | jq -cs 'max_by(.s) + {still: any(.still)}' >>"$LAB_DIR/$2.$3"
    tail -n 1 "$LAB_DIR/$2.$3" | sed "s/^/# $1 $2 $3 /" >&2
    speaker_stop "$1"
    mend
}

one() # SPEAKER
{
    rounds=$OTHER_ROUNDS
    case $1 in dovetail*) rounds=$ROUNDS ;; esac
    missing=$(speaker_missing "$1")
    [ -z "$missing" ] || { echo "bench outage: without $1: $missing is missing" >&2; return 0; }
    office_lab 1
    while [ "$rounds" -gt 0 ]; do
        for fault in $FAULTS; do
            for who in $WHO; do measure "$1" "$fault" "$who"; done
        done
        rounds=$((rounds - 1))
    done
    for fault in $FAULTS; do
        for who in $WHO; do
            [ -s "$LAB_DIR/$fault.$who" ] || { echo "bench outage: $1 $fault $who was not measured" >&2; bad=1; continue; }
            jq -cs --arg speaker "$1" --arg fault "$fault" --arg who "$who" '(map(.s) | sort) as $v | {bench: "outage", $speaker, $fault, $who,
                rounds: length, median_s: $v[length / 2 | floor], worst_s: $v[-1], still_silent: map(select(.still)) | length, unit: "s"}' "$LAB_DIR/$fault.$who"
        done
    done
}

if [ $# -gt 0 ]; then
    lab_begin
    bad=0
    one "$1"
    exit $bad
fi

# ---- all of them, each in a network of its own

out=$(mktemp -d /tmp/dtoutage.XXXXXX)
trap 'rm -rf "$out"' EXIT
for speaker in $SPEAKERS; do
    bench/outage.sh "$speaker" >"$out/$speaker" 2>"$out/$speaker.err" &
done
wait
status=0
for speaker in $SPEAKERS; do
    grep -v '^#' "$out/$speaker.err" >&2
    cat "$out/$speaker"
done
passed=$(for speaker in $SPEAKERS; do
    case $speaker in dovetail*) cat "$out/$speaker" ;; esac
done | jq -c --arg m "${MEDIAN:-}" --arg w "${WORST:-}" --arg gm "${GATEWAY_MEDIAN:-}" --arg gw "${GATEWAY_WORST:-}" '
    def over($is; $most): $most != "" and $is > ($most | tonumber);
    select(.still_silent > 0 or if .who == "gateway" then over(.median_s; $gm) or over(.worst_s; $gw)
                                else over(.median_s; $m) or over(.worst_s; $w) end)')
[ -z "$passed" ] || {
    printf 'bench outage: longer than it may be:\n%s\n' "$passed" >&2
    status=1
}
exit $status
