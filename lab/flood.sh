# A gateway under attack, in the laboratory. Source after lab.sh, dovetail.sh and strongswan.sh.
#
#   flood_topology             gw 203.0.113.1 (10.2.0.1 inside) - core - c1 (has a tunnel), g1 (a guest from elsewhere),
#                              sp (sends with addresses that are not its own), nat (att and n1 behind 192.0.2.62)
#   flood_client NS            starts dovetaild with the tunnel "t" to the gateway
#   flood_gateway_dovetail; flood_gateway_strongswan       the gateway, pid in $FLOOD_PID
#   flood_begin SECONDS INIT HOLD ESP     attacks: IKE_SA_INIT a second, half-open sessions, ESP a second (0: none)
#   flood_end                  waits for them; what they sent is in $LAB_DIR/gun-*.log
#   flood_up_after NS          starts its client now; seconds until its tunnel is verified

FLOOD_GUN=$LAB_BIN/../lab/lab-ikegun
FLOOD_FLOW=$LAB_BIN/../lab/lab-flow

flood_topology()
{
    lab_ns gw core c1 g1 sp nat att n1
    lab_wire core gw '203.0.113.254/24' gw eth0 '203.0.113.1/24'
    lab_wire core c1 '192.0.2.1/30' c1 eth0 '192.0.2.2/30'
    lab_wire core g1 '192.0.2.5/30' g1 eth0 '192.0.2.6/30'
    lab_wire core sp '192.0.2.9/30' sp eth0 '192.0.2.10/30'
    lab_wire core nat '192.0.2.61/30' nat wan '192.0.2.62/30'
    lab_wire nat lan1 '192.168.7.1/30' att eth0 '192.168.7.2/30'
    lab_wire nat lan2 '192.168.7.5/30' n1 eth0 '192.168.7.6/30'
    ip -n "$LAB-gw" addr add 10.2.0.1/24 dev lo
    ip -n "$LAB-gw" route add default via 203.0.113.254
    ip -n "$LAB-c1" route add default via 192.0.2.1
    ip -n "$LAB-g1" route add default via 192.0.2.5
    ip -n "$LAB-sp" route add default via 192.0.2.9
    ip -n "$LAB-nat" route add default via 192.0.2.61
    ip -n "$LAB-att" route add default via 192.168.7.1
    ip -n "$LAB-n1" route add default via 192.168.7.5
    lab_forward core nat
    lab_nft_masquerade nat wan
    # Sources that are nobody's: their packets pass, and what is answered to them ends here.
    lab_in core sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.sp.rp_filter=0
    ip -n "$LAB-core" route add blackhole 198.18.0.0/15
    echo 'secret-of-the-flood-0123456789' >"$LAB_DIR/psk"
    chmod 600 "$LAB_DIR/psk"
    lab_run gw echo "$FLOOD_FLOW" echo 4411
}

flood_client()
{
    dt_conf "$1" <<C
tunnel "t" {
    gateway = "203.0.113.1"
    local   = "$1.lab.test"
    remote  = "gw.lab.test"
    psk     = "file:$LAB_DIR/psk"
    protect = { "10.2.0.0/24" }
    encap   = udp
}
C
    dt_start "$1"
}

flood_gateway_dovetail()
{
    dt_conf gw <<C
gateway "gw" {
    listen   = { "203.0.113.1" }
    identity = "gw.lab.test"
    psk      = "file:$LAB_DIR/psk"
    protect  = { "10.2.0.0/24" }
    pool     = { "10.9.0.0/24" }
}
C
    dt_start gw
    FLOOD_PID=$(lab_pid dt-gw)
}

flood_gateway_strongswan()
{
    sw_start gw || return 1
    {
        for c in c1 g1 n1; do
            cat <<C
connections { $c { version = 2
    local_addrs = 203.0.113.1
    remote_addrs = %any
    proposals = aes128gcm16-prfsha256-x25519, aes128gcm16-prfsha256-ecp384
    pools = inside
    dpd_delay = 0
    local { auth = psk
      id = gw.lab.test }
    remote { auth = psk
      id = $c.lab.test }
    children { net { local_ts = 10.2.0.0/24
        esp_proposals = aes128gcm16
        rekey_time = 0 } } } }
secrets { ike-$c { id-$c = $c.lab.test
  secret = "$(cat "$LAB_DIR/psk")" } }
C
        done
        echo 'pools { inside { addrs = 10.9.0.0/24 } }'
    } | sw_load gw
    FLOOD_PID=$(lab_pid sw-gw)
}

flood_begin()
{
    [ "$2" = 0 ] || lab_run sp gun-init "$FLOOD_GUN" init 203.0.113.1 -r "$2" -t "$1"
    [ "$3" = 0 ] || lab_run att gun-hold "$FLOOD_GUN" hold 203.0.113.1 -n "$3" -r 2000 -t "$1"
    [ "$4" = 0 ] || lab_run sp gun-esp "$FLOOD_GUN" esp 203.0.113.1 -r "$4" -t "$1"
}

flood_end()
{
    for f in init hold esp; do
        [ -e "$LAB_DIR/gun-$f.pid" ] || continue
        wait "$(lab_pid gun-$f)"
        rm -f "$LAB_DIR/gun-$f.pid"
    done
}

flood_sent() # WHAT FIELD
{
    jq -r ".$2 // 0" "$LAB_DIR/gun-$1.log" 2>/dev/null | tail -n 1
}

flood_up_after()
{
    flood_t0=$(date +%s%N)
    flood_client "$1" || return 1
    dt_wait_up "$1" t 30 || { echo 99; return 1; }
    flood_t1=$(date +%s%N)
    awk -v ns=$((flood_t1 - flood_t0)) 'BEGIN { printf "%.2f\n", ns / 1e9 }'
}

flood_rss() # kB
{
    awk '/VmRSS/ { print $2 }' "/proc/$FLOOD_PID/status"
}

# Samples whether c1's tunnel is verified, five times a second, until `stop` is there: $LAB_DIR/states
flood_watch()
{
    (while [ ! -e "$LAB_DIR/stop" ]; do
        dt_field c1 t '.state' >>"$LAB_DIR/states" 2>/dev/null
        sleep 0.2
    done) &
    FLOOD_WATCH=$!
}

flood_unwatch()
{
    : >"$LAB_DIR/stop"
    wait "$FLOOD_WATCH"
    rm -f "$LAB_DIR/stop"
}

flood_flow_on() # numbered packets of c1 to the gateway's inside and back
{
    : >"$LAB_DIR/flow.log"
    lab_run c1 flow "$FLOOD_FLOW" send 10.2.0.1 4411 -i 10 -t 0
}

flood_flow_off() # the report
{
    kill -TERM "$(lab_pid flow)"
    lab_wait 5 "[ -s '$LAB_DIR/flow.log' ]"
    rm -f "$LAB_DIR/flow.pid"
    tail -n 1 "$LAB_DIR/flow.log"
}
