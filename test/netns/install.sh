#!/bin/sh
# docs/install.md, command by command, on a cloud machine and a laptop behind a NAT: each block of commands is run as it stands,
# or the page says why it is not. It ends with traffic through the tunnel.
set -u
LAB=${LAB:-dtinstall}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/machine.sh"
. "$LAB_ROOT/lab/office.sh"

lab_begin
lab_nat_topology 2
lab_nft_masquerade router wan
lab_in gateway sysctl -qw net.ipv4.ip_forward=0
# The office's machine has another router, which does not know the clients.
ip -n "$LAB-server" route del default 2>/dev/null
# As Debian's nftables.conf, but for its policy.
cat >"$LAB_DIR/closed.nft" <<'N'
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        iif lo accept
        ct state established,related accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    }
    chain forward { type filter hook forward priority filter; policy drop; }
    chain output { type filter hook output priority filter; }
}
N
tap_ok "the gateway's firewall lets nothing in" lab_in gateway nft -f "$LAB_DIR/closed.nft"
machine gateway
machine c1
machine c2

began=$(date +%s)
mkdir "$LAB_DIR/page"
blocks=$LAB_DIR/page/list
tap_ok "each block of commands says where it is run" \
    sh -c "python3 $LAB_ROOT/test/netns/install_blocks.py $LAB_ROOT/docs/install.md $LAB_DIR/page >$blocks"
tab=$(printf '\t')

machine_of()
{
    case $1 in laptop) echo c1 ;; office) echo server ;; *) echo "$1" ;; esac
}

# The blocks below a heading, in their order.
follow() # HEADING [PATTERN: only blocks with it]
{
    while IFS=$tab read -r n where how _ heading reason instead; do
        [ "$heading" = "$1" ] || continue
        grep -q -e "${2:-}" "$LAB_DIR/page/$n.sh" || continue
        first=$(sed -n 1p "$LAB_DIR/page/$n.sh")
        if [ "$how" = run ]; then
            if [ "$where" = office ]; then
                tap_ok "$where: $first" ip netns exec "$LAB-server" sh -e "$LAB_DIR/page/$n.sh"
            else
                tap_ok "$where: $first" machine_on "$(machine_of "$where")" "$LAB_DIR/page/$n.sh"
            fi
            continue
        fi
        echo "# $where: not run ($reason): $first"
        case $instead in
        -) ;;
        copy\ *) copy_file "${instead#copy }" c1 ;;
        dovetaild\ *) tap_ok "$where: the daemon starts" machine_daemon "$(machine_of "$where")" ;;
        *) tap_ok "instead: $instead" false ;;
        esac
    done <"$blocks"
}

copy_file() # PATH NAME: from the gateway
{
    machine_in gateway cat "$1" >"$LAB_DIR/secret"
    machine_in "$2" sh -c 'umask 077; cat >"$1"' sh "$1" <"$LAB_DIR/secret"
}

answers() # NS ADDRESS
{
    lab_in "$1" ping -n -q -c 2 -i 0.2 -W 2 "$2" >/dev/null
}

answers_not()
{
    ! lab_in "$1" ping -n -q -c 2 -i 0.2 -W 1 "$2" >/dev/null 2>&1
}

# The firewall first, or the ten commands would find it closed.
follow "What the gateway's firewall must let in"
follow "Ten commands"
tap_ok "the gateway's own address answers through the tunnel" answers c1 10.1.0.1
tap_ok "... and the packets are ESP, or ESP in UDP" sh -c "
    ip netns exec $LAB-internet timeout 20 tcpdump -n -i any -c 4 'ip proto 50 or udp port 4500' >$LAB_DIR/seen 2>/dev/null &
    ip netns exec $LAB-c1 ping -n -q -c 5 -i 0.3 10.1.0.1 >/dev/null; wait; grep -q -e ESP -e UDP-encap $LAB_DIR/seen"
# As far as `dovetail up`; what comes behind it looks at the tunnel.
n=$(awk -F "$tab" -v dir="$LAB_DIR/page" '$5 == "Ten commands" && !done { n += $4; getline first <(dir "/" $1 ".sh"); done = first ~ /^dovetail up/ }
    END { print n }' "$blocks")
echo "# commands until the tunnel is up: $n; seconds: $(($(date +%s) - began))"
tap_ok "ten commands are ten" [ "$n" -eq 10 ]

tap_ok "what is behind the gateway finds no way back" answers_not c1 10.1.0.10
follow "The way back" masquerade
tap_ok "with the masquerade it answers" answers c1 10.1.0.10
lab_in gateway nft delete table ip clients
tap_ok "without it, not" answers_not c1 10.1.0.10
follow "The way back" "ip route"
tap_ok "with a route it answers" answers c1 10.1.0.10

follow "Names inside"
follow "Another client"
copy_file /etc/dovetail/secrets/bert c2
machine_in c1 sed 's/anna/bert/g' /etc/dovetail/conf.d/office.conf >"$LAB_DIR/bert.conf"
machine_in c2 sh -c 'cat >/etc/dovetail/conf.d/office.conf' <"$LAB_DIR/bert.conf"
tap_ok "the other client's daemon starts" machine_daemon c2
tap_ok "... and its tunnel comes up" machine_in c2 dovetail up office
tap_ok "both carry" sh -c "ip netns exec $LAB-c1 ping -n -q -c 1 -W 2 10.1.0.10 && ip netns exec $LAB-c2 ping -n -q -c 1 -W 2 10.1.0.10"
tap_ok "the gateway names both" sh -c "nsenter -t $(cat "$LAB_DIR/machine-gateway.pid") -m -n $LAB_BIN/dovetail status --names | grep -c -e anna -e bert | grep -qx 2"
machine_in gateway rm /etc/dovetail/conf.d/bert.conf
tap_ok "a lost laptop: one file less, and a reload" machine_in gateway dovetail reload
tap_ok "... its traffic ends" answers_not c2 10.1.0.10
tap_ok "... the other's does not" answers c1 10.1.0.10

follow "Where to look"
follow "Keeping" tar
tap_ok "the backup has configuration, secrets and leases" sh -c "nsenter -t $(cat "$LAB_DIR/machine-gateway.pid") -m tar -tzf /root/dovetail-backup.tar.gz |
    grep -c -e conf.d/head-office.conf -e secrets/anna -e leases.db\$ | grep -qx 3"
tap_ok "... and is root's alone" sh -c "[ \$(nsenter -t $(cat "$LAB_DIR/machine-gateway.pid") -m stat -c %a /root/dovetail-backup.tar.gz) = 600 ]"
follow "Keeping" apt
machine_end c1
follow "Keeping" "dovetaild --open"
tap_ok "nothing of it is left on the laptop" sh -c "! ip netns exec $LAB-c1 nft list table inet dovetail 2>/dev/null"
follow "From source"
for name in c2 gateway; do machine_end "$name"; done
tap_end
