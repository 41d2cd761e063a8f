#!/bin/sh
# One tunnel over real packets: every encapsulation, IPv4 and IPv6 inside, rekeys under load, death and rebirth of either
# side, a NAT that reboots, and bad input that must end in a clear sentence and leave everything else undisturbed.
set -u
LAB=${LAB:-dttun}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
. "$LAB_ROOT/lab/capture.sh"
FLOW=$LAB_BIN/../lab/lab-flow
DOVETAIL=$LAB_BIN/dovetail DOVETAILD=$LAB_BIN/dovetaild

BOUND=12 # with OFFICE_QUICK an outage is noticed after 3.5 s; the rest is what a busy machine takes

gateway_conf() # NS [SETTING]...
{
    g_ns=$1
    shift
    office_gateway 'dns = "10.1.0.10"' "$OFFICE_QUICK" "$@" | dt_conf "$g_ns"
}

client_conf() # NS IDENTITY ENCAP [SETTING]...
{
    c_ns=$1 c_who=$2 c_encap=$3
    shift 3
    office_client "$c_ns" "local = \"$c_who\"" "encap = $c_encap" "$OFFICE_QUICK" "$@"
}

flow_stop() # NAME
{
    lab_stop "$1" TERM
}

# ---- what a tunnel must do, whatever is around it
carries() # NS
{
    lab_in "$1" ping -q -c 3 -i 0.2 -W 2 10.1.0.10 && lab_in "$1" ping -q -c 3 -i 0.2 -W 2 fd01::10
}

carries_tcp() # NS ADDRESS
{
    lab_in "$1" iperf3 -c "$2" -t 2 -J >"$LAB_DIR/iperf.json" &&
        jq -e '.end.sum_received.bytes > 1000000' "$LAB_DIR/iperf.json"
}

inside4() # NS: the inside address that its kernel has
{
    ip -n "$LAB-$1" -o -4 addr show dev dovetail0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p' | grep .
}

inside_addresses() # NS
{
    inside4 "$1" | grep '^10\.9\.0\.[0-9]*$' && ip -n "$LAB-$1" -o -6 addr show dev dovetail0 | grep ' inet6 fd09::'
}

up_and_carries() # NS ENCAP
{
    client_conf "$1" anna@example.net "$2"
    dt_start "$1"
    tap_ok "encap = $2: up" "$DOVETAIL" --socket "$LAB_DIR/dt-$1/sock" up office --timeout 15
    tap_ok "encap = $2: inside addresses, IPv4 and IPv6" inside_addresses "$1"
    tap_ok "encap = $2: IPv4 and IPv6 inside" carries "$1"
    tap_ok "encap = $2: TCP over IPv4" carries_tcp "$1" 10.1.0.10
    tap_ok "encap = $2: TCP over IPv6" carries_tcp "$1" fd01::10
}

encap_is() # NS WHAT
{
    sent=$(esp_sent "$1" eth0 10.1.0.10)
    echo "$sent"
    [ "${sent##* }" = "$2" ]
}

nothing_left() # NS
{
    ! lab_in "$1" ip rule | grep -q 17494 && ! lab_in "$1" ip -6 rule | grep -q 17494 &&
        ! lab_in "$1" ip link | grep -q dovetail && ! lab_in "$1" nft list tables | grep -q dovetail && [ -z "$(lab_in "$1" ip route show table 17494 2>/dev/null)" ] &&
        [ ! -e "$LAB_DIR/dt-$1/sock" ]
}

# A killed daemon leaves what was protected closed, with the socket and the device gone, until somebody opens it.
closed_left() # NS PREFIX
{
    lab_in "$1" ip route show table 17494 | grep -q "^unreachable $2" && lab_in "$1" ip rule | grep -q 17494 &&
        lab_in "$1" nft list table inet dovetail && ! lab_in "$1" ip link | grep -q dovetail && [ ! -e "$LAB_DIR/dt-$1/sock" ]
}
opened() # NS
{
    lab_in "$1" "$DOVETAILD" --open --socket "$LAB_DIR/dt-$1/sock" && nothing_left "$1"
}

