#!/bin/sh
# What a tunnel that protects everything must let through, and nothing else: the name of its gateway is looked up outside of it,
# reverse path filtering does not cut it off, and the client stays a good neighbour on its own network. All is read from
# captures, kernel tables and the far end.
set -u
LAB=${LAB:-dtlan}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"

lab_begin
office_lab 1
lab_in router sysctl -qw net.ipv4.conf.all.rp_filter=0

# A name server in the internet, at 198.51.100.1: dead.example.net's first address is nobody's.
cat >"$LAB_DIR/dns.py" <<'P'
import socket, struct, sys
names = {"vpn": ["203.0.113.1"], "two": ["203.0.113.77", "203.0.113.1"]}
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
while True:
    q, peer = s.recvfrom(2048)
    if len(q) < 20:
        continue
    label = q[13:13 + q[12]].decode("ascii", "replace")
    kind = struct.unpack(">H", q[-4:-2])[0]
    print(peer[0], label, kind, flush=True)
    found = names.get(label, []) if kind == 1 else []
    code = 0x8180 if label in names else 0x8183
    a = q[:2] + struct.pack(">HHHHH", code, 1, len(found), 0, 0) + q[12:]
    for x in found:
        a += struct.pack(">HHHIH", 0xc00c, 1, 1, 60, 4) + socket.inet_aton(x)
    s.sendto(a, peer)
P
lab_run internet dns python3 "$LAB_DIR/dns.py" 198.51.100.1
lab_wait 5 "ip netns exec $LAB-internet ss -lun | grep -q 198.51.100.1:53"
mkdir -p "/etc/netns/$LAB-c1"
echo 'nameserver 198.51.100.1' >"/etc/netns/$LAB-c1/resolv.conf"
trap 'rm -rf "/etc/netns/$LAB-c1"; lab_end' EXIT

EVERYTHING='protect = { "0.0.0.0/0", "::/0" }'
office_gateway "$EVERYTHING" | dt_conf gateway

# What is on the client's uplink, and is neither IKE, ESP nor what FILTER says.
capture() # NAME FILTER
{
    lab_dump c1 eth0 "$1" "ip and not udp port 500 and not udp port 4500 and not ip proto 50 and not ($2)"
}
captured() # NAME
{
    lab_dump_stop "$1"
    tcpdump -n -r "$LAB_DIR/$1.pcap" 2>/dev/null
}
carries()
{
    lab_in c1 ping -n -q -c 1 -W 1 10.1.0.10
}

# ---- names go outside of a full tunnel, and nothing else does
dt_start gateway
lab_dump c1 eth0 first 'udp port 500 and host 203.0.113.77'
for name in vpn two; do
    office_client c1 "$EVERYTHING" "gateway = \"$name.example.net\"" 'timeout = 3s'
    dt_start c1
    tap_ok "$name: the name of a full tunnel's gateway is looked up, and the tunnel comes up" dt_wait_up c1 office 25
    tap_ok "$name: it carries" lab_wait 5 carries
    dt_stop c1
done
tap_ok "the server was asked for both" sh -c "grep -q ' vpn 1' $LAB_DIR/dns.log && grep -q ' two 1' $LAB_DIR/dns.log"
tap_ok "the first of two addresses was tried, and the second after it" [ "$(lab_dumped first)" -ge 1 ]
lab_dump_stop first

office_client c1 "$EVERYTHING" 'gateway = "vpn.example.net"'
dt_start c1
dt_wait_up c1 office 15
: >"$LAB_DIR/dns.log"
capture names 'ip proto 2'
lab_run c1 flow ping -n -q -i 0.05 10.1.0.10
lab_in c1 ping -n -q -c 2 -i 0.2 -W 1 198.51.100.1 >/dev/null 2>&1
lab_in c1 python3 -c "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'plain question', ('198.51.100.1', 53))" 2>/dev/null
office_client c1 "$EVERYTHING" 'gateway = "vpn.example.net"'
cat >>"$LAB_DIR/dt-c1/conf" <<C
tunnel "second" {
    gateway = "two.example.net"
    local   = "berta@example.net"
    remote  = "vpn.example.net"
    psk     = "file:$LAB_DIR/office.psk"
    protect = { "172.31.0.0/16" }
}
C
dt c1 reload >/dev/null
tap_ok "while everything is closed a name is asked for" lab_wait 5 "grep -q ' two 1' $LAB_DIR/dns.log"
tap_ok "and the answer comes in" lab_wait 5 "dt_field c1 second .why | grep -v resolved | grep -q 'with 203.0.113'"
lab_stop flow
captured names >"$LAB_DIR/names.txt"
tap_ok "on the wire are the questions and answers" grep -q '198.51.100.1.53 > 192.168.7.11' "$LAB_DIR/names.txt"
tap_ok "and not one other packet" sh -c "! grep -v '198.51.100.1.53' $LAB_DIR/names.txt"
tap_ok "of these the program's own question is none" sh -c "! grep -q 'length 14' $LAB_DIR/names.txt"
dt_stop c1

