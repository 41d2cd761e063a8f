#!/bin/sh
# Settings that no other test has a reason to touch, each on real packets: what is on the wire, at the far end or in the kernel,
# not what we count ourselves. One topology, many short cases.
#
#   client, other --- (192.0.2.0/24, 2001:db8::/64) --- gateway --- server 10.1.0.10, 10.2.0.1
set -u
LAB=${LAB:-dtset}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/capture.sh"
FLOW=$LAB_BIN/../lab/lab-flow GUN=$LAB_BIN/../lab/lab-tedgun
POOL='pool = 10.9.0.0/24 psk = settings-psk-0123456789abcdef'
PARAMS='maxidle = 2s pingtime = 300ms pingtries = 8 pingtime2 = 500ms pingtries2 = 3 timeout = 2s elimit = 1'

topology()
{
    lab_ns net client other gateway server
    lab_bridge net lan ''
    lab_plug net lan pc client eth0 '192.0.2.10/24 192.0.2.11/24 2001:db8::10/64'
    lab_plug net lan po other eth0 '192.0.2.12/24'
    lab_plug net lan pg gateway eth0 '192.0.2.1/24 2001:db8::1/64'
    lab_wire gateway inside '10.1.0.1/16' server eth0 '10.1.0.10/16'
    ip -n "$LAB-server" addr add 10.2.0.1/32 dev lo
    ip -n "$LAB-server" route add default via 10.1.0.1
    ip -n "$LAB-client" route add 10.1.0.10/32 via 192.0.2.1
    lab_forward gateway
}

# gateway [SETTINGS] [DAEMON_SETTINGS]: restarted with them; who was connected before is stopped first
gateway()
{
    for ns in client other gateway; do dt_stop $ns; done
    dt_conf gateway "${2:-}" <<C
gateway "head-office" {
    identity = "vpn.example.net"
    protect  = "10.1.0.0/16"
    $PARAMS
    ${1:-$POOL}
}
C
    dt_start gateway || tap_note "gateway: $(tail -n 3 "$LAB_DIR/dt-gateway.log")"
}

tunnel() # NAME IDENTITY [SETTINGS] [PSK]
{
    cat <<C
tunnel "$1" {
    local   = "$2"
    remote  = "vpn.example.net"
    psk     = "${4:-settings-psk-0123456789abcdef}"
    $PARAMS
    ${3:-}
}
C
}

TO='gateway = 192.0.2.1 protect = 10.1.0.0/16'

# client NS [IDENTITY] [SETTINGS] [DAEMON_SETTINGS] [PSK]: restarted with the tunnel "t"
client()
{
    dt_stop "$1"
    tunnel t "${2:-anna@example.net}" "${3:-$TO encap = esp}" "${5:-}" | dt_conf "$1" "${4:-}"
    dt_start "$1" || tap_note "$1: $(tail -n 3 "$LAB_DIR/dt-$1.log")"
}

up() # NS
{
    dt "$1" up t --timeout 10
}

refused() # NS WORDS: it does not come up, and says why
{
    ! dt "$1" up t --timeout 5 >"$LAB_DIR/refused" 2>&1 && cat "$LAB_DIR/refused" && grep -q "is not up: .*$2" "$LAB_DIR/refused"
}

carries() # NS [ADDRESS]
{
    lab_in "$1" ping -n -q -c 2 -i 0.1 -W 2 "${2:-10.1.0.10}"
}

# watch NS IF; ...; seen FILTER: packets since then that match; none FILTER: there is none
watch()
{
    rm -f "$LAB_DIR/watch.pcap" "$LAB_DIR/watch.log"
    lab_run "$1" watch tcpdump -i "$2" --immediate-mode -U -s 0 -w "$LAB_DIR/watch.pcap"
    lab_wait 5 "grep -q 'listening on' '$LAB_DIR/watch.log'"
}

watched()
{
    lab_stop watch INT
}

seen() # FILTER [LEAST]
{
    n=$(tcpdump -nr "$LAB_DIR/watch.pcap" "$1" 2>/dev/null | tee "$LAB_DIR/seen" | grep -c .)
    echo "$n packets match $1"
    head -n 3 "$LAB_DIR/seen"
    [ "$n" -ge "${2:-1}" ]
}