# ---- rekeys under load: nothing lost, counted inside
rekey_under_load() # ENCAP SECONDS
{
    dt_stop c1
    client_conf c1 anna@example.net "$1" 'keylife = 5s rekeymargin = 2400ms rekeyfuzz = 40'
    dt_start c1
    dt_wait_up c1 office 15 || tap_note "not up: $(dt_field c1 office .why)"
    # The first packet of every SA, on the wire: so many epochs began.
    lab_dump c1 eth0 begun '(ip proto 50 and ip[24:4] = 1) or (udp port 4500 and udp[8:4] != 0 and udp[12:4] = 1)' -Q out
    lab_run c1 flow "$FLOW" send 10.1.0.10 4411 -i 2 -t 0 -g 200
    lab_in c1 iperf3 -c 10.1.0.10 -t "$2" -b 100M -J >"$LAB_DIR/iperf.json" 2>&1
    flow_stop flow
    lab_dump_stop begun
    begun=$(lab_dumped begun)
    tap_note "encap = $1: $begun new epochs in $2 s, $(jq -r '.end.sum_received.bits_per_second / 1e6 | floor' "$LAB_DIR/iperf.json") Mb/s TCP beside $(lab_flow_field flow sent) numbered packets, $(lab_flow_field flow lost_out) lost out, $(lab_flow_field flow lost_back) lost back"
    tap_ok "encap = $1: a new epoch about every 2 s" [ "$begun" -ge $(($2 / 3)) ]
    tap_ok "encap = $1: no packet lost on account of the rekeys" [ "$(lab_flow_field flow lost_out)$(lab_flow_field flow lost_back)" = 00 ]
}

# ---- outages: how long is the numbered flow silent?
outage() # TEXT BOUND
{
    o=$(lab_flow_field flow longest_outage_s)
    tap_note "$1: silent for $o s at most"
    tap_ok "$1: traffic flows again within $2 s" awk -v o="$o" -v b="$2" 'BEGIN { exit !(o > 0 && o <= b) }'
}

# Ends the flow when it is answered again; whose last packets are not, says so itself.
flow_healed()
{
    lab_wait 20 "lab_in c1 ping -q -c 1 -W 1 10.1.0.10"
    sleep 1
    flow_stop flow
}

start_flow()
{
    rm -f "$LAB_DIR/flow.log"
    lab_run c1 flow "$FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 60
    sleep 1
}

refused() # TEXT WORDS... : `up` ends with 1 and says these words
{
    text=$1
    shift
    "$DOVETAIL" --socket "$LAB_DIR/dt-c2/sock" up office --timeout 8 >"$LAB_DIR/up.out" 2>&1
    rc=$?
    missing=
    for w in "$@"; do
        grep -qi -- "$w" "$LAB_DIR/up.out" || missing="$missing $w"
    done
    echo "status $rc, missing:$missing; said: $(cat "$LAB_DIR/up.out")"
    [ "$rc" = 1 ] && [ -z "$missing" ]
}

bad_client() # TEXT EXTRA_SED WORDS...
{
    text=$1 change=$2
    shift 2
    client_conf c2 ben@example.net udp
    sed -i "$change" "$LAB_DIR/dt-c2/conf"
    dt_start c2
    tap_ok "$text" refused "$text" "$@"
    dt_stop c2
}

# The gateway's last word on ben
log_names() # TEXT WORDS...
{
    text=$1 missing=
    shift
    line=$(grep -E 'warning|error' "$LAB_DIR/dt-gateway.log" | tail -n 1)
    for w in "$@"; do
        case $line in *"$w"*) ;; *) missing="$missing $w" ;; esac
    done
    tap_ok "$text" sh -c "echo 'missing:$missing'; cat; [ -z '$missing' ]" <<E
$line
E
}

# =================================================================================================================
lab_begin
umask 077
office_lab 2
gateway_conf gateway 'ike = { "aes128gcm16-aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha384-ecp384" }'
dt_start gateway || { cat "$LAB_DIR/dt-gateway.log"; echo "Bail out! the gateway did not start"; exit 1; }
lab_run server echo "$FLOW" echo 4411
lab_run server iperf iperf3 -s

# ---- each encapsulation, behind the NAT (one client: nftables can masquerade one ESP flow)
for encap in esp udp auto; do
    up_and_carries c1 $encap
    case $encap in esp | udp) tap_ok "encap = $encap: it is $encap" encap_is c1 $encap ;; esac
    tap_note "encap = $encap is $(dt_field c1 office .encap): $(dt_field c1 office .encap_why)"
    dt_stop c1
    tap_ok "encap = $encap: nothing is left behind at the end" nothing_left c1
done

# ---- a NAT that does not let ESP through: auto goes to UDP
lab_in router nft add table ip block
lab_in router nft add chain ip block f '{ type filter hook forward priority 0; }'
lab_in router nft add rule ip block f ip protocol esp drop
client_conf c1 anna@example.net auto
dt_start c1
tap_ok "ESP is blocked: encap = auto comes up" "$DOVETAIL" --socket "$LAB_DIR/dt-c1/sock" up office --timeout 15
tap_ok "ESP is blocked: encap = auto has gone to UDP" encap_is c1 udp
tap_ok "ESP is blocked: and it carries" carries c1
tap_note "why: $(dt_field c1 office .encap_why)"
lab_in router nft delete table ip block
dt_stop c1

