#!/bin/sh
# Gateways elsewhere than usual: at a port of their own, and at an address of one link alone.
#
#   client, other --- (10.77.1.0/24, 2001:db8:1::/64) --- router (a NAT) --- (192.0.2.0/24, 2001:db8::/64) --- gateway --- server 10.1.0.10
#       \__ eth1 __________________ a cable, fe80::2 and fe80::1 ______________________________________________/
set -u
LAB=${LAB:-dtels}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/strongswan.sh"
PSK=elsewhere-psk-0123456789abcdef
PARAMS='maxidle = 2s pingtime = 300ms pingtries = 8 pingtime2 = 500ms pingtries2 = 3 timeout = 2s elimit = 1'

topology()
{
    lab_ns client other router gateway server
    lab_bridge router lan '10.77.1.1/24 2001:db8:1::1/64'
    lab_plug router lan pc client eth0 '10.77.1.2/24 2001:db8:1::2/64'
    lab_plug router lan po other eth0 '10.77.1.3/24'
    lab_wire router wan '192.0.2.254/24 2001:db8::254/64' gateway eth0 '192.0.2.1/24 2001:db8::1/64'
    for ns in client other; do ip -n "$LAB-$ns" route add default via 10.77.1.1; done
    ip -n "$LAB-client" route add 2001:db8::/64 via 2001:db8:1::1
    ip -n "$LAB-gateway" route add 2001:db8:1::/64 via 2001:db8::254
    lab_wire gateway inside '10.1.0.1/16' server eth0 '10.1.0.10/16'
    ip -n "$LAB-server" route add default via 10.1.0.1
    cable
    lab_forward router gateway
    masquerade
}

cable()
{
    lab_wire client eth1 'fe80::2/64' gateway "${1:-eth1}" 'fe80::1/64'
}

