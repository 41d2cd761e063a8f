#!/bin/sh
# The data path alone, over real packets: two ends with written-down keys (bench/static_tunnel.c) and no IKE. Every
# encapsulation, IPv4 and IPv6 inside and outside, every suite, super-packets checked byte by byte, path MTU, DSCP and
# ECN, queues, control packets, transport mode, and what must not pass.
set -u
LAB=${LAB:-dtpath}
. "$(dirname "$0")/../../lab/lab.sh"
BUILD=$(dirname "$LAB_BIN")
TUNNEL=${TUNNEL:-$BUILD/bench/static-tunnel} STREAM=$BUILD/lab/lab-stream FLOW=$BUILD/lab/lab-flow
lab_begin
# shellcheck disable=SC3045 # Debian's sh has it
ulimit -c 0

lab_ns a r b
lab_wire a eth0 '192.0.2.1/24 2001:db8:1::1/64' r left '192.0.2.254/24 2001:db8:1::ff/64'
lab_wire b eth0 '198.51.100.1/24 2001:db8:2::1/64' r right '198.51.100.254/24 2001:db8:2::ff/64'
lab_forward r b
ip -n "$LAB-a" route add default via 192.0.2.254
ip -n "$LAB-a" -6 route add default via 2001:db8:1::ff
ip -n "$LAB-b" route add default via 198.51.100.254
ip -n "$LAB-b" -6 route add default via 2001:db8:2::ff
# What forwarding switched on would undo on interfaces to come.
lab_in b sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0

A4=192.0.2.1 B4=198.51.100.1 A6=2001:db8:1::1 B6=2001:db8:2::1

# end SIDE OPTION...: starts one end; its commands go to $LAB_DIR/SIDE.in, what it says to SIDE.log
end()
{
    side=$1
    shift
    rm -f "$LAB_DIR/$side.in" "$LAB_DIR/$side.log"
    mkfifo "$LAB_DIR/$side.in"
    if [ "$side" = a ]; then exec 3<>"$LAB_DIR/a.in"; else exec 4<>"$LAB_DIR/b.in"; fi
    ip netns exec "$LAB-$side" "$TUNNEL" --side "$side" --tun "dt$side" "$@" <"$LAB_DIR/$side.in" >"$LAB_DIR/$side.log" 2>&1 &
    echo $! >"$LAB_DIR/$side.pid"
    lab_wait 10 "grep -q ^ready '$LAB_DIR/$side.log'" || { sed 's/^/# /' "$LAB_DIR/$side.log"; return 1; }
}

say() # SIDE COMMAND...
{
    said=$1
    shift
    before=$(grep -c ^done "$LAB_DIR/$said.log")
    if [ "$said" = a ]; then echo "$*" >&3; else echo "$*" >&4; fi
    lab_wait 5 "[ \$(grep -c ^done '$LAB_DIR/$said.log') -gt $before ]"
}

heard() # SIDE PATTERN
{
    lab_wait 5 "grep -q '$2' '$LAB_DIR/$1.log'"
}

count() # SIDE COUNTER -> its value
{
    say "$1" counters
    grep -o " $2=[0-9]*\|^$2=[0-9]*" "$LAB_DIR/$1.log" | tail -n 1 | sed 's/.*=//' | grep . || echo "there-is-no-counter-$2"
}

# both VERSION ENCAP OPTION...: both ends over outer IPv4 or IPv6; OPTION for each end in $AOPT and $BOPT too
AOPT='' BOPT=''
both()
{
    outer=$1 encap=$2
    shift 2
    stop_both
    if [ "$outer" = 4 ]; then la=$A4 lb=$B4; else la=$A6 lb=$B6; fi
    # shellcheck disable=SC2086
    end a --local $la --remote $lb --encap "$encap" --inside 10.77.0.1,fd77::1 \
        --protect "10.77.0.2/32,fd77::2/128,10.78.0.0/24,192.0.0.8/32" "$@" $AOPT || return 1
    # shellcheck disable=SC2086
    end b --local $lb --remote $la --encap "$encap" --inside 10.77.0.2,fd77::2 --mine 10.78.0.0/24 \
        --protect "10.77.0.1/32,fd77::1/128,192.0.0.9/32" "$@" $BOPT
}