# ---- commands
client_conf c1 anna@example.net udp
dt_start c1
dt_monitor c1
dt_wait_up c1 office 15
tap_ok "ping" dt c1 ping --count 2 office
was=$(esp_spi c1)
tap_ok "rekey" dt c1 rekey office
tap_ok "rekey: data goes out on another SPI" esp_other_spi c1 "$was"
tap_ok "rekey --ike" dt c1 rekey --ike office
address=$(inside4 c1)
was=$(esp_spi c1)
tap_ok "a reload without changes touches nothing" dt c1 reload
tap_ok "the same SAs carry after it" esp_same_spi c1 "$was"
tap_ok "down" dt c1 down office
tap_ok "down: nothing is told of what was" [ "$(dt_field c1 office '[.inside[], .local_selectors[], .remote_address, .encap_why] | map(select(. != null)) | length')" = 0 ]
tap_ok "down: ping does not pass" sh -c "! ip netns exec $LAB-c1 ping -q -c 1 -W 1 10.1.0.10"
tap_ok "up again" dt c1 up office --timeout 15
tap_ok "it has the address that it had" [ "$(inside4 c1)" = "$address" ]
tap_ok "the gateway throws the client out" dt gateway down anna@example.net
tap_ok "and the client comes back by itself" lab_wait 10 "dt_is_up c1 office"
tap_ok "a tunnel that is not there: status 1, with the name that was meant" lab_fails 1 'did you mean "office"' dt c1 up offise
tap_ok "with --json it is one object" sh -c "$DOVETAIL --json --socket $LAB_DIR/dt-c1/sock ping offise 2>/dev/null | jq -es 'length == 1 and (.[0].error | contains(\"offise\")) and .[0].code == 1'"
tap_ok "a tunnel that nothing is like: those there are, are named" lab_fails 1 'there is no tunnel "xyz"; there is "office"' dt c1 rekey xyz
tap_ok "monitor of a tunnel that is not there: status 1, not silence" lab_fails 1 'there is no tunnel "xyz"; there is "office"' timeout 5 "$DOVETAIL" --socket "$LAB_DIR/dt-c1/sock" monitor xyz

# ---- a gateway's clients by their identity
tap_ok "status of a client at the gateway" sh -c "$DOVETAIL --socket $LAB_DIR/dt-gateway/sock --json status anna@example.net | jq -e '.gateways[0].clients | length == 1 and .[0].identity == \"anna@example.net\"'"
tap_ok "ping of a client from the gateway: both answered" sh -c "$DOVETAIL --socket $LAB_DIR/dt-gateway/sock ping --count 2 anna@example.net | grep '^2 sent, 2 answered'"
was=$(esp_spi c1)
tap_ok "rekey from the gateway: a client that declines is named, with what it would need" lab_fails 1 'anna@example.net has no new epoch: .*server_rekey = accept' dt gateway rekey anna@example.net
tap_ok "and its epoch goes on" esp_same_spi c1 "$was"
tap_ok "up of a client: it comes up from its own side" lab_fails 1 'a client of a gateway' dt gateway up anna@example.net
tap_ok "a client that is not there: those there are, are named" lab_fails 1 'there is no tunnel, gateway or client "xyz"; there are "head-office", "anna@example.net"' dt gateway ping xyz
sed -i 's|encap|server_rekey = accept encap|' "$LAB_DIR/dt-c1/conf"
tap_ok "server_rekey = accept is taken by a reload" dt c1 reload
tap_ok "a client that accepts it is rekeyed from the gateway" dt gateway rekey anna@example.net
tap_ok "its data goes out on another SPI" esp_other_spi c1 "$was"
tap_ok "monitor has told of it" grep -q '"event":"verified"' "$LAB_DIR/dt-c1/events"
tap_ok "status fits 80 columns" sh -c "$DOVETAIL --socket $LAB_DIR/dt-c1/sock status | awk 'length > 80 { exit 1 }'"

# ---- on demand, with an address that is leased: what was asked for before it was known cannot have the right source
tcp() # NS: can a TCP connection be opened?
{
    lab_in "$1" timeout 5 bash -c 'exec 3<>/dev/tcp/10.1.0.10/5299'
}
lab_run server iperf2 iperf3 -s -p 5299
client_conf c2 ben@example.net udp 'start = demand'
dt_start c2
tap_ok "start = demand, leased address: the first program is told at once" lab_fails 1 'No route to host' tcp c2
tap_ok "and its packet has brought the tunnel up" dt_wait_up c2 office 5
tap_ok "so that the next one comes through" tcp c2
dt_stop c2