none() # FILTER
{
    # a filter that tcpdump does not understand matches nothing either
    tcpdump -nr "$LAB_DIR/watch.pcap" "$1" >"$LAB_DIR/seen" 2>"$LAB_DIR/none" || { cat "$LAB_DIR/none"; return 1; }
    ! grep . "$LAB_DIR/seen"
}

lab_begin
umask 077
topology
lab_wait 5 "lab_in client ping -q -c 1 -W 1 192.0.2.1" || { echo "Bail out! the network does not work"; exit 1; }

# ---- transport mode from host to host, agreed by IKE
host_to_host() # VERSION CLIENT GATEWAY
{
    dt_stop gateway
    dt_stop client
    for ns in client gateway; do
        mine=$2 peer=$3
        [ $ns = client ] || { mine=$3 peer=$2; }
        keys="keylog = \"$(capture_keys $ns)\""
        if [ $ns = client ]; then
            tunnel t anna@example.net "gateway = $peer protect = $peer inside = $mine transport = yes encap = esp" | dt_conf client "$keys"
        else
            dt_conf gateway "$keys" <<C
gateway "host" { identity = vpn.example.net psk = settings-psk-0123456789abcdef peers = anna@example.net
    protect = $mine remote = $peer transport = yes $PARAMS }
C
        fi
    done
    capture_start client eth0
    watch client eth0
    dt_start gateway
    dt_start client
    tap_ok "transport mode, IPv$1: up" up client
    lab_run gateway echo "$FLOW" echo 4411
    lab_wait 5 "lab_in gateway ss -lun | grep -q :4411"
    tap_ok "transport mode, IPv$1: carries UDP" sh -c "ip netns exec $LAB-client $FLOW send $3 4411 -i 5 -t 0.5 | tee /dev/stderr | jq -e '.sent > 20 and .lost == 0'"
    tap_ok "transport mode, IPv$1: and echo" carries client "$3"
    lab_stop echo
    dt_stop client
    watched
    tap_ok "transport mode, IPv$1: the capture is whole" capture_stop client
    tap_ok "transport mode, IPv$1: every ESP packet is in transport mode, and keeps the promise" sh -c \
        "$LAB_BIN/../lab/lab-epochs -c $LAB_DIR/capture-client.pcap $(capture_keys client).esp | tee /dev/stderr | jq -es '.[-1] | .packets > 50 and .transport == .packets and .breaches == 0'"
    tap_ok "transport mode, IPv$1: nothing plain outside" none "port 4411 or (icmp[0] = 8) or (ip6[40] = 128)"
}
host_to_host 4 192.0.2.10 192.0.2.1
host_to_host 6 2001:db8::10 2001:db8::1

# ---- where packets go from, and to
gateway
watch client eth0
client client anna@example.net "$TO encap = esp source = 192.0.2.11"
tap_ok "source: up" up client
tap_ok "source: carries" carries client
watched
tap_ok "source: IKE leaves from it" seen 'src 192.0.2.11 and udp port 500' 2
tap_ok "source: and ESP" seen 'src 192.0.2.11 and esp' 2
tap_ok "source: nothing from the other address" none 'src 192.0.2.10 and (udp or esp)'

watch client eth0
client client anna@example.net "$TO encap = udp"
tap_ok "encap = udp, without a NAT: up" up client
tap_ok "encap = udp: carries" carries client
watched
tap_ok "encap = udp: ESP inside UDP 4500, both ways" seen 'udp port 4500 and udp[8:4] != 0 and greater 100' 4
tap_ok "encap = udp: no raw ESP" none esp

gateway "$POOL" 'ike_port = 1500 natt_port = 14500'
watch client eth0
client client anna@example.net "$TO encap = udp" 'ike_port = 1500 natt_port = 14500'
tap_ok "ike_port, natt_port: up" up client
tap_ok "ike_port, natt_port: carries" carries client
watched
tap_ok "ike_port, natt_port: ESP at the other port" seen 'udp port 14500 and udp[8:4] != 0' 4
tap_ok "ike_port, natt_port: nothing at the usual ones" none 'port 500 or port 4500'