masquerade() # [PORT:PORT]: and what comes for the first at the router goes to the second at the gateway
{
    lab_in router nft -f - <<C
table ip nat
delete table ip nat
table ip nat {
    chain in { type nat hook prerouting priority dstnat;
        ${1:+ip daddr 10.77.1.1 udp dport ${1%:*} dnat to 192.0.2.1:${1#*:};} }
    chain out { type nat hook postrouting priority srcnat; oifname wan masquerade; }
}
C
}

gateway() # [DAEMON_SETTINGS]
{
    dt_stop gateway
    dt_conf gateway "${1:-}" <<C
gateway "head-office" { identity = "vpn.example.net" psk = $PSK protect = "10.1.0.0/16" pool = "10.9.0.0/24" $PARAMS }
C
    dt_start gateway || tap_note "gateway: $(tail -n 3 "$LAB_DIR/dt-gateway.log")"
}

tunnel() # NS GATEWAY [SETTINGS]: its file
{
    dt_conf "$1" <<C
tunnel "t" { gateway = "$2" local = "$1@example.net" remote = "vpn.example.net" psk = $PSK ${3:-protect = "10.1.0.0/16"} $PARAMS }
C
}

client() # NS GATEWAY [SETTINGS]: restarted
{
    dt_stop "$1"
    tunnel "$@"
    dt_start "$1" || tap_note "$1: $(tail -n 3 "$LAB_DIR/dt-$1.log")"
}

up() # NS
{
    dt "$1" up t --timeout 15
}

carries() # NS
{
    lab_in "$1" ping -n -q -c 2 -i 0.1 -W 2 10.1.0.10
}

peer_is() # NS ADDRESS
{
    is=$(dt_field "$1" t .remote_address)
    echo "$is"
    [ "$is" = "$2" ]
}

only() # NAME FILTER OTHERS: packets of the one kind, and none of the others
{
    n=$(lab_dumped "$1" "$2") others=$(lab_dumped "$1" "$3")
    echo "$n match $2, $others match $3"
    [ "$n" -gt 2 ] && [ "$others" = 0 ]
}

begins_with_marker() # NAME: the first datagram, IKE_SA_INIT, has four zeros before its cookie, and the next four are none
{
    tcpdump -n -c 1 -x -r "$LAB_DIR/$1.pcap" udp 2>/dev/null | tee /dev/stderr |
        awk '/0x/ { for (i = 2; i <= NF; i++) hex = hex $i } END { exit substr(hex, 57, 8) != "00000000" || substr(hex, 65, 8) == "00000000" }'
}

lab_begin
umask 077
topology
lab_wait 5 "lab_in client ping -q -c 1 -W 1 192.0.2.1" || { echo "Bail out! the network does not work"; exit 1; }

# ---- a port that a router passes on: the gateway knows nothing of it
gateway
masquerade 4501:4500
lab_dump client eth0 port 'udp or esp'
client client 10.77.1.1:4501
tap_ok "a port that the router passes on: up" up client
tap_ok "and carries" carries client
lab_dump_stop port
tap_ok "all of it goes to that port" only port 'udp port 4500 and udp port 4501' 'esp or udp port 500'
tap_ok "with the non-ESP marker from the first datagram on" begins_with_marker port
tap_ok "status names the port" peer_is client 10.77.1.1:4501
masquerade 4502:4500
tunnel client 10.77.1.1:4502
tap_ok "another port in the file: the reload takes it" dt client reload
tap_ok "and the tunnel goes there" lab_wait 15 'peer_is client 10.77.1.1:4502 && carries client'

# ---- a port of the gateway's own
gateway 'natt_port = 4501'
client client 192.0.2.1:4501
client other 192.0.2.1:4501
tap_ok "natt_port of the gateway: up, through masquerade" up client
tap_ok "and another client at once" up other
tap_ok "both carry" sh -c "ip netns exec $LAB-client ping -nqc 2 -W 2 10.1.0.10 && ip netns exec $LAB-other ping -nqc 2 -W 2 10.1.0.10"
lab_dump client eth0 v6 'udp or esp'
client client '[2001:db8::1]:4501'
tap_ok "IPv6, without any NAT: up" up client
tap_ok "and carries" carries client
lab_dump_stop v6
tap_ok "by UDP to that port alone" only v6 'ip6 and udp port 4501' 'esp or udp port 500'
lab_dump client eth0 full 'udp or esp or icmp'
client client 192.0.2.1:4501 'protect = "0.0.0.0/0" lan = tunnel'
tap_ok "everything through it, the gateway's own address too: up" up client
tap_ok "and carries" carries client
lab_dump_stop full
tap_ok "nothing plain" only full 'udp port 4501' icmp

# ---- dovetail-natd in the router: what is not 500 or ESP is the kernel's masquerade
natd_start router lan wan
client client 192.0.2.1:4501
client other 192.0.2.1:4501
tap_ok "behind dovetail-natd: up" up client
tap_ok "the other too" up other
tap_ok "both carry" sh -c "ip netns exec $LAB-client ping -nqc 2 -W 2 10.1.0.10 && ip netns exec $LAB-other ping -nqc 2 -W 2 10.1.0.10"
natd_stop router

# ---- strongSwan there
dt_stop gateway
dt_stop other
sw_why=$(sw_missing)
if [ -z "$sw_why" ]; then
    sw_start gateway 'port_nat_t = 4501'
    sw_load gateway <<C
connections { g { version = 2
    pools = p
    local { auth = psk
      id = vpn.example.net }
    remote { auth = psk
      id = client@example.net }
    children { net { local_ts = 10.1.0.0/16 } } } }
pools { p { addrs = 10.9.0.0/24 } }
secrets { ike-t { secret = "$PSK" } }
C
    client client 192.0.2.1:4501
    tap_ok "strongSwan with port_nat_t of its own: up" up client
    tap_ok "and carries" carries client
    dt_stop client
    sw_stop gateway
else
    tap_skip "strongSwan with port_nat_t of its own" "$sw_why"
fi

# ---- an address of one link
gateway
for encap in esp udp; do
    lab_dump client eth1 link "ip6 and (udp or esp)"
    client client fe80::1%eth1 "protect = 10.1.0.0/16 encap = $encap"
    tap_ok "an address of one link, $encap: up" up client
    tap_ok "and carries" carries client
    tap_ok "status names the interface" sh -c "echo '$(dt_field client t .remote_address)' | tee /dev/stderr | grep -qE '^\[?fe80::1%eth1'"
    lab_dump_stop link
    if [ $encap = esp ]; then
        tap_ok "it goes by that link, in ESP" only link 'dst fe80::1 and esp' 'udp port 4500'
    else
        tap_ok "it goes by that link, in UDP" only link 'dst fe80::1 and udp port 4500' esp
    fi
done
ip -n "$LAB-client" link del eth1
tap_ok "its interface goes: that is said" lab_wait 20 "dt_says client 'this host has no interface eth1 now'"
tap_ok "and what it protects stays closed" sh -c "! ip netns exec $LAB-client ping -nqc 1 -W 1 10.1.0.10"
ip -n "$LAB-client" link add spare type veth # the next interface has another number
cable
tap_ok "another interface of that name comes: it heals" lab_wait 30 'carries client'
client client fe80::1%eth7
tap_ok "an interface that is not there yet is waited for" lab_wait 10 "dt_says client 'this host has no interface eth7 now'"
ip -n "$LAB-client" link set eth1 down
ip -n "$LAB-client" link set eth1 name eth7
ip -n "$LAB-client" link set eth7 up
ip -n "$LAB-client" addr replace fe80::2/64 dev eth7 nodad
tap_ok "and used when it comes" lab_wait 30 'carries client'
gateway 'natt_port = 4501'
client client '[fe80::1%eth7]:4501'
tap_ok "with a port: up" up client
tap_ok "and status has both" peer_is client '[fe80::1%eth7]:4501'
tap_end
