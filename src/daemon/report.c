/* The whole of what `dovetail status` asks for, in pieces of a bounded number of tunnels: with ten thousand of them it is
 * many megabytes, and the epochs' engines must not wait for it. Each tunnel is told as it is when its turn comes; one that
 * comes meanwhile is told too, or not, and one that goes is told as it was, or not at all. */

#include "daemon/report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/refusals.h"
#include "daemon/status.h"
#include "discovery/discovery.h"
#include "plans/plans.h"
#include "tunnels/daemon.h"
#include "tunnels/leases.h"
#include "tunnels/tunnels.h"

#define ROWS  48   /* tunnels that are told in one piece */
#define LOOKS 2048 /* tunnels that are looked at for it */

enum stage { TUNNELS, GATEWAYS, REST };

struct report {
    struct daemon *d;
    json_t *names; /* an object: what is wanted, as it was asked for; NULL: everything */
    json_t *ids;   /* the same as identities, as they are written (dt_ike_id_key) */
    enum stage stage;
    struct tun_walk walk;
    bool comma;      /* something stands in the list already */
    uint32_t gate;   /* whose clients are told, or were last; 0: none yet */
    uint32_t client; /* the last one that was looked at; 0: the gateway's turn begins */
    bool begun;      /* the gateway's object */
    bool whole;      /* all its clients are wanted */
    unsigned clients, verified;
    unsigned rows, looks; /* left for this piece */
};

static void put_json(FILE *out, json_t *v) /* taken */
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    fputs(text != NULL ? text : "null", out);
    free(text);
    json_decref(v);
}

/* The members of an object, without its braces. */
static void put_members(FILE *out, json_t *o) /* taken */
{
    char *text = json_dumps(o, JSON_COMPACT);
    size_t len = text != NULL ? strlen(text) : 0;
    if (len > 2)
        fwrite(text + 1, 1, len - 2, out);
    free(text);
    json_decref(o);
}

static void put_comma(struct report *r, FILE *out)
{
    if (r->comma)
        fputc(',', out);
    r->comma = true;
}

static bool report_wants(const struct report *r, const char *name)
{
    return r->names == NULL || json_object_get(r->names, name) != NULL;
}

static bool wants_client(const struct report *r, const struct dt_ike_id *id)
{
    char text[DT_IKE_ID_STRLEN];
    return r->whole || report_wants(r, dt_ike_id_str(text, id)) ||
           json_object_get(r->ids, dt_ike_id_key(text, id)) != NULL;
}

/* True: there are more. */
static bool put_tunnels(struct report *r, FILE *out)
{
    for (; r->rows > 0 && r->looks > 0; r->looks--) {
        struct tun *t = tun_walk_next(r->d, &r->walk);
        if (t == NULL)
            return false;
        if (!report_wants(r, t->cfg.cfg.name))
            continue;
        put_comma(r, out);
        put_json(out, status_tunnel(r->d, t));
        r->rows--;
    }
    return true;
}

/* Gateways in the order of their numbers: one that goes meanwhile takes nobody's place. */
static struct gate *gate_from(struct daemon *d, uint32_t id)
{
    struct gate *next = NULL;
    dt_list_for_each (l, &d->gates) {
        struct gate *g = DT_CONTAINER_OF(l, struct gate, link);
        if (g->id >= id && (next == NULL || g->id < next->id))
            next = g;
    }
    return next;
}

static void gateway_begin(struct report *r, FILE *out, struct gate *g)
{
    if (r->begun)
        return;
    put_comma(r, out);
    fputc('{', out);
    put_members(out, status_gateway(r->d, g));
    fputs(",\"clients\":[", out);
    r->begun = true;
    r->comma = false;
}

static void gateway_end(struct report *r, FILE *out)
{
    if (r->begun)
        fprintf(out, "],\"clients_count\":%u,\"verified\":%u}", r->clients, r->verified);
    r->comma = r->comma || r->begun;
    r->begun = false;
}

