# The laboratory of the source tree with the programs of the installed packages. Each test sources it first.
set -u
cd "$(dirname "$0")/../.." || exit 1
LAB_ROOT=$PWD
. lab/lab.sh
. lab/dovetail.sh

# Namespaces and TUN devices are not everybody's: a test bed may not have them.
unshare -n true 2>/dev/null && ip netns add "$LAB-probe" 2>/dev/null || { echo "no network namespaces here"; exit 77; }
said=$(ip netns exec "$LAB-probe" ip tuntap add dev probe mode tun 2>&1)
tun=$?
ip netns del "$LAB-probe"
[ "$tun" = 0 ] || { echo "no TUN devices here: $said"; exit 77; }

lab_begin
LAB_BIN=$LAB_DIR/bin
mkdir "$LAB_BIN"
for program in ${LAB_PROGRAMS:-/usr/sbin/dovetaild /usr/sbin/dovetail-natd /usr/bin/dovetail}; do
    [ ! -e "$program" ] || ln -s "$program" "$LAB_BIN/"
done