stop_both()
{
    lab_stop a
    lab_stop b
}

stream() # FROM ADDRESS BYTES
{
    lab_in "$1" timeout 60 "$STREAM" send "$2" 7000 "$3"
}

device() # SIDE: packets that its kernel has had out of the tunnel
{
    ip -n "$LAB-$1" -j -s link show "dt$1" | jq '.[0].stats64.rx.packets'
}

pings() # FROM ADDRESS OPTION...
{
    from=$1 to=$2
    shift 2
    lab_in "$from" ping -n -q -c 3 -i 0.05 -W 2 "$@" "$to" | grep -q ' 0% packet loss'
}

for n in a b; do lab_run $n "serve-$n" "$STREAM" serve 7000; done
lab_run b echo-b "$FLOW" echo 7001

# --- every way in every other
for outer in 4 6; do
    for encap in udp esp; do
        what="$encap over IPv$outer"
        tap_ok "$what: both ends are up" both $outer $encap || continue
        tap_ok "$what: IPv4 inside" pings a 10.77.0.2
        tap_ok "$what: IPv6 inside" pings a fd77::2
        tap_ok "$what: 40 MB of TCP over IPv4, every byte" stream a 10.77.0.2 40000000
        tap_ok "$what: 40 MB of TCP over IPv6, every byte" stream a fd77::2 40000000
        tap_ok "$what: and back" stream b 10.77.0.1 40000000
        tap_ok "$what: the first packet was reported once at each end" \
            test "$(grep -c 'event first' "$LAB_DIR/a.log")$(grep -c 'event first' "$LAB_DIR/b.log")" = 11
    done
done

# --- suites
for suite in aes256gcm chacha cbc; do
    both 4 udp --suite $suite --esn
    tap_ok "$suite with extended numbers: 10 MB, every byte" stream a 10.77.0.2 10000000
done
both 4 udp --crypto openssl
tap_ok "OpenSSL alone: 10 MB, every byte" stream a 10.77.0.2 10000000
both 4 udp --workers 3
tap_ok "three workers: 20 MB, every byte" stream a 10.77.0.2 20000000
both 4 esp --workers 3
tap_ok "three workers, raw ESP: 20 MB, every byte" stream a 10.77.0.2 20000000

# --- super-packets: one end cuts them, the other writes each segment by itself, where a capture can check it
both 4 udp
stop_both
end a --local $A4 --remote $B4 --encap udp --inside 10.77.0.1,fd77::1 --protect 10.77.0.2/32,fd77::2/128
end b --local $B4 --remote $A4 --encap udp --inside 10.77.0.2,fd77::2 --protect 10.77.0.1/32,fd77::1/128 --no-gso
lab_run b dump tcpdump --immediate-mode -l -nn -vv -s 0 -i dtb 'tcp and dst port 7000'
sleep 1
tap_ok 'segments: a stream over IPv4 and IPv6' sh -c "
    ip netns exec $LAB-a $STREAM send 10.77.0.2 7000 3000000 && ip netns exec $LAB-a $STREAM send fd77::2 7000 3000000"
sleep 1
lab_stop dump INT
segments=$(grep -c 'cksum 0x.* (correct)' "$LAB_DIR/dump.log")
wrong=$(grep -c 'incorrect' "$LAB_DIR/dump.log")
tap_ok "segments: $segments with a correct checksum" test "$segments" -gt 1000
tap_ok "segments: $wrong with a wrong one (TCP, or IP header: 'bad cksum')" \
    test "$wrong$(grep -c 'bad cksum' "$LAB_DIR/dump.log")" = 00
ids=$(grep -o ' id [0-9]*' "$LAB_DIR/dump.log" | awk '{ if (NR > 1 && $2 != (last + 1) % 65536) gaps++; last = $2 } END { print gaps + 0 }')
tap_note "IP identification: $ids steps other than 1 in $segments segments"
tap_ok 'segments: nobody counted a checksum error' \
    test "$(lab_in b nstat -az TcpInCsumErrors | awk '/Csum/ { print $2 }')" = 0

