#!/bin/sh
# Tunnels inside tunnels, on real packets: a client, three security gateways in a row, a host behind the last; three
# nested tunnels and transport mode to the host (US 6,636,520).
set -u
LAB=${LAB:-dtnest}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"

DOVETAIL=$LAB_BIN/dovetail
STREAMER=$LAB_BIN/../lab/lab-stream GUN=$LAB_BIN/../lab/lab-tedgun
PARAMS='maxidle = 2s pingtime = 300ms pingtries = 6 pingtime2 = 300ms pingtries2 = 3 timeout = 2s elimit = 1'

gateway() # NS LISTEN PROTECT
{
    dt_conf "$1" "keylog = \"$LAB_DIR/$1.keys\"" <<C
gateway "$1" {
    listen   = "$2"
    identity = "$1.example.net"
    psk      = "file:$LAB_DIR/secret"
    protect  = "$3"
    remote   = "192.0.2.10"
    peers    = "anna@example.net"
    $PARAMS
    ${4:-}
}
C
}

tunnel() # NAME GATEWAY PROTECT [EXTRA]
{
    cat <<C
tunnel "$1" {
    gateway = "$2"
    local   = "anna@example.net"
    remote  = "$1.example.net"
    psk     = "file:$LAB_DIR/secret"
    protect = "$3"
    inside  = "192.0.2.10"
    encap   = esp
    $PARAMS
    ${4:-}
}
C
}

client()
{
    {
        tunnel g1 192.0.2.1 198.51.101.2
        tunnel g2 198.51.101.2 198.51.102.3
        tunnel g3 198.51.102.3 10.3.0.9
        tunnel host 10.3.0.9 10.3.0.9 'transport = yes'
        cat <<C
rule "receiver" { action = transport to = 10.3.0.9 }
rule "vpn3" { action = tunnel gateway = g3 to = 10.3.0.0/24 }
rule "vpn2" { action = tunnel gateway = g2 to = 198.51.102.3 }
rule "vpn1" { action = tunnel gateway = g1 to = 198.51.101.2 }
plans { retry_max = 2s idle = 300s }
C
    } | dt_conf client "keylog = \"$LAB_DIR/client.keys\"
metrics = \"127.0.0.1:9470\""
}

# --- captures: every link, from the side of whoever is nearer to the client
# What is searched for on the wires: the bytes of the pings (`ping -p`), and how lab-stream's sequence goes on after
# any multiple of 65536.
MARK=doVetaiLdoVetaiL
STREAM='\xa7\x4e\xf5\x9c\x43\xea\x91\x38\xdf\x86\x2d\xd4\x7b\x22\xc9'
capture_start()
{
    rm -f "$LAB_DIR"/cap-[abcd].log # an earlier capture's "listening" is not this one's
    lab_run client cap-a tcpdump -ni eth0 -s 0 -U -w "$LAB_DIR/a.pcap"
    lab_run g1 cap-b tcpdump -ni in -s 0 -U -w "$LAB_DIR/b.pcap"
    lab_run g2 cap-c tcpdump -ni in -s 0 -U -w "$LAB_DIR/c.pcap"
    lab_run g3 cap-d tcpdump -ni in -s 0 -U -w "$LAB_DIR/d.pcap"
    for c_link in a b c d; do lab_wait 5 "grep -q listening $LAB_DIR/cap-$c_link.log"; done
    sleep 0.3
}

capture_stop()
{
    sleep 0.5
    for c in a b c d; do lab_stop "cap-$c" INT; done
}

talk() # SECONDS: twenty pings a second, or as many as a busy machine lets out
{
    lab_in client ping -i 0.05 -c $((20 * $1)) -w $((4 * $1 + 5)) -p 646f56657461694c 10.3.0.9 >>"$LAB_DIR/talk" 2>&1
}

answers()
{
    grep -c 'bytes from' "$LAB_DIR/talk"
}

