#!/bin/sh
# ./dev soak host [N [SEED]]: N random sabotages (200) of lab/sabotage.sh on a client and a gateway while packets flow, every other time
# two at once. After each: healed, and nothing in the clear; only when both barriers of one host are taken away at once may
# packets leave in that moment, and then the log has to say so. At the end: no loop that burns the processor, no descriptor
# left open, every byte of a TCP stream there.
set -u
LAB=${LAB:-dtsoak}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sabotage.sh"
N=${1:-200} SEED=${2:-$(date +%s)}
HEAL=30

lab_begin
tap_note "$N sabotages, seed $SEED"
tap_ok "the tunnel is up, and packets pass both ways" sabotage_lab encap = udp

RANDOM_STATE=$SEED
random() # BELOW: in RANDOM_IS
{
    RANDOM_STATE=$(((RANDOM_STATE * 1103515245 + 12345) & 0x7fffffff))
    RANDOM_IS=$(((RANDOM_STATE >> 8) % $1))
}

count_one() { COUNT=$((COUNT + 1)); }
COUNT=0
sabotages count_one

# The n-th of the catalogue.
pick() # N
{
    P_LEFT=$1
    sabotages pick_one
}
pick_one()
{
    [ "$P_LEFT" = 0 ] && P_WHERE=$1 P_NAME=$2 P_DO=$4 P_UNDO=${5:-}
    P_LEFT=$((P_LEFT - 1))
}

descriptors() # NS
{
    find "/proc/$(daemon_pid "$1")/fd" 2>/dev/null | wc -l
}
daemon_pid() # NS
{
    lab_pid "dt-$1"
}
cpu_ticks() # NS
{
    sed 's/.*) //' "/proc/$(daemon_pid "$1")/stat" | awk '{ print $12 + $13 }'
}
warnings() # NS
{
    grep -c 'somebody changed this host' "$LAB_DIR/dt-$1.log"
}

sabotage_flows
sleep 1
for s_ns in c1 gateway; do descriptors "$s_ns" >"$LAB_DIR/fds.$s_ns"; done

step=1 bad=0 opened=0
while [ "$step" -le "$N" ]; do
    before=$(leaked)
    random "$COUNT"
    pick "$RANDOM_IS"
    a_where=$P_WHERE a_name=$P_NAME a_do=$P_DO a_undo=$P_UNDO
    said=$(warnings "$a_where")
    random 2
    b_name=
    if [ "$RANDOM_IS" = 1 ]; then
        random "$COUNT"
        pick "$RANDOM_IS"
        b_where=$P_WHERE b_name=$P_NAME b_do=$P_DO b_undo=$P_UNDO
        sabotage_do "$b_where" "$b_do" >/dev/null 2>&1 &
        b_pid=$!
    fi
    sabotage_do "$a_where" "$a_do" >/dev/null 2>&1 # what the other one took away cannot be taken away again
    [ -n "$b_name" ] && wait "$b_pid"
    text="$step: $a_where $a_name${b_name:+ + $b_where $b_name}"
    random 10
    sleep "0.$RANDOM_IS"
    [ -n "$a_undo" ] && sabotage_do "$a_where" "$a_undo" >/dev/null 2>&1
    [ -n "$b_name" ] && [ -n "$b_undo" ] && sabotage_do "$b_where" "$b_undo" >/dev/null 2>&1
    # Whatever two at once left of the administrator's own settings is put right again.
    for s_ns in c1 gateway; do sabotage_do "$s_ns" "$(sabotage_up_again "$s_ns")" >/dev/null 2>&1; done
    if ! lab_wait "$HEAL" host_healed; then
        tap_report 1 "$text: healed"
        host_differs
        bad=$((bad + 1))
        break # what comes after would only say the same again
    fi
    sleep 0.1
    after=$(leaked)
    if [ "$after" != "$before" ]; then
        if [ -n "$b_name" ] && [ "$a_where" = "$b_where" ] &&
            [ "$(sabotage_barrier "$a_name") $(sabotage_barrier "$b_name")" = "routes filter" -o \
                "$(sabotage_barrier "$a_name") $(sabotage_barrier "$b_name")" = "filter routes" ] &&
            [ "$(warnings "$a_where")" -gt "$said" ]; then
            opened=$((opened + 1))
            tap_note "$text: both barriers at once: $((after - before)) packets in the clear, and said"
        else
            bad=$((bad + 1))
            tap_report 1 "$text: $((after - before)) packets in the clear"
        fi
    fi
    [ $((step % 20)) = 0 ] && tap_note "$step of $N"
    step=$((step + 1))
done
tap_ok "$N sabotages: healed each time, nothing in the clear while a barrier stood ($opened times none stood)" [ "$bad" = 0 ]
tap_ok "every byte of the TCP stream has arrived, in order" sabotage_stream_ends
for s_job in flow4 flow6 back4 back6; do
    lab_stop "$s_job"
    tap_ok "$s_job: packets came back" sh -c "jq -e 'select(.sent) | .received > 100 and .duplicates == 0' $LAB_DIR/$s_job.log"
done
sleep 6 # the slow timer has been once
for s_ns in c1 gateway; do
    ticks=$(cpu_ticks "$s_ns")
    sleep 5
    ticks=$(($(cpu_ticks "$s_ns") - ticks))
    tap_ok "$s_ns: at rest it uses no processor ($ticks of $((5 * $(getconf CLK_TCK))) ticks)" [ "$ticks" -lt "$(getconf CLK_TCK)" ]
    tap_ok "$s_ns: as many descriptors as before ($(descriptors "$s_ns") of $(cat "$LAB_DIR/fds.$s_ns"))" [ "$(descriptors "$s_ns")" -le "$(cat "$LAB_DIR/fds.$s_ns")" ]
done
tap_end
