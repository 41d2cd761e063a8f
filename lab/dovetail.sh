# Dovetail's programs in the laboratory. Source after lab.sh.
#
#   dt_conf NS <<conf             the configuration of NS (a daemon { } section with socket and leases is added)
#   dt_start NS; dt_stop NS [SIGNAL]; dt_restart NS
#   dt NS status                  dovetail in NS
#   dt_wait_up NS TUNNEL SECONDS
#   dt_says NS TEXT               `status` there has it, white space aside; dt_logged NS TEXT: its log has
#   dt_monitor NS                 events to $LAB_DIR/dt-NS/events, one JSON object a line
#   natd_start NS IN OUT [ARG...]; natd_stop NS [SIGNAL]; nat NS list

dt_conf()
{
    dt_dir=$LAB_DIR/dt-$1
    mkdir -p "$dt_dir"
    {
        echo "daemon { socket = \"$dt_dir/sock\" leases = \"$dt_dir/leases.db\" ${2:-} }"
        cat
    } >"$dt_dir/conf"
}

dt_start()
{
    lab_run "$1" "dt-$1" "$LAB_BIN/dovetaild" --config "$LAB_DIR/dt-$1/conf"
    lab_wait 10 "[ -S $LAB_DIR/dt-$1/sock ] && dt $1 status"
}

dt_stop()
{
    lab_stop "dt-$1" "${2:-TERM}"
}

dt()
{
    dt_ns=$1
    shift
    "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-$dt_ns/sock" "$@"
}

dt_is_up() # NS TUNNEL: it carries data, proved or not
{
    dt "$1" --json status | jq -e --arg t "$2" '.tunnels[] | select(.name == $t) | .state | IN("up", "unproved")' >/dev/null
}

dt_wait_up()
{
    lab_wait "$3" "dt_is_up $1 $2"
}

dt_field() # NS TUNNEL JQ
{
    dt "$1" --json status | jq -r --arg t "$2" ".tunnels[] | select(.name == \$t) | $3"
}

dt_says() # NS TEXT
{
    dt "$1" status | tr -s ' \n' ' ' | grep -qF -- "$2"
}

dt_logged() # NS TEXT
{
    grep -qF -- "$2" "$LAB_DIR/dt-$1.log"
}

dt_monitor()
{
    "$LAB_BIN/dovetail" --socket "$LAB_DIR/dt-$1/sock" --json monitor >>"$LAB_DIR/dt-$1/events" 2>/dev/null &
    echo $! >"$LAB_DIR/mon-$1.pid"
}

natd_start()
{
    natd_ns=$1 natd_in=$2 natd_out=$3
    shift 3
    lab_run "$natd_ns" "natd-$natd_ns" "$LAB_BIN/dovetail-natd" --inside "$natd_in" --outside "$natd_out" \
        --socket "$LAB_DIR/natd-$natd_ns.sock" "$@"
    lab_wait 10 "nat $natd_ns list"
}

natd_stop()
{
    lab_stop "natd-$1" "${2:-TERM}"
}

nat()
{
    nat_ns=$1
    shift
    "$LAB_BIN/dovetail" --socket "$LAB_DIR/natd-$nat_ns.sock" nat "$@"
}