# ---- reverse path filtering, strict and loose
mark_of_c1()
{
    lab_in c1 sysctl -n net.ipv4.conf.all.src_valid_mark
}
for rp in 0 1 2; do
    lab_in c1 sysctl -qw net.ipv4.conf.all.rp_filter=$rp
    for protect in "$EVERYTHING" 'protect = { "10.1.0.0/16" }'; do
        for encap in esp udp; do
            office_client c1 "$protect" 'gateway = "vpn.example.net"' "encap = $encap"
            dt_start c1
            tap_ok "rp_filter = $rp, $protect, $encap: up, and it carries" sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do ip netns exec "$0" ping -n -q -c 1 -W 1 10.1.0.10 >/dev/null && exit 0; sleep 0.2; done; exit 1' "$LAB-c1"
            [ "$(mark_of_c1)" = "$((rp != 0))" ] || tap_report 1 "rp_filter = $rp: src_valid_mark is $(mark_of_c1)"
            dt_stop c1
            [ "$(mark_of_c1)" = 0 ] || tap_report 1 "rp_filter = $rp: src_valid_mark is not put back"
        done
    done
done

# ---- what somebody changes, and what cannot be changed
lab_in c1 sysctl -qw net.ipv4.conf.all.rp_filter=1
office_client c1 "$EVERYTHING" 'encap = udp'
dt_start c1
lab_wait 5 '[ "$(mark_of_c1)" = 1 ]'
tap_ok "src_valid_mark taken away: it is set again" sh -c "ip netns exec $LAB-c1 sysctl -qw net.ipv4.conf.all.src_valid_mark=0; sleep 6; [ \"\$(ip netns exec $LAB-c1 sysctl -n net.ipv4.conf.all.src_valid_mark)\" = 1 ]"
dt_stop c1
lab_run c1 dt-c1 unshare -m sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$0" "$@"' "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf"
tap_ok "src_valid_mark cannot be written: status says what drops the answers, and what would be right" lab_wait 10 "dt_field c1 office .why | grep -q 'rp_filter = 1 on eth0 drops .*src_valid_mark = 1 would be right'"
dt_stop c1
lab_in c1 sysctl -qw net.ipv4.conf.all.rp_filter=0

# ---- a good neighbour: the LAN with its router and printer, a second one (10.77.0.0/24), and one that calls itself 192.0.2.0/24
lab_ns printer far odd
lab_plug router lan p-printer printer eth0 "192.168.7.50/24 fd77::50/64"
ip -n "$LAB-router" addr add fd77::1/64 dev lan nodad
ip -n "$LAB-c1" addr add fd77::11/64 dev eth0 nodad
lab_wire c1 eth1 10.77.0.11/24 far eth0 10.77.0.1/24
lab_wire c1 eth2 192.0.2.11/24 odd eth0 192.0.2.9/24
reaches()
{
    lab_in c1 ping -n -q -c 1 -W 1 "$1"
}
reaches_not()
{
    ! reaches "$1"
}
# Counted at the far end, whatever c1 says.
for host in odd far printer; do
    lab_in "$host" nft 'add table inet lab; add counter inet lab seen; add chain inet lab in { type filter hook prerouting priority raw; }; add rule inet lab in meta l4proto { icmp, udp, tcp } counter name seen'
done
seen()
{
    lab_in "$1" nft -j list counter inet lab seen | jq '[.nftables[] | .counter? // empty | .packets] | add'
}

