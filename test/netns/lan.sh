#!/bin/sh
# What a tunnel that protects everything must let through, and nothing else: the name of its gateway is looked up outside of it,
# reverse path filtering does not cut it off, and the client stays a good neighbour on its own network. All is read from
# captures, kernel tables and the far end.
set -u
LAB=${LAB:-dtlan}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"

lab_begin
(umask 077; head -c 24 /dev/urandom | base64 >"$LAB_DIR/office.psk")
lab_nat_topology 1
lab_nft_masquerade router wan
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

dt_conf gateway <<C
gateway "head-office" {
    listen   = { "203.0.113.1" }
    identity = "vpn.example.net"
    psk      = "file:$LAB_DIR/office.psk"
    protect  = { "0.0.0.0/0", "::/0" }
    pool     = { "10.9.0.0/16", "fd09::/64" }
}
C
client_conf() # GATEWAY PROTECT [SETTING]
{
    dt_conf c1 <<C
tunnel "office" {
    gateway = $1
    local   = "anna@example.net"
    remote  = "vpn.example.net"
    psk     = "file:$LAB_DIR/office.psk"
    protect = { $2 }
    ${3:-}
}
C
}
EVERYTHING='"0.0.0.0/0", "::/0"'

# What is on the client's uplink, and is neither IKE, ESP nor what FILTER says.
capture() # NAME FILTER
{
    lab_run c1 "$1" tcpdump -U -n -i eth0 -w "$LAB_DIR/$1.pcap" --immediate-mode \
        "ip and not udp port 500 and not udp port 4500 and not ip proto 50 and not ($2)"
    lab_wait 5 "grep -q 'listening on' $LAB_DIR/$1.log"
}
captured() # NAME
{
    lab_stop "$1"
    tcpdump -n -r "$LAB_DIR/$1.pcap" 2>/dev/null
}
carries()
{
    lab_in c1 ping -n -q -c 1 -W 1 10.1.0.10
}

# ---- names go outside of a full tunnel, and nothing else does
dt_start gateway
lab_run c1 first tcpdump -U -n -i eth0 -w "$LAB_DIR/first.pcap" --immediate-mode 'udp port 500 and host 203.0.113.77'
lab_wait 5 "grep -q 'listening on' $LAB_DIR/first.log"
for name in vpn two; do
    client_conf "\"$name.example.net\"" "$EVERYTHING" 'timeout = 3s'
    dt_start c1
    tap_ok "$name: the name of a full tunnel's gateway is looked up, and the tunnel comes up" dt_wait_up c1 office 25
    tap_ok "$name: it carries" lab_wait 5 carries
    dt_stop c1
done
tap_ok "the server was asked for both" sh -c "grep -q ' vpn 1' $LAB_DIR/dns.log && grep -q ' two 1' $LAB_DIR/dns.log"
tap_ok "the first of two addresses was tried, and the second after it" sh -c "[ \"\$(tcpdump -n -r $LAB_DIR/first.pcap 2>/dev/null | wc -l)\" -ge 1 ]"
lab_stop first

client_conf '"vpn.example.net"' "$EVERYTHING"
dt_start c1
dt_wait_up c1 office 15
: >"$LAB_DIR/dns.log"
capture names 'ip proto 2'
lab_run c1 flow ping -n -q -i 0.05 10.1.0.10
lab_in c1 ping -n -q -c 2 -i 0.2 -W 1 198.51.100.1 >/dev/null 2>&1
lab_in c1 python3 -c "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'plain question', ('198.51.100.1', 53))" 2>/dev/null
client_conf '"vpn.example.net"' "$EVERYTHING"
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
    for protect in "$EVERYTHING" '"10.1.0.0/16"'; do
        for encap in esp udp; do
            client_conf '"vpn.example.net"' "$protect" "encap = $encap"
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
client_conf '"203.0.113.1"' "$EVERYTHING" 'encap = udp'
dt_start c1
lab_wait 5 '[ "$(mark_of_c1)" = 1 ]'
tap_ok "src_valid_mark taken away: it is set again" sh -c "ip netns exec $LAB-c1 sysctl -qw net.ipv4.conf.all.src_valid_mark=0; sleep 6; [ \"\$(ip netns exec $LAB-c1 sysctl -n net.ipv4.conf.all.src_valid_mark)\" = 1 ]"
dt_stop c1
lab_run c1 dt-c1 unshare -m sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$0" "$@"' "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf"
tap_ok "src_valid_mark cannot be written: status says what drops the answers, and what would be right" lab_wait 10 "dt_field c1 office .why | grep -q 'rp_filter = 1 on eth0 drops .*src_valid_mark = 1 would be right'"
dt_stop c1
lab_in c1 sysctl -qw net.ipv4.conf.all.rp_filter=0

rm -rf "/etc/netns/$LAB-c1"
tap_end
