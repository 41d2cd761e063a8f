#!/bin/sh
# The four races and two collisions with the real daemons and dovetail-natd, held against dovetail-sim: the same
# scenario must give the same sequence of epoch events at each client and the same mishaps in the NAT (an SPI without an
# item that goes to everybody; an item that pairs the SPIs of two clients), times aside. Each runs as `plain` (probe off
# at both ends: today's IPsec, where the mishaps must happen) and `both` (Dovetail at both ends, where races 1 and 2 must
# not, and everything must work again afterwards); three also as `client` (Dovetail at the clients, and a server that uses a
# new epoch at once).
#
# What happened is read from the wire: captures at all three ends, opened with their key logs (lab-epochs), say when an epoch was
# first answered, went unanswered, and carried data; what came in for somebody else, and whether he got it too, is the mishap.
#
# What a race needs of timing is forced, not hoped for: a port that never answers makes a client's first packet stay without a
# reply, and a one-way stream makes the server speak first.
set -u
cd "$(dirname "$0")/../.." || exit 1
LAB=dtrace LAB_ROOT=$PWD
. lab/lab.sh
. lab/dovetail.sh
. lab/capture.sh
lab_begin
FLOW=$LAB_BIN/../lab/lab-flow
SHIM=$LAB_BIN/../lab/lab-rand-shim.so
WANT=${*:-race-1 race-2 race-3 race-4 spi-collision cookie-collision}

lab_nat_topology 2
# Ports with a meaning: 9999 at the server and 9998 at the clients swallow what comes.
lab_in server nft "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i udp dport 9999 drop"
for c in c1 c2; do
    lab_in $c nft "add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i udp dport 9998 drop"
done

lab_run server echo "$FLOW" echo 4411

configure() # PAIRING
{
    case $1 in
    plain) probe='probe = off' gprobe='probe = off' ;;
    client) probe='' gprobe='probe = off' ;;
    both) probe='' gprobe='' ;;
    esac
    params='keylife = 10min rekeymargin = 1min maxidle = 1500ms pingtime = 300ms pingtries = 8 pingtime2 = 400ms
        pingtries2 = 3 timeout = 3s elimit = 2'
    dt_conf gateway "keylog = \"$(capture_keys gateway)\"" <<C
gateway "g" {
    listen = { "203.0.113.1" }
    identity = "gateway.test"
    psk = "races-psk-0123456789abcdef"
    protect = { "10.1.0.0/16" }
    pool = { "10.9.0.0/24" }
    $gprobe
    $params
}
C
    for n in 1 2; do
        dt_conf c$n "keylog = \"$(capture_keys c$n)\"" <<C
tunnel "t" {
    gateway = "203.0.113.1"
    local = "c$n.test"
    remote = "gateway.test"
    psk = "races-psk-0123456789abcdef"
    protect = { "10.1.0.0/16" }
    encap = esp
    $probe
    $params
}
C
    done
}

client_start() # N
{
    lab_run "c$1" "dt-c$1" env LD_PRELOAD="$SHIM" ASAN_OPTIONS=verify_asan_link_order=0 DT_SHIM="$LAB_DIR/shim$1" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c$1/conf"
    lab_wait 10 "dt c$1 status"
}

touch_server() # N: a packet and its answer, so that the epoch has an item
{
    lab_in "c$1" "$FLOW" send 10.1.0.10 4411 -i 200 -t 0.3 -w 0.2 >/dev/null
}

inside() # N
{
    dt_field "c$1" t '.inside[0]' | cut -d/ -f1
}

says() # N: the client sends, and nobody answers
{
    lab_in "c$1" "$FLOW" send 10.1.0.10 9999 -i 20 -t 0.06 -w 0 >/dev/null
}

hears() # N SECONDS: the server sends to the client, which does not answer
{
    lab_in server "$FLOW" send "$(inside "$1")" 9998 -i 5 -t "$2" -w 0 >/dev/null
}

rekey()
{
    lab_n=$(dt_field "c$1" t '.epoch // 0')
    dt "c$1" rekey t >/dev/null 2>&1
    lab_wait 5 "[ \"\$(dt_field c$1 t '[.epochs[].epoch] | max // 0')\" -gt $lab_n ]"
}

