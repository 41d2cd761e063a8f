/* The difference between what is wanted and what a host has, on a host that is a list in memory and may be spoiled in any
 * way at any moment. */
#include "support/test.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "host/host.h"

/* ---- a host in memory ---- */

struct fake_host {
    struct dt_host_facts has;
    bool unreadable;
    const char *says; /* when it refuses */
    bool keeps;       /* what it has, when that is to go */
    const struct dt_host_fact *refuses; /* to set this one */
    bool forgets;                       /* says yes and does nothing */
    struct dt_host_fact *goes;          /* after the next change somebody takes this one away */
    unsigned changes, mended;
    bool open; /* was there a moment with the rule and without a barrier? */
};

static struct dt_host_fact *fact_at(const struct dt_host_facts *l, size_t i)
{
    return (struct dt_host_fact *)l->v + i;
}

static ssize_t find_place(const struct dt_host_facts *l, const struct dt_host_fact *f)
{
    for (size_t i = 0; i < l->n; i++)
        if (dt_host_place_cmp(fact_at(l, i), f) == 0)
            return (ssize_t)i;
    return -1;
}

static int fake_read(void *user, struct dt_host_facts *have, struct dt_err *err)
{
    struct fake_host *h = user;
    if (h->unreadable)
        return dt_err_set(err, 0, "the kernel says nothing");
    for (size_t i = 0; i < h->has.n; i++)
        assert_int_equal(dt_host_facts_add(have, fact_at(&h->has, i)), 0);
    return 0;
}

static void take_out(struct fake_host *h, size_t i)
{
    *fact_at(&h->has, i) = *fact_at(&h->has, --h->has.n);
}

static int fake_change(void *user, bool set, const void *fact, struct dt_err *err)
{
    struct fake_host *h = user;
    const struct dt_host_fact *f = fact;
    ssize_t at = find_place(&h->has, f);
    h->changes++;
    if (h->forgets)
        return 0;
    if (set && h->refuses && dt_host_place_cmp(h->refuses, f) == 0)
        return dt_err_set(err, 0, "%s", h->says ? h->says : "not here");
    if (!set && h->keeps)
        return dt_err_set(err, 0, "it stays");
    if (at >= 0)
        take_out(h, (size_t)at);
    if (set)
        assert_int_equal(dt_host_facts_add(&h->has, f), 0);
    struct dt_host_fact rule = {.kind = DT_HOST_RULE, .ver = 4};
    bool barrier = false;
    for (size_t i = 0; i < h->has.n; i++)
        barrier = barrier || fact_at(&h->has, i)->kind == DT_HOST_BARRIER;
    h->open = h->open || (find_place(&h->has, &rule) >= 0 && !barrier);
    at = h->goes != NULL ? find_place(&h->has, h->goes) : -1;
    h->goes = NULL;
    if (at >= 0)
        take_out(h, (size_t)at);
    return 0;
}

static void fake_mended(void *user, bool set, const void *fact, const struct dt_err *err)
{
    ((struct fake_host *)user)->mended++;
}

static const struct dt_host_ops fake_ops = {.read = fake_read, .change = fake_change, .mended = fake_mended};

static struct dt_prefix prefix(const char *text)
{
    struct dt_prefix p;
    assert_int_equal(dt_prefix_parse(&p, text, false), 0);
    return p;
}

static struct dt_addr addr(const char *text)
{
    struct dt_addr a;
    assert_int_equal(dt_addr_parse(&a, text), 0);
    return a;
}

static void add(struct dt_host_facts *l, struct dt_host_fact f)
{
    assert_int_equal(dt_host_facts_add(l, &f), 0);
}

