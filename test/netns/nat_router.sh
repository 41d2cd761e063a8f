#!/bin/sh
# The router is an IPsec end itself while dovetail-natd runs on it: as a client of the gateway with which its clients speak,
# and as a gateway for somebody outside, with raw ESP and with UDP. What is of no client is left to the router's stack, and
# to the filters behind natd's.
set -u
LAB=${LAB:-dtnr}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
PARAMS='maxidle = 2s  pingtime = 300ms  pingtries = 30  pingtime2 = 500ms  pingtries2 = 3  timeout = 3s  elimit = 2'

if [ ! -x "$LAB_BIN/dovetaild" ]; then
    echo "1..1"
    echo "ok 1 - the router's own IPsec beside dovetail-natd # SKIP build/bin/dovetaild"
    exit 0
fi

gateway_section() # NAME ADDRESS PROTECT POOL
{
    cat <<C
gateway "$1" {
    listen   = { "$2" }
    identity = "$1.example.net"
    psk      = "psk-0123456789abcdef"
    protect  = { "$3" }
    pool     = { "$4" }
    $PARAMS
}
C
}

tunnel_section() # NAME WHO GATEWAY REMOTE PROTECT ENCAP
{
    cat <<C
tunnel "$1" {
    gateway = "$3"
    local   = "$2@example.net"
    remote  = "$4.example.net"
    psk     = "psk-0123456789abcdef"
    protect = { "$5" }
    encap   = $6
    $PARAMS
}
C
}

# start ENCAP: the far gateway, the router (client of it, and a gateway of its own), a client inside, and one outside
start()
{
    gateway_section far 203.0.113.1 10.1.0.0/16 10.9.0.0/16 | dt_conf gateway "workers = 1"
    { tunnel_section up router 203.0.113.1 far 10.1.0.0/16 "$1"
      gateway_section near 198.51.100.2 192.168.7.0/24 10.8.0.0/16; } | dt_conf router "workers = 1"
    tunnel_section up c1 203.0.113.1 far 10.1.0.0/16 "$1" | dt_conf c1 "workers = 1"
    tunnel_section home guest 198.51.100.2 near 192.168.7.0/24 "$1" | dt_conf internet "workers = 1"
    dt_start gateway && dt_start router && dt_start c1 && dt_start internet
}

stop()
{
    for ns in c1 internet router gateway; do dt_stop $ns; done
}

in_lan() { tcpdump -n -r "$LAB_DIR/lan.pcap" "$1" 2>/dev/null | wc -l; }

passes() { lab_wait 10 "ip netns exec $LAB-$1 ping -n -q -c 3 -i 0.2 -W 1 $2 | grep -q ' 0% packet loss'"; }

lab_begin
lab_nat_topology 1
lab_nft_masquerade router wan

for encap in esp udp; do
    tap_ok "$encap: the daemons start" start $encap
    tap_ok "$encap: before natd, the router's own tunnel passes" passes router 10.1.0.10
    natd_start router lan wan --set t_out=1 --set n_out=10 --set t_ei=30
    tap_ok "$encap: and while natd runs" passes router 10.1.0.10
    tap_ok "$encap: a client inside has a tunnel with the same gateway" passes c1 10.1.0.10
    tap_ok "$encap: somebody outside reaches the LAN through the router as a gateway" passes internet 192.168.7.11
    tap_ok "$encap: the router's epoch is replaced" dt router rekey up
    tap_ok "$encap: and at once the client's" dt c1 rekey up
    sleep 2
    tap_ok "$encap: after both, the router's passes" passes router 10.1.0.10
    tap_ok "$encap: and the client's" passes c1 10.1.0.10
    rm -f "$LAB_DIR/dump.log"
    lab_run router dump tcpdump -n --immediate-mode -i lan -w "$LAB_DIR/lan.pcap" 'esp or udp port 4500'
    lab_wait 5 "grep -q 'listening on' '$LAB_DIR/dump.log'"
    dt_stop router
    { tunnel_section up router 203.0.113.1 far 10.1.0.0/16 $encap
      gateway_section near 198.51.100.2 192.168.7.0/24 10.8.0.0/16; } | dt_conf router "workers = 1"
    dt_start router
    tap_ok "$encap: a new session of the router's comes up through its own NAT" passes router 10.1.0.10
    tap_ok "$encap: so does the one of the guest with the router" passes internet 192.168.7.11
    tap_ok "$encap: the client's tunnel passes meanwhile" passes c1 10.1.0.10
    lab_stop dump INT
    tap_ok "$encap: the client's ESP is seen in the LAN" [ "$(in_lan 'host 192.168.7.11')" -gt 3 ]
    tap_ok "$encap: and none of the router's" [ "$(in_lan 'not host 192.168.7.11')" = 0 ]
    if [ $encap = esp ]; then
        own() { nat router --json list | jq -e '[.items[] | select(.kind == "esp" and .client == "198.51.100.2" and .state == "established")] | length > 0'; }
        tap_ok "esp: the router's items stand beside the clients'" own
        # A filter behind ours (its preference is greater) that drops whatever it sees: that is all but the clients' IPsec.
        behind()
        {
            ping_from() { lab_in "$2" ping -n -q -c 2 -i 0.2 -W 1 "$3" >/dev/null; }
            ping_from "$@" || return 1
            lab_in router tc filter add dev "$1" ingress pref 60000 protocol ip bpf da bytecode '1,6 0 0 2,' || return 1
            ! ping_from "$@" || return 1
            [ "$1" = lan ] || passes c1 10.1.0.10 || return 1
            lab_in router tc filter del dev "$1" ingress pref 60000
            ping_from "$@"
        }
        tap_ok "a filter behind natd's sees on the outside interface what is of no client, and not what is" \
            behind wan internet 198.51.100.2
        tap_ok "and on the inside one" behind lan c1 192.168.7.1
    fi
    natd_stop router
    stop
done
tap_end
