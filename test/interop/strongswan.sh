#!/bin/sh
# A first meeting with a stranger: strongSwan from Debian as gateway and as client. Both sides rekey, both delete, under
# load; what strongSwan does on a rekey (it holds its outbound SA until it has seen the DELETE) must not cost a packet.
set -u
cd "$(dirname "$0")/../.." || exit 1
LAB=${LAB:-dtsw} LAB_ROOT=$PWD
. lab/lab.sh
. lab/dovetail.sh
. lab/strongswan.sh
lab_begin

missing=$(sw_missing)
if [ -n "$missing" ]; then
    tap_skip "strongSwan as gateway and as client" "$missing"
    tap_end
    exit
fi

FLOW=$LAB_ROOT/build/lab/lab-flow
PSK=lab-psk-0123456789abcdef

topology()
{
    lab_ns a w b
    lab_bridge w br0 ''
    lab_plug w br0 pa a eth0 192.0.2.1/24
    lab_plug w br0 pb b eth0 192.0.2.2/24
    ip -n "$LAB-b" addr add 10.2.0.1/24 dev lo
}

# a is Dovetail (client), b strongSwan (gateway)
sw_gateway_conf()
{
    cat <<C
connections { t { version = 2
    local_addrs = 192.0.2.2
    remote_addrs = %any
    proposals = aes128gcm16-prfsha256-x25519
    pools = inside
    dpd_delay = 0
    local { auth = psk
      id = b.lab.test }
    remote { auth = psk
      id = a.lab.test }
    children { net { local_ts = 10.2.0.0/24
        esp_proposals = aes128gcm16
        rekey_time = 0 } } } }
pools { inside { addrs = 10.9.0.0/24 } }
secrets { ike-t { id-a = a.lab.test
  secret = "$PSK" } }
C
}

dt_client_conf()
{
    cat <<C
tunnel "t" {
    gateway = "192.0.2.2"
    local   = "a.lab.test"
    remote  = "b.lab.test"
    psk     = "$PSK"
    protect = { "10.2.0.0/24" }
    encap   = udp
    ${1:-}
}
C
}

# A numbered flow in the background, at a pace such that charon's UDP socket, whose buffer nothing can enlarge (some 270
# packets), bridges a second in which a busy machine lets charon or dovetaild wait: loss would be that machine's.
load_on() # NS ADDRESS
{
    : >"$LAB_DIR/flow.log"
    lab_run "$1" flow "$FLOW" send "$2" 4411 -i 4 -t 0
    sleep 0.5
}

load_off() # prints the flow's report
{
    kill -TERM "$(lab_pid flow)"
    lab_wait 5 "[ -s '$LAB_DIR/flow.log' ]" # in a subshell there is no child to wait for
    rm -f "$LAB_DIR/flow.pid"
    tail -n 1 "$LAB_DIR/flow.log"
}

epoch()
{
    dt_field a t '.epoch // 0'
}

no_loss()
{
    tap_note "$1"
    echo "$1" | jq -e '.sent > 200 and .lost == 0' >/dev/null
}

# strongSwan's own word: the SPIs of its children, one line each.
sw_child_spis() # NS
{
    sw "$1" --list-sas --raw | grep -o 'spi-\(in\|out\)=[0-9a-f]*' | sort | tr '\n' ' '
}

other_child() # NS BEFORE
{
    now=$(sw_child_spis "$1")
    echo "before: $2, now: $now"
    [ -n "$2" ] && [ "$now" != "$2" ] && [ "$(echo "$now" | wc -w)" = 2 ]
}

sw_ike_spis() # NS
{
    sw "$1" --list-sas --raw | grep -o '\(initiator\|responder\)-spi=[0-9a-f]*' | sort | tr '\n' ' '
}

other_ike() # NS BEFORE
{
    now=$(sw_ike_spis "$1")
    echo "before: $2, now: $now"
    [ -n "$2" ] && [ "$now" != "$2" ] && [ "$(echo "$now" | wc -w)" = 2 ]
}

sw_said() # NS WORDS: how many lines of its log have them
{
    grep -c -- "$2" "$LAB_DIR/sw-$1/log"
}

newer_epoch() # BEFORE
{
    lab_wait 10 "[ \$(epoch) -gt $1 ] && dt_is_up a t"
}