# --- wires of other kinds
for l in 'a eth0' 'b eth0' 'r left' 'r right'; do lab_in "${l% *}" ip link set "${l#* }" mtu 9000; done
for encap in udp esp; do
    both 4 $encap --mtu 8900
    tap_ok "jumbo frames, $encap: 40 MB, every byte" stream a 10.77.0.2 40000000
done
for l in 'a eth0' 'b eth0' 'r left' 'r right'; do lab_in "${l% *}" ip link set "${l#* }" mtu 1500; done
for n in a b; do lab_in $n ethtool -K eth0 tx off gso off tso off gro off >/dev/null 2>&1; done
both 4 udp
tap_ok 'a device that cuts nothing: 10 MB, every byte' stream a 10.77.0.2 10000000
for n in a b; do lab_in $n ethtool -K eth0 tx on gso on tso on gro on >/dev/null 2>&1; done

# --- path MTU: the way narrows behind the router's left side
for outer in 4 6; do
    for encap in udp esp; do
        what="path MTU, $encap over IPv$outer"
        lab_in r ip link set right mtu 1380
        lab_in b ip link set eth0 mtu 1380
        lab_in a ip route flush cache 2>/dev/null
        lab_in a ip -6 route flush cache 2>/dev/null
        both $outer $encap
        lab_in a ping -n -c 1 -W 1 -M 'do' -s 1372 10.77.0.2 >"$LAB_DIR/p1" 2>&1 # teaches the host the path
        sleep 0.3
        lab_in a ping -n -c 2 -i 0.3 -W 1 -M 'do' -s 1372 10.77.0.2 >"$LAB_DIR/p2" 2>&1
        tap_ok "$what: the sender inside is told" grep -qi 'frag needed\|message too long' "$LAB_DIR/p2"
        tap_note "$(grep -i 'frag needed\|too long' "$LAB_DIR/p2" | head -n 1)"
        tap_ok "$what: an event says so" heard a 'event path-mtu .* mtu 1380'
        tap_ok "$what: what fits passes" pings a 10.77.0.2 -M 'do' -s 1250
        tap_ok "$what: TCP over IPv4 finds its size" stream a 10.77.0.2 3000000
        tap_ok "$what: TCP over IPv6 finds its size" stream a fd77::2 3000000
        tap_ok "$what: what may be fragmented is, outside" pings a 10.77.0.2 -M dont -s 1372
        lab_in a ip route flush cache 2>/dev/null
        lab_in a ip -6 route flush cache 2>/dev/null
        lab_in r ip link set right mtu 1500
        lab_in b ip link set eth0 mtu 1500
    done
done

lab_in r ip link set right mtu 1280
lab_in b ip link set eth0 mtu 1280
for outer in 4 6; do
    for encap in udp esp; do
        both $outer $encap
        lab_in a ping -n -c 1 -W 1 -s 1232 fd77::2 >/dev/null 2>&1
        tap_ok "path MTU of 1280, $encap over IPv$outer: IPv6's least passes inside, in fragments outside" \
            pings a fd77::2 -M 'do' -s 1232
        tap_ok "path MTU of 1280, $encap over IPv$outer: and TCP" stream a fd77::2 1000000
    done
done
lab_in r ip link set right mtu 1500
lab_in b ip link set eth0 mtu 1500
lab_in a ip route flush cache 2>/dev/null
lab_in a ip -6 route flush cache 2>/dev/null

# --- DSCP and ECN
both 4 udp
lab_run r dump2 tcpdump --immediate-mode -l -nn -v -i left 'udp port 4500'
sleep 1
pings a 10.77.0.2 -Q 0xb8
sleep 0.5
lab_stop dump2 INT
tap_ok 'DSCP: outside as inside' grep -q 'tos 0xb8' "$LAB_DIR/dump2.log"
lab_in r nft -f - <<N
table ip congest {
    chain c {
        type filter hook forward priority 0;
        udp dport 4500 ip saddr $A4 ip ecn set ce
    }
}
N
lab_run b dump3 tcpdump --immediate-mode -l -nn -v -i dtb 'icmp and dst host 10.77.0.2'
sleep 1
lab_in a ping -n -q -c 2 -i 0.1 -W 1 -Q 0x02 10.77.0.2 >/dev/null
lab_in a ping -n -q -c 2 -i 0.1 -W 1 -Q 0x00 10.77.0.2 >/dev/null
sleep 0.5
lab_stop dump3 INT
lab_in r nft delete table ip congest
tap_ok 'ECN: congestion outside is congestion inside (ECT(0) becomes CE)' test "$(grep -c 'tos 0x3,CE' "$LAB_DIR/dump3.log")" = 2
tap_ok 'ECN: CE on what cannot carry it is dropped (RFC 6040): it does not come out' \
    test "$(grep -c ' ICMP (1)' "$LAB_DIR/dump3.log")" = 2
