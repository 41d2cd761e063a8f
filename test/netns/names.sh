#!/bin/sh
# Name servers and domains that a gateway gives: on the wire they are asked for and given, the resolver of the host is told of them, told
# again when it has forgotten, and they are taken back, whatever end the daemon takes. Programs that note their arguments stand in for
# systemd-resolved and resolvconf.
set -u
LAB=${LAB:-dtnam}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/dovetail.sh"
. "$LAB_ROOT/lab/office.sh"

lab_begin
office_lab 1
trap lab_end EXIT
mkdir "$LAB_DIR/path"
CALLS=$LAB_DIR/calls STATE=$LAB_DIR/state
PATH=$LAB_DIR/path:$PATH

# resolvectl remembers as systemd-resolved does: one file for each kind of setting.
resolvectl_program()
{
    mkdir -p "$STATE"
    cat >"$LAB_DIR/path/resolvectl" <<P
#!/bin/sh
what=\$1 link=\$2
[ \$# = 2 ] && [ "\$what" != revert ] && { echo "Link 7 (\$link): \$(cat $STATE/\$what 2>/dev/null)"; exit 0; }
echo "\$*" >>$CALLS
[ "\$what" = revert ] && { rm -f $STATE/*; exit 0; }
shift 2
echo "\$*" >$STATE/\$what
P
    chmod 755 "$LAB_DIR/path/resolvectl"
}
resolvconf_program()
{
    cat >"$LAB_DIR/path/resolvconf" <<P
#!/bin/sh
[ "\$1" = --version ] && { echo openresolv 3.12.0; exit 0; }
echo "resolvconf \$*" >>$CALLS
[ "\$1" = -a ] && cat >$LAB_DIR/record
[ "\$1" = -d ] && rm -f $LAB_DIR/record
exit 0
P
    chmod 755 "$LAB_DIR/path/resolvconf"
}
has() # KIND TEXT
{
    [ "$(cat "$STATE/$1" 2>/dev/null)" = "$2" ]
}
has_nothing()
{
    [ ! -e "$STATE/dns" ]
}
calls()
{
    grep -c . "$CALLS"
}
new_client() # [SETTING...]
{
    dt_stop c1
    : >"$CALLS"
    : >"$LAB_DIR/dt-c1.log"
    office_client c1 "$@"
    dt_start c1
    dt_wait_up c1 office 20
}

resolvectl_program
office_gateway 'dns = { "10.1.0.53", "fd01::53" }' 'domains = { "Corp.Example.NET", "lab.example.net" }' | dt_conf gateway
dt_start gateway

# ---- a split tunnel
new_client
tap_ok "split: the link has the servers" lab_wait 10 "has dns '10.1.0.53 fd01::53'"
tap_ok "split: the gateway's domains alone are asked there" has domain "corp.example.net lab.example.net"
tap_ok "split: it is no way for the rest" has default-route no
tap_ok "split: JSON has servers, domains and who asks" [ "$(dt_field c1 office '"\(.dns | join(",")) \(.domains | join(",")) \(.dns_by)"')" = "10.1.0.53,fd01::53 corp.example.net,lab.example.net resolved" ]
tap_ok "split: status says so" dt_says c1 'DNS 10.1.0.53, fd01::53 for corp.example.net, lab.example.net, asked by systemd-resolved'
tap_ok "split: the log says so" dt_logged c1 'systemd-resolved asks 10.1.0.53, fd01::53 for names in corp.example.net lab.example.net'

# ---- the resolver was restarted, and knows nothing
before=$(calls)
rm -f "$STATE"/*
tap_ok "forgotten: it is set again" lab_wait 25 "has dns '10.1.0.53 fd01::53' && has domain 'corp.example.net lab.example.net'"
tap_ok "forgotten: the log says so" lab_wait 3 "dt_logged c1 'the resolver did not know its name servers'"
after=$(calls)
tap_ok "three calls, and no more while it stands" sh -c "[ $((after - before)) = 3 ] && sleep 17 && [ \"\$(grep -c . $CALLS)\" = $after ]"

# ---- the end of it
dt c1 down office >/dev/null
tap_ok "down: it is taken back" lab_wait 5 has_nothing
dt c1 up office >/dev/null
tap_ok "up: it is there again" lab_wait 15 "has dns '10.1.0.53 fd01::53'"
dt_stop c1
tap_ok "the daemon has ended: it is taken back" has_nothing
new_client
lab_wait 10 "has dns '10.1.0.53 fd01::53'"
dt_stop c1 KILL
tap_ok "the daemon was killed: it is taken back" lab_wait 10 has_nothing

# ---- a full tunnel; a reload with dns = no; another gateway's words
new_client 'protect = { "0.0.0.0/0", "::/0" }'
tap_ok "full: all names go there" lab_wait 10 "has dns '10.1.0.53 fd01::53' && has domain 'corp.example.net lab.example.net ~.' && has default-route yes"
office_client c1 'protect = { "0.0.0.0/0", "::/0" }' 'dns = no'
dt c1 reload >/dev/null
tap_ok "dns = no: it is taken back, and the tunnel stays" lab_wait 10 "has_nothing && dt_is_up c1 office"
dt c1 down office >/dev/null && dt c1 up office >/dev/null
tap_ok "dns = no: none is asked for" lab_wait 10 "[ \"\$(dt_field c1 office '.dns | length')\" = 0 ]"
new_client 'protect = { "10.1.0.0/24" }'
tap_ok "a server that the tunnel does not carry is not asked" lab_wait 10 "has dns 10.1.0.53"

# ---- a resolver that fails, or hangs: the tunnel is up all the same, and the daemon answers
printf '#!/bin/sh\necho "Failed to connect to bus" >&2\nexit 1\n' >"$LAB_DIR/path/resolvectl"
new_client
tap_ok "a resolver that fails: the tunnel is up" dt_wait_up c1 office 15
tap_ok "a resolver that fails: status says what it says" lab_wait 10 "dt_says c1 'Failed to connect to bus'"
printf '#!/bin/sh\nsleep 100\n' >"$LAB_DIR/path/resolvectl"
new_client
tap_ok "a resolver that hangs: the tunnel carries at once" lab_wait 5 "lab_in c1 ping -n -q -c 1 -W 1 10.1.0.10"
tap_ok "a resolver that hangs: the daemon answers within a second" timeout 1 "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-c1/sock" status
tap_ok "a resolver that hangs: it is ended, and said" lab_wait 15 "dt_says c1 'had not ended after 4 s'"

# ---- resolvconf
rm -f "$LAB_DIR/path/resolvectl"
resolvconf_program
new_client
tap_ok "resolvconf: it has the record" lab_wait 10 "grep -q 'nameserver 10.1.0.53' $LAB_DIR/record && grep -q 'search corp.example.net lab.example.net' $LAB_DIR/record"
tap_ok "resolvconf: of a split tunnel it is private" grep -q '^resolvconf -a dovetail0 -p' "$CALLS"
dt_stop c1
tap_ok "resolvconf: it is taken back" [ ! -e "$LAB_DIR/record" ]

# ---- neither
rm -f "$LAB_DIR/path/resolvconf"
if command -v resolvectl resolvconf >/dev/null; then
    echo "# this machine has a resolver of its own"
else
    new_client
    tap_ok "neither: the tunnel is up, and status says what would be right" lab_wait 10 "dt_is_up c1 office && dt_says c1 'neither resolvectl (systemd-resolved) nor resolvconf'"
fi
tap_end