# Items of the last scenario are gone with a NAT that is rebooted.
up()
{
    rm -f "$LAB_DIR"/shim*
    nat router flush >/dev/null || tap_note "the NAT was not flushed"
    for ns in c1 c2 gateway; do capture_start $ns eth0 || tap_note "no capture at $ns"; done
    dt_start gateway
    client_start 1
    client_start 2
    for n in 1 2; do
        dt_wait_up c$n t 10
        touch_server $n
    done
    SINCE=$(date +%s.%N)
}

down()
{
    for n in 1 2; do dt_stop c$n; done
    dt_stop gateway
}

collide() # N BYTES HEX: what client N draws next
{
    for lab_b in $(echo "$3" | sed 's/../0x& /g'); do
        # shellcheck disable=SC2059
        printf "$(printf '\\%03o' "$lab_b")"
    done >"$LAB_DIR/shim$1.$2.new"
    mv "$LAB_DIR/shim$1.$2.new" "$LAB_DIR/shim$1.$2"
}

# --- the scenarios; $1 is the pairing
race_1() { lab_run server stream "$FLOW" send "$(inside 1)" 9998 -i 5 -t 3; sleep 0.3; rekey 1; sleep 3; lab_stop stream; }
race_2()
{
    lab_run server stream "$FLOW" send "$(inside 2)" 9998 -i 2 -t 3
    sleep 0.3
    dt c1 rekey t >/dev/null 2>&1 &
    dt c2 rekey t >/dev/null 2>&1
    wait $!
    says 1
    sleep 3
    lab_stop stream
}
race_3() { rekey 1; says 1; sleep 1.3; rekey 2; says 2; hears 1 1; sleep 1; }
race_4() { sleep 5; says 2; hears 1 0.5; sleep 1; }
spi_collision()
{
    hears 1 0.1
    spi=$(dt_field c1 t '.epochs[] | select(.carries) | .spi_in' | sed 's/^0x\(..\)\(..\)\(..\)\(..\)$/\4\3\2\1/') # as it lies in memory
    collide 2 4 "$spi"
    dt c2 rekey t >/dev/null 2>&1 &
    sleep 1
    touch_server 2
    wait $!
    sleep 4
}
cookie_collision()
{
    # The server has something to say all the time.
    lab_run server stream1 "$FLOW" send "$(inside 1)" 9998 -i 10 -t 20 -w 0
    lab_run server stream2 "$FLOW" send "$(inside 2)" 9998 -i 10 -t 20 -w 0
    dt c1 down t >/dev/null
    dt c2 down t >/dev/null
    sleep 0.5
    SINCE=$(date +%s.%N)
    collide 1 8 6b6f6c6c69646572
    collide 2 8 6b6f6c6c69646572
    # The answer to the first comes late: the gateway is stopped for a moment.
    kill -STOP "$(lab_pid dt-gateway)"
    dt c1 up t >/dev/null 2>&1 &
    dt c2 up t >/dev/null 2>&1 &
    sleep 0.4
    kill -CONT "$(lab_pid dt-gateway)"
    dt_wait_up c1 t 10
    dt_wait_up c2 t 10
    sleep 0.5
    lab_stop stream1
    lab_stop stream2
}

# --- what is compared
judge() # N [OPTION...]: pingtries is 8
{
    judge_n=$1
    shift
    epochs_kept "c$judge_n" -c -s -n 0 -t 8 -a "$SINCE" "$@"
}

real_sequence() # N: what became of its epochs, one word each
{
    judge "$1" | tail -n 1 | jq -r '.events[]' | tr '\n' ' '
}

sim_sequence() # FILE A|B: the same from the simulator's timeline, until everything has settled
{
    sed -n "s/^ *[0-9.]* s  client $2  *//p" "$1" | awk '
        /^epoch [0-9]+ is verified/ { print "verified" }
        /probes of epoch [0-9]+ unanswered/ { print "unanswered" }
        /^data goes out on epoch/ { print "switched" }' | tr '\n' ' '
}

