#!/bin/sh
# Whatever somebody does to the router under dovetail-natd: it is mended, or `nat status` says what is in the way; not one packet
# leaves in the clear or with an inside source. Two clients have tunnels with raw ESP to one gateway; numbered packets and a
# TCP stream, which has to arrive whole, pass through one of them. The catalogue: lab/sabotage_router.sh.
set -u
LAB=${LAB:-dthr}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/sabotage_router.sh"
ROUTER_USER=nobody # the laboratory's folder, and what is in it, is root's alone (0700)
HEAL=15 # seconds, and what a client takes to find its way after an address has changed

lab_begin
trap 'router_lab_end; lab_end' EXIT
tap_ok "two tunnels with raw ESP are up through natd" router_lab

# ---- what natd may: every thread of it, as the kernel says
NOBODY=$(id -u nobody)
status_is() # FILE FIELD VALUE
{
    grep -q "^$2:[[:space:]]*$3[[:space:]]*$" "$1" || { echo "$1: $(grep "^$2:" "$1"), and not $3"; false; }
}
few_rights() # CAP_NET_ADMIN (12) and CAP_BPF (39) in the first thread, nothing in others
{
    for s in /proc/"$(lab_pid natd-router)"/task/*/status; do
        caps=0000000000000000
        [ "$s" != "/proc/$(lab_pid natd-router)/task/$(lab_pid natd-router)/status" ] || caps=0000008000001000
        status_is "$s" CapEff $caps && status_is "$s" CapPrm $caps && status_is "$s" CapInh '0*' && status_is "$s" CapAmb '0*' &&
            status_is "$s" CapBnd '0*' && status_is "$s" NoNewPrivs 1 && status_is "$s" Groups '' &&
            status_is "$s" Uid "$NOBODY[[:space:]]*$NOBODY[[:space:]]*$NOBODY[[:space:]]*$NOBODY" || return 1
    done
}
keeper_of_natd()
{
    for k in $(ip netns pids "$LAB-router"); do
        [ "$(cat "/proc/$k/comm" 2>/dev/null)" = natd-keeper ] && echo "$k" && return 0
    done
    return 1
}
keeper_rights() # CAP_DAC_READ_SEARCH (2)
{
    s=/proc/$(keeper_of_natd)/status
    status_is "$s" CapEff 0000000000000004 && status_is "$s" CapPrm 0000000000000004 && status_is "$s" CapBnd '0*' && status_is "$s" NoNewPrivs 1
}
tap_ok "natd is a user of its own, with CAP_NET_ADMIN and CAP_BPF alone, and cannot gain more" few_rights
tap_ok "its keeper can read files, and nothing else" keeper_rights
asks() # AS-USER: setpriv needs no login shell
{
    "$@" "$LAB_BIN/dovetail" --socket "$LAB_DIR/natd-router.sock" nat status
}
tap_ok "root may ask natd for its status" asks env
chmod 711 "$LAB_DIR"
tap_ok "another user may not" sh -c "! setpriv --reuid 1 --regid 1 --clear-groups $LAB_BIN/dovetail --socket $LAB_DIR/natd-router.sock nat status"
chmod 700 "$LAB_DIR"
reloads()
{
    sed -i 's/t_ei = .*/t_ei = 7/' "$LAB_DIR/natd.conf" && kill -HUP "$(lab_pid natd-router)"
    lab_wait 5 "grep -q 'natd.conf was read again' $LAB_DIR/natd-router.log" && [ "$(stat -c '%u %a' "$LAB_DIR/natd.conf")" = '0 600' ]
}
tap_ok "settings in a file that is root's alone are read again" reloads
refuses()
{
    echo 't_ie = 7' >>"$LAB_DIR/natd.conf" && kill -HUP "$(lab_pid natd-router)"
    lab_wait 5 "grep -q 'natd.conf:[0-9]*: there is no setting \"t_ie\"; did you mean \"t_ei\"' $LAB_DIR/natd-router.log" || { tail -n 3 "$LAB_DIR/natd-router.log"; return 1; }
    sed -i '/t_ie/d' "$LAB_DIR/natd.conf"
}
tap_ok "and what is wrong in it is said with its line" refuses
router_flows

visit() # WHERE NAME TEXT DO [UNDO [WHY]]
{
    if ! lab_in "$1" sh -c "$4" >"$LAB_DIR/do.out" 2>&1; then
        tap_ok "$3: can be done" false
        sed 's/^/#   /' "$LAB_DIR/do.out"
        return
    fi
    if [ -n "${5:-}" ]; then
        tap_ok "$3: status says why" lab_wait "$HEAL" "router_says '$6'"
        tap_ok "$3: undone" lab_in "$1" sh -c "$5"
    fi
    tap_ok "$3: mended" lab_wait "$HEAL" router_healed || router_differs
}
router_sabotages visit

# ---- natd dies, and comes again
lab_stop natd-router KILL
tap_ok "natd killed: packets pass" router_passes
lab_in router timeout 60 "$LAB_BIN/dovetail-natd" --inside lan --outside wan --socket "$LAB_DIR/other.sock" \
    --pin "$LAB_DIR/bpf/tables" --set t_out=1 --set metrics=192.0.2.9:9479 >"$LAB_DIR/fails.log" 2>&1
tap_ok "one that cannot start says why" grep -q '192.0.2.9' "$LAB_DIR/fails.log"
tap_ok "and takes nothing from the one before: packets pass" router_passes
router_natd
tap_ok "started again, natd has its tables" grep -q 'tables of the last natd are taken over' "$LAB_DIR/natd-router.log"
tap_ok "and all is as it should be" lab_wait "$HEAL" router_healed || router_differs

tap_ok "the log says what was changed" grep -q 'somebody changed this router: the filter on ingress of lan was missing' "$LAB_DIR/natd-router.log"
tap_ok "not one packet left in the clear, or with an inside source" [ "$(router_leaked)" = 0 ] ||
    tcpdump -tt -n -r "$LAB_DIR/outside.pcap" 2>/dev/null | head -n 5 | sed 's/^/#   /'
tap_ok "the capture sees what does" sh -c "ip netns exec $LAB-router nft flush ruleset; ip -n $LAB-router addr add 192.168.99.1/32 dev lo; ip netns exec $LAB-router ping -q -c 1 -W 1 -I 192.168.99.1 203.0.113.1; sleep 0.3; [ \$(tcpdump -n -r $LAB_DIR/outside.pcap 2>/dev/null | wc -l) -gt 0 ]"
tap_ok "every byte of the TCP stream has arrived, in order" router_stream_ends
lab_flows_end out1 out2 back1
tap_ok "natd is a user of its own still" few_rights
natd_stop router
tap_ok "after an orderly end its socket is gone, and its keeper" sh -c "[ ! -e $LAB_DIR/natd-router.sock ] && ! grep -l '^natd-keeper$' /proc/[0-9]*/comm 2>/dev/null | while read -r c; do [ \$(readlink \${c%comm}ns/net) = \$(ip netns exec $LAB-router readlink /proc/self/ns/net) ] && echo; done | grep -q ."
tap_ok "after an orderly end the filters are off, and accept_local is as it was" sh -c "! ip netns exec $LAB-router tc filter show dev wan ingress | grep -q . && ! ip netns exec $LAB-router tc filter show dev lan ingress | grep -q . && [ \$(ip netns exec $LAB-router sysctl -n net.ipv4.conf.lo.accept_local) = 0 ]"
tap_end
