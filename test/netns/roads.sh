#!/bin/sh
# The daemon on other roads than one client behind one NAT: IPv6 outside, names, all traffic through the tunnel, branches
# with networks of their own, tunnels on demand, an address that changes, metrics, reload.
set -u
LAB=${LAB:-dtroad}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
. "$LAB_ROOT/lab/capture.sh"
FLOW=$LAB_BIN/../lab/lab-flow
DOVETAIL=$LAB_BIN/dovetail

# client (two uplinks) - internet - gateway - server
topology()
{
    lab_ns client internet gateway server branch
    lab_wire client eth0 '192.0.2.2/24 2001:db8:1::2/64' internet c0 '192.0.2.1/24 2001:db8:1::1/64'
    lab_wire client eth1 '198.51.100.2/24 2001:db8:2::2/64' internet c1 '198.51.100.1/24 2001:db8:2::1/64'
    lab_wire internet g0 '203.0.113.254/24 2001:db8:9::fe/64' gateway eth0 '203.0.113.1/24 2001:db8:9::1/64'
    lab_wire gateway inside '10.1.0.1/16 fd01::1/64' server eth0 '10.1.0.10/16 fd01::10/64'
    lab_wire client lan '10.2.0.1/16 fd02::1/64' branch eth0 '10.2.0.10/16 fd02::10/64'
    ip -n "$LAB-client" route add default via 192.0.2.1
    ip -n "$LAB-client" -6 route add default via 2001:db8:1::1
    ip -n "$LAB-gateway" route add default via 203.0.113.254
    ip -n "$LAB-gateway" -6 route add default via 2001:db8:9::fe
    for n in server:10.1.0.1:fd01::1 branch:10.2.0.1:fd02::1; do
        ns=${n%%:*} rest=${n#*:}
        ip -n "$LAB-$ns" route add default via "${rest%%:*}"
        ip -n "$LAB-$ns" -6 route add default via "${rest#*:}"
    done
    lab_forward client internet gateway
    ip -n "$LAB-internet" route add unreachable 10.0.0.0/8
    ip -n "$LAB-internet" -6 route add unreachable fd00::/8
}

client_conf() # [SETTING...]
{
    office_client client "$OFFICE_QUICK" "$@"
}

carries() # NS
{
    lab_in "$1" ping -q -c 2 -i 0.2 -W 2 10.1.0.10 && lab_in "$1" ping -q -c 2 -i 0.2 -W 2 fd01::10
}

up() # TEXT
{
    dt_start client || { tap_report 1 "$1: the daemon starts"; cat "$LAB_DIR/dt-client.log"; return; }
    tap_ok "$1: up" dt client up office --timeout 15
}

field_is() # JQ WANTED
{
    v=$(dt_field client office "$1")
    echo "$1 is $v, wanted $2"
    [ "$v" = "$2" ]
}

lab_begin
umask 077
office_key
topology
METRICS='metrics = "127.0.0.1:9470"'
office_gateway 'listen =' 'protect = { "0.0.0.0/0", "::/0" }' "$OFFICE_QUICK" | dt_conf gateway "$METRICS"
dt_start gateway || { cat "$LAB_DIR/dt-gateway.log"; echo "Bail out! the gateway did not start"; exit 1; }
lab_run server echo "$FLOW" echo 4411
lab_run server iperf iperf3 -s

# ---- IPv6 outside
for encap in esp udp; do
    client_conf 'gateway = "2001:db8:9::1"' "encap = $encap"
    up "IPv6 outside, $encap"
    tap_ok "IPv6 outside, $encap: both versions inside" carries client
    tap_ok "IPv6 outside, $encap: TCP" lab_in client iperf3 -c 10.1.0.10 -t 1
    dt_stop client
done

# ---- the first gateway is dead, the second lives; and names
client_conf 'gateway = { "203.0.113.77", "203.0.113.1" }' 'encap = udp'
dt_start client
tap_ok "the first gateway does not answer, the second does: up" dt client up office --timeout 25
tap_ok "and it carries" carries client
dt_stop client
mkdir -p "/etc/netns/$LAB-client"
echo '203.0.113.1 vpn.example.net' >"/etc/netns/$LAB-client/hosts"
client_conf 'gateway = "vpn.example.net"'
up "a gateway with a name"
dt_stop client
: >"/etc/netns/$LAB-client/hosts"
: >"/etc/netns/$LAB-client/resolv.conf"
dt_start client
dt client up office --timeout 3 >"$LAB_DIR/up.out" 2>&1
tap_ok "a name that cannot be resolved: it is named" grep -q 'name vpn.example.net cannot be resolved' "$LAB_DIR/up.out"
echo '203.0.113.1 vpn.example.net' >"/etc/netns/$LAB-client/hosts"
tap_ok "and once it can be, the tunnel comes up by itself" dt_wait_up client office 15
dt_stop client
rm -rf "/etc/netns/$LAB-client"

# ---- everything through the tunnel, the gateway's own address included
client_conf 'encap = udp' 'protect = { "0.0.0.0/0", "::/0" }'
up "protect = 0.0.0.0/0"
tap_ok "protect = 0.0.0.0/0: carries" carries client
lab_in internet nft 'add table ip plain; add counter ip plain seen; add chain ip plain in { type filter hook prerouting priority raw; }; add rule ip plain in iifname { "c0", "c1" } ip protocol icmp counter name seen'
lab_in client ping -n -q -c 2 -i 0.2 -W 1 203.0.113.254 >"$LAB_DIR/pinged" 2>&1
tap_ok "protect = 0.0.0.0/0: even what the internet has goes inside" sh -c "ip netns exec $LAB-client ip route get 203.0.113.254 | grep dovetail"
tap_ok "protect = 0.0.0.0/0: no plain packet for it is on the road" sh -c "ip netns exec $LAB-internet nft list counter ip plain seen | tee /dev/stderr | grep 'packets 0 '"
lab_in internet nft delete table ip plain
dt_stop client
tap_ok "afterwards the way out is free" lab_in client ping -q -c 1 -W 2 203.0.113.1

# ---- a branch with its own network
dt_stop gateway
{
    office_gateway 'listen =' 'pool =' "$OFFICE_QUICK"
    echo 'client "anna@example.net" { networks = { "10.2.0.0/16", "fd02::/64" } }'
    echo 'client "ben@example.net" { networks = "10.3.99.0/24" }'
} | dt_conf gateway "$METRICS"
dt_start gateway
client_conf 'encap = udp inside = { "10.2.0.0/16", "fd02::/64" }'
up "a branch"
tap_ok "a branch: its hosts reach the server" carries branch
tap_ok "a branch: the server reaches its hosts" lab_in server ping -q -c 2 -i 0.2 -W 2 10.2.0.10
tap_ok "a branch: IPv6 too" lab_in server ping -q -c 2 -i 0.2 -W 2 fd02::10
tap_ok "a branch: the client itself speaks from its inside address" lab_in client ping -q -c 2 -i 0.2 -W 2 10.1.0.10

lab_dump client eth0 uplink 'host 10.2.0.10 or host fd02::10'
ip -n "$LAB-client" link set lan down
lab_in server ping -q -c 3 -i 0.2 -W 1 10.2.0.10 >"$LAB_DIR/pinged" 2>&1
lab_in server ping -q -c 3 -i 0.2 -W 1 fd02::10 >"$LAB_DIR/pinged" 2>&1
ip -n "$LAB-client" link set lan up
ip -n "$LAB-client" addr add fd02::1/64 dev lan nodad
lab_dump_stop uplink
tap_ok "a branch whose link is down: what comes out of the tunnel for it does not follow the default route" [ "$(lab_dumped uplink)" = 0 ]
tap_ok "it is up again: the server reaches it" lab_wait 5 "lab_in server ping -q -c 1 -W 1 10.2.0.10 && lab_in server ping -q -c 1 -W 1 fd02::10"

# ---- reload: another tunnel is added and taken away, the first goes on
sent=$(esp_sent client eth0 10.1.0.10)
cp "$LAB_DIR/dt-client/conf" "$LAB_DIR/conf.before"
cat >>"$LAB_DIR/dt-client/conf" <<C
tunnel "second" { gateway = "203.0.113.1" local = ben@example.net remote = vpn.example.net psk = "file:$LAB_DIR/office.psk"
    protect = 10.1.99.0/24 inside = 10.3.99.0/24 encap = udp $OFFICE_QUICK }
C
tap_ok "reload: a second tunnel is added" sh -c "$DOVETAIL --socket $LAB_DIR/dt-client/sock reload | grep -q '^second: added'"
tap_ok "reload: it comes up" dt client up second --timeout 15
sed -i 's|10.1.99.0/24|10.1.98.0/24|' "$LAB_DIR/dt-client/conf"
tap_ok "reload: it is changed" sh -c "$DOVETAIL --socket $LAB_DIR/dt-client/sock reload | grep -q '^second: changed'"
tap_ok "reload: its new selectors are negotiated" lab_wait 8 "dt client --json status second | jq -e '.tunnels[0].state == \"up\" and .tunnels[0].remote_selectors[0] == \"10.1.98.0/24\"'"
cp "$LAB_DIR/conf.before" "$LAB_DIR/dt-client/conf"
kill -HUP "$(lab_pid dt-client)"
tap_ok "SIGHUP: it is removed" lab_wait 5 "! dt client status second"
tap_ok "its route is gone" sh -c "! ip netns exec $LAB-client ip route show table 17494 | grep -q 10.1.9"
tap_ok "and the first tunnel was not touched: its SPI on the wire ($sent)" [ -n "$sent" -a "$(esp_sent client eth0 10.1.0.10)" = "$sent" ]

# ---- the uplink changes: another address, another road
lab_run branch flow "$FLOW" send 10.1.0.10 4411 -i 10 -t 0 -g 80
sleep 1
ip -n "$LAB-client" addr del 192.0.2.2/24 dev eth0
ip -n "$LAB-client" route replace default via 198.51.100.1
lab_wait 20 "lab_in branch ping -q -c 1 -W 1 10.1.0.10"
sleep 1
lab_stop flow TERM
o=$(jq -r -s '.[-1].longest_outage_s' "$LAB_DIR/flow.log")
tap_note "the uplink changed: silent for $o s"
tap_ok "the uplink changed: it goes on within 12 s" awk -v o="$o" 'BEGIN { exit !(o < 12) }'
tap_ok "from the new address" sh -c "echo '$(esp_sent client eth1 10.1.0.10)' | grep '^198.51.100.2 '"
dt_stop client
ip -n "$LAB-client" addr add 192.0.2.2/24 dev eth0
ip -n "$LAB-client" route replace default via 192.0.2.1

# ---- on demand, and not at all
lab_in internet nft -f - <<'N' # IKE_SA_INIT (exchange 34), at port 500, or at 4500 behind a marker
table ip plain {
    counter seen { }
    chain in {
        type filter hook prerouting priority raw;
        iifname { "c0", "c1" } udp dport 500 @th,208,8 34 counter name seen
        iifname { "c0", "c1" } udp dport 4500 @th,64,32 0 @th,240,8 34 counter name seen
    }
}
N
asked() # how often it began a session
{
    lab_in internet nft -j list counter ip plain seen | jq '.nftables[1].counter.packets'
}
client_conf 'encap = udp inside = { "10.2.0.0/16", "fd02::/64" } start = demand'
dt_start client
sleep 1
tap_ok "start = demand: nothing happens by itself" [ "$(asked)" = 0 ]
tap_ok "start = demand: the first packet brings it up and is not lost" lab_in branch ping -q -c 1 -W 3 10.1.0.10
tap_ok "start = demand: it is up" dt_wait_up client office 5
tap_ok "start = demand: for which it has asked the gateway" [ "$(asked)" -gt 0 ]
dt_stop client
lab_in internet nft reset counter ip plain seen >"$LAB_DIR/reset"
client_conf 'encap = udp inside = { "10.2.0.0/16", "fd02::/64" } start = manual'
dt_start client
sleep 1
tap_ok "start = manual: nothing is asked for" [ "$(asked)" = 0 ]
tap_ok "start = manual: up when asked" dt client up office --timeout 10
lab_in internet nft delete table ip plain

# ---- rights: every thread (that of the metrics too) and the process that sweeps up behind a killed daemon
few_rights() # NS: none; the keeper CAP_DAC_READ_SEARCH (4), CAP_NET_ADMIN (1000) and CAP_NET_RAW (2000)
{
    n=0
    for p in $(ip netns pids "$LAB-$1"); do
        case $(cat "/proc/$p/comm") in dovetaild) may='0*' ;; dovetail-keeper) may='0*3004' ;; *) continue ;; esac
        for s in /proc/"$p"/task/*/status; do
            n=$((n + 1))
            grep -q "^CapPrm:[[:space:]]$may\$" "$s" || { tap_note "$(grep -e ^Name -e ^CapPrm "$s" | tr '\n' ' ')"; return 1; }
        done
    done
    [ "$n" -ge 4 ] && grep -q '^CapPrm:[[:space:]]0*$' /proc/"$(lab_pid dt-gateway)"/task/*/status # who speaks HTTP
}
tap_ok "no thread keeps more rights than it needs" few_rights gateway

# ---- metrics
tap_ok "metrics of the gateway" lab_wait 5 "ip netns exec $LAB-gateway curl -s http://127.0.0.1:9470/metrics | grep -q 'dovetail_gateway_clients{gateway=\"head-office\",verified=\"yes\"} 1'"
tap_ok "metrics: nothing else is served" sh -c "ip netns exec $LAB-gateway curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9470/etc/passwd | grep -q 404"
dt_stop client
dt_stop gateway
tap_end
