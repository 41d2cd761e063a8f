#!/bin/sh
# Under a service manager: what it is told and when, the watchdog, and a restart in which nothing that is protected leaves in
# the clear. A small manager (lab/manager.c) hears what is told; a capture on the uplink is the judge of the rest.
set -u
LAB=${LAB:-dtmanager}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
MANAGER=$LAB_BIN/../lab/lab-manager
SECRET='psk = "manager-psk-0123456789abcdef"'

lab_begin
lab_nat_topology 1
dt_conf gateway <<C
gateway "g" {
    listen = { "203.0.113.1" } identity = "gateway.test" $SECRET
    protect = { "10.1.0.0/16" } pool = { "10.9.0.0/24" }
}
C
conf() # LINES
{
    dt_conf c1 <<C
tunnel "t" { gateway = "203.0.113.1" local = "c1.test" remote = "gateway.test" $SECRET protect = { "10.1.0.0/16" } }
include("$LAB_DIR/many")
$*
C
}
# So much is closed that it takes a while.
for n in $(seq 200); do
    echo "tunnel \"m$n\" { gateway = \"203.0.113.7\" local = \"c1.test\" remote = \"x\" $SECRET start = manual closed = always protect = { \"172.20.$n.0/32\""
    for m in $(seq 15); do echo ", \"172.20.$n.$((m * 8))/32\""; done
    echo '} }'
done >"$LAB_DIR/many"
managed() # JOB NS MANAGER-OPTION... PROGRAM...
{
    m_job=$1 m_ns=$2
    shift 2
    rm -f "$LAB_DIR/$m_job.log"
    lab_run "$m_ns" "$m_job" "$MANAGER" "$@"
}
told() # JOB LINE: the whole of a line, as a pattern
{
    grep -qx -e "$2" "$LAB_DIR/$1.log"
}
told_times() # JOB LINE
{
    grep -cx -e "$2" "$LAB_DIR/$1.log"
}
before() # JOB LINE LINE: the first of each
{
    awk -v a="$2" -v b="$3" '$0 ~ "^" a "$" && !x { x = NR } $0 ~ "^" b "$" && !y { y = NR } END { exit !(x && y && x < y) }' "$LAB_DIR/$1.log"
}
keeper_of() # NS
{
    for k in $(ip netns pids "$LAB-$1"); do
        [ "$(cat "/proc/$k/comm" 2>/dev/null)" = dovetail-keeper ] && echo "$k" && return 0
    done
    return 1
}
daemon_of() # NS
{
    for k in $(ip netns pids "$LAB-$1"); do
        [ "$(cat "/proc/$k/comm" 2>/dev/null)" = dovetaild ] && echo "$k" && return 0
    done
    return 1
}
refused()
{
    ! "$@" >/dev/null 2>&1
}

# --- the NAT
managed natd router -w 60000 -r "'$LAB_BIN/dovetail' --socket '$LAB_DIR/natd.sock' nat list" \
    "$LAB_BIN/dovetail-natd" --inside lan --outside wan --socket "$LAB_DIR/natd.sock"
tap_ok "natd says that it is ready" lab_wait 30 "told natd READY=1"
tap_ok "who hears that reaches it" lab_wait 5 "told natd 'ready-command 0'"
tap_ok "and says what it does" told natd 'STATUS=inside lan, outside wan: .*'

# --- ready, and with what
dt_start gateway
conf
managed dt c1 -w 60000 -r "ip -n $LAB-c1 route show table 17494 | grep -q 'unreachable 172.20.200.120'" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf"
tap_ok "the daemon says that it is ready" lab_wait 60 "told dt READY=1" || { cat "$LAB_DIR/dt.log"; exit 1; }
tap_ok "what is protected is closed by then" lab_wait 5 "told dt 'ready-command 0'"
tap_ok "its tunnel comes up" dt_wait_up c1 t 20
tap_ok "and the manager is told so" lab_wait 10 "told dt 'STATUS=1 of 1 tunnels up'"