office_client c1 "$EVERYTHING"
dt_start c1
tap_ok "a full tunnel is up beside the LAN" lab_wait 15 carries
tap_ok "the router, the printer and the second LAN are reached" sh -c "for a in 192.168.7.1 192.168.7.50 10.77.0.1 fd77::1 fd77::50; do ip netns exec $LAB-c1 ping -n -q -c 1 -W 2 \$a || exit 1; done"
tap_ok "the printer reaches this host" lab_in printer ping -n -q -c 1 -W 2 192.168.7.11
tap_ok "status and log name what stays local" sh -c "$LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock status | tr -s ' \n' ' ' | grep -F '192.168.7.0/24 (eth0) stays local' && grep -F 'fd77::/64 (eth0) stays local' $LAB_DIR/dt-c1.log"
before=$(seen odd)
tap_ok "a public network that calls itself connected is not reached" reaches_not 192.0.2.9
tap_ok "and it gets not one packet" [ "$(seen odd)" = "$before" ]
tap_ok "status says so, and what would keep it local" dt_says c1 '192.0.2.0/24 (eth2) is a public network and goes through it; `except` would keep it local'
tap_ok "the table has what stays local as exceptions" sh -c "ip -n $LAB-c1 route show table 17494 proto 174 | grep -q '^throw 10.77.0.0/24' && ip -n $LAB-c1 -6 route show table 17494 proto 174 | grep -q '^throw fd77::/64'"
lab_in c1 ip route del throw 192.168.7.0/24 table 17494 metric 4294967294
tap_ok "one of them taken away: it is set again" lab_wait 5 "reaches 192.168.7.50"
lab_in c1 ip addr del 10.77.0.11/24 dev eth1
tap_ok "the second LAN is gone: what it was called goes into the tunnel" lab_wait 5 "ip -n $LAB-c1 route get 10.77.0.1 | grep -q dovetail0"
before=$(seen far)
ip -n "$LAB-c1" route add 10.77.0.0/24 dev eth1
tap_ok "and stays there, whatever route somebody makes" reaches_not 10.77.0.1
tap_ok "which the far end confirms" [ "$(seen far)" = "$before" ]
ip -n "$LAB-c1" route del 10.77.0.0/24 dev eth1
ip -n "$LAB-c1" addr add 10.77.0.11/24 dev eth1
tap_ok "it is there again: it stays local" lab_wait 5 "reaches 10.77.0.1"

office_client c1 "$EVERYTHING" 'except = { "192.0.2.0/24" }'
dt c1 reload >/dev/null
tap_ok "except: the public network is reached" lab_wait 5 "reaches 192.0.2.9"
tap_ok "except: the rest is still in the tunnel" sh -c "ip -n $LAB-c1 route get 192.0.3.9 | grep -q dovetail0 && ip -n $LAB-c1 route get 192.0.2.9 | grep -q eth2"

office_client c1 'protect = { "10.0.0.0/8" }'
dt c1 reload >/dev/null
tap_ok "protect = 10.0.0.0/8: it carries" lab_wait 10 carries
tap_ok "protect = 10.0.0.0/8: the LAN inside it is reached" reaches 10.77.0.1
office_client c1 'protect = { "10.1.0.0/16", "10.77.0.0/24" }'
dt c1 reload >/dev/null
tap_ok "protect = the LAN itself: what is protected wins, and status says so" lab_wait 10 "dt_says c1 \"10.77.0.0/24 (eth1) is this host's own network, and what it protects\""
before=$(seen far)
tap_ok "protect = the LAN itself: nothing goes there" reaches_not 10.77.0.1
tap_ok "protect = the LAN itself: not one packet" [ "$(seen far)" = "$before" ]

# ---- nobody stays local: ARP and neighbour discovery, DHCP, and nothing else
for setting in 'lan = tunnel' 'closed = always'; do
    office_client c1 "$EVERYTHING" "$setting"
    dt c1 reload >/dev/null
    tap_ok "$setting: it carries" lab_wait 10 'carries && ip -n $LAB-c1 route get 192.168.7.50 | grep -q dovetail0'
    before=$(seen printer)$(seen far)$(seen odd)
    capture quiet 'udp port 67 or ip proto 2'
    tap_ok "$setting: the LAN is not reached" sh -c "for a in 192.168.7.1 192.168.7.50 10.77.0.1 fd77::50 192.0.2.9; do ! ip netns exec $LAB-c1 ping -n -q -c 1 -W 1 \$a || exit 1; done"
    tap_ok "$setting: nor reaches it anything" sh -c "! ip netns exec $LAB-printer ping -n -q -c 1 -W 1 192.168.7.11"
    after=$(seen printer)$(seen far)$(seen odd)
    tap_ok "$setting: nothing came out, as those there see it" [ "$after" = "$before" ]
    captured quiet >"$LAB_DIR/quiet.txt"
    tap_ok "$setting: and nothing is on the wire but the printer's question" sh -c "! grep -v '192.168.7.50 > 192.168.7.11: ICMP echo request' $LAB_DIR/quiet.txt"
done
tap_ok "lan = tunnel: neighbours on the link are found" sh -c "ip -n $LAB-c1 -6 neigh flush dev eth0; ip netns exec $LAB-c1 ping -n -q -c 1 -W 2 fe80::%eth0 || ip netns exec $LAB-c1 ping -n -q -c 1 -W 2 ff02::2%eth0"

# ---- what comes in all the same, while everything is closed: seen by programs of the client, and by a table of its own
cat >"$LAB_DIR/udp.py" <<'P'
import socket, sys
what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if what == "hear":
    s.bind((address, port))
    print("ready", flush=True)
    while True:
        print(s.recvfrom(65535)[1][0], flush=True)
