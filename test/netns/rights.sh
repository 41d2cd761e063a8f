#!/bin/sh
# Least privilege: the daemon is a user of its own without any right, at every moment and in every thread; what needs rights
# goes through the keeper, which holds no secret and gives nothing that the configuration does not name. Looked at in /proc,
# in the kernel's tables and on the far side of the tunnel.
set -u
LAB=${LAB:-dtrights}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"
MEMORY=$LAB_BIN/../lab/lab-memory
NOBODY=$(id -u nobody)

# The laboratory's folder is root's alone (0700), and so is everything in it.
confs()
{
    office_gateway 'listen =' 'psk =' "secrets = \"file:$LAB_DIR/secrets\"" 'protect = "10.1.0.0/16"' 'pool = "10.9.0.0/16"' "$OFFICE_QUICK" |
        dt_conf gateway 'user = "nobody" metrics = "127.0.0.1:9470"'
    echo 'include("more/*.conf")' | dt_conf client "user = \"nobody\" keylog = \"$LAB_DIR/keys\""
    mkdir -p "$LAB_DIR/dt-client/more"
    office_tunnel "psk = \"file:$LAB_DIR/anna.psk\"" 'protect = "10.1.0.0/16"' "$OFFICE_QUICK" >"$LAB_DIR/dt-client/more/office.conf"
    chmod 600 "$LAB_DIR/dt-client/more/office.conf"
}

secret() # TEXT: of both sides
{
    (umask 077; echo "$1" >"$LAB_DIR/anna.psk"; echo "anna@example.net $1" >"$LAB_DIR/secrets")
}

carries()
{
    lab_in client ping -q -c 3 -i 0.2 -W 2 10.1.0.10
}

keeper_of() # NS: of the daemon that runs there
{
    for k in $(ip netns pids "$LAB-$1"); do
        [ "$(cat "/proc/$k/comm" 2>/dev/null)" = dovetail-keeper ] && echo "$k" && return 0
    done
    return 1
}

status_is() # FILE FIELD VALUE
{
    grep -q "^$2:[[:space:]]*$3[[:space:]]*$" "$1" || { tap_note "$1: $(grep "^$2:" "$1"), and not $3"; false; }
}

