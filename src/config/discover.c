/* discover "name" { ... } */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"

static void read_proxies(struct reader *r, const struct dt_setting *s, void *field,
                         const struct setting_def *def)
{
    struct dt_ted_rule *rule = field;
    if (s->n > DT_TED_MAX_PROXIES) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_TED_MAX_PROXIES);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct dt_err err = {0};
        struct dt_selectors own, others;
        struct dt_ted_proxy p;
        const char *v = reader_value(r, s, i);
        if (dt_ted_proxy_parse(&p, v, &err) != 0 || dt_ted_proxy_selectors(&own, &others, &p, &err) != 0)
            reader_error(r, s->line, "protect = \"%.80s\": %s", v, err.text);
        else
            rule->proxy[rule->count++] = p;
    }
}

/* "IDENTITY" or "IDENTITY NETWORK[,NETWORK...]" */
static void read_peer(struct reader *r, unsigned line, struct dt_config_discover *d, const char *text)
{
    char copy[512], *save = NULL;
    struct dt_discover_peer *p = &d->peer[d->npeer];
    if (strlen(text) >= sizeof(copy)) {
        reader_error(r, line, "peers: \"%.40s...\" is too long", text);
        return;
    }
    memcpy(copy, text, strlen(text) + 1);
    char *id = strtok_r(copy, " \t,", &save);
    if (id == NULL || dt_ike_id_parse_pattern(&p->id, id) != 0) {
        reader_error(r, line,
                     "peers = \"%.64s\": an identity or a pattern such as \"*.example.net\" would be right",
                     text);
        return;
    }
    for (char *w; (w = strtok_r(NULL, " \t,", &save)) != NULL;) {
        struct dt_selector sel;
        if (dt_selector_parse(&sel, w) != 0 || !dt_selectors_add(&p->remote, &sel)) {
            reader_error(
                r, line,
                "peers = \"%.64s\": \"%.40s\" is no network; \"east.example.net 10.2.0.0/16\" would be right",
                text, w);
            return;
        }
    }
    d->npeer++;
}

static void read_peers(struct reader *r, const struct dt_setting *s, void *field,
                       const struct setting_def *def)
{
    struct dt_config_discover *d = field;
    if (s->n > DT_DISCOVER_PEERS) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_DISCOVER_PEERS);
        return;
    }
    for (size_t i = 0; i < s->n; i++)
        read_peer(r, s->line, d, reader_value(r, s, i));
}

#define AT(member) offsetof(struct dt_config_discover, member)
static const struct setting_def defs[] = {
    {"protect", read_proxies, AT(rule), .list = true},
    {"identity", read_id, AT(gate.cfg.identity)},
    {"psk", read_psk, AT(gate.psk)},
    {"secrets", read_secrets, AT(gate)},
    {"peers", read_peers, 0, .list = true},
    {"hold", read_bool, AT(hold)},
    {"idle", read_span, AT(idle)},
    {"remember", read_span, AT(params.negative_ttl)},
    {"probe_tries", read_uint, AT(params.tries), 1, 10},
    {"probe_rate", read_uint, AT(params.probe_rate), 1, 100000},
    {"reply_rate", read_uint, AT(params.reply_rate), 1, 100000},
    {"reply_rate_source", read_uint, AT(params.reply_rate_source), 1, 100000},
    {"proxy_address", read_bool, AT(params.proxy_address)},
    {"encap", read_encap, AT(encap)},
    {"probe", read_bool, AT(gate.cfg.probe)},
    {"mtu", read_uint, AT(gate.mtu), 576, 65535},
    {"tunnels_max", read_uint, AT(gate.cfg.tunnels_max), 1, 16384},
    {"ike", read_ike_proposals, AT(gate.cfg.ike), .list = true},
    {"esp", read_esp_proposals, AT(gate.cfg.esp), .list = true},
    EPOCH_SETTINGS(struct dt_config_discover, gate.cfg.params),
};
const struct setting_table discover_settings = {defs, DT_ARRAY_LEN(defs)};

/* Our side of all sections is one gateway's, towards peers that find us, and IKE narrows to so many selectors. */
static void check_total(struct reader *r, const struct dt_block *b)
{
    struct dt_selectors own = {0}, others = {0};
    struct dt_range range[DT_DISCOVER_RANGES];
    bool fits = true;
    size_t routes = 0;
    for (size_t i = 0; i < r->c->ndiscover; i++)
        for (size_t k = 0; k < r->c->discover[i].rule.count; k++) {
            struct dt_selectors x, y;
            dt_ted_proxy_selectors(&x, &y, &r->c->discover[i].rule.proxy[k], NULL);
            for (size_t n = 0; n < x.n; n++)
                fits &= dt_selectors_add(&own, &x.v[n]);
            for (size_t n = 0; n < y.n; n++)
                fits &= dt_selectors_add(&others, &y.v[n]);
            const struct dt_ted_proxy *p = &r->c->discover[i].rule.proxy[k];
            int from = dt_ted_half_ranges(range, DT_DISCOVER_RANGES, &p->src, &p->src_mask),
                to = dt_ted_half_ranges(range, DT_DISCOVER_RANGES, &p->dst, &p->dst_mask);
            routes += from > 0 && to > 0 ? (size_t)from * (size_t)to : 0;
        }
    if (routes > DT_DISCOVER_ROUTES_MAX)
        reader_error(
            r, b->line,
            "up to here the discover sections come to %zu routing rules, and %d are possible; fewer and "
            "wider proxies would be right",
            routes, DT_DISCOVER_ROUTES_MAX);
    if (!fits)
        reader_error(r, b->line,
                     "up to here the discover sections come to more than %d ranges of addresses on one side; "
                     "fewer and wider proxies would be right",
                     DT_SELECTORS_MAX);
}

