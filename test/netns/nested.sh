#!/bin/sh
# Tunnels inside tunnels, on real packets: a client, three security gateways in a row, a host behind the last; three
# nested tunnels and transport mode to the host (seed 003, FIG. 2 to 5).
#
#   client 192.0.2.10 -- 192.0.2.1 g1 198.51.101.1 -- 198.51.101.2 g2 198.51.102.2 -- 198.51.102.3 g3 10.3.0.1 -- 10.3.0.9 host
set -u
LAB=${LAB:-dtnest}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"

PARAMS='maxidle = 2s pingtime = 300ms pingtries = 6 pingtime2 = 300ms pingtries2 = 3 timeout = 2s elimit = 1'

topology()
{
    lab_ns client g1 g2 g3 host
    lab_wire client eth0 192.0.2.10/24 g1 out 192.0.2.1/24
    lab_wire g1 in 198.51.101.1/24 g2 out 198.51.101.2/24
    lab_wire g2 in 198.51.102.2/24 g3 out 198.51.102.3/24
    lab_wire g3 in 10.3.0.1/24 host eth0 10.3.0.9/24
    lab_forward g1 g2 g3
    ip -n "$LAB-client" route add default via 192.0.2.1
    ip -n "$LAB-g1" route add default via 198.51.101.2
    ip -n "$LAB-g2" route add 192.0.2.0/24 via 198.51.101.1
    ip -n "$LAB-g2" route add default via 198.51.102.3
    ip -n "$LAB-g3" route add default via 198.51.102.2
    ip -n "$LAB-host" route add default via 10.3.0.1
}

gateway() # NS LISTEN PROTECT
{
    dt_conf "$1" "keylog = \"$LAB_DIR/$1.keys\"" <<C
gateway "$1" {
    listen   = "$2"
    identity = "$1.example.net"
    psk      = "file:$LAB_DIR/secret"
    protect  = "$3"
    remote   = "192.0.2.10"
    $PARAMS
    ${4:-}
}
C
}

tunnel() # NAME GATEWAY PROTECT [EXTRA]
{
    cat <<C
tunnel "$1" {
    gateway = "$2"
    local   = "anna@example.net"
    remote  = "$1.example.net"
    psk     = "file:$LAB_DIR/secret"
    protect = "$3"
    inside  = "192.0.2.10"
    encap   = esp
    $PARAMS
    ${4:-}
}
C
}

client()
{
    {
        tunnel g1 192.0.2.1 198.51.101.2
        tunnel g2 198.51.101.2 198.51.102.3
        tunnel g3 198.51.102.3 10.3.0.9
        tunnel host 10.3.0.9 10.3.0.9 'transport = yes'
        cat <<C
rule "receiver" { action = transport to = 10.3.0.9 }
rule "vpn3" { action = tunnel gateway = g3 to = 10.3.0.0/24 }
rule "vpn2" { action = tunnel gateway = g2 to = 198.51.102.3 }
rule "vpn1" { action = tunnel gateway = g1 to = 198.51.101.2 }
plans { retry_max = 2s }
C
    } | dt_conf client "keylog = \"$LAB_DIR/client.keys\""
}

lab_begin
umask 077
echo 'a secret of more than sixteen bytes' >"$LAB_DIR/secret"
topology
gateway g1 192.0.2.1 198.51.101.2
gateway g2 198.51.101.2 198.51.102.3
gateway g3 198.51.102.3 10.3.0.9
gateway host 10.3.0.9 10.3.0.9 'transport = yes'
client
for ns in g1 g2 g3 host client; do
    tap_ok "$ns starts" dt_start "$ns" || cat "$LAB_DIR/dt-$ns.log"
done
dt_monitor client
tap_ok "ping" lab_in client ping -c 5 -i 0.5 -W 3 10.3.0.9
dt client status
dt client --json status | jq -c .plans
cat $LAB_DIR/dt-client.log | tail -80
tap_end
