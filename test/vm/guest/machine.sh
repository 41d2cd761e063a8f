# What the parts have in common, and the two that all begin with.

FLOW=$LAB_ROOT/build/lab/lab-flow

of_unit() # UNIT PROPERTY
{
    systemctl show -P "$2" "$1.service"
}

active() # UNIT
{
    [ "$(of_unit "$1" ActiveState) $(of_unit "$1" SubState)" = 'active running' ]
}

logged() # UNIT TEXT
{
    journalctl -b -q -u "$1" -o cat | grep -qF -- "$2"
}

# Told where something is wrong.
tell_unit() # UNIT
{
    systemctl --no-pager -n 0 status "$1" 2>&1 | head -n 12
    journalctl -b -q --no-pager -o cat -u "$1" | tail -n 8
    return 1
}

within() # SECONDS COMMAND
{
    lab_wait "$1" "$2" || { echo "not so after $1 s: $2"; false; }
}

office_up()
{
    dovetail --json status office | jq -e '.tunnels[0].state == "up"' >/dev/null
}

# The other ends: programs of their own, as they were before the upgrade, without a profile.
others()
{
    mkdir -p "$LAB_BIN"
    cp /usr/sbin/dovetaild /usr/bin/dovetail "$LAB_BIN/"
    # The secret's value is that of the machine.
    dt_conf gateway <<C
gateway "head-office" { listen = "203.0.113.1" identity = "vpn.example.net" protect = "10.1.0.0/16" pool = "10.9.0.0/24" dns = "10.1.0.53" }
client "anna@example.net" { psk = "file:/etc/dovetail/secrets/office" }
client "bert@example.net" { psk = "file:/etc/dovetail/secrets/office" }
C
    dt_conf c1 <<C
tunnel "branch" { gateway = "203.0.113.1" local = "bert@example.net" remote = "vpn.example.net" psk = "file:/etc/dovetail/secrets/office"
    protect = "10.1.0.0/16" encap = esp }
C
    dt_start gateway
}

# c1 --- lan, this machine, wan --- isp, internet, dc --- gateway --- server
world()
{
    ip netns attach "$LAB-host" $$
    lab_ns internet gateway server c1
    lab_plug host lan p1 c1 eth0 192.168.7.11/24
    ip -n "$LAB-c1" route add default via 192.168.7.1
    lab_wire internet dc 203.0.113.254/24 gateway eth0 203.0.113.1/24
    lab_wire gateway inside 10.1.0.1/16 server eth0 '10.1.0.10/16 10.1.0.53/16'
    ip -n "$LAB-gateway" route add default via 203.0.113.254
    ip -n "$LAB-server" route add default via 10.1.0.1
    lab_forward internet gateway
    # The internet does not know private addresses.
    for net in 192.168.0.0/16 10.0.0.0/8; do ip -n "$LAB-internet" route add unreachable $net; done
    lab_run server echo "$FLOW" echo 4411
}

# What is plain: everything of the networks inside, whoever is the sender.
PLAIN='net 10.0.0.0/8 or net 192.168.0.0/16'
plain_watch()
{
    lab_dump_stop plain
    lab_dump internet isp plain "$PLAIN"
}

plain_none()
{
    tcpdump -n -c 5 -r "$LAB_DIR/plain.pcap" 2>/dev/null
    [ "$(lab_dumped plain)" = 0 ]
}

# Numbered packets to the server and back: of this machine through its tunnel, and of c1 through its own and our NAT.
flows_on()
{
    for f in host c1; do
        rm -f "$LAB_DIR/flow-$f.log"
        lab_run $f flow-$f "$FLOW" send 10.1.0.10 4411 -i 20 -t 0
    done
    sleep 2
}

flows_off() # what was longest without an answer: $host_outage, $c1_outage
{
    sleep 2
    for f in host c1; do
        lab_stop flow-$f
        tap_note "flow of $f: $(jq -c 'select(.sent) | {sent, received, lost_out, lost_back, longest_outage_s}' "$LAB_DIR/flow-$f.log")"
    done
    # shellcheck disable=SC2034 # for the parts
    host_outage=$(lab_flow_field flow-host longest_outage_s) c1_outage=$(lab_flow_field flow-c1 longest_outage_s)
}

at_most() # SECONDS LIMIT
{
    echo "$1 s, limit $2 s"
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a != "null" && a + 0 <= b) }'
}

answers() # NS
{
    lab_in "$1" ping -n -q -c 1 -W 2 10.1.0.10
}

part_boot()
{
    tap_note "$(uname -r), systemd $(systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p'), security modules: $(cat /sys/kernel/security/lsm)"
    tap_ok "boot: dovetaild runs before there is a way out" within 60 "active dovetaild" || tell_unit dovetaild
    tap_ok "boot: it has told systemd so" [ "$(of_unit dovetaild Type) $(of_unit dovetaild NotifyAccess)" = 'notify main' ]
    tap_ok "boot: there is nothing but what networkd made" [ "$(ip -br link | awk '$1 !~ /^(lo|lan|dovetail[0-9]+)$/')" = '' ]
    tap_ok "boot: its status says what is missing" sh -c "dovetail status office | tee /dev/stderr | grep -q 'no local address leads to'"
    tap_note "dovetail-closed: $(of_unit dovetail-closed ActiveEnterTimestampMonotonic) us; networkd: $(of_unit systemd-networkd ActiveEnterTimestampMonotonic) us; dovetaild: $(of_unit dovetaild ActiveEnterTimestampMonotonic) us"
    tap_ok "boot: what is always closed was so before networkd began" \
        [ "$(of_unit dovetail-closed ActiveEnterTimestampMonotonic)" -lt "$(of_unit systemd-networkd ExecMainStartTimestampMonotonic)" ]
    tap_note "natd without its outside: $(of_unit dovetail-natd ActiveState), $(of_unit dovetail-natd SubState), $(journalctl -b -q -u dovetail-natd -o cat | tail -n 1)"
}

part_network()
{
    world
    ip link add wan type veth peer name isp netns "$LAB-internet"
    ip -n "$LAB-internet" addr add 198.51.100.1/24 dev isp
    ip -n "$LAB-internet" link set isp up
    tap_ok "network: networkd gives wan its address" within 30 "ip -4 addr show dev wan | grep -q 198.51.100.2"
    plain_watch
    lab_dump internet isp esp 'ip proto 50'
    tap_ok "network: the gateway runs" others
    tap_ok "network: our tunnel comes up by itself" within 60 office_up || { dovetail status; tell_unit dovetaild; }
    tap_ok "network: it carries" answers host
    tap_ok "network: natd is there now too" within 200 "active dovetail-natd" || tell_unit dovetail-natd
    tap_ok "network: c1's daemon runs" dt_start c1
    tap_ok "network: c1's tunnel comes up behind it" dt_wait_up c1 branch 60
    tap_ok "network: and carries" answers c1
    tap_ok "network: outside there is ESP" [ "$(lab_dumped esp)" -ge 8 ]
    tap_ok "network: and nothing plain" plain_none
    lab_dump_stop esp
    ping -q -c 2 -W 1 10.66.0.1 >"$LAB_DIR/closed.out" 2>&1
    tap_ok "network: what is always closed is closed without its tunnel" plain_none
    tap_ok "network: as the package's user, without any right" \
        [ "$(awk '$1 == "Uid:" { print $2 } $1 == "CapPrm:" { print $2 }' "/proc/$(of_unit dovetaild MainPID)/status" | tr '\n' ' ')" = "$(id -u dovetail) 0000000000000000 " ]
}