/* The clients of one gateway. True: there are more. */
static bool put_clients(struct report *r, FILE *out, struct gate *g)
{
    struct dt_endpoint *ep = r->d->ep;
    for (; r->rows > 0 && r->looks > 0; r->looks--) {
        struct dt_tunnel_info info;
        r->client = dt_endpoint_tunnel_next(ep, r->client);
        if (r->client == 0)
            return false;
        if (dt_endpoint_tunnel_gateway(ep, r->client) != g->id ||
            !dt_endpoint_tunnel_info(ep, r->client, &info))
            continue;
        r->clients++;
        r->verified += info.verified;
        if (!wants_client(r, &info.remote_id))
            continue;
        gateway_begin(r, out, g);
        put_comma(r, out);
        put_json(out, status_client(r->d, r->client));
        r->rows--;
    }
    return true;
}

static bool put_gateways(struct report *r, FILE *out)
{
    while (r->rows > 0 && r->looks > 0) {
        bool under_way = r->client != 0;
        struct gate *g = gate_from(r->d, under_way ? r->gate : r->gate + 1);
        if (under_way && (g == NULL || g->id != r->gate)) { /* it was removed: what was told of it stands */
            gateway_end(r, out);
            r->client = 0;
            continue;
        }
        if (g == NULL)
            return false;
        if (!under_way) {
            r->gate = g->id;
            r->whole = report_wants(r, g->cfg.cfg.name);
            r->clients = r->verified = 0;
            if (r->whole)
                gateway_begin(r, out, g);
        }
        if (put_clients(r, out, g))
            return true;
        gateway_end(r, out);
    }
    return true;
}

static void put_rest(const struct report *r, FILE *out)
{
    struct daemon *d = r->d;
    json_t *refused = r->names == NULL ? refusals_json(d) : json_array();
    struct dt_host_filter_counters dropped = dt_keeper_dropped(d->keeper);
    put_members(out, json_pack("{s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:s*, s:s*}", "ike", status_ike(d),
                               "plans", plans_json(d), "discovery", discover_summary(d), "refused", refused,
                               "plain_dropped", "out", (json_int_t)dropped.out, "in", (json_int_t)dropped.in,
                               "note", dt_keeper_gone(d->keeper), "leases", leases_unkept(d)));
}

static void put_head(const struct report *r, FILE *out)
{
    struct daemon *d = r->d;
    fputs("{\"daemon\":", out);
    put_json(out, json_pack("{s:s, s:i, s:f, s:s, s:s}", "version", DT_VERSION, "pid", (int)getpid(),
                            "uptime_s", dt_time_seconds(daemon_now() - d->started), "device",
                            dt_dp_tun_name(d->dp), "config", d->config_file));
    fputs(",\"tunnels\":[", out);
}

static bool report_piece(void *ctx, FILE *out)
{
    struct report *r = ctx;
    r->rows = ROWS;
    r->looks = LOOKS;
    if (r->walk.at == NULL) {
        tun_walk_begin(r->d, &r->walk);
        put_head(r, out);
    }
    if (r->stage == TUNNELS && put_tunnels(r, out))
        return true;
    if (r->stage == TUNNELS) {
        fputs("],\"gateways\":[", out);
        r->comma = false;
        r->stage = GATEWAYS;
    }
    if (r->stage == GATEWAYS && put_gateways(r, out))
        return true;
    fputs("],", out);
    put_rest(r, out);
    fputc('}', out);
    return false;
}

static void report_end(void *ctx)
{
    struct report *r = ctx;
    if (r->walk.at != NULL)
        tun_walk_end(r->d, &r->walk);
    json_decref(r->names);
    json_decref(r->ids);
    free(r);
}

static void take_names(struct report *r, const json_t *names)
{
    size_t i;
    json_t *v;
    if (json_array_size(names) == 0)
        return;
    r->names = json_object();
    r->ids = json_object();
    json_array_foreach(names, i, v)
    {
        char key[DT_IKE_ID_STRLEN];
        struct dt_ike_id id;
        const char *name = json_string_value(v);
        json_object_set_new(r->names, name, json_true());
        if (dt_ike_id_parse(&id, name) == 0)
            json_object_set_new(r->ids, dt_ike_id_key(key, &id), json_true());
    }
}

void report_answer(struct daemon *d, struct dt_control_request *req, const json_t *names)
{
    static const struct dt_control_pieces pieces = {.next = report_piece, .end = report_end};
    struct report *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        dt_control_fail(req, 1, NULL, "out of memory");
        return;
    }
    r->d = d;
    take_names(r, names);
    dt_control_answer_pieces(req, &pieces, r);
}
