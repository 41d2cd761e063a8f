#!/bin/sh
# The packages on a fresh Debian: installed by apt, looked at, run (two hosts and a NAT, in namespaces), upgraded, removed, purged.
#
#   test/install/packages.sh [RELEASE]      the release at hand: with the packages of build/packages. Another one: they are made there
set -u
LAB=${LAB:-dtinstall}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/debian.sh"
lab_begin
RELEASE=${1:-$(debian_here)}
F=$LAB_DIR/debian
mkdir -p "$LAB_DIR/share"
DEBIAN_SHARE=$LAB_DIR/share
export DEBIAN_SHARE
in_f()
{
    debian_in "$F" "$@"
}
apt()
{
    in_f apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}
begun=$(date +%s)
lap()
{
    tap_note "$1: $(($(date +%s) - begun)) s"
}

tap_ok "a fresh Debian ($RELEASE)" debian_folder "$RELEASE" "$F" || exit 1
lap "a folder"
in_f apt-get -qq update >"$LAB_DIR/update.log" 2>&1
# --- the packages
made_there()
{
    mkdir -p "$LAB_DIR/share/tree/dovetail"
    git -C "$LAB_ROOT" ls-files -z | (cd "$LAB_ROOT" && xargs -0 cp --parents -P -t "$LAB_DIR/share/tree/dovetail")
    apt install build-essential && in_f sh -c 'cd /share/tree/dovetail && apt-get -qq -y build-dep --no-install-recommends ./ && dpkg-buildpackage -us -uc -b' &&
        mv "$LAB_DIR"/share/tree/*.deb "$LAB_DIR/share/"
}
if [ "$RELEASE" = "$(debian_here)" ]; then
    cp "$LAB_ROOT"/build/packages/*.deb "$LAB_DIR/share/"
else
    tap_ok "the packages are made on $RELEASE" made_there || exit 1
    # A folder in which nothing of that was done.
    rm -rf "$F"
    debian_folder "$RELEASE" "$F"
    in_f apt-get -qq update >"$LAB_DIR/update.log" 2>&1
fi
rm -f "$LAB_DIR"/share/*-dbgsym_*.deb
lap "packages"

# --- installed
in_f sh -c 'cp /share/*.deb /root' && tap_ok "apt installs them" apt install nftables iputils-ping apparmor \
    /root/"$(basename "$LAB_DIR"/share/dovetail_*.deb)" /root/"$(basename "$LAB_DIR"/share/dovetail-nat_*.deb)" /root/"$(basename "$LAB_DIR"/share/dovetail-lab_*.deb)" || exit 1
rm -f "$F"/root/*.deb
lap "installed"
modes() # the mode of each, and whose it is
{
    in_f stat -c '%a %U %n' "$@"
}
tap_ok "nothing that dpkg would complain of" [ -z "$(in_f dpkg --audit; in_f dpkg --verify dovetail dovetail-nat dovetail-lab)" ]
tap_ok "there is a user who may not log in" sh -c "grep '^dovetail:' $F/etc/passwd | grep -q nologin"
tap_ok "who owns nothing" [ -z "$(in_f find / -xdev -user dovetail)" ]
tap_ok "secrets, and what may hold some, are root's" [ "$(modes /etc/dovetail/secrets /etc/dovetail/conf.d /var/lib/dovetail | sort -u | cut -d' ' -f1,2 | uniq)" = '700 root' ]
tap_ok "the configuration is a conffile" sh -c "cat $F/var/lib/dpkg/info/dovetail.conffiles | grep -q /etc/dovetail/dovetaild.conf"
tap_ok "and so is the NAT's" grep -q /etc/dovetail/dovetail-natd.conf "$F/var/lib/dpkg/info/dovetail-nat.conffiles"
tap_ok "there is nothing wrong with it as it comes" in_f dovetail check
tap_ok "the NAT's wants two names" lab_fails 2 'inside' in_f dovetail-natd --check
enabled()
{
    in_f sh -c 'for u in dovetaild dovetail-natd dovetail-closed; do systemctl is-enabled $u.service; done' 2>/dev/null | sort -u
}
tap_ok "nothing is enabled" [ "$(enabled)" = disabled ]
tap_ok "systemd finds nothing wrong with the units" [ -z "$(in_f systemd-analyze verify --man=no dovetaild.service dovetail-natd.service dovetail-closed.service 2>&1 | grep -i dovetail)" ]
exposure() # UNIT AT-MOST (tenths)
{
    in_f systemd-analyze security --offline=yes --no-pager --threshold="$2" "$1" >"$LAB_DIR/exposure" 2>&1
    e_rc=$?
    tail -n 1 "$LAB_DIR/exposure"
    return $e_rc
}
tap_ok "dovetaild's exposure is at most 3.0" exposure dovetaild.service 30
tap_ok "natd's at most 4.0" exposure dovetail-natd.service 40
tap_ok "the AppArmor profiles are right" in_f apparmor_parser -QK /etc/apparmor.d/usr.sbin.dovetaild /etc/apparmor.d/usr.sbin.dovetail-natd
tap_ok "the simulator runs" in_f dovetail-sim list
lap "looked at"

# --- run: a client, a gateway, a NAT
lab_nat_topology 1
in_host()
{
    debian_host "$1" "$F" sh -c "$2"
}
begin() # JOB NS PROGRAM...
{
    b_job=$1 b_ns=$2
    shift 2
    debian_host "$b_ns" "$F" "$@" >>"$LAB_DIR/$b_job.log" 2>&1 &
    echo $! >"$LAB_DIR/$b_job.pid"
}
unit_says() # UNIT SETTING
{
    sed -n "s/^$2=//p" "$F"/*/systemd/system/"$1".service "$F"/usr/lib/systemd/system/"$1".service 2>/dev/null | head -n 1
}
debian_host gateway "$F" sh -s <<'C'
(umask 077; echo 'a secret of the packages' >/etc/dovetail/secrets/anna)
cat >/etc/dovetail/conf.d/gateway.conf <<G
gateway "head-office" { listen = "203.0.113.1" identity = "vpn.example.net" protect = "10.1.0.0/16" pool = "10.9.0.0/24" }
client "anna@example.net" { psk = "file:/etc/dovetail/secrets/anna" }
G
C
debian_host c1 "$F" sh -s <<'C'
(umask 077; echo 'a secret of the packages' >/etc/dovetail/secrets/office)
cat >/etc/dovetail/conf.d/office.conf <<T
tunnel "office" { gateway = "203.0.113.1" local = "anna@example.net" remote = "vpn.example.net" psk = "file:/etc/dovetail/secrets/office" protect = "10.1.0.0/16" }
T
C
in_host router 'sed -i "s/^# inside .*/inside = lan/; s/^# outside .*/outside = wan/" /etc/dovetail/dovetail-natd.conf'
tap_ok "what was configured is right" in_host c1 'dovetail check'
lab_dump router wan wan 'net 203.0.113.0/24 or net 10.0.0.0/8'
# The client comes before its network does.
ip -n "$LAB-c1" link set eth0 down
begin natd router "$(unit_says dovetail-natd ExecStart)"
begin gateway gateway "$(unit_says dovetaild ExecStart)"
begin client c1 "$(unit_says dovetaild ExecStart)"
tap_ok "the daemons run" lab_wait 60 "in_host c1 'dovetail status' && in_host gateway 'dovetail status' && in_host router 'dovetail --socket /run/dovetail/natd.sock nat list'"
users_of() # NS: of its daemons
{
    for p in $(ip netns pids "$LAB-$1"); do
        [ "$(cat "/proc/$p/comm" 2>/dev/null)" = dovetaild ] && sed -n 's/^Uid:\t\([0-9]*\).*/\1/p; s/^CapPrm:\t/caps /p' "/proc/$p/status"
    done | tr '\n' ' '
}
tap_ok "as the user of the package, without any right" [ "$(users_of gateway)" = "$(in_f id -u dovetail) caps 0000000000000000 " ]
ip -n "$LAB-c1" link set eth0 up
ip -n "$LAB-c1" route add default via 192.168.7.1
tap_ok "the tunnel is up when the network is there" in_host c1 'dovetail up --timeout 30 office'
tap_ok "and carries" lab_in c1 ping -q -c 5 -i 0.2 -W 2 10.1.0.10
tap_ok "as ESP, through the NAT" [ "$(lab_dumped wan esp)" -ge 10 ]
tap_ok "and nothing of it in the clear" [ "$(lab_dumped wan 'net 10.0.0.0/8')" = 0 ]
tap_ok "the NAT knows it" in_host router 'dovetail nat list | grep -q 192.168.7.11'
tap_ok "the lease is on the disk, and root's" [ "$(stat -c '%a %u' "$LAB_DIR/host-gateway/var/lib/dovetail/leases.db")" = '600 0' ]
tap_ok "what the unit says reloads" in_host c1 "$(unit_says dovetaild ExecReload)"
lap "traffic through the tunnel"
ours() # the processes of all three hosts
{
    for ns in c1 gateway router; do ip netns pids "$LAB-$ns"; done | while read -r p; do
        case $(cat "/proc/$p/comm" 2>/dev/null) in dovetail*) echo "$p" ;; esac
    done
}
ours | xargs -r kill
ended()
{
    [ -z "$(ours)" ]
}
tap_ok "they end" lab_wait 15 ended
tap_ok "and leave no socket" [ -z "$(find "$LAB_DIR"/host-*/run/dovetail -type s)" ]

