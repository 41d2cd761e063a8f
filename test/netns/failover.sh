#!/bin/sh
# Fail-over between two NATs: the line of the one dies and the client's route moves to the other, which knows none of its SPIs,
# while data flows; then back, while only the server speaks. What went outside of which router is read from captures there,
# outages at the far end and at the client's device; both ends' captures are opened with the key logs.
#
#   c1, c2 --- LAN --- r1 (198.51.100.2) --- internet --- gateway --- server
#                  `-- r2 (198.51.101.2) ------'
set -u
LAB=${LAB:-dtfail}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/capture.sh"
FLOW=$LAB_BIN/../lab/lab-flow
PARAMS='maxidle = 1500ms pingtime = 300ms pingtries = 8 pingtime2 = 400ms pingtries2 = 3 timeout = 3s elimit = 1'
# Far above what it takes (a moment, or maxidle and a ping), far below what it takes without Dovetail (for ever).
SOON=9

topology()
{
    lab_ns net c1 c2 r1 r2 internet gateway server
    lab_bridge net lan ''
    for n in 1 2; do
        lab_plug net lan "pc$n" "c$n" eth0 "192.168.7.1$n/24"
        lab_plug net lan "pr$n" "r$n" lan "192.168.7.$n/24"
        ip -n "$LAB-c$n" route add default via "192.168.7.$n"
        lab_wire "r$n" wan "198.51.10$((n - 1)).2/24" internet "isp$n" "198.51.10$((n - 1)).1/24"
        ip -n "$LAB-r$n" route add default via "198.51.10$((n - 1)).1"
        lab_nft_masquerade "r$n" wan
    done
    lab_wire internet dc 203.0.113.254/24 gateway eth0 203.0.113.1/24
    lab_wire gateway inside 10.1.0.1/16 server eth0 10.1.0.10/16
    ip -n "$LAB-gateway" route add default via 203.0.113.254
    ip -n "$LAB-server" route add default via 10.1.0.1
    ip -n "$LAB-internet" route add unreachable 192.168.0.0/16
    lab_forward r1 r2 internet gateway
    lab_in c1 nft 'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i udp dport 9998 drop'
}

configure()
{
    dt_conf gateway "keylog = \"$(capture_keys gateway)\"" <<C
gateway "g" {
    listen = "203.0.113.1" identity = "gateway.test" psk = "failover-psk-0123456789"
    protect = "10.1.0.0/16" pool = "10.9.0.0/24"
    $PARAMS
}
C
    for n in 1 2; do
        dt_conf c$n "keylog = \"$(capture_keys c$n)\"" <<C
tunnel "t" {
    gateway = "203.0.113.1" local = "c$n.test" remote = "gateway.test" psk = "failover-psk-0123456789"
    protect = "10.1.0.0/16" encap = esp
    $PARAMS
}
C
    done
}

# outside N SINCE: ESP packets outside of router N since then, "OUT IN"
outside()
{
    tcpdump -ttnr "$LAB_DIR/outside$1.pcap" esp 2>/dev/null |
        awk -v since="$2" -v own="198.51.10$(($1 - 1)).2" '$1 >= since { if ($3 == own) out++; else back++ } END { print out + 0, back + 0 }'
}

# through N SINCE [LEAST]: both ways; not_through N SINCE
through()
{
    n=$(outside "$1" "$2")
    echo "outside of router $1: $n"
    [ "${n% *}" -ge "${3:-50}" ] && [ "${n#* }" -ge "${3:-50}" ]
}

not_through()
{
    n=$(outside "$1" "$2")
    echo "outside of router $1: $n"
    [ "$n" = '0 0' ]
}

# same_epoch FROM TO SINCE: the gateway went on at the new address on an SPI on which it had spoken to the old one
spis_to() # N SINCE
{
    tcpdump -ttnr "$LAB_DIR/outside$1.pcap" "esp and dst 198.51.10$(($1 - 1)).2" 2>/dev/null |
        awk -v since="$2" '$1 >= since && match($0, /spi=0x[0-9a-f]+/) { print substr($0, RSTART, RLENGTH) }' | sort -u
}

