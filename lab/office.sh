# The office of the laboratory: a gateway "head-office" at 203.0.113.1, and tunnels "office" to it. Source after lab.sh and dovetail.sh.
#
#   office_lab N                    lab_nat_topology N with nftables' masquerade, and office_key
#   office_key                      the secret of all, in $LAB_DIR/office.psk
#   office_road6                    a way out for IPv6 too, or nothing could leak
#   office_gateway [SETTING...]     the gateway's section on standard output, for dt_conf
#   office_tunnel [SETTING...]      a tunnel's
#   office_client NS [SETTING...]   NS has that tunnel alone
#
# A section has what is usual, save what a SETTING (a line, "NAME = ...") sets itself; "NAME =" alone leaves it out:
#
#   office_gateway 'protect = "10.1.0.0/16"' 'pool =' | dt_conf gateway

# An outage is noticed after maxidle + pingtries2 * pingtime2 = 3.5 s.
# shellcheck disable=SC2034 # it is for who sources this
OFFICE_QUICK='maxidle = 2s pingtime = 300ms pingtries = 8 pingtime2 = 500ms pingtries2 = 3 timeout = 3s elimit = 1'

office_key()
{
    (umask 077; head -c 24 /dev/urandom | base64 >"$LAB_DIR/office.psk")
}

office_lab() # CLIENTS
{
    office_key
    lab_nat_topology "$1"
    lab_nft_masquerade router wan
}

office_road6()
{
    ip -n "$LAB-router" addr add fd77::1/64 dev lan nodad
    ip -n "$LAB-internet" addr add fd66::254/64 dev dc nodad
    ip -n "$LAB-gateway" addr add fd66::1/64 dev eth0 nodad
    ip -n "$LAB-gateway" -6 route add default via fd66::254
    o_n=1
    while ip netns exec "$LAB-c$o_n" true 2>/dev/null; do
        ip -n "$LAB-c$o_n" addr add "fd77::1$o_n/64" dev eth0 nodad
        ip -n "$LAB-c$o_n" -6 route add default via fd77::1
        o_n=$((o_n + 1))
    done
}

# What is usual comes on standard input.
office_settings() # [SETTING...]
{
    o_given=" $(printf '%s ' "$@" | tr -s '[:space:]' ' ')"
    while read -r o_name o_rest; do
        case $o_given in *" $o_name ="*) ;; *) echo "    $o_name $o_rest" ;; esac
    done
    for o_setting in "$@"; do
        case $o_setting in *=) ;; *) echo "    $o_setting" ;; esac
    done
}

office_gateway() # [SETTING...]
{
    echo 'gateway "head-office" {'
    office_settings "$@" <<C
listen = { "203.0.113.1" }
identity = "vpn.example.net"
psk = "file:$LAB_DIR/office.psk"
protect = { "10.1.0.0/16", "fd01::/64" }
pool = { "10.9.0.0/16", "fd09::/64" }
C
    echo '}'
}

office_tunnel() # [SETTING...]
{
    echo 'tunnel "office" {'
    office_settings "$@" <<C
gateway = "203.0.113.1"
local = "anna@example.net"
remote = "vpn.example.net"
psk = "file:$LAB_DIR/office.psk"
protect = { "10.1.0.0/16", "fd01::/64" }
C
    echo '}'
}

office_client() # NS [SETTING...]
{
    o_ns=$1
    shift
    office_tunnel "$@" | dt_conf "$o_ns"
}
