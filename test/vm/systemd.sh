#!/bin/sh
# The packages under a real systemd: a Debian of the release at hand with our packages, of a version before this one, boots under
# a stock Debian kernel and does what test/vm/systemd_guest.sh says. Minutes, since a processor is emulated.
#
#   test/vm/systemd.sh [PART...]     the parts of systemd_guest.sh that are to be done; default: all
set -u
LAB=${LAB:-dtvm}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/debian.sh"
lab_begin
cd "$LAB_ROOT" || exit 1
RELEASE=$(debian_here)
export DEBIAN_SHARE="$LAB_ROOT/build/packages-before"
ROOT=$LAB_DIR/root
# What a machine has, and what the test looks with.
WANTED="systemd-sysv dbus udev kmod procps iproute2 iputils-ping nftables apparmor tcpdump jq conntrack polkitd systemd-resolved
 dnsmasq-base charon-systemd strongswan-swanctl libstrongswan-standard-plugins"

# Packages of the tree as it is. What was made of the same files before serves.
made()
{
    m_files=$(git ls-files -z ':!test' ':!lab' ':!bench' ':!dev' ':!debian/tests' | xargs -0 sha256sum 2>/dev/null | sha256sum)
    [ "$(cat build/packages/made-of 2>/dev/null)" = "$m_files" ] && return 0
    rm -f build/packages/made-of
    ./dev package build/packages && echo "$m_files" >build/packages/made-of
}

# The same with a lower version, and with another configuration as it comes.
made_before()
{
    rm -rf build/packages-before && mkdir -p build/packages-before
    for deb in build/packages/dovetail_*.deb build/packages/dovetail-nat_*.deb; do
        rm -rf "$LAB_DIR/deb" && dpkg-deb -R "$deb" "$LAB_DIR/deb" && sed -i 's/^Version: .*/Version: 0.0.9/' "$LAB_DIR/deb/DEBIAN/control" || return 1
        for conf in "$LAB_DIR"/deb/etc/dovetail/*.conf; do echo '# as it comes in 0.0.9' >>"$conf"; done
        dpkg-deb --root-owner-group -Znone -b "$LAB_DIR/deb" build/packages-before || return 1
    done
}

# The folder, with all that is no package of ours, what ours depend on too; kept.
folder()
{
    f_depends=$(for deb in build/packages-before/*.deb; do dpkg-deb -f "$deb" Depends; done)
    f_kept=$DEBIAN_CACHE/vm-$RELEASE-$(echo "$WANTED $f_depends" | cksum | cut -d' ' -f1).tar
    if [ ! -e "$f_kept" ]; then
        rm -f "$DEBIAN_CACHE/vm-$RELEASE"-*
        debian_folder "$RELEASE" "$ROOT" || return 1
        printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
        chmod 755 "$ROOT/usr/sbin/policy-rc.d"
        printf 'path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n' >"$ROOT/etc/dpkg/dpkg.cfg.d/lab"
        # shellcheck disable=SC2086,SC2016
        debian_in "$ROOT" apt-get -qq update &&
            debian_in "$ROOT" sh -c 'cp /share/*.deb /root && apt-get -qq -y --no-install-recommends install "$@" /root/*.deb && dpkg -P dovetail dovetail-nat && rm /root/*.deb' sh $WANTED || return 1
        rm -rf "$ROOT/usr/sbin/policy-rc.d" "$ROOT"/var/lib/apt/lists/* "$ROOT"/var/cache/apt/*.bin "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/usr/share/doc/* "$ROOT"/usr/share/locale/*
        tar -C "$ROOT" --one-file-system -cf "$f_kept.new" . && mv "$f_kept.new" "$f_kept"
        return
    fi
    mkdir -p "$ROOT" && tar -C "$ROOT" -xf "$f_kept"
}

# A router of a branch: wan and lan are networkd's, a tunnel of its own, and the NAT for those behind it.
configured()
{
    debian_in "$ROOT" sh -c 'dpkg -i /share/dovetail_*.deb /share/dovetail-nat_*.deb' || return 1
    cat >"$ROOT/etc/systemd/network/10-wan.network" <<'N'
[Match]
Name=wan
[Network]
Address=198.51.100.2/24
Gateway=198.51.100.1
IPForward=yes
N
    cat >"$ROOT/etc/systemd/network/20-lan.netdev" <<'N'
[NetDev]
Name=lan
Kind=bridge
MACAddress=02:00:00:00:07:01
N
    cat >"$ROOT/etc/systemd/network/20-lan.network" <<'N'
[Match]
Name=lan
[Network]
Address=192.168.7.1/24
IPForward=yes
ConfigureWithoutCarrier=yes
N
    (umask 077 && echo 'a secret of the virtual machine' >"$ROOT/etc/dovetail/secrets/office")
    cat >"$ROOT/etc/dovetail/conf.d/office.conf" <<'C'
tunnel "office" {
    gateway = "203.0.113.1"
    local   = "anna@example.net"
    remote  = "vpn.example.net"
    psk     = "file:/etc/dovetail/secrets/office"
    protect = "10.1.0.0/16"
}
tunnel "always closed" {
    gateway = "203.0.113.9"
    local   = "anna@example.net"
    remote  = "other.example.net"
    psk     = "file:/etc/dovetail/secrets/office"
    protect = "10.66.0.0/16"
    start   = manual
    closed  = always
}
C
    sed -i 's/^# inside .*/inside = lan/; s/^# outside .*/outside = wan/' "$ROOT/etc/dovetail/dovetail-natd.conf"
    echo 'kernel.printk = 1 4 1 7' >"$ROOT/etc/sysctl.d/90-lab.conf"
    # shellcheck disable=SC2016
    debian_in "$ROOT" sh -c '
        systemctl enable dovetaild dovetail-natd dovetail-closed systemd-networkd
        systemctl disable strongswan dnsmasq nftables apt-daily.timer apt-daily-upgrade.timer
        systemctl mask systemd-networkd-wait-online e2scrub_reap
        systemctl set-default multi-user.target
        ln -sf /usr/share/zoneinfo/Etc/UTC /etc/localtime; : >/etc/machine-id; echo vm >/etc/hostname
        echo "127.0.0.1 localhost vm" >/etc/hosts' 2>/dev/null
    mkdir -p "$ROOT/etc/apparmor.d/disable"
    ln -s /etc/apparmor.d/usr.bin.tcpdump "$ROOT/etc/apparmor.d/disable/" # our captures have names of their own
}

image()
{
    i_mb=$(($(du -sm --apparent-size "$ROOT" | cut -f1) * 13 / 10 + 400))
    mke2fs -q -t ext4 -m 0 -E root_owner=0:0 -d "$ROOT" "$LAB_DIR/image" "${i_mb}M"
}

tap_ok "packages of this version" made || exit 1
tap_ok "and of one before it" made_before || exit 1
tap_ok "a Debian ($RELEASE)" folder || exit 1
tap_ok "with the packages of before installed, and enabled" configured || exit 1
tap_ok "an image of it" image || exit 1
rm -rf "$ROOT"
VM_SECONDS=${VM_SECONDS:-2400} lab/vm.sh --disk "$LAB_DIR/image" env TAP_N="$TAP_N" test/vm/systemd_guest.sh "$@"