no_rights() # NS UID: of every thread
{
    threads=0
    for s in /proc/"$(lab_pid "dt-$1")"/task/*/status; do
        threads=$((threads + 1))
        for set in CapInh CapPrm CapEff CapBnd CapAmb; do
            status_is "$s" "$set" '0*' || return 1
        done
        status_is "$s" Uid "$2[[:space:]]*$2[[:space:]]*$2[[:space:]]*$2" || return 1
        status_is "$s" Groups '' || return 1
        status_is "$s" NoNewPrivs 1 || return 1
    done
    [ "$threads" -ge 3 ]
}

rights_of_keeper() # NS: CAP_DAC_READ_SEARCH (4), CAP_NET_ADMIN (1000), CAP_NET_RAW (2000); and none to be had
{
    k=$(keeper_of "$1") && status_is "/proc/$k/status" CapEff '0*3004' && status_is "/proc/$k/status" CapBnd '0*3004' &&
        status_is "/proc/$k/status" NoNewPrivs 1
}

hidden() # PID: not dumpable, so that its files in /proc are root's
{
    [ "$(stat -c %u "/proc/$1/mem")" = 0 ] && [ "$(stat -c %a "/proc/$1/fd")" = 500 ]
}

# ---- start
lab_begin
lab_ns client gateway server
lab_wire client eth0 203.0.113.2/24 gateway eth0 203.0.113.1/24
lab_wire gateway inside 10.1.0.1/16 server eth0 10.1.0.10/16
ip -n "$LAB-server" route add default via 10.1.0.1
lab_forward gateway
chmod 700 "$LAB_DIR"
secret 'the first secret of this test, which nobody else has'
cp "$LAB_DIR/anna.psk" "$LAB_DIR/first"
confs
tap_ok "a gateway starts, and reads secrets that are root's alone" dt_start gateway
start_in_groups() # as somebody's shell has them
{
    lab_run client dt-client setpriv --groups 1,2,3 "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-client/conf"
    lab_wait 10 "dt client status"
}
tap_ok "a client starts, whose configuration includes a folder's files" start_in_groups
tap_ok "the tunnel is up" dt_wait_up client office 10
tap_ok "and carries" carries
tap_ok "no thread of the client's daemon has any right, and none is root's" no_rights client "$NOBODY"
tap_ok "no thread of the gateway's has, that of the metrics neither" no_rights gateway "$NOBODY"
tap_ok "metrics are served" lab_wait 5 "lab_in gateway curl -s http://127.0.0.1:9470/metrics | grep -q dovetail_gateway_clients"
tap_ok "the keeper has the three rights that it needs, and cannot have more" rights_of_keeper client
tap_ok "nobody but root looks into the daemon" hidden "$(lab_pid dt-client)"
tap_ok "nor into the keeper" hidden "$(keeper_of client)"
found=$("$MEMORY" "$(lab_pid dt-client)" "$LAB_DIR/first")
tap_ok "the secret is found in the daemon's memory ($found times)" [ "$found" -gt 0 ]
found=$("$MEMORY" "$(keeper_of client)" "$LAB_DIR/first")
tap_ok "and never in the keeper's ($found)" [ "$found" = 0 ]
tap_ok "keys are logged, in files that are root's alone" [ -s "$LAB_DIR/keys" -a -s "$LAB_DIR/keys.esp" -a \
    "$(stat -c '%u %a' "$LAB_DIR/keys" "$LAB_DIR/keys.esp" | sort -u)" = '0 600' ]

rm "$LAB_DIR/keys.esp"
dt client rekey office >"$LAB_DIR/said" 2>&1
tap_ok "the log of ESP's keys is taken away: the next SA begins a new one" lab_wait 5 "[ -s $LAB_DIR/keys.esp ]"
tap_ok "which is root's alone" [ "$(stat -c '%u %a' "$LAB_DIR/keys.esp")" = '0 600' ]
rm "$LAB_DIR/keys.esp"
ln -s "$LAB_DIR/elsewhere" "$LAB_DIR/keys.esp"
dt client rekey office >"$LAB_DIR/said" 2>&1
tap_ok "it has become a link: nothing is written there" lab_wait 5 "dt_logged client 'keys.esp: a symbolic link leads there'"
tap_ok "through the link neither" [ ! -e "$LAB_DIR/elsewhere" ]
rm "$LAB_DIR/keys.esp"

# ---- secrets at a reload
secret 'the second secret, which is another one'
tap_ok "another secret, root's alone: the gateway reloads" dt gateway reload
tap_ok "and the client" dt client reload
tap_ok "the tunnel is up with it" lab_wait 20 "dt_is_up client office && carries"
cp "$LAB_DIR/anna.psk" "$LAB_DIR/second"
found=$("$MEMORY" "$(keeper_of client)" "$LAB_DIR/second")
tap_ok "the keeper has not seen it ($found)" [ "$found" = 0 ]
found=$("$MEMORY" "$(lab_pid dt-client)" "$LAB_DIR/second")
tap_ok "but the daemon has ($found times)" [ "$found" -gt 0 ]
mv "$LAB_DIR/anna.psk" "$LAB_DIR/aside"
ln -s "$LAB_DIR/aside" "$LAB_DIR/anna.psk"
refused() # TEXT COMMAND...
{
    text=$1
    shift
    ! "$@" >"$LAB_DIR/said" 2>&1 && grep -q "$text" "$LAB_DIR/said" || { cat "$LAB_DIR/said"; false; }
}
tap_ok "a secret's file has become a link: the reload is refused, and says so" refused 'symbolic link' dt client reload
tap_ok "and the tunnel goes on" carries
rm "$LAB_DIR/anna.psk"
mv "$LAB_DIR/aside" "$LAB_DIR/anna.psk"
chmod 640 "$LAB_DIR/anna.psk"
tap_ok "a secret that others may read is refused too" refused 'chmod 600' dt client reload
chmod 600 "$LAB_DIR/anna.psk"
tap_ok "as it was: the reload is taken" dt client reload

# ---- the host is kept, though the daemon may not change it
rule_is() { lab_in client ip rule show | grep -q '17494'; }
lab_in client ip rule del priority 17494
tap_ok "the routing rule is removed: it comes back" lab_wait 10 rule_is
tap_ok "and carries" carries
lab_in client ip link del dovetail0
tap_ok "the device is deleted: it comes back, and carries" lab_wait 15 carries
tap_ok "still without any right" no_rights client "$NOBODY"
lab_in client nft delete table inet dovetail
tap_ok "the packet filter is deleted: it comes back" lab_wait 10 "lab_in client nft list table inet dovetail"

# ---- a killed daemon
k=$(keeper_of client)
closed() { lab_in client nft list table inet dovetail && lab_in client ip route show table 17494 | grep unreachable; }
lab_stop dt-client KILL
tap_ok "the daemon is killed: its control socket goes" lab_wait 10 "[ ! -e $LAB_DIR/dt-client/sock ]"
tap_ok "the keeper ends" lab_wait 10 "[ ! -e /proc/$k ]"
tap_ok "what was closed stays closed" closed
tap_ok "the next daemon starts" dt_start client
tap_ok "and its tunnel is up" dt_wait_up client office 20

# ---- a killed keeper
k=$(keeper_of client)
kill -9 "$k"
tap_ok "the keeper is killed: the daemon says so" lab_wait 5 "dt_logged client 'dovetail-keeper) has ended'"
tap_ok "the tunnel goes on" carries
not_kept() { dt client status | grep -q 'this host is not kept'; }
tap_ok "status says that the host is not kept" not_kept
tap_ok "a reload is refused, with the reason" refused 'dovetail-keeper' dt client reload
tap_ok "the daemon ends as it should" dt_stop client
tap_ok "the next one takes over what stands" dt_start client
tap_ok "and its tunnel is up" dt_wait_up client office 20
k=$(keeper_of client)
dt_stop client
tap_ok "after a goodbye the control socket is gone" [ ! -e "$LAB_DIR/dt-client/sock" ]
tap_ok "and so is the keeper" lab_wait 10 "[ ! -e /proc/$k ]"

# ---- the key log
starts_not() # TEXT
{
    refused "$1" timeout 40 ip netns exec "$LAB-client" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-client/conf"
}
mv "$LAB_DIR/keys" "$LAB_DIR/elsewhere"
was=$(stat -c '%s %Y' "$LAB_DIR/elsewhere")
ln -s "$LAB_DIR/elsewhere" "$LAB_DIR/keys"
tap_ok "a key log that is a link: the daemon does not start" starts_not 'the key log .*symbolic link'
tap_ok "and nothing was written through it" [ "$(stat -c '%s %Y' "$LAB_DIR/elsewhere")" = "$was" ]
rm "$LAB_DIR/keys"
(umask 0; echo >"$LAB_DIR/keys")
tap_ok "one that others may read" starts_not 'chmod 600'
chmod 600 "$LAB_DIR/keys"
chown nobody "$LAB_DIR/keys"
tap_ok "one that is somebody else's" starts_not 'belongs to user'
rm -f "$LAB_DIR/keys" "$LAB_DIR/keys.esp"
ln -s "$LAB_DIR/elsewhere" "$LAB_DIR/keys.esp"
tap_ok "and the log of ESP's keys is no link either" starts_not 'keys.esp.*symbolic link'

# ---- a socket's and a database's path that are relative to where the daemon was started
sed -i "s,$LAB_DIR/dt-client/,,; s/keylog = \"[^\"]*\"//" "$LAB_DIR/dt-client/conf"
relative()
{
    (cd "$LAB_DIR/dt-client" && lab_run client dt-client "$LAB_BIN/dovetaild" --config conf) && lab_wait 10 "dt client status"
}
tap_ok "paths may be relative" relative
dt_stop client
tap_ok "the socket is removed all the same" [ ! -e "$LAB_DIR/dt-client/sock" ]

# ---- whom to become
may_not_become() # TEXT USER: without CAP_SETUID and CAP_SETGID
{
    sed -i "s/user = \"[^\"]*\"/$2/" "$LAB_DIR/dt-client/conf"
    timeout 6 ip netns exec "$LAB-client" setpriv --bounding-set -setuid,-setgid "$LAB_BIN/dovetaild" \
        --config "$LAB_DIR/dt-client/conf" >"$LAB_DIR/said" 2>&1
    grep -q "$1" "$LAB_DIR/said" || { cat "$LAB_DIR/said"; false; }
}
sed -i 's/user = "nobody"/user = "nobody-at-all"/' "$LAB_DIR/dt-client/conf"
tap_ok "an unknown user is named by dovetail check, with its line" refused 'conf:1: user = "nobody-at-all"' \
    "$LAB_BIN/dovetail" check "$LAB_DIR/dt-client/conf"
tap_ok "who may not become the user that is named does not start" may_not_become 'cannot become user "nobody"' 'user = "nobody"'
tap_ok "and where none is named it goes on" may_not_become 'dovetaild .* runs' ''
tap_ok "leases are written in a folder that the daemon may not enter" sh -c "cat $LAB_DIR/dt-gateway/leases.db* | grep -q anna@example.net"
tap_ok "and nothing was refused" [ -z "$(grep -e 'lease cannot' -e 'cannot write' "$LAB_DIR/dt-gateway.log")" ]
dt_stop gateway
tap_ok "the gateway starts again, on what it left behind" dt_start gateway
dt_stop gateway
tap_end