tap_ok 'ECN: and is counted' test "$(count b in_ecn)" = 2

# --- what a tunnel does with its packets
both 4 udp
say a state hold
lab_in a ping -n -q -c 3 -i 0.05 -W 3 10.77.0.2 >"$LAB_DIR/held" 2>&1 &
held=$!
sleep 0.5
tap_ok 'hold: packets wait' test "$(count a t.held)" = 3
tap_ok 'hold: and say that they need a tunnel' heard a 'event need-tunnel'
say a state send
wait $held
tap_ok 'hold: what waited goes out, all of it' grep -q ' 0% packet loss' "$LAB_DIR/held"
say a state hold
lab_in a ping -n -q -f -c 200 -W 1 10.77.0.2 >/dev/null 2>&1
tap_ok 'hold: the queue is bounded' test "$(count a t.held)" -le 64
tap_ok 'hold: and what did not fit was counted' test "$(count a t.hold_drops)" -ge 100
seen=$(device b)
say a state send
sleep 0.3
came=$(($(device b) - seen))
tap_ok "hold: as many come out at the other end as the queue has room for ($came)" test "$came" -ge 32 -a "$came" -le 64
say a state hold
lab_in a ping -n -q -c 5 -i 0.05 -W 1 10.77.0.2 >"$LAB_DIR/held" 2>&1
seen=$(device b)
say a state drop
tap_ok 'drop: what waited is gone' test "$(count a t.held)" = 0
lab_in a ping -n -c 2 -i 0.2 -W 1 10.77.0.2 >"$LAB_DIR/dropped" 2>&1
tap_ok 'drop: the sender is told' grep -qi 'filtered\|prohibited' "$LAB_DIR/dropped"
say a state send
tap_ok 'drop: and nothing of it comes out at the other end' test "$(device b)" = "$seen"
tap_ok 'send again' pings a 10.77.0.2

# --- control packets
AOPT='--answer 192.0.0.9' BOPT='--answer 192.0.0.8'
both 4 udp
AOPT='' BOPT=''
say a probe 192.0.0.9 192.0.0.8 11 1 64
tap_ok 'probe: answered by the other data path' heard a 'event probe-reply sa 1 .* ident 11 seq 1'
say a probe 10.77.0.1 10.77.0.2 11 2 64
tap_ok 'probe: answered by a host inside' heard a 'event probe-reply sa 1 .* ident 11 seq 2'
say a probe 10.77.0.1 10.78.0.9 11 3 1
tap_ok 'probe: time exceeded is an answer' heard a 'event probe-reply sa 1 .* seq 3 .*ttl-exceeded'
say a state hold
say a probe 192.0.0.9 192.0.0.8 11 4 64
tap_ok 'probe: goes out while data is held' heard a 'event probe-reply sa 1 .* seq 4'
tap_ok "probe: a host's own echo is not taken for one" sh -c "echo state send >&3; sleep 0.3; ip netns exec $LAB-a ping -n -q -c 2 -i 0.1 -W 1 10.77.0.2 | grep -q ' 0%'"

# Dummy packets: no selector restricts them, and no host sees them.
stop_both
end a --local $A4 --remote $B4 --encap udp --inside 10.77.0.1 --protect '10.77.0.2/32[udp/4411]'
end b --local $B4 --remote $A4 --encap udp --inside 10.77.0.2 --protect '10.77.0.1/32[udp/4411]'
seen=$(device b)
say a probe 10.77.0.1 10.77.0.2 12 1 64
say a dummy 12 2 16
tap_ok 'dummy packet: answered, though the selectors carry one UDP port alone' heard a 'event probe-reply sa 1 .* ident 12 seq 2 size 16 '
say a dummy 12 3 1300
tap_ok 'dummy packet: of a size, and the reply says which' heard a 'event probe-reply sa 1 .* ident 12 seq 3 size 1300 '
tap_ok 'an echo is not, there' sh -c "! grep -q 'ident 12 seq 1 ' '$LAB_DIR/a.log'"
tap_ok 'and nothing of it reaches a host' test "$(device b)" = "$seen"

