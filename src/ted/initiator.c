/* The initiator gateway: FIG. 2, 202 to 218. */
#include "ted/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t entry_hash(const struct dt_ted *t, uint64_t rule, const struct dt_addr *src,
                           const struct dt_addr *dst)
{
    uint8_t key[8 + 2 * sizeof *src];
    memcpy(key, &rule, 8);
    memcpy(key + 8, src, sizeof *src);
    memcpy(key + 8 + sizeof *src, dst, sizeof *dst);
    return dt_siphash(&t->key, key, sizeof key);
}

static struct entry *by_hosts(const struct dt_ted *t, uint64_t rule, const struct dt_addr *src,
                              const struct dt_addr *dst)
{
    for (struct dt_table_node *n = dt_table_first(&t->by_hosts, entry_hash(t, rule, src, dst)); n;
         n = dt_table_next(n)) {
        struct entry *e = DT_CONTAINER_OF(n, struct entry, by_hosts);
        if (e->rule == rule && dt_addr_eq(&e->src, src) && dt_addr_eq(&e->dst, dst))
            return e;
    }
    return NULL;
}

static struct entry *by_cookie(const struct dt_ted *t, uint64_t cookie)
{
    for (struct dt_table_node *n = dt_table_first(&t->by_cookie, dt_siphash(&t->key, &cookie, 8)); n;
         n = dt_table_next(n)) {
        struct entry *e = DT_CONTAINER_OF(n, struct entry, by_cookie);
        if (e->cookie == cookie)
            return e;
    }
    return NULL;
}

/* Takes the entry out of everything: nobody finds it, and nothing calls it up. */
static void unhook(struct dt_ted *t, struct entry *e)
{
    dt_table_remove(&t->by_hosts, &e->by_hosts);
    if (e->state == ENTRY_PROBING)
        dt_table_remove(&t->by_cookie, &e->by_cookie);
    dt_list_del(&e->lru);
    dt_heap_set(&t->timers, &e->timer, DT_NEVER);
    dt_heap_unreserve(&t->timers, 1);
}

static void free_entry(struct entry *e)
{
    free(e->theirs);
    free(e);
}

static void entry_forget(struct dt_ted *t, struct entry *e)
{
    unhook(t, e);
    free_entry(e);
}

static void packet_describe(char *out, size_t cap, const struct dt_ted_packet *p)
{
    char s[DT_ADDR_STRLEN], d[DT_ADDR_STRLEN], proto[8];
    int n = snprintf(out, cap, "%s to %s %s", dt_addr_str(s, &p->src), dt_addr_str(d, &p->dst),
                     dt_ted_protocol_name(p->protocol, proto));
    if ((p->sport || p->dport) && n > 0 && (size_t)n < cap)
        snprintf(out + n, cap - (size_t)n, " %u to %u", p->sport, p->dport);
}

/* The answer for one packet from what the entry knows (ANSWERED or SILENT). */
static void make_answer(struct dt_ted *t, const struct entry *e, const struct dt_ted_packet *packet,
                        dt_time rtt, struct dt_ted_answer *a)
{
    const struct dt_ted_rule *rule = dt_ted_rule_find(t, e->rule);
    char text[160], addr[DT_ADDR_STRLEN];
    *a = (struct dt_ted_answer){
        .rule = e->rule, .packet = *packet, .peer = e->peer, .probes = e->probes, .rtt = rtt};
    memcpy(a->peer_name, e->peer_name, sizeof a->peer_name);
    if (e->state == ENTRY_SILENT || !rule) {
        packet_describe(text, sizeof text, packet);
        snprintf(a->why, sizeof a->why,
                 rule ? "nobody answered %u probes for %s: no gateway that knows discovery protects it"
                      : "%u probes sent, but the rule for %s is gone",
                 e->probes, text);
        return;
    }
    a->ntheirs = e->ntheirs;
    memcpy(a->theirs, e->theirs, e->ntheirs * sizeof *e->theirs);
    a->found = dt_ted_intersect_lists(&a->result, rule->proxy, rule->count, e->theirs, e->ntheirs, packet,
                                      &a->trace);
    if (!a->found) {
        char ours[DT_TED_PROXY_STRLEN], theirs[DT_TED_PROXY_STRLEN];
        const struct dt_ted_step *last = a->trace.count ? &a->trace.step[a->trace.count - 1] : NULL;
        dt_ted_proxy_str(ours, &rule->proxy[a->trace.a]);
        dt_ted_proxy_str(theirs, &e->theirs[a->trace.b]);
        snprintf(a->why, sizeof a->why, "%s: ours %.70s%s, theirs (%s) %.70s%s: %.50s",
                 last ? last->field : "no proxy", ours, rule->count > 1 ? " and others" : "",
                 dt_addr_str(addr, &e->peer), theirs, e->ntheirs > 1 ? " and others" : "",
                 last ? last->values : "none given");
    }
}