# ---- sizes
gateway
watch server eth0
client client anna@example.net "$TO encap = esp mtu = 1000"
tap_ok "mtu: up" up client
tap_ok "mtu: a larger packet that may not be cut is refused with its size" sh -c \
    "ip netns exec $LAB-client ping -n -c 2 -i 0.2 -W 1 -M do -s 1200 10.1.0.10 2>&1 | grep -i 'mtu = 1000\|mtu=1000'"
tap_ok "mtu: one that may be is carried" lab_in client ping -n -q -c 2 -i 0.2 -W 2 -M dont -s 1200 10.1.0.10
watched
tap_ok "mtu: in fragments" seen 'src net 10.9.0.0/24 and ip[6:2] & 0x3fff != 0' 4
tap_ok "mtu: of at most 1000 bytes" none 'src net 10.9.0.0/24 and ip[2:2] > 1000'

# ---- control packets
watch server eth0
client client anna@example.net "$TO encap = esp probe = 10.1.0.10"
tap_ok "probe = ADDRESS: up" up client
watched
tap_ok "probe = ADDRESS: the host inside was asked" seen 'src net 10.9.0.0/24 and dst 10.1.0.10 and icmp[0] = 8'
tap_ok "probe = ADDRESS: and answered" seen 'src 10.1.0.10 and icmp[0] = 0'

# A gateway that does not wait is seen to speak first: the judge of captures says so.
gateway "$POOL probe = no" "keylog = \"$(capture_keys gateway)\""
capture_start gateway eth0
client client anna@example.net "$TO encap = esp"
up client >"$LAB_DIR/up" 2>&1 || tap_note "$(cat "$LAB_DIR/up")"
lab_run server stream "$FLOW" send "$(dt_field client t '.inside[0]')" 9998 -i 1 -t 0 -w 0
sleep 0.3
lab_in client nft 'add table ip quiet; add chain ip quiet out { type filter hook output priority 0; }; add rule ip quiet out ip protocol esp drop'
tap_ok "a gateway's probe = no: a new epoch, on which the client is not heard" dt client rekey --no-wait t
sleep 0.5
lab_in client nft delete table ip quiet
lab_stop stream
tap_ok "a gateway's probe = no: the capture is whole" capture_stop gateway
tap_ok "a gateway's probe = no: it speaks on a new epoch before it is spoken to" sh -c \
    "$LAB_BIN/../lab/lab-epochs -g $LAB_DIR/capture-gateway.pcap $(capture_keys gateway).esp | grep 'speaks before the client was heard'"

# server_rekey = no: the gateway's keylife ends without a word of it.
begins() # yes|no: CREATE_CHILD_SA requests of the gateway
{
    gateway "$POOL keylife = 2s rekeymargin = 1s rekeyfuzz = 20 server_rekey = $1"
    watch client eth0
    client client anna@example.net "$TO encap = esp server_rekey = accept"
    up client >"$LAB_DIR/up" 2>&1 || tap_note "$(cat "$LAB_DIR/up")"
    sleep 2
    watched
}
begins yes
tap_ok "server_rekey = yes: the gateway begins" seen 'src 192.0.2.1 and udp port 500 and udp[26] = 36 and udp[27] & 0x20 = 0'
begins no
tap_ok "server_rekey = no: it does not" none 'src 192.0.2.1 and udp port 500 and udp[26] = 36 and udp[27] & 0x20 = 0'
dt_stop client

# ---- who may come
printf '*@example.net secret-of-all-the-others\nben@example.net secret-of-ben-alone-0123\n' >"$LAB_DIR/secrets"
gateway "pool = 10.9.0.0/24 secrets = \"file:$LAB_DIR/secrets\""
client client anna@example.net "$TO encap = esp" '' secret-of-all-the-others
tap_ok "secrets: a pattern serves who has no line" up client
tap_ok "secrets: and it carries" carries client
client other ben@example.net "$TO encap = esp" '' secret-of-all-the-others
tap_ok "secrets: the exact line wins: the pattern's secret is refused" refused other AUTHENTICATION_FAILED
tap_ok "secrets: nothing of it is carried" sh -c "! ip netns exec $LAB-other ping -n -q -c 1 -W 1 10.1.0.10"
client other ben@example.net "$TO encap = esp" '' secret-of-ben-alone-0123
tap_ok "secrets: the exact one is taken" up other
tap_ok "secrets: and carries" carries other

