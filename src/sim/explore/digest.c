/* What makes two states different. What is left out here, and in the digests of the engines, makes two states one; the
 * audit (audit.c) looks for such a field. */
#include <string.h>

#include "base/bytes.h"
#include "sim/explore/inside.h"

/* What makes two packets different: all bytes of IKE and of a ping, of data only what a router and an SA look at. */
uint64_t sim_state_packet_hash(const struct sim_packet *p, uint32_t from, uint32_t to)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_digest_u64(&d, (uint64_t)from << 32 | to);
    dt_digest_u64(&d, (uint64_t)p->src << 32 | p->dst);
    dt_digest_u64(&d, p->proto == SIM_ESP ? 0 : (uint64_t)p->sport << 16 | p->dport);
    dt_digest_u64(&d, (uint64_t)p->ghost.unverified << 17 | (uint64_t)p->ghost.unheard << 16 |
                          (uint64_t)p->proto << 8 | p->ghost.load);
    dt_digest_bytes(&d, p->bytes, p->ghost.load == SIM_LOAD_DATA && p->len > 8 ? 8 : p->len);
    return dt_digest_value(&d);
}

static uint64_t sa_digest(const struct sim_host *h, const struct sim_sa *sa)
{
    struct dt_digest d;
    struct dt_esp_counters in, out;
    dt_esp_in_counters(sa->in, &in);
    dt_esp_out_counters(sa->out, &out);
    dt_digest_init(&d);
    dt_digest_u64(&d, (uint64_t)sa->spi_in << 32 | sa->spi_out);
    dt_digest_u64(&d, (uint64_t)sa->tunnel << 32 | sa->epoch);
    dt_digest_u64(&d, sa->heard ? sim_host_now(h) - sa->heard : DT_NEVER);
    dt_digest_u64(&d, sa->first.due);
    dt_digest_u64(&d, in.packets << 32 ^ out.packets);
    dt_esp_in_digest(sa->in, &d);
    dt_digest_u64(&d, dt_addr4_host(&sa->path.remote.addr) ^ (uint64_t)sa->ended << 40);
    return dt_digest_value(&d);
}

static uint64_t host_digest(const struct sim_host *h, unsigned blind)
{
    struct dt_digest d;
    uint64_t sum = 0;
    struct dt_table_iter it = {0};
    dt_digest_init(&d);
    if (!(blind & SIM_BLIND_ENDPOINT))
        dt_endpoint_digest(h->ep, sim_host_now(h), &d);
    for (struct dt_table_node *n; (n = dt_table_iterate(&h->sa_by_id, &it));)
        sum += sa_digest(h, DT_CONTAINER_OF(n, struct sim_sa, by_id));
    it = (struct dt_table_iter){0};
    for (struct dt_table_node *n; (n = dt_table_iterate(&h->tunnels, &it));) {
        const struct sim_tunnel *t = DT_CONTAINER_OF(n, struct sim_tunnel, by_id);
        struct dt_digest one;
        dt_digest_init(&one);
        dt_digest_u64(&one, t->id);
        const struct sim_sa *sa = sim_tunnel_sa(t);
        dt_digest_u64(&one, (sa ? sa->id : 0) << 8 | (uint64_t)t->out.state);
        dt_digest_u64(&one, (uint64_t)t->part.packets << 32 | t->proved);
        dt_digest_u64(&one, dt_time_sub(t->limit, sim_host_now(h)));
        sum += dt_digest_value(&one);
    }
    dt_digest_u64(&d, sum);
    dt_digest_u64(&d, h->nnews);
    for (unsigned i = 0; i < h->nnews; i++) {
        dt_digest_u64(&d, h->news[i].sa);
        dt_digest_u64(&d,
                      (uint64_t)h->news[i].reply << 32 | (uint32_t)h->news[i].ident << 16 | h->news[i].seq);
    }
    for (int i = 0; i < 4; i++)
        dt_digest_u64(&d, h->prng.s[i]);
    return dt_digest_value(&d);
}

static uint64_t nat_digest(const struct sim_state *s)
{
    const struct sim_router *r = s->w->routers[0];
    struct dt_digest d;
    dt_digest_init(&d);
    if (!(s->cfg->blind & SIM_BLIND_NAT))
        dt_masq_digest(r->masq, s->w->net->now, &d);
    dt_digest_u64(&d, r->forgot > 0);
    for (uint32_t i = 0; i < r->nports; i++)
        dt_digest_u64(&d, (uint64_t)r->ports[i].client << 16 | r->ports[i].port);
    return dt_digest_value(&d);
}

uint64_t sim_state_config_digest(const struct sim_explore_config *cfg)
{
    struct dt_digest d;
    dt_digest_init(&d);
    dt_digest_u64(&d, cfg->seed);
    dt_digest_u64(&d, cfg->params.nat.t_out);
    dt_digest_u64(&d, cfg->params.nat.t_ei);
    dt_digest_u64(&d, (uint64_t)cfg->params.nat.n << 32 | cfg->params.nat.n_out);
    const struct dt_epoch_params *p = &cfg->params.epoch;
    const uint64_t numbers[] = {p->keylife,   p->rekeymargin, p->rekeyfuzz,  p->maxidle, p->pingtime,
                                p->pingtries, p->pingtime2,   p->pingtries2, p->timeout, p->elimit};
    dt_digest_bytes(&d, numbers, sizeof numbers);
    dt_digest_bytes(&d, cfg->pairing->name, strlen(cfg->pairing->name));
    dt_digest_u64(&d, (uint64_t)cfg->crowd << 16 | (uint64_t)cfg->encap << 8 | (uint64_t)cfg->begin << 1 |
                          cfg->mute);
    return dt_digest_value(&d);
}

uint64_t sim_state_digest(struct sim_state *s, uint64_t *world)
{
    struct dt_digest d;
    uint64_t packets = 0;
    for (int i = 0; i < PARTS; i++)
        if (s->stale & 1u << i)
            s->part[i] = i < 3 ? host_digest(sim_state_host(s, i), s->cfg->blind) : nat_digest(s);
    s->stale = 0;
    dt_digest_init(&d);
    dt_digest_u64(&d, s->config);
    for (int i = 0; i < PARTS; i++)
        dt_digest_u64(&d, s->part[i]);
    for (int i = 0; i < s->n; i++)
        packets += s->pending[i].hash * (s->pending[i].hash | 1);
    dt_digest_u64(&d, packets);
    dt_digest_u64(&d, (uint64_t)s->n << 3 | (uint64_t)s->no_esp << 2 | (uint64_t)s->again << 1 | s->cut);
    *world = dt_digest_value(&d);
    dt_digest_bytes(&d, &s->left, sizeof s->left);
    return dt_digest_value(&d);
}

void sim_state_digest_anew(struct sim_state *s)
{
    s->stale = ALL;
}