static void tell_answer(struct dt_ted *t, dt_time now, const struct dt_ted_answer *a)
{
    char r[DT_TED_PROXY_STRLEN], p[DT_ADDR_STRLEN];
    if (a->found)
        dt_ted_tell(t, now, DT_TED_EVENT_FOUND, a->rule, &a->packet, &a->peer, "%s protects %.160s",
                    dt_addr_str(p, &a->peer), dt_ted_proxy_str(r, &a->result));
    else if (a->peer.ver)
        dt_ted_tell(t, now, DT_TED_EVENT_REFUSED, a->rule, &a->packet, &a->peer, "%s", a->why);
    else
        dt_ted_tell(t, now, DT_TED_EVENT_SILENCE, a->rule, &a->packet, NULL, "%s", a->why);
    t->ops.answer(t->user, now, a);
}

/* Ends probing: every packet that waited gets its answer. All are made before the first is told: nobody's answer hangs on
 * what becomes of the entry meanwhile. */
static void entry_settle(struct dt_ted *t, struct entry *e, dt_time now, dt_time rtt)
{
    struct dt_ted_answer a[DT_TED_WAITING];
    size_t n = e->nwaiting;
    e->nwaiting = 0;
    for (size_t i = 0; i < n; i++) {
        make_answer(t, e, &e->waiting[i], rtt, &a[i]);
        ++*(a[i].found ? &t->counters.found : a[i].peer.ver ? &t->counters.refused : &t->counters.silent);
    }
    for (size_t i = 0; i < n; i++)
        tell_answer(t, now, &a[i]);
}

static void stop_probing(struct dt_ted *t, struct entry *e, enum entry_state state, dt_time until)
{
    dt_table_remove(&t->by_cookie, &e->by_cookie);
    e->state = state;
    dt_list_add_tail(&t->lru, &e->lru);
    dt_heap_set(&t->timers, &e->timer, until);
}

/* Sends the entry's probe; what the limit holds back is tried again at the next retry. */
static void entry_probe(struct dt_ted *t, struct entry *e, dt_time now)
{
    uint8_t msg[DT_TED_MAX_MESSAGE];
    const struct dt_ted_rule *rule = dt_ted_rule_find(t, e->rule);
    const struct dt_ted_packet *packet = &e->waiting[0];
    struct dt_ted_probe p = {.cookie = e->cookie,
                             .capabilities = DT_TED_CAP_SEVERAL | DT_TED_CAP_IPV6 | DT_TED_CAP_IKEV2,
                             .id = e->own,
                             .packet = *packet};
    unsigned shift = e->probes < 16 ? e->probes : 16;
    dt_heap_set(&t->timers, &e->timer, dt_time_add(now, t->params.retry << shift));
    if (!dt_bucket_take(&t->probe_bucket, now, 1, t->params.probe_rate, t->params.probe_rate)) {
        t->counters.probe_limited++;
        return;
    }
    for (size_t i = 0; rule && t->params.proxy_address && i < rule->count; i++)
        if (dt_ted_proxy_has(&rule->proxy[i], packet)) {
            p.proxy = rule->proxy[i].src;
            p.proxy_mask = rule->proxy[i].src_mask;
            break;
        }
    size_t len = dt_ted_probe_encode(msg, sizeof msg, &p);
    t->counters.probes_sent++;
    t->counters.retries += e->probes > 0;
    e->probes++;
    e->sent = now;
    char text[160];
    packet_describe(text, sizeof text, packet);
    t->ops.send_probe(t->user, &e->src, &e->dst, packet->sport ? packet->sport : DT_TED_PORT, msg, len);
    dt_ted_tell(t, now, DT_TED_EVENT_PROBE, e->rule, packet, NULL, "probe %u of %u for %s", e->probes,
                t->params.tries, text);
}

