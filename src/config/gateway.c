/* gateway "name" { ... } */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"

static void read_listen(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def)
{
    struct dt_gateway_cfg *cfg = field;
    if (s->n > DT_GATEWAY_LISTEN) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_GATEWAY_LISTEN);
        return;
    }
    for (size_t i = 0; i < s->n; i++)
        if (value_addr(r, s->line, s->key, reader_value(r, s, i), &cfg->listen[cfg->nlisten]))
            cfg->nlisten++;
}

static void read_pool(struct reader *r, const struct dt_setting *s, void *field,
                      const struct setting_def *def)
{
    struct dt_config_gateway *g = field;
    g->pool_line = s->line;
    if (s->n > DT_CONFIG_POOLS_MAX) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_CONFIG_POOLS_MAX);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        struct dt_prefix p;
        char right[DT_PREFIX_STRLEN];
        if (dt_prefix_parse(&p, v, false) == 0) {
            if (p.len > (p.addr.ver == 4 ? 30 : 126))
                reader_error(r, s->line,
                             "pool: \"%.64s\" has no room; a prefix of at most /%d would be right", v,
                             p.addr.ver == 4 ? 30 : 126);
            else
                g->pool[g->npool++] = p;
        } else if (dt_prefix_parse(&p, v, true) == 0) {
            reader_error(r, s->line, "pool: \"%.64s\" has host bits set; \"%s\" would be right", v,
                         dt_prefix_str(right, &p));
        } else {
            reader_error(
                r, s->line,
                "pool: \"%.64s\" is no prefix; such as \"10.9.0.0/16\" or \"fd09::/64\" would be right", v);
        }
    }
}

static void read_dns(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    struct dt_config_gateway *g = field;
    if (s->n > DT_IKE_DNS_MAX) {
        reader_error(r, s->line, "dns has %zu values; at most %d are possible", s->n, DT_IKE_DNS_MAX);
        return;
    }
    for (size_t i = 0; i < s->n; i++)
        if (value_addr(r, s->line, s->key, reader_value(r, s, i), &g->dns[g->ndns]))
            g->ndns++;
}

static void read_domains(struct reader *r, const struct dt_setting *s, void *field,
                         const struct setting_def *def)
{
    struct dt_config_gateway *g = field;
    char name[DT_DOMAIN_MAX + 1];
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        if (!dt_domain_clean(name, v, strlen(v)))
            reader_error(r, s->line,
                         "domains: \"%.64s\" is no domain; such as \"corp.example.net\", in the form that "
                         "DNS has, would be right",
                         v);
        else if (!dt_domains_add(g->domains, name)) {
            reader_error(r, s->line,
                         "domains: there is no room for \"%.64s\"; at most %d octets, with a blank between "
                         "two, are possible",
                         v, DT_DOMAINS_CAP - 1);
            return;
        }
    }
}

