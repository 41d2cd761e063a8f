#!/bin/sh
# ./dev bench tunnel: one TCP stream through two endpoints over a veth pair. Dovetail (UDP encapsulation and raw ESP,
# both dovetaild with IKE and epochs) beside plain veth, wireguard-go and strongSwan's kernel-libipsec; every round
# measures each of them once, medians are compared. Settings from the environment: ROUNDS (5), SECONDS_EACH (2).
#
# Each line: value in Gb/s of the case, peer and its value of the same rounds, ratio above 1 when Dovetail is faster.
set -u
LAB=${LAB:-dtbench}
cd "$(dirname "$0")/.." || exit 1
. lab/lab.sh
. lab/dovetail.sh
. lab/strongswan.sh
ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-2}
lab_begin
umask 077
PEERS=''

# pair NAME: namespaces NAME-a and NAME-b on a veth pair with 192.0.2.1 and .2; iperf3 listens in b
pair()
{
    lab_ns "$1a" "$1b"
    lab_wire "$1a" eth0 192.0.2.1/24 "$1b" eth0 192.0.2.2/24
    lab_run "$1b" "iperf-$1" iperf3 -s
}

missing()
{
    echo "bench tunnel: without $1: $2" >&2
}

have() # NAME ADDRESS: it answers, so it is measured
{
    if lab_wait 15 "ip netns exec $LAB-$1a ping -n -c 1 -W 1 $2"; then
        PEERS="$PEERS $1"
        echo "$2" >"$LAB_DIR/$1.address"
    else
        missing "$1" "no answer through it"
        tail -n 5 "$LAB_DIR"/*"$1"*.log >&2
        return 1
    fi
}

plain_up()
{
    pair plain
    have plain 192.0.2.2
}

wireguard_up()
{
    command -v wireguard-go >/dev/null && command -v wg >/dev/null || { missing wireguard "not installed"; return; }
    pair wireguard
    wg genkey >"$LAB_DIR/a.key"
    wg genkey >"$LAB_DIR/b.key"
    # Devices are told apart by name in /var/run/wireguard, which all namespaces share.
    for s in a b; do
        if [ $s = a ]; then mine=1 peer=2 other=b; else mine=2 peer=1 other=a; fi
        dev=wg$$$s
        lab_run wireguard$s wg-$s env WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error wireguard-go -f $dev
        lab_wait 5 "[ -S /var/run/wireguard/$dev.sock ]"
        lab_in wireguard$s wg set $dev listen-port 51820 private-key "$LAB_DIR/$s.key" \
            peer "$(wg pubkey <"$LAB_DIR/$other.key")" allowed-ips 10.82.0.$peer/32 endpoint 192.0.2.$peer:51820
        ip -n "$LAB-wireguard$s" addr add 10.82.0.$mine/24 dev $dev
        ip -n "$LAB-wireguard$s" link set $dev mtu 1420 up
    done
    have wireguard 10.82.0.2
}

strongswan_up()
{
    what=$(sw_missing)
    [ -z "$what" ] || { missing strongswan "$what is not installed"; return; }
    pair strongswan
    for s in a b; do
        if [ $s = a ]; then mine=1 peer=2; else mine=2 peer=1; fi
        ip -n "$LAB-strongswan$s" addr add 10.83.0.$mine/32 dev lo
        sw_start strongswan$s || { missing strongswan 'charon does not start'; return; }
        sw_load strongswan$s <<C || return
connections { bench {
    version = 2
    local_addrs = 192.0.2.$mine
    remote_addrs = 192.0.2.$peer
    proposals = aes128gcm16-prfsha256-x25519
    local { auth = psk
        id = $mine.example.net }
    remote { auth = psk
        id = $peer.example.net }
    children { net {
        local_ts = 10.83.0.$mine/32
        remote_ts = 10.83.0.$peer/32
        esp_proposals = aes128gcm16 } }
} }
secrets { ike { secret = bench } }
C
    done
    sw strongswana --initiate --child net >"$LAB_DIR/sw-strongswan.log" 2>&1
    have strongswan 10.83.0.2
}

dovetail_up() # NAME ENCAP
{
    pair "$1"
    echo 'secret of the benchmark' >"$LAB_DIR/psk"
    chmod 600 "$LAB_DIR/psk"
    ip -n "$LAB-$1b" addr add 10.80.0.1/32 dev lo
    dt_conf "$1b" <<C
gateway "bench" {
    listen   = { "192.0.2.2" }
    identity = "vpn.example.net"
    psk      = "file:$LAB_DIR/psk"
    protect  = { "10.80.0.0/24" }
    pool     = { "10.81.0.0/24" }
}
C
    dt_conf "$1a" <<C
tunnel "bench" {
    gateway = "192.0.2.2"
    local   = "anna@example.net"
    remote  = "vpn.example.net"
    psk     = "file:$LAB_DIR/psk"
    protect = { "10.80.0.0/24" }
    encap   = $2
}
C
    dt_start "$1b" && dt_start "$1a" && have "$1" 10.80.0.1
}

measure() # NAME: one round
{
    lab_in "$1a" iperf3 -c "$(cat "$LAB_DIR/$1.address")" -t "$SECONDS_EACH" -J 2>/dev/null |
        jq -r '.end.sum_received.bits_per_second // empty' >>"$LAB_DIR/$1.rounds"
}

median() # NAME -> Gb/s
{
    sort -g "$LAB_DIR/$1.rounds" 2>/dev/null |
        awk '{ v[NR] = $1 } END { if (NR) printf "%.3f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2e9; else print 0 }'
}

plain_up
dovetail_up udp udp
dovetail_up esp esp
wireguard_up
strongswan_up

round=0
while [ "$round" -lt "$ROUNDS" ]; do
    for p in $PEERS; do measure "$p"; done
    round=$((round + 1))
done

status=1
for p in $PEERS; do
    case $p in udp) case='one TCP stream, UDP encapsulation' ;; esp) case='one TCP stream, raw ESP' ;; *) continue ;; esac
    for q in $PEERS; do
        case $q in
        plain) peer='plain veth' ;;
        wireguard) peer='wireguard-go' ;;
        strongswan) peer='strongSwan kernel-libipsec' ;;
        *) continue ;;
        esac
        status=0
        awk -v c="$case, AES-128-GCM" -v v="$(median "$p")" -v p="$peer" -v w="$(median "$q")" 'BEGIN {
            printf "{\"bench\": \"tunnel\", \"case\": \"%s\", \"value\": %s, \"unit\": \"Gb/s\", ", c, v
            printf "\"peer\": \"%s\", \"peer_value\": %s, \"ratio\": %.2f}\n", p, w, (w > 0 ? v / w : 0) }'
    done
done
exit $status
