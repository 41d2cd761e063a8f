# Packages that come and go while the units run.

NOW=$LAB_ROOT/build/packages BEFORE=$LAB_ROOT/build/packages-before

installed() # DEB...
{
    DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i "$@" >"$LAB_DIR/dpkg" 2>&1
    i_rc=$?
    cat "$LAB_DIR/dpkg"
    return $i_rc
}

items() # SPIs of what the NAT knows as established
{
    dovetail --json nat list | jq -c '[.. | objects | select(has("spi_in") and .spi_in != null) | [.client, .spi_in, .spi_out]] | sort'
}

part_upgrade()
{
    version=$(dpkg-query -W -f '${Version}' dovetail)
    echo '# ours' >>/etc/dovetail/dovetaild.conf
    flows_on
    was=$(of_unit dovetaild MainPID) was_n=$(of_unit dovetail-natd MainPID) items=$(items)
    tap_note "$items"
    lab_dump host lan ike 'udp port 500 or udp port 4500'
    tap_ok "upgrade: from $version" installed "$NOW"/dovetail_*.deb "$NOW"/dovetail-nat_*.deb
    tap_ok "upgrade: to another" [ "$(dpkg-query -W -f '${Version}' dovetail)" != "$version" ]
    tap_ok "upgrade: both run, as new processes" within 30 "active dovetaild && active dovetail-natd && [ \$(of_unit dovetaild MainPID) != $was ] && [ \$(of_unit dovetail-natd MainPID) != $was_n ]"
    tap_ok "upgrade: of the new program" cmp "/proc/$(of_unit dovetaild MainPID)/exe" /usr/sbin/dovetaild
    tap_ok "upgrade: the tunnel is up" within 30 office_up
    now=$(items)
    tap_ok "upgrade: the NAT has the items of before" [ "$(echo "$items" | jq -c 'map(select(.[0] == "192.168.7.11"))')" = "$(echo "$now" | jq -c 'map(select(.[0] == "192.168.7.11"))')" ]
    flows_off
    lab_dump_stop ike
    tap_ok "upgrade: our tunnel was silent for $host_outage s (at most 20)" at_most "$host_outage" 20
    tap_ok "upgrade: c1's for $c1_outage s (at most 5)" at_most "$c1_outage" 5
    tap_ok "upgrade: and c1 had nothing to negotiate" [ "$(lab_dumped ike)" = 0 ]
    tap_ok "upgrade: nothing plain has left" plain_none
    tap_ok "upgrade: our configuration is kept" grep -q '^# ours' /etc/dovetail/dovetaild.conf
}

part_half()
{
    flows_on
    was=$(of_unit dovetaild MainPID)
    echo 'tunnel "half written" {' >/etc/dovetail/conf.d/half.conf
    tap_ok "half written: the package is installed all the same" installed "$BEFORE"/dovetail_*.deb
    tap_ok "half written: with the line that is wrong" grep -q 'half.conf:1' "$LAB_DIR/dpkg"
    tap_ok "half written: and what becomes of the daemon" grep -q 'goes on' "$LAB_DIR/dpkg"
    tap_ok "half written: the daemon goes on" [ "$(of_unit dovetaild MainPID)" = "$was" ]
    tap_ok "half written: a reload is refused, with the line" lab_fails 1 'half.conf:1' sh -c 'systemctl reload dovetaild || { journalctl -q -u dovetaild -n 10 -o cat; exit 1; }'
    flows_off
    tap_ok "half written: its tunnel has not noticed (silent for $host_outage s, at most 5)" at_most "$host_outage" 5
    systemctl restart dovetaild >/dev/null 2>&1
    tap_ok "half written: a start by hand fails, and is not tried again" within 20 "[ \$(of_unit dovetaild ActiveState) = failed ]"
    tap_ok "half written: the journal has the line" logged dovetaild 'half.conf:1'
    tap_ok "half written: what was closed is closed" sh -c "ping -q -c 3 -W 1 10.1.0.10; [ \$(tcpdump -n -r $LAB_DIR/plain.pcap 2>/dev/null | wc -l) = 0 ]"
    rm /etc/dovetail/conf.d/half.conf
    tap_ok "half written: mended, it starts" systemctl start dovetaild
    tap_ok "half written: and is up" within 30 office_up
    installed "$NOW"/dovetail_*.deb >/dev/null
    tap_ok "half written: and up after the upgrade" within 30 office_up
}

part_beside()
{
    systemctl stop dovetaild
    tap_ok "beside strongSwan: which has the ports" systemctl start strongswan
    systemctl --no-block start dovetaild
    tap_ok "beside strongSwan: the journal says who has port 500" within 30 "logged dovetaild charon-systemd" || tell_unit dovetaild
    tap_note "$(journalctl -q -u dovetaild -o cat | grep charon | tail -n 1)"
    systemctl stop strongswan
    tap_ok "beside strongSwan: when it is gone dovetaild starts by itself" within 30 "active dovetaild"
    tap_ok "beside strongSwan: and is up" within 30 office_up
    plain_watch
}

part_remove()
{
    tap_ok "remove: while they run" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg -r dovetail dovetail-nat'
    tap_ok "remove: nothing runs" sh -c '! systemctl is-active dovetaild dovetail-natd && ! pgrep -x "dovetaild|dovetail-natd" -u dovetail'
    tap_ok "remove: no table, rule, device of ours is left" sh -c '! nft list tables | grep dovetail && ! ip link | grep dovetail && ! tc filter show dev wan ingress | grep bpf'
    tap_ok "remove: configuration and secrets are kept" [ -s /etc/dovetail/secrets/office ]
    tap_ok "remove: purged" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg -P dovetail dovetail-nat'
    tap_ok "remove: nothing is left" sh -c '! find / -xdev -iname "*dovetail*" -not -path "/srv/*" -not -path "/var/log/*" -not -path "/tmp/*" -not -path "/var/cache/*" -not -path "/sys/*" | grep .'
    tap_ok "remove: nor pinned" sh -c '! ls /sys/fs/bpf/dovetail-natd /run/dovetail 2>/dev/null'
}
