#!/bin/sh
# ./dev bench [NAME...]: each benchmark is a program bench-NAME in the build, a script bench/NAME.sh, or both
# (the script then calls the program). Every line on standard output is one JSON object.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- crypto policy sim nat ike tunnel ted flood host
for name in "$@"; do
    if [ -x "bench/$name.sh" ]; then
        "bench/$name.sh"
    elif [ -x "build/bench/bench-$name" ]; then
        "build/bench/bench-$name"
    else
        echo "bench: no benchmark '$name'" >&2
        exit 2
    fi
done
