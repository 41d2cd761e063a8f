#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/explore/inside.h"

/* Is it a packet under way that the action is about? */
static bool of_packet(uint8_t kind)
{
    return kind <= SIM_DOUBLE || kind == SIM_BEHIND || kind == SIM_UNTOLD;
}

dt_time sim_state_now(const struct sim_state *s)
{
    return s->w->net->now;
}

/* News that waits is under way, too. */
static int news_waiting(const struct sim_state *s)
{
    int n = 0;
    for (int i = 0; i < 3; i++)
        n += sim_state_host(s, i)->nnews != 0;
    return n;
}

int sim_state_pending(const struct sim_state *s)
{
    return s->n + news_waiting(s) + s->cut;
}

bool sim_state_overflowed(const struct sim_state *s)
{
    return s->overflowed;
}

void sim_state_narrate(struct sim_state *s, void (*say)(void *ctx, dt_time now, const char *text), void *ctx)
{
    s->say = say;
    s->say_ctx = ctx;
}

static void state_tell(struct sim_state *s, struct sim_action a)
{
    char text[SIM_ACTION_TEXT];
    if (!s->say)
        return;
    sim_state_tell(s, a, text);
    s->say(s->say_ctx, s->w->net->now, text);
}

static void in_flight(void *ctx, struct sim_node *from, struct sim_node *to, struct sim_packet *p)
{
    struct sim_state *s = ctx;
    uint32_t server = s->w->server->node.index, a = s->w->clients[0]->node.index;
    bool lost = (s->cut && (from->index == server || to->index == server)) ||
                (s->no_esp && p->proto == SIM_ESP && (from->index == a || to->index == a));
    if (lost || s->n == PENDING) {
        s->overflowed |= !lost;
        sim_packet_free(&s->w->net->pool, p);
        return;
    }
    s->pending[s->n].p = p;
    s->pending[s->n].from = from->index;
    s->pending[s->n].to = to->index;
    s->pending[s->n].hash = sim_state_packet_hash(p, from->index, to->index);
    s->n++;
}

static struct sim_packet *flying_take(struct sim_state *s, int i)
{
    struct sim_packet *p = s->pending[i].p;
    memmove(&s->pending[i], &s->pending[i + 1], (size_t)(s->n - i - 1) * sizeof s->pending[0]);
    s->n--;
    return p;
}

static const struct sim_node *part_node(const struct sim_state *s, int i)
{
    return i < 3 ? &sim_state_host(s, i)->node : &s->w->routers[0]->node;
}

static void packet_arrive(struct sim_state *s, uint32_t to, struct sim_packet *p)
{
    struct sim_node *n = s->w->net->nodes[to];
    for (int i = 0; i < PARTS; i++)
        if (n == part_node(s, i))
            s->stale |= (uint8_t)(1u << i);
    n->ops->receive(n, p);
}

/* ---- time ------------------------------------------------------------------------------------ */

struct earliest {
    dt_time now, at;
};

static bool look_at_item(void *ctx, const struct dt_masq_item *it)
{
    struct earliest *e = ctx;
    if (it->expires > e->now)
        e->at = dt_time_min(e->at, it->expires);
    return true;
}

static dt_time next_timer(const struct sim_state *s)
{
    struct earliest e = {s->w->net->now, DT_NEVER};
    for (int i = 0; i < 3; i++)
        if (sim_state_host(s, i)->ep)
            e.at = dt_time_min(e.at, dt_time_sub(dt_endpoint_deadline(sim_state_host(s, i)->ep),
                                                 sim_state_host(s, i)->skew));
    dt_masq_items(s->w->routers[0]->masq, e.now, look_at_item, &e);
    return e.at;
}

static void go_to(struct sim_state *s, dt_time at)
{
    s->stale = ALL;
    s->again = s->cfg->begin == SIM_BEGIN_ALIKE;
    if (at > s->w->net->now)
        s->w->net->now = at;
    for (int i = 0; i < 3; i++) {
        struct sim_host *h = sim_state_host(s, i);
        if (h->ep && dt_endpoint_deadline(h->ep) <= sim_host_now(h))
            dt_endpoint_tick(h->ep, sim_host_now(h));
    }
    dt_masq_tick(s->w->routers[0]->masq, s->w->net->now);
}

/* ---- fair play, and what it must lead to ----------------------------------------------------- */

#define DRAIN_MAX 4000