nothing_plain()
{
    for c in a b c d; do
        [ "$(wc -c <"$LAB_DIR/$c.pcap")" -gt 1000 ] || { echo "$c.pcap is empty"; return 1; }
        ! LC_ALL=C grep -aq "$MARK" "$LAB_DIR/$c.pcap" || { echo "the payload is on link $c"; return 1; }
        ! LC_ALL=C grep -aqP "$STREAM" "$LAB_DIR/$c.pcap" || { echo "the stream is on link $c"; return 1; }
    done
}

layers() # PCAP: the stacks of headers that tshark sees once it has the keys, with how often
{
    mkdir -p "$LAB_DIR/ws"
    cp "$LAB_DIR/client.keys.esp" "$LAB_DIR/ws/esp_sa"
    WIRESHARK_CONFIG_DIR=$LAB_DIR/ws tshark -r "$1" -o esp.enable_encryption_decode:TRUE -T fields \
        -e frame.protocols -e ip.dst 2>/dev/null
}

four_layers()
{
    layers "$LAB_DIR/a.pcap" >"$LAB_DIR/layers"
    # to the host: g1 outside, then g2, g3, the host itself; the TCP segment in the middle
    grep -q "ip:esp:ip:esp:ip:esp:ip:esp:tcp.*	192.0.2.1,198.51.101.2,198.51.102.3,10.3.0.9$" "$LAB_DIR/layers" ||
        { sort "$LAB_DIR/layers" | uniq -c | sort -rn | head; return 1; }
}

plan() # JQ
{
    dt client --json status | jq -r ".plans[0] | $1"
}

plan_up()
{
    [ "$(plan '.state + " " + ([.layers[] | .state] | join(","))')" = "up up,up,up,up" ]
}

# The layers that were popped or pushed since line N of the monitor, by rule.
moves() # EVENT
{
    tail -n +"$SINCE" "$LAB_DIR/dt-client/events" | jq -r "select(.event == \"$1\") | .rule" | tr '\n' ' '
}

layers_torn() # in order; a pop that leaves a layer to another plan does not count
{
    tail -n +"$SINCE" "$LAB_DIR/dt-client/events" | jq -r 'select(.event == "completed_pop" and (.text | contains("torn down"))) | .rule' | tr '\n' ' '
}

mark_events()
{
    SINCE=$(($(wc -l <"$LAB_DIR/dt-client/events") + 1))
}

popped() # 'RULES '
{
    echo "completed_pop: $(moves completed_pop)"
    [ "$(moves completed_pop)" = "$1" ]
}

metric() # NAME
{
    lab_in client curl -s http://127.0.0.1:9470/metrics | awk -v n="dovetail_$1" '$1 == n { print $2 }'
}

metrics_are() # NAME=VALUE...; the page is made once a second
{
    for want in "$@"; do
        [ "$(metric "${want%=*}")" = "${want#*=}" ] || { echo "${want%=*} is $(metric "${want%=*}"), not ${want#*=}"; return 1; }
    done
}

kernel_state() # NS: what the daemon could leave in the kernel, without what changes by itself
{
    lab_in "$1" sh -c 'ip -o addr; ip -o rule; ip -o route show table all; ip -o link' | sed 's/ *valid_lft.*//; s/qlen .*//' | grep -v '^.*fe80' | sort
}

idle_state()
{
    echo "plans: $(dt client --json status | jq -c .plans)"
    echo "epochs: $(dt client --json status | jq -c '[.tunnels[].epochs | length]')"
    [ "$(dt client --json status | jq '(.plans | length) + ([.tunnels[].epochs | length] | add)')" = 0 ]
}

gateways_idle() # NS...
{
    for ns in "$@"; do
        n=$(dt "$ns" --json status | jq '[.gateways[].clients | length] | add')
        echo "$ns has $n clients"
        [ "$n" = 0 ] || return 1
    done
}

