#!/bin/sh
# The control socket while the world changes: sessions that end in every way while somebody waits, requests sent in one
# go, reloads that take away what is waited for. The daemons are the ones with AddressSanitizer; whatever happens, they
# go on, and at the end they work.
set -u
LAB=${LAB:-dtctl}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
LAB_BIN=$LAB_ROOT/build-test/bin
LAB_CONTROL=$LAB_ROOT/build-test/lab/lab-control
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

gateway_conf() # [SETTING...]
{
    office_gateway 'listen = { "192.0.2.1" }' 'protect = { "10.1.0.0/16" }' 'pool = { "10.9.0.0/16" }' "$OFFICE_QUICK" "$@" | dt_conf gateway
}

tunnel() # NAME IDENTITY GATEWAY
{
    office_tunnel "gateway = \"$3\"" "local = \"$2\"" 'protect = { "10.1.0.0/16" }' 'encap = esp' 'start = manual' "$OFFICE_QUICK" |
        sed "1s/office/$1/"
}

client_conf() # NS [GATEWAY [SECOND-TUNNEL]]
{
    { tunnel office "$1@example.net" "${2:-192.0.2.1}"; ${3:+"$3"}; } | dt_conf "$1"
}

esp_blocked()
{
    lab_in gateway nft -f - <<'N'
table inet lab_block {
    chain in { type filter hook input priority raw; ip protocol esp drop; }
}
N
}

esp_open()
{
    lab_in gateway nft delete table inet lab_block
}

sane() # NS: the daemon that was started is there, answers, and no sanitizer has spoken
{
    kill -0 "$(lab_pid "dt-$1")" && dt "$1" --json status >"$LAB_DIR/status.json" &&
        ! grep -E 'AddressSanitizer|runtime error' "$LAB_DIR/dt-$1.log"
}

state_is() # NS STATE
{
    [ "$(dt_field "$1" office .state)" = "$2" ]
}

# In the background, what `dovetail ...` ends with in $LAB_DIR/waiting.rc.
waiting() # ARGUMENT...
{
    rm -f "$LAB_DIR/waiting.rc"
    { "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-c1/sock" "$@" >"$LAB_DIR/waiting.log" 2>&1; echo $? >"$LAB_DIR/waiting.rc"; } &
}

waited() # STATUS WORDS: it has ended with that status and says so
{
    lab_wait 20 "[ -s $LAB_DIR/waiting.rc ]" && [ "$(cat "$LAB_DIR/waiting.rc")" = "$1" ] && grep -E "$2" "$LAB_DIR/waiting.log"
}

at_once() # NS SECONDS <requests
{
    "$LAB_CONTROL" "$LAB_DIR/dt-$1/sock" "$2" >"$LAB_DIR/answers"
}

answered() # ID PATTERN
{
    grep -E "\"id\": ?$1\b.*$2|$2.*\"id\": ?$1\b" "$LAB_DIR/answers"
}

up_again() # NS
{
    dt "$1" up office --timeout 20
}

lab_begin
lab_ns c1 c2 gateway
lab_bridge gateway lan 192.0.2.1/24
ip -n "$LAB-gateway" addr add 10.1.0.1/32 dev lo
lab_plug gateway lan p1 c1 eth0 192.0.2.11/24
lab_plug gateway lan p2 c2 eth0 192.0.2.12/24
office_key
gateway_conf
client_conf c1
client_conf c2
dt_start gateway
dt_start c1

# ---- a session ends while somebody waits
esp_blocked
waiting up office --timeout 8
tap_ok "ESP is blocked: the session is up, and up waits" lab_wait 10 "state_is c1 probing"
dt_stop gateway
tap_ok "the gateway ends: the client's daemon goes on" sane c1
tap_ok "and up says after its time why there is no tunnel" waited 1 'office is not up: .'
dt_start gateway
waiting up office --timeout 8
tap_ok "it waits again" lab_wait 10 "state_is c1 probing"
tap_ok "the gateway throws the client out" dt gateway down c1@example.net
tap_ok "while up waited: the client's daemon goes on" sane c1
tap_ok "up ends with a reason" waited 1 'office is not up: .'
esp_open
tap_ok "with ESP the tunnel is up" up_again c1
watched() # it goes on until it is ended, also while there is no daemon
{
    "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-c1/sock" status --watch --brief >"$LAB_DIR/watched" 2>"$LAB_DIR/watched.err" &
    pid=$!
    lab_wait 10 "[ \$(grep -c '^office  *up' $LAB_DIR/watched) -ge 2 ]" || return 1
    dt_stop c1
    lab_wait 10 "grep -q 'no daemon answers' $LAB_DIR/watched.err" || return 1
    seen=$(grep -c '^office' "$LAB_DIR/watched")
    dt_start c1
    lab_wait 20 "[ \$(grep -c '^office  *up' $LAB_DIR/watched) -gt $seen ]" || return 1
    kill "$pid"
}
tap_ok "status --watch tells it again and again, over a restart" watched
esp_blocked
waiting rekey office --timeout 8
sleep 0.5
dt_stop gateway
tap_ok "the gateway ends while rekey waits: the client's daemon goes on" lab_wait 5 "sane c1"
tap_ok "and rekey says why there is no new epoch" waited 1 'office has no new epoch: .'
esp_open
dt_start gateway
tap_ok "up again" up_again c1
waiting ping --count 6 office
sleep 1.2
tap_ok "thrown out while ping runs" dt gateway down c1@example.net
tap_ok "the client's daemon goes on" lab_wait 5 "sane c1"
tap_ok "ping goes on, or ends with what was answered" waited 0 '^[0-9]+ sent, [0-9]+ answered'