static void read_news(struct sim_state *s, int i)
{
    s->stale |= (uint8_t)(1u << i);
    sim_host_read_news(sim_state_host(s, i));
}

void sim_state_sort(struct sim_state *s)
{
    for (int i = 1; i < s->n; i++)
        for (int k = i; k && s->pending[k].hash < s->pending[k - 1].hash; k--) {
            struct sim_pending p = s->pending[k];
            s->pending[k] = s->pending[k - 1];
            s->pending[k - 1] = p;
        }
}

static bool drain(struct sim_state *s)
{
    for (int i = 0; s->n || news_waiting(s); i++) {
        if (i == DRAIN_MAX)
            return false;
        for (int k = 0; k < 3; k++)
            if (sim_state_host(s, k)->nnews)
                read_news(s, k);
        if (!s->n)
            continue;
        if (s->canonical)
            sim_state_sort(s);
        if (s->step)
            s->step(s->step_ctx, s);
        uint32_t to = s->pending[0].to;
        if (s->pending[0].p->ghost.load != SIM_LOAD_DATA)
            state_tell(s, (struct sim_action){SIM_DELIVER, 0});
        packet_arrive(s, to, flying_take(s, 0));
    }
    return true;
}

static bool all_arrived(const struct sim_state *s)
{
    for (int i = 0; i < 4; i++)
        if (s->w->flows[i].expected != s->w->flows[i].sent)
            return false;
    return true;
}

/* Does a client wait for an epoch to be verified? */
static bool probing(const struct sim_state *s)
{
    for (int k = 0; k < 2; k++) {
        const struct sim_host *h = sim_state_host(s, k);
        struct dt_table_iter it = {0};
        for (struct dt_table_node *n; (n = dt_table_iterate(&h->sa_by_id, &it));) {
            const struct sim_sa *sa = DT_CONTAINER_OF(n, struct sim_sa, by_id);
            if (!sa->heard && !sa->ended)
                return true;
        }
    }
    return false;
}

static void traffic(struct sim_state *s, int first)
{
    dt_time next = s->w->net->now + DT_SEC;
    for (uint32_t i = (uint32_t)first; i < 2; i++) {
        sim_host_traffic(s->w->clients[i], i, next);
        sim_host_traffic(s->w->server, i, next);
    }
}

static const char *state_check(struct sim_state *s);

const char *sim_state_unfair(struct sim_state *s, dt_time *took)
{
    dt_time began = s->w->net->now, say = began;
    dt_time bound = sim_run_bound(s->cfg->pairing, &s->cfg->params, 0);
    s->cut = false;
    for (int i = 0; i < 100000; i++) {
        if (!drain(s))
            return "(c) a storm of packets: it does not end";
        if (s->w->net->now >= say) {
            traffic(s, 0);
            say = s->w->net->now + 700 * DT_MSEC; /* out of step with the pings */
            if (!drain(s))
                return "(c) a storm of packets: it does not end";
            *took = s->w->net->now - began;
            if (all_arrived(s) && !probing(s))
                return state_check(s);
        }
        if (s->w->net->now > began + bound) {
            snprintf(s->violation, sizeof s->violation,
                     "(c) %s %.1f s after the network became fair; the parameters promise %.1f s",
                     all_arrived(s) ? "an epoch is neither verified nor given up" : "traffic does not flow",
                     dt_time_seconds(s->w->net->now - began), dt_time_seconds(bound));
            return s->violation;
        }
        go_to(s, dt_time_min(next_timer(s), say));
        const char *wrong = state_check(s);
        if (wrong)
            return wrong;
    }
    return "(c) time stands still";
}

/* The longest that a client may sleep. */
static dt_time longest_sleep(const struct dt_epoch_params *p)
{
    dt_time t = p->maxidle > p->timeout ? p->maxidle : p->timeout;
    dt_time ping = p->pingtime > p->pingtime2 ? p->pingtime : p->pingtime2;
    t = t > ping ? t : ping;
    return t > p->reopen_max ? t : p->reopen_max;
}

static const char *timers(struct sim_state *s)
{
    dt_time sleep = longest_sleep(&s->cfg->params.epoch);
    for (int i = 0; i < 3; i++) {
        const struct sim_host *h = sim_state_host(s, i);
        dt_time at = dt_endpoint_deadline(h->ep);
        if (at != DT_NEVER && (!h->client || at <= sim_host_now(h) + sleep))
            continue;
        if (h->client || h->tunnels.count) {
            snprintf(s->violation, sizeof s->violation, "(d) %s has no timer%s", h->node.name,
                     at == DT_NEVER ? "" : " that fires soon");
            return s->violation;
        }
    }
    return NULL;
}