/* What an ordinary client wants. */
static struct dt_host_facts client_want(const char *inside)
{
    struct dt_host_facts l = {.v = NULL};
    struct dt_prefix own = prefix(inside);
    add(&l, (struct dt_host_fact){.kind = DT_HOST_RULE, .ver = 4, .owner = 0});
    add(&l, (struct dt_host_fact){.kind = DT_HOST_ADDR, .prefix = own, .owner = 7});
    add(&l, (struct dt_host_fact){
                .kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/16"), .src = own.addr, .owner = 7});
    add(&l, (struct dt_host_fact){.kind = DT_HOST_BARRIER, .prefix = prefix("10.1.0.0/16"), .owner = 7});
    add(&l, (struct dt_host_fact){.kind = DT_HOST_LINK, .owner = 0});
    return l;
}

/* One of discovery's: a proxy's pair, what stays on our own side, or where that goes on. */
static struct dt_host_fact discover_rule(uint8_t kind, uint8_t which, uint8_t owner)
{
    struct dt_nl_rule rule = {.ver = 4, .priority = DT_HOST_PRIORITY_DISCOVER, .dst = prefix("10.0.0.0/24")};
    rule.dst.addr.b[2] = which % 12;
    if (kind % 3 == 0) {
        rule.priority += 1;
        rule.table = DT_HOST_TABLE_DISCOVER;
        rule.src = prefix("10.1.0.0/16");
        rule.proto = which & 16 ? 17 : 0;
    } else if (kind % 3 == 1) {
        rule.action = DT_NL_RULE_GOTO;
        rule.table = DT_HOST_PRIORITY_DISCOVER + 2;
    } else {
        rule = (struct dt_nl_rule){
            .ver = 4, .priority = DT_HOST_PRIORITY_DISCOVER + 2, .action = DT_NL_RULE_NOTHING};
    }
    return (struct dt_host_fact){
        .kind = DT_HOST_STEER, .rule = rule, .closed = kind % 3 == 0, .owner = owner};
}

static bool has(const struct fake_host *h, struct dt_host_fact f)
{
    ssize_t at = find_place(&h->has, &f);
    return at >= 0 && dt_host_fact_eq(fact_at(&h->has, (size_t)at), &f);
}

/* ---- tests ---- */

static void what_is_wanted_is_set_and_what_is_there_is_left(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    struct dt_host_result r;
    assert_int_equal(dt_host_want(h, &want, &r), 0);
    assert_int_equal(r.set, 5);
    assert_int_equal(r.missing, 0);
    assert_false(fake.open);
    assert_int_equal(fake.mended, 0);
    assert_int_equal(dt_host_reconcile(h, &r), 0);
    assert_int_equal(r.set + r.removed, 0);
    assert_int_equal(fake.changes, 5);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

static void another_lease_replaces_the_address_and_the_route(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    want = client_want("10.9.0.2/32");
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    assert_int_equal(fake.has.n, 5);
    assert_true(has(&fake, (struct dt_host_fact){.kind = DT_HOST_ADDR, .prefix = prefix("10.9.0.2/32")}));
    assert_true(has(&fake, (struct dt_host_fact){.kind = DT_HOST_ROUTE,
                                                 .prefix = prefix("10.1.0.0/16"),
                                                 .src = addr("10.9.0.2")}));
    assert_int_equal(fake.mended, 0); /* we changed our mind; nobody changed the host */
    want = (struct dt_host_facts){.v = NULL};
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    assert_int_equal(fake.has.n, 1); /* the device stays */
    assert_false(fake.open);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

/* Two tunnels with one protected network: the first has it; when it goes, the second has it. */
static void two_owners_of_one_place(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = {.v = NULL};
    struct dt_host_fact one = {
        .kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/16"), .src = addr("10.9.0.1"), .owner = 1};
    struct dt_host_fact two = one;
    two.src = addr("10.9.0.2");
    two.owner = 2;
    add(&want, one);
    add(&want, two);
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    assert_true(has(&fake, one));
    add(&want, two);
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    assert_true(has(&fake, two));
    assert_int_equal(fake.has.n, 1);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

static void what_the_host_refuses_is_missing_and_says_whose_it_is(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    struct dt_host_fact route = {.kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/16")};
    struct dt_host_result r;
    fake.refuses = &route;
    assert_int_equal(dt_host_want(h, &want, &r), -1);
    assert_int_equal(r.missing, 1);
    assert_string_equal(r.why.text, "not here");
    assert_string_equal(dt_host_missing(h, 7), "not here");
    assert_null(dt_host_missing(h, 8));
    fake.refuses = NULL;
    assert_int_equal(dt_host_reconcile(h, &r), 0);
    assert_null(dt_host_missing(h, 7));
    fake.unreadable = true;
    assert_int_equal(dt_host_reconcile(h, &r), -1);
    assert_string_equal(r.why.text, "the kernel says nothing");
    assert_non_null(dt_host_missing(h, 8)); /* nothing is known of anybody's */
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

static void news_are(struct dt_host *h, enum dt_host_news news, unsigned looks)
{
    struct dt_host_result r;
    bool well = news == DT_HOST_OVER || looks == 0;
    assert_int_equal(dt_host_reconcile(h, &r), well ? 0 : -1);
    assert_int_equal(r.news, news);
    assert_int_equal(r.looks, looks);
}

/* Once when it begins, once when the reason changes, once when it is over; and how many looks there were. */
static void what_the_host_refuses_is_told_once(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    struct dt_host_fact route = {.kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/16")};
    struct dt_host_fact link = {.kind = DT_HOST_LINK};
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    news_are(h, DT_HOST_SAME, 0);
    fake.refuses = &route;
    take_out(&fake, (size_t)find_place(&fake.has, &route));
    news_are(h, DT_HOST_BEGINS, 1);
    assert_int_equal(fake.mended, 1);
    for (unsigned i = 2; i < 50; i++)
        news_are(h, DT_HOST_SAME, i);
    fake.says = "nor now";
    news_are(h, DT_HOST_CHANGES, 50);
    news_are(h, DT_HOST_SAME, 51);
    fake.refuses = &link; /* another fact, for the same reason */
    take_out(&fake, (size_t)find_place(&fake.has, &link));
    news_are(h, DT_HOST_CHANGES, 52);
    fake.unreadable = true;
    news_are(h, DT_HOST_CHANGES, 53);
    news_are(h, DT_HOST_SAME, 54);
    fake.unreadable = false;
    fake.refuses = NULL;
    news_are(h, DT_HOST_OVER, 54);
    news_are(h, DT_HOST_SAME, 0);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

/* What nobody wants and does not go is not missing; that it cannot be mended is told once all the same. */
static void what_cannot_be_taken_away_is_told_once(void **state)
{
    struct fake_host fake = {.keeps = true};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_fact route = {
        .kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/17"), .foreign = true, .metric = 5};
    struct dt_host_facts want = client_want("10.9.0.1/32");
    add(&fake.has, route);
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    assert_int_equal(fake.mended, 1);
    for (int i = 0; i < 50; i++)
        dt_host_reconcile(h, NULL);
    assert_int_equal(fake.mended, 1);
    fake.keeps = false;
    dt_host_reconcile(h, NULL);
    assert_int_equal(fake.mended, 2); /* it is mended */
    fake.keeps = true;
    add(&fake.has, route); /* it comes again, and is told again */
    dt_host_reconcile(h, NULL);
    dt_host_reconcile(h, NULL);
    assert_int_equal(fake.mended, 3);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

/* A kernel that says yes and does nothing is found out: what was set is read back. */
static void what_is_not_kept_is_missing(void **state)
{
    struct fake_host fake = {.forgets = true};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    struct dt_host_result r;
    assert_int_equal(dt_host_want(h, &want, &r), -1);
    assert_int_equal(r.missing, 5);
    assert_true(fake.changes <= 15); /* and is not tried for ever */
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

/* Each is told once: the one that was missing at first, and the one that is taken away while that is set again. */
static void what_is_taken_away_while_it_is_mended_is_told_too(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    struct dt_host_fact rule = {.kind = DT_HOST_RULE, .ver = 4}, link = {.kind = DT_HOST_LINK};
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    take_out(&fake, (size_t)find_place(&fake.has, &link));
    fake.goes = &rule;
    assert_int_equal(dt_host_reconcile(h, NULL), 0);
    assert_true(has(&fake, rule) && has(&fake, link));
    assert_int_equal(fake.mended, 2);
    /* Nobody was at it: what goes meanwhile may have gone with our own change. */
    want = client_want("10.9.0.2/32");
    fake.goes = &rule;
    assert_int_equal(dt_host_want(h, &want, NULL), 0);
    assert_true(has(&fake, rule));
    assert_int_equal(fake.mended, 2);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

static void a_foreign_address_is_left_and_a_foreign_route_is_not(void **state)
{
    struct fake_host fake = {.changes = 0};
    struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
    struct dt_host_fact theirs = {.kind = DT_HOST_ADDR, .prefix = prefix("10.9.0.77/32"), .foreign = true};
    struct dt_host_fact same = {.kind = DT_HOST_ADDR, .prefix = prefix("10.9.0.1/32"), .foreign = true};
    struct dt_host_fact route = {
        .kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/17"), .foreign = true, .metric = 5};
    add(&fake.has, theirs);
    add(&fake.has, same);
    add(&fake.has, route);
    struct dt_host_facts want = client_want("10.9.0.1/32");
    struct dt_host_result r;
    assert_int_equal(dt_host_want(h, &want, &r), 0);
    assert_int_equal(r.set, 4); /* the address serves as it is */
    assert_int_equal(fake.mended, 1);
    assert_true(find_place(&fake.has, &theirs) >= 0);
    assert_true(find_place(&fake.has, &route) < 0);
    dt_host_free(h);
    dt_host_facts_free(&fake.has);
}

/* What somebody put into our table may differ from ours in whatever a kernel tells routes apart by. It is taken away, ours stays,
 * and it is said once, even where the kernel does not do what it says. */
static void a_route_beside_ours_is_taken_away_and_told_once(void **state)
{
    struct dt_host_fact beside = {.kind = DT_HOST_ROUTE, .prefix = prefix("10.1.0.0/16"), .foreign = true};
    for (int i = 0; i < 5; i++) {
        struct fake_host fake = {.changes = 0};
        struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
        struct dt_host_facts want = client_want("10.9.0.1/32");
        struct dt_host_fact theirs = beside;
        struct dt_host_result r;
        theirs.metric = i == 0 ? 5 : 0;
        theirs.tos = i == 1 ? 16 : 0;
        theirs.from = i == 2 ? prefix("fd00::/8") : (struct dt_prefix){.len = 0};
        theirs.nexthop = i == 3 ? 7 : 0;
        theirs.by = i == 4 ? 2 : 0;
        assert_int_equal(dt_host_want(h, &want, &r), 0);
        add(&fake.has, theirs);
        assert_int_equal(dt_host_reconcile(h, &r), 0);
        assert_int_equal(r.set, 0);
        assert_int_equal(r.removed, 1);
        assert_int_equal(fake.mended, 1);
        assert_int_equal(fake.has.n, 5);
        add(&fake.has, theirs);
        fake.forgets = true;
        assert_int_equal(dt_host_reconcile(h, &r), 0);
        assert_int_equal(fake.mended, 2);
        dt_host_free(h);
        dt_host_facts_free(&fake.has);
    }
}

/* A sysctl that was right before is nobody's to put back; one that we changed is. */
static void a_sysctl_that_was_right_before_stays(void **state)
{
    for (int foreign = 0; foreign < 2; foreign++) {
        struct fake_host fake = {.changes = 0};
        struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
        struct dt_host_fact is = {.kind = DT_HOST_SYSCTL, .foreign = true};
        struct dt_host_fact wanted = {.kind = DT_HOST_SYSCTL};
        struct dt_host_facts want = {.v = NULL}, none = {.v = NULL};
        struct dt_host_result r;
        if (foreign)
            add(&fake.has, is);
        add(&want, wanted);
        assert_int_equal(dt_host_want(h, &want, &r), 0);
        assert_int_equal(r.set, !foreign);
        assert_int_equal(dt_host_want(h, &none, &r), 0);
        assert_int_equal(r.removed, !foreign);
        assert_int_equal(fake.has.n, foreign);
        assert_int_equal(fake.mended, 0);
        dt_host_free(h);
        dt_host_facts_free(&fake.has);
    }
}

/* Networks whose probes end here become one fact, in its owner's name: each network once, and none within another. */
static void probes_for_many_networks_are_one_table(void **state)
{
    struct dt_tap *tap = dt_tap_of(-1, -1);
    struct dt_host_facts many = {.v = NULL}, one = {.v = NULL}, other = {.v = NULL};
    static const char *const network[] = {"10.5.0.0/16", "10.1.0.0/16", "10.1.7.0/24",
                                          "10.5.0.0/16", "fd00::/8",    "10.1.0.0/16"};
    for (size_t i = 0; i < DT_ARRAY_LEN(network); i++) {
        add(&many, (struct dt_host_fact){.kind = DT_HOST_PROBES, .prefix = prefix(network[i]), .owner = 9});
        add(&many, (struct dt_host_fact){.kind = DT_HOST_BARRIER, .prefix = prefix(network[i])});
    }
    add(&one, (struct dt_host_fact){.kind = DT_HOST_PROBES, .prefix = prefix("10.1.0.0/16")});
    add(&one, (struct dt_host_fact){.kind = DT_HOST_PROBES, .prefix = prefix("10.5.0.0/16")});
    add(&one, (struct dt_host_fact){.kind = DT_HOST_PROBES, .prefix = prefix("fd00::/8")});
    add(&other, (struct dt_host_fact){.kind = DT_HOST_PROBES, .prefix = prefix("10.1.0.0/16")});
    assert_int_equal(dt_host_probes_want(tap, &many), 0);
    assert_int_equal(dt_host_probes_want(tap, &one), 0);
    assert_int_equal(dt_host_probes_want(tap, &other), 0);
    assert_int_equal(many.n, 5);
    const struct dt_host_fact *f = fact_at(&many, 4);
    assert_int_equal(f->kind, DT_HOST_PROBES);
    assert_int_equal(f->owner, 9);
    assert_int_equal(f->prefix.addr.ver, 0);
    assert_int_equal(one.n, 1);
    assert_true(f->value == fact_at(&one, 0)->value && f->value != fact_at(&other, 0)->value);
    assert_int_equal(dt_host_probes_want(NULL, &many), -1); /* nobody opened a tap */
    /* More than a tap takes. */
    for (unsigned i = 0; i <= DT_TAP_PREFIXES; i++) {
        struct dt_host_fact x = {.kind = DT_HOST_PROBES, .prefix = prefix("10.0.0.0/32")};
        x.prefix.addr.b[2] = (uint8_t)(i / 128);
        x.prefix.addr.b[3] = (uint8_t)(i % 128 * 2);
        add(&other, x);
    }
    assert_int_equal(dt_host_probes_want(tap, &other), -1);
    dt_host_facts_free(&many);
    dt_host_facts_free(&one);
    dt_host_facts_free(&other);
    dt_tap_close(tap);
}

/* What packets go on to is there before they do, and goes after that. */
static void where_rules_go_on_stands_before_them(void **state)
{
    struct dt_host_facts l = {.v = NULL};
    add(&l, discover_rule(0, 1, 0));
    add(&l, discover_rule(1, 1, 0));
    add(&l, discover_rule(2, 1, 0));
    assert_int_equal(dt_host_facts_settle(&l, &dt_host_sort), 0);
    assert_int_equal(fact_at(&l, 0)->rule.action, DT_NL_RULE_NOTHING);
    assert_int_equal(fact_at(&l, 1)->rule.action, DT_NL_RULE_GOTO);
    assert_int_equal(fact_at(&l, 2)->rule.action, DT_NL_RULE_TABLE);
    dt_host_facts_free(&l);
}

/* ---- any want, any sabotage: the host is as wanted again, and no moment was open ---- */

static struct dt_host_fact random_fact(const struct dt_rand *rand)
{
    uint8_t b[4];
    dt_rand_fill(rand, b, sizeof b);
    static const enum dt_host_kind kind[] = {DT_HOST_BARRIER, DT_HOST_ADDR, DT_HOST_ROUTE, DT_HOST_STEER,
                                             DT_HOST_PROBES};
    struct dt_host_fact f = {.kind = kind[b[0] % 5], .prefix = prefix("10.0.0.0/24"), .owner = b[3]};
    if (f.kind == DT_HOST_PROBES) /* one table, that is so or so */
        return (struct dt_host_fact){.kind = DT_HOST_PROBES, .value = 2 + b[1] % 3, .owner = b[3]};
    if (f.kind == DT_HOST_STEER)
        return discover_rule(b[1], b[2], b[3]);
    f.prefix.addr.b[2] = b[1] % 12;
    if (f.kind == DT_HOST_ROUTE) {
        f.src = addr("10.9.0.1");
        f.src.b[3] = b[2] % 3;
        f.mtu = b[2] & 4 ? 1300 : 0;
    }
    return f;
}

static void spoil(struct fake_host *fake, const struct dt_rand *rand)
{
    uint8_t b;
    struct dt_host_fact f = random_fact(rand);
    dt_rand_fill(rand, &b, 1);
    if (b & 1 && fake->has.n) {
        take_out(fake, (b >> 1) % fake->has.n);
        return;
    }
    f.foreign = f.kind == DT_HOST_ROUTE && b & 2;
    if (f.foreign)
        b & 4 ? (f.metric = 9) : b & 8 ? (f.tos = 16) : b & 16 ? (f.nexthop = 7) : (f.by = 2);
    if (f.kind == DT_HOST_PROBES) {
        ssize_t at = find_place(&fake->has, &f); /* somebody changed the table */
        if (at >= 0)
            take_out(fake, (size_t)at);
    }
    if (find_place(&fake->has, &f) < 0)
        add(&fake->has, f);
}

static void any_host_becomes_what_is_wanted(void **state)
{
    uint64_t seed = test_seed("host");
    struct dt_prng source;
    dt_prng_seed(&source, seed);
    struct dt_rand rand = dt_prng_rand(&source);
    for (int round = 0; round < 2000; round++) {
        struct fake_host fake = {.changes = 0};
        struct dt_host *h = dt_host_new(&dt_host_sort, &fake_ops, &fake);
        for (int step = 0; step < 6; step++) {
            struct dt_host_facts want = {.v = NULL}, copy = {.v = NULL};
            add(&want, (struct dt_host_fact){.kind = DT_HOST_RULE, .ver = 4});
            add(&want, (struct dt_host_fact){.kind = DT_HOST_BARRIER, .prefix = prefix("10.0.0.0/8")});
            for (int i = 0; i < step * 3; i++)
                add(&want, random_fact(&rand));
            for (size_t i = 0; i < want.n; i++)
                add(&copy, *fact_at(&want, i));
            assert_int_equal(dt_host_facts_settle(&copy, &dt_host_sort), 0);
            struct dt_host_result r;
            assert_int_equal(dt_host_want(h, &want, &r), 0);
            for (int i = 0; i < step; i++)
                spoil(&fake, &rand);
            assert_int_equal(dt_host_reconcile(h, &r), 0);
            assert_int_equal(fake.has.n, copy.n);
            for (size_t i = 0; i < copy.n; i++)
                assert_true(has(&fake, *fact_at(&copy, i)));
            dt_host_facts_free(&copy);
        }
        dt_host_free(h);
        dt_host_facts_free(&fake.has);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wanted_is_set_and_what_is_there_is_left),
        cmocka_unit_test(another_lease_replaces_the_address_and_the_route),
        cmocka_unit_test(two_owners_of_one_place),
        cmocka_unit_test(what_the_host_refuses_is_missing_and_says_whose_it_is),
        cmocka_unit_test(what_is_not_kept_is_missing),
        cmocka_unit_test(what_is_taken_away_while_it_is_mended_is_told_too),
        cmocka_unit_test(what_the_host_refuses_is_told_once),
        cmocka_unit_test(what_cannot_be_taken_away_is_told_once),
        cmocka_unit_test(a_foreign_address_is_left_and_a_foreign_route_is_not),
        cmocka_unit_test(a_route_beside_ours_is_taken_away_and_told_once),
        cmocka_unit_test(a_sysctl_that_was_right_before_stays),
        cmocka_unit_test(probes_for_many_networks_are_one_table),
        cmocka_unit_test(where_rules_go_on_stands_before_them),
        cmocka_unit_test(any_host_becomes_what_is_wanted),
    };
    return TEST_RUN(tests);
}
