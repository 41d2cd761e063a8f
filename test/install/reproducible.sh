#!/bin/sh
# The packages are the same to the byte, whoever builds them and wherever: two builds, in two folders.
set -u
LAB=${LAB:-dtrepro}
. "$(dirname "$0")/../../lab/lab.sh"
lab_begin
cd "$LAB_ROOT" || exit 1
tap_ok "a first build" ./dev package "$LAB_DIR/a"
tap_ok "a second one" ./dev package "$LAB_DIR/b"
sums()
{
    (cd "$LAB_DIR/$1" && sha256sum -- *.deb)
}
same()
{
    sums a
    sums b
    [ "$(sums a | wc -l)" = 6 ] && [ "$(sums a)" = "$(sums b)" ]
}
tap_ok "three packages and their debug symbols are the same, to the byte" same
tap_end