gateway "$POOL peers = \"*@example.net\""
client other ben@elsewhere.org
tap_ok "peers: who does not match is refused" refused other AUTHENTICATION_FAILED
client other ben@example.net
tap_ok "peers: who matches is not" up other

gateway "$POOL clients_max = 1"
client client anna@example.net
tap_ok "clients_max: one comes up" up client
client other ben@example.net
tap_ok "clients_max: the next one is refused, with the reason" refused other .
tap_ok "clients_max: its daemon lives" dt other status
tap_ok "clients_max: the first one carries" carries client
dt_stop other

# ---- rules
gateway
{
    tunnel first anna@example.net "$TO encap = esp start = manual"
    tunnel second ben@example.net "$TO encap = esp start = manual"
    echo 'rule "r" { action = tunnel gateway = 192.0.2.1 to = 10.1.0.0/16 use = second always = yes }'
} >"$LAB_DIR/use"
dt_stop client
dt_conf client <"$LAB_DIR/use"
watch server eth0
dt_start client
tap_ok "rule, use: the named tunnel comes up" dt_wait_up client second 10
tap_ok "rule, use: and carries" carries client
watched
tap_ok "rule, use: its identity is at the gateway, and no other" sh -c \
    "$LAB_BIN/dovetail --socket $LAB_DIR/dt-gateway/sock --json status | jq -e '[.gateways[0].clients[].identity] == [\"ben@example.net\"]'"
tap_ok "rule, use: packets come from its inside address" seen "src $(dt_field client second '.inside[0]') and icmp[0] = 8" 2

# A gateway behind the gateway: with the rule below it is reached through the first, with `pass` before that directly.
dt_conf server <<C
gateway "inner" { identity = inner.example.net psk = settings-psk-0123456789abcdef peers = anna@example.net
    protect = 10.2.0.1 remote = 192.0.2.10 $PARAMS }
C
dt_start server
gateway "psk = settings-psk-0123456789abcdef peers = anna@example.net remote = 192.0.2.10"
layers() # RULE
{
    dt_stop client
    {
        tunnel outer anna@example.net 'gateway = 192.0.2.1 protect = 10.1.0.0/16 inside = 192.0.2.10 encap = esp'
        tunnel inner anna@example.net 'gateway = 10.1.0.10 protect = 10.2.0.1 inside = 192.0.2.10 encap = esp' | sed 's/vpn.example.net/inner.example.net/'
        echo 'rule "in" { action = tunnel gateway = inner to = 10.2.0.1 }'
        echo "$1"
        echo 'rule "out" { action = tunnel gateway = outer to = 10.1.0.0/16 }'
    } | dt_conf client
    watch client eth0
    dt_start client || tap_note "$(tail -n 3 "$LAB_DIR/dt-client.log")"
    lab_wait 8 "carries client 10.2.0.1"
    carries client 10.2.0.1 >"$LAB_DIR/carried" 2>&1
    CARRIED=$?
    watched
}
layers ''
tap_ok "rules without pass: the inner tunnel is carried" [ $CARRIED = 0 ]
tap_ok "rules without pass: its ESP goes inside the outer one" none 'esp and dst 10.1.0.10'
tap_ok "rules without pass: to the first gateway" seen 'esp and dst 192.0.2.1' 2
# The gateway must not demand protection of this client itself, or it drops what passes by it (RFC 4301 section 5.2).
gateway
layers 'rule "bare" { action = pass to = 10.1.0.10 protocol = esp }'
tap_ok "rule, pass: the inner tunnel is carried" [ $CARRIED = 0 ]
tap_ok "rule, pass: by itself" seen 'esp and dst 10.1.0.10' 2
tap_ok "rule, pass: nothing goes to the first gateway" none 'esp and dst 192.0.2.1'
dt_stop client
dt_stop server

