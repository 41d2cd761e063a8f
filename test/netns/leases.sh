#!/bin/sh
# Leases on a disk that is full, or read-only: they go on in memory, that is said, and the file has them when it can be written
# again, after which a killed gateway knows them. Who has an address is seen at the clients; what the file knows, after `kill -9`.
#
#   client --- (192.0.2.0/24) --- gateway --- 10.1.0.10
set -u
LAB=${LAB:-dtlease}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
DISK=

topology()
{
    lab_ns client gateway
    lab_wire client eth0 192.0.2.10/24 gateway eth0 192.0.2.1/24
    ip -n "$LAB-gateway" addr add 10.1.0.10/32 dev lo
}

gateway() # started; its leases are on the small disk, and it is nobody
{
    mkdir -p "$LAB_DIR/dt-gateway"
    cat >"$LAB_DIR/dt-gateway/conf" <<C
daemon { socket = "$LAB_DIR/dt-gateway/sock" leases = "$DISK/dovetail/leases.db" user = nobody metrics = "127.0.0.1:9470" }
gateway "head-office" { identity = "vpn.example.net" psk = leases-psk-0123456789abcdef protect = "10.1.0.0/16" pool = "10.9.0.0/24" }
C
    dt_start gateway
}

leases() # IDENTITY ADDRESS: it comes, carries, and has that one
{
    dt_stop client
    dt_conf client <<C
tunnel "t" { gateway = 192.0.2.1 local = "$1@example.net" remote = "vpn.example.net" psk = leases-psk-0123456789abcdef
    protect = "10.1.0.0/16" encap = esp }
C
    dt_start client && dt client up t --timeout 10 >/dev/null && lab_in client ping -nqc 1 -W 2 10.1.0.10 >/dev/null || return 1
    has=$(dt_field client t .inside[0])
    echo "$1 has $has"
    [ "$has" = "$2" ]
}

fill()
{
    dd if=/dev/zero of="$DISK/full" bs=4k 2>/dev/null
    dd if=/dev/zero of="$DISK/fuller" bs=64 2>/dev/null
    ! sh -c "echo more >$DISK/fullest" 2>/dev/null || ! [ -s "$DISK/fullest" ]
}

free_disk()
{
    rm -f "$DISK/full" "$DISK/fuller" "$DISK/fullest"
}

writable() # where the gateway sees it, which has mounts of its own
{
    nsenter -m -t "$(lab_pid dt-gateway)" mount -o remount,rw "$DISK" && mount -o remount,rw "$DISK"
}

says_so()
{
    dt_says gateway 'leases are in memory alone: cannot write' && metric 0
}

metric() # 0 or 1
{
    lab_in gateway curl -s http://127.0.0.1:9470/metrics | grep "^dovetail_leases_kept $1\$"
}

all_there()
{
    ! dt gateway status | grep 'memory alone' && metric 1
}

killed_and_again()
{
    dt_stop gateway KILL
    lab_wait 10 "! [ -S $LAB_DIR/dt-gateway/sock ]"
    gateway
}

lab_begin
umask 077
topology
DISK=$LAB_DIR/disk
mkdir "$DISK"
mount -t tmpfs -o size=512k tmpfs "$DISK"
trap 'dt_stop gateway; umount -l "$DISK"; lab_end' EXIT

# ---- it becomes full while the gateway runs
tap_ok "the gateway starts" gateway
tap_ok "somebody comes" leases anna 10.9.0.1
tap_ok "all is on the disk" all_there
tap_ok "the disk is full" fill
tap_ok "who comes then is leased an address all the same" leases bert 10.9.0.2
tap_ok "another one too" leases cleo 10.9.0.3
tap_ok "status and metrics say that they are in memory alone" lab_wait 5 says_so
tap_ok "the log says it, and what it means" dt_logged gateway 'after a restart perhaps another one'
tap_note "$(dt gateway status | grep -A1 memory | tr "\n" " ")"
free_disk
tap_ok "there is room again: the file follows by itself" lab_wait 15 all_there
tap_ok "and the log says so" dt_logged gateway 'all leases are on the disk again'
tap_ok "the gateway is killed, and starts" killed_and_again
tap_ok "a newcomer gets what nobody had" leases dora 10.9.0.4
tap_ok "who came while it was full has the same address" leases cleo 10.9.0.3

# ---- it is full when the gateway starts
dt_stop gateway
tap_ok "the disk is full" fill
tap_ok "the gateway starts on it" gateway
tap_ok "and knows who had what: a newcomer gets what nobody had" leases emil 10.9.0.5
tap_ok "an old one has the same" leases bert 10.9.0.2
free_disk
tap_ok "there is room again: the file follows" lab_wait 15 all_there
tap_ok "the gateway is killed, and starts" killed_and_again
tap_ok "the newcomer has the same address" leases emil 10.9.0.5

# ---- it is read-only when the gateway starts, after a crash
dt_stop gateway KILL
lab_wait 10 "! [ -S $LAB_DIR/dt-gateway/sock ]"
tap_ok "the disk is read-only" mount -o remount,ro "$DISK"
tap_ok "the gateway starts on it" gateway
tap_ok "and knows who had what: a newcomer gets what nobody had" leases fred 10.9.0.6
tap_ok "an old one has the same" leases cleo 10.9.0.3
tap_ok "status and metrics say that they are in memory alone" lab_wait 5 says_so
tap_ok "it can be written again" writable
tap_ok "the file follows" lab_wait 15 all_there
tap_ok "it is root's, and nobody else reads it" sh -c "[ \"\$(stat -c '%u %a' $DISK/dovetail/leases.db)\" = '0 600' ]"
tap_ok "the gateway is killed, and starts" killed_and_again
tap_ok "the newcomer has the same address" leases fred 10.9.0.6

# ---- there never was a file, and cannot be one
dt_stop client
dt_stop gateway
rm -rf "$DISK/dovetail"
mount -o remount,ro "$DISK"
tap_ok "the gateway starts without a folder that it could make" gateway
tap_ok "somebody comes" leases gina 10.9.0.1
tap_ok "that is said" lab_wait 5 says_so
writable
tap_ok "the folder and the file come by themselves" lab_wait 15 all_there
tap_ok "the gateway is killed, and starts" killed_and_again
tap_ok "a newcomer gets what nobody had" leases hugo 10.9.0.2

# ---- what cannot be read is no reason to lease it to others
dt_stop gateway
rm -f "$DISK"/dovetail/leases.db*
head -c 9000 /dev/urandom >"$DISK/dovetail/leases.db"
tap_ok "a file that is something else is refused, by name" lab_fails 1 "cannot use $DISK/dovetail/leases.db for leases" \
    ip netns exec "$LAB-gateway" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-gateway/conf"
tap_end