static enum dt_ted_verdict limited(struct dt_ted_answer *a, uint64_t rule, const struct dt_ted_packet *packet,
                                   uint64_t *counter, const char *what, unsigned max)
{
    ++*counter;
    *a = (struct dt_ted_answer){.rule = rule, .packet = *packet};
    snprintf(a->why, sizeof a->why, "%s: at most %u", what, max);
    return DT_TED_LIMITED;
}

static enum dt_ted_verdict entry_begin(struct dt_ted *t, dt_time now, uint64_t rule,
                                       const struct dt_ted_packet *packet, struct dt_ted_answer *a)
{
    struct dt_addr own;
    if (t->by_cookie.count >= t->params.outstanding_max)
        return limited(a, rule, packet, &t->counters.outstanding_full, "too many probes wait for an answer",
                       t->params.outstanding_max);
    if (t->by_hosts.count >= t->params.cache_max) {
        if (dt_list_empty(&t->lru))
            return limited(a, rule, packet, &t->counters.cache_full, "the cache is full of open questions",
                           t->params.cache_max);
        t->counters.cache_full++;
        entry_forget(t, DT_CONTAINER_OF(t->lru.next, struct entry, lru));
    }
    if (!t->ops.own_addr(t->user, &packet->dst, &own))
        return limited(a, rule, packet, &t->counters.probe_limited,
                       "no address of ours towards the destination", 0);
    struct entry *e = calloc(1, sizeof *e);
    if (!e || dt_heap_reserve(&t->timers, 1)) { /* so that no retry is lost later */
        free(e);
        return limited(a, rule, packet, &t->counters.cache_full, "no memory", 0);
    }
    *e = (struct entry){.rule = rule,
                        .src = packet->src,
                        .dst = packet->dst,
                        .own = own,
                        .nwaiting = 1,
                        .waiting = {*packet}};
    dt_list_init(&e->lru);
    dt_timer_init(&e->timer);
    do
        e->cookie = dt_rand_u64(&t->rand);
    while (!e->cookie || by_cookie(t, e->cookie));
    if (dt_table_insert(&t->by_hosts, &e->by_hosts, entry_hash(t, rule, &e->src, &e->dst))) {
        dt_heap_unreserve(&t->timers, 1);
        free(e);
        return limited(a, rule, packet, &t->counters.cache_full, "no memory", 0);
    }
    if (dt_table_insert(&t->by_cookie, &e->by_cookie, dt_siphash(&t->key, &e->cookie, 8))) {
        dt_table_remove(&t->by_hosts, &e->by_hosts);
        dt_heap_unreserve(&t->timers, 1);
        free(e);
        return limited(a, rule, packet, &t->counters.cache_full, "no memory", 0);
    }
    entry_probe(t, e, now);
    return DT_TED_PROBING;
}

static bool same_ted_packet(const struct dt_ted_packet *a, const struct dt_ted_packet *b)
{
    return dt_addr_eq(&a->src, &b->src) && dt_addr_eq(&a->dst, &b->dst) && a->protocol == b->protocol &&
           a->sport == b->sport && a->dport == b->dport;
}

