#!/bin/sh
# An identity is the unit of authority: whose network is whose, one identity in one place, and no tunnel without a proper
# inside address. Two clients behind a masquerading NAT, asked from the far end and by captures.
set -u
LAB=${LAB:-dtid}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
DOVETAIL=$LAB_BIN/dovetail

gateway_conf() # [SETTING...]; client sections on standard input
{
    { office_gateway 'listen =' 'protect = { "10.1.0.0/16" }' 'pool =' "$OFFICE_QUICK" "$@"; cat; } | dt_conf gateway 'metrics = "127.0.0.1:9470"'
}

client_conf() # NS IDENTITY [SETTING]...
{
    c_ns=$1 c_who=$2
    shift 2
    office_client "$c_ns" "local = \"$c_who\"" 'protect = "10.1.0.0/16"' 'encap = udp' "$OFFICE_QUICK" "$@"
}

started() # NS
{
    dt_start "$1" || { tap_report 1 "$1: the daemon starts"; cat "$LAB_DIR/dt-$1.log"; }
}

why() # NS TEXT
{
    w=$(dt_field "$1" office '"\(.state) \(.why // "")"')
    echo "$1: $w"
    case $w in up*) return 1 ;; *"$2"*) return 0 ;; *) return 1 ;; esac
}

conflicts()
{
    lab_in gateway curl -s http://127.0.0.1:9470/metrics | awk '/^dovetail_identity_conflicts_total/ { print $2 }'
}

# The data path itself answers pings of a lease (they are control packets), so datagrams are asked.
heard_by() # NS: do the server's datagrams for the lease arrive on this machine's device?
{
    lab_run "$1" "cap-$1" tcpdump -lni dovetail0 udp port 7777
    lab_wait 20 "grep -q listening $LAB_DIR/cap-$1.log"
    lab_in server bash -c 'for i in 1 2 3 4 5; do echo datagram >/dev/udp/10.9.0.1/7777; sleep 0.1; done' 2>/dev/null
    lab_wait 3 "grep -q '10.9.0.1.7777: UDP' $LAB_DIR/cap-$1.log"
    lab_stop "cap-$1"
    n=$(grep -c '10.9.0.1.7777: UDP' "$LAB_DIR/cap-$1.log")
    rm -f "$LAB_DIR/cap-$1.log"
    echo "$1 got $n of 5"
    [ "$n" -gt 0 ]
}

plain_on() # NS: packets for what is protected that leave NS in the clear while it tries
{
    lab_dump "$1" eth0 plain 'net 10.1.0.0/16 or udp port 4500 or udp port 500'
    # Its pauses grow: until it has asked the gateway once more, at least.
    for plain_i in 1 2 3 4 5 6 7 8 9 10; do
        lab_in "$1" ping -q -c 10 -i 0.2 -W 1 10.1.0.10 >/dev/null 2>&1
        [ "$(lab_dumped plain)" = 0 ] || break
    done
    lab_dump_stop plain
    all=$(lab_dumped plain)
    bad=$(lab_dumped plain 'net 10.1.0.0/16')
    echo "$all packets seen, $bad of them plain"
    [ "$all" -eq 0 ] || [ "$bad" -gt 0 ] # it asks the gateway all the while: nothing at all would be no capture
}

lab_begin
umask 077
office_lab 2
for i in 1 2; do
    ip -n "$LAB-c$i" addr add "10.$((i + 1)).0.1/16" dev lo
done

# ---- whose network is whose
gateway_conf <<C
client "north.example.net" { networks = "10.2.0.0/16" }
client "south.example.net" { networks = "10.3.0.0/16" }
C
started gateway
client_conf c2 south.example.net 'inside = { "10.2.0.0/17", "10.2.128.0/17" }'
started c2
tap_ok "a branch asks for another's network while that is away: refused, and told what it may bring" \
    lab_wait 30 'why c2 "allows 10.3.0.0/16"'
client_conf c1 north.example.net 'inside = "10.2.0.0/16"'
started c1
tap_ok "the branch whose network it is comes up" dt_wait_up c1 office 30
sleep 2
tap_ok "the server reaches the branch whose network it is" lab_in server ping -q -c 3 -i 0.2 -W 2 10.2.0.1
tap_ok "the other is refused still" why c2 TS_UNACCEPTABLE
tap_ok "the gateway says whom it refused and why" sh -c "$DOVETAIL --socket $LAB_DIR/dt-gateway/sock status | tr '\n' ' ' | grep 'refused lately.*10.2.0.0/17'"
dt_stop c2
client_conf c2 south.example.net 'inside = "10.3.0.0/16"'
started c2
tap_ok "with its own network it is up" dt_wait_up c2 office 30
tap_ok "and both are reached" sh -c "ip netns exec $LAB-server ping -q -c 2 -i 0.2 -W 2 10.2.0.1 && ip netns exec $LAB-server ping -q -c 2 -i 0.2 -W 2 10.3.0.1"
dt_stop c1
dt_stop c2
dt_stop gateway

