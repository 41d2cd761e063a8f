#!/bin/sh
# ./dev soak host [N [SEED [FROM]]]: N random sabotages (200) on a client, a gateway (lab/sabotage.sh) and the router between them, which has
# dovetail-natd (lab/sabotage_router.sh), while packets flow; every other time two at once, on one of the three or on two.
# FROM begins with that one of the sequence.
# After each: healed, nothing in the clear outside of the hosts, nothing with an inside source outside of the router; only when
# both barriers of one of them are taken away at once may packets leave in that moment, and then its log has to say so. At
# the end: no loop that burns the processor, no descriptor left open, every byte of a TCP stream there.
set -u
LAB=${LAB:-dtsoak}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sabotage.sh"
. "$LAB_ROOT/lab/sabotage_router.sh"
N=${1:-200} SEED=${2:-$(date +%s)} FROM=${3:-1}
HEAL=30
[ "$FROM" -ge 1 ] && [ "$FROM" -le "$N" ] || { echo "soak host: begin with one from 1 to $N" >&2; exit 2; }

lab_begin
trap 'router_lab_end; lab_end' EXIT
tap_note "$N sabotages, seed $SEED"
soak_lab()
{
    router_lab && sabotage_rest
}
tap_ok "two tunnels with raw ESP are up through natd, and packets pass both ways" soak_lab

RANDOM_STATE=$SEED
random() # BELOW: in RANDOM_IS
{
    RANDOM_STATE=$(((RANDOM_STATE * 1103515245 + 12345) & 0x7fffffff))
    RANDOM_IS=$(((RANDOM_STATE >> 8) % $1))
}

catalogue() # VISITOR
{
    sabotages "$1"
    router_sabotages "$1"
}
count_one() { COUNT=$((COUNT + 1)); }
COUNT=0
catalogue count_one

# The n-th of the catalogue.
pick() # N
{
    P_LEFT=$1
    catalogue pick_one
}
pick_one()
{
    [ "$P_LEFT" = 0 ] && P_WHERE=$1 P_NAME=$2 P_DO=$4 P_UNDO=${5:-}
    P_LEFT=$((P_LEFT - 1))
}

log_of() # NS
{
    case $1 in router) echo "$LAB_DIR/natd-router.log" ;; *) echo "$LAB_DIR/dt-$1.log" ;; esac
}
daemon_of() # NS
{
    case $1 in router) lab_pid natd-router ;; *) lab_pid "dt-$1" ;; esac
}
descriptors() # NS
{
    find "/proc/$(daemon_of "$1")/fd" 2>/dev/null | wc -l
}
cpu_ticks() # NS
{
    sed 's/.*) //' "/proc/$(daemon_of "$1")/stat" | awk '{ print $12 + $13 }'
}
warnings() # NS
{
    grep -c 'somebody changed this \(host\|router\)' "$(log_of "$1")"
}
barrier() # WHERE NAME
{
    case $1 in router) router_barrier "$2" ;; *) sabotage_barrier "$2" ;; esac
}
up_again() # NS
{
    case $1 in router) router_up_again ;; *) sabotage_up_again "$1" ;; esac
}
all_healed()
{
    host_healed && router_healed
}
all_leaked() # in the clear at the hosts, or with an inside source outside
{
    echo "$(leaked) $(router_leaked)"
}
# Both barriers of one machine were taken away at once, and it has said so.
opened_and_said() # WHERE NAME WHERE NAME WARNINGS-BEFORE
{
    [ -n "$4" ] && [ "$1" = "$3" ] && [ "$(warnings "$1")" -gt "$5" ] || return 1
    case "$(barrier "$1" "$2") $(barrier "$3" "$4")" in
    "routes filter" | "filter routes" | "translation egress" | "egress translation") ;;
    *) return 1 ;;
    esac
}

sabotage_flows
router_watch
lab_run c2 out2 "$SAB_FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 200
sleep 1
for s_ns in c1 gateway router; do descriptors "$s_ns" >"$LAB_DIR/fds.$s_ns"; done