s.bind(("0.0.0.0", int(sys.argv[5])))
s.sendto(b"x" * int(sys.argv[4]), (address, port))
P
cat >"$LAB_DIR/tcp.py" <<'P'
import socket, sys
s = socket.socket()
s.settimeout(3)
if int(sys.argv[3], 0):
    s.setsockopt(socket.SOL_SOCKET, 36, int(sys.argv[3], 0))
s.connect((sys.argv[1], int(sys.argv[2])))
print(s.getsockname()[0])
P
for port in 68 9999; do
    lab_run c1 "hear$port" python3 -u "$LAB_DIR/udp.py" hear 0.0.0.0 $port
    lab_wait 5 "grep -q ready $LAB_DIR/hear$port.log"
done
lab_in c1 nft 'add table ip lab; add counter ip lab ike; add counter ip lab other; add counter ip lab narrow; add chain ip lab in { type filter hook input priority 0; }; add rule ip lab in udp dport 4500 meta length > 2900 counter name ike; add rule ip lab in udp dport 9999 counter name other; add rule ip lab in icmp type destination-unreachable icmp code frag-needed counter name narrow'
seen_by_c1()
{
    lab_in c1 nft -j list counter ip lab "$1" | jq '[.nftables[] | .counter? // empty | .packets] | add'
}
lab_in router python3 "$LAB_DIR/udp.py" send 192.168.7.11 68 300 67
tap_ok "an answer of DHCP comes in" lab_wait 3 "grep -q 192.168.7.1 $LAB_DIR/hear68.log"
lab_in router python3 "$LAB_DIR/udp.py" send 192.168.7.11 9999 3000 1234
lab_in router python3 "$LAB_DIR/udp.py" send 192.168.7.11 9999 30 1234
lab_in router python3 "$LAB_DIR/udp.py" send 192.168.7.11 4500 3000 4500
tap_ok "a datagram for IKE that is in three fragments comes in whole" lab_wait 3 '[ "$(seen_by_c1 ike)" = 1 ]'
tap_ok "one for another port does not, in fragments or not" [ "$(seen_by_c1 other)$(grep -c 192 "$LAB_DIR/hear9999.log")" = 00 ]
lab_in printer ip -6 neigh flush dev eth0
lab_in printer ping -n -q -c 1 -W 1 fd77::11 >/dev/null 2>&1
tap_ok "a neighbour that asks for the link address of this host has it, and no answer to its ping" sh -c "ip -n $LAB-printer -6 neigh show fd77::11 | grep -q lladdr && ! ip netns exec $LAB-printer ping -n -q -c 1 -W 1 fd77::11"
lab_run internet listens python3 -m http.server 8080 --bind 198.51.100.1
lab_wait 5 "ip netns exec $LAB-internet ss -ltn | grep -q 8080"
tap_ok "TCP of a program that bears the mark goes outside, and is answered" sh -c "[ \"\$(ip netns exec $LAB-c1 python3 $LAB_DIR/tcp.py 198.51.100.1 8080 0x44560001)\" = 192.168.7.11 ]"
tap_ok "TCP of one that does not is in the tunnel, behind which there is no way back" sh -c "! ip netns exec $LAB-c1 python3 $LAB_DIR/tcp.py 198.51.100.1 8080 0 2>/dev/null"
lab_run c1 serves python3 -m http.server 8081 --bind 192.168.7.11
lab_wait 5 "ip netns exec $LAB-c1 ss -ltn | grep -q 8081"
tap_ok "nobody outside reaches a server here" sh -c "! ip netns exec $LAB-router python3 $LAB_DIR/tcp.py 192.168.7.11 8081 0"
# A narrow hop behind the router: its ICMP is about our own outer packets.
ip -n "$LAB-router" link set wan mtu 1300
ip -n "$LAB-internet" link set isp mtu 1300
lab_in c1 ping -n -q -c 3 -i 0.3 -W 1 -M 'do' -s 1340 10.1.0.10 >/dev/null 2>&1
tap_ok "ICMP about our own outer packets comes in" lab_wait 5 '[ "$(seen_by_c1 narrow)" -ge 1 ]'
tap_ok "and what is large passes again" lab_wait 10 "ip netns exec $LAB-c1 ping -n -q -c 1 -W 1 -s 1340 10.1.0.10"
tap_ok "status says how large packets may be" lab_wait 5 "dt_says c1 'packets of up to 12'"
for job in hear68 hear9999 listens serves; do lab_stop $job; done
dt_stop c1
lab_in c1 "$LAB_BIN/dovetaild" --open >/dev/null

rm -rf "/etc/netns/$LAB-c1"
tap_end