/* One identity, one engine: what they are told stands once. */
static bool of_the_host(const char *key)
{
    static const char *const keys[] = {"identity",          "psk",          "secrets",    "peers",
                                       "remember",          "probe_tries",  "probe_rate", "reply_rate",
                                       "reply_rate_source", "proxy_address"};
    for (size_t i = 0; i < DT_ARRAY_LEN(keys); i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

static void discover_check(struct reader *r, const struct dt_block *b, struct dt_config_discover *d,
                           const bool *seen)
{
    const size_t n = DT_ARRAY_LEN(defs);
    const char *name = d->rule.name;
    bool first = r->c->ndiscover == 1;
    if (!reader_seen(defs, n, seen, "protect"))
        reader_error(r, b->line,
                     "discover \"%s\" has no protect; protect = { \"10.1.0.0/16 10.0.0.0/8\" }, our side and "
                     "the others', "
                     "would be right",
                     name);
    if (first && !reader_seen(defs, n, seen, "identity"))
        reader_error(r, b->line,
                     "discover \"%s\" has no identity; identity = \"west.example.net\", who we say we are, "
                     "would be right",
                     name);
    else if (reader_seen(defs, n, seen, "identity") && d->gate.cfg.identity.type != DT_ID_FQDN)
        reader_error(r, b->line,
                     "discover \"%s\": the identity of a gateway that discovers is a domain name such as "
                     "\"west.example.net\"",
                     name);
    else if (d->gate.cfg.identity.len > DT_IKE_ID_MAX - 16)
        reader_error(r, b->line, "discover \"%s\": the identity is longer than %d bytes", name,
                     DT_IKE_ID_MAX - 16);
    if (first && !reader_seen(defs, n, seen, "psk") && !reader_seen(defs, n, seen, "secrets"))
        reader_error(r, b->line,
                     "discover \"%s\" has no secret; psk = \"file:/PATH\" for all gateways, or secrets = "
                     "\"file:/PATH\" with one "
                     "for each, would be right",
                     name);
    if (!first)
        for (size_t i = 0; i < n; i++)
            if (seen[i] && of_the_host(defs[i].key))
                reader_error(r, b->line,
                             "%s belongs to the host: it stands in the first discover section (%s) for "
                             "all of them",
                             defs[i].key, reader_line(r, r->c->discover[0].line, b->line));
    check_total(r, b);
    reader_epoch_params(r, b, &d->gate.cfg.params, defs, n, seen, true);
}

static void discover_fill(struct dt_config_discover *d, const struct dt_block *b)
{
    d->line = b->line;
    d->hold = true;
    d->idle = 900 * DT_SEC;
    dt_ted_params_default(&d->params);
    dt_gateway_cfg_default(&d->gate.cfg);
    d->gate.cfg.tunnels_max = 4096;
    snprintf(d->rule.name, sizeof(d->rule.name), "%s", b->title);
    snprintf(d->gate.cfg.name, sizeof(d->gate.cfg.name), "discover");
}

void read_discover_section(struct reader *r, const struct dt_block *b)
{
    struct dt_config *c = r->c;
    if (c->ndiscover == DT_CONFIG_DISCOVER_MAX) {
        reader_error(r, b->line, "there are more than %d discover sections", DT_CONFIG_DISCOVER_MAX);
        return;
    }
    if (c->discover == NULL)
        c->discover = reader_room(r, "discover", sizeof(*c->discover), DT_CONFIG_DISCOVER_MAX);
    if (c->discover == NULL) {
        reader_error(r, b->line, "out of memory");
        return;
    }
    struct dt_config_discover *d = &c->discover[c->ndiscover++];
    discover_fill(d, b);
    d->rule.id = c->ndiscover;
    if (strlen(b->title) >= sizeof(d->rule.name))
        reader_error(r, b->line, "the name has %zu bytes; at most %zu are possible", strlen(b->title),
                     sizeof(d->rule.name) - 1);
    for (size_t i = 0; i + 1 < c->ndiscover; i++)
        if (strcmp(c->discover[i].rule.name, d->rule.name) == 0)
            reader_error(r, b->line,
                         "there is a discover section \"%s\" in %s already; another name would be right",
                         d->rule.name, reader_line(r, c->discover[i].line, b->line));
    bool seen[DT_ARRAY_LEN(defs)] = {false};
    reader_section(r, b, d, defs, DT_ARRAY_LEN(defs), seen);
    discover_check(r, b, d, seen);
    struct dt_digest digest;
    reader_digest(r, b, &digest);
    dt_digest_bytes(&digest, d->rule.name, strlen(d->rule.name));
    dt_digest_bytes(&digest, d->gate.psk.key, d->gate.psk.len);
    for (size_t i = 0; i < d->gate.nsecret; i++) {
        dt_digest_bytes(&digest, d->gate.secret[i].id.data, d->gate.secret[i].id.len);
        dt_digest_bytes(&digest, d->gate.secret[i].psk.key, d->gate.secret[i].psk.len);
    }
    d->print = dt_digest_value(&digest);
}

void dt_config_discover_free(struct dt_config_discover *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (d[i].gate.secret != NULL)
            dt_wipe(d[i].gate.secret, d[i].gate.nsecret * sizeof(*d[i].gate.secret));
        free(d[i].gate.secret);
    }
    if (d != NULL)
        dt_wipe(d, n * sizeof(*d));
    free(d);
}

bool dt_config_discover_same(const struct dt_config_discover *a, size_t na,
                             const struct dt_config_discover *b, size_t nb)
{
    for (size_t i = 0; na == nb && i < na; i++)
        if (a[i].print != b[i].print)
            return false;
    return na == nb;
}
