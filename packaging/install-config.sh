#!/bin/sh
# Run by `ninja install`: the configuration, where there is none yet, and folders for what root alone may read.
set -eu
etc=${DESTDIR:-}/etc/dovetail
install -d -m 755 "$etc"
install -d -m 700 "$etc/conf.d" "$etc/secrets"
[ -e "$etc/dovetaild.conf" ] || install -m 644 "$1" "$etc/dovetaild.conf"
# The example names interfaces; which they are here is the administrator's to say.
[ -e "$etc/dovetail-natd.conf" ] || {
    sed 's/^inside /# inside /; s/^outside /# outside /' "$2" >"$etc/dovetail-natd.conf"
    chmod 644 "$etc/dovetail-natd.conf"
}
