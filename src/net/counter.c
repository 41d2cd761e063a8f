#include "net/datapath.h"

const char *dt_dp_counter_name(enum dt_dp_counter c)
{
    static const char *const name[DT_DPC_COUNT] = {
        "tun_read",       "tun_read_bytes", "tun_written",   "tun_written_bytes", "tun_write_failed",
        "coalesced",      "sent",           "sent_bytes",    "send_failed",       "received",
        "received_bytes", "ike_in",         "ike_dropped",   "keepalive_in",      "in_short",
        "in_no_sa",       "in_esp_error",   "in_bad_inner",  "in_selector",       "in_ecn",
        "in_dummy",       "in_orphan",      "out_bad",       "out_no_tunnel",     "out_drop",
        "out_held",       "out_hold_drop",  "out_selector",  "out_too_big",       "out_loop",
        "out_fragment",   "out_orphan",     "out_exhausted", "icmp_sent",         "icmp_limited",
        "echo_answered",  "probes_sent",    "probe_replies", "events_lost",
    };
    return (unsigned)c < DT_DPC_COUNT ? name[c] : "?";
}
