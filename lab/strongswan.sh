# strongSwan from Debian as a peer in a namespace: pre-shared keys, vici on a socket of its own. Source after lab.sh.
# Its data path is kernel-libipsec (ESP in user space over a TUN device, always UDP-encapsulated), or with
# SW_DATA_PATH=kernel the kernel's XFRM, where the kernel has ESP.
#
#   sw_start NS                       starts charon in namespace NS
#   sw_load NS <<conf                 loads connections and secrets (swanctl.conf syntax)
#   sw NS --initiate --child net      swanctl with the right socket
#   sw_client REMOTE_TS [PROPOSAL [ESP [LINE...]]]    for sw_load: connection "t" of a.lab.test (192.0.2.1) to b.lab.test (192.0.2.2), child
#                                     "net", with the secret $PSK; a LINE is more of the connection
#   sw_gateway_of_ours PROTECT        for dt_conf: the gateway that answers it

sw_missing()
{
    command -v swanctl >/dev/null && command -v charon-systemd >/dev/null || { echo "strongSwan (charon-systemd, swanctl)"; return; }
    if [ "${SW_DATA_PATH:-}" = kernel ]; then
        sw_kernel_esp || echo "ESP in this kernel (INET_ESP)"
    else
        [ -e /usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so ] || echo "strongSwan's kernel-libipsec plugin"
    fi
}

# An SA in a namespace of its own is the test: the module may load by itself.
sw_kernel_esp()
{
    lab_ns esp
    lab_in esp ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000 mode tunnel \
        aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128 2>/dev/null
    sw_rc=$?
    ip netns del "$LAB-esp"
    return $sw_rc
}

sw_start() # NS [EXTRA_CONF]
{
    sw_dir=$LAB_DIR/sw-$1
    mkdir -p "$sw_dir"
    sw_plugins="kernel-libipsec kernel-netlink"
    [ "${SW_DATA_PATH:-}" != kernel ] || sw_plugins=kernel-netlink
    cat >"$sw_dir/strongswan.conf" <<C
charon-systemd {
    load = random nonce aesni openssl aes sha2 sha1 hmac kdf gcm chapoly pem pkcs1 x509 pubkey curve25519 $sw_plugins socket-default vici updown attr
    install_virtual_ip = yes
    retransmit_timeout = 1.0
    retransmit_tries = 3
    ${2:-}
    plugins {
        vici { socket = unix://$sw_dir/vici }
        kernel-libipsec { allow_peer_ts = yes }
    }
    filelog { log { path = $sw_dir/log
        default = 1
        ike = 2
        flush_line = yes } }
}
C
    # charon writes a pid file below /run: give each its own.
    STRONGSWAN_CONF=$sw_dir/strongswan.conf ip netns exec "$LAB-$1" unshare -m sh -c \
        'mount -t tmpfs tmpfs /run && exec charon-systemd' >"$sw_dir/out" 2>&1 &
    echo $! >"$LAB_DIR/sw-$1.pid"
    lab_wait 10 "[ -S $sw_dir/vici ]"
}

sw()
{
    sw_ns=$1
    shift
    STRONGSWAN_CONF=$LAB_DIR/sw-$sw_ns/strongswan.conf swanctl "$@" --uri "unix://$LAB_DIR/sw-$sw_ns/vici"
}

sw_load()
{
    cat >"$LAB_DIR/sw-$1/swanctl.conf"
    sw "$1" --load-all --file "$LAB_DIR/sw-$1/swanctl.conf" >"$LAB_DIR/sw-$1/load" 2>&1 || { cat "$LAB_DIR/sw-$1/load"; return 1; }
}

sw_client() # REMOTE_TS [PROPOSAL [ESP [LINE...]]]
{
    sw_ts=$1 sw_ike=${2:-aes128gcm16-prfsha256-x25519} sw_esp=${3:-aes128gcm16}
    shift "$(($# < 3 ? $# : 3))"
    cat <<C
connections { t { version = 2
    local_addrs = 192.0.2.1
    remote_addrs = 192.0.2.2
    vips = 0.0.0.0
    $*
    proposals = $sw_ike
    local { auth = psk
      id = a.lab.test }
    remote { auth = psk
      id = b.lab.test }
    children { net { remote_ts = $sw_ts
        esp_proposals = $sw_esp
        rekey_time = 0 } } } }
secrets { ike-t { secret = "$PSK" } }
C
}

sw_gateway_of_ours() # PROTECT
{
    cat <<C
gateway "g" {
    listen   = { "192.0.2.2" }
    identity = "b.lab.test"
    psk      = "$PSK"
    protect  = { "$1" }
    pool     = { "10.9.0.0/24" }
}
C
}

sw_stop()
{
    lab_stop "sw-$1" "${2:-TERM}"
}
