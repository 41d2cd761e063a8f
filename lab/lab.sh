# Network laboratory: namespaces, links and processes for demo, tests and benchmarks. Source it (POSIX sh, root).
#
#   LAB=mytest; . lab/lab.sh; lab_begin         every namespace is named $LAB-NAME and is removed at exit
#   lab_ns a; lab_ns b
#   lab_wire a eth0 192.0.2.1/24 b eth0 192.0.2.2/24
#   lab_in a ping -c1 192.0.2.2
#   lab_run a name command...                   in the background, output in $LAB_DIR/name.log, pid in $LAB_DIR/name.pid
#   lab_stop name [SIGNAL]                      ends what lab_run started
#   lab_wait 10 'command'                       until the command succeeds: 100 times, a tenth of a second apart, and at most 40 s in all
#   lab_dump NS IF NAME FILTER                  what passes at an interface from now on; lab_dumped NAME [FILTER] counts it,
#                                               lab_dump_stop NAME ends it: it is in $LAB_DIR/NAME.pcap
#   lab_flow_field NAME FIELD                   of what lab-flow, run as NAME, said last
#   lab_fails STATUS WORDS command...           true when it ends with that status and says these words
#   lab_nat_topology 3                          c1..c3 - router - internet - gateway - server (see below)
#   tap_ok 'text' command...                    one TAP line; tap_skip 'text' 'what is missing'; tap_end

: "${LAB:?set LAB to a prefix of your own first}"
LAB_ROOT=${LAB_ROOT:-$(cd "$(dirname "$0")" && while [ ! -x ./dev ] && [ "$PWD" != / ]; do cd ..; done && pwd)}
LAB_BIN=${LAB_BIN:-$LAB_ROOT/build/bin}

lab_begin()
{
    [ "$(id -u)" = 0 ] || { echo "Bail out! the laboratory needs root (network namespaces)"; exit 1; }
    LAB_DIR=$(mktemp -d "/tmp/$LAB.XXXXXX")
    trap lab_end EXIT
    trap 'exit 130' INT TERM
    lab_sweep
}

# Removes what an earlier run with this prefix left behind.
lab_sweep()
{
    ip netns list 2>/dev/null | awk '{print $1}' | grep "^$LAB-" | while read -r ns; do
        ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null
        ip netns del "$ns" 2>/dev/null
    done
    return 0
}