# --- reloads
conf 'tunnel "other" { gateway = "203.0.113.7" local = "c1.test" remote = "x" psk = "manager-psk-0123456789abcdef" protect = "10.3.0.0/16" start = manual }'
tap_ok "a reload" dt c1 reload
tap_ok "is told, and its end" lab_wait 5 "[ \$(told_times dt RELOADING=1) = 1 ] && [ \$(told_times dt READY=1) = 2 ]"
tap_ok "with the time of its beginning" told dt 'MONOTONIC_USEC=[0-9]*'
conf 'tunnel "half written'
tap_ok "a file with an error is refused" refused dt c1 reload
tap_ok "and so is that told, and its end" lab_wait 5 "[ \$(told_times dt RELOADING=1) = 2 ] && [ \$(told_times dt READY=1) = 3 ]"
conf
kill -HUP "$(lab_pid dt)"
tap_ok "the same at SIGHUP" lab_wait 5 "[ \$(told_times dt RELOADING=1) = 3 ] && [ \$(told_times dt READY=1) = 4 ]"

# --- a restart in which what is closed stays closed
lab_run c1 uplink tcpdump -U -n -i eth0 -w "$LAB_DIR/uplink.pcap" --immediate-mode 'net 10.0.0.0/8'
lab_wait 5 "grep -q 'listening on' $LAB_DIR/uplink.log"
plain()
{
    tcpdump -n -r "$LAB_DIR/uplink.pcap" 2>/dev/null
}
nothing_plain()
{
    plain
    [ -z "$(plain)" ]
}
lab_run c1 ping ping -q -i 0.02 10.1.0.10
kill -USR1 "$(lab_pid dt)"
tap_ok "asked to make way, it ends as it should" lab_wait 10 "told dt 'ended 0'"
tap_ok "and has said that it would" before dt STOPPING=1 'ended 0'
lab_wait 10 "! keeper_of c1"
tap_ok "its keeper has ended, and the control socket is gone" refused keeper_of c1
managed dt c1 -w 60000 "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf"
lab_wait 10 "[ -S $LAB_DIR/dt-c1/sock ]"
tap_ok "the next one has its tunnel up" dt_wait_up c1 t 20
tap_ok "and not one packet has left in the clear" nothing_plain
kill -TERM "$(lab_pid dt)"
tap_ok "asked to end, it opens" lab_wait 10 "[ -n \"\$(plain)\" ]"
lab_stop ping

# --- the watchdog
managed dt c1 -w 3000 "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf"
tap_ok "a watchdog of three seconds is fed" lab_wait 10 "[ \$(told_times dt WATCHDOG=1) -ge 6 ]"
k=$(keeper_of c1)
kill -STOP "$(daemon_of c1)"
tap_ok "a daemon that hangs is ended" lab_wait 10 "told dt watchdog"
kill -CONT "$(daemon_of c1)"
tap_ok "by the signal that the manager sends" lab_wait 10 "told dt 'ended 134'"
tap_ok "its keeper clears up, and ends" lab_wait 10 "[ ! -e /proc/$k ] && [ ! -e $LAB_DIR/dt-c1/sock ]"
managed dt c1 -w 3000 "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-c1/conf"
tap_ok "the next one is ready" lab_wait 10 "told dt READY=1"
k=$(keeper_of c1)
for s in TERM HUP USR1 QUIT ABRT; do kill -"$s" "$k"; done
sleep 0.3
tap_ok "what is sent to all processes of a service does not end the keeper" [ -e "/proc/$k" ]
kill -9 "$k"
tap_ok "without its keeper a daemon is ended too, because this host is not kept" lab_wait 15 "told dt 'ended 134'"
tap_ok "and it has told why" told dt 'STATUS=.*dovetail-keeper.*'

# --- and of the NAT
kill -USR1 "$(lab_pid natd)"
tap_ok "natd makes way" lab_wait 10 "told natd 'ended 0'"
tap_ok "and has said that the NAT works on" told natd 'STATUS=makes way for the next dovetail-natd; the NAT works on'
tap_end
