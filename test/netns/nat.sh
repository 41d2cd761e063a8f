#!/bin/sh
# The NAT over real interfaces: crafted IKE and ESP peers behind dovetail-natd and behind nftables masquerade alone, captures
# on both sides, path MTU discovery, fragments, restarts, floods and bad input.
set -u
LAB=${LAB:-dtnat}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
PEER=$LAB_BIN/../lab/lab-natpeer
GW=203.0.113.1

field() # NAME FIELD
{
    jq -r ".$2" "$LAB_DIR/$1.log" 2>/dev/null | tail -n 1
}

# clients FROM TO ARG...: all at once, until each has ended; their lines are in $LAB_DIR/clN.log
clients()
{
    from=$1 to=$2 i=$1
    shift 2
    while [ "$i" -le "$to" ]; do
        rm -f "$LAB_DIR/cl$i.log"
        lab_run "c$i" "cl$i" "$PEER" client $GW "$i" "$@"
        i=$((i + 1))
    done
    i=$from
    while [ "$i" -le "$to" ]; do
        wait "$(lab_pid "cl$i")"
        rm -f "$LAB_DIR/cl$i.pid"
        i=$((i + 1))
    done
}

# How many of them got every answer, and none of another client's.
perfect() # FROM TO
{
    n=0 i=$1
    while [ "$i" -le "$2" ]; do
        [ "$(field "cl$i" lost)" = 0 ] && [ "$(field "cl$i" wrong)" = 0 ] && [ "$(field "cl$i" received)" -gt 0 ] && n=$((n + 1))
        i=$((i + 1))
    done
    echo "$n"
}

all_perfect() # FROM TO
{
    good=$(perfect "$1" "$2")
    echo "$good of $(($2 - $1 + 1)) clients lost nothing"
    i=$1
    while [ "$i" -le "$2" ]; do
        cat "$LAB_DIR/cl$i.log"
        i=$((i + 1))
    done
    [ "$good" = $(($2 - $1 + 1)) ]
}

rule() # NAME -> packets
{
    nat router --json counters | jq -r ".rules[\"$1\"]"
}

capture() # NS IF NAME
{
    rm -f "$LAB_DIR/cap-$3.log" # an earlier one's "listening" is not this one's
    lab_run "$1" "cap-$3" tcpdump -i "$2" -U -s 0 -w "$LAB_DIR/$3.pcap" 'udp port 500 or ip proto 50 or icmp'
    lab_wait 5 "grep -q listening $LAB_DIR/cap-$3.log"
}

shark() # FILE FIELDS...
{
    file=$LAB_DIR/$1.pcap
    shift
    tshark -r "$file" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE "$@" 2>/dev/null
}

# Ports, cookies and SPIs in the order of the capture: what a NAT of addresses alone leaves as it is.
identifiers() # FILE FILTER
{
    shark "$1" -Y "$2" -T fields -e udp.srcport -e udp.dstport -e isakmp.ispi -e isakmp.rspi -e esp.spi -e esp.sequence | sort
}

same_identifiers()
{
    for way in "ip.dst == $GW" "ip.src == $GW"; do
        identifiers lan "$way && !icmp" >"$LAB_DIR/ids.lan"
        identifiers wan "$way && !icmp" >"$LAB_DIR/ids.wan"
        echo "$way: $(wc -l <"$LAB_DIR/ids.lan") packets inside, $(wc -l <"$LAB_DIR/ids.wan") outside"
        [ -s "$LAB_DIR/ids.lan" ] || return 1
        # a first packet may have had to wait for another client's outstanding item (esp-wait): its retry came through
        comm -23 "$LAB_DIR/ids.lan" "$LAB_DIR/ids.wan" >"$LAB_DIR/ids.missing"
        comm -13 "$LAB_DIR/ids.lan" "$LAB_DIR/ids.wan" >"$LAB_DIR/ids.made"
        [ ! -s "$LAB_DIR/ids.made" ] && [ "$(wc -l <"$LAB_DIR/ids.missing")" -le "$(rule esp-wait)" ] || return 1
    done
}

