#!/bin/sh
# The promise about epochs, on the wire: captures at the client and at the gateway are opened with their key logs, and the first
# packets of every SPI in both directions are compared with the rule (lab/epochs.c). A slow line (25 ms each way) between the
# two makes the time in which it could be broken long; data flows both ways all the time, on every epoch.
set -u
LAB=${LAB:-dtepo}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/capture.sh"
FLOW=$LAB_BIN/../lab/lab-flow
PARAMS='maxidle = 2s pingtime = 400ms pingtries = 8 pingtime2 = 500ms pingtries2 = 3 timeout = 3s elimit = 1'
# A new epoch 2 to 4 s after the last one. Data may leave an epoch unverified after 6 s (the exception of the promise): what a
# machine lets it wait must not look like a breach.
SHORT='keylife = 8s rekeymargin = 2s rekeyfuzz = 200'

# client - relay - gateway - server
topology()
{
    lab_ns client line gateway server
    lab_wire client eth0 '192.0.2.1/24 2001:db8::1/64' line la ''
    lab_wire gateway eth0 '192.0.2.2/24 2001:db8::2/64' line lb ''
    lab_wire gateway inside '10.1.0.1/16 fd01::1/64' server eth0 '10.1.0.10/16 fd01::10/64'
    ip -n "$LAB-server" route add default via 10.1.0.1
    ip -n "$LAB-server" -6 route add default via fd01::1
    lab_forward gateway
    for ns in client gateway; do lab_in $ns ethtool -K eth0 tx off >/dev/null; done
    lab_in line sysctl -qw net.ipv6.conf.all.disable_ipv6=1
    lab_run line relay "$LAB_BIN/../lab/lab-relay" la lb 25
    lab_wait 10 "lab_in client ping -q -c 1 -W 1 192.0.2.2"
}

configure() # ADDRESS CLIENT_SETTINGS GATEWAY_SETTINGS
{
    dt_conf gateway "keylog = \"$(capture_keys gateway)\"" <<C
gateway "head-office" {
    identity = "vpn.example.net"
    psk      = "epochs-psk-0123456789abcdef"
    protect  = { "10.1.0.0/16", "fd01::/64" }
    pool     = { "10.9.0.0/16", "fd09::/64" }
    $PARAMS
    $3
}
C
    dt_conf client "keylog = \"$(capture_keys client)\"" <<C
tunnel "office" {
    gateway = "$1"
    local   = "anna@example.net"
    remote  = "vpn.example.net"
    psk     = "epochs-psk-0123456789abcdef"
    protect = { "10.1.0.0/16", "fd01::/64" }
    $PARAMS
    $2
}
C
}

# Both directions, from before the first epoch to after the last: a numbered flow with its echo, and TCP both ways.
load_on() # SECONDS
{
    rm -f "$LAB_DIR/flow.log"
    lab_run client flow "$FLOW" send 10.1.0.10 4411 -i 2 -t 0
    lab_run client load iperf3 -c fd01::10 -t "$1" -b 10M --bidir
}

load_off()
{
    lab_stop load
    lab_stop flow
}

nothing_lost()
{
    jq -c '{sent, lost_out, lost_back}' "$LAB_DIR/flow.log"
    jq -s -e '.[-1] | .sent > 1000 and .lost_out == 0 and .lost_back == 0' "$LAB_DIR/flow.log"
}

epoch()
{
    dt_field client office '.epoch // 0'
}

# dialogue TEXT ADDRESS SECONDS EPOCHS CLIENT_SETTINGS GATEWAY_SETTINGS [REKEYS]: at least EPOCHS epochs carry data in SECONDS,
# REKEYS of them begun by command
dialogue()
{
    text=$1
    configure "$2" "$5" "$6"
    for ns in client gateway; do capture_start $ns eth0 || tap_note "no capture in $ns"; done
    dt_start gateway
    dt_start client
    tap_ok "$text: up" dt client up office --timeout 15
    load_on "$3"
    sleep 1
    n=0
    while [ $n -lt "${7:-0}" ]; do
        dt client rekey office >/dev/null || tap_note "rekey: $(dt client rekey office 2>&1)"
        n=$((n + 1))
        sleep 0.2
    done
    wait "$(lab_pid load)"
    load_off
    tap_ok "$text: nothing is lost" nothing_lost
    dt_stop client
    dt_stop gateway
    for ns in client gateway; do
        role=-c
        [ $ns = client ] || role=-g
        tap_ok "$text: the capture of the $ns is whole" capture_stop $ns
        if tap_ok "$text: the $ns keeps the promise on every epoch of its capture" epochs_kept $ns $role -n "$4"; then
            tap_note "$(tail -n 1 "$LAB_DIR/tap.out")"
        fi
    done
}

# How many CREATE_CHILD_SA requests (RFC 7296 3.1: exchange 36, not a response) went by from ADDRESS at the client. IKE is at
# port 500, or at 4500 behind a marker of four zeros.
requests_from() # ADDRESS
{
    tcpdump -r "$LAB_DIR/capture-client.pcap" "src host $1 and
        ((udp port 500 and udp[26] = 36 and udp[27] & 0x20 = 0) or
         (udp port 4500 and udp[8:4] = 0 and udp[30] = 36 and udp[31] & 0x20 = 0))" 2>/dev/null | grep -c .
}

begun_by_the_gateway() # LEAST
{
    echo "requests of the gateway: $(requests_from 192.0.2.2), of the client: $(requests_from 192.0.2.1)"
    [ "$(requests_from 192.0.2.2)" -ge "$1" ] && [ "$(requests_from 192.0.2.1)" = 0 ]
}

lab_begin
topology
lab_run server echo "$FLOW" echo 4411
lab_run server iperf iperf3 -s
dialogue "UDP" 192.0.2.2 8 5 "encap = udp $SHORT" '' 3
dialogue "raw ESP" 192.0.2.2 8 5 "encap = esp $SHORT" '' 3
dialogue "raw ESP over IPv6" 2001:db8::2 4 4 "encap = esp $SHORT" '' 3
# The gateway's time comes first: it begins, the client takes it, and proves the epoch all the same.
dialogue "the gateway begins, UDP" 192.0.2.2 8 3 'encap = udp server_rekey = accept' 'keylife = 4s rekeymargin = 2s rekeyfuzz = 20'
tap_ok "the gateway begins, UDP: every negotiation was its own" begun_by_the_gateway 2
dialogue "the gateway begins, raw ESP" 192.0.2.2 8 3 'encap = esp server_rekey = accept' 'keylife = 4s rekeymargin = 2s rekeyfuzz = 20'
tap_ok "the gateway begins, raw ESP: every negotiation was its own" begun_by_the_gateway 2
tap_end
