#!/bin/sh
# Hosts as they seldom are: routes of rare kinds in our table, IPv6 on one interface alone, a gateway that protects single hosts and
# loses the link to them, and plain packets that look like the link's own. Captures and kernel tables are the judge.
set -u
LAB=${LAB:-dtodd}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
HEAL=10 # seconds

lab_begin
(umask 077; head -c 24 /dev/urandom | base64 >"$LAB_DIR/office.psk")
lab_nat_topology 1
lab_nft_masquerade router wan
# A way out for IPv6 too, or nothing could leak.
ip -n "$LAB-router" addr add fd77::1/64 dev lan nodad
ipv6_of_client()
{
    ip -n "$LAB-c1" addr add fd77::11/64 dev eth0 nodad
    ip -n "$LAB-c1" -6 route add default via fd77::1
}
ipv6_of_client
ip -n "$LAB-internet" addr add fd66::254/64 dev dc nodad
ip -n "$LAB-gateway" addr add fd66::1/64 dev eth0 nodad
ip -n "$LAB-gateway" -6 route add default via fd66::254
dt_conf gateway <<C
gateway "head-office" {
    listen   = { "203.0.113.1" }
    identity = "vpn.example.net"
    psk      = "file:$LAB_DIR/office.psk"
    protect  = { "10.1.0.10/32", "fd01::10/128" }
    pool     = { "10.9.0.0/16", "fd09::/64" }
}
C
dt_conf c1 <<C
tunnel "office" {
    gateway = "203.0.113.1"
    local   = "anna@example.net"
    remote  = "vpn.example.net"
    psk     = "file:$LAB_DIR/office.psk"
    protect = { "10.1.0.0/16", "fd01::/64" }
    encap   = udp
}
C
PLAIN='net 10.1.0.0/16 or net 10.9.0.0/16 or net fd01::/64 or net fd09::/64'
capture() # NS IF NAME FILTER
{
    lab_run "$1" "$3" tcpdump -U -n -i "$2" -w "$LAB_DIR/$3.pcap" --immediate-mode "$4"
    lab_wait 5 "grep -q 'listening on' $LAB_DIR/$3.log"
}
captured() # NAME [FILTER]
{
    tcpdump -n -r "$LAB_DIR/$1.pcap" ${2:+"$2"} 2>/dev/null | wc -l
}
datagrams() # NS TO PORT SECONDS: one each 20 ms
{
    lab_in "$1" python3 -c "
import socket, time
to = ('$2', $3)
s = socket.socket(socket.AF_INET6 if ':' in to[0] else socket.AF_INET, socket.SOCK_DGRAM)
end = time.time() + $4
while time.time() < end:
    try: s.sendto(b'x', to)
    except OSError: pass
    time.sleep(0.02)
"
}
dt_start gateway
dt_start c1
tap_ok "up" dt_wait_up c1 office 15
capture internet dc gateway-plain "$PLAIN"
capture c1 eth0 client-plain "$PLAIN"
capture server eth0 arrived udp
both_pass() # the datagrams reach the server
{
    b_before4=$(captured arrived 'dst host 10.1.0.10 and udp port 9') b_before6=$(captured arrived 'dst host fd01::10 and udp port 9')
    datagrams c1 10.1.0.10 9 0.1
    datagrams c1 fd01::10 9 0.1
    sleep 0.1
    [ "$(captured arrived 'dst host 10.1.0.10 and udp port 9')" -gt "$b_before4" ] &&
        [ "$(captured arrived 'dst host fd01::10 and udp port 9')" -gt "$b_before6" ]
}
tap_ok "packets pass" lab_wait "$HEAL" both_pass

# ---- a ping is the host's to answer, and nobody's when it does not
pings()
{
    lab_in c1 ping -q -c 1 -W 1 10.1.0.10 >/dev/null && lab_in c1 ping -q -c 1 -W 1 fd01::10 >/dev/null
}
tap_ok "the host behind the gateway answers a ping" pings
lab_in server sysctl -qw net.ipv4.icmp_echo_ignore_all=1 net.ipv6.icmp.echo_ignore_all=1
tap_ok "it does not any more: no answer" sh -c "! ip netns exec $LAB-c1 ping -q -c 1 -W 1 10.1.0.10 >/dev/null"
tap_ok "of IPv6 neither" sh -c "! ip netns exec $LAB-c1 ping -q -c 1 -W 1 fd01::10 >/dev/null"
lab_in server sysctl -qw net.ipv4.icmp_echo_ignore_all=0 net.ipv6.icmp.echo_ignore_all=0