right_checksums()
{
    for side in lan wan; do
        bad=$(shark $side -Y 'ip.checksum.status == "Bad" || udp.checksum.status == "Bad" || icmp.checksum.status == "Bad"' | wc -l)
        all=$(shark $side | wc -l)
        echo "$side: $bad wrong checksums in $all packets"
        [ "$bad" = 0 ] && [ "$all" -gt 0 ] || return 1
    done
}

only_outside_address()
{
    odd=$(shark wan -Y '!icmp && !(ip.addr == 198.51.100.2)' | wc -l)
    echo "$odd packets outside without the router's address"
    [ "$odd" = 0 ]
}

# The peers' UDP checksums are computed here, not by a device that tcpdump cannot see.
plain_checksums()
{
    for ns in "$@"; do
        for dev in $(lab_in "$ns" ls /sys/class/net); do
            lab_in "$ns" ethtool -K "$dev" tx off >/dev/null 2>&1
        done
    done
    return 0
}

lab_begin

# ---- three clients, with and without
lab_nat_topology 3
plain_checksums c1 c2 c3 gateway
lab_run gateway peer "$PEER" server
capture gateway eth0 quiet

lab_nft_masquerade router wan
clients 1 3 count 100 rate 100 wait 3
tap_ok "nftables masquerade alone: of three ESP clients of one gateway some get another's packets ($(perfect 1 3) of 3 work)" \
    [ "$(perfect 1 3)" -lt 3 ]
lab_in router conntrack -F >/dev/null 2>&1

