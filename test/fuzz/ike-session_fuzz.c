/* Two hosts with a session between them (null provider). Then the peer goes mad: the input is a list of messages, each
 * either raw bytes from anywhere, or payloads properly sealed under the session's keys, as a request or as the answer
 * to what the victim asks. Key exchanges of the victim may be jobs that come back when the input says so, and strangers
 * knock, with cookies and without. Whatever comes, the victim stays consistent, and afterwards nothing is left over. */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "ike/internal.h"

struct host {
    struct dt_ike *ike;
    struct dt_prng prng;
    struct dt_addrport at;
    struct dt_ike_cfg cfg;
    struct host *peer;
    struct dt_ike_session *session;
    bool mad; /* what it sends goes nowhere */
};

#define QUEUE 64
static struct {
    struct host *to;
    struct dt_path path;
    size_t len;
    uint8_t data[4096];
} queue[QUEUE];
static size_t queued;
static dt_time now;

#define JOBS 64
static struct dt_ike_work *job[JOBS];
static size_t jobs;
static uint8_t cookie[IKE_COOKIE_MAX];
static size_t cookie_len;

static void send(void *ctx, const struct dt_path *path, const uint8_t *data, size_t len, unsigned flags)
{
    struct host *h = ctx;
    if (len > 28 + 8 && data[16] == DT_P_NOTIFY && dt_get_be16(data + 34) == DT_N_COOKIE) {
        cookie_len = len - 36 < sizeof(cookie) ? len - 36 : sizeof(cookie);
        memcpy(cookie, data + 36, cookie_len);
    }
    if (h->mad || h->peer->mad || queued >= QUEUE || len > sizeof(queue[0].data))
        return;
    queue[queued].to = h->peer;
    queue[queued].path = (struct dt_path){.local = path->remote, .remote = path->local, .natt = path->natt};
    queue[queued].len = len;
    memcpy(queue[queued++].data, data, len);
}

static void finish(size_t i)
{
    struct dt_ike_work *w = job[i];
    job[i] = job[--jobs];
    dt_ike_work_run(w);
    dt_ike_work_done(w, now);
}

static void work(void *ctx, struct dt_ike_work *w)
{
    if (jobs == JOBS) /* more than the limits of this target allow */
        abort();
    job[jobs++] = w;
}

static void flow(void)
{
    for (size_t i = 0; i < queued; i++)
        dt_ike_input(queue[i].to->ike, now, &queue[i].path, queue[i].data, queue[i].len);
    queued = 0;
}

static int psk(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *l, const struct dt_ike_id *r,
               uint8_t key[DT_PSK_MAX])
{
    memset(key, 7, 16);
    return 16;
}

static const struct dt_ike_cfg *lookup(void *ctx, const struct dt_path *path, unsigned n)
{
    return n == 0 ? &((struct host *)ctx)->cfg : NULL;
}

static const struct dt_ike_cfg *authorize(void *ctx, struct dt_ike_session *s, const struct dt_ike_id *peer,
                                          const struct dt_ike_id *me, struct dt_err *err)
{
    return &((struct host *)ctx)->cfg;
}

static void up(void *ctx, struct dt_ike_session *s)
{
    ((struct host *)ctx)->session = s;
}

static void down(void *ctx, struct dt_ike_session *s, const struct dt_err *why)
{
    struct host *h = ctx;
    if (h->session == s)
        h->session = NULL;
}

static void host_init(struct host *h, struct host *peer, uint32_t addr)
{
    const struct dt_ike_ops ops = {.send = send,
                                   .psk = psk,
                                   .lookup = lookup,
                                   .authorize = authorize,
                                   .session_up = up,
                                   .session_down = down};
    struct dt_ike_params params;
    struct dt_selector all = dt_selector_all4();
    dt_ike_params_default(&params);
    params.retransmit_tries = 2;
    params.door.half_open_cookie = 4;
    params.door.half_open_max = 8;
    params.door.half_open_source = 3;
    params.door.failed_max = 2;
    params.door.work_queue = 20 * dt_ke_work(DT_KE_X25519);
    dt_prng_seed(&h->prng, addr);
    struct dt_rand r = dt_prng_rand(&h->prng);
    h->at = (struct dt_addrport){dt_addr4(addr), 500};
    h->peer = peer;
    dt_ike_id_parse(&h->cfg.local_id, addr & 1 ? "a.example" : "b.example");
    dt_proposals_default(&h->cfg.ike, DT_PROTO_IKE);
    dt_proposals_default(&h->cfg.esp, DT_PROTO_ESP);
    dt_selectors_add(&h->cfg.local_ts, &all);
    dt_selectors_add(&h->cfg.remote_ts, &all);
    h->ike = dt_ike_new(&params, &ops, h, dt_crypto_null(), &r);
}

/* A message of `mad` with these payloads inside, sealed as it should be. */
static void sealed(struct host *mad, struct host *victim, uint8_t kind, uint8_t first, const uint8_t *p,
                   size_t len)
{
    static const uint8_t exchanges[] = {DT_IKE_AUTH, DT_CREATE_CHILD_SA, DT_INFORMATIONAL,
                                        DT_CREATE_CHILD_SA};
    struct ike_sa *sa = mad->session ? mad->session->current : NULL;
    struct dt_ike_builder b;
    if (!sa || !victim->session || !victim->session->current)
        return;
    struct ike_sa *theirs = victim->session->current;
    if (theirs->spi_local != sa->spi_remote)
        return;
    bool response = kind & 4;
    sa->mid_out = theirs->mid_in;
    sa->mid_in = theirs->mid_out - 1;
    uint8_t exchange = exchanges[kind & 3];
    ike_sk_begin(sa, &b, exchange, response);
    if (len) {
        *b.next = first;
        dt_write_bytes(&b.w, p, len);
    }
    size_t n = ike_sk_end(sa, &b);
    struct dt_path path = {.local = victim->at, .remote = mad->at};
    uint8_t copy[4096];
    if (!n || n > sizeof(copy))
        return;
    memcpy(copy, mad->ike->scratch, n);
    dt_ike_input(victim->ike, now, &path, copy, n);
}