# ---- a gateway that is full
dt_stop gateway
gateway_conf 'clients_max = 1'
dt_start gateway
dt_start c2
tap_ok "a gateway for one: the first client is up" up_again c1
tap_ok "the second one is not" sh -c "! $LAB_BIN/dovetail --socket $LAB_DIR/dt-c2/sock up office --timeout 6"
tap_ok "its daemon goes on" sane c2
tap_ok "the first one is undisturbed" lab_in c1 ping -q -c 2 -i 0.2 -W 2 10.1.0.1
dt_stop c2
dt_stop gateway
gateway_conf
dt_start gateway

# ---- everything in one write
tap_ok "up again" up_again c1
at_once c1 20 <<'R'
{"v":1,"id":1,"command":"rekey","args":{"tunnels":["office"],"timeout_ms":10000}}
{"v":1,"id":2,"command":"down","args":{"tunnels":["office"]}}
R
tap_ok "rekey and down in one write: rekey is answered" answered 1 '"epoch"'
tap_ok "then down, with what goes out in the clear now" answered 2 '"clear": ?."10.1.0.0/16"'
tap_ok "the daemon goes on" sane c1
client_conf c1 192.0.2.77
tap_ok "a gateway that is not there: reload" dt c1 reload
{ printf '%s\n' '{"v":1,"id":1,"command":"up","args":{"tunnels":["office"],"timeout_ms":20000}}' \
    '{"v":1,"id":2,"command":"up","args":{"tunnels":["office"],"timeout_ms":20000}}' | at_once c1 15; } &
sleep 1
tunnel other c1@example.net 192.0.2.1 | dt_conf c1
tap_ok "two waits for a tunnel that a reload takes away" dt c1 reload
wait "$!" 2>/dev/null
tap_ok "the first is told so" answered 1 'taken out of the configuration'
tap_ok "the second finds no such tunnel" answered 2 'there is no tunnel'
sleep 0.5
tap_ok "the daemon goes on" sane c1
client_conf c1
tap_ok "the tunnel is there again: reload" dt c1 reload
tunnel other c1@example.net 192.0.2.1 | dt_conf c1
at_once c1 20 <<'R'
{"v":1,"id":1,"command":"up","args":{"tunnels":["office"],"timeout_ms":10000}}
{"v":1,"id":2,"command":"reload"}
R
tap_ok "up and a reload that takes the tunnel away in one write: up is answered" answered 1 '"epoch"'
tap_ok "then the reload" answered 2 '"removed": ?\["office"\]'
tap_ok "the daemon goes on" sane c1
client_conf c1
tap_ok "the tunnel comes back with its section" dt c1 reload
i=0
while [ $i -lt 3000 ]; do
    i=$((i + 1))
    printf '{"v":1,"id":%d,"command":"status","args":{"tunnels":["office"]}}\n' $i
done | at_once c1 60
tap_ok "3,000 requests in one write: each is answered, in order" sh -c "grep -o '\"id\": *[0-9]*' $LAB_DIR/answers | tr -dc '0-9\n' | awk '\$1 != NR { bad = 1 } END { exit bad || NR != 3000 }'"
tap_ok "and the tunnel comes up" up_again c1
tap_ok "and carries" lab_in c1 ping -q -c 2 -i 0.2 -W 2 10.1.0.1

# ---- names that hang: nobody waits for them, neither another name nor the end
lab_in gateway nft -f - <<'N'
table inet lab_dns {
    chain in { type filter hook input priority raw; udp dport 53 drop; }
}
N
mkdir -p "/etc/netns/$LAB-c2"
printf 'nameserver 192.0.2.1\noptions timeout:30 attempts:3\n' >"/etc/netns/$LAB-c2/resolv.conf"
printf '127.0.0.1 localhost\n192.0.2.1 vpn.example.net\n' >"/etc/netns/$LAB-c2/hosts"
{
    for i in 1 2 3 4 5 6 7 8; do tunnel "hangs$i" c2@example.net "hangs$i.example.net"; done
    tunnel office c2@example.net vpn.example.net
} | dt_conf c2
dt_start c2
rm -r "/etc/netns/$LAB-c2"
tap_ok "eight names hang, and the tunnel whose name is known comes up" dt c2 up office --timeout 20
tap_ok "another one is wanted: up says after its time what it waits for" sh -c "! $LAB_BIN/dovetail --socket $LAB_DIR/dt-c2/sock up hangs1 --timeout 2 >$LAB_DIR/hangs1 2>&1 && grep -i resolved $LAB_DIR/hangs1"
kill "$(lab_pid dt-c2)"
tap_ok "asked to end, the daemon does not wait for the names" lab_wait 10 "! kill -0 $(lab_pid dt-c2)"
tap_ok "the daemon of the gateway went on too" sane gateway
dt_stop c1
dt_stop gateway
tap_ok "both end without a word from a sanitizer" sh -c "! grep -E 'AddressSanitizer|runtime error' $LAB_DIR/dt-c1.log $LAB_DIR/dt-gateway.log"
tap_end