static const char *state_check(struct sim_state *s)
{
    const struct sim_router *r = s->w->routers[0];
    if (!s->cfg->pairing->client_probes)
        return NULL;
    if (s->cfg->pairing->server_waits && r->wrong_unheard)
        return "(a) an item pairs SPIs of different clients by a packet on an epoch that the server had not "
               "heard";
    if (r->wrong_fresh)
        return "(a) an item pairs SPIs of different clients though nothing had expired or been forgotten";
    if (r->wrong_cookies && !s->again)
        return "(a) an item pairs cookies of different clients though nobody had sent anything twice";
    if (s->w->clients[0]->sins.unverified_data || s->w->clients[1]->sins.unverified_data)
        return "(b) a client sent data on an epoch that it had not verified";
    if (s->w->server->sins.unheard_data)
        return "(b) the server sent data on an epoch that it had not heard";
    if (s->w->clients[0]->sins.needless_hold || s->w->clients[1]->sins.needless_hold)
        return "(b) a client's data waits though the epoch that carried it is alive";
    for (int i = 0; i < 3; i++)
        if (sim_state_host(s, i)->sins.no_such_sa)
            return "(b) data is to go out on an SA that is not there";
    return timers(s);
}

const char *sim_state_violation(struct sim_state *s)
{
    return state_check(s);
}

/* ---- actions --------------------------------------------------------------------------------- */

static int action_add(struct sim_action *out, int n, int kind, int arg)
{
    if (n < SIM_ACTIONS_MAX)
        out[n++] = (struct sim_action){(uint8_t)kind, (uint8_t)arg};
    return n;
}

/* What was cut can always be joined again; nothing else comes without an end. */
static bool may(const struct sim_state *s, int what)
{
    return what == SIM_ENV_JOIN ? s->cut : s->left.env[what] && !(what == SIM_ENV_CUT && s->cut);
}

/* Does that packet carry news of an epoch to a host? */
static bool is_news(const struct sim_state *s, int packet)
{
    for (int k = 0; k < 3; k++)
        if (sim_state_host(s, k)->node.index == s->pending[packet].to)
            return sim_host_is_news(sim_state_host(s, k), s->pending[packet].p);
    return false;
}

/* The count that time uses up when it goes on now. */
static uint8_t *clock_count(struct sim_budget *left, const struct sim_state *s)
{
    return s->n || news_waiting(s) ? &left->late : &left->tick;
}

int sim_state_actions(const struct sim_state *s, struct sim_action out[SIM_ACTIONS_MAX])
{
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        bool twin = false;
        for (int k = 0; k < i; k++)
            twin |= s->pending[k].hash == s->pending[i].hash;
        if (twin)
            continue;
        n = action_add(out, n, SIM_DELIVER, i);
        if (s->left.lose)
            n = action_add(out, n, SIM_LOSE, i);
        if (s->left.duplicate)
            n = action_add(out, n, SIM_DOUBLE, i);
        if (!is_news(s, i))
            continue;
        if (s->left.behind)
            n = action_add(out, n, SIM_BEHIND, i);
        if (s->left.untold)
            n = action_add(out, n, SIM_UNTOLD, i);
    }
    for (int i = 0; i < 3; i++)
        if (sim_state_host(s, i)->nnews)
            n = action_add(out, n, SIM_NEWS, i);
    bool calm = !s->cfg->crowd || s->n + news_waiting(s) <= s->cfg->crowd;
    for (int e = 0; e < SIM_ENVS; e++)
        if (may(s, e) && (calm || e == SIM_ENV_JOIN))
            n = action_add(out, n, SIM_ENV, e);
    if (!calm)
        return n;
    if (*clock_count((struct sim_budget *)&s->left, s))
        n = action_add(out, n, SIM_TICK, 0);
    return n;
}