# ---- discovery
ip -n "$LAB-client" addr add 10.3.0.1/32 dev lo
ip -n "$LAB-client" route replace 10.1.0.0/16 via 192.0.2.1
ip -n "$LAB-client" route add 10.77.0.0/16 via 192.0.2.1
ip -n "$LAB-gateway" route add 10.3.0.0/24 via 192.0.2.10
ip -n "$LAB-gateway" route add default via 192.0.2.12 # whom replies to forged addresses may reach
ip -n "$LAB-other" route add 10.1.0.0/16 via 192.0.2.1
finder() # NS PROXY [SETTINGS]
{
    dt_stop "$1"
    dt_conf "$1" <<C
discover "mesh" { protect = "$2" identity = "$1.example.net" psk = settings-psk-0123456789abcdef ${3:-} }
C
    dt_start "$1" || tap_note "$1: $(tail -n 3 "$LAB_DIR/dt-$1.log")"
}
PROBE='udp dst port 500 and udp[26] = 240' REPLY='udp src port 500 and udp[26] = 241'
asks() # ADDRESS [SETTINGS]
{
    finder client '10.3.0.0/24 10.0.0.0/8' "${2:-}"
    watch client eth0
    lab_in client ping -n -q -c 2 -i 0.2 -W 2 -I 10.3.0.1 "$1" >"$LAB_DIR/asked" 2>&1
    ANSWERED=$?
    watched
}
finder gateway '10.1.0.0/16 10.0.0.0/8'
asks 10.1.0.10
tap_ok "proxy_address = yes: found and carried" [ $ANSWERED = 0 ]
tap_ok "proxy_address = yes: the probe says our half proxy (16 octets)" seen "$PROBE and udp[4:2] = 124"
asks 10.1.0.10 'proxy_address = no'
tap_ok "proxy_address = no: found and carried" [ $ANSWERED = 0 ]
tap_ok "proxy_address = no: the probe does not say it" seen "$PROBE and udp[4:2] = 108"
tap_ok "proxy_address = no: in no probe" none "$PROBE and udp[4:2] = 124"
asks 10.77.0.1 'probe_tries = 2'
tap_ok "probe_tries: so many probes for a host that nobody protects" sh -c "tcpdump -nr $LAB_DIR/watch.pcap '$PROBE' 2>/dev/null | grep -c . | grep -x 2"
dt_stop client
replies() # SETTINGS GUN_OPTION...: how many replies 400 probes draw in two seconds, on the wire
{
    setting=$1
    shift
    finder gateway '10.1.0.0/16 10.0.0.0/8' "$setting"
    watch gateway eth0
    lab_in other "$GUN" probe 10.3.0.1 10.1.0.10 192.0.2.10 -n 400 -r 200 "$@" >"$LAB_DIR/gun" || tap_note "no probes"
    watched
    REPLIES=$(tcpdump -nr "$LAB_DIR/watch.pcap" "$REPLY" 2>/dev/null | grep -c .)
    tap_note "$setting $*: $REPLIES replies to $(tcpdump -nr "$LAB_DIR/watch.pcap" "$PROBE" 2>/dev/null | grep -c .) probes"
}
within() # LEAST MOST
{
    echo "$REPLIES replies"
    [ "$REPLIES" -ge "$1" ] && [ "$REPLIES" -le "$2" ]
}
replies 'reply_rate_source = 5'
tap_ok "reply_rate_source: replies to one address keep to it" within 5 20
replies 'reply_rate = 5' -i
tap_ok "reply_rate: replies to all addresses together keep to it" within 5 20
replies 'reply_rate = 1000 reply_rate_source = 1000'
tap_ok "reply rates that are high: more is answered" within 100 400
dt_stop gateway

# ---- the control socket's group
gateway "$POOL" 'group = games'
as_user() # GROUP ARGUMENT...
{
    group=$1
    shift
    setpriv --reuid 65534 --regid "$(getent group "$group" | cut -d: -f3)" --clear-groups "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-gateway/sock" "$@"
}
chmod 755 "$LAB_DIR" "$LAB_DIR/dt-gateway"
tap_ok "group: a member may ask" as_user games status
tap_ok "group: the socket is the group's" sh -c "stat -c '%G %a' $LAB_DIR/dt-gateway/sock | grep -x 'games 660'"
tap_ok "group: another may not" sh -c "! setpriv --reuid 65534 --regid 65534 --clear-groups $LAB_BIN/dovetail --socket $LAB_DIR/dt-gateway/sock status"
dt_stop gateway
tap_end
