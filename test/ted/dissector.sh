#!/bin/sh
# dissector.sh CAPTURE-PROGRAM LUA-SCRIPT: what tshark says with the dissector about messages that our encoder wrote.
set -u
capture=$1 lua=$2
command -v tshark >/dev/null || { echo "1..0 # SKIP tshark is not installed"; exit 0; }
dir=$(mktemp -d /tmp/ted-dissector.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
export HOME="$dir" XDG_CONFIG_HOME="$dir"
"$capture" "$dir/c.pcap" || { echo "Bail out! no capture"; exit 1; }
# As root a newer tshark runs no scripts: as nobody, then.
nobody()
{
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi
}
cp "$lua" "$dir/ted.lua"
lua=$dir/ted.lua
chmod 755 "$dir"
chmod 644 "$dir"/*
# A build of tshark without Lua, or a root that may not run scripts, is named too.
if ! nobody tshark -X "lua_script:$lua" -r "$dir/c.pcap" >"$dir/list" 2>"$dir/err" || ! grep -q TED "$dir/list"; then
    if grep -qi 'lua.*disabled\|not.*lua' "$dir/err" || ! tshark -v 2>/dev/null | grep -q 'with Lua'; then
        echo "1..0 # SKIP this tshark runs no Lua scripts"; exit 0
    fi
fi
n=0 bad=0
# check TEXT FRAME FIELDS EXPECTED: fields as tshark prints them, joined by |, several of one name by a comma
check()
{
    n=$((n + 1))
    args=
    for f in $3; do args="$args -e $f"; done
    # shellcheck disable=SC2086
    got=$(nobody tshark -X "lua_script:$lua" -r "$dir/c.pcap" -Y "frame.number == $2" -T fields -E separator='|' $args 2>/dev/null | sed 's/True/1/g') # older ones print booleans as 1
    if [ "$got" = "$4" ]; then echo "ok $n - $1"; else
        bad=1
        echo "not ok $n - $1"
        echo "#   expected $4"
        echo "#   got      $got"
    fi
}
t=dovetail_ted
check "a probe's header" 1 "_ws.col.Protocol $t.icookie $t.rcookie $t.version $t.exchange $t.flags $t.message_id $t.length" \
    'TED|0x0102030405060708|0x0000000000000000|0x10|240|0x00|0|116'
check "a probe's payloads in order" 1 "$t.payload $t.payload_length" '13,5,128,129|24,12,16,36'
check "vendor and identity" 1 "$t.capabilities $t.cap.several $t.cap.ipv6 $t.cap.ikev2 $t.id_type $t.id" \
    '0x00000007|1|1|1|1|192.0.2.1'
check "proxy address" 1 "$t.proxy $t.proxy_mask" '10.1.0.0|255.255.0.0'
check "packet summary" 1 "$t.ted_version $t.protocol $t.src $t.dst $t.sport $t.dport" '1|6|10.1.0.5|10.2.0.7|50000|80'
check "an IPv6 probe without a proxy address" 2 "$t.payload $t.length $t.id6 $t.src6 $t.dst6 $t.protocol" \
    '13,5,129|136|2001:db8::1|fd01::5|fd02::7|17'
check "a reply's header" 3 "$t.icookie $t.rcookie $t.exchange _ws.col.Info" \
    '0x0102030405060708|0x1112131415161718|241|TED reply, 2 proxies'
check "a reply's payloads, and the name in one" 3 "$t.payload $t.name" '13,5,131,130,130|east.example.net'
check "a reply's proxies, as the responder sees them" 3 "$t.protocol $t.own_port $t.peer_port $t.y $t.y_mask $t.z $t.z_mask" \
    '6,17|80,53|0,5000|10.2.0.0,10.2.0.1|255.255.0.0,255.255.0.255|10.0.0.0,10.0.0.0|255.0.0.0,255.0.0.0'
check "nothing is called malformed" 3 "$t.malformed _ws.malformed" '|'
check "IKE on the same port stays Wireshark's" 4 "_ws.col.Protocol isakmp.exchangetype $t.exchange" 'ISAKMP|34|'
check "a message that was cut says so" 5 "$t.exchange _ws.expert.message" \
    '241|the length does not match the datagram,a payload is longer than the message'
echo "1..$n"
exit $bad