enum dt_ted_verdict dt_ted_packet(struct dt_ted *t, dt_time now, uint64_t id,
                                  const struct dt_ted_packet *packet, struct dt_ted_answer *a)
{
    const struct dt_ted_rule *rule = dt_ted_rule_find(t, id);
    bool in = false;
    *a = (struct dt_ted_answer){.rule = id, .packet = *packet};
    for (size_t i = 0; rule && i < rule->count; i++)
        in |= dt_ted_proxy_has(&rule->proxy[i], packet);
    if (!in || packet->src.ver != packet->dst.ver) {
        snprintf(a->why, sizeof a->why,
                 rule ? "the packet lies in none of the rule's proxies" : "no such rule");
        return DT_TED_NO_RULE;
    }
    struct entry *e = by_hosts(t, id, &packet->src, &packet->dst);
    if (!e)
        return entry_begin(t, now, id, packet, a);
    if (e->state != ENTRY_PROBING && e->timer.at <= now) {
        entry_forget(t, e);
        return entry_begin(t, now, id, packet, a);
    }
    if (e->state == ENTRY_PROBING) {
        size_t i = 0;
        while (i < e->nwaiting && !same_ted_packet(&e->waiting[i], packet))
            i++;
        if (i == e->nwaiting && i < DT_TED_WAITING)
            e->waiting[e->nwaiting++] = *packet;
        return DT_TED_PROBING;
    }
    t->counters.from_cache++;
    make_answer(t, e, packet, 0, a);
    return a->found ? DT_TED_FOUND : DT_TED_REFUSED;
}

void dt_ted_forget(struct dt_ted *t, uint64_t rule, const struct dt_addr *src, const struct dt_addr *dst)
{
    struct entry *e = by_hosts(t, rule, src, dst);
    if (e && e->state != ENTRY_PROBING)
        entry_forget(t, e);
}

void dt_ted_forget_peer(struct dt_ted *t, uint64_t rule, const struct dt_addr *peer)
{
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&t->by_hosts, &it));) {
        struct entry *e = DT_CONTAINER_OF(n, struct entry, by_hosts);
        if (e->state == ENTRY_ANSWERED && e->rule == rule && dt_addr_eq(&e->peer, peer))
            entry_forget(t, e);
    }
}

void dt_ted_reply_input(struct dt_ted *t, dt_time now, const struct dt_addr *from, const struct dt_addr *to,
                        const uint8_t *msg, size_t len)
{
    struct dt_ted_reply r;
    if (dt_ted_reply_decode(&r, msg, len, NULL)) {
        t->counters.replies_bad++;
        return;
    }
    struct entry *e = by_cookie(t, r.cookie);
    if (!e) {
        t->counters.replies_late++;
        return;
    }
    /* Who answers must be who it says it is, somebody else, and must have our probe's ID for where to answer. */
    if (!dt_addr_eq(&r.id, from) || !dt_addr_eq(&e->own, to) || dt_addr_eq(from, to) ||
        !dt_ted_unicast(from)) {
        t->counters.replies_spoofed++;
        return;
    }
    struct dt_ted_proxy *theirs = calloc(r.count, sizeof *theirs);
    size_t n = 0;
    for (size_t i = 0; theirs && i < r.count; i++)
        if (r.proxy[i].ver == e->src.ver && !dt_ted_proxy_normal(&r.proxy[i], NULL))
            theirs[n++] = r.proxy[i];
    if (!n) { /* mixed IP versions: nothing in it can be for this packet */
        t->counters.replies_bad++;
        free(theirs);
        return;
    }
    t->counters.replies_good++;
    e->theirs = theirs;
    e->ntheirs = n;
    e->peer = *from;
    memcpy(e->peer_name, r.name, sizeof e->peer_name);
    dt_time rtt = dt_time_sub(now, e->sent);
    stop_probing(t, e, ENTRY_ANSWERED, dt_time_add(now, t->params.answer_ttl));
    entry_settle(t, e, now, rtt);
}

void dt_ted_tick(struct dt_ted *t, dt_time now)
{
    for (struct dt_timer *timer; (timer = dt_heap_pop_due(&t->timers, now));) {
        struct entry *e = DT_CONTAINER_OF(timer, struct entry, timer);
        if (e->state != ENTRY_PROBING) {
            entry_forget(t, e);
        } else if (e->probes < t->params.tries) {
            entry_probe(t, e, now);
        } else {
            stop_probing(t, e, ENTRY_SILENT, dt_time_add(now, t->params.negative_ttl));
            entry_settle(t, e, now, 0);
        }
    }
}

dt_time dt_ted_deadline(const struct dt_ted *t)
{
    return dt_heap_deadline(&t->timers);
}