# =================================================================================================================
lab_begin
umask 077
echo 'a secret of more than sixteen bytes' >"$LAB_DIR/secret"
lab_gateways_in_a_row 192.0.2.10/24 10.3.0.9/24
gateway g1 192.0.2.1 198.51.101.2
gateway g2 198.51.101.2 198.51.102.3
gateway g3 198.51.102.3 10.3.0.9
gateway host 10.3.0.9 10.3.0.9 'transport = yes'
client
for ns in g1 g2 g3 host client; do
    dt_start "$ns" || { cat "$LAB_DIR/dt-$ns.log"; echo "Bail out! $ns did not start"; exit 1; }
done
before=$(kernel_state client)
dt_monitor client
lab_run host stream "$STREAMER" serve 7000
lab_run host iperf iperf3 -s
sleep 0.3

# ---- on demand, in order
explained=$(dt client --json explain --rules "$LAB_DIR/dt-client/conf" 192.0.2.10 10.3.0.9 tcp 40000 7000 | jq -r '[.plan[].rule] | join(" ")')
tap_ok "explain says what will be built" [ "$explained" = "vpn1 vpn2 vpn3 receiver" ]
tap_ok "nothing is up before the first packet" idle_state
mark_events
capture_start
tap_ok "the first packet is held and delivered: TCP through four layers" lab_in client "$STREAMER" send 10.3.0.9 7000 3000000
talk 1
tap_ok "every ping is answered" [ "$(answers)" = 20 ]
tap_ok "the layers came up in order" [ "$(moves completed_push)" = "vpn1 vpn2 vpn3 receiver " ]
tap_ok "status shows them" plan_up
tap_ok "explain asks the daemon for the rules in force" [ "$(dt client --json explain 192.0.2.10 10.3.0.9 tcp 40000 7000 | jq -r '[.plan[].rule] | join(" ")')" = "vpn1 vpn2 vpn3 receiver" ]

# ---- a second plan shares the lower tunnels
# It reaches that gateway from the second, as itself. (That answers nothing in the clear to an address that it has a tunnel for.)
reaches_third()
{
    lab_dump g2 in third 'icmp[icmptype] = icmp-echo and src 192.0.2.10 and dst 198.51.102.3'
    lab_in client ping -q -c 2 -i 0.2 -W 1 198.51.102.3
    lab_dump_stop third
    [ "$(lab_dumped third)" = 2 ]
}
tap_ok "what goes to the third gateway itself needs two of them" reaches_third
tap_ok "and they are shared, not built again" lab_wait 5 '[ "$(dt client --json status | jq -c "[.plans[] | [.layers[].plans]]")" = "[[2,2,1,1],[2,2]]" ]'
tap_ok "metrics count two plans and four layers" lab_wait 5 "metrics_are plans=2 plans_begun_total=2 plans_built_total=2 plans_failed_total=0 plan_layers=4 plan_layers_performed_total=4 plan_layers_torn_total=0"
capture_stop
tap_ok "no payload on any link" nothing_plain
if command -v tshark >/dev/null; then
    tap_ok "tshark with the keys: four ESP layers, in the order of the plan" four_layers
else
    tap_skip "tshark with the keys: four ESP layers" tshark
fi
lab_in client iperf3 -c 10.3.0.9 -t 2 -J >"$LAB_DIR/iperf.json" 2>&1
tap_ok "iperf3 through four layers" jq -e '.end.sum_received.bytes > 1000000' "$LAB_DIR/iperf.json"
tap_note "$(jq -r '.end.sum_received.bits_per_second / 1e6 | floor' "$LAB_DIR/iperf.json") Mb/s TCP through four layers"

# ---- a lower layer is re-keyed: those above do not notice
mark_events
was=$(dt client --json status | jq -c '[.tunnels[] | select(.name != "g1") | .epochs[0].spi_in]')
tap_ok "the lowest layer is re-keyed" dt client rekey g1
tap_ok "those above go on undisturbed" [ "$(dt client --json status | jq -c '[.tunnels[] | select(.name != "g1") | .epochs[0].spi_in]')" = "$was" ]
tap_ok "and nothing was popped" popped ""
tap_ok "and it carries" lab_in client ping -q -c 2 -i 0.2 -W 2 10.3.0.9

