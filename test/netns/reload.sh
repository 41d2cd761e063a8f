#!/bin/sh
# A reload under traffic: afterwards everything is as after a start with that file, what the file takes away is gone at once,
# and nobody else notices. Looked at from the far end, on the wire and in the kernel's tables.
set -u
LAB=${LAB:-dtrel}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
. "$LAB_ROOT/lab/capture.sh"
FLOW=$LAB_BIN/../lab/lab-flow

gateway_conf() # POOL PROTECT
{
    office_gateway 'listen =' 'psk =' "secrets = \"file:$LAB_DIR/secrets\"" "protect = $2" "pool = \"$1\"" "$OFFICE_QUICK" | dt_conf gateway
}

client_conf() # NS WHO [SETTING]...
{
    c_ns=$1 c_who=$2
    shift 2
    office_client "$c_ns" "local = \"$c_who@example.net\"" "psk = \"file:$LAB_DIR/$c_who.psk\"" 'protect = "10.1.0.0/16"' 'encap = udp' "$OFFICE_QUICK" "$@"
}

flow_start() # NS
{
    rm -f "$LAB_DIR/flow-$1.log"
    lab_run "$1" "flow-$1" "$FLOW" send 10.1.0.10 4411 -i 20 -t 0 -g 60
    sleep 0.5
}

carries() # NS [ADDRESS]
{
    lab_in "$1" ping -q -c 3 -i 0.2 -W 2 "${2:-10.1.0.10}"
}

carries_not() # NS [ADDRESS]
{
    ! lab_in "$1" ping -q -c 1 -W 1 "${2:-10.1.0.10}"
}

table() # NS: what is routed into tunnels
{
    lab_in "$1" ip route show table 17494 2>/dev/null
}

captured() # NAME: how many packets; and that is all
{
    lab_dump_stop "$1"
    lab_dumped "$1"
}

lease_in() # NS PREFIX
{
    ip -n "$LAB-$1" -o -4 addr show dev dovetail0 | grep "inet $2"
}

# =================================================================================================================
lab_begin
umask 077
echo "anna's own secret of some length" >"$LAB_DIR/anna.psk"
echo "ben's own secret of some length" >"$LAB_DIR/ben.psk"
printf "anna@example.net %s\nben@example.net %s\n" "$(cat "$LAB_DIR/anna.psk")" "$(cat "$LAB_DIR/ben.psk")" >"$LAB_DIR/secrets"
lab_nat_topology 2
lab_nft_masquerade router wan
ip -n "$LAB-server" addr add 10.1.0.11/16 dev eth0
gateway_conf 10.9.0.0/24 '"10.1.0.0/16"'
dt_start gateway || { cat "$LAB_DIR/dt-gateway.log"; echo "Bail out! the gateway did not start"; exit 1; }
lab_run server echo "$FLOW" echo 4411
client_conf c1 anna
client_conf c2 ben
dt_start c1
dt_start c2
dt_wait_up c1 office 10 && dt_wait_up c2 office 10 || tap_note "not up: $(dt_field c1 office .why)"

# ---- rules
flow_start c2
client_conf c1 anna
echo 'rule "r1" { action = tunnel gateway = 203.0.113.1 to = 10.1.0.0/16 }' >>"$LAB_DIR/dt-c1/conf"
tap_ok "a rule that leads to a working tunnel: reload" dt c1 reload
tap_ok "it is brought up by the first packet" lab_wait 5 "lab_in c1 ping -q -c 1 -W 1 10.1.0.10"
tap_ok "and carries" carries c1
was=$(esp_spi c1)
client_conf c1 anna
tap_ok "the rule goes: reload" dt c1 reload
tap_ok "and the tunnel goes on with the same SA" esp_same_spi c1 "$was"
tap_ok "and carries" carries c1

# ---- start, both ways
client_conf c1 anna 'start = manual'
tap_ok "start = manual: reload" dt c1 reload
tap_ok "nothing is routed into it any more" [ -z "$(table c1)" ]
tap_ok "and nothing comes through" carries_not c1
client_conf c1 anna 'start = always'
tap_ok "start = always: reload" dt c1 reload
tap_ok "it comes up by itself" dt_wait_up c1 office 10
tap_ok "and carries" carries c1