# --- upgraded, as if systemd ran: what it would be asked for is written down
cp -a "$LAB_DIR"/host-gateway/etc/dovetail/. "$F/etc/dovetail/"
cp -a "$LAB_DIR"/host-gateway/var/lib/dovetail/. "$F/var/lib/dovetail/"
newer() # VERSION: the package, with another version and another configuration as it comes
{
    rm -rf "$LAB_DIR/new"
    dpkg-deb -R "$LAB_DIR"/share/dovetail_*_*.deb "$LAB_DIR/new" &&
        sed -i "s/^Version: .*/Version: $1/" "$LAB_DIR/new/DEBIAN/control" &&
        echo "# as it comes in $1" >>"$LAB_DIR/new/etc/dovetail/dovetaild.conf" &&
        dpkg-deb --root-owner-group -b "$LAB_DIR/new" "$F/root/new.deb" >/dev/null
}
mv "$F/usr/bin/systemctl" "$F/root/systemctl"
cat >"$F/usr/bin/systemctl" <<'S'
#!/bin/sh
echo "$*" >>/root/asked
S
chmod 755 "$F/usr/bin/systemctl"
upgrade()
{
    rm -f "$F/root/asked"
    in_f sh -c 'mkdir -p /run/systemd/system && apt-get -qq -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install /root/new.deb' >"$LAB_DIR/upgrade.log" 2>&1
    u_rc=$?
    cat "$LAB_DIR/upgrade.log" "$F/root/asked"
    return $u_rc
}
asked()
{
    grep -q -e "$1" "$F/root/asked"
}
echo '# ours' >>"$F/etc/dovetail/dovetaild.conf"
newer 99.1
tap_ok "an upgrade" upgrade
tap_ok "restarts the daemon that runs" asked 'restart .*dovetaild.service'
tap_ok "and never stops it" sh -c "! grep -q -w stop $F/root/asked"
tap_ok "systemctl restart leaves closed what is closed" [ "$(unit_says dovetaild RestartKillSignal) $(unit_says dovetail-natd RestartKillSignal)" = 'SIGUSR1 SIGUSR1' ]
tap_ok "our configuration is kept" grep -q '^# ours' "$F/etc/dovetail/dovetaild.conf"
echo 'tunnel "half written" {' >"$F/etc/dovetail/conf.d/half.conf"
newer 99.2
tap_ok "with a configuration that is half written the upgrade is done too" upgrade
tap_ok "the daemon that runs goes on" sh -c "! grep -q restart $F/root/asked"
tap_ok "and that is said, with the line" sh -c "grep -q 'half.conf:1' $LAB_DIR/upgrade.log && grep -q 'goes on' $LAB_DIR/upgrade.log"
mv "$F/root/systemctl" "$F/usr/bin/systemctl"
rm "$F/root/asked" "$F/root/new.deb"

# --- removed
tap_ok "they are removed" apt remove dovetail dovetail-nat dovetail-lab
tap_ok "programs and units are gone" [ -z "$(find "$F"/usr/bin "$F"/usr/sbin "$F"/lib/systemd "$F"/usr/lib/systemd -name '*dovetail*')" ]
tap_ok "configuration, secrets and leases are kept" [ -s "$F/etc/dovetail/conf.d/gateway.conf" -a -s "$F/etc/dovetail/secrets/anna" -a -s "$F/var/lib/dovetail/leases.db" ]
tap_ok "they are purged" apt purge dovetail dovetail-nat
left()
{
    find "$F" -xdev -iname '*dovetail*' -not -path "$F/var/log/*" -not -path "$F/var/cache/*"
    grep -H dovetail "$F/etc/passwd" "$F/etc/group" "$F/etc/shadow" "$F/etc/gshadow"
}
nothing_left()
{
    left
    [ -z "$(left)" ]
}
tap_ok "and nothing is left" nothing_left
lap "all of it"
tap_end