# --- fragments and ports: the host cuts a datagram before the device, and only its first part has ports
narrow() # both ends carry UDP to and from port 7001 of b alone, IPv4 and IPv6
{
    stop_both
    end a --local $A4 --remote $B4 --encap udp --inside 10.77.0.1,fd77::1 --protect '10.77.0.2/32[udp/7001],fd77::2/128[udp/7001]' || return 1
    end b --local $B4 --remote $A4 --encap udp --inside 10.77.0.2,fd77::2 --mine '10.77.0.2/32[udp/7001],fd77::2/128[udp/7001]' --protect 10.77.0.1/32,fd77::1/128
}
whole() # FROM ADDRESS BYTES: numbered datagrams of that size, and all of their answers
{
    lab_in "$1" "$FLOW" send "$2" 7001 -i 5 -t 0.5 -s "$3" >"$LAB_DIR/whole"
    cat "$LAB_DIR/whole"
    jq -e '.sent > 50 and .lost == 0' "$LAB_DIR/whole"
}
narrow
for size in 1400 5000 30000; do
    tap_ok "fragments: datagrams of $size bytes through one port's tunnel, all there and back" whole a 10.77.0.2 $size
    tap_ok "fragments: in IPv6 too, $size" whole a fd77::2 $size
done
tap_ok 'fragments: none was dropped' test "$(count a out_orphan) $(count b in_orphan) $(count b in_selector)" = '0 0 0'
# Somebody else's, forwarded: each comes by itself. Without its first one a later fragment has no port, and goes nowhere.
lab_ns h
lab_wire a in0 10.79.0.1/24 h eth0 10.79.0.2/24
ip -n "$LAB-h" route add default via 10.79.0.1
lab_in a sysctl -qw net.ipv4.ip_forward=1
stop_both
end a --local $A4 --remote $B4 --encap udp --inside 10.77.0.1 --mine 10.79.0.0/24 --protect '10.77.0.2/32[udp/7001]'
end b --local $B4 --remote $A4 --encap udp --inside 10.77.0.2 --mine '10.77.0.2/32[udp/7001]' --protect 10.77.0.1/32,10.79.0.0/24
tap_ok 'fragments: forwarded ones, all there and back' whole h 10.77.0.2 5000
tap_ok 'fragments: none of them was dropped' test "$(count a out_orphan) $(count a t.fragments)" = '0 0'
lab_in a nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f ip frag-off & 0x3fff == 0x2000 drop'
seen=$(device b)
lab_in h "$FLOW" send 10.77.0.2 7001 -i 20 -t 0.2 -s 5000 -w 0 >/dev/null
tap_ok 'fragments: without the first one they are dropped, and counted at their tunnel' test "$(count a t.fragments)" -ge 20
tap_ok 'fragments: and nothing of them arrives' test "$(count b in_orphan) $(count b in_selector) $(device b)" = "0 0 $seen"
lab_in a nft delete table ip t
# Fragments of what the tunnel does not carry follow their first one: nowhere. b's selectors are narrow, those of a are not.
stop_both
end a --local $A4 --remote $B4 --encap udp --inside 10.77.0.1 --protect 10.77.0.2/32
end b --local $B4 --remote $A4 --encap udp --inside 10.77.0.2 --mine '10.77.0.2/32[udp/7001]' --protect 10.77.0.1/32
seen=$(device b)
lab_in a "$FLOW" send 10.77.0.2 9999 -i 20 -t 0.2 -s 5000 -w 0 >/dev/null
tap_ok 'fragments: of another port: no part of them comes out of the tunnel' test "$(device b)" = "$seen"
tap_ok 'fragments: and they are counted, the later ones too' test "$(count b in_selector)" -ge 20