lab_end()
{
    lab_rc=$?
    trap - EXIT
    for f in "$LAB_DIR"/*.pid; do
        [ -e "$f" ] && kill -- "$(cat "$f")" 2>/dev/null
    done
    sleep 0.2
    lab_sweep
    if [ -n "${LAB_KEEP:-}" ]; then echo "# logs kept in $LAB_DIR"; else rm -rf "$LAB_DIR"; fi
    exit "$lab_rc"
}

lab_ns()
{
    for lab_name in "$@"; do
        ip netns add "$LAB-$lab_name"
        ip -n "$LAB-$lab_name" link set lo up
        ip netns exec "$LAB-$lab_name" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
            net.ipv4.ping_group_range="0 2147483647" 2>/dev/null
    done
    return 0
}

lab_in()
{
    lab_where=$LAB-$1
    shift
    ip netns exec "$lab_where" "$@"
}

# lab_wire A IFA 'ADDR...' B IFB 'ADDR...'   a veth pair; each end may have several addresses or ''
lab_wire()
{
    ip link add "$2" netns "$LAB-$1" type veth peer name "$5" netns "$LAB-$4"
    for lab_a in $3; do ip -n "$LAB-$1" addr add "$lab_a" dev "$2" nodad 2>/dev/null || ip -n "$LAB-$1" addr add "$lab_a" dev "$2"; done
    for lab_a in $6; do ip -n "$LAB-$4" addr add "$lab_a" dev "$5" nodad 2>/dev/null || ip -n "$LAB-$4" addr add "$lab_a" dev "$5"; done
    ip -n "$LAB-$1" link set "$2" up
    ip -n "$LAB-$4" link set "$5" up
}

# lab_bridge NS NAME 'ADDR...'   an empty bridge; lab_plug NS BRIDGE PORT OTHER IF 'ADDR...' hangs a namespace on it
lab_bridge()
{
    ip -n "$LAB-$1" link add "$2" type bridge
    # Set by somebody, it stays: else it is the lowest of the ports', and changes when a port comes; who asked for it within
    # the last second does not believe that, and sends to the old one for half a minute.
    ip -n "$LAB-$1" link set "$2" address "$(lab_in "$1" cat "/sys/class/net/$2/address")"
    for lab_a in $3; do ip -n "$LAB-$1" addr add "$lab_a" dev "$2"; done
    ip -n "$LAB-$1" link set "$2" up
}

lab_plug()
{
    lab_wire "$1" "$3" '' "$4" "$5" "$6"
    ip -n "$LAB-$1" link set "$3" master "$2"
}

lab_forward()
{
    for lab_name in "$@"; do
        ip netns exec "$LAB-$lab_name" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    done
}

lab_run()
{
    lab_where=$LAB-$1 lab_job=$2
    shift 2
    ip netns exec "$lab_where" "$@" >>"$LAB_DIR/$lab_job.log" 2>&1 &
    echo $! >"$LAB_DIR/$lab_job.pid"
}

lab_pid()
{
    cat "$LAB_DIR/$1.pid" 2>/dev/null
}

lab_stop()
{
    lab_p=$(lab_pid "$1") || return 0
    kill -"${2:-TERM}" "$lab_p" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -0 "$lab_p" 2>/dev/null || break
        sleep 0.1
    done
    wait "$lab_p" 2>/dev/null
    rm -f "$LAB_DIR/$1.pid"
}

# What the command takes does not count, since that is long on a busy machine; but not for ever.
lab_wait()
{
    lab_left=$(($1 * 10)) lab_until=$(($(date +%s) + 4 * $1))
    while [ "$lab_left" -gt 0 ] && [ "$(date +%s)" -le "$lab_until" ]; do
        eval "$2" >/dev/null 2>&1 && return 0
        sleep 0.1
        lab_left=$((lab_left - 1))
    done
    return 1
}

# Packet by packet, so that what went by is there at once; and without the last one's "listening".
lab_dump() # NS IF NAME FILTER [OPTION...]
{
    lab_on=$1 lab_if=$2 lab_file=$3 lab_filter=$4
    shift 4
    rm -f "$LAB_DIR/dump-$lab_file.log"
    lab_run "$lab_on" "dump-$lab_file" tcpdump -n -U --immediate-mode -i "$lab_if" -w "$LAB_DIR/$lab_file.pcap" "$@" "$lab_filter"
    lab_wait 20 "grep -q 'listening on' '$LAB_DIR/dump-$lab_file.log'"
}

lab_dumped() # NAME [FILTER]
{
    tcpdump -n -r "$LAB_DIR/$1.pcap" ${2:+"$2"} 2>/dev/null | wc -l
}

lab_dump_stop() # NAME
{
    lab_stop "dump-$1" INT
}

lab_flow_field() # NAME FIELD
{
    jq -r -s ".[-1].$2" "$LAB_DIR/$1.log"
}

# The flows of these jobs of lab-flow end now: what came back is told, and something must have, to the end.
lab_flows_end() # JOB...
{
    for lab_flow in "$@"; do
        lab_stop "$lab_flow"
        tap_note "$lab_flow: $(jq -c 'select(.sent) | {sent, received, duplicates, longest_outage_s}' "$LAB_DIR/$lab_flow.log")"
        tap_ok "$lab_flow: packets came back to the end" sh -c "jq -e 'select(.sent) | .received > 100 and .duplicates == 0' $LAB_DIR/$lab_flow.log"
    done
}

lab_fails() # STATUS WORDS COMMAND...
{
    lab_want=$1 lab_words=$2
    shift 2
    "$@" >"$LAB_DIR/fails.out" 2>&1
    lab_is=$?
    cat "$LAB_DIR/fails.out"
    echo "status $lab_is"
    [ "$lab_is" = "$lab_want" ] && grep -q -- "$lab_words" "$LAB_DIR/fails.out"
}

# lab_nat_topology N: namespaces c1..cN on a LAN 192.168.7.0/24 behind `router` (192.168.7.1 inside, 198.51.100.2 outside),
# `internet` (forwards), `gateway` (203.0.113.1 outside, 10.1.0.1 inside), `server` (10.1.0.10). Only the NAT itself is
# missing: lab_nft_masquerade, or dovetail-natd --inside lan --outside wan in `router`.
lab_nat_topology()
{
    lab_ns router internet gateway server
    lab_bridge router lan 192.168.7.1/24
    lab_i=1
    while [ "$lab_i" -le "$1" ]; do
        lab_ns "c$lab_i"
        lab_plug router lan "p$lab_i" "c$lab_i" eth0 "192.168.7.$((lab_i + 10))/24"
        ip -n "$LAB-c$lab_i" route add default via 192.168.7.1
        lab_i=$((lab_i + 1))
    done
    lab_wire router wan 198.51.100.2/24 internet isp 198.51.100.1/24
    lab_wire internet dc 203.0.113.254/24 gateway eth0 203.0.113.1/24
    lab_wire gateway inside '10.1.0.1/16 fd01::1/64' server eth0 '10.1.0.10/16 fd01::10/64'
    ip -n "$LAB-router" route add default via 198.51.100.1
    ip -n "$LAB-gateway" route add default via 203.0.113.254
    ip -n "$LAB-server" route add default via 10.1.0.1
    ip -n "$LAB-server" -6 route add default via fd01::1
    lab_forward router internet gateway
    # The internet does not know private addresses.
    ip -n "$LAB-internet" route add unreachable 192.168.0.0/16
    ip -n "$LAB-internet" route add unreachable 10.0.0.0/8
}

# lab_gateways_in_a_row CLIENT_ADDRESSES HOST_ADDRESSES: for tunnels inside tunnels
#   client 192.0.2.x -- 192.0.2.1 g1 198.51.101.1 -- 198.51.101.2 g2 198.51.102.2 -- 198.51.102.3 g3 10.3.0.1 -- 10.3.0.x host
lab_gateways_in_a_row()
{
    lab_ns client g1 g2 g3 host
    lab_wire client eth0 "$1" g1 out 192.0.2.1/24
    lab_wire g1 in 198.51.101.1/24 g2 out 198.51.101.2/24
    lab_wire g2 in 198.51.102.2/24 g3 out 198.51.102.3/24
    lab_wire g3 in 10.3.0.1/24 host eth0 "$2"
    lab_forward g1 g2 g3
    ip -n "$LAB-client" route add default via 192.0.2.1
    ip -n "$LAB-g1" route add default via 198.51.101.2
    ip -n "$LAB-g2" route add 192.0.2.0/24 via 198.51.101.1
    ip -n "$LAB-g2" route add default via 198.51.102.3
    ip -n "$LAB-g3" route add default via 198.51.102.2
    ip -n "$LAB-host" route add default via 10.3.0.1
}

lab_nft_masquerade()
{
    lab_in "$1" nft -f - <<N
table ip lab_nat {
    chain post {
        type nat hook postrouting priority srcnat;
        oifname "$2" masquerade
    }
}
N
}

# --- TAP
TAP_N=0 TAP_BAD=0
tap_report() # RESULT TEXT
{
    TAP_N=$((TAP_N + 1))
    if [ "$1" = 0 ]; then
        echo "ok $TAP_N - $2"
    else
        TAP_BAD=$((TAP_BAD + 1))
        echo "not ok $TAP_N - $2"
    fi
}

tap_ok()
{
    tap_text=$1
    shift
    if "$@" >"$LAB_DIR/tap.out" 2>&1; then tap_report 0 "$tap_text"; else
        tap_report 1 "$tap_text"
        sed 's/^/#   /' "$LAB_DIR/tap.out" | tail -n 20
        false
    fi
}

tap_skip()
{
    TAP_N=$((TAP_N + 1))
    echo "ok $TAP_N - $1 # SKIP $2"
}

tap_note()
{
    echo "# $*"
}

tap_end()
{
    echo "1..$TAP_N"
    [ "$TAP_BAD" = 0 ]
}