/* A beginning from one of sixteen addresses, with the last cookie that was given away or without. */
static void stranger(struct host *victim, uint8_t kind, const uint8_t *p, size_t len)
{
    uint8_t data[1200], ke[32] = {0}, nonce[32];
    struct dt_ike_builder w;
    struct dt_ike_header h = {
        .spi_i = 1 + (kind & 3u), .exchange = DT_IKE_SA_INIT, .flags = DT_IKE_FLAG_INITIATOR};
    struct dt_path path = {
        .local = victim->at,
        .remote = {dt_addr4(0x0a000000u + (len ? p[0] & 15u : 0)), (uint16_t)(500 + (kind & 1))}};
    struct dt_proposals offer = {0};
    struct dt_proposal one;
    if (dt_proposal_parse(&one, DT_PROTO_IKE, "aes128gcm16-prfsha256-x25519", NULL))
        abort();
    dt_proposals_add(&offer, &one);
    dt_put_be64(ke, len > 1 ? p[1] : 9);
    memset(nonce, len > 2 ? p[2] : 0, sizeof(nonce));
    dt_ike_build(&w, data, sizeof(data), &h);
    if (kind & 4)
        dt_ike_notify_write(&w, 0, dt_span(NULL, 0), DT_N_COOKIE, dt_span(cookie, cookie_len));
    dt_ike_sa_write(&w, &offer);
    dt_ike_ke_write(&w, DT_KE_X25519, dt_span(ke, sizeof(ke)));
    dt_ike_raw_write(&w, DT_P_NONCE, dt_span(nonce, 16 + (kind & 8) * 2));
    size_t n = dt_ike_build_end(&w);
    if (n)
        dt_ike_input(victim->ike, now, &path, data, n);
}

/* Length, kind, bytes. */
static void one_message(struct host *mad, struct host *victim, uint8_t kind, const uint8_t *p, size_t len)
{
    struct dt_err err;
    struct dt_ike_child *c;
    struct dt_path path = {.local = victim->at, .remote = mad->at};
    uint8_t copy[1024];
    switch (kind >> 4) {
    case 0: /* raw */
        memcpy(copy, p, len);
        dt_ike_input(victim->ike, now, &path, copy, len);
        break;
    case 1: /* the victim does something of its own first, so that an answer has something to answer */
        if (victim->session && victim->session->state == DT_SESSION_UP)
            dt_ike_session_rekey(victim->session, now);
        break;
    case 2:
        if (victim->session && !dt_list_empty(&victim->session->children)) {
            c = DT_CONTAINER_OF(victim->session->children.next, struct dt_ike_child, link);
            dt_ike_child_rekey(c, now, &err);
        }
        break;
    case 3:
        if (victim->session)
            dt_ike_child_create(victim->session, now, &err);
        break;
    case 4:
        if (victim->session && !dt_list_empty(&victim->session->children))
            dt_ike_child_delete(DT_CONTAINER_OF(victim->session->children.next, struct dt_ike_child, link),
                                now);
        break;
    case 5:
        now += 700 * DT_MSEC;
        dt_ike_tick(victim->ike, now);
        break;
    case 6:
        if (jobs)
            finish((kind & 15u) % jobs);
        break;
    case 7:
        stranger(victim, kind, p, len);
        return;
    default:
        break;
    }
    if (kind >> 4 && len)
        sealed(mad, victim, kind & 7, p[0], p + 1, len - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct host a, b;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    queued = jobs = cookie_len = 0;
    now = 1000 * DT_SEC;
    host_init(&a, &b, 0xc0000201);
    host_init(&b, &a, 0xc0000202);
    struct dt_path path = {.local = a.at, .remote = b.at};
    dt_ike_open(a.ike, now, &a.cfg, &path, NULL, NULL);
    for (int i = 0; i < 8; i++)
        flow();
    if (!a.session || !b.session)
        abort();
    bool first = len && data[0] & 1;
    struct host *mad = first ? &a : &b, *victim = first ? &b : &a;
    mad->mad = true;
    if (len && data[0] & 2)
        victim->ike->ops.work = work;
    for (size_t at = 1; at + 3 <= len;) {
        size_t n = dt_get_be16(data + at) % 900;
        uint8_t kind = data[at + 2];
        at += 3;
        n = n < len - at ? n : len - at;
        one_message(mad, victim, kind, data + at, n);
        at += n;
    }
    if (len && data[0] & 4) { /* it ends with jobs under way */
        dt_ike_free(victim->ike);
        dt_ike_free(mad->ike);
        while (jobs)
            finish(0);
        return 0;
    }
    while (jobs)
        finish(0);
    victim->ike->ops.work = NULL;
    if (victim->session)
        dt_ike_close(victim->session, now, false);
    for (int i = 0; i < 200 && dt_ike_deadline(victim->ike) != DT_NEVER; i++) {
        now = dt_ike_deadline(victim->ike);
        dt_ike_tick(victim->ike, now);
    }
    struct dt_ike_usage u = dt_ike_usage(victim->ike);
    if (u.sessions || u.sas || u.children || u.timers || u.queued || u.half_open || u.sources || u.works)
        abort();
    dt_ike_free(a.ike);
    dt_ike_free(b.ike);
    return 0;
}