# ---- the third gateway is killed
mark_events
: >"$LAB_DIR/talk"
capture_start
talk 25 &
sleep 1
dt_stop g3 KILL
tap_ok "g3 killed: exactly the layers above it are torn down, in order" lab_wait 25 'popped "receiver vpn3 "'
tap_ok "those below stay" [ "$(plan '[.layers[] | select(.state == "up") | .rule] | join(" ")')" = "vpn1 vpn2" ]
sleep 1
mark_events
dt_start g3
tap_ok "g3 is back: the plan is rebuilt by itself" lab_wait 25 plan_up
tap_note "pushed: $(moves completed_push)"
sleep 1
: >"$LAB_DIR/talk"
talk 3
tap_ok "and carries" [ "$(answers)" -gt 40 ]
capture_stop
tap_ok "nothing plain left anywhere meanwhile" nothing_plain

tap_ok "metrics: one layer was lost, two were torn down and built again" lab_wait 5 "metrics_are plans=2 plan_layers=4 plans_built_total=3 plan_layers_lost_total=1 plan_layers_torn_total=2"

# ---- nobody asks any more
mark_events
sed -i 's/idle = 300s/idle = 2s/' "$LAB_DIR/dt-client/conf"
tap_ok "another \`idle\` is taken by a reload" dt client reload
tap_ok "plans that carry nothing for \`idle\` are torn down, farthest layers first" lab_wait 20 '[ "$(moves completed_pop | wc -w)" = 6 ] && idle_state'
tap_note "popped: $(moves completed_pop)"
tap_ok "each layer once, in the reverse of its building" [ "$(layers_torn)" = "receiver vpn3 vpn2 vpn1 " ]
tap_ok "the kernel is as it was before" [ "$(kernel_state client)" = "$before" ]
tap_ok "and a packet builds it again" lab_in client ping -q -c 2 -i 0.2 -W 5 10.3.0.9

# ---- the end
mark_events
dt_stop client
lab_wait 5 "gateways_idle g1 g2 g3"
tap_ok "at the end the gateways have no clients left" gateways_idle g1 g2 g3
tap_ok "nor the kernel anything" [ -z "$(lab_in client ip route show table 17494 2>/dev/null)" ]
for ns in g1 g2 g3 host; do dt_stop "$ns"; done

# ---- five gateways in a row, the fourth of which fails: nothing is left anywhere
#
#   c5 10.50.0.10 -- .1 v1 10.50.1.1 -- .2 v2 10.50.2.2 -- ... -- v5 10.50.5.5 -- 10.50.5.9 t5
five_topology()
{
    lab_ns c5 v1 v2 v3 v4 v5 t5
    lab_wire c5 eth0 10.50.0.10/24 v1 out 10.50.0.1/24
    for i in 1 2 3 4; do lab_wire "v$i" in "10.50.$i.$i/24" "v$((i + 1))" out "10.50.$i.$((i + 1))/24"; done
    lab_wire v5 in 10.50.5.5/24 t5 eth0 10.50.5.9/24
    lab_forward v1 v2 v3 v4 v5
    ip -n "$LAB-c5" route add default via 10.50.0.1
    ip -n "$LAB-t5" route add default via 10.50.5.5
    for i in 1 2 3 4 5; do
        for net in 0 1 2 3 4 5; do
            [ "$net" -ge $((i - 1)) ] || ip -n "$LAB-v$i" route add "10.50.$net.0/24" via "10.50.$((i - 1)).$((i - 1))" 2>/dev/null
            [ "$net" -le "$i" ] || ip -n "$LAB-v$i" route add "10.50.$net.0/24" via "10.50.$i.$((i + 1))"
        done
    done
}

five_gateway() # N SECRET PROTECT
{
    dt_conf "v$1" <<C
gateway "v$1" {
    listen   = "10.50.$(($1 - 1)).$1"
    identity = "v$1.example.net"
    psk      = "file:$2"
    protect  = "$3"
    remote   = "10.50.0.10"
    peers    = "anna@example.net"
    $PARAMS
}
C
}

