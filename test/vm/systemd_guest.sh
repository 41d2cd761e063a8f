#!/bin/sh
# In the virtual machine of test/vm/systemd.sh: this machine is a branch's router. dovetaild and dovetail-natd are units of the
# installed packages, wan and lan are systemd-networkd's. In namespaces: the internet, where a capture keeps what comes out of wan in the
# clear; the gateway, and a server behind it; c1, who is behind our NAT and has a tunnel of its own.
#
#   test/vm/systemd_guest.sh [PART...]     beside those that all begin with: boot, network
set -u
made=${TAP_N:-0}
LAB=dtvm
# shellcheck source=/dev/null
. "$(dirname "$0")/../../lab/lab.sh"
TAP_N=$made
. "$LAB_ROOT/lab/dovetail.sh"
# shellcheck source=/dev/null
for file in machine units packages; do . "$LAB_ROOT/test/vm/guest/$file.sh"; done
lab_begin
LAB_BIN=$LAB_DIR/bin
# Whatever may be wrong, the console has the journal. What runs here ends with the machine.
trap 'journalctl -b --no-pager -o short-monotonic >/dev/ttyS1 2>&1' EXIT

parts=$*
for part in boot network ${parts:-exposure apparmor networkd kill stop watchdog upgrade half beside denied remove}; do
    "part_$part"
    tap_note "($part: until $(cut -d. -f1 /proc/uptime) s)"
done
tap_end
