#!/bin/sh
# Dovetail's own endpoints with raw ESP behind one address: three, then CLIENTS (100) clients of one gateway; nftables
# masquerade alone beside it; then a NAT that forgets everything under load, and how the endpoints heal it; then a host that forges
# sources.
set -u
LAB=${LAB:-dtnt}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
FLOW=$LAB_BIN/../lab/lab-flow
CLIENTS=${CLIENTS:-100}
PARAMS='maxidle = 2s  pingtime = 300ms  pingtries = 30  pingtime2 = 500ms  pingtries2 = 3  timeout = 3s  elimit = 2'
NAT='--set t_out=1 --set n_out=10 --set t_ei=30'
# An outage is noticed after maxidle + pingtries2 * pingtime2 = 3.5 s; the rest is what a busy machine takes.
BOUND=12

if [ ! -x "$LAB_BIN/dovetaild" ]; then
    echo "1..1"
    echo "ok 1 - Dovetail endpoints behind dovetail-natd # SKIP build/bin/dovetaild"
    exit 0
fi

client_conf() # N
{
    office_tunnel "local = \"c$1@example.net\"" 'protect = { "10.1.0.0/16" }' 'encap = esp' "$PARAMS" | dt_conf "c$1" 'workers = 1'
}

up_clients() # N -> how many of c1..cN are verified
{
    n=0 i=1
    while [ "$i" -le "$1" ]; do
        dt_is_up "c$i" office 2>/dev/null && n=$((n + 1))
        i=$((i + 1))
    done
    echo "$n"
}

start_clients() # N
{
    i=1
    while [ "$i" -le "$1" ]; do
        client_conf "$i"
        lab_run "c$i" "dt-c$i" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c$i/conf"
        i=$((i + 1))
    done
}

stop_clients()
{
    i=1
    while [ "$i" -le "$1" ]; do
        kill "$(lab_pid "dt-c$i")" 2>/dev/null
        i=$((i + 1))
    done
    i=1
    while [ "$i" -le "$1" ]; do
        wait "$(lab_pid "dt-c$i")" 2>/dev/null
        rm -f "$LAB_DIR/dt-c$i.pid"
        i=$((i + 1))
    done
}

all_up() # N SECONDS
{
    left=$2
    while [ "$(up_clients "$1")" -lt "$1" ]; do
        [ "$left" -gt 0 ] || break
        sleep 1
        left=$((left - 1))
    done
    now=$(up_clients "$1")
    echo "$now of $1 up"
    [ "$now" = "$1" ]
}

start_gateway()
{
    office_gateway 'protect = { "10.1.0.0/16" }' 'pool = { "10.9.0.0/16" }' "$PARAMS" | dt_conf gateway
    dt_start gateway
}

lab_begin
office_key
lab_nat_topology "$CLIENTS"
# neighbour tables for many clients in one segment
for ns in router internet gateway; do
    lab_in $ns sysctl -qw net.ipv4.neigh.default.gc_thresh1=4096 net.ipv4.neigh.default.gc_thresh2=8192 \
        net.ipv4.neigh.default.gc_thresh3=16384 2>/dev/null
done
tap_ok "the gateway starts" start_gateway || { tap_end; exit 1; }

# ---- side by side, three clients
lab_nft_masquerade router wan
start_clients 3
sleep 12
n=$(up_clients 3)
tap_ok "nftables masquerade alone, raw ESP, three clients: $n of 3 tunnels up" [ "$n" -lt 3 ]
stop_clients 3
lab_in router conntrack -F >/dev/null 2>&1
dt_stop gateway
start_gateway
# shellcheck disable=SC2086
natd_start router lan wan $NAT
start_clients 3
tap_ok "dovetail-natd, raw ESP, three clients: all tunnels up" all_up 3 12
lab_run server echo "$FLOW" echo 4411
answers()
{
    i=1
    while [ "$i" -le "$1" ]; do
        lab_in "c$i" ping -q -c 2 -i 0.2 -W 2 10.1.0.10 >/dev/null || { echo "c$i has no answer"; return 1; }
        i=$((i + 1))
    done
}
tap_ok "... and carrying data" answers 3

# ---- a NAT that forgets, under load
for i in 1 2 3; do
    dt_monitor "c$i"
    lab_run "c$i" "flow$i" "$FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 60
done
sleep 2
lab_stop natd-router KILL
# shellcheck disable=SC2086
natd_start router lan wan $NAT --flush
sleep 5
# Once more while somebody watches.
"$LAB_BIN/dovetail" --socket "$LAB_DIR/natd-router.sock" --json nat watch >"$LAB_DIR/watch" 2>/dev/null &
echo $! >"$LAB_DIR/watch.pid"
sleep 0.5
T=$(date +%s.%N)
nat router flush >/dev/null
sleep 5
for i in 1 2 3; do
    kill -TERM "$(lab_pid "flow$i")" 2>/dev/null
    wait "$(lab_pid "flow$i")" 2>/dev/null
    rm -f "$LAB_DIR/flow$i.pid"
