#!/bin/sh
# `ninja install` into a prefix of its own: everything is below it, the units call what lies there, the pages and completions are there, and
# somebody's configuration stays.
set -u
LAB=${LAB:-dtprefix}
. "$(dirname "$0")/../../lab/lab.sh"
lab_begin
PREFIX=/opt/dovetail-test D=$LAB_DIR/root

built()
{
    meson setup "$LAB_DIR/build" "$LAB_ROOT" --prefix "$PREFIX" -Dbuildtype=release -Dtests=false -Dwerror=false &&
        ninja -C "$LAB_DIR/build"
}

installed()
{
    DESTDIR=$D meson install -C "$LAB_DIR/build" --no-rebuild
}

below() # FILE...: each is there below the prefix
{
    for f in "$@"; do [ -s "$D$PREFIX/$f" ] || { echo "$f is not there"; return 1; }; done
}

# But for configuration and what a profile of AppArmor is, which have one place on each machine.
nothing_elsewhere()
{
    find "$D" ! -type d | sed "s,^$D,," | grep -v -e "^$PREFIX/" -e '^/etc/dovetail/' -e '^/etc/apparmor.d/' >"$LAB_DIR/elsewhere"
    cat "$LAB_DIR/elsewhere"
    ! [ -s "$LAB_DIR/elsewhere" ]
}

# Every program that a unit, a profile or a completion names by its path is one that was installed.
names_what_is_there()
{
    grep -rhoE "/[a-z/-]*bin/dovetail[a-z-]*" "$D$PREFIX/lib/systemd" "$D/etc/apparmor.d" | sort -u >"$LAB_DIR/named"
    cat "$LAB_DIR/named"
    [ "$(wc -l <"$LAB_DIR/named")" -ge 3 ] || return 1
    while read -r program; do
        case $program in "$PREFIX"/*) [ -x "$D$program" ] || { echo "$program is not there"; return 1; } ;; *) echo "$program is elsewhere"; return 1 ;; esac
    done <"$LAB_DIR/named"
}

every_example()
{
    for f in "$LAB_ROOT"/docs/examples/*.conf; do cmp "$f" "$D$PREFIX/share/doc/dovetail/examples/${f##*/}" || return 1; done
}

runs()
{
    "$D$PREFIX/bin/dovetail" --version && "$D$PREFIX/sbin/dovetaild" --help >/dev/null && "$D$PREFIX/sbin/dovetail-natd" --help >/dev/null &&
        "$D$PREFIX/bin/dovetail-sim" list >/dev/null
}

# A page for each subcommand that `dovetail` has.
every_page()
{
    for c in $("$D$PREFIX/bin/dovetail" --help | awk '/^  [a-z]/ { print $1 }'); do
        [ ! -e "$LAB_ROOT/src/cli/$c.c" ] || [ -s "$D$PREFIX/share/man/man1/dovetail-$c.1" ] || { echo "dovetail-$c(1) is not there"; return 1; }
    done
}

tap_ok "it is built for $PREFIX" built || { tap_end; exit 1; }
tap_ok "it is installed" installed
tap_ok "nothing is elsewhere" nothing_elsewhere
tap_ok "the programs" below bin/dovetail bin/dovetail-sim sbin/dovetaild sbin/dovetail-natd
tap_ok "they run from there" runs
tap_ok "the units" below lib/systemd/system/dovetaild.service lib/systemd/system/dovetail-natd.service lib/systemd/system/dovetail-closed.service \
    lib/sysusers.d/dovetail.conf lib/tmpfiles.d/dovetail.conf
tap_ok "units and profiles name programs that are there" names_what_is_there
tap_ok "the manual pages" below share/man/man1/dovetail.1 share/man/man8/dovetaild.8 share/man/man8/dovetail-natd.8 \
    share/man/man5/dovetaild.conf.5 share/man/man5/dovetail-natd.conf.5
tap_ok "one for each subcommand" every_page
tap_ok "the completions" below share/bash-completion/completions/dovetail share/zsh/site-functions/_dovetail \
    share/fish/vendor_completions.d/dovetail.fish
tap_ok "the examples, all of them" every_example
tap_ok "folders that root alone may enter" sh -c "[ \"\$(stat -c %a $D/etc/dovetail/secrets $D/etc/dovetail/conf.d | sort -u)\" = 700 ]"
tap_ok "the configuration includes conf.d" grep -q '^include("/etc/dovetail/conf.d/\*.conf")' "$D/etc/dovetail/dovetaild.conf"
echo '# mine' >"$D/etc/dovetail/dovetaild.conf"
tap_ok "it is installed again" installed
tap_ok "and the configuration stays" grep -qx '# mine' "$D/etc/dovetail/dovetaild.conf"
tap_end
