#!/bin/sh
# Whatever somebody does to the router under dovetail-natd: it is mended, or `nat status` says what is in the way; not one packet
# leaves in the clear or with an inside source. Two clients have tunnels with raw ESP to one gateway; numbered packets and a
# TCP stream, which has to arrive whole, pass through one of them. The catalogue: lab/sabotage_router.sh.
set -u
LAB=${LAB:-dthr}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sabotage_router.sh"
HEAL=15 # seconds, and what a client takes to find its way after an address has changed

lab_begin
trap 'router_lab_end; lab_end' EXIT
tap_ok "two tunnels with raw ESP are up through natd" router_lab
router_flows

visit() # WHERE NAME TEXT DO [UNDO [WHY]]
{
    if ! lab_in "$1" sh -c "$4" >"$LAB_DIR/do.out" 2>&1; then
        tap_ok "$3: can be done" false
        sed 's/^/#   /' "$LAB_DIR/do.out"
        return
    fi
    if [ -n "${5:-}" ]; then
        tap_ok "$3: status says why" lab_wait "$HEAL" "router_says '$6'"
        tap_ok "$3: undone" lab_in "$1" sh -c "$5"
    fi
    tap_ok "$3: mended" lab_wait "$HEAL" router_healed || router_differs
}
router_sabotages visit

# ---- natd dies, and comes again
lab_stop natd-router KILL
tap_ok "natd killed: packets pass" router_passes
lab_in router timeout 20 "$LAB_BIN/dovetail-natd" --inside lan --outside wan --socket "$LAB_DIR/other.sock" \
    --pin "$LAB_DIR/bpf/tables" --set t_out=1 --set metrics=192.0.2.9:9479 >"$LAB_DIR/fails.log" 2>&1
tap_ok "one that cannot start says why" grep -q '192.0.2.9' "$LAB_DIR/fails.log"
tap_ok "and takes nothing from the one before: packets pass" router_passes
router_natd
tap_ok "started again, natd has its tables" grep -q 'tables of the last natd are taken over' "$LAB_DIR/natd-router.log"
tap_ok "and all is as it should be" lab_wait "$HEAL" router_healed || router_differs

tap_ok "the log says what was changed" grep -q 'somebody changed this router: the filter on ingress of lan was missing' "$LAB_DIR/natd-router.log"
tap_ok "not one packet left in the clear, or with an inside source" [ "$(router_leaked)" = 0 ] ||
    tcpdump -tt -n -r "$LAB_DIR/outside.pcap" 2>/dev/null | head -n 5 | sed 's/^/#   /'
tap_ok "the capture sees what does" sh -c "ip netns exec $LAB-router nft flush ruleset; ip -n $LAB-router addr add 192.168.99.1/32 dev lo; ip netns exec $LAB-router ping -q -c 1 -W 1 -I 192.168.99.1 203.0.113.1; sleep 0.3; [ \$(tcpdump -n -r $LAB_DIR/outside.pcap 2>/dev/null | wc -l) -gt 0 ]"
tap_ok "every byte of the TCP stream has arrived, in order" router_stream_ends
for job in out1 out2 back1; do
    lab_stop "$job"
    tap_note "$job: $(jq -c '{sent, received, duplicates, longest_outage_s}' "$LAB_DIR/$job.log")"
    tap_ok "$job: packets came back to the end" sh -c "jq -e '.received > 100 and .duplicates == 0' $LAB_DIR/$job.log"
done
natd_stop router
tap_ok "after an orderly end the filters are off, and accept_local is as it was" sh -c "! ip netns exec $LAB-router tc filter show dev wan ingress | grep -q . && ! ip netns exec $LAB-router tc filter show dev lan ingress | grep -q . && [ \$(ip netns exec $LAB-router sysctl -n net.ipv4.conf.lo.accept_local) = 0 ]"
tap_end
