/* What dovetail-natd wants of a router: which absence blocks, and what is said of each. */
#include "support/test.h"

#include "natd/facts.h"
#include "net/netlink_tc.h"

static const struct natd_names names = {
    .port = {"wan0", "lan0", "lo"}, .pins = "/sys/fs/bpf/x", .table = {[3] = "t_esp"}};

static struct natd_fact fact(enum natd_fact_kind kind, enum natd_port port, unsigned which, uint32_t value)
{
    return (struct natd_fact){
        .kind = (uint8_t)kind, .port = (uint8_t)port, .which = (uint8_t)which, .value = value};
}

static void put(struct dt_host_facts *l, struct natd_fact f)
{
    assert_int_equal(dt_host_facts_put(l, &natd_facts, &f), 0);
}

/* The sentence about what is wanted, with `had` in its place. */
static void sentence(char out[NATD_FACT_STRLEN], struct natd_fact wanted, const struct natd_fact *had,
                     const char *detail)
{
    struct natd_reason r = {.wanted = wanted, .there = had != NULL};
    if (had)
        r.had = *had;
    snprintf(r.detail, sizeof(r.detail), "%s", detail);
    natd_reason_str(out, &r, &names);
}

static void says(struct natd_fact wanted, const struct natd_fact *had, const char *detail, const char *words)
{
    char text[NATD_FACT_STRLEN];
    sentence(text, wanted, had, detail);
    if (!strstr(text, words))
        fail_msg("\"%s\" does not say \"%s\"", text, words);
}

/* Each sentence names the interface and what would mend it. */
static void reasons(void **state)
{
    struct natd_fact down = fact(NATD_LINK, NATD_OUTSIDE, 0, 0), drop = fact(NATD_CHAIN, NATD_INSIDE, 0, 10);
    says(fact(NATD_LINK, NATD_OUTSIDE, 0, 1), &down, "", "`ip link set wan0 up`");
    says(fact(NATD_LINK, NATD_OUTSIDE, 0, 1), NULL, "there is no interface \"wan0\"",
         "there is no interface \"wan0\"");
    says(fact(NATD_FORWARD, NATD_INSIDE, 0, 1), NULL, "",
         "\"lan0\" does not forward (sysctl net.ipv4.ip_forward = 1)");
    says(fact(NATD_ADDRESS, NATD_OUTSIDE, 0, 1), NULL, "", "\"wan0\" has no IPv4 address");
    says(fact(NATD_CLIENTS, NATD_INSIDE, 0, 1), NULL, "", "clients = { ... } would be right");
    says(fact(NATD_CHAIN, NATD_INSIDE, 0, 0), &drop, "u32", "\"u32\" with preference 10 on ingress of lan0");
    says(fact(NATD_FILTER, NATD_OUTSIDE, NATD_EGRESS, 7), NULL, "no room", "own IPsec");
    says(fact(NATD_FILTER, NATD_OUTSIDE, NATD_INGRESS, 7), NULL, "no room",
         "ingress of wan0 cannot be set: no room");
    says(fact(NATD_PIN, NATD_PORTS, 3, 7), NULL, "read-only",
         "/sys/fs/bpf/x/t_esp is not pinned, and would be lost with natd: read-only");
    says(fact(NATD_SYSCTL, NATD_LOOPBACK, NATD_ACCEPT_LOCAL, 1), NULL, "EPERM",
         "net.ipv4.conf.lo.accept_local = 1");
}

/* Packets of clients pass without pins, without what only large packets need, and without what the router's own need. */
static void harm(void **state)
{
    for (enum natd_fact_kind k = NATD_LINK; k <= NATD_CHAIN; k++) {
        struct natd_fact f = fact(k, NATD_OUTSIDE, NATD_INGRESS, 1);
        bool impaired = k == NATD_SYSCTL || k == NATD_PIN;
        assert_int_equal(natd_fact_harm(&f), impaired ? NATD_HARM_IMPAIRED : NATD_HARM_BLOCKED);
    }
    struct natd_fact lo = fact(NATD_LINK, NATD_LOOPBACK, 0, 1),
                     own = fact(NATD_FILTER, NATD_OUTSIDE, NATD_EGRESS, 1);
    assert_int_equal(natd_fact_harm(&lo), NATD_HARM_IMPAIRED);
    assert_int_equal(natd_fact_harm(&own), NATD_HARM_IMPAIRED);
}

/* Somebody's "ingress" serves for a filter there; nothing of what natd does not want is taken away. */
static void difference(void **state)
{
    struct dt_host_facts want = {.v = NULL}, have = {.v = NULL}, set = {.v = NULL}, taken = {.v = NULL};
    put(&want, fact(NATD_FILTER, NATD_INSIDE, NATD_INGRESS, 7));
    put(&want, fact(NATD_QDISC, NATD_INSIDE, 0, DT_NL_INGRESS_CLSACT));
    put(&want, fact(NATD_FILTER, NATD_OUTSIDE, NATD_INGRESS, 8));
    put(&want, fact(NATD_QDISC, NATD_OUTSIDE, 0, DT_NL_INGRESS_CLSACT));
    put(&have, fact(NATD_QDISC, NATD_INSIDE, 0, DT_NL_INGRESS_PLAIN));
    put(&have, fact(NATD_FILTER, NATD_INSIDE, NATD_INGRESS, 99));
    put(&have, fact(NATD_FILTER, NATD_INSIDE, NATD_EGRESS, 99));
    assert_int_equal(dt_host_facts_settle(&want, &natd_facts), 0);
    assert_int_equal(dt_host_facts_settle(&have, &natd_facts), 0);
    assert_int_equal(dt_host_diff(&natd_facts, &want, &have, &set, &taken), 0);
    assert_int_equal(taken.n, 0);
    /* The discipline before the filters, and what comes back is understood before anything is sent. */
    static const struct natd_fact expect[] = {
        {.kind = NATD_QDISC, .port = NATD_OUTSIDE, .value = DT_NL_INGRESS_CLSACT},
        {.kind = NATD_FILTER, .port = NATD_OUTSIDE, .which = NATD_INGRESS, .value = 8},
        {.kind = NATD_FILTER, .port = NATD_INSIDE, .which = NATD_INGRESS, .value = 7},
    };
    assert_int_equal(set.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(dt_host_facts_at(&set, &natd_facts, i), &expect[i], sizeof(expect[i]));
    struct dt_host_facts *all[] = {&want, &have, &set, &taken};
    for (size_t i = 0; i < 4; i++)
        dt_host_facts_free(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reasons), cmocka_unit_test(harm),
                                       cmocka_unit_test(difference)};
    return TEST_RUN(tests);
}