# --- a new epoch under load
both 4 udp
lab_in a "$FLOW" send 10.77.0.2 7001 -i 1 -t 3 >"$LAB_DIR/flow.json" 2>&1 &
flow=$!
for n in 2 3 4 5; do
    sleep 0.5
    say b rekey $n
    say a rekey $n
    say a state send
    say b state send
done
wait $flow
tap_note "$(cat "$LAB_DIR/flow.json")"
tap_ok 'epochs: four changes, no packet lost' sh -c "grep -q '\"lost_out\": *0[,}]' $LAB_DIR/flow.json && grep -q '\"lost_back\": *0[,}]' $LAB_DIR/flow.json"
for n in 1 2 3 4 5; do say b forget $n; done
lab_in a ping -n -q -c 3 -i 0.1 -W 1 10.77.0.2 >/dev/null
tap_ok 'epochs: a packet without an SA is reported' heard b 'event no-sa .* spi b0000005'

# --- what must not pass
AOPT='--mine 10.99.0.0/24'
both 4 udp
AOPT=''
ip -n "$LAB-a" addr add 10.99.0.1/32 dev dta
before=$(device b)
lab_in a ping -n -q -c 2 -i 0.1 -W 1 -I 10.99.0.1 10.77.0.2 >/dev/null
tap_ok 'selectors: authentic, but not what was agreed: dropped and counted' test "$(count b in_selector)" = 2
tap_ok 'selectors: none of it came out' test "$(device b)" = "$before"
before=$(device b) arrived=$(lab_in b nstat -asz UdpInDatagrams | awk '/Udp/ { print $2 }')
tap_ok 'garbage is sent to the port' sh -c "
    for s in '' x '\\377' 'abcdefgh' 'abcdefghijklmnopqrstuvwxyz0123456789'; do
        printf \"\$s\" | ip netns exec $LAB-a timeout 1 bash -c 'cat >/dev/udp/$B4/4500' || exit 1; done"
tap_ok 'garbage on the port: it arrives' lab_wait 3 "[ \$(lab_in b nstat -asz UdpInDatagrams | awk '/Udp/ { print \$2 }') -ge $((arrived + 4)) ]"
tap_ok 'garbage on the port: nothing of it comes out' test "$(device b)" = "$before"
tap_ok 'and the tunnel goes on' pings a 10.77.0.2
ip netns exec "$LAB-a" "$TUNNEL" --side a --tun dtx --local $A4 --remote $B4 --inside 10.66.0.1 --protect 10.66.0.2/32 \
    </dev/null >"$LAB_DIR/second" 2>&1
tap_ok 'a second one on the same port is refused, and says why' grep -q 'UDP port 4500.*in use' "$LAB_DIR/second"
tap_ok 'and leaves no device' sh -c "! ip -n $LAB-a link show dtx 2>/dev/null"
stop_both
tap_ok 'at the end the device is gone' sh -c "! ip -n $LAB-a link show dta 2>/dev/null"
both 4 udp
kill -9 "$(lab_pid a)"
wait "$(lab_pid a)" 2>/dev/null
tap_ok 'and after a kill too' lab_wait 3 "! ip -n $LAB-a link show dta"

# --- limits and moves
both 4 udp --soft 20
pings a 10.77.0.2 -c 30
tap_ok 'soft limit: reported, and packets go on' sh -c "grep -c 'event soft' $LAB_DIR/a.log | grep -qx 1"
both 4 udp
pings a 10.77.0.2
lab_in r nft -f - <<N
table ip move {
    chain c {
        type nat hook postrouting priority srcnat;
        oifname "right" udp sport 4500 snat to 198.51.100.254:4600
    }
}
N
lab_in a ping -n -q -c 2 -i 0.1 -W 1 10.77.0.2 >/dev/null
tap_ok 'a peer that moved is reported' heard b 'event path-changed sa 1 .* path 198.51.100.254:4600'
say b path 198.51.100.254 4600
tap_ok 'and answered where it is now' pings a 10.77.0.2
lab_in r nft delete table ip move
stop_both