# ---- the link to hosts behind the gateway is down: they do not follow the default route
down_up()
{
    ip -n "$LAB-gateway" link set inside down
    datagrams c1 10.1.0.10 9 0.3
    datagrams c1 fd01::10 9 0.3
    ip -n "$LAB-gateway" link set inside up
    ip -n "$LAB-gateway" addr replace fd01::1/64 dev inside nodad
}
down_up
tap_ok "a single host's link is down: not one packet of it on the gateway's uplink" [ "$(captured gateway-plain)" = 0 ]
tap_ok "and it is up again: packets pass" lab_wait "$HEAL" both_pass

# ---- a plain packet from a protected network that looks like DHCP and is for another host
ip -n "$LAB-internet" addr add 10.9.0.77/32 dev lo
ip -n "$LAB-internet" route add 10.1.0.0/16 via 203.0.113.1
plain_dhcp() # FROM TO
{
    lab_in internet python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.9.0.77', $1))
s.sendto(b'x', ('10.1.0.10', $2))
"
}
tap_ok "a plain packet to DHCP's ports is sent" plain_dhcp 67 68
sleep 0.3
tap_ok "and reached the gateway" [ "$(captured gateway-plain 'src host 10.9.0.77 and udp dst port 68')" = 1 ]
tap_ok "and no host behind it" [ "$(captured arrived 'src host 10.9.0.77')" = 0 ]

# ---- routes of rare kinds in our table: taken away, and what ours are stays
in_table()
{
    lab_in c1 ip route show table 17494
    lab_in c1 ip -6 route show table 17494
}
REST=$(in_table)
c1_route() # ARGUMENT...
{
    ip -n "$LAB-c1" "$@"
}
as_at_rest()
{
    [ "$(in_table)" = "$REST" ] && dt_is_up c1 office
}
rare() # TEXT ARGUMENT...
{
    r_text=$1
    shift
    tap_ok "$r_text: can be made" c1_route "$@"
    tap_ok "$r_text: taken away" lab_wait "$HEAL" as_at_rest || in_table | sed 's/^/# /'
}
ip -n "$LAB-c1" nexthop add id 7 via 192.168.7.1 dev eth0
rare "a route of one type of service" route add 10.1.2.0/24 tos 0x10 via 192.168.7.1 table 17494
rare "and of ours with it" route add 10.1.0.0/16 tos 0x10 via 192.168.7.1 table 17494
rare "one beside ours" route append 10.1.0.0/16 via 192.168.7.1 table 17494
rare "one before ours" route prepend 10.1.0.0/16 via 192.168.7.1 table 17494
rare "one by two ways" route add 10.1.3.0/24 table 17494 nexthop via 192.168.7.1 nexthop via 192.168.7.2
rare "one by a nexthop object" route add 10.1.6.0/24 nhid 7 table 17494
rare "ours by a nexthop object" route append 10.1.0.0/16 nhid 7 table 17494
rare "a black hole" route add blackhole 10.1.4.0/24 table 17494
rare "a local one" route add local 10.1.5.0/24 dev eth0 table 17494
rare "a barrier of one type of service" route add unreachable 10.1.0.0/16 tos 0x10 metric 4294967295 table 17494
rare "one for some sources alone" -6 route add fd01::/64 from fd00::/8 via fd77::1 table 17494
rare "a narrower one for some sources" -6 route add fd01::/96 from fd00::/8 via fd77::1 table 17494
rare "one of IPv6 beside ours" -6 route append fd01::/64 via fd77::1 table 17494
rare "one of IPv6 by two ways" -6 route add fd01::/80 table 17494 nexthop via fd77::1 nexthop via fd77::2
tap_ok "none of them was told twice at once" sh -c "[ -z \"\$(grep 'stood in table' $LAB_DIR/dt-c1.log | uniq -d)\" ]"
tap_ok "packets pass" both_pass
tap_ok "nothing left in the clear meanwhile" [ "$(captured client-plain)" = 0 ]

# ---- IPv6 switched off, and on again for the uplink alone: what is protected has both barriers
lab_in c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.eth0.disable_ipv6=0
ipv6_of_client
barrier6()
{
    lab_in c1 ip -6 route show table 17494 | grep -q '^unreachable fd01::/64' && lab_in c1 ip -6 rule | grep -q '^17494:'
}
tap_ok "IPv6 on the uplink alone: the routes close too" lab_wait "$HEAL" barrier6
lab_in c1 nft delete table inet dovetail
datagrams c1 fd01::10 9 0.1
tap_ok "and packets pass" lab_wait "$HEAL" both_pass
tap_ok "nothing leaves in the clear" [ "$(captured client-plain)" = 0 ]
lab_in c1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1
none6()
{
    [ -z "$(lab_in c1 ip -6 rule | grep 17494)" ] && [ -z "$(lab_in c1 ip -6 addr show dev dovetail0)" ]
}
tap_ok "IPv6 off everywhere: nothing of it is wanted" lab_wait "$HEAL" none6
tap_end
