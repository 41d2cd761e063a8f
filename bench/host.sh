#!/bin/sh
# ./dev bench host: how long a sabotage of lab/sabotage.sh is felt. For each: the longest silence of four flows (both ways, IPv4 and
# IPv6, a packet each 2 to 5 ms; 0: none over 50 ms), and the time until the host is again as it was. What the administrator has
# to undo counts from there. Last a line with the longest of all.
set -u
LAB=${LAB:-dtbhost}
cd "$(dirname "$0")/.." || exit 1
. lab/lab.sh
. lab/dovetail.sh
. lab/sabotage.sh
lab_begin
sabotage_lab 'encap = udp' || { echo "bench host: no tunnel" >&2; exit 1; }
sabotage_flows 50
sleep 2

now() # ms since the epoch
{
    date +%s%3N
}
# The longest silence that began or ended after a point in time.
silence_since() # MS
{
    cat "$LAB_DIR/flow4.log" "$LAB_DIR/flow6.log" "$LAB_DIR/back4.log" "$LAB_DIR/back6.log" |
        jq -s --argjson ms "$1" '($ms / 1000) as $from | [.[] | select(.t and .t + .outage_s > $from) | .outage_s - ([$from - .t, 0] | max)] | max // 0'
}
visit() # WHERE NAME TEXT DO [UNDO [WHY]]
{
    from=$(now)
    sabotage_do "$1" "$4" >/dev/null 2>&1 || return
    if [ -n "${5:-}" ]; then
        sleep 0.5
        from=$(now)
        sabotage_do "$1" "$5"
    fi
    while ! host_as_at_rest c1 || ! host_as_at_rest gateway; do
        [ $(($(now) - from)) -gt 30000 ] && break
        sleep 0.01
    done
    restored=$(($(now) - from))
    sleep 2.5 # silences are told when they end
    silence=$(silence_since "$from")
    jq -cn --arg where "$1" --arg name "$2" --argjson silence "$silence" --argjson restored "$restored" \
        '{bench: "host", where: $where, sabotage: $name, silence_s: (($silence * 1000 | round) / 1000), restored_s: ($restored / 1000)}' | tee -a "$LAB_DIR/all"
}
sabotages visit
jq -cs '{bench: "host", sabotages: length, longest_silence_s: ([.[].silence_s] | max), longest_restored_s: ([.[].restored_s] | max)}' "$LAB_DIR/all"