static void add_secret(struct reader *r, struct dt_config_gateway *g, unsigned line, const char *path,
                       unsigned path_line, char *text)
{
    char *id = text + strspn(text, " \t\r");
    if (*id == '\0' || *id == '#')
        return;
    size_t idlen = strcspn(id, " \t"), gap = strspn(id + idlen, " \t");
    char *psk = id + idlen + gap, *end = psk + strlen(psk);
    while (end > psk && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        *--end = '\0'; /* what editors leave behind is no part of it */
    struct dt_config_secret s = {0};
    if (*psk == '\0') {
        reader_error(r, line, "secrets: %.200s:%u: an identity, a blank and its secret would be right", path,
                     path_line);
        return;
    }
    id[idlen] = '\0';
    if (dt_ike_id_parse_pattern(&s.id, id) != 0) {
        reader_error(r, line, "secrets: %.200s:%u: \"%.64s\" is no identity", path, path_line, id);
        return;
    }
    if (!value_psk(r, line, psk, strlen(psk), &s.psk))
        return;
    if (g->nsecret == DT_CONFIG_SECRETS_MAX) {
        reader_error(r, line, "secrets: %.200s:%u: there are more than %d", path, path_line,
                     DT_CONFIG_SECRETS_MAX);
        return;
    }
    if ((g->nsecret & (g->nsecret - 1)) == 0) {
        size_t cap = g->nsecret ? g->nsecret * 2 : 1;
        struct dt_config_secret *more = calloc(cap, sizeof(*more));
        if (more == NULL)
            return;
        if (g->nsecret > 0) {
            memcpy(more, g->secret, g->nsecret * sizeof(*more));
            dt_wipe(g->secret, g->nsecret * sizeof(*more));
        }
        free(g->secret);
        g->secret = more;
    }
    g->secret[g->nsecret++] = s;
    dt_wipe(&s, sizeof(s));
}

static int secrets_by_exact(const void *a, const void *b)
{
    const struct dt_config_secret *x = *(struct dt_config_secret *const *)a,
                                  *y = *(struct dt_config_secret *const *)b;
    bool px = dt_ike_id_is_pattern(&x->id) || x->id.type == DT_ID_ANY,
         py = dt_ike_id_is_pattern(&y->id) || y->id.type == DT_ID_ANY;
    if (px != py)
        return px ? 1 : -1;
    int order = px ? 0 : dt_ike_id_cmp(&x->id, &y->id);
    return order != 0 ? order : x < y ? -1 : x > y;
}

/* Exact identities in their order, then patterns in the file's. By pointers: what qsort keeps on the way has no secrets in
 * it. Out of memory: they stay as they are, and none counts as exact. */
static void sort_secrets(struct dt_config_gateway *g)
{
    size_t n = g->nsecret;
    struct dt_config_secret **order = calloc(n + 1, sizeof(*order)), *sorted = calloc(n + 1, sizeof(*sorted));
    g->nexact_secret = 0;
    if (order == NULL || sorted == NULL) {
        free(order);
        free(sorted);
        return;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = &g->secret[i];
    qsort(order, n, sizeof(struct dt_config_secret *), secrets_by_exact);
    for (size_t i = 0; i < n; i++)
        sorted[i] = *order[i];
    if (g->secret != NULL)
        dt_wipe(g->secret, n * sizeof(*g->secret));
    free(g->secret);
    free(order);
    g->secret = sorted;
    while (g->nexact_secret < g->nsecret && !dt_ike_id_is_pattern(&g->secret[g->nexact_secret].id) &&
           g->secret[g->nexact_secret].id.type != DT_ID_ANY)
        g->nexact_secret++;
}

/* "file:/PATH" with a line "IDENTITY SECRET" a client. */
void read_secrets(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    const size_t cap = (size_t)32 << 20;
    const char *v = reader_value(r, s, 0);
    if (strncmp(v, "file:", 5) != 0) {
        reader_error(
            r, s->line,
            "secrets = \"%.64s\": \"file:/PATH\" would be right, with a line IDENTITY SECRET for each client",
            v);
        return;
    }
    char *text = malloc(cap + 1);
    long n = text != NULL ? value_file(r, s->line, s->key, v + 5, text, cap) : -1;
    if (n >= 0) {
        text[n] = '\0';
        unsigned line = 1;
        for (char *p = text + value_mark(text, (size_t)n), *next; p != NULL; p = next, line++) {
            next = strchr(p, '\n');
            if (next != NULL)
                *next++ = '\0';
            add_secret(r, field, s->line, v + 5, line, p);
        }
        dt_wipe(text, (size_t)n);
    }
    free(text);
    sort_secrets(field);
}

static void read_remote(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def)
{
    struct dt_config_gateway *g = field;
    g->remote_line = s->line;
    read_selectors(r, s, &g->cfg.remote, def);
}

static void read_proof(struct reader *r, const struct dt_setting *s, void *field,
                       const struct setting_def *def)
{
    const char *v = reader_value(r, s, 0);
    if (strcmp(v, "same") != 0 && strcmp(v, "certificate") != 0)
        reader_error(r, s->line,
                     "proof = \"%.40s\": same (by certificate to who does so, else by pre-shared key) or "
                     "certificate (to "
                     "everybody) would be right",
                     v);
    *(bool *)field = strcmp(v, "certificate") == 0;
}

#define AT(member) offsetof(struct dt_config_gateway, member)
static const struct setting_def defs[] = {
    {"listen", read_listen, AT(cfg), .list = true},
    {"identity", read_id, AT(cfg.identity)},
    {"psk", read_psk, AT(psk)},
    {"protect", read_selectors, AT(cfg.protect), .list = true},
    {"pool", read_pool, 0, .list = true},
    {"dns", read_dns, 0, .list = true},
    {"domains", read_domains, 0, .list = true},
    {"secrets", read_secrets, 0},
    {"peers", read_id_pattern, AT(cfg.peers)},
    {"remote", read_remote, 0, .list = true},
    {"probe", read_bool, AT(cfg.probe)},
    {"server_rekey", read_bool, AT(cfg.params.server_rekey)},
    {"closed", read_closed, AT(closed)},
    {"mtu", read_uint, AT(mtu), 576, 65535},
    {"transport", read_bool, AT(cfg.transport)},
    {"clients_max", read_uint, AT(cfg.tunnels_max), 1, DT_CONFIG_CLIENTS_MAX},
    {"ike", read_ike_proposals, AT(cfg.ike), .list = true},
    {"esp", read_esp_proposals, AT(cfg.esp), .list = true},
    PROOF_SETTINGS,
    {"proof", read_proof, AT(cfg.proofs.own_always)},
    EPOCH_SETTINGS(struct dt_config_gateway, cfg.params),
};
const struct setting_table gateway_settings = {defs, DT_ARRAY_LEN(defs)};

/* The gateway waits for the client until half of rekeymargin is left; a negotiation must fit into that. */
static void check_server_rekey(struct reader *r, const struct dt_block *b, const struct dt_epoch_params *p)
{
    if (p->server_rekey && p->probe && p->rekeymargin / 2 < p->timeout)
        reader_warn(
            r, b->line,
            "server_rekey: the gateway begins rekeymargin / 2 = %g s before an epoch ends, and a negotiation "
            "may take timeout = %g s; rekeymargin = %gs or more would be right",
            dt_time_seconds(p->rekeymargin) / 2, dt_time_seconds(p->timeout),
            dt_time_seconds(p->timeout) * 2);
}

static void gateway_check_proofs(struct reader *r, const struct dt_block *b,
                                 const struct dt_config_gateway *g)
{
    const struct dt_setting *cert = reader_setting(r, b, "certificate"), *ca = reader_setting(r, b, "ca"),
                            *psk = reader_setting(r, b, "psk"), *proof = reader_setting(r, b, "proof");
    if (ca != NULL && cert == NULL)
        reader_error(r, ca->line,
                     "ca without certificate: clients with a certificate want to see one; certificate and "
                     "private_key of this "
                     "gateway would be right");
    if (cert != NULL && ca == NULL && !g->cfg.proofs.own_always)
        reader_error(r, cert->line,
                     "certificate without ca: it would be shown to nobody; ca = \"file:/PATH\", whose "
                     "certificates clients may show, "
                     "or proof = certificate, for clients with pre-shared keys, would be right");
    if (ca != NULL && psk != NULL)
        reader_error(r, psk->line,
                     "psk beside ca: whoever knows psk could come as any client that has a certificate; "
                     "secrets, or client "
                     "\"IDENTITY\" { psk = ... }, for those that have none would be right");
    if (proof != NULL && cert == NULL)
        reader_error(r, proof->line, "proof without certificate: there is none to prove this gateway by");
    for (size_t i = g->nexact_secret; ca != NULL && i < g->nsecret; i++) {
        char id[DT_IKE_ID_STRLEN];
        reader_warn(r, b->line,
                    "secrets: whoever knows that of %.64s can come as any of them, also as one that has a "
                    "certificate; client "
                    "\"IDENTITY\" { auth = certificate } for those would be right",
                    dt_ike_id_str(id, &g->secret[i].id));
    }
}

static void gateway_check(struct reader *r, const struct dt_block *b, struct dt_config_gateway *g,
                          const bool *seen)
{
    const size_t n = DT_ARRAY_LEN(defs);
    if (!reader_seen(defs, n, seen, "identity"))
        reader_error(r, b->line,
                     "gateway \"%s\" has no identity; identity = \"vpn.example.net\", who we say we are, "
                     "would be right",
                     g->cfg.name);
    if (!reader_seen(defs, n, seen, "protect") && !g->cfg.transport)
        reader_error(r, b->line,
                     "gateway \"%s\" has no protect; protect = { \"10.1.0.0/16\" }, what clients reach "
                     "through it, would be right",
                     g->cfg.name);
    if (g->ndns == 0 && g->domains[0] != '\0')
        reader_error(r, b->line,
                     "gateway \"%s\" has domains and no dns; dns = \"10.1.0.53\", the server that knows "
                     "them, would be right",
                     g->cfg.name);
    g->cfg.lease = g->npool > 0;
    g->secrets_set = reader_seen(defs, n, seen, "secrets") || reader_seen(defs, n, seen, "psk") ||
                     reader_seen(defs, n, seen, "ca");
    g->pool_set = reader_seen(defs, n, seen, "pool") || reader_seen(defs, n, seen, "remote");
    for (size_t i = 0; i < g->npool; i++)
        for (size_t k = 0; k < i; k++)
            if (dt_prefix_covers(&g->pool[i], &g->pool[k]) || dt_prefix_covers(&g->pool[k], &g->pool[i])) {
                char a[DT_PREFIX_STRLEN], c[DT_PREFIX_STRLEN];
                reader_error(r, b->line, "pool: %s and %s overlap", dt_prefix_str(a, &g->pool[k]),
                             dt_prefix_str(c, &g->pool[i]));
            }
    gateway_check_proofs(r, b, g);
    g->cfg.params.probe = g->cfg.probe;
    reader_epoch_params(r, b, &g->cfg.params, defs, n, seen, false);
    if (reader_seen(defs, n, seen, "server_rekey"))
        check_server_rekey(r, b, &g->cfg.params);
}

void read_gateway_section(struct reader *r, const struct dt_block *b)
{
    struct dt_config *c = r->c;
    if (c->ngateway == DT_CONFIG_GATEWAYS_MAX) {
        reader_error(r, b->line, "there are more than %d gateways", DT_CONFIG_GATEWAYS_MAX);
        return;
    }
    if (c->gateway == NULL)
        c->gateway = reader_room(r, "gateway", sizeof(*c->gateway), DT_CONFIG_GATEWAYS_MAX);
    if (c->gateway == NULL) {
        reader_error(r, b->line, "out of memory");
        return;
    }
    struct dt_config_gateway *g = &c->gateway[c->ngateway++];
    g->line = b->line;
    dt_gateway_cfg_default(&g->cfg);
    if (strlen(b->title) >= sizeof(g->cfg.name))
        reader_error(r, b->line, "the name has %zu bytes; at most %zu are possible", strlen(b->title),
                     sizeof(g->cfg.name) - 1);
    snprintf(g->cfg.name, sizeof(g->cfg.name), "%s", b->title);
    bool seen[DT_ARRAY_LEN(defs)] = {false};
    reader_section(r, b, g, defs, DT_ARRAY_LEN(defs), seen);
    gateway_check(r, b, g, seen);
    struct dt_digest d;
    reader_digest(r, b, &d);
    reader_proofs(r, b, &g->cfg.identity, true, &g->cfg.proofs, &d);
    dt_digest_bytes(&d, g->psk.key, g->psk.len);
    for (size_t i = 0; i < g->nsecret; i++) {
        dt_digest_bytes(&d, g->secret[i].id.data, g->secret[i].id.len);
        dt_digest_bytes(&d, g->secret[i].psk.key, g->secret[i].psk.len);
    }
    g->print = dt_digest_value(&d);
}
