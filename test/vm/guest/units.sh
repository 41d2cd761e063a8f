# The units under systemd: what they may, what becomes of a daemon that is killed, hangs, is stopped.

exposed() # UNIT AT-MOST (tenths)
{
    systemd-analyze security --no-pager --threshold="$2" "$1.service" >"$LAB_DIR/exposure" 2>&1
    e_rc=$?
    tail -n 1 "$LAB_DIR/exposure"
    return $e_rc
}

part_exposure()
{
    tap_ok "exposure: dovetaild's is at most 3.0" exposed dovetaild 30
    tap_note "$(tail -n 1 "$LAB_DIR/exposure")"
    tap_ok "exposure: natd's at most 4.0" exposed dovetail-natd 40
    tap_note "$(tail -n 1 "$LAB_DIR/exposure")"
}

# All processes of a unit have its profile, and it is enforced.
confined() # UNIT PROFILE
{
    for p in $(cat "/sys/fs/cgroup/system.slice/$1.service/cgroup.procs"); do
        echo "$p $(cat "/proc/$p/comm"): $(cat "/proc/$p/attr/apparmor/current" 2>/dev/null || cat "/proc/$p/attr/current")"
    done >"$LAB_DIR/confined"
    cat "$LAB_DIR/confined"
    [ -s "$LAB_DIR/confined" ] && ! grep -v ": $2 (enforce)\$" "$LAB_DIR/confined"
}

part_apparmor()
{
    if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ]; then
        tap_skip "apparmor: the profiles are enforced" "AppArmor in this kernel"
        return
    fi
    tap_ok "apparmor: dovetaild's profile is enforced, for its keeper too" confined dovetaild dovetaild
    tap_ok "apparmor: natd's too" confined dovetail-natd dovetail-natd
    tap_ok "apparmor: a profile that stands in the way does so: no other file is read" apparmor_bites
}

# Else "nothing was denied" would say nothing.
apparmor_bites()
{
    cp /etc/dovetail/dovetaild.conf /srv/elsewhere.conf
    ! dovetaild --check --config /srv/elsewhere.conf && denials | grep -q /srv/elsewhere.conf
}

denials() # of our profiles, save the one that was meant
{
    journalctl -b -q -o cat _TRANSPORT=kernel + _TRANSPORT=audit | grep 'apparmor="DENIED"' | grep -e 'profile="dovetail'
}

part_denied()
{
    none_denied()
    {
        ! denials | grep -v /srv/elsewhere.conf
    }
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" != Y ] || tap_ok "apparmor: in all of this nothing was denied" none_denied
}

part_networkd()
{
    flows_on
    for n in 1 2; do
        systemctl restart systemd-networkd
        sleep 3
    done
    flows_off
    tap_ok "networkd: two restarts later the tunnel carries (longest silence $host_outage s, at most 5)" at_most "$host_outage" 5
    tap_ok "networkd: and c1's, behind the NAT ($c1_outage s, at most 5)" at_most "$c1_outage" 5
    tap_ok "networkd: nothing plain has left" plain_none
}

restarted() # UNIT RESTARTS PID: it has been, and runs as another process
{
    [ "$(of_unit "$1" NRestarts)" -gt "$2" ] && active "$1" && [ "$(of_unit "$1" MainPID)" != "$3" ]
}

part_kill()
{
    flows_on
    for unit in dovetaild dovetail-natd; do
        was=$(of_unit $unit MainPID) times=$(of_unit $unit NRestarts)
        kill -9 "$was"
        tap_ok "kill -9: systemd starts $unit again" within 30 "restarted $unit $times $was" || tell_unit $unit
        [ $unit = dovetail-natd ] || tap_ok "kill -9: the tunnel is up again" within 30 office_up
    done
    tap_ok "kill -9: both answer" sh -c 'dovetail status && dovetail nat list'
    flows_off
    tap_ok "kill -9: our flow goes on (longest silence $host_outage s, at most 30)" at_most "$host_outage" 30
    tap_ok "kill -9: NAT in the kernel goes on: c1's is silent for $c1_outage s (at most 5)" at_most "$c1_outage" 5
    tap_ok "kill -9: nothing plain has left meanwhile" plain_none
    flows_on
    was=$(of_unit dovetaild MainPID)
    keeper=$(grep -vx "$was" /sys/fs/cgroup/system.slice/dovetaild.service/cgroup.procs)
    tap_ok "kill -9: the keeper, and the unit is there again" sh -c "kill -9 $keeper"
    tap_ok "kill -9: both processes are there again" within 60 "[ \$(wc -l </sys/fs/cgroup/system.slice/dovetaild.service/cgroup.procs) = 2 ] && active dovetaild && office_up" || tell_unit dovetaild
    flows_off
    tap_note "without its keeper: NRestarts $(of_unit dovetaild NRestarts), our flow was silent for $host_outage s"
    tap_ok "kill -9: nothing plain has left" plain_none
}

part_stop()
{
    flows_on
    tap_ok "stop: natd" systemctl stop dovetail-natd
    tap_ok "stop: dovetaild answers" dovetail status
    sleep 2
    tap_ok "stop: natd's program is off the interfaces" sh -c '! tc filter show dev wan ingress | grep -q bpf'
    tap_ok "stop: natd starts again" systemctl start dovetail-natd
    flows_off
    tap_ok "stop: our tunnel has not noticed (silent for $host_outage s, at most 5)" at_most "$host_outage" 5
    tap_ok "stop: c1's goes on" answers c1
    lab_stop flow-host
    flows_on
    tap_ok "stop: dovetaild" systemctl stop dovetaild
    tap_ok "stop: natd answers" dovetail nat list
    tap_ok "stop: a stop opens, so that the capture sees what is plain" within 10 "[ \$(lab_dumped plain) -gt 0 ]"
    tap_ok "stop: but for what is always closed" sh -c "ping -q -c 2 -W 1 10.66.0.1; [ \$(tcpdump -n -r $LAB_DIR/plain.pcap net 10.66.0.0/16 2>/dev/null | wc -l) = 0 ]"
    tap_ok "stop: dovetaild starts again" systemctl start dovetaild
    tap_ok "stop: the tunnel comes back" within 30 office_up
    flows_off
    tap_ok "stop: c1 has not noticed (silent for $c1_outage s, at most 5)" at_most "$c1_outage" 5
    plain_watch
}

# As the units have it: 90 s and 30 s, and ten more until a process that does not end is killed.
part_watchdog()
{
    tap_note "watchdog: $(of_unit dovetaild WatchdogUSec) and $(of_unit dovetail-natd WatchdogUSec)"
    flows_on
    was_d=$(of_unit dovetaild MainPID) times_d=$(of_unit dovetaild NRestarts)
    was_n=$(of_unit dovetail-natd MainPID) times_n=$(of_unit dovetail-natd NRestarts)
    kill -STOP "$was_d" "$was_n"
    tap_ok "watchdog: systemd starts natd, which hung, again" within 90 "restarted dovetail-natd $times_n $was_n" || tell_unit dovetail-natd
    tap_ok "watchdog: and says why" logged dovetail-natd 'Watchdog timeout'
    tap_ok "watchdog: dovetaild too" within 150 "restarted dovetaild $times_d $was_d" || tell_unit dovetaild
    tap_ok "watchdog: and says why" logged dovetaild 'Watchdog timeout'
    tap_ok "watchdog: the tunnel comes back" within 30 office_up
    flows_off
    tap_ok "watchdog: nothing plain has left" plain_none
    tap_ok "watchdog: of natd's c1 has not noticed (silent for $c1_outage s, at most 2)" at_most "$c1_outage" 2
}
