#!/bin/sh
# ./dev bench flood: a gateway at whose door strangers knock: spoofed IKE_SA_INIT for the dearest group, half-open sessions of
# one address with valid cookies, ESP with unknown SPIs, all at once. Measured are a tunnel that is up (numbered packets
# there and back, whether its epoch is verified all the time, a rekey in the middle of it), a new client from elsewhere, one
# behind the attacker's own address, and the gateway's memory and processor time. The same with strongSwan as the gateway.
# From the environment: SECONDS_EACH (20), INIT (10000 a second), HOLD (2048), ESP (100000 a second), GATEWAYS.
set -u
LAB=${LAB:-dtflood}
cd "$(dirname "$0")/.." || exit 1
. lab/lab.sh
. lab/dovetail.sh
. lab/strongswan.sh
. lab/flood.sh
SECONDS_EACH=${SECONDS_EACH:-20} INIT=${INIT:-10000} HOLD=${HOLD:-2048} ESP=${ESP:-100000}
GATEWAYS=${GATEWAYS:-dovetail strongswan}
lab_begin
umask 077

cpu_s() # processor time of the gateway until now
{
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); split($0, f, " "); printf "%.2f", (f[12] + f[13]) / hz }' "/proc/$FLOOD_PID/stat"
}

note() # KIND NAME VALUE
{
    printf '%s' "$3" >"$LAB_DIR/$1.$2"
}

attack() # KIND
{
    kind=$1
    lab_sweep
    rm -f "$LAB_DIR"/states "$LAB_DIR"/gun-*.log
    flood_topology
    "flood_gateway_$kind" || { echo "bench flood: $kind does not start" >&2; return 1; }
    flood_client c1
    dt_wait_up c1 t 20 || { echo "bench flood: no tunnel to $kind" >&2; return 1; }
    sleep 1
    before=$(flood_rss)
    cpu0=$(cpu_s)
    flood_flow_on
    flood_watch
    flood_begin "$SECONDS_EACH" "$INIT" "$HOLD" "$ESP"
    sleep 4
    epoch=$(dt_field c1 t '.epoch // 0')
    dt c1 rekey t >/dev/null 2>&1
    note "$kind" guest "$(flood_up_after g1)"
    note "$kind" neighbour "$(flood_up_after n1)"
    [ "$(dt_field c1 t '.epoch // 0')" -gt "$epoch" ] && note "$kind" rekeyed 1 || note "$kind" rekeyed 0
    flood_end
    sleep 1
    note "$kind" cpu "$(echo "$(cpu_s) $cpu0" | awk '{ printf "%.1f", $1 - $2 }')"
    note "$kind" grown "$(($(flood_rss) - before))"
    flood_unwatch
    report=$(flood_flow_off)
    note "$kind" lost "$(echo "$report" | jq '.lost_out + .lost_back')"
    note "$kind" sent "$(echo "$report" | jq .sent)"
    note "$kind" outage "$(echo "$report" | jq .longest_outage_s)"
    note "$kind" unverified "$(grep -vc '^up$' "$LAB_DIR/states")"
    for w in init hold esp; do note "$kind" "sent_$w" "$(flood_sent $w sent)"; done
    note "$kind" opened "$(flood_sent hold opened)"
    for ns in c1 g1 n1; do dt_stop $ns; done
    if [ "$kind" = dovetail ]; then
        dt gw --json status | jq -c .ike >"$LAB_DIR/ike"
        dt_stop gw
    else
        sw_stop gw
    fi
    lab_stop echo
}

for g in $GATEWAYS; do
    what=''
    [ "$g" = dovetail ] || what=$(sw_missing)
    if [ -n "$what" ]; then echo "bench flood: without strongSwan: $what is not installed" >&2; else attack "$g"; fi
done

value() # KIND NAME
{
    cat "$LAB_DIR/$1.$2" 2>/dev/null || echo null
}

line() # NAME UNIT TEXT
{
    jq -nc --arg c "$3" --arg u "$2" --argjson v "$(value dovetail "$1")" --argjson p "$(value strongswan "$1")" \
        '{bench: "flood", case: $c, value: $v, unit: $u} + if $p == null then {} else {peer: "strongSwan", peer_value: $p} end'
}
line sent_init packets "attack: spoofed IKE_SA_INIT sent in $SECONDS_EACH s"
line sent_esp packets "attack: ESP with unknown SPIs sent in $SECONDS_EACH s"
line opened sessions 'attack: half-open sessions begun by one address'
line lost packets 'a tunnel that is up: numbered packets lost, both ways'
line sent packets 'a tunnel that is up: numbered packets sent'
line outage s 'a tunnel that is up: longest outage'
line unverified samples 'a tunnel that is up: moments without a verified epoch'
line rekeyed rekeys 'a tunnel that is up: rekeyed and verified meanwhile'
line guest s 'a new client from elsewhere: from its start to its verified epoch'
line neighbour s "a new client behind the attacker's address: from its start to its verified epoch"
line grown kB "the gateway's memory: grown by"
line cpu s "the gateway's processor time"
[ -s "$LAB_DIR/ike" ] && jq -c '{bench: "flood", case: "what the gateway counted", counters: .}' "$LAB_DIR/ike"
[ "$(value dovetail guest)" != null ]