# ---- one identity, one place
gateway_conf 'pool = "10.9.0.0/16"' </dev/null
started gateway
client_conf c1 bert@example.net
client_conf c2 bert@example.net
started c1
tap_ok "bert: the first machine is up" dt_wait_up c1 office 30
started c2
tap_ok "bert: the second machine is up" dt_wait_up c2 office 30
tap_ok "bert: the first says that there is another machine" lab_wait 30 'why c1 "another machine"'
tap_ok "the lease's traffic goes to the second" heard_by c2
if heard_by c1 >"$LAB_DIR/heard.out"; then tap_report 1 "the first gets none of it"; else tap_report 0 "the first gets none of it"; fi
tap_ok "the gateway warns, with both addresses" grep 'two machines come with this identity: 198.51.100.2:[0-9]* has it, 198.51.100.2:[0-9]* has not' "$LAB_DIR/dt-gateway.log"
tap_ok "the first warns, with the other's address" grep 'another machine is connected with the same identity, from 198.51.100.2:[0-9]*, and has it now' "$LAB_DIR/dt-c1.log"
tap_ok "status of the gateway names the other" sh -c "$DOVETAIL --socket $LAB_DIR/dt-gateway/sock --json status | jq -e '.gateways[0].clients[0].elsewhere.address | startswith(\"198.51.100.2:\")'"
tap_ok "a metric counts it" [ "$(conflicts)" -ge 1 ]
steady=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    dt_is_up c2 office && ! dt_is_up c1 office && steady=$((steady + 1))
    sleep 1
done
tap_ok "ten seconds on it is as it was ($steady of 10)" [ "$steady" = 10 ]
before=$(conflicts)
dt_stop c1
dt_stop c2 KILL
started c2
tap_ok "the same machine begins anew: up" dt_wait_up c2 office 30
tap_ok "and is no second one" [ "$(conflicts)" = "$before" ]
dt_stop c2
dt_stop gateway

# ---- no inside address: never, and no more
gateway_conf 'pool = "10.9.0.0/16"' </dev/null
started gateway
client_conf c1 bert@example.net
started c1
tap_ok "a lease: up" dt_wait_up c1 office 30
no_pool()
{
    gateway_conf <<C
client "bert@example.net" { networks = "192.168.0.0/16" }
C
}
no_pool
tap_ok "the pool is taken away: reload" dt gateway reload
tap_ok "the gateway leases nothing any more: not up, and why" lab_wait 30 'why c1 "no inside address"'
if plain_on c1 >"$LAB_DIR/plain.out"; then tap_report 1 "nothing plain leaves after a lease: $(cat "$LAB_DIR/plain.out")"; else tap_report 0 "nothing plain leaves after a lease: $(cat "$LAB_DIR/plain.out")"; fi
dt_stop c1
started c1
tap_ok "a gateway that leases nothing: the tunnel is not up, and says why" lab_wait 30 'why c1 "no inside address"'
if plain_on c1 >"$LAB_DIR/plain.out"; then tap_report 1 "nothing plain leaves meanwhile: $(cat "$LAB_DIR/plain.out")"; else tap_report 0 "nothing plain leaves meanwhile: $(cat "$LAB_DIR/plain.out")"; fi
dt_stop gateway
gateway_conf 'pool = "192.168.7.0/24"' <<C
client "bert@example.net" { inside = "192.168.7.11" }
C
started gateway
tap_ok "a lease of the host's own address: refused" lab_wait 70 'why c1 "192.168.7.11, which is"'
tap_ok "the host is not locked out" lab_in c1 ping -q -c 2 -i 0.2 -W 2 203.0.113.1
dt_stop c1
dt_stop gateway

# ---- pools that are somebody else's
gateway_conf 'pool = "10.1.4.0/24"' </dev/null
lab_in gateway "$DOVETAIL" check "$LAB_DIR/dt-gateway/conf" >"$LAB_DIR/check.out" 2>&1
rc=$?
tap_ok "a pool in the gateway's LAN is refused by line" sh -c "[ $rc = 2 ] && grep ':[0-9]*: pool: 10.1.4.0/24 lies in this host.s own network 10.1.0.0/16 (inside, 10.1.0.1)' $LAB_DIR/check.out"
lab_in gateway timeout 60 "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-gateway/conf" >/dev/null 2>&1
tap_ok "and the daemon does not start with it" [ $? = 2 ]
tap_end
