#!/bin/sh
# docs/examples of tunnels inside tunnels and of discovery, as they stand, on machines of the laboratory (examples.sh has the rest).
set -u
LAB=${LAB:-dtexplans}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/machine.sh"

EXAMPLES=$LAB_ROOT/docs/examples
lab_begin
lab_nat_topology 1
lab_nft_masquerade router wan
# The vault is behind the office's machine 10.1.0.10.
lab_ns vault
lab_wire server inner 10.3.0.1/16 vault eth0 10.3.0.9/16
ip -n "$LAB-vault" route add default via 10.3.0.1
lab_forward server
# Another site, whose networks and the office's are routed.
lab_ns east desk
lab_wire internet e 192.0.2.254/24 east eth0 192.0.2.1/24
lab_wire east inside 10.4.0.1/16 desk eth0 10.4.0.9/16
ip -n "$LAB-east" route add default via 192.0.2.254
ip -n "$LAB-desk" route add default via 10.4.0.1
ip -n "$LAB-internet" route add 10.4.0.0/16 via 192.0.2.1
ip -n "$LAB-internet" route add 10.1.0.0/16 via 203.0.113.1
lab_forward east
for name in gateway c1 server east; do machine "$name"; done

secret() # NAME MACHINE...: made at the gateway, and brought to the others
{
    secret_name=$1
    shift
    machine_in gateway dovetail genpsk --out "/etc/dovetail/secrets/$secret_name"
    machine_in gateway cat "/etc/dovetail/secrets/$secret_name" >"$LAB_DIR/secret"
    for name in "$@"; do
        machine_in "$name" sh -c 'umask 077; cat >"$1"' sh "/etc/dovetail/secrets/$secret_name" <"$LAB_DIR/secret"
    done
}

example() # MACHINE EXAMPLE
{
    machine_end "$1"
    machine_in "$1" sh -c 'rm -f /etc/dovetail/conf.d/*.conf; cp "$1" /etc/dovetail/conf.d/' sh "$EXAMPLES/$2.conf"
    tap_ok "$2.conf: nothing is wrong with it" machine_in "$1" dovetail check
    tap_ok "$2.conf: the daemon runs with it" machine_daemon "$1"
}

answers() # NS ADDRESS
{
    lab_in "$1" ping -n -q -c 2 -i 0.2 -W 2 "$2" >/dev/null
}

on_the_wire() # NAME FILTER OTHERS: packets of the one kind, and none of the others
{
    n=$(lab_dumped "$1" "$2") others=$(lab_dumped "$1" "$3")
    echo "$n match $2, $others match $3"
    [ "$n" -gt 2 ] && [ "$others" = 0 ]
}

# ---- a tunnel inside a tunnel
secret anna c1
secret anna-vault c1 server
example gateway nested-outer
example server nested-inner
lab_dump internet isp outside 'esp or udp or icmp'
lab_dump server eth0 between 'esp or udp or icmp'
example c1 nested-client
tap_ok "nested-client.conf: the vault answers" lab_wait 30 "answers c1 10.3.0.9"
tap_ok "... and the office itself" answers c1 10.1.0.1
tap_ok "... by a plan of two layers" sh -c "nsenter -t $(cat "$LAB_DIR/machine-c1.pid") -m -n $LAB_BIN/dovetail --json status |
    jq -e '[.plans[].layers | length] | max == 2'"
tap_ok "... as explain has said" sh -c "nsenter -t $(cat "$LAB_DIR/machine-c1.pid") -m -n $LAB_BIN/dovetail explain 10.9.0.1 10.3.0.9 |
    grep -q 'IP 10.9.0.1 > 10.1.0.10 | ESP'"
lab_dump_stop outside
lab_dump_stop between
tap_ok "... the outer one outside" on_the_wire outside 'host 203.0.113.1 and (esp or udp)' 'icmp or net 10.0.0.0/8'
tap_ok "... and the inner one from the office's gateway on" on_the_wire between 'net 10.9.0.0/24 and host 10.1.0.10 and (esp or udp)' 'icmp and net 10.3.0.0/16'
for name in c1 server gateway; do machine_end "$name"; done

# ---- gateways that find each other
secret sites east
example gateway discover-west
example east discover-east
lab_dump internet e core 'esp or udp or icmp'
tap_ok "discover-west.conf: the other site answers" lab_wait 20 "answers server 10.4.0.9"
tap_ok "... and begins as well" answers desk 10.1.0.10
tap_ok "... with the other one's identity" sh -c "nsenter -t $(cat "$LAB_DIR/machine-gateway.pid") -m -n $LAB_BIN/dovetail --json status |
    jq -e '.tunnels[] | select(.remote | startswith(\"east.example.net\")) | .state == \"up\"'"
lab_dump_stop core
tap_ok "... in ESP" on_the_wire core 'esp and host 203.0.113.1 and host 192.0.2.1' icmp
for name in gateway east; do machine_end "$name"; done
tap_end