# ---------------------------------------------------------------- strongSwan is the gateway
topology
sw_start b
sw_gateway_conf | sw_load b
dt_client_conf | dt_conf a
dt_start a
lab_run b echo "$FLOW" echo 4411
tap_ok "strongSwan gateway: the tunnel comes up, pre-shared key, inside address leased" dt_wait_up a t 15
tap_note "$(dt a status | head -n 6)"
tap_ok "strongSwan gateway: ping through the tunnel" lab_in a ping -q -c 3 -i 0.2 -W 2 10.2.0.1
lab_run b iperf iperf3 -s -1 -B 10.2.0.1
lab_wait 5 "lab_in b ss -ltn | grep -q 5201"
tap_ok "strongSwan gateway: TCP is carried" sh -c \
    "ip netns exec $LAB-a iperf3 -c 10.2.0.1 -t 2 -J | jq -e '.end.sum_received.bytes > 1000000'"

load_on a 10.2.0.1
before=$(epoch) children=$(sw_child_spis b)
tap_ok "strongSwan gateway: we rekey the child" dt a rekey t
tap_ok "strongSwan gateway: the new epoch is verified" newer_epoch "$before"
tap_ok "strongSwan gateway: and is its only child" lab_wait 5 "other_child b '$children'"
sleep 1
report=$(load_off)
tap_ok "strongSwan gateway: not one packet lost on our rekey" no_loss "$report"

load_on a 10.2.0.1
before=$(sw_child_spis b)
for n in 1 2 3 4 5; do
    tap_ok "strongSwan gateway: rekey $n of five" dt a rekey t
    sleep 0.7
done
report=$(load_off)
tap_ok "strongSwan gateway: not one packet lost on five rekeys in a row" no_loss "$report"
tap_ok "strongSwan gateway: which left it one child, with other SPIs" lab_wait 5 "other_child b '$before'"

load_on a 10.2.0.1
before=$(epoch) children=$(sw_child_spis b)
sw b --rekey --child net >"$LAB_DIR/sw.out" 2>&1
tap_ok "strongSwan gateway: its rekey is accepted and makes a new epoch, verified" newer_epoch "$before"
tap_ok "strongSwan gateway: which is its only child" lab_wait 5 "other_child b '$children'"
sleep 1
report=$(load_off)
tap_ok "strongSwan gateway: not one packet lost on its rekey" no_loss "$report"

load_on a 10.2.0.1
before=$(sw_ike_spis b)
tap_ok "strongSwan gateway: we rekey the IKE SA" dt a rekey --ike t
tap_ok "strongSwan gateway: it has one IKE SA, with other SPIs" lab_wait 10 "other_ike b '$before'"
sleep 1
report=$(load_off)
tap_ok "strongSwan gateway: we rekey the IKE SA under load" no_loss "$report"
tap_ok "strongSwan gateway: and the child can be rekeyed on the new IKE SA" sh -c \
    "$LAB_BIN/dovetail --socket $LAB_DIR/dt-a/sock rekey t"

load_on a 10.2.0.1
before=$(sw_ike_spis b)
sw b --rekey --ike t >"$LAB_DIR/sw.out" 2>&1
tap_ok "strongSwan gateway: it rekeys the IKE SA, and one is left there, with other SPIs" lab_wait 10 "other_ike b '$before'"
sleep 1
report=$(load_off)
tap_ok "strongSwan gateway: it rekeys the IKE SA under load" no_loss "$report"

before=$(sw_child_spis b)
sw b --terminate --child net >"$LAB_DIR/sw.out" 2>&1
tap_ok "strongSwan gateway: it deletes the child, we make a new one" lab_wait 10 \
    "other_child b '$before' && dt_is_up a t && lab_in a ping -q -c 1 -W 1 10.2.0.1"
before=$(sw_ike_spis b)
sw b --terminate --ike t >"$LAB_DIR/sw.out" 2>&1
tap_ok "strongSwan gateway: it deletes the session, we open a new one" lab_wait 15 \
    "other_ike b '$before' && dt_is_up a t && lab_in a ping -q -c 1 -W 1 10.2.0.1"
tap_ok "strongSwan gateway: we go down" dt a down t
tap_ok "strongSwan gateway: nothing is left there" lab_wait 5 \
    "[ -z \"\$(sw b --list-sas)\" ]"

# decline: the peer's rekey is not taken; it asks again, and we rekey where the epoch is not quite new
dt_client_conf 'server_rekey = decline' | dt_conf a
tap_ok "strongSwan gateway, server_rekey = decline: the configuration is taken" dt a reload
dt a up t >/dev/null
tap_ok "strongSwan gateway, server_rekey = decline: up" dt_wait_up a t 15
load_on a 10.2.0.1
before=$(epoch)
sw b --rekey --child net >/dev/null 2>&1
sleep 3
report=$(load_off)
tap_ok "strongSwan gateway, server_rekey = decline: its rekey gets TEMPORARY_FAILURE" \
    grep -q 'TEMPORARY_FAILURE\|TEMP_FAIL' "$LAB_DIR/sw-b/log"