# ---- a gateway that allows less than is protected
client_conf c2 ben@example.net udp
sed -i 's|protect = .*|protect = "10.0.0.0/8"|' "$LAB_DIR/dt-c2/conf"
dt_start c2
dt_wait_up c2 office 10
tap_ok "narrowed: status tells what was negotiated" sh -c "$DOVETAIL --socket $LAB_DIR/dt-c2/sock status | grep 'protects 10.1.0.0/16; the gateway allows no more of 10.0.0.0/8'"
tap_ok "narrowed: it carries" lab_in c2 ping -q -c 1 -W 2 10.1.0.10
tap_ok "narrowed: the rest is refused, not sent plain" sh -c "ip netns exec $LAB-c2 ping -c 1 -W 2 10.77.0.1 | grep -i 'prohibited\|filtered'"
dt_stop c2

# ---- bad input, while the tunnel of c1 goes on
was=$(esp_spi c1)
bad_client "wrong secret" 's|psk .*|psk = "something else entirely"|' authentic
bad_client "wrong identity of the gateway" 's|remote .*|remote = "other.example.net"|' identity
log_names "the gateway's log names both identities" other.example.net vpn.example.net
bad_client "no common proposal" 's|encap .*|encap = udp ike = "aes256-sha512-modp2048"|' NO_PROPOSAL_CHOSEN 'we offered aes256' 'it takes aes128gcm16'
tap_ok "no common proposal: the gateway's status names both sides" sh -c "$DOVETAIL --socket $LAB_DIR/dt-gateway/sock --json status | jq -e '.refused[0].why | contains(\"aes256-sha512\") and contains(\"aes128gcm16\")'"
log_names "no common proposal: the gateway's log names both sides" aes256 modp2048 aes128gcm16 x25519
bad_client "traffic selectors outside the policy" 's|protect .*|protect = "10.77.0.0/16"|' 10.77.0.0 'it allows 10.1.0.0/16'
log_names "traffic selectors: the gateway's log names both sides" 10.77.0.0 10.1.0.0
lab_in router nft add table ip block
lab_in router nft add chain ip block f '{ type filter hook forward priority 0; }'
lab_in router nft add rule ip block f ip saddr 192.168.7.12 drop
bad_client "a gateway that does not answer" 's|encap|encap|' 'no answer' 203.0.113.1
lab_in router nft delete table ip block
printf 'tunnel "x" {\n    gatewey = "203.0.113.1"\n}\n' >"$LAB_DIR/bad.conf"
tap_ok "a configuration error: file:line, status 2" lab_fails 2 'bad.conf:2: .*did you mean "gateway"' "$DOVETAILD" --config "$LAB_DIR/bad.conf"
tap_ok "check says the same" lab_fails 2 'bad.conf:2: .*did you mean "gateway"' "$DOVETAIL" check "$LAB_DIR/bad.conf"
sed "s|psk .*|psk = \"file:$LAB_DIR/open.psk\"|" "$LAB_DIR/dt-c2/conf" >"$LAB_DIR/open.conf"
install -m 644 "$LAB_DIR/office.psk" "$LAB_DIR/open.psk"
tap_ok "a secret that others may read: refused, with the file and what to do, status 2" lab_fails 2 "chmod 600 $LAB_DIR/open.psk" "$DOVETAILD" --config "$LAB_DIR/open.conf"
sed "s|^daemon.*|daemon { socket = $LAB_DIR/np.sock }|; s|psk .*|psk = x|" "$LAB_DIR/dt-c1/conf" >/tmp/$LAB-np.conf
chmod 644 /tmp/$LAB-np.conf
tap_ok "no privilege: a sentence, status 1" lab_fails 1 'no privilege' lab_in c2 setpriv --reuid 65534 --clear-groups --inh-caps=-all \
    "$DOVETAILD" --config "/tmp/$LAB-np.conf"
rm -f "/tmp/$LAB-np.conf"
tap_ok "no TUN device: a sentence, status 1" lab_fails 1 '/dev/net/tun' unshare -m sh -c "mount -t tmpfs none /dev/net &&
    exec ip netns exec $LAB-c2 $DOVETAILD --config $LAB_DIR/dt-c2/conf"
