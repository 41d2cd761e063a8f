#!/bin/sh
# Certificates between two Dovetails, made by openssl(1) as docs/certificates.md says: who is let in, who is not and hears why at
# its own end, what a renewed and a revoked certificate does, and what the wire says of it (decrypted with the key log).
set -u
LAB=${LAB:-dtcerts}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"

key() # NAME ALGORITHM...
{
    k_name=$1
    shift
    openssl genpkey -quiet "$@" -out "$PKI/$k_name.key" 2>/dev/null || openssl genpkey "$@" -out "$PKI/$k_name.key" 2>/dev/null
    chmod 600 "$PKI/$k_name.key"
}

authority() # NAME
{
    key "$1" -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    openssl req -x509 -key "$PKI/$1.key" -subj "/O=Example/CN=$1" -days 30 -out "$PKI/$1.pem" \
        -addext 'basicConstraints=critical,CA:true' -addext 'keyUsage=critical,keyCertSign,cRLSign'
}

issue() # NAME AUTHORITY SUBJECTALTNAME [OPENSSL-X509-OPTION...]; the key is there
{
    i_name=$1 i_by=$2 i_san=$3
    shift 3
    openssl req -new -key "$PKI/$i_name.key" -subj "/O=Example/CN=$i_name" -out "$PKI/$i_name.csr"
    printf 'subjectAltName=%s\nkeyUsage=critical,digitalSignature\n%s\n' "$i_san" "${I_EXTENSIONS:-}" >"$PKI/$i_name.ext"
    openssl x509 -req -in "$PKI/$i_name.csr" -CA "$PKI/$i_by.pem" -CAkey "$PKI/$i_by.key" -CAcreateserial -extfile "$PKI/$i_name.ext" \
        -out "$PKI/$i_name.pem" "$@" 2>/dev/null
}

crl() # [NAME]: of the authority `ca`, with the revoked certificate, if there is one
{
    : >"$PKI/index"
    printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s/index\ndefault_md=sha256\ndefault_crl_days=7\n' "$PKI" >"$PKI/ca.conf"
    [ -z "${1:-}" ] || openssl ca -config "$PKI/ca.conf" -keyfile "$PKI/ca.key" -cert "$PKI/ca.pem" -revoke "$PKI/$1.pem" 2>/dev/null
    openssl ca -config "$PKI/ca.conf" -keyfile "$PKI/ca.key" -cert "$PKI/ca.pem" -gencrl -out "$PKI/crl.pem" 2>/dev/null
}

gateway_conf() # CERTIFICATE [SETTING...]
{
    g_name=$1
    shift
    dt_conf gateway "keylog = \"$LAB_DIR/keylog\"" <<C
gateway "head-office" {
    identity = vpn.example.net
    certificate = "file:$PKI/$g_name.pem" private_key = "file:$PKI/$g_name.key" ca = "file:$PKI/ca.pem"
    protect = 10.1.0.0/16 pool = 10.9.0.0/24
    $*
}
C
}

client_conf() # CERTIFICATE [SETTING...]
{
    c_name=$1
    shift
    dt_conf client <<C
tunnel "office" {
    gateway = 203.0.113.1 local = anna@example.net remote = vpn.example.net
    certificate = "file:$PKI/$c_name.pem" private_key = "file:$PKI/$c_name.key" ca = "file:$PKI/ca.pem"
    protect = 10.1.0.0/16 encap = udp
    $*
}
C
}

answers()
{
    lab_in client ping -q -c 2 -i 0.2 -W 2 10.1.0.1
}

# The client is not let in: what each end's own log says, and status where it is known.
refused() # CLIENT-PATTERN GATEWAY-PATTERN
{
    lab_wait 20 "grep -qE '$1' $LAB_DIR/dt-client.log" && lab_wait 20 "grep -qE '$2' $LAB_DIR/dt-gateway.log" && ! dt_is_up client office && return 0
    tail -n 5 "$LAB_DIR/dt-client.log" "$LAB_DIR/dt-gateway.log"
    return 1
}

both_anew()
{
    dt_stop client
    dt_stop gateway
    rm -f "$LAB_DIR/dt-client.log" "$LAB_DIR/dt-gateway.log"
    dt_start gateway && dt_start client
}

lab_begin
PKI=$LAB_DIR/pki
mkdir -m 700 "$PKI"
lab_ns client gateway
lab_wire client eth0 203.0.113.2/24 gateway eth0 203.0.113.1/24
ip -n "$LAB-gateway" addr add 10.1.0.1/16 dev lo
authority ca
authority stranger
key gateway -algorithm RSA -pkeyopt rsa_keygen_bits:2048
issue gateway ca DNS:vpn.example.net -days 30

