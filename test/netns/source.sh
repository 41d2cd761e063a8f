#!/bin/sh
# Which address a client speaks from when none is configured: the kernel's choice towards the gateway, on a host that has many
# others, while the gateway is away; and the choice is fresh after `down` and `up`.
set -u
LAB=${LAB:-dtsrc}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"

AWAY=${AWAY:-20}
BACK=12 # seconds until the client is back: an attempt of `timeout`, and a negotiation

lab_begin
umask 077
echo 'a secret of more than sixteen bytes' >"$LAB_DIR/psk"
lab_nat_topology 1
lab_nft_masquerade router wan
for i in 1 2 3 4 5 6 7 8; do
    lab_bridge c1 "br$i" "172.$((16 + i)).0.1/16"
done
lab_bridge c1 lan "10.2.0.1/24"
dt_conf gateway <<C
gateway "head-office" {
    identity = "vpn.example.net" psk = "file:$LAB_DIR/psk" protect = "10.1.0.0/16"
}
client "branch.example.net" { networks = "10.2.0.0/24" }
C
dt_conf c1 <<C
tunnel "office" {
    gateway = "203.0.113.1" local = "branch.example.net" remote = "vpn.example.net" psk = "file:$LAB_DIR/psk"
    protect = "10.1.0.0/16" inside = "10.2.0.0/24" encap = udp
    maxidle = 2s pingtime = 300ms pingtries = 8 pingtime2 = 500ms pingtries2 = 3 timeout = 4s elimit = 1
}
C
dt_start gateway
dt_start c1
tap_ok "a host with ten addresses: up" dt_wait_up c1 office 15
tap_ok "from the one that leads to the gateway" sh -c "echo $(dt_field c1 office .local_address) | grep 192.168.7.11"
lab_dump c1 eth0 away 'udp port 500 or udp port 4500' -p
dt_stop gateway KILL
sleep "$AWAY"
dt_start gateway
began=$(date +%s%N)
tap_ok "the gateway was away for $AWAY s: the client is back within $BACK s" dt_wait_up c1 office $BACK
tap_note "back after $((($(date +%s%N) - began) / 1000000)) ms"
lab_dump_stop away
tap_ok "it has tried meanwhile" [ "$(lab_dumped away 'src host 192.168.7.11 and udp')" -gt 3 ]
tap_ok "and never from an address of another interface" [ "$(lab_dumped away 'udp and not src host 192.168.7.11 and not src host 203.0.113.1')" = 0 ]
dt_stop gateway KILL
sleep 6
dt c1 down office >/dev/null
lab_dump c1 eth0 again 'udp port 500 or udp port 4500' -p
dt c1 up office --timeout 1 >"$LAB_DIR/up.out" 2>&1
tap_ok "down and up without a gateway: refused, with the reason" grep -q 'no answer' "$LAB_DIR/up.out"
lab_dump_stop again
tap_ok "from the kernel's choice again" [ "$(lab_dumped again 'src host 192.168.7.11')" -gt 0 ]
tap_ok "and from no other" [ "$(lab_dumped again 'not src host 192.168.7.11')" = 0 ]
dt_stop c1
tap_end