tap_ok "strongSwan gateway, server_rekey = decline: no new epoch, not one packet lost" sh -c \
    "[ $(epoch) = $before ] && echo '$report' | jq -e '.sent > 200 and .lost == 0' >/dev/null"
dt a down t >/dev/null

# By its own clock: every 3 s, and what nobody rekeys it lets expire after 5.
sw_gateway_conf | sed 's/rekey_time = 0/rekey_time = 3s\n        life_time = 5s\n        rand_time = 0s/' | sw_load b
dt_client_conf | dt_conf a
tap_ok "strongSwan gateway that rekeys by its clock: the configuration is taken" dt a reload
dt a up t >/dev/null
tap_ok "strongSwan gateway that rekeys by its clock: up" dt_wait_up a t 15
load_on a 10.2.0.1
before=$(epoch)
sleep 11
report=$(load_off)
tap_ok "strongSwan gateway that rekeys by its clock: three new epochs" [ $(($(epoch) - before)) -ge 3 ]
tap_ok "strongSwan gateway that rekeys by its clock: not one packet lost, with our defaults" no_loss "$report"
dt_stop a
sw_stop b
for n in a w b; do ip netns del "$LAB-$n"; done

# ---------------------------------------------------------------- strongSwan is the client
topology
sw_gateway_of_ours 10.2.0.0/24 | dt_conf b
dt_start b
lab_run b echo2 "$FLOW" echo 4411
sw_start a
sw_client 10.2.0.0/24 | sw_load a
tap_ok "strongSwan client: it brings the tunnel up and gets an inside address" sw a --initiate --child net
tap_ok "strongSwan client: ping through the tunnel" lab_wait 5 "lab_in a ping -q -c 2 -i 0.2 -W 1 10.2.0.1"
lab_run b iperf2 iperf3 -s -1 -B 10.2.0.1
lab_wait 5 "lab_in b ss -ltn | grep -q 5201"
tap_ok "strongSwan client: TCP is carried" sh -c \
    "ip netns exec $LAB-a iperf3 -c 10.2.0.1 -t 2 -J | jq -e '.end.sum_received.bytes > 1000000'"
load_on a 10.2.0.1
before=$(sw_child_spis a)
sw a --rekey --child net >"$LAB_DIR/sw.out" 2>&1
tap_ok "strongSwan client: it rekeys the child, and has one, with other SPIs" lab_wait 10 "other_child a '$before'"
sleep 1
report=$(load_off)
tap_ok "strongSwan client: it rekeys the child, not one packet lost" no_loss "$report"
load_on a 10.2.0.1
before=$(sw_ike_spis a)
sw a --rekey --ike t >"$LAB_DIR/sw.out" 2>&1
tap_ok "strongSwan client: it rekeys the IKE SA, and has one, with other SPIs" lab_wait 10 "other_ike a '$before'"
sleep 1
report=$(load_off)
tap_ok "strongSwan client: it rekeys the IKE SA, not one packet lost" no_loss "$report"
load_on a 10.2.0.1
before=$(sw_child_spis a)
tap_ok "strongSwan client: we rekey the child" dt b rekey a.lab.test
tap_ok "strongSwan client: it is left with one child, with other SPIs" lab_wait 10 "other_child a '$before'"
sleep 1
report=$(load_off)
tap_ok "strongSwan client: we rekey the child, not one packet lost" no_loss "$report"
tap_ok "strongSwan client: we ping it through the epoch" dt b ping --count 2 a.lab.test
sw a --terminate --ike t >/dev/null 2>&1
tap_ok "strongSwan client: it deletes the session, the gateway has no client left" lab_wait 10 \
    "dt b --json status | jq -e '[.gateways[].clients[]?] | length == 0'"
# What a Dovetail adds to its refusals for another is nothing to a stranger.
sw_client 10.2.0.0/24 aes128-sha256-modp3072 | sw_load a
sw a --initiate --child net >/dev/null 2>&1
tap_ok "strongSwan client: it understands our refusal of its proposal" grep -q 'received NO_PROPOSAL_CHOSEN notify error' "$LAB_DIR/sw-a/log"
tap_ok "strongSwan client: our status names what both sides offered" sh -c \
    "$LAB_BIN/dovetail --socket $LAB_DIR/dt-b/sock --json status | jq -e '.refused[0].why | contains(\"group15\") and contains(\"x25519\")'"
tap_end
