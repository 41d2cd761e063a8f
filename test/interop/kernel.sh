#!/bin/sh
# Raw ESP with the kernel's own: strongSwan over XFRM (no UDP encapsulation) as gateway of two clients behind one
# dovetail-natd, and as client of our gateway. Needs a kernel with ESP in it, which a stock Debian kernel has as a module.
set -u
cd "$(dirname "$0")/../.." || exit 1
LAB=dtkern LAB_ROOT=$PWD
. lab/lab.sh
. lab/dovetail.sh
. lab/strongswan.sh
lab_begin
SW_DATA_PATH=kernel

missing=$(sw_missing)
if [ -n "$missing" ]; then
    tap_skip "raw ESP with the kernel's own" "$missing"
    tap_end
    exit
fi

FLOW=$LAB_ROOT/build/lab/lab-flow
PSK=lab-psk-0123456789abcdef

dt_client_conf() # NAME EXTRA
{
    cat <<C
tunnel "t" {
    gateway = "203.0.113.1"
    local   = "$1.lab.test"
    remote  = "b.lab.test"
    psk     = "$PSK"
    protect = { "10.1.0.0/16" }
    encap   = esp
    ${2:-}
}
C
}

# A packet every FLOW_MS: an emulated machine carries fewer of them than a real one, and what it drops is no rekey's.
load_on() # NS ADDRESS: numbered flow in the background
{
    lab_run "$1" "flow-$1" "$FLOW" send "$2" 4411 -i "${FLOW_MS:-5}" -t 0
    sleep 0.5
}

load_off() # NS: the flow's report in $report
{
    kill -TERM "$(lab_pid "flow-$1")"
    wait "$(lab_pid "flow-$1")" 2>/dev/null
    rm -f "$LAB_DIR/flow-$1.pid"
    report=$(tail -n 1 "$LAB_DIR/flow-$1.log")
}

no_loss() # a number at least MIN sent
{
    tap_note "$report"
    echo "$report" | jq -e ".sent > ${1:-100} * 5 / ${FLOW_MS:-5} and .lost == 0" >/dev/null
}

epoch()
{
    dt_field "$1" t '.epoch // 0'
}

kernel_spis() # NS
{
    ip -n "$LAB-$1" xfrm state | grep -o 'spi 0x[0-9a-f]*' | sort | tr '\n' ' '
}

other_spis() # NS BEFORE
{
    now=$(kernel_spis "$1")
    echo "before: $2, now: $now"
    [ -n "$2" ] && [ "$now" != "$2" ] && [ "$(echo "$now" | grep -o spi | wc -l)" = 2 ]
}

newer_epoch() # NS BEFORE
{
    lab_wait 10 "[ \$(epoch $1) -gt $2 ] && dt_is_up $1 t"
}

# --- strongSwan is the gateway, in the kernel; two clients behind dovetail-natd
lab_nat_topology 2
natd_start router lan wan
sw_start gateway
sw_load gateway <<C
connections { t { version = 2
    local_addrs = 203.0.113.1
    remote_addrs = %any
    proposals = aes128gcm16-prfsha256-x25519
    pools = inside
    dpd_delay = 0
    mobike = no
    local { auth = psk
      id = b.lab.test }
    remote { auth = psk }
    children { net { local_ts = 10.1.0.0/16
        esp_proposals = aes128gcm16
        rekey_time = 0 } } } }
pools { inside { addrs = 10.9.0.0/24 } }
secrets { ike-t { secret = "$PSK" } }
C
lab_run server echo "$FLOW" echo 4411
for c in c1 c2; do
    dt_client_conf $c | dt_conf $c
    dt_start $c
done
for c in c1 c2; do
    tap_ok "kernel gateway: $c is up with raw ESP through dovetail-natd" dt_wait_up $c t 20
done
tap_note "$(dt c1 status | head -n 4)"
tap_ok "kernel gateway: its SAs are in the kernel, without encapsulation" sh -c \
    "ip -n $LAB-gateway xfrm state | grep -q 'proto esp' && ! ip -n $LAB-gateway xfrm state | grep -q encap"
