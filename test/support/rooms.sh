#!/bin/sh
# The architecture is what the rooms' Meson files say: a room includes headers of rooms that it names alone, names no room
# below itself, and docs/architecture.md lists the same ones. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
all=$(sed -n "/^foreach room : \['base', 'wire', 'crypto', 'esp'/,/\]/p" meson.build | grep -o "'[a-z/]*'" | tr -d "'")
n=0 bad=0 above=
check() # TEXT WANTED FOUND
{
    n=$((n + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "# $2"
        echo "# $3"
        bad=1
    fi
}
list() { sort -u | tr '\n' ' '; }
for room in $all; do
    named=$(grep -o '\b[a-z_]*_dep\b' "src/$room/meson.build" | sed 's/_dep//; s,^sim_,sim/,' | grep -v -x -e dep -e "$room" -e masq_kern -e kern | list)
    included=$(grep -ho '^#include "[a-z/]*/' src/"$room"/*.[ch] | sed 's/.*"//; s,/$,,; /^sim/!s,/.*,,' | grep -v -x "$room" | list)
    told=$(sed -n "s,^| \`$room\` |[^|]*| *\([^|]*[^ |]\) *|\$,\1,p" docs/architecture.md | sed 's/;.*//; s/ (.*//; s/nothing//' | tr -d ',' | tr ' ' '\n' | grep . | list)
    check "$room: its Meson file names the rooms whose headers it includes" "$included" "$named"
    check "$room: docs/architecture.md lists them" "$named" "$told"
    for other in $named; do
        case " $above " in *" $other "*) ;; *) check "$room names a room above it" "$above" "$other" ;; esac
    done
    above="$above $room"
done
echo "1..$n"
exit $bad
