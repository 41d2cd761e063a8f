#!/bin/sh
# Mistakes of one side's file or host, as that side hears of them: in `dovetail check`, in the log, in `status`. And what an inbound
# filter must let through while everything is in the tunnel.
set -u
LAB=${LAB:-dtmis}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"

lab_begin
(umask 077; head -c 24 /dev/urandom | base64 >"$LAB_DIR/office.psk")
lab_nat_topology 1
lab_nft_masquerade router wan

POOL='pool = { "10.9.0.0/16", "fd09::/64" }'
gateway_conf() # LISTEN PROTECT [INSTEAD OF A POOL]
{
    dt_conf gateway <<C
gateway "head-office" {
    listen   = { "$1" }
    identity = "vpn.example.net"
    psk      = "file:$LAB_DIR/office.psk"
    protect  = { $2 }
    ${3:-$POOL}
}
C
}
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
checked() # NS TEXT: `dovetail check` there warns of it, and ends well
{
    lab_in "$1" "$LAB_BIN/dovetail" check "$LAB_DIR/dt-$1/conf" >"$LAB_DIR/check.out" 2>&1 && grep -qF "$2" "$LAB_DIR/check.out"
}
says() # NS TEXT
{
    dt "$1" status | tr -s ' \n' ' ' | grep -qF "$2"
}
logged() # NS TEXT
{
    grep -qF "$2" "$LAB_DIR/dt-$1.log"
}
everywhere() # NS WHAT TEXT
{
    tap_ok "$2: check says it" checked "$1" "$3"
    tap_ok "$2: the log says it" logged "$1" "$3"
    tap_ok "$2: status says it" says "$1" "$3"
}

# ---- the gateway's host
lab_in gateway sysctl -qw net.ipv4.ip_forward=0
gateway_conf 203.0.113.50 '"10.1.0.0/16", "10.44.0.0/16", "fd44::/64"'
dt_start gateway
everywhere gateway "listen is no address of the host" 'it listens at 203.0.113.50, and this host has no such address'
everywhere gateway "no forwarding" 'this host does not forward IPv4'
everywhere gateway "protect is not routed behind it" '10.44.0.0/16, which clients are to reach through it, is routed to eth0 as everything else is'
everywhere gateway "protect has no route at all" 'this host has no route to fd44::/64'
tap_ok "what is behind it is not complained of" sh -c "! grep -q '10.1.0.0/16, which' $LAB_DIR/check.out"
ip -n "$LAB-gateway" route add 10.44.0.0/16 via 10.1.0.10
lab_in gateway sysctl -qw net.ipv4.ip_forward=1
tap_ok "mended: status says so no more" sh -c "! $LAB_BIN/dovetail --socket $LAB_DIR/dt-gateway/sock status | grep -E 'forward IPv4|10.44.0.0'"
dt_stop gateway

# ---- the client's host and file
gateway_conf 203.0.113.1 '"0.0.0.0/0", "::/0"'
dt_start gateway
ip -n "$LAB-c1" addr add 192.0.2.11/24 dev eth0
client_conf '"203.0.113.1"' '"0.0.0.0/0"'
tap_ok "a public network of the host's own in protect: check says it" checked c1 'own network 192.0.2.0/24 (eth0) too: it is public, and goes into the tunnel'
client_conf '"203.0.113.1"' '"192.168.7.0/24"'
tap_ok "protect is the host's own network: check says it" checked c1 "protects 192.168.7.0/24, which is this host's own network (eth0)"
client_conf '"203.0.113.1"' '"192.168.7.0/24"' 'lan = tunnel'
tap_ok "and is silent when that is meant" sh -c "ip netns exec $LAB-c1 $LAB_BIN/dovetail check $LAB_DIR/dt-c1/conf 2>&1 | tee /dev/stderr | grep -q 'nothing wrong$'"
ip -n "$LAB-c1" addr del 192.0.2.11/24 dev eth0

client_conf '"203.0.113.1"' '"10.1.0.0/16"'
sed '/^tunnel/,$!d; s/"office"/"second"/; s/anna@/berta@/' "$LAB_DIR/dt-c1/conf" >>"$LAB_DIR/dt-c1/conf.2"
cat "$LAB_DIR/dt-c1/conf.2" >>"$LAB_DIR/dt-c1/conf"
tap_ok "two tunnels for one network: check says it" checked c1 'tunnel "second" protects 10.1.0.0/16, and tunnel "office" in line 2 protects 10.1.0.0/16: only one of them carries it'
dt_start c1
tap_ok "two tunnels for one network: the log says it" logged c1 'only one of them carries it'
tap_ok "two tunnels for one network: status says it of both" sh -c "[ \"\$($LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock status | tr -s ' \n' ' ' | grep -o 'tunnel \"[a-z]*\" protects some of the same' | sort -u | wc -l)\" = 2 ]"
client_conf '"203.0.113.1"' '"10.1.0.0/16"'
dt c1 reload >/dev/null
tap_ok "one of them taken out: nothing is said any more" sh -c "! $LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock status | grep 'some of the same'"
dt_stop c1

client_conf '"203.0.113.99"' '"10.1.0.0/16"' 'timeout = 2s'
dt_start c1
tap_ok "no answer: the log names who, and what to look for" lab_wait 10 "grep -q 'given up.*: no answer from 203.0.113.99:.* do UDP 500 and 4500 reach it?' $LAB_DIR/dt-c1.log"
tap_ok "no answer: status does so too" lab_wait 10 "says c1 'do UDP 500 and 4500 reach it?'"
dt_stop c1
client_conf '"2001:db8::1"' '"10.1.0.0/16"'
dt_start c1
tap_ok "no IPv6 here: the log says why nothing is tried" lab_wait 10 "logged c1 'no local address leads to 2001:db8::1'"
tap_ok "no IPv6 here: status says so" says c1 'no local address leads to 2001:db8::1'
dt_stop c1
cat >"$LAB_DIR/wg.conf" <<C
[Interface]
PrivateKey = aaaa
C
tap_ok "a file of wg-quick is named as what it is" sh -c "$LAB_BIN/dovetail check $LAB_DIR/wg.conf 2>&1 | tee /dev/stderr | grep -q 'this is a wg-quick file'"

gateway_conf 203.0.113.1 '"10.1.0.0/16"' 'remote = "10.2.0.0/16" peers = "anna@example.net"'
dt_stop gateway
dt_start gateway
client_conf '"203.0.113.1"' '"10.1.0.0/16"'
dt_start c1
tap_ok "no inside address here, and none leased there: not up, and status says what would be right" lab_wait 10 "says c1 'a pool there, or inside here, would be right' || says c1 'inside'"
tap_ok "no inside address: not up" sh -c "[ \"\$($LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock --json status | jq -r '.tunnels[0].state')\" != up ]"
dt_stop c1
tap_end