tap_ok "and nothing is left behind" nothing_left c2
tap_ok "a second daemon: a sentence, status 1" lab_fails 1 'already running' lab_in c1 "$DOVETAILD" --config "$LAB_DIR/dt-c1/conf"
tap_ok "a second daemon with another socket: the port is in use" lab_fails 1 'port 500' lab_in c1 "$DOVETAILD" --config "$LAB_DIR/dt-c1/conf" \
    --socket "$LAB_DIR/other.sock"
tap_ok "and it leaves no socket" [ ! -e "$LAB_DIR/other.sock" ]
sed -i 's|encap|encup|' "$LAB_DIR/dt-c1/conf"
tap_ok "a reload with an error: status 2, nothing changed" lab_fails 2 'encup' dt c1 reload
# shapeless datagrams, and IKE headers (to SPIs that nobody has, of every exchange type, cut anywhere) behind which is nothing
cat >"$LAB_DIR/garbage" <<'G'
for n in $(seq 150); do
    head -c $((n * 9)) /dev/urandom >/dev/udp/203.0.113.1/500
    head -c $((n * 9)) /dev/urandom >/dev/udp/203.0.113.1/4500
    { printf 'AAAAAAAABBBBBBBB! '; printf "\\x$(printf %x $((n + 20)))\010\0\0\0\0\0\0\004\0"; head -c $((n * 6)) /dev/zero; } |
        head -c $((n * 8)) >/dev/udp/203.0.113.1/500
    { printf '\0\0\0\0AAAAAAAA\0\0\0\0\0\0\0\0! "\010\0\0\0\0\0\0'; printf "\0\\x$(printf %x $n)!\0\377\377"; head -c $n /dev/urandom; } >/dev/udp/203.0.113.1/4500
done 2>/dev/null
G
rm -f "$LAB_DIR/flow.log"
lab_run c1 flow "$FLOW" send 10.1.0.10 4411 -i 5 -t 0 -g 60
lab_in c2 bash "$LAB_DIR/garbage"
sleep 0.5
flow_stop flow
tap_note "garbage: $(dt gateway --json status | jq -c .ike)"
tap_ok "garbage on UDP 500 and 4500 is counted" sh -c "$DOVETAIL --socket $LAB_DIR/dt-gateway/sock --json status | jq -e '.ike.malformed + .ike.unknown_spi > 100'"
tap_ok "and no packet of c1 is lost by it" [ "$(lab_flow_field flow lost)" = 0 ]
tap_ok "none of it disturbed the tunnel of c1" esp_same_spi c1 "$was"
tap_ok "nor its traffic" carries c1

# ---- death and rebirth
client_conf c1 anna@example.net udp
tap_ok "a reload with the error mended" dt c1 reload
start_flow
dt_stop gateway KILL
tap_ok "killed, the gateway leaves its pool closed and nothing else" lab_wait 3 "closed_left gateway 10.9.0.0/16"
dt_start gateway
sleep 5
flow_healed
# noticed after maxidle + pingtries2 * pingtime2; two negotiations of `timeout` are lost on the dead session; then a new one: 9.5 s
outage "gateway killed and restarted" 30
tap_ok "it is up again" dt_is_up c1 office
dt_stop c1 KILL
tap_ok "killed, the client leaves what it protects closed and nothing else" lab_wait 3 "closed_left c1 10.1.0.0/16"
tap_ok "dovetaild --open opens it" opened c1
dt_start c1
tap_ok "client killed and restarted: up by itself" dt_wait_up c1 office 15
tap_ok "with the address that it had" [ "$(inside4 c1)" = "$address" ]
tap_ok "and it carries" carries c1

# ---- the NAT forgets everything
if command -v conntrack >/dev/null; then
    start_flow
    lab_in router conntrack -F >/dev/null 2>&1
    sleep 2
    flow_healed
    outage "NAT reboot" $BOUND
    # and it comes back as another kind of NAT: another port for the same client
    lab_in router nft flush chain ip lab_nat post
    lab_in router nft add rule ip lab_nat post oifname wan masquerade fully-random
    start_flow
    lab_in router conntrack -F >/dev/null 2>&1
    sleep 2
    flow_healed
    outage "NAT reboot, another port outside" $BOUND
else
    tap_skip "NAT reboot" "conntrack"
fi

# ---- rekeys under load, longest last
rekey_under_load udp "${REKEY_SECONDS:-60}"
rekey_under_load esp "${REKEY_SECONDS:-60}"
dt_stop c1
dt_stop gateway
tap_ok "at the end nothing is left at the client" nothing_left c1
tap_ok "nor at the gateway" nothing_left gateway
tap_end