# ---- a file that is swapped behind a symbolic link, as configuration tools do it
mv "$LAB_DIR/dt-c1/conf" "$LAB_DIR/dt-c1/conf.1"
sed 's|"10.1.0.0/16"|"10.1.0.10/32"|' "$LAB_DIR/dt-c1/conf.1" >"$LAB_DIR/dt-c1/conf.2"
ln -s conf.1 "$LAB_DIR/dt-c1/conf"
dt_stop c1
dt_start c1
dt_wait_up c1 office 10
ln -sfn conf.2 "$LAB_DIR/dt-c1/conf"
tap_ok "the link leads to another file: reload" dt c1 reload
tap_ok "its routes are those of that file" [ "$(table c1 | grep dovetail0 | cut -d' ' -f1)" = 10.1.0.10 ]
ln -sfn conf.1 "$LAB_DIR/dt-c1/conf"
tap_ok "and back" dt c1 reload
tap_ok "it is up" dt_wait_up c1 office 10
lab_stop flow-c2
tap_ok "the gateway's other client has lost nothing by all that" [ "$(lab_flow_field flow-c2 lost)" = 0 ]

# ---- a client's secret is taken away
flow_start c1
flow_start c2
anna=$(dt_field c1 office '.inside[0]')
grep -v '^anna' "$LAB_DIR/secrets" >"$LAB_DIR/secrets.new"
cat "$LAB_DIR/secrets.new" >"$LAB_DIR/secrets"
tap_ok "a secret is taken away: reload" dt gateway reload
sleep 1
lab_dump server eth0 revoked "host $anna" -p
lab_dump gateway eth0 plain 'net 10.0.0.0/8' -p
sleep 3
tap_ok "after a second nothing of that client reaches the server" [ "$(captured revoked)" = 0 ]
tap_ok "nor goes out at the gateway plain" [ "$(captured plain)" = 0 ]
lab_stop flow-c1
lab_stop flow-c2
tap_ok "the other client has lost nothing" [ "$(lab_flow_field flow-c2 lost)" = 0 ]
tap_ok "the gateway says why" grep -q 'anna@example.net: there is no secret for it any more' "$LAB_DIR/dt-gateway.log"
printf "anna@example.net %s\n" "$(cat "$LAB_DIR/anna.psk")" >>"$LAB_DIR/secrets"
tap_ok "it is there again: reload" dt gateway reload
tap_ok "and the client comes by itself" dt_wait_up c1 office 30

# ---- less is protected
flow_start c2
gateway_conf 10.9.0.0/24 '"10.1.0.10/32"'
lab_dump server eth0 narrowed 'dst host 10.1.0.11' -p
lab_run c1 ping ping -q -i 0.1 10.1.0.11
sleep 1
tap_ok "less is protected: reload" dt gateway reload
answered=$(date +%s)
tap_ok "the clients come again" lab_wait 10 "dt_is_up c1 office && dt_is_up c2 office"
tap_ok "to what they may have" carries c1
tap_ok "and to nothing else" carries_not c1 10.1.0.11
lab_stop ping INT
reloaded=$(awk '/configuration read again/ { n++ } END { print n }' "$LAB_DIR/dt-gateway.log")
tap_ok "the gateway has read its file again ($reloaded times)" [ "$reloaded" -ge 3 ]
n=$(captured narrowed) late=$(tcpdump -ttnr "$LAB_DIR/narrowed.pcap" 2>/dev/null | awk -v t=$((answered + 1)) '$1 > t' | wc -l)
tap_ok "what went there before the reload goes there no more ($n packets before its answer, $late a second after it)" [ "$n" -gt 0 -a "$late" = 0 ]
lab_stop flow-c2

# ---- another pool
gateway_conf 10.7.0.0/24 '"10.1.0.0/16"'
lab_dump gateway eth0 pool 'net 10.0.0.0/8' -p
tap_ok "another pool: reload" dt gateway reload
tap_ok "both clients come again, with addresses of it" lab_wait 15 "lease_in c1 10.7.0 && lease_in c2 10.7.0 && dt_is_up c1 office && dt_is_up c2 office"
tap_ok "which carry" carries c1
tap_ok "for both" carries c2
tap_ok "and nothing has gone out plain at the gateway" [ "$(captured pool)" = 0 ]
tap_ok "nothing is routed for the old pool" sh -c "! ip -n $LAB-gateway route show table 17494 | grep -q '^10\.9\.'"

# ---- what cannot be is refused as a whole
was=$(esp_spi c2)
gateway_conf 10.6.0.0/24 '"10.1.0.0/16"'
printf 'gateway "other" {\n    identity = other.example.net psk = x\n    transport = yes peers = b remote = 10.2.0.0/16\n}\n' >>"$LAB_DIR/dt-gateway/conf"
tap_ok "one gateway of the file cannot be: status 2, with its line" lab_fails 2 'nothing to protect' dt gateway reload
sleep 1
tap_ok "and nothing was changed" esp_same_spi c2 "$was"
tap_ok "not even the pool" lease_in c2 10.7.0

dt_stop c1
dt_stop c2
dt_stop gateway
tap_end