came_in() # N: "SPI NUMBER" of every ESP packet since then
{
    tcpdump -ttnr "$LAB_DIR/capture-c$1.pcap" "esp and dst 192.168.7.1$1" 2>/dev/null | awk -v since="$SINCE" '
        $1 >= since && match($0, /spi=0x[0-9a-f]+,seq=0x[0-9a-f]+/) { split(substr($0, RSTART, RLENGTH), f, "[=,]"); print f[2], f[4] }' | sort -u
}

real_mishaps()
{
    for n in 1 2; do
        came_in $n >"$LAB_DIR/in$n"
        cut -d'"' -f8 "$(capture_keys c$n).esp" | awk 'NR % 2 == 0' | sort -u >"$LAB_DIR/own$n" # what it hears on
    done
    [ -z "$(comm -12 "$LAB_DIR/in1" "$LAB_DIR/in2")" ] || echo "multicast"
    for n in 1 2; do # of the other's, and the other did not get it
        comm -23 "$LAB_DIR/in$n" "$LAB_DIR/in$((3 - n))" | cut -d' ' -f1 | sort -u | comm -23 - "$LAB_DIR/own$n" |
            comm -12 - "$LAB_DIR/own$((3 - n))" | sed 's/.*/wrong item/'
    done | sort -u
}

sim_mishaps() # FILE
{
    grep -q 'has no item: sent to all' "$1" && echo "multicast"
    grep -q 'the item of client . gets' "$1" && echo "wrong item"
    true
}

reach()
{
    for n in 1 2; do lab_in c$n ping -q -c 3 -i 0.3 -W 1 10.1.0.10 || return 1; done
}

# race NAME PAIRING
race()
{
    name=$1 pairing=$2
    "$LAB_BIN/dovetail-sim" run "$name" --pairing $pairing --seed 1 --quiet 2>/dev/null |
        awk '/^ *[0-9.]+ s / && $1 < 1000 { print }' >"$LAB_DIR/sim"
    configure $pairing
    up
    "$(echo "$name" | tr - _)" >/dev/null 2>&1
    for n in 1 2; do says $n; done # which shows on what
    [ $pairing = plain ] || tap_ok "$name, $pairing: afterwards both clients reach the server" reach
    down
    for ns in c1 c2 gateway; do tap_ok "$name, $pairing: the capture at $ns is whole" capture_stop $ns; done
    # What a plain server says on a new epoch before the client's first probe is there goes to all: none or some, by the moment.
    unforced=nothing
    [ $pairing != client ] || unforced=multicast
    real_mishaps | grep -vx $unforced >"$LAB_DIR/real.mishaps"
    sim_mishaps "$LAB_DIR/sim" | grep -vx $unforced >"$LAB_DIR/sim.mishaps"
    tap_ok "$name, $pairing: the NAT's mishaps are the simulator's ($(tr '\n' ',' <"$LAB_DIR/sim.mishaps" | sed 's/,$//; s/^$/none/'))" \
        diff -u --label simulated --label real "$LAB_DIR/sim.mishaps" "$LAB_DIR/real.mishaps"
    for x in A1 B2; do
        sim_sequence "$LAB_DIR/sim" "${x%?}" >"$LAB_DIR/sim.seq"
        real_sequence "${x#?}" >"$LAB_DIR/real.seq"
        tap_ok "$name, $pairing: client ${x%?}'s epoch events are the simulator's ($(sed 's/ $//; s/^$/none/' "$LAB_DIR/sim.seq"))" \
            diff -u --label simulated --label real "$LAB_DIR/sim.seq" "$LAB_DIR/real.seq"
        [ $pairing = plain ] || tap_ok "$name, $pairing: client ${x%?} keeps the promise" judge "${x#?}" -r
    done
    [ $pairing != both ] || tap_ok "$name, both: and so does the gateway" epochs_kept gateway -g
}

natd_start router lan wan --flush --set t_out=1 --set n_out=10 --set t_ei=4
for name in $WANT; do
    race "$name" plain
    case $name in race-2 | race-3 | spi-collision) race "$name" client ;; esac
    race "$name" both
done
natd_stop router
tap_end