load_on c1 10.1.0.10
load_on c2 10.1.0.10
sleep 1
for n in 1 2 3; do
    for c in c1 c2; do
        before=$(epoch $c)
        tap_ok "kernel gateway: rekey $n of $c" dt $c rekey t
        tap_ok "kernel gateway: $c is on the new epoch" newer_epoch $c "$before"
    done
done
sleep 1
for c in c1 c2; do
    load_off $c
    tap_ok "kernel gateway: $c loses nothing while both rekey three times" no_loss 200
done

load_on c1 10.1.0.10
before=$(epoch c1)
sw gateway --rekey --child net >"$LAB_DIR/sw.out" 2>&1
tap_ok "kernel gateway: its own rekey is accepted and makes a new epoch, verified" newer_epoch c1 "$before"
sleep 1
load_off c1
tap_ok "kernel gateway: its own rekey costs nothing" no_loss

load_on c1 10.1.0.10
tap_ok "kernel gateway: we rekey the IKE SA" dt c1 rekey --ike t
sleep 1.5
load_off c1
tap_ok "kernel gateway: the IKE SA is rekeyed under load" no_loss

natd_stop router
natd_start router lan wan --flush
tap_ok "kernel gateway: a rebooted NAT is healed" lab_wait 30 \
    "lab_in c1 ping -q -c 1 -W 1 10.1.0.10 && lab_in c2 ping -q -c 1 -W 1 10.1.0.10"
for c in c1 c2; do tap_ok "kernel gateway: $c goes down" dt $c down t; done
nothing_left()
{
    sw gateway --list-sas
    ip -n "$LAB-gateway" xfrm state
    [ -z "$(ip -n "$LAB-gateway" xfrm state)" ]
}
lab_wait 20 nothing_left
tap_ok "kernel gateway: both are down, nothing is left in its kernel" nothing_left
for c in c1 c2; do dt_stop $c; done
sw_stop gateway
natd_stop router
lab_stop echo
lab_sweep

# --- strongSwan is the client, in the kernel
lab_ns a b
lab_wire a eth0 192.0.2.1/24 b eth0 192.0.2.2/24
ip -n "$LAB-b" addr add 10.1.0.10/24 dev lo
sw_gateway_of_ours 10.1.0.0/16 | dt_conf b
dt_start b
lab_run b echo2 "$FLOW" echo 4411
sw_start a
sw_client 10.1.0.0/16 '' aes128gcm16-esn-noesn 'mobike = no' | sw_load a
tap_ok "kernel client: it brings the tunnel up and gets an inside address" sw a --initiate --child net
tap_ok "kernel client: raw ESP, no encapsulation" sh -c \
    "ip -n $LAB-a xfrm state | grep -q 'proto esp' && ! ip -n $LAB-a xfrm state | grep -q encap"
tap_ok "kernel client: ping through the tunnel" lab_wait 10 "lab_in a ping -q -c 2 -i 0.2 -W 1 10.1.0.10"
load_on a 10.1.0.10
before=$(kernel_spis a)
sw a --rekey --child net >"$LAB_DIR/sw.out" 2>&1
tap_ok "kernel client: it rekeys the child, and its kernel has other SPIs" lab_wait 10 "other_spis a '$before'"
sleep 1
load_off a
tap_ok "kernel client: it rekeys the child, not one packet lost" no_loss
load_on a 10.1.0.10
before=$(kernel_spis a)
tap_ok "kernel client: we rekey the child" dt b rekey a.lab.test
tap_ok "kernel client: its kernel is left with two SAs, with other SPIs" lab_wait 10 "other_spis a '$before'"
sleep 1
load_off a
tap_ok "kernel client: we rekey the child, not one packet lost" no_loss
sw a --terminate --ike t >/dev/null 2>&1
tap_ok "kernel client: it deletes the session, the gateway has no client left" lab_wait 10 \
    "dt b --json status | jq -e '[.gateways[].clients[]?] | length == 0'"
dt_stop b
sw_stop a
tap_end