inner() # N: what is reached through gateway N
{
    if [ "$1" = 5 ]; then echo 10.50.5.9; else echo "10.50.$1.$(($1 + 1))"; fi
}

five_client()
{
    for i in 1 2 3 4 5; do
        cat <<C
tunnel "v$i" {
    gateway = "10.50.$((i - 1)).$i"
    local   = "anna@example.net"
    remote  = "v$i.example.net"
    psk     = "file:$LAB_DIR/secret"
    protect = { "$(inner $i)", "10.99.0.0/24" }
    inside  = "10.50.0.10"
    encap   = esp
    $PARAMS
}
rule "to-v$i" { action = tunnel gateway = v$i to = $(inner $i) }
C
    done | dt_conf c5
}

five_idle()
{
    echo "plans: $(dt c5 --json status | jq -c .plans)"
    echo "epochs: $(dt c5 --json status | jq -c '[.tunnels[].epochs | length]')"
    [ "$(dt c5 --json status | jq '(.plans | length) + ([.tunnels[].epochs | length] | add)')" = 0 ]
}

five_moves() # EVENT
{
    tail -n +"$SINCE" "$LAB_DIR/dt-c5/events" | jq -r "select(.event == \"$1\") | .rule" | tr '\n' ' '
}

same_kernel()
{
    kernel_state c5 >"$LAB_DIR/after5"
    diff "$LAB_DIR/before5" "$LAB_DIR/after5"
}

told() # WORDS
{
    jq -r 'select(.event == "action_failed") | .text' "$LAB_DIR/dt-c5/events" | tail -n 1 | tee "$LAB_DIR/told"
    grep -qi -- "$1" "$LAB_DIR/told"
}

five_fails() # TEXT WORDS
{
    SINCE=$(($(wc -l <"$LAB_DIR/dt-c5/events") + 1))
    lab_in c5 ping -q -c 1 -W 1 10.50.5.9 >/dev/null
    lab_wait 20 five_idle
    tap_ok "$1: no plan, no SA and no timer is left" five_idle
    tap_ok "$1: three had come up, in order" [ "$(five_moves completed_push)" = "to-v1 to-v2 to-v3 " ]
    tap_ok "$1: and went in the exact reverse" [ "$(five_moves completed_pop)" = "to-v3 to-v2 to-v1 " ]
    tap_ok "$1: the reason is told" told "$2"
    tap_ok "$1: no route and no address is left" same_kernel
    lab_wait 5 "gateways_idle v1 v2 v3 v5" # an SA that was deleted still receives for two seconds
    tap_ok "$1: nor a client on any gateway" gateways_idle v1 v2 v3 v5
}

five_topology
echo 'another secret of more than sixteen bytes' >"$LAB_DIR/wrong"
for i in 1 2 3 4 5; do five_gateway "$i" "$LAB_DIR/secret" "$(inner $i)"; done
five_gateway 4 "$LAB_DIR/wrong" "$(inner 4)"
five_client
for ns in v1 v2 v3 v4 v5 c5; do
    dt_start "$ns" || { cat "$LAB_DIR/dt-$ns.log"; echo "Bail out! $ns did not start"; exit 1; }
done
dt_monitor c5
sleep 0.5
kernel_state c5 >"$LAB_DIR/before5"
five_fails "the fourth of five refuses" authentic
dt_stop v4 KILL
five_fails "the fourth of five does not answer" "no answer from 10.50.3.4"
# What was under way to it when it failed comes to the lower tunnels when they are gone.
tap_ok "a last IKE packet of ours to the one that failed is sent" lab_in c5 "$GUN" probe 10.50.0.10 10.50.3.4 10.50.0.10 -p 500 -n 3 -r 2
sleep 1
tap_ok "and begins no plan" five_idle
five_gateway 4 "$LAB_DIR/secret" 10.99.0.0/24
dt_start v4
five_fails "the fourth of five gives less" '10.50.4.5 is outside of it'
five_gateway 4 "$LAB_DIR/secret" "$(inner 4)"
tap_ok "the fourth of five has the right secret now" dt v4 reload
tap_ok "once it works, all five come up" lab_in c5 ping -q -c 3 -i 0.5 -W 3 10.50.5.9