/* Takes out the rule of that id, if there is one, and its entries, which then hang in gone. */
static void take_rule(struct dt_ted *t, uint64_t id, struct dt_list *gone)
{
    struct dt_table_iter it = {0};
    dt_list_init(gone);
    dt_list_for_each_safe (at, &t->rules) {
        struct rule_node *n = DT_CONTAINER_OF(at, struct rule_node, list);
        if (n->rule.id != id)
            continue;
        dt_list_del(&n->list);
        free(n);
    }
    for (struct dt_table_node *n; (n = dt_table_iterate(&t->by_hosts, &it));) {
        struct entry *e = DT_CONTAINER_OF(n, struct entry, by_hosts);
        if (e->rule != id)
            continue;
        unhook(t, e);
        dt_list_add_tail(gone, &e->lru);
    }
}

/* Who waited for them hears that it came to nothing. The state is whole by now. */
static void tell_gone(struct dt_ted *t, dt_time now, struct dt_list *gone)
{
    while (!dt_list_empty(gone)) {
        struct entry *e = DT_CONTAINER_OF(gone->next, struct entry, lru);
        dt_list_del(&e->lru);
        for (size_t i = 0; i < e->nwaiting; i++) {
            struct dt_ted_answer a = {.rule = e->rule, .packet = e->waiting[i], .probes = e->probes};
            snprintf(a.why, sizeof a.why, "the rule was changed or removed while the probe was under way");
            t->ops.answer(t->user, now, &a);
        }
        free_entry(e);
    }
}

int dt_ted_rule_set(struct dt_ted *t, dt_time now, const struct dt_ted_rule *rule, struct dt_err *err)
{
    struct dt_ted_rule r = *rule;
    if (!r.id || !r.count || r.count > DT_TED_MAX_PROXIES)
        return dt_err_set(err, 0, "a discover rule has 1 to %d proxies, this one %zu", DT_TED_MAX_PROXIES,
                          r.count);
    for (size_t i = 0; i < r.count; i++)
        if (dt_ted_proxy_normal(&r.proxy[i], err))
            return -1;
    struct rule_node *n = calloc(1, sizeof *n);
    if (!n)
        return dt_err_set(err, 0, "no memory for a rule");
    struct dt_list gone;
    take_rule(t, r.id, &gone);
    n->rule = r;
    dt_list_add_tail(&t->rules, &n->list);
    tell_gone(t, now, &gone);
    return 0;
}

void dt_ted_rule_remove(struct dt_ted *t, dt_time now, uint64_t id)
{
    struct dt_list gone;
    take_rule(t, id, &gone);
    tell_gone(t, now, &gone);
}

void dt_ted_free(struct dt_ted *t)
{
    if (!t)
        return;
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&t->by_hosts, &it));)
        entry_forget(t, DT_CONTAINER_OF(n, struct entry, by_hosts));
    dt_list_for_each_safe (at, &t->rules)
        free(DT_CONTAINER_OF(at, struct rule_node, list));
    dt_table_free(&t->by_hosts);
    dt_table_free(&t->by_cookie);
    dt_heap_free(&t->timers);
    free(t);
}

void dt_ted_digest(const struct dt_ted *t, dt_time now, struct dt_digest *d)
{
    uint64_t sum = 0; /* of the entries, in no order */
    struct dt_table_iter it = {0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&t->by_hosts, &it));) {
        const struct entry *e = DT_CONTAINER_OF(n, struct entry, by_hosts);
        struct dt_digest one;
        dt_digest_init(&one);
        dt_digest_u64(&one, e->rule);
        dt_digest_bytes(&one, &e->src, sizeof e->src);
        dt_digest_bytes(&one, &e->dst, sizeof e->dst);
        dt_digest_u64(&one, e->state);
        dt_digest_u64(&one, e->probes);
        dt_digest_u64(&one, e->nwaiting);
        dt_digest_u64(&one, e->timer.at == DT_NEVER ? DT_NEVER : dt_time_sub(e->timer.at, now));
        sum += dt_digest_value(&one);
    }
    dt_digest_u64(d, sum);
    dt_digest_u64(d, t->by_hosts.count);
}
