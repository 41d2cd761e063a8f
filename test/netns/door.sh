#!/bin/sh
# A gateway under attack (lab/flood.sh; `./dev bench flood` measures it at full rates): what it sends to strangers is read from
# a capture, what a tunnel that is up notices from numbered packets, and two new clients come up meanwhile.
set -u
LAB=${LAB:-dtdoor}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/flood.sh"
SECONDS_EACH=12
lab_begin
flood_topology
tap_ok 'the gateway starts' flood_gateway_dovetail
flood_client c1
tap_ok 'a tunnel comes up' dt_wait_up c1 t 20
BEFORE=$(flood_rss)
lab_run core capture tcpdump -q -n -i gw -s 96 -B 16384 -w "$LAB_DIR/gw.pcap" 'udp port 500 and net 198.18.0.0/15'
lab_wait 5 "[ -s $LAB_DIR/gw.pcap ]"
flood_flow_on
flood_watch
flood_begin "$SECONDS_EACH" 2000 2048 10000
sleep 3

EPOCH=$(dt_field c1 t '.epoch // 0')
tap_ok 'the tunnel is rekeyed in the middle of it, and the new epoch is verified' sh -c \
    "'$LAB_BIN/dovetail' --socket '$LAB_DIR/dt-c1/sock' rekey t"
newer()
{
    [ "$(dt_field c1 t '.epoch // 0')" -gt "$EPOCH" ] && dt_is_up c1 t
}
tap_ok 'it carries on on that epoch' lab_wait 20 newer
GUEST=$(flood_up_after g1)
tap_ok "a client from elsewhere comes up meanwhile (after $GUEST s)" [ "${GUEST%.*}" -lt 20 ]
NEIGHBOUR=$(flood_up_after n1)
tap_ok "a client behind the attacker's address comes up meanwhile (after $NEIGHBOUR s)" [ "${NEIGHBOUR%.*}" -lt 30 ]
flood_end
GROWN=$(($(flood_rss) - BEFORE))
flood_unwatch
REPORT=$(flood_flow_off)
sleep 0.5
lab_stop capture INT
tap_note "$REPORT"
tap_note "$(cat "$LAB_DIR"/gun-*.log)"
tap_ok 'the tunnel that was up lost no packet' sh -c "echo '$REPORT' | jq -e '.sent > 300 and .lost_out + .lost_back == 0'"
tap_ok 'it was verified all the time' sh -c "grep -q '^up$' '$LAB_DIR/states' && ! grep -qv '^up$' '$LAB_DIR/states'"
tap_ok "the gateway's memory hardly grew ($GROWN kB)" [ "$GROWN" -lt 30000 ]

# The kernel's view of the thread for key exchanges: it has worked, and has no rights.
exchange_thread()
{
    for task in "/proc/$FLOOD_PID/task"/*; do
        [ "$(cat "$task/comm")" = key-exchange ] || continue
        grep -q '^CapEff:.0000000000000000$' "$task/status" || return 1
        [ "$(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "$task/stat")" -gt 0 ] && return 0
    done
    return 1
}
tap_ok 'key exchanges ran on a thread of their own, which has no rights' exchange_thread

# The wire before the gateway: what left for addresses that are nobody's.
count() # FILTER
{
    tcpdump -q -n -r "$LAB_DIR/gw.pcap" "$1" 2>/dev/null | wc -l
}
octets() # FILTER
{
    tshark -r "$LAB_DIR/gw.pcap" -T fields -e frame.len "$1" 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'
}
KNOCKS=$(count 'src net 198.18.0.0/15')
# A responder's SPI is in an answer that took a key exchange; a COOKIE has none.
COMPUTED=$(count 'dst net 198.18.0.0/15 and (udp[16:4] != 0 or udp[20:4] != 0)')
COOKIES=$(count 'dst net 198.18.0.0/15 and udp[16:4] = 0 and udp[20:4] = 0')
IN=$(octets 'ip.src == 198.18.0.0/15') OUT=$(octets 'ip.dst == 198.18.0.0/15')
tap_note "$KNOCKS requests of strangers: $COMPUTED answers that took a key exchange, $COOKIES cookies; $IN octets in, $OUT out"
tap_ok 'strangers knocked, and were asked for cookies' [ "$KNOCKS" -gt 5000 -a "$COOKIES" -gt $((KNOCKS / 2)) ]
tap_ok 'key exchanges for them stayed within the budget' [ "$COMPUTED" -le 100 ]
tap_ok 'nobody got more octets than he sent' [ "$OUT" -le "$IN" ]
tap_end
