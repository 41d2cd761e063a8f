# The demo's timeline: events of three daemons, of what is inflicted and of the packets that stopped, told as one story. One
# line an event, and every span in the same form. Called with --argjson t0 (seconds since 1970).
def fixed(n): . * pow(10; n) | round | tostring | until(length > n; "0" + .) | .[0:length - n] + "." + .[length - n:];
def span: if . < 0.001 then "1 ms" elif . < 0.9995 then "\(. * 1000 | round) ms" else "\(fixed(1)) s" end;
def right(n): (" " * (n - length)) + .;
def left(n): . + (" " * (n - length));
def said:
    if .event == "inflicted" then "*** " + .text
    elif .event == "silent" then "packets come back again, after \(.took_s | span) without any"
    elif .event == "up" then "up: epoch \(.epoch) is verified, \(.encap | ascii_upcase), inside \(.inside | join(" and "))"
    elif .event == "verified" and .new_session then "up again: epoch \(.epoch) is verified, in a new session"
    elif .event == "verified" and .was_down then "up again: epoch \(.epoch) is verified"
    elif .event == "verified" then "rekeyed: epoch \(.epoch) is verified \(.took_s // 0 | span) after it was negotiated"
    elif .event == "idle" then "nothing is heard any more: pinging"
    elif .event == "idle_over" then "the ping is answered"
    elif .event == "idle_dead" then "pings unanswered, nothing heard for \(.took_s | span): a new epoch is wanted"
    elif .event == "session_lost" or .event == "session_dropped" then "the gateway has forgotten the session: a new one"
    else .text end;
foreach inputs as $e ({down: {}, seen: {}, session: {}};
    .out = null |
    ($e.client // "") as $c |
    ($e + {was_down: .down[$c], first: (.seen[$c] | not), new_session: .session[$c]}) as $x |
    if $e.event == "session_up" then .session[$c] = true
    elif $e.event == "idle_dead" then .down[$c] = $e.time | .out = $x
    elif $e.event == "up" and $e.inside then .seen[$c] = true | .out = $x
    elif $e.event == "verified" and $x.first then .session[$c] = false
    elif $e.event == "verified" then .down[$c] = null | .session[$c] = false | .out = $x
    elif $e.event | IN("inflicted", "silent", "idle", "idle_over", "unanswered", "session_lost", "encap_chosen",
        "unverified_use", "timeout", "refused", "turned_away") then .out = $x
    else . end;
    .out | select(. != null) |
    "\((.time - $t0) | fixed(1) | right(6)) s  \(if .event == "inflicted" then "" else .client | left(6) end)\(said)")