same_epoch()
{
    spis_to "$1" 0 >"$LAB_DIR/before.spis"
    spis_to "$2" "$3" >"$LAB_DIR/after.spis"
    head "$LAB_DIR/before.spis" "$LAB_DIR/after.spis"
    [ -n "$(comm -12 "$LAB_DIR/before.spis" "$LAB_DIR/after.spis")" ]
}

# The line of one is dead, and c1's way leads over the other.
move() # FROM TO
{
    ip -n "$LAB-internet" link set "isp$1" down
    ip -n "$LAB-c1" route replace default via "192.168.7.$2"
    date +%s.%N
}

came_back() # FLOW: it was answered again, soon, and to its end
{
    tail -n 1 "$LAB_DIR/$1.log"
    jq -se --argjson soon $SOON '.[-1] | .longest_outage_s < $soon and .received > 200 and
        (.outages | length == 0 or (.[-1] | .start + .length) < now - 0.5)' "$LAB_DIR/$1.log"
}

# heard SINCE: what the server sent came out of c1's device again, soon, and to the end
heard()
{
    tcpdump -ttnr "$LAB_DIR/device.pcap" 2>/dev/null | awk -v since="$1" -v soon=$SOON '
        $1 >= since { n++; if (last && $1 - last > gap) gap = $1 - last } { last = $1 }
        END { print n + 0, "packets after the move, longest silence", gap; exit !(n > 100 && gap < soon) }'
}

lab_begin
topology
configure
lab_run server echo "$FLOW" echo 4411
for n in 1 2; do
    natd_start r$n lan wan --flush --set t_out=1 --set n_out=10 --set t_ei=30
    lab_run internet "outside$n" tcpdump -i isp$n --immediate-mode -U -w "$LAB_DIR/outside$n.pcap" esp
done
for ns in c1 gateway; do capture_start $ns eth0 || tap_note "no capture in $ns"; done
dt_start gateway
for n in 1 2; do dt_start c$n; done
for n in 1 2; do tap_ok "c$n is up" dt c$n up t --timeout 10; done

# ---- both speak
for n in 1 2; do lab_run c$n flow$n "$FLOW" send 10.1.0.10 4411 -i 10 -t 0 -g 100; done
sleep 1.5
moved=$(move 1 2)
sleep 2
tap_ok "a new epoch by the other NAT" dt c1 rekey t
lab_wait $SOON "lab_in c1 ping -q -c 1 -W 1 10.1.0.10"
sleep 1
for n in 1 2; do lab_stop flow$n; done
tap_ok "the tunnel comes back by the other NAT" came_back flow1
tap_ok "outside of the first, both ways, before" through 1 0
tap_ok "outside of the other, both ways, since" through 2 "$moved"
tap_ok "and the gateway followed within an epoch" same_epoch 1 2 "$moved"
tap_ok "nothing more outside of the first" not_through 1 "$moved"
tap_ok "who was behind the other NAT before loses nothing" jq -se '.[-1] | .sent > 300 and .lost == 0' "$LAB_DIR/flow2.log"

# ---- back again, while the client has nothing to say
ip -n "$LAB-internet" link set isp1 up
lab_run c1 device tcpdump -i "$(ip -n "$LAB-c1" -j route get 10.1.0.10 | jq -r '.[0].dev')" --immediate-mode -U -w "$LAB_DIR/device.pcap" 'udp port 9998'
lab_run server stream "$FLOW" send "$(dt_field c1 t '.inside[0]' | cut -d/ -f1)" 9998 -i 10 -t 0 -w 0
sleep 1
moved=$(move 2 1)
lab_wait $SOON "heard $moved"
sleep 1
lab_stop stream
lab_stop device INT
tap_ok "the server alone speaks: heard again by the first NAT" heard "$moved"
tap_ok "outside of the first, both ways" through 1 "$moved" 1
tap_ok "and the gateway followed within an epoch again" same_epoch 2 1 "$moved"
for ns in c1 c2 gateway; do dt_stop $ns; done
for ns in c1 gateway; do tap_ok "the capture of $ns is whole" capture_stop $ns; done
tap_ok "c1 keeps the promise on every epoch" epochs_kept c1 -c -n 2
tap_ok "and so does the gateway" epochs_kept gateway -g -n 3
tap_end