# ---- each kind of key
for kind in 'EC -pkeyopt ec_paramgen_curve:P-256' 'EC -pkeyopt ec_paramgen_curve:P-384' ED25519 'RSA -pkeyopt rsa_keygen_bits:3072'; do
    # shellcheck disable=SC2086
    key anna -algorithm $kind
    issue anna ca email:anna@example.net -days 30
    gateway_conf gateway
    client_conf anna
    tap_ok "$kind: both begin" both_anew
    tap_ok "$kind: the tunnel is up" dt client up office --timeout 20
    tap_ok "$kind: and carries" answers
done

# ---- the wire: certificates and AUTH method 14 inside, nothing of them outside
lab_dump client eth0 wire 'udp'
tap_ok "a session begins under the capture" both_anew
tap_ok "it is up" dt client up office --timeout 20
lab_dump_stop wire
tap_ok "no name of a certificate is readable outside" sh -c "! strings $LAB_DIR/wire.pcap | grep -e anna -e vpn.example"

# ---- renewed: nobody is disturbed
epoch=$(dt_field client office .epoch)
issue gateway ca DNS:vpn.example.net -days 29
tap_ok "a renewed certificate is taken by a reload" dt gateway reload
tap_ok "and the session goes on" [ "$(dt_field client office .epoch)" = "$epoch" ]
tap_ok "and carries" answers

# ---- revoked: it goes, and does not come back
crl
gateway_conf gateway "crl_file = \"file:$PKI/crl.pem\" crl = strict"
tap_ok "a CRL that revokes nobody" dt gateway reload
sleep 1
tap_ok "leaves everybody" answers
crl anna
tap_ok "one that revokes anna" dt gateway reload
tap_ok "anna is out, and the gateway says why" refused 'AUTHENTICATION_FAILED' 'anna@example.net: .*revoked'
tap_ok "nothing of hers is carried" sh -c "! ip netns exec $LAB-client ping -q -c 2 -i 0.2 -W 1 10.1.0.1"

# ---- who is not let in
turned_away() # TEXT CLIENT-PATTERN GATEWAY-PATTERN
{
    both_anew
    tap_ok "$1" refused "$2" "$3"
}
gateway_conf gateway
issue anna ca email:bert@example.net -days 30
client_conf anna
tap_ok "our certificate without our name is refused by check" sh -c "$LAB_BIN/dovetail check $LAB_DIR/dt-client/conf >$LAB_DIR/check 2>&1; [ \$? = 2 ] && grep -q 'conf:[0-9]*: .*bert@example.net' $LAB_DIR/check"
issue anna stranger email:anna@example.net -days 30
client_conf anna
turned_away "a certificate of another authority" AUTHENTICATION_FAILED 'anna@example.net: .*no authority that is trusted'
I_EXTENSIONS='extendedKeyUsage=codeSigning' issue anna ca email:anna@example.net -days 30
client_conf anna
tap_ok "check warns of a certificate for another purpose" sh -c "$LAB_BIN/dovetail check $LAB_DIR/dt-client/conf >$LAB_DIR/check 2>&1 && grep -q 'conf:[0-9]*: warning: .*is for another purpose: its extKeyUsage is Code Signing' $LAB_DIR/check"
turned_away "and the gateway refuses it" AUTHENTICATION_FAILED 'anna@example.net: .*is for another purpose'
issue anna ca email:anna@example.net -days 30
issue gateway ca DNS:other.example.net -days 30
client_conf anna
tap_ok "a gateway's certificate without its name is refused by check" sh -c "$LAB_BIN/dovetail check $LAB_DIR/dt-gateway/conf >$LAB_DIR/check 2>&1; [ \$? = 2 ] && grep -q 'conf:[0-9]*: .*other.example.net' $LAB_DIR/check"
key gateway -algorithm EC -pkeyopt ec_paramgen_curve:P-256
issue gateway stranger DNS:vpn.example.net -days 30
turned_away "a gateway whose authority the client does not know" 'vpn.example.net: .*no authority that is trusted' 'the peer could not verify who we are'
issue gateway ca DNS:vpn.example.net -days 30
tap_ok "with the right ones again" both_anew
tap_ok "the tunnel is up" dt client up office --timeout 20
tap_ok "and carries" answers
tap_end
