/* Prometheus metrics: a page that is written anew once a second. */
#include "natd/natd.h"

#include <stdio.h>

#include "control/page.h"

static bool metrics_count(void *ctx, const struct dt_masq_item *it)
{
    size_t(*n)[2] = ctx;
    n[it->kind & 1][it->state & 1]++;
    return true;
}

static void natd_write_page(void *ctx, FILE *f)
{
    struct natd *d = ctx;
    size_t n[2][2] = {{0}};
    dt_kernel_items(d->k, dt_kernel_now(), metrics_count, n);
    fputs("# HELP dovetail_nat_packets_total packets by the rule that decided\n"
          "# TYPE dovetail_nat_packets_total counter\n",
          f);
    for (unsigned i = DT_MASQ_RULE_PASS + 1; i < DT_MASQ_RULE_COUNT; i++)
        fprintf(f, "dovetail_nat_packets_total{rule=\"%s\"} %llu\n", dt_masq_rule_name((enum dt_masq_rule)i),
                (unsigned long long)dt_kernel_count(d->k, i));
    fputs("# HELP dovetail_nat_items items now\n# TYPE dovetail_nat_items gauge\n", f);
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned state = 0; state < 2; state++)
            fprintf(f, "dovetail_nat_items{kind=\"%s\",state=\"%s\"} %zu\n",
                    dt_masq_kind_name((enum dt_masq_kind)kind), dt_masq_state_name((enum dt_masq_state)state),
                    n[kind][state]);
    static const char *const name[NAT_COUNTERS] = {"events_lost", "multicast_copies", "multicast_unrouted",
                                                   "client_unrouted", "yielded"};
    static const char *const help[NAT_COUNTERS] = {
        "events that nobody read in time", "packets sent by multicast",
        "addressees of a multicast that could not be reached", "packets for a client whose network is gone",
        "entries that proved nothing and gave way to newer ones"};
    for (unsigned i = 0; i < NAT_COUNTERS; i++)
        fprintf(f,
                "# HELP dovetail_nat_%s_total %s\n# TYPE dovetail_nat_%s_total "
                "counter\ndovetail_nat_%s_total %llu\n",
                name[i], help[i], name[i], name[i],
                (unsigned long long)dt_kernel_count(d->k, DT_MASQ_RULE_COUNT + i));
    fprintf(f,
            "# HELP dovetail_nat_attached 1 while the kernel path is on both interfaces\n"
            "# TYPE dovetail_nat_attached gauge\ndovetail_nat_attached %d\n"
            "# HELP dovetail_nat_blocked 1 while packets do not pass; nat status says why\n"
            "# TYPE dovetail_nat_blocked gauge\ndovetail_nat_blocked %d\n"
            "# HELP dovetail_nat_impaired 1 while something is missing without which not all of them pass\n"
            "# TYPE dovetail_nat_impaired gauge\ndovetail_nat_impaired %d\n"
            "# HELP dovetail_nat_mended_total what somebody changed on the router and natd set again\n"
            "# TYPE dovetail_nat_mended_total counter\ndovetail_nat_mended_total %llu\n"
            "# HELP dovetail_nat_failed_looks_total looks at the router that found it not as wanted, after "
            "all that could be done\n"
            "# TYPE dovetail_nat_failed_looks_total counter\ndovetail_nat_failed_looks_total %llu\n"
            "# HELP dovetail_nat_uptime_seconds since this natd started\n"
            "# TYPE dovetail_nat_uptime_seconds gauge\ndovetail_nat_uptime_seconds %.3f\n",
            d->router.attached, d->router.blocked, !d->router.blocked && d->router.n_reasons,
            (unsigned long long)d->router.mended, (unsigned long long)d->router.failed_looks,
            dt_time_seconds(dt_kernel_now() - d->started));
}

void natd_metrics_refresh(struct natd *d)
{
    if (d->metrics_calls++ % 5 == 0)
        dt_page_make(d->metrics, natd_write_page, d);
}