static void environment(struct sim_state *s, int what)
{
    struct sim_world *w = s->w;
    dt_time next = w->net->now + DT_SEC;
    struct dt_err err;
    s->stale = ALL;
    if (what != SIM_ENV_JOIN)
        s->left.env[what]--;
    switch (what) {
    case SIM_ENV_UP_A:
    case SIM_ENV_UP_B:
        sim_host_traffic(w->clients[what == SIM_ENV_UP_B], what == SIM_ENV_UP_B, next);
        return;
    case SIM_ENV_DOWN_A:
    case SIM_ENV_DOWN_B:
        sim_host_traffic(w->server, what == SIM_ENV_DOWN_B, next);
        return;
    case SIM_ENV_REKEY_A:
    case SIM_ENV_REKEY_B: {
        struct sim_host *c = w->clients[what == SIM_ENV_REKEY_B];
        dt_endpoint_rekey(c->ep, sim_host_now(c), c->tunnel);
        return;
    }
    case SIM_ENV_SERVER_REKEYS_A: {
        const struct sim_tunnel *t = sim_host_tunnel(w->server, 0);
        if (t)
            dt_endpoint_rekey(w->server->ep, sim_host_now(w->server), t->id);
        return;
    }
    case SIM_ENV_REKEY_SESSION_A:
        dt_endpoint_rekey_ike(w->clients[0]->ep, sim_host_now(w->clients[0]), w->clients[0]->tunnel);
        return;
    case SIM_ENV_CUT:
    case SIM_ENV_JOIN:
        s->cut = what == SIM_ENV_CUT;
        return;
    case SIM_ENV_NO_ESP:
        s->no_esp = true;
        return;
    case SIM_ENV_CRASH:
        sim_router_reboot(w->routers[0]);
        return;
    default:
        if (sim_host_restart(w->server, &err))
            w->net->failed = true;
    }
}

/* The packet arrives, and its host's ring of events is not read, or full. */
static bool arrive_untold(struct sim_state *s, struct sim_action a)
{
    uint8_t *left = a.kind == SIM_BEHIND ? &s->left.behind : &s->left.untold;
    uint32_t to = s->pending[a.arg].to;
    if (!*left || !is_news(s, a.arg))
        return false;
    --*left;
    for (int i = 0; i < 3; i++)
        if (sim_state_host(s, i)->node.index == to)
            sim_state_host(s, i)->ring = a.kind == SIM_BEHIND ? SIM_RING_BEHIND : SIM_RING_FULL;
    packet_arrive(s, to, flying_take(s, a.arg));
    for (int i = 0; i < 3; i++)
        sim_state_host(s, i)->ring = SIM_RING_READ;
    return true;
}

bool sim_state_apply(struct sim_state *s, struct sim_action a)
{
    if (of_packet(a.kind) && a.arg >= s->n)
        return false;
    uint32_t to = of_packet(a.kind) ? s->pending[a.arg].to : 0;
    struct sim_packet *p;
    switch (a.kind) {
    case SIM_DELIVER:
        p = flying_take(s, a.arg);
        packet_arrive(s, to, p);
        return true;
    case SIM_LOSE:
        if (!s->left.lose)
            return false;
        s->left.lose--;
        sim_packet_free(&s->w->net->pool, flying_take(s, a.arg));
        return true;
    case SIM_DOUBLE:
        if (!s->left.duplicate || !(p = sim_packet_copy(&s->w->net->pool, s->pending[a.arg].p)))
            return false;
        s->left.duplicate--;
        s->again = s->cfg->begin == SIM_BEGIN_ALIKE;
        packet_arrive(s, to, p);
        return true;
    case SIM_TICK:
        if (!*clock_count(&s->left, s))
            return false;
        --*clock_count(&s->left, s);
        go_to(s, next_timer(s));
        return true;
    case SIM_BEHIND:
    case SIM_UNTOLD:
        return arrive_untold(s, a);
    case SIM_NEWS:
        if (a.arg > 2 || !sim_state_host(s, a.arg)->nnews)
            return false;
        read_news(s, a.arg);
        return true;
    case SIM_ENV:
        if (a.arg >= SIM_ENVS || !may(s, a.arg))
            return false;
        environment(s, a.arg);
        return true;
    default:
        return false;
    }
}

static const char *const env_names[SIM_ENVS] = {"data A to the server",
                                                "data to A",
                                                "data B to the server",
                                                "data to B",
                                                "A rekeys",
                                                "B rekeys",
                                                "the NAT forgets everything",
                                                "the server forgets everything",
                                                "the server rekeys A",
                                                "A rekeys its IKE session",
                                                "nothing gets through between NAT and server",
                                                "packets get through again",
                                                "A's raw ESP gets through no more"};

const char *sim_env_name(int e)
{
    return env_names[e];
}