done
healed()
{
    for i in 1 2 3; do
        jq -c '{sent, lost, longest_outage_s}' "$LAB_DIR/flow$i.log" | tail -n 1
        jq -s -e --argjson b "$BOUND" '.[-1] | .longest_outage_s < $b' "$LAB_DIR/flow$i.log" >/dev/null || return 1
    done
    all_up 3 3 && answers 3
}
tap_ok "--flush under load: the endpoints heal it within their bound ($BOUND s)" healed
kill "$(lab_pid watch)" 2>/dev/null
tap_note "the timeline (seconds after the second flush):"
{
    jq -rc --argjson t "$T" 'select(.time >= $t) | [(.time - $t), "nat", .event + " " + .kind + " " + (.client // "") + " " + (.rule // "")] | @tsv' "$LAB_DIR/watch" 2>/dev/null
    for i in 1 2 3; do
        jq -rc --argjson t "$T" --arg c "c$i" 'select(.time >= $t) | [(.time - $t), $c, .text] | @tsv' "$LAB_DIR/dt-c$i/events" 2>/dev/null
    done
} | sort -n | awk -F'\t' '{ printf "#   %8.3f  %-4s %s\n", $1, $2, $3 }' | head -n 40
for i in 1 2 3; do
    echo "# c$i: $(jq -rc '"lost \(.lost) of \(.sent), longest outage \(.longest_outage_s) s"' "$LAB_DIR/flow$i.log" | tail -n 1)"
done

# ---- forged inside sources, again and again, more than the table of clients holds; to the gateway and to others
lab_ns evil
lab_plug router lan pe evil eth0 192.168.7.254/24
ip -n "$LAB-evil" route add default via 192.168.7.1
ip -n "$LAB-router" route add 10.77.0.0/16 dev lan
natd_stop router
# shellcheck disable=SC2086
natd_start router lan wan $NAT --set max_clients=2048
tap_ok "a natd with a smaller table: three tunnels are up again" all_up 3 30
for i in 1 2 3; do
    rm -f "$LAB_DIR/flow$i.log"
    lab_run "c$i" "flow$i" "$FLOW" send 10.1.0.10 4411 -i 10 -t 0 -g 60
done
other() # NAME
{
    nat router --json counters | jq -r ".other[\"$1\"]"
}
lab_run evil forger "$LAB_BIN/../lab/lab-natpeer" flood mix 203.0.113.1 count 300000 rate 3000 from 10.77.0.1 sources 6000 servers 100
sleep 3
newcomer()
{
    client_conf 4
    dt_start c4 && dt_wait_up c4 office 30 && lab_in c4 ping -q -c 3 -i 0.2 -W 2 10.1.0.10
}
tap_ok "while a host sends with forged sources: a client that comes gets its tunnel, and data through it" newcomer
tap_ok "... one that is there gets a new epoch" dt c1 rekey office
forged()
{
    echo "$(other yielded) entries gave way, $(nat router --json counters | jq -r .rules.full) packets found a table full"
    kill -0 "$(lab_pid forger)" && [ "$(other yielded)" -gt 500 ]
}
tap_ok "... and the forger is at it still" forged
none_lost()
{
    for i in 1 2 3; do
        kill -TERM "$(lab_pid "flow$i")"
        wait "$(lab_pid "flow$i")"
        rm -f "$LAB_DIR/flow$i.pid"
        jq -c '{sent, received, lost_out, lost_back}' "$LAB_DIR/flow$i.log" | tail -n 1
        jq -s -e '.[-1] | .sent > 300 and .lost_out == 0 and .lost_back == 0' "$LAB_DIR/flow$i.log" >/dev/null || return 1
    done
}
tap_ok "... and the tunnels that were up have lost nothing" none_lost
lab_stop forger
dt_stop c4

# ---- many
stop_clients 3
natd_stop router
# shellcheck disable=SC2086
natd_start router lan wan $NAT --flush
start_clients "$CLIENTS"
tap_ok "dovetail-natd, raw ESP, $CLIENTS clients of one gateway: all tunnels up" all_up "$CLIENTS" 60
tap_ok "... and carrying data" answers "$CLIENTS"
items()
{
    nat router --json list | jq -c .totals
    nat router --json list | jq -e --argjson n "$CLIENTS" \
        '([.items[] | select(.kind == "esp" and .state == "established") | .client] | unique | length) == $n'
}
tap_ok "... with an established ESP item for each" items
stop_clients "$CLIENTS"
tap_end
