#!/bin/sh
# docs/examples, as they stand: paths and addresses as written, on machines of the laboratory.
set -u
LAB=${LAB:-dtexamples}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/machine.sh"
. "$LAB_ROOT/lab/strongswan.sh"

EXAMPLES=$LAB_ROOT/docs/examples
lab_begin
lab_nat_topology 2
lab_nft_masquerade router wan
lab_forward c2
# The branch's network is behind its router, c2.
lab_ns printer
lab_wire c2 inside 10.2.0.1/16 printer eth0 10.2.0.9/16
ip -n "$LAB-printer" route add default via 10.2.0.1
# natd.conf names the interfaces of the router so.
for name in lan wan; do
    ip -n "$LAB-router" link set "$name" down
    ip -n "$LAB-router" link set "$name" name "${name}0"
    ip -n "$LAB-router" link set "${name}0" up
done
ip -n "$LAB-router" route add default via 198.51.100.1
lab_in router nft flush ruleset
lab_nft_masquerade router wan0
for name in gateway c1 c2 router; do machine "$name"; done

tap_ok "a secret: genpsk makes a file" machine_in gateway dovetail genpsk --out /etc/dovetail/secrets/anna
for name in bert north; do machine_in gateway dovetail genpsk --out "/etc/dovetail/secrets/$name"; done
give() # SECRET NAME
{
    machine_in gateway cat "/etc/dovetail/secrets/$1" >"$LAB_DIR/secret"
    machine_in "$2" sh -c 'umask 077; cat >"$1"' sh "/etc/dovetail/secrets/$1" <"$LAB_DIR/secret"
}
give anna c1
give north c2

# The only file in conf.d.
example() # NAME EXAMPLE
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
answers_not()
{
    ! lab_in "$1" ping -n -q -c 2 -i 0.2 -W 1 "$2" >/dev/null 2>&1
}

# ---- the router's NAT
machine_in router sh -c 'cp "$1" /etc/dovetail/natd.conf && cp "$1" /etc/dovetail/dovetail-natd.conf' sh "$EXAMPLES/natd.conf"
nsenter -t "$(cat "$LAB_DIR/machine-router.pid")" -m -n "$LAB_BIN/dovetail-natd" >"$LAB_DIR/natd.log" 2>&1 &
echo $! >"$LAB_DIR/natd.pid"
tap_ok "natd.conf: dovetail-natd runs with it" lab_wait 20 "machine_in router dovetail nat status"

# ---- one gateway, a person and a branch
example gateway gateway
example c1 client
tap_ok "client.conf: the tunnel comes up" machine_in c1 dovetail up office
tap_ok "client.conf: the office answers" answers c1 10.1.0.10
example c2 branch
tap_ok "branch.conf: the tunnel comes up" machine_in c2 dovetail up office
tap_ok "branch.conf: from network to network" answers printer 10.1.0.10
tap_ok "... and the other way" answers server 10.2.0.9
tap_ok "natd.conf: both went through it" sh -c "nsenter -t $(cat "$LAB_DIR/machine-router.pid") -m -n $LAB_BIN/dovetail --json nat list |
    jq -e '[.items[] | select(.kind == \"ike\") | .client] | unique | length == 2'"
machine_end c2

# ---- the same gateway, and a client that is strongSwan, as docs/coming-from.md has it
machine_end c1
missing=$(sw_missing)
if [ -n "$missing" ]; then
    tap_skip "coming-from.md: strongSwan's configuration" "$missing"
else
    secret=$(machine_in gateway cat /etc/dovetail/secrets/anna)
    awk '/^    connections \{/ { take = 1 } /^## / { take = 0 } take && /^    / { print }' "$LAB_ROOT/docs/coming-from.md" |
        sed "s,the line in /etc/dovetail/secrets/anna,$secret," >"$LAB_DIR/swanctl.conf"
    sw_start c1
    tap_ok "coming-from.md: strongSwan takes the configuration" sw_load c1 <"$LAB_DIR/swanctl.conf"
    tap_ok "... and the office answers" lab_wait 20 "answers c1 10.1.0.10"
    tap_ok "... to strongSwan" sh -c "nsenter -t $(cat "$LAB_DIR/machine-gateway.pid") -m -n $LAB_BIN/dovetail --json status |
        jq -e '.gateways[0].clients[] | select(.identity == \"anna@example.net\")'"
    lab_stop sw-c1
fi

# ---- everything through the tunnel, or nowhere
example gateway exit
sed -n 's/^#     nft/nft/p' "$EXAMPLES/exit.conf" >"$LAB_DIR/exit.sh"
tap_ok "exit.conf: the lines in it make the masquerade" machine_on gateway "$LAB_DIR/exit.sh"
example c1 kill-switch
tap_ok "kill-switch.conf: the tunnel comes up" machine_in c1 dovetail up everything
lab_in internet nft 'add table ip seen; add counter ip seen gateway; add counter ip seen router
    add chain ip seen in { type filter hook prerouting priority raw; }
    add rule ip seen in icmp type echo-request ip saddr 203.0.113.1 counter name gateway
    add rule ip seen in icmp type echo-request ip saddr 198.51.100.2 counter name router'
count() # NAME
{
    lab_in internet nft -j list counter ip seen "$1" | jq '.nftables[] | .counter? | select(.) | .packets'
}
tap_ok "kill-switch.conf: the internet answers" answers c1 198.51.100.1
tap_ok "... to the gateway" [ "$(count gateway)" -ge 2 ]
tap_ok "kill-switch.conf: taken down, it stays closed" sh -c "nsenter -t $(cat "$LAB_DIR/machine-c1.pid") -m -n $LAB_BIN/dovetail down everything"
tap_ok "... nothing goes out" answers_not c1 198.51.100.1
machine_end c1
tap_ok "... nor when the daemon has ended" answers_not c1 198.51.100.1
tap_ok "... and nothing went past the tunnel" [ "$(count router)" -eq 0 ]
tap_ok "dovetaild --open opens" machine_in c1 dovetaild --open
tap_ok "... and it goes in the clear" answers c1 198.51.100.1
tap_ok "... which is what would have been seen" [ "$(count router)" -ge 1 ]
machine_end gateway
tap_end