void sim_state_tell(const struct sim_state *s, struct sim_action a, char out[SIM_ACTION_TEXT])
{
    static const char *const what[] = {
        [SIM_DELIVER] = "arrives",
        [SIM_LOSE] = "is lost",
        [SIM_DOUBLE] = "arrives, and a copy is still under way",
        [SIM_BEHIND] = "arrives, and the endpoint does not look yet",
        [SIM_UNTOLD] = "arrives, and the endpoint is not told: the ring of events is full",
    };
    char label[SIM_LABEL_LEN];
    if (of_packet(a.kind) && a.arg < s->n)
        snprintf(out, SIM_ACTION_TEXT, "%s -> %s: %s %s", s->w->net->nodes[s->pending[a.arg].from]->name,
                 s->w->net->nodes[s->pending[a.arg].to]->name, sim_packet_label(label, s->pending[a.arg].p),
                 what[a.kind]);
    else if (a.kind == SIM_TICK)
        snprintf(out, SIM_ACTION_TEXT, "time goes on by %.3f s",
                 dt_time_seconds(dt_time_sub(next_timer(s), s->w->net->now)));
    else if (a.kind == SIM_NEWS && a.arg < 3)
        snprintf(out, SIM_ACTION_TEXT, "%s: the endpoint hears what its data path has to tell",
                 sim_state_host(s, a.arg)->node.name);
    else if (a.kind == SIM_ENV && a.arg < SIM_ENVS)
        snprintf(out, SIM_ACTION_TEXT, "%s", env_names[a.arg]);
    else
        snprintf(out, SIM_ACTION_TEXT, "nothing: there is no such packet now");
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* Plays fairly until the tunnels of client `first` and those after it are up and verified, and nothing is under way. */
static bool warm_up(struct sim_state *s, int first)
{
    for (int i = 0; i < 10000; i++) {
        if (!drain(s))
            return false;
        if (s->w->clients[first]->sa_by_id.count && s->w->clients[1]->sa_by_id.count && !probing(s)) {
            traffic(s, first);
            return drain(s) && (first || all_arrived(s));
        }
        go_to(s, next_timer(s));
    }
    return false;
}

static int state_begin(struct sim_state *s, struct dt_err *err)
{
    const struct sim_explore_config *cfg = s->cfg;
    bool one = cfg->begin == SIM_BEGIN_ONE;
    if (sim_host_start(s->w->server, err) || (!one && sim_host_start(s->w->clients[0], err)) ||
        sim_host_start(s->w->clients[1], err))
        return -1;
    if ((one || cfg->begin == SIM_BEGIN_UP) && !warm_up(s, one))
        return dt_err_set(err, 0, "the tunnels do not come up on a fair network with these parameters%s%s",
                          cfg->plant ? " and " : "", cfg->plant ? cfg->plant : "");
    return one ? sim_host_start(s->w->clients[0], err) : 0;
}

struct sim_state *sim_state_new(const struct sim_explore_config *cfg, struct dt_err *err)
{
    struct sim_state *s = calloc(1, sizeof *s);
    struct sim_world_config wc = sim_world_config_default(cfg->seed, cfg->pairing, &cfg->params);
    if (!s)
        return NULL;
    s->cfg = cfg;
    s->left = cfg->budget;
    s->stale = ALL;
    s->config = sim_state_config_digest(cfg);
    wc.masq_faults = cfg->masq_faults;
    wc.host_faults = cfg->host_faults;
    wc.ike_patience = true;
    wc.mute = cfg->mute;
    s->w = sim_world_new(&wc, err);
    if (!s->w) {
        free(s);
        return NULL;
    }
    s->w->clients[0]->cfg.encap = cfg->encap;
    s->w->net->in_flight = in_flight;
    s->w->net->in_flight_ctx = s;
    s->w->net->now = DT_SEC;
    if (cfg->begin == SIM_BEGIN_ALIKE)
        for (int i = 0; i < 2; i++) {
            s->w->clients[i]->cookie_script = ALIKE;
            s->w->clients[i]->spi_script = (uint32_t)ALIKE;
        }
    if (state_begin(s, err)) {
        sim_state_free(s);
        return NULL;
    }
    s->w->routers[0]->forgot = 0;
    s->again = false;
    return s;
}

void sim_state_free(struct sim_state *s)
{
    if (!s)
        return;
    while (s->n)
        sim_packet_free(&s->w->net->pool, flying_take(s, 0));
    sim_world_free(s->w);
    free(s);
}