tap_ok "dovetail-natd starts with --inside and --outside alone" natd_start router lan wan
capture router lan lan
capture router wan wan
clients 1 3 count 100 rate 100
tap_ok "dovetail-natd, beside the same masquerade: three of three, not a packet lost or misdelivered" all_perfect 1 3
lab_stop cap-lan INT
lab_stop cap-wan INT
tap_ok "tshark: ports, cookies, SPIs and sequence numbers are the same on both sides" same_identifiers
tap_ok "tshark: every checksum is right on both sides" right_checksums
tap_ok "tshark: nothing leaves with a client's address" only_outside_address
tap_ok "conntrack has seen none of it" sh -c "! ip netns exec $LAB-router conntrack -L 2>/dev/null | grep -q 'unknown  *50\|dport=500'"
listed()
{
    nat router --json list | jq -e '.totals.esp.established == 3 and .totals.ike.established == 3 and
        ([.items[] | select(.kind == "esp") | .client] | sort) == ["192.168.7.11", "192.168.7.12", "192.168.7.13"] and
        all(.items[]; .server == "203.0.113.1" and .outside == "198.51.100.2" and .packets_out >= 1 and .expires_s > 0)'
}
tap_ok "dovetail nat lists three IKE and three ESP items with their fields" listed
replayed()
{
    setpriv --reuid 65534 --clear-groups "$LAB_BIN/dovetail" --json nat replay --inside "$LAB_DIR/lan.pcap" \
        --outside "$LAB_DIR/wan.pcap" >"$LAB_DIR/replay.json" || return 1
    jq -es '[.[] | select(.verdict)] as $p | ($p | length) > 600 and all($p[]; .verdict == "forward" or .rule == "esp-wait") and
        (.[-1].tables.esp | length) == 3' "$LAB_DIR/replay.json" || { jq -c 'select(.verdict != "forward")' "$LAB_DIR/replay.json" | head -n 5; return 1; }
}
chmod 755 "$LAB_DIR"
chmod 644 "$LAB_DIR"/*.pcap
tap_ok "dovetail nat replay, without any privilege, comes to the same from the two captures" replayed

# ---- everything else is masquerade's
lab_run gateway tcp iperf3 -s -1
sleep 0.3
passes_others()
{
    lab_in c1 iperf3 -c $GW -t 1 -J >"$LAB_DIR/iperf.json" || return 1
    jq -e '.end.sum_received.bits_per_second > 1e6' "$LAB_DIR/iperf.json" && lab_in c2 ping -q -c 2 -i 0.2 $GW
}
tap_ok "TCP (with its offloads) and ping go through masquerade as before" passes_others

# ---- path MTU, fragments, TTL
# the way between the internet and the gateway is narrow: the error quotes the packet as the NAT sent it
ip -n "$LAB-internet" link set dc mtu 1300
ip -n "$LAB-gateway" link set eth0 mtu 1300
learns_mtu()
{
    lab_in c1 ip route flush cache
    rm -f "$LAB_DIR/pmtu.log"
    lab_run c1 pmtu "$PEER" client $GW 1 spi 300000 size 1350 count 10 rate 50 wait 2
    wait "$(lab_pid pmtu)"
    lab_in c1 ip route get $GW
    echo "icmp-error: $(rule icmp-error)"
    lab_in c1 ip route get $GW | grep -q 'mtu 1300'
}
tap_ok "path MTU discovery: 'fragmentation needed' about a client's ESP comes back to that client, who learns 1300" learns_mtu
ip -n "$LAB-internet" link set dc mtu 1500
ip -n "$LAB-gateway" link set eth0 mtu 1500
lab_in c1 ip route flush cache
own_mtu()
{
    rm -f "$LAB_DIR/pmtu.log"
    lab_run c2 pmtu "$PEER" client $GW 2 spi 310000 size 1350 count 10 rate 50 wait 2
    wait "$(lab_pid pmtu)"
    lab_in c2 ip route get $GW
    lab_in c2 ip route get $GW | grep -q 'mtu 1280'
}
ip -n "$LAB-router" link set wan mtu 1280
tap_ok "the router's own link is narrow: the kernel tells the client" own_mtu
fragments_out()
{
    before=$(rule frag-follow)
    for c in c1 c2 gateway; do
        lab_in $c sysctl -qw net.ipv4.ip_no_pmtu_disc=1
        lab_in $c ip route flush cache
    done
    clients 1 2 spi 320000 size 1350 count 30 rate 50 wait 4
    echo "frag-follow: $before, then $(rule frag-follow)"
    all_perfect 1 2 && [ "$(rule frag-follow)" -ge $((before + 60)) ]
}
ip -n "$LAB-internet" link set isp mtu 1280
lab_in router sysctl -qw net.ipv4.conf.all.rp_filter=1
tap_ok "without DF: translated, and fragmented by the router's kernel, which filters reverse paths strictly; fragments from outside follow their first one" fragments_out
lab_in router sysctl -qw net.ipv4.conf.all.rp_filter=0
ip -n "$LAB-internet" link set isp mtu 1500
ip -n "$LAB-router" link set wan mtu 1500
client_fragments()
{
    for c in c1 c2; do
        ip -n "$LAB-$c" route replace default via 192.168.7.1 mtu lock 700
    done
    before=$(rule frag-follow)
    clients 1 2 spi 330000 size 1350 count 30 rate 50 wait 4
    echo "frag-follow: $before, then $(rule frag-follow)"
    all_perfect 1 2 && [ "$(rule frag-follow)" -ge $((before + 60)) ]
}
tap_ok "fragments that clients send follow their first one" client_fragments
for c in c1 c2; do
    ip -n "$LAB-$c" route replace default via 192.168.7.1
done
for c in c1 c2 gateway; do
    lab_in $c sysctl -qw net.ipv4.ip_no_pmtu_disc=0
done

# ---- restarts under load
load() # SPI COUNT: clients 1 to 3 in the background
{
    for i in 1 2 3; do
        rm -f "$LAB_DIR/cl$i.log"
        lab_run "c$i" "cl$i" "$PEER" client $GW "$i" spi "$1" count "$2" rate 200
    done
}
unload()
{
    for i in 1 2 3; do
        wait "$(lab_pid "cl$i")"
        rm -f "$LAB_DIR/cl$i.pid"
    done
}
load 400000 600
sleep 1
lab_stop natd-router KILL
sleep 0.5
tap_ok "killed: the kernel path goes on; a new natd takes over the tables" natd_start router lan wan
unload
tap_ok "... and nothing was lost" all_perfect 1 3
tap_ok "... and it says so" grep -q 'tables of the last natd are taken over' "$LAB_DIR/natd-router.log"
load 410000 600
sleep 1
old=$(lab_pid natd-router)
lab_run router natd-next "$LAB_BIN/dovetail-natd" --inside lan --outside wan --socket "$LAB_DIR/natd-router.sock" --replace
lab_wait 5 "! kill -0 $old && nat router status"
mv "$LAB_DIR/natd-next.pid" "$LAB_DIR/natd-router.pid"
unload
tap_ok "--replace under load: another natd takes over, nothing is lost" all_perfect 1 3
load 420000 600
sleep 1
ip -n "$LAB-router" link set wan down
sleep 0.3
ip -n "$LAB-router" link set wan up
ip -n "$LAB-router" route add default via 198.51.100.1
unload
still_there()
{
    for i in 1 2 3; do
        cat "$LAB_DIR/cl$i.log"
        [ "$(field "cl$i" received)" -gt 300 ] && [ "$(field "cl$i" wrong)" = 0 ] || return 1
    done
    nat router --json status | jq -e .attached
}
tap_ok "an interface that goes down and up: the same items carry on" still_there
ip -n "$LAB-router" addr add 198.51.100.3/24 dev wan
ip -n "$LAB-router" addr del 198.51.100.2/24 dev wan 2>/dev/null
ip -n "$LAB-router" addr add 198.51.100.3/24 dev wan 2>/dev/null
ip -n "$LAB-router" route add default via 198.51.100.1 2>/dev/null
sleep 0.5
clients 1 3 spi 430000 count 50 rate 100
tap_ok "the outside address changes: clients leave with the new one at once" all_perfect 1 3
new_address()
{
    nat router --json status | jq -c .addresses
    nat router --json status | jq -e '.addresses == ["198.51.100.3"]'
}
tap_ok "... which natd has noticed" new_address
tap_ok "a second natd on the same socket is refused with a sentence" sh -c \
    "ip netns exec $LAB-router $LAB_BIN/dovetail-natd --inside lan --outside wan --socket $LAB_DIR/natd-router.sock 2>&1 | grep -q 'already'"

# ---- floods and bad input: three established clients lose nothing meanwhile
natd_stop router
natd_start router lan wan --set share_esp=200 --set share_ike=100
flood() # TEXT NS KIND TARGET [ARG...]
{
    text=$1 ns=$2
    shift 2
    load "$((FLOOD += 10000))" 400
    sleep 0.6
    lab_in "$ns" "$PEER" flood "$@"
    unload
    tap_ok "$text: the others lose nothing" nothing_lost 1 3
}
# What comes out of the router at IF meanwhile; everything must be in the capture, the clients' own packets too.
flood_capture() # IF
{
    rm -f "$LAB_DIR/cap-flood.log"
    lab_run router cap-flood tcpdump -B 16384 -Q out -i "$1" -s 96 -w "$LAB_DIR/flood.pcap" 'udp port 500 or ip proto 50'
    lab_wait 5 "grep -q listening $LAB_DIR/cap-flood.log"
}
came_out() # MOST FILTER
{
    sleep 1.3 # tcpdump reads once a second
    lab_stop cap-flood INT
    all=$(tcpdump -nr "$LAB_DIR/flood.pcap" 2>/dev/null | wc -l) bad=$(tcpdump -nr "$LAB_DIR/flood.pcap" "$2" 2>/dev/null | wc -l)
    echo "$bad of $all packets"
    grep -q '^0 packets dropped by kernel' "$LAB_DIR/cap-flood.log" && [ "$all" -gt 500 ] && [ "$bad" -le "$1" ]
}
nothing_lost() # FROM TO: a multicast may have brought them what is not theirs
{
    i=$1
    while [ "$i" -le "$2" ]; do
        cat "$LAB_DIR/cl$i.log"
        if ! [ "$(field "cl$i" lost)" = 0 ] || ! [ "$(field "cl$i" received)" = 400 ]; then
            nat router --json counters | jq -c '.rules | with_entries(select(.value > 0))'
            nat router list
            ip -n "$LAB-router" neigh
            return 1
        fi
        i=$((i + 1))
    done
}
FLOOD=500000
lab_ns evil
lab_plug router lan pe evil eth0 192.168.7.99/24
ip -n "$LAB-evil" route add default via 192.168.7.1
# the server that everybody uses: established items of others do not care
flood "a flood of new SPIs from one client" evil esp 203.0.113.77 count 20000 rate 20000
flood "... to the same server" evil esp $GW count 20000 rate 20000
new_tunnels()
{
    lab_run evil evil-flood "$PEER" flood esp $GW count 60000 rate 5000
    sleep 0.3
    clients 1 3 spi 900000 count 200 rate 100 wait 12
    kill -0 "$(lab_pid evil-flood)" || echo "the flood was over before"
    lab_stop evil-flood
    longest=$(for i in 1 2 3; do field "cl$i" established_ms; done | sort -n | tail -n 1)
    echo "the longest wait for a new tunnel: $longest ms; esp-back-off: $(rule esp-back-off)"
    all_perfect 1 3 && [ "$longest" -lt 7000 ] && [ "$(rule esp-back-off)" -gt 1000 ]
}
tap_ok "... and new tunnels of others to that server come up meanwhile, and lose nothing" new_tunnels
flood_capture wan
flood "a flood of new initiator cookies from one client" evil ike $GW count 20000 rate 20000
tap_ok "... of which hardly more than its share goes out" came_out 300 'udp port 500 and udp[8] != 0x1c'
tap_ok "... the rest is refused by rule share ($(rule share))" [ "$(rule share)" -gt 1000 ]
flood "a flood of unknown SPIs from outside" internet in-esp 198.51.100.3 count 20000 rate 20000 from 203.0.113.200
tap_ok "... left to the router by rule esp-unknown ($(rule esp-unknown))" [ "$(rule esp-unknown)" -gt 1000 ]
flood "a flood of unknown SPIs with the server's own address" internet in-esp 198.51.100.3 count 5000 rate 20000 from $GW
tap_ok "... multicast no faster than the limit ($(rule esp-multicast) sent, $(rule multicast-rate) refused)" [ "$(rule multicast-rate)" -gt 1000 ]
flood "a flood of unknown cookies from outside" internet in-ike 198.51.100.3 count 20000 rate 20000 from $GW
tap_ok "... left to the router by rule ike-unknown ($(rule ike-unknown))" [ "$(rule ike-unknown)" -gt 1000 ]
flood "a flood of first fragments that never complete" evil frag $GW count 20000 rate 20000
flood_capture wan
flood "spoofed sources from inside" evil esp $GW count 5000 rate 20000 from 10.99.99.99
tap_ok "... none of which goes out" came_out 0 'ip[20] = 0x70 or net 10.0.0.0/8'
flood_capture lan
flood "clients' addresses from outside" internet in-esp 198.51.100.3 count 5000 rate 20000 from 192.168.7.11
tap_ok "... none of which comes in" came_out 0 'ip[20] & 0xf0 = 0x70 or src 192.168.7.11'
tap_ok "... dropped by rule spoofed ($(rule spoofed))" [ "$(rule spoofed)" -gt 5000 ]

# ---- what is cloned, and what the router itself answers to a server
copies()
{
    capture router lan copies
    capture router wan errors
    refused=$(rule icmp-unknown)
    lab_in internet "$PEER" flood in-esp 198.51.100.3 count 1 from $GW
    sleep 1.3 # tcpdump reads once a second
    lab_stop cap-copies INT
    lab_stop cap-errors INT
    shark copies -Y 'esp && !icmp' -T fields -e ip.src -e ip.dst -e ip.ttl -e ip.checksum.status -e esp.spi | sort >"$LAB_DIR/copies.txt"
    cat "$LAB_DIR/copies.txt"
    [ "$(cut -f 2 "$LAB_DIR/copies.txt" | tr '\n' ' ')" = "192.168.7.11 192.168.7.12 192.168.7.13 " ] &&
        [ "$(cut -f 1,3,4,5 "$LAB_DIR/copies.txt" | sort -u | wc -l)" = 1 ] &&
        grep -q "^$GW	192.168.7.11	63	1	" "$LAB_DIR/copies.txt" || return 1
    # clients without ESP of their own say so to the server; that is nothing it should hear, from an address that it cannot know
    shark errors -Y icmp -T fields -e icmp.type -e icmp.code -e ip.src -e ip.dst
    [ -z "$(shark errors -Y 'icmp && ip.addr == 192.168.7.0/24')" ] && [ "$(rule icmp-unknown)" -ge $((refused + 3)) ]
}
sleep 1 # for the next multicast
tap_ok "an unknown SPI from a server: one copy to each client, right checksums, one hop less, and no error of theirs goes out" copies
expired()
{
    capture gateway eth0 expired
    lab_in gateway sysctl -qw net.ipv4.ip_default_ttl=2
    rm -f "$LAB_DIR/ttl.log"
    lab_run c1 ttl "$PEER" client $GW 1 spi 950000 count 1 wait 1
    wait "$(lab_pid ttl)"
    lab_in gateway sysctl -qw net.ipv4.ip_default_ttl=64
    lab_stop cap-expired INT
    shark expired -Y 'icmp.type == 11' -T fields -e ip.src -e ip.dst -e icmp.checksum.status | sort | uniq -c >"$LAB_DIR/expired.txt"
    cat "$LAB_DIR/expired.txt"
    grep -q "198.51.100.3,$GW	$GW,198.51.100.3	1" "$LAB_DIR/expired.txt" && ! grep -q 192.168 "$LAB_DIR/expired.txt"
}
tap_ok "a server's packet whose hops end at the router: the error that it gets quotes what it sent, not a client's address" expired

# ---- require_ike: ESP of a client that never spoke IKE goes nowhere, that of the others goes on
without_ike() # how many of its ESP packets get out
{
    capture router wan ike
    lab_in evil "$PEER" flood esp 203.0.113.78 count 50 rate 500 >/dev/null || return 1
    sleep 1.3 # tcpdump reads once a second
    lab_stop cap-ike INT
    OUT=$(shark ike -Y 'esp && ip.dst == 203.0.113.78 && !icmp' | wc -l)
    echo "$OUT packets got out"
}
no_ike_no_esp()
{
    without_ike && [ "$OUT" = 0 ] && clients 1 3 spi 960000 count 50 rate 100 && all_perfect 1 3
}
natd_stop router
natd_start router lan wan --set require_ike=yes --set multicast=no
tap_ok "require_ike = yes: ESP without IKE does not go out; clients with IKE lose nothing" no_ike_no_esp

# ---- the multicast's settings: what comes in of packets with SPIs that nobody knows
unknown_spis() # COUNT RATE: COPIES to REACHED clients in TOOK seconds
{
    capture router lan many
    from=$(date +%s.%N)
    lab_in internet "$PEER" flood in-esp 198.51.100.3 count "$1" rate "$2" from $GW >/dev/null || return 1
    TOOK=$(echo "$(date +%s.%N) $from" | awk '{ print $1 - $2 }')
    sleep 1.3 # tcpdump reads once a second
    lab_stop cap-many INT
    shark many -Y "esp && !icmp && ip.src == $GW" -T fields -e ip.dst >"$LAB_DIR/many.txt"
    COPIES=$(wc -l <"$LAB_DIR/many.txt") REACHED=$(sort -u "$LAB_DIR/many.txt" | wc -l)
    echo "$1 packets in $TOOK s: $COPIES copies to $REACHED clients"
}
to_nobody()
{
    unknown_spis 20 2000 && [ "$COPIES" = 0 ]
}
tap_ok "multicast = no: an unknown SPI goes to nobody" to_nobody
natd_stop router
natd_start router lan wan --set multicast_rate=20 --set multicast_burst=4 --set multicast_cap=2
as_set() # 4 at once and 20 a second, to two clients each; two more for the ends of the time that was measured
{
    clients 1 3 spi 970000 count 2 rate 100
    unknown_spis 600 400 && [ "$REACHED" = 2 ] && [ "$COPIES" -ge 40 ] &&
        echo "$COPIES $TOOK" | awk '{ exit !($1 <= 2 * (4 + 20 * $2 + 2)) }'
}
tap_ok "multicast_rate, multicast_burst, multicast_cap: so many of 600, to two of the three" as_set
natd_stop router
natd_start router lan wan
any_esp()
{
    without_ike && [ "$OUT" -gt 0 ]
}
tap_ok "require_ike = no: it goes out" any_esp

# ---- several outside addresses
ip -n "$LAB-router" addr add 198.51.100.4/24 dev wan
sleep 0.3
nat router flush >/dev/null
clients 1 3 spi 700000 count 50 rate 100
tap_ok "several outside addresses" all_perfect 1 3
both_used()
{
    nat router --json list | jq -c '[.items[] | .outside] | group_by(.) | map([.[0], length])'
    nat router --json list | jq -e '[.items[] | {c: .client, o: .outside}] | unique | group_by(.c) | all(length == 1)'
}
tap_ok "... of which a client has one, for IKE and ESP" both_used

# ---- what cannot be carried
says() # TEXT COMMAND...
{
    want=$1
    shift
    "$@" >"$LAB_DIR/says.out" 2>&1
    rc=$?
    cat "$LAB_DIR/says.out"
    [ "$rc" != 0 ] && [ "$rc" -lt 100 ] && [ "$(wc -l <"$LAB_DIR/says.out")" -le 2 ] && grep -q "$want" "$LAB_DIR/says.out"
}
NATD="ip netns exec $LAB-router $LAB_BIN/dovetail-natd --socket $LAB_DIR/other.sock"
tap_ok "an interface that is not there: one sentence" says 'no interface "nowhere"' $NATD --inside lan --outside nowhere
tap_ok "an interface without Ethernet: one sentence" says 'no Ethernet' $NATD --inside lan --outside lo
tap_ok "without privilege: one sentence" says 'root\|permitted\|may not' ip netns exec "$LAB-internet" setpriv --reuid 65534 --clear-groups \
    "$LAB_BIN/dovetail-natd" --socket "/tmp/$LAB-nobody.sock" --inside isp --outside dc
first_keeps()
{
    says 'another dovetail-natd, process '"$(lab_pid natd-router)"' (dovetail-natd), has the interface "wan"' $NATD --inside pe2 --outside wan &&
        says 'another dovetail-natd, process '"$(lab_pid natd-router)"' (dovetail-natd), has the interface "lan"' $NATD --inside lan --outside wan &&
        nat router --json status | jq -e .attached && [ ! -e "$LAB_DIR/other.sock" ] || return 1
    clients 1 1 spi 800000 count 20 rate 100
    all_perfect 1 1
}
ip -n "$LAB-router" link add pe2 type veth peer name pe3
ip -n "$LAB-router" link set pe2 up
tap_ok "a second natd on one of the interfaces, with a socket of its own: refused, and the first goes on" first_keeps
tap_ok "a setting that is wrong: file and line" sh -c \
    "printf 'inside = lan\noutside = wan\nt_out = soon\n' >$LAB_DIR/bad.conf; $LAB_BIN/dovetail-natd --check --config $LAB_DIR/bad.conf 2>&1 | grep -q 'bad.conf:3: .*t_out'"

# ---- on exit it detaches
natd_stop router
tap_ok "on exit the programs are off the interfaces" sh -c \
    "! ip netns exec $LAB-router tc filter show dev lan ingress | grep -q nat_inside && ! ip netns exec $LAB-router tc filter show dev wan ingress | grep -q nat_outside"
lab_stop peer

tap_end
