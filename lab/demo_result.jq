# What the demo came to: one object, of what the flows counted (--slurpfile clients), and of the events. An affliction is
# healed when the last silence that began with it is over; what healed a client is told by its newest event in it.
def r(n): (. * n | round) / n;
def cause($events; $c; $o):
    [$events[] | select(.client == $c and .time >= $o.t and .time <= $o.t + $o.length_s + 0.05)] as $in |
    ([$in[] | select(.event == "verified")] | last) as $verified |
    if $verified and any($in[]; .event == "session_up") then "a new session, and epoch \($verified.epoch) verified in it"
    elif $verified then "a new epoch, \($verified.epoch), negotiated and verified"
    elif any($in[]; .event == "idle_over") then "the answer to its ping"
    else "its own packets, which made new items in the NAT" end;
($events | map(select(.event == "inflicted" and .sore))) as $inflicted |
[$clients[] | . as $c | .outages[] | . + {client: $c.name, over: (.t + .length_s)}] as $outages |
{
    duration_s: ($stop - $t0 | r(10)),
    clients: [$clients[] | {name, verified, epochs, bytes, lost_packets, longest_outage_s}],
    events: [ $inflicted[] | . as $e |
        [$outages[] | select(.t > $e.time - 0.5 and .t < $e.time + 5)] as $out |
        ($out | max_by(.over)) as $last |
        { t_s: ($e.time - $t0 | r(10)), what: $e.text,
          healed_by: (if $last == null then "nothing to heal: no client was without packets for 0.2 s"
              else [$out[] | {client, by: cause($events; .client; .)}] | group_by(.by) |
                  map("\(map(.client) | unique | join(", ")): \(.[0].by)") | join("; ") end),
          healed_after_s: (if $last == null then 0 else $last.over - $e.time | r(100) end) } ]
}
