# Who speaks in a tunnel from c1, behind a masquerading router, to the gateway, with the same verbs for each: Dovetail, wireguard-go,
# strongSwan (kernel-libipsec). Source after lab.sh, dovetail.sh, office.sh and strongswan.sh, with lab_nat_topology 1.
#
#   speaker_missing WHO        what is not installed, or nothing
#   speaker_start WHO          both ends; true when the server answers c1
#   speaker_inside WHO         c1's address inside
#   speaker_gateway_dies WHO, speaker_gateway_comes WHO     killed; started again
#   speaker_stop WHO
#
# WHO: dovetail (as it comes), dovetail-udp (encap = udp), wireguard (as it comes), keepalive (wireguard-go, PersistentKeepalive
# 25), strongswan (as it comes), dpd (strongSwan, dpd_delay = 30s).

speaker_missing()
{
    case $1 in
    dovetail*) ;;
    wireguard | keepalive) command -v wireguard-go >/dev/null && command -v wg >/dev/null || echo "wireguard-go, wg" ;;
    strongswan | dpd) sw_missing ;;
    *) echo "no such speaker: $1" ;;
    esac
}

speaker_start()
{
    speaker_gateway_comes "$1" && speaker_client_comes "$1" && lab_wait 20 'lab_in c1 ping -n -q -c 1 -W 1 10.1.0.10'
}

speaker_inside()
{
    case $1 in
    dovetail*) dt_field c1 office '.inside[0]' ;;
    wireguard | keepalive) echo 10.9.0.2 ;;
    *) sw c1 --list-sas --raw | grep -o 'local-vips=\[[0-9.]*' | cut -d'[' -f2 ;;
    esac
}

speaker_gateway_dies()
{
    case $1 in
    dovetail*) dt_stop gateway KILL ;;
    wireguard | keepalive)
        lab_stop wg-gateway KILL
        rm -f /var/run/wireguard/wgg$$.sock
        ;;
    *)
        sw_stop gateway KILL
        rm -f "$LAB_DIR/sw-gateway/vici"
        ;;
    esac
}

speaker_gateway_comes()
{
    case $1 in
    dovetail*)
        office_gateway 'protect = "10.1.0.0/16"' 'pool = "10.9.0.0/16"' | dt_conf gateway
        dt_start gateway
        ;;
    wireguard | keepalive) speaker_wireguard gateway ;;
    *) speaker_strongswan_gateway ;;
    esac
}

speaker_client_comes()
{
    case $1 in
    dovetail) office_client c1 'protect = "10.1.0.0/16"' && dt_start c1 ;;
    dovetail-udp) office_client c1 'protect = "10.1.0.0/16"' 'encap = udp' && dt_start c1 ;;
    wireguard) speaker_wireguard c1 ;;
    keepalive) speaker_wireguard c1 persistent-keepalive 25 ;;
    strongswan) speaker_strongswan_client ;;
    dpd) speaker_strongswan_client 'dpd_delay = 30s' ;;
    esac
}

speaker_stop()
{
    case $1 in
    dovetail*)
        dt_stop c1
        dt_stop gateway
        rm -f "$LAB_DIR/dt-gateway/leases.db"*
        ;;
    wireguard | keepalive)
        lab_stop wg-c1
        lab_stop wg-gateway
        rm -f /var/run/wireguard/wg[cg]$$.sock
        ;;
    *)
        for s_ns in c1 gateway; do
            sw_stop $s_ns
            rm -f "$LAB_DIR/sw-$s_ns/vici"
        done
        ;;
    esac
}

# Devices are told apart by name in /var/run/wireguard, which all namespaces share.
speaker_wireguard() # NS [PEER_SETTING...]
{
    s_ns=$1
    shift
    for s_key in c1 gateway; do
        [ -e "$LAB_DIR/$s_key.wg" ] || (umask 077; wg genkey >"$LAB_DIR/$s_key.wg")
    done
    if [ "$s_ns" = c1 ]; then
        s_dev=wgc$$ s_addr=10.9.0.2/32 s_mine="private-key $LAB_DIR/c1.wg"
        s_peer="$(wg pubkey <"$LAB_DIR/gateway.wg") allowed-ips 10.1.0.0/16 endpoint 203.0.113.1:51820"
    else
        s_dev=wgg$$ s_addr=10.9.0.1/32 s_mine="listen-port 51820 private-key $LAB_DIR/gateway.wg"
        s_peer="$(wg pubkey <"$LAB_DIR/c1.wg") allowed-ips 10.9.0.2/32"
    fi
    lab_run "$s_ns" "wg-$s_ns" env WG_PROCESS_FOREGROUND=1 LOG_LEVEL=error wireguard-go -f $s_dev
    lab_wait 5 "[ -S /var/run/wireguard/$s_dev.sock ]"
    # shellcheck disable=SC2086
    lab_in "$s_ns" wg set $s_dev $s_mine peer $s_peer "$@"
    ip -n "$LAB-$s_ns" addr add $s_addr dev $s_dev
    ip -n "$LAB-$s_ns" link set $s_dev mtu 1420 up
    if [ "$s_ns" = c1 ]; then ip -n "$LAB-c1" route add 10.1.0.0/16 dev $s_dev; else ip -n "$LAB-gateway" route add 10.9.0.0/16 dev $s_dev; fi
}

speaker_strongswan_gateway()
{
    sw_start gateway || return
    sw_load gateway <<C
connections { office { version = 2
    local_addrs = 203.0.113.1
    pools = inside
    local { auth = psk
        id = vpn.example.net }
    remote { auth = psk
        id = anna@example.net }
    children { net { local_ts = 10.1.0.0/16 } } } }
pools { inside { addrs = 10.9.0.0/24 } }
secrets { ike { secret = "$(cat "$LAB_DIR/office.psk")" } }
C
}

speaker_strongswan_client() # [LINE...]: of the connection
{
    sw_start c1 || return
    sw_load c1 <<C
connections { office { version = 2
    remote_addrs = 203.0.113.1
    vips = 0.0.0.0
    $*
    local { auth = psk
        id = anna@example.net }
    remote { auth = psk
        id = vpn.example.net }
    children { net { remote_ts = 10.1.0.0/16
        start_action = start } } } }
secrets { ike { secret = "$(cat "$LAB_DIR/office.psk")" } }
C
}
