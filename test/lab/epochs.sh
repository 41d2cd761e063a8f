#!/bin/sh
# epochs.sh CAPTURE-PROGRAM LAB-EPOCHS: what the judge of captures says about dialogues that keep the promise, and about each way
# to break it.
set -u
capture=$1 judge=$2
dir=$(mktemp -d /tmp/lab-epochs.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0 bad=0 suite=gcm encap=esp ver=4

# check TEXT STATUS WORDS OPTIONS STEP...: the judge's exit status, and what it says ('': nothing but the summary)
check()
{
    n=$((n + 1))
    text=$1 want=$2 words=$3 options=$4
    shift 4
    "$capture" "$dir/c.pcap" "$dir/keys" $suite $encap $ver "$@" || { echo "Bail out! no capture"; exit 1; }
    # shellcheck disable=SC2086
    "$judge" $options "$dir/c.pcap" "$dir/keys" >"$dir/said" 2>&1
    got=$?
    if [ -n "$words" ]; then grep -q -- "$words" "$dir/said"; else ! grep -v '^{' "$dir/said" >/dev/null; fi
    if [ $? = 0 ] && [ "$got" = "$want" ]; then echo "ok $n - $text"; else
        bad=1
        echo "not ok $n - $text"
        echo "#   status $got, expected $want with '$words'"
        sed 's/^/#   /' "$dir/said"
    fi
}

first='>probe@1 <reply@1 >data@1 <data@1'
for suite in gcm chacha cbc; do for encap in esp udp; do for ver in 4 6; do
    # shellcheck disable=SC2086
    check "$suite, $encap, IPv$ver: two epochs as promised" 0 '"carried": 2,' '-c -n 2' $first '>probe@2' '>data@1' '<reply@2' '>data@2' '<data@2'
done; done; done
suite=gcm encap=esp ver=4
# --- client
check "client: probes unanswered, no data" 0 '' '-c -n 1' '>probe@1' '<reply@1' '>data@1' '>probe@2' '>probe@2' '>data@1'
check "client: data before anything came back" 1 '0.400000  SPI 0x00002000  number 2  data before anything came back: 10.9.0.1 -> 10.1.0.10, protocol 17 port 4411 to 4411' \
    '-c' '>probe@1' '<reply@1' '>data@1' '>probe@2' '>data@2' '<reply@2'
check "client: data on an epoch without a probe" 1 'SPI 0x00002000  number 1  data before' '-c' '>data@2'
check "client: something came on another epoch, which proves nothing" 1 'SPI 0x00002000' '-c' '>probe@1' '<reply@1' '>probe@2' '<data@1' '>data@2'
check "client: the peer spoke first, and data is the epoch's first packet" 1 'begins with data' '-c' '<data@1' '>data@1'
check "client, -r: what the peer says by itself is no proof" 1 'data before a probe was answered' '-c -r' '>probe@1' '<data@1' '>data@1'
check "client, -r: an answer is" 0 '' '-c -r' '>probe@1' '<data@1' '<reply@1' '>data@1'
check "client: a dummy is no data" 0 '' '-c' '>dummy@1' '<dummyreply@1' '>data@1'
check "client, -r: an answer in a dummy is a proof" 0 '' '-c -r' '>dummy@1' '<dummyreply@1' '>data@1'
check "client, -r: another dummy is none" 1 'data before a probe was answered' '-c -r' '>dummy@1' '<dummy@1' '>data@1'
# --- gateway
check "gateway: as promised" 0 '"carried": 2,' '-g -n 2' '<probe@1' '>reply@1' '>data@1' '<probe@2' '>data@1' '>reply@2' '>data@2'
check "gateway: data before the client was heard" 1 '0.300000  SPI 0x00002000  number 1  the gateway speaks before the client was heard' '-g' '<probe@1' '>reply@1' '>data@1' '>data@2' '<probe@2'
check "gateway: a control packet before the client was heard" 1 'speaks before' '-g' '>probe@1' '<reply@1' '>data@1'
# --- both
check "a number goes out twice" 1 'SPI 0x00001000  number 2  the number was used before' '-c' '>probe@1' '<reply@1' '>data@1' '>again@1'
check "a packet that is not authentic" 1 'SPI 0x00001001  number 2  it is not authentic' '-c' '>probe@1' '<reply@1' '<broken@1' '>data@1'
check "an SPI that nobody knows" 1 'does not know this SPI' '-c' '>probe@1' '<reply@1' '>data@1' '>stranger@1'
check "fewer epochs carried data than wanted: nothing was shown" 2 '"carried": 1,' '-c -n 2' '>probe@1' '<reply@1' '>data@1'
check "no packet at all: nothing was shown" 2 '"packets": 0,' '-c' ''
# --- what was for somebody else, and what became of the epochs
check "-s: an SPI that nobody knows came in: a stranger" 0 '"strangers": 1,' '-c -s' '>probe@1' '<reply@1' '>data@1' '<stranger@1'
check "-s: what is not authentic came in: a stranger" 0 '"strangers": 1,' '-c -s' '>probe@1' '<reply@1' '>data@1' '<broken@1'
check "-s: an SPI that nobody knows goes out: a breach all the same" 1 'does not know this SPI' '-c -s' '>probe@1' '<reply@1' '>data@1' '>stranger@1'
check "-s: a stranger proves nothing" 1 'data before anything came back' '-c -s' '>probe@1' '<broken@1' '>data@1'
check "-t: what became of three epochs" 0 '"events": \["verified", "switched", "unanswered", "verified", "switched"\]' '-c -t 2' \
    '>dummy@1' '<dummyreply@1' '>data@1' '>dummy@2' '>data@1' '>dummy@2' '>probe@3' '<reply@3' '>data@3'
check "-t: probes of which some are answered are not unanswered" 0 '"events": \["verified", "switched"\]' '-c -t 2' \
    '>probe@1' '<reply@1' '>probe@1' '<reply@1' '>probe@1' '>data@1'
check "-t: what comes of itself verifies nothing, data by itself switches" 0 '"events": \["switched"\]' '-c -t 2' '>probe@1' '<data@1' '>data@1'
check "-a: what was before is not told" 0 '"events": \["switched"\]' '-c -t 2 -a 1700000000.15' '>probe@1' '<reply@1' '>data@1'
check "-a: nor anything, when it is over" 0 '"events": \[\]' '-c -t 2 -a 1700000009' '>probe@1' '<reply@1' '>data@1'
# --- what cannot be judged
head -n 1 "$dir/keys" >"$dir/half"
n=$((n + 1))
if "$judge" -c "$dir/c.pcap" "$dir/half" 2>"$dir/said" || ! grep -q 'not a pair of lines' "$dir/said"; then
    echo "not ok $n - half a key log"
    bad=1
else
    echo "ok $n - half a key log is refused"
fi
echo "1..$n"
exit $bad
