#!/bin/sh
# Whatever somebody does to the host of a client or gateway under a tunnel: not one protected packet leaves in the clear, and it
# is mended, or `status` says what is in the way. Numbered packets go both ways, IPv4 and IPv6, beside a TCP stream that has to
# arrive whole. Captures outside of both hosts keep what is neither ESP nor IKE. The catalogue: lab/sabotage.sh.
set -u
LAB=${LAB:-dtsab}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sabotage.sh"
HEAL=15 # seconds; ./dev bench host measures how long it takes

lab_begin
tap_ok "the tunnel is up, and packets pass both ways" sabotage_lab 'encap = udp'
sabotage_flows

visit() # WHERE NAME TEXT DO [UNDO [WHY]]
{
    v_before=$(leaked)
    if ! sabotage_do "$1" "$4" >"$LAB_DIR/do.out" 2>&1; then
        if grep -q 'Unknown device type' "$LAB_DIR/do.out"; then
            tap_skip "$1: $3" "this kernel has no such device"
        else
            tap_ok "$1: $3: can be done" cat "$LAB_DIR/do.out"
            tap_report 1 "$1: $3: can be done"
        fi
        return
    fi
    if [ -n "${5:-}" ]; then
        if [ -n "${6:-}" ]; then
            tap_ok "$1: $3: status says why" lab_wait "$HEAL" "host_says $1 '$6'"
        fi
        sleep 1 # packets would leave now
        tap_ok "$1: $3: undone" sabotage_do "$1" "$5"
    fi
    tap_ok "$1: $3: mended" lab_wait "$HEAL" host_healed || host_differs
    sleep 0.1
    tap_ok "$1: $3: not one packet in the clear" [ "$(leaked)" = "$v_before" ]
}
sabotages visit

# ---- both barriers of one host at once: packets may leave in that moment; it is mended and said
for s_at in c1 gateway; do
    said_of_rule=$(grep -c 'this host: the routing rule for IPv4' "$LAB_DIR/dt-$s_at.log")
    said_of_filter=$(grep -c 'this host: the table inet dovetail' "$LAB_DIR/dt-$s_at.log")
    v_before=$(leaked)
    tap_ok "$s_at: both barriers taken away at once" sabotage_do "$s_at" 'nft flush ruleset; ip rule del pref 17494'
    tap_ok "$s_at: both barriers: mended" lab_wait "$HEAL" host_healed || host_differs
    sleep 0.2
    v_then=$(leaked)
    tap_note "$s_at: both barriers: $((v_then - v_before)) packets in the clear meanwhile"
    sleep 0.5
    tap_ok "$s_at: both barriers: nothing more in the clear after that" [ "$(leaked)" = "$v_then" ]
    tap_ok "$s_at: both barriers: the log says so of the rule" [ "$(grep -c 'this host: the routing rule for IPv4' "$LAB_DIR/dt-$s_at.log")" -gt "$said_of_rule" ]
    tap_ok "$s_at: both barriers: and of the filter" [ "$(grep -c 'this host: the table inet dovetail' "$LAB_DIR/dt-$s_at.log")" -gt "$said_of_filter" ]
done

# ---- somebody takes away again and again what is set again: no loop, nothing in the clear, and mended when that one is tired of it
# How often it is set again, the kernel tells.
lab_run c1 again ip -o -4 monitor rule
sleep 0.3
began=$(date +%s)
v_before=$(leaked)
tap_ok "c1: a rule taken away 400 times in 4 s" sabotage_do c1 'for i in $(seq 400); do ip rule del pref 17494 2>/dev/null; sleep 0.01; done'
# Fifty looks at once, then one each 50 to 100 ms; a look reads again what it has set, and may set it once more.
most=$((120 + 20 * ($(date +%s) - began)))
lab_stop again
again=$(grep -c '^17494:' "$LAB_DIR/again.log")
tap_ok "c1: it is set again often, and not as often ($again times)" [ "$again" -gt 20 -a "$again" -le "$most" ]
tap_ok "c1: a rule taken away 400 times: mended" lab_wait "$HEAL" host_healed || host_differs
tap_ok "c1: a rule taken away 400 times: not one packet in the clear" [ "$(leaked)" = "$v_before" ]

tap_ok "the log says what was changed" grep -q 'somebody changed this host: the routing rule for IPv4 was missing' "$LAB_DIR/dt-c1.log"

tap_ok "the captures see what is in the clear" sh -c "ip netns exec $LAB-gateway ping -c 1 -W 1 -I 203.0.113.1 10.9.200.200; ip netns exec $LAB-c1 ping -c 1 -W 1 -m 1146486785 10.1.0.10; sleep 0.3; [ \$(tcpdump -n -r $LAB_DIR/plain-c1.pcap 2>/dev/null | wc -l) -gt 0 ]"
tap_ok "every byte of the TCP stream has arrived, in order" sabotage_stream_ends
lab_flows_end flow4 flow6 back4 back6
tap_end