# ---- rules reloaded while a plan is being built
dt_stop v4 KILL
dt_stop c5
dt_start c5
dt_monitor c5
lab_in c5 ping -q -c 1 -W 1 10.50.5.9 >/dev/null
SINCE=1
tap_ok "the fourth is being waited for" sh -c "$DOVETAIL --socket $LAB_DIR/dt-c5/sock --json status | jq -e '.plans[0].layers[3].state == \"performing\"'"
sed -i 's/^rule "to-v5".*/rule "to-v5" { action = tunnel gateway = v1 to = 10.50.5.9 }/; s|^rule "to-v[1234]".*||' "$LAB_DIR/dt-c5/conf"
tap_ok "the rules change meanwhile" dt c5 reload
tap_ok "the old plan is gone with all its layers" lab_wait 15 "[ \"\$($DOVETAIL --socket $LAB_DIR/dt-c5/sock --json status | jq '[.plans[] | select(.layers | length == 5)] | length')\" = 0 ]"
tap_note "what is there: $(dt c5 --json status | jq -c '[.plans[] | [.state, (.layers | map(.rule + " " + .state))]]')"
dt_stop c5
for ns in v1 v2 v3 v5; do dt_stop "$ns"; done

# ---- transport mode behind a NAT
nat_client() # ENCAP [DAEMON_SETTINGS]
{
    dt_conf c1 "${2:-}" <<C
tunnel "gw" {
    gateway = "203.0.113.1"
    local   = "anna@example.net"
    remote  = "gw.example.net"
    psk     = "file:$LAB_DIR/secret"
    protect = "203.0.113.1"
    inside  = "192.168.7.11"
    transport = yes
    encap   = $1
    $PARAMS
}
rule "end-to-end" { action = transport to = 203.0.113.1 }
C
}
lab_nat_topology 1
lab_nft_masquerade router wan
dt_conf gateway <<C
gateway "gw" {
    listen   = "203.0.113.1"
    identity = "gw.example.net"
    psk      = "file:$LAB_DIR/secret"
    protect  = "203.0.113.1"
    remote   = "192.168.7.11"
    peers    = "anna@example.net"
    transport = yes
    $PARAMS
}
C
dt_start gateway
lab_run gateway stream-nat "$LAB_BIN/../lab/lab-stream" serve 7000
nat_client esp
dt_start c1
dt_monitor c1
sleep 0.3
tap_ok "transport mode behind a NAT, raw ESP: nothing passes" sh -c "! ip netns exec $LAB-c1 ping -q -c 2 -W 1 203.0.113.1"
tap_ok "transport mode behind a NAT, raw ESP: refused with the reason" grep -q 'action_failed.*NAT on the way.*checksum' "$LAB_DIR/dt-c1/events"
dt_stop c1
nat_client udp
dt_start c1
tap_ok "inside UDP it carries" lab_in c1 ping -q -c 3 -i 0.5 -W 3 203.0.113.1
tap_ok "and TCP, whose checksum covers the addresses" timeout 20 ip netns exec "$LAB-c1" "$LAB_BIN/../lab/lab-stream" send 203.0.113.1 7000 1000000
dt_stop c1
nat_client udp 'hold = 0'
dt_start c1
tap_ok "hold = 0: the packet that begins the plan is dropped" sh -c "! ip netns exec $LAB-c1 ping -q -c 1 -W 2 203.0.113.1"
tap_ok "hold = 0: and those after it are carried" lab_wait 10 "ip netns exec $LAB-c1 ping -q -c 1 -W 1 203.0.113.1"
dt_stop c1
dt_stop gateway
tap_end
