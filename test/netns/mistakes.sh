#!/bin/sh
# Mistakes of one side's file or host, as that side hears of them: in `dovetail check`, in the log, in `status`. And what an inbound
# filter must let through while everything is in the tunnel.
set -u
LAB=${LAB:-dtmis}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"

lab_begin
office_lab 1
checked() # NS TEXT: `dovetail check` there warns of it, and ends well
{
    lab_in "$1" "$LAB_BIN/dovetail" check "$LAB_DIR/dt-$1/conf" >"$LAB_DIR/check.out" 2>&1 && grep -qF "$2" "$LAB_DIR/check.out"
}
everywhere() # NS WHAT TEXT
{
    tap_ok "$2: check says it" checked "$1" "$3"
    tap_ok "$2: the log says it" dt_logged "$1" "$3"
    tap_ok "$2: status says it" dt_says "$1" "$3"
}

# ---- the gateway's host
lab_in gateway sysctl -qw net.ipv4.ip_forward=0
office_gateway 'protect = { "10.1.0.0/16", "10.44.0.0/16", "fd44::/64" }' 'listen = "203.0.113.50"' | dt_conf gateway
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
office_gateway 'protect = { "0.0.0.0/0", "::/0" }' | dt_conf gateway
dt_start gateway
ip -n "$LAB-c1" addr add 192.0.2.11/24 dev eth0
office_client c1 'protect = { "0.0.0.0/0" }'
tap_ok "a public network of the host's own in protect: check says it" checked c1 'own network 192.0.2.0/24 (eth0) too: it is public, and goes into the tunnel'
office_client c1 'protect = { "192.168.7.0/24" }'
tap_ok "protect is the host's own network: check says it" checked c1 "protects 192.168.7.0/24, which is this host's own network (eth0)"
office_client c1 'protect = { "192.168.7.0/24" }' 'lan = tunnel'
tap_ok "and is silent when that is meant" sh -c "ip netns exec $LAB-c1 $LAB_BIN/dovetail check $LAB_DIR/dt-c1/conf 2>&1 | tee /dev/stderr | grep -q 'nothing wrong$'"
ip -n "$LAB-c1" addr del 192.0.2.11/24 dev eth0

office_client c1 'protect = { "10.1.0.0/16" }'
sed '/^tunnel/,$!d; s/"office"/"second"/; s/anna@/berta@/' "$LAB_DIR/dt-c1/conf" >>"$LAB_DIR/dt-c1/conf.2"
cat "$LAB_DIR/dt-c1/conf.2" >>"$LAB_DIR/dt-c1/conf"
tap_ok "two tunnels for one network: check says it" checked c1 'tunnel "second" protects 10.1.0.0/16, and tunnel "office" in line 2 protects 10.1.0.0/16: only one of them carries it'
dt_start c1
tap_ok "two tunnels for one network: the log says it" dt_logged c1 'only one of them carries it'
tap_ok "two tunnels for one network: status says it of both" sh -c "[ \"\$($LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock status | tr -s ' \n' ' ' | grep -o 'tunnel \"[a-z]*\" protects some of the same' | sort -u | wc -l)\" = 2 ]"
office_client c1 'protect = { "10.1.0.0/16" }'
dt c1 reload >/dev/null
tap_ok "one of them taken out: nothing is said any more" sh -c "! $LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock status | grep 'some of the same'"
dt_stop c1

office_client c1 'protect = { "10.1.0.0/16" }' 'gateway = "203.0.113.99"' 'timeout = 2s'
dt_start c1
tap_ok "no answer: the log names who, and what to look for" lab_wait 10 "grep -q 'given up.*: no answer from 203.0.113.99:.* do UDP 500 and 4500 reach it?' $LAB_DIR/dt-c1.log"
tap_ok "no answer: status does so too" lab_wait 10 "dt_says c1 'do UDP 500 and 4500 reach it?'"
dt_stop c1
office_client c1 'protect = { "10.1.0.0/16" }' 'gateway = "2001:db8::1"'
dt_start c1
tap_ok "no IPv6 here: the log says why nothing is tried" lab_wait 10 "dt_logged c1 'no local address leads to 2001:db8::1'"
tap_ok "no IPv6 here: status says so" dt_says c1 'no local address leads to 2001:db8::1'
dt_stop c1
cat >"$LAB_DIR/wg.conf" <<C
[Interface]
PrivateKey = aaaa
C
tap_ok "a file of wg-quick is named as what it is" sh -c "$LAB_BIN/dovetail check $LAB_DIR/wg.conf 2>&1 | tee /dev/stderr | grep -q 'this is a wg-quick file'"

office_gateway 'protect = { "10.1.0.0/16" }' 'pool =' 'remote = "10.2.0.0/16" peers = "anna@example.net"' | dt_conf gateway
dt_stop gateway
dt_start gateway
office_client c1 'protect = { "10.1.0.0/16" }'
dt_start c1
tap_ok "no inside address here, and none leased there: not up, and status says what would be right" lab_wait 10 "dt_says c1 'a pool there, or inside here, would be right' || dt_says c1 'inside'"
tap_ok "no inside address: not up" sh -c "[ \"\$($LAB_BIN/dovetail --socket $LAB_DIR/dt-c1/sock --json status | jq -r '.tunnels[0].state')\" != up ]"
dt_stop c1

# ---- somebody else has the port: the daemon ends, and says who
hold() # ADDRESS PORT
{
    lab_run c1 holder python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print("holds", flush=True)
time.sleep(60)' "$1" "$2"
    lab_wait 5 "grep -q holds $LAB_DIR/holder.log"
}
ends_with() # PORT TEXT COMMAND...
{
    e_port=$1 e_says=$2
    shift 2
    lab_in c1 timeout 20 "$@" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf" >"$LAB_DIR/ends.out" 2>&1
    e_rc=$?
    lab_stop holder
    rm -f "$LAB_DIR/holder.log"
    [ "$e_rc" = 1 ] && grep "UDP port $e_port .* cannot be had: Address already in use: " "$LAB_DIR/ends.out" | grep -qF "$e_says" && return
    tap_note "status $e_rc: $(tail -n 2 "$LAB_DIR/ends.out")"
    return 1
}
office_client c1 'protect = { "10.1.0.0/16" }'
hold 0.0.0.0 500
tap_ok "IKE's port is taken: the process is named" ends_with 500 "process $(lab_pid holder), python3, has it" env
hold 192.168.7.11 4500
tap_ok "the port of NAT traversal is taken, on one address: the process is named" ends_with 4500 "process $(lab_pid holder), python3, has it" env
hold :: 4500
tap_ok "by a socket of both IP versions" ends_with 4500 "process $(lab_pid holder), python3, has it" env
hold 0.0.0.0 500
tap_ok "without the right to look: what to run is said" ends_with 500 'which cannot be seen from here: `ss -lunp sport = :500`' setpriv --bounding-set=-sys_ptrace
. "$LAB_ROOT/lab/strongswan.sh"
s_missing=$(sw_missing)
if [ -n "$s_missing" ]; then
    tap_skip "strongSwan has the port: it is named" "$s_missing"
else
    sw_start c1
    charon=$(ip netns exec "$LAB-c1" ss -lunp 'sport = :500' | sed -n 's/.*charon[^,]*,pid=\([0-9]*\).*/\1/p' | head -n 1)
    tap_ok "strongSwan has the port: it is named" ends_with 500 "process $charon, charon-systemd, has it, strongSwan's IKE daemon" env
    sw_stop c1
fi
tap_end