# What the next step does, from the sequence alone.
draw()
{
    random "$COUNT"
    pick "$RANDOM_IS"
    a_where=$P_WHERE a_name=$P_NAME a_do=$P_DO a_undo=$P_UNDO
    random 2
    b_where='' b_name=''
    if [ "$RANDOM_IS" = 1 ]; then
        random "$COUNT"
        pick "$RANDOM_IS"
        b_where=$P_WHERE b_name=$P_NAME b_do=$P_DO b_undo=$P_UNDO
    fi
    random 10
    pause=0.$RANDOM_IS
}

step=1 bad=0 opened=0 pairs=0 across=0
while [ "$step" -lt "$FROM" ]; do
    draw
    step=$((step + 1))
done
while [ "$step" -le "$N" ]; do
    before=$(all_leaked)
    draw
    said=$(warnings "$a_where")
    if [ -n "$b_name" ]; then
        sabotage_do "$b_where" "$b_do" >/dev/null 2>&1 &
        b_pid=$!
        pairs=$((pairs + 1))
        case $a_where-$b_where in router-router) ;; router-* | *-router) across=$((across + 1)) ;; esac
    fi
    sabotage_do "$a_where" "$a_do" >/dev/null 2>&1 # what the other one took away cannot be taken away again
    [ -n "$b_name" ] && wait "$b_pid"
    text="$step: $a_where $a_name${b_name:+ + $b_where $b_name}"
    sleep "$pause"
    [ -n "$a_undo" ] && sabotage_do "$a_where" "$a_undo" >/dev/null 2>&1
    [ -n "$b_name" ] && [ -n "$b_undo" ] && sabotage_do "$b_where" "$b_undo" >/dev/null 2>&1
    # Whatever two at once left of the administrator's own settings is put right again.
    for s_ns in c1 gateway router; do sabotage_do "$s_ns" "$(up_again "$s_ns")" >/dev/null 2>&1; done
    began=$(date +%s)
    if ! lab_wait "$HEAL" all_healed; then
        tap_report 1 "$text: healed"
        host_differs
        router_differs
        bad=$((bad + 1))
        break # what comes after would only say the same again
    fi
    took=$(($(date +%s) - began))
    [ "$took" -lt 10 ] || tap_note "$text: healed after $took s"
    sleep 0.1
    after=$(all_leaked)
    if [ "$after" != "$before" ]; then
        if opened_and_said "$a_where" "$a_name" "$b_where" "$b_name" "$said"; then
            opened=$((opened + 1))
            tap_note "$text: both barriers at once, and said: packets outside before: $before, then: $after"
        else
            bad=$((bad + 1))
            tap_report 1 "$text: packets outside before: $before, then: $after"
        fi
    fi
    [ $((step % 20)) = 0 ] && tap_note "$step of $N"
    step=$((step + 1))
done
tap_note "$pairs pairs, $across of them of a host and the router"
tap_ok "$((step - FROM)) sabotages: healed each time, nothing outside while a barrier stood ($opened times none stood)" [ "$bad" = 0 ]
tap_ok "every byte of the TCP stream has arrived, in order" sabotage_stream_ends
lab_flows_end flow4 flow6 back4 back6 out2
sleep 6 # the slow timer has been once
for s_ns in c1 gateway router; do
    ticks=$(cpu_ticks "$s_ns")
    sleep 5
    ticks=$(($(cpu_ticks "$s_ns") - ticks))
    tap_ok "$s_ns: at rest it uses no processor ($ticks of $((5 * $(getconf CLK_TCK))) ticks)" [ "$ticks" -lt "$(getconf CLK_TCK)" ]
    tap_ok "$s_ns: as many descriptors as before ($(descriptors "$s_ns") of $(cat "$LAB_DIR/fds.$s_ns"))" [ "$(descriptors "$s_ns")" -le "$(cat "$LAB_DIR/fds.$s_ns")" ]
done
tap_end
