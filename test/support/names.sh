#!/bin/sh
# A name in a backtrace says where one is: no static function of src has the name of another file's. TAP.
set -u
cd "$(dirname "$0")/../.."
# A definition begins in the first column, and its name stands before the first parenthesis.
twice=$(find src -name '*.[ch]' -exec awk '/^static [^=;(]*[ *][a-z_0-9]+\(/ {
        sub(/\(.*/, ""); sub(/.*[ *]/, ""); print $0, FILENAME }' {} + | sort -u | awk '
    $1 == last { found[$1] = found[$1] ? found[$1] " " $2 : file " " $2 }
    { last = $1; file = $2 }
    END { for (n in found) print "# " n ": " found[n] }' | sort)
defined=$(grep -rhc '^static .*(' src | awk '{ n += $1 } END { print n }')
echo "1..2"
rc=0
if [ "$defined" -gt 1500 ]; then
    echo "ok 1 - static functions are found"
else
    echo "not ok 1 - static functions are found ($defined)"
    rc=1
fi
if [ -z "$twice" ]; then
    echo "ok 2 - none has the name of another file's"
else
    echo "not ok 2 - none has the name of another file's"
    echo "$twice"
    rc=1
fi
exit $rc