# --- one tunnel inside another: a reaches c through b, and 10.90.0.0/24 behind c through c
lab_ns c
lab_wire b inner 10.78.0.1/24 c eth0 10.78.0.9/24
ip -n "$LAB-c" route add default via 10.78.0.1
ip -n "$LAB-c" addr add 10.90.0.1/32 dev lo
lab_run c serve-c "$STREAM" serve 7000
for encap in udp esp; do
    BOPT='--mine 10.78.0.0/24' AOPT='--local2 10.77.0.1 --remote2 10.78.0.9 --protect2 10.90.0.0/24'
    both 4 $encap
    rm -f "$LAB_DIR/c.in" "$LAB_DIR/c.log"
    mkfifo "$LAB_DIR/c.in"
    exec 5<>"$LAB_DIR/c.in"
    ip netns exec "$LAB-c" "$TUNNEL" --side b --keys 100 --tun dtc --local 10.78.0.9 --remote 10.77.0.1 --encap $encap \
        --mine 10.90.0.0/24 --protect 10.77.0.1/32 --no-routes <"$LAB_DIR/c.in" >"$LAB_DIR/c.log" 2>&1 &
    echo $! >"$LAB_DIR/c.pid"
    lab_wait 10 "grep -q ^ready $LAB_DIR/c.log"
    lab_in c ip rule add not fwmark 0x44560001 table 77 2>/dev/null
    lab_in c ip route replace 10.77.0.1/32 dev dtc src 10.90.0.1 table 77
    tap_ok "nested, $encap: through both tunnels" pings a 10.90.0.1
    tap_ok "nested, $encap: 10 MB of TCP, every byte" stream a 10.90.0.1 10000000
    tap_ok "nested, $encap: the inner peer saw ESP alone" test "$(grep -c 'event first' "$LAB_DIR/c.log")" = 1
    lab_stop c
    rm -f "$LAB_DIR/c.in"
done
AOPT="--local2 10.77.0.1 --remote2 10.78.0.9 --protect2 10.90.0.0/24,$B4/32 --mine $A4/32 --nested" BOPT=''
both 4 udp
lab_in a ip rule add fwmark 0x44560002 table 78
lab_in a ip route add $B4/32 dev dta table 78
lab_in a ip route add 10.78.0.0/24 dev dta table 78
lab_run r dump5 tcpdump --immediate-mode -l -nn -i left 'udp port 4500 and udp[8:4] != 0'
lab_wait 5 "grep -q 'listening on' '$LAB_DIR/dump5.log'"
lab_in a ping -n -q -c 3 -i 0.1 -W 1 10.90.0.1 >/dev/null
tap_ok 'nested: a ring of tunnels is counted' test "$(count a out_loop)" = 3
lab_stop dump5 INT
tap_ok 'nested: and goes nowhere' sh -c "! grep ESP '$LAB_DIR/dump5.log'"
lab_in a ip rule del fwmark 0x44560002 table 78
AOPT=''
stop_both

# --- transport mode: host to host, routed into the device unless marked
stop_both
for n in a b; do
    if [ $n = a ]; then mine=$A4 peer=$B4; else mine=$B4 peer=$A4; fi
    end $n --local $mine --remote $peer --encap esp --transport --mine "$mine/32" --protect "$peer/32" --no-routes
    lab_in $n ip rule add not fwmark 0x44560001 table 77
    lab_in $n ip route add "$peer/32" dev dt$n src $mine table 77
done
lab_run r dump4 tcpdump --immediate-mode -l -nn -i left
sleep 1
tap_ok 'transport mode: echo' pings a $B4
lab_in a ping -n -q -c 2 -i 0.1 -W 1 -s 5000 $B4 >/dev/null
tap_ok 'transport mode: fragments are not carried (RFC 4301 4.1), and are counted at the tunnel' test "$(count a t.fragments)" -ge 8
say a dummy 13 1 16
tap_ok 'transport mode: a dummy packet is answered' heard a 'event probe-reply sa 1 .* ident 13 seq 1 size 16 '
tap_ok 'transport mode: 10 MB of TCP, every byte' stream a $B4 10000000
lab_stop dump4 INT
tap_ok 'transport mode: nothing but ESP outside' sh -c "grep -q ESP $LAB_DIR/dump4.log && ! grep -q 'ICMP echo\\|Flags \\[' $LAB_DIR/dump4.log"
stop_both
tap_end
