# Captures that are opened with the key logs of the daemons and judged packet by packet (lab-epochs). Source after lab.sh and
# dovetail.sh.
#
#   dt_conf NS "keylog = \"$(capture_keys NS)\""    the daemon keeps its key log there
#   capture_start NS IF; capture_stop NS            what goes by at IF, since capture_start
#   esp_sent NS IF ADDRESS                          "SOURCE SPI esp|udp" of the ESP with which a ping of ADDRESS leaves
#   esp_spi NS; esp_same_spi NS SPI; esp_other_spi NS SPI    of the ESP that NS sends to 10.1.0.10 from eth0
#   epochs_kept NS -c|-g [OPTION...]                0: as promised; what is not is printed, with time, SPI and packet

capture_keys()
{
    echo "$LAB_DIR/keys-$1"
}

# At once and not once a second: what went by just before the end is there. (A frame of the ring has room for 2048 bytes.)
# An interface that hands over whole super-packets would show one ESP packet in the place of many.
capture_start()
{
    lab_in "$1" ethtool -K "$2" tx off gso off tso off >/dev/null || return 1
    rm -f "$LAB_DIR/capture-$1.pcap" "$LAB_DIR/capture-$1.log" "$(capture_keys "$1").esp"
    lab_run "$1" "capture-$1" tcpdump -i "$2" --immediate-mode -B 32768 -s 2048 -w "$LAB_DIR/capture-$1.pcap" 'esp or udp'
    lab_wait 10 "grep -q 'listening on' '$LAB_DIR/capture-$1.log'"
}

# False when the capture is not whole.
capture_stop()
{
    lab_stop "capture-$1" INT
    grep -q '^0 packets dropped by kernel' "$LAB_DIR/capture-$1.log" || { cat "$LAB_DIR/capture-$1.log"; return 1; }
}

# Nothing, and status 1, when no ESP leaves. (A control packet may be taken for the ping: it is on the same SA, as long as no new
# one is being proved.)
esp_sent()
{
    rm -f "$LAB_DIR/esp-sent.log"
    lab_run "$1" esp-sent tcpdump -lnn -c 1 --immediate-mode -Q out -i "$2" 'esp or (udp dst port 4500 and udp[8:4] != 0 and udp[4:2] > 9)'
    lab_wait 5 "grep -q 'listening on' '$LAB_DIR/esp-sent.log'"
    lab_in "$1" ping -n -q -c 1 -W 1 "$3" >/dev/null 2>&1
    lab_stop esp-sent INT
    sed -n 's/.* IP6* \([^ ]*\)\.4500 > .*ESP(spi=\(0x[0-9a-f]*\),.*/\1 \2 udp/p; s/.* IP6* \([^ ]*\) > [^ ]*: ESP(spi=\(0x[0-9a-f]*\),.*/\1 \2 esp/p' \
        "$LAB_DIR/esp-sent.log" | grep .
}

esp_spi() # NS
{
    esp_sent "$1" eth0 10.1.0.10 | cut -d' ' -f2
}

esp_same_spi() # NS SPI
{
    esp_now=$(esp_spi "$1")
    echo "before: $2, now: $esp_now"
    [ -n "$2" ] && [ "$esp_now" = "$2" ]
}

esp_other_spi() # NS SPI
{
    esp_now=$(esp_spi "$1")
    echo "before: $2, now: $esp_now"
    [ -n "$2" ] && [ -n "$esp_now" ] && [ "$esp_now" != "$2" ]
}

epochs_kept()
{
    kept_ns=$1
    shift
    "$LAB_BIN/../lab/lab-epochs" "$@" "$LAB_DIR/capture-$kept_ns.pcap" "$(capture_keys "$kept_ns").esp"
}
