/* tunnel "name" { ... } */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "config/reader.h"

void read_encap(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    static const char *const names[] = {"auto", "esp", "udp"};
    const char *v = reader_value(r, s, 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++)
        if (strcmp(v, names[i]) == 0) {
            *(enum dt_encap *)field = (enum dt_encap)i;
            return;
        }
    reader_error(r, s->line, "encap = \"%.40s\": auto, esp or udp would be right", v);
}

static void read_start(struct reader *r, const struct dt_setting *s, void *field,
                       const struct setting_def *def)
{
    static const char *const names[] = {"always", "demand", "manual"};
    const char *v = reader_value(r, s, 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++)
        if (strcmp(v, names[i]) == 0) {
            *(enum dt_config_start *)field = (enum dt_config_start)i;
            return;
        }
    reader_error(r, s->line, "start = \"%.40s\": always, demand or manual would be right", v);
}

void read_closed(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    static const char *const names[] = {
        [DT_CLOSED_WANTED] = "wanted", [DT_CLOSED_ALWAYS] = "always", [DT_CLOSED_NO] = "no"};
    const char *v = reader_value(r, s, 0);
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++)
        if (strcmp(v, names[i]) == 0) {
            *(enum dt_config_closed *)field = (enum dt_config_closed)i;
            return;
        }
    reader_error(r, s->line, "closed = \"%.40s\": wanted, always or no would be right", v);
}

static void read_lan(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def)
{
    const char *v = reader_value(r, s, 0);
    if (strcmp(v, "local") != 0 && strcmp(v, "tunnel") != 0)
        reader_error(r, s->line, "lan = \"%.40s\": local or tunnel would be right", v);
    *(bool *)field = strcmp(v, "tunnel") == 0;
}

static void read_except(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def)
{
    struct dt_config_tunnel *t = field;
    char right[DT_PREFIX_STRLEN];
    t->except_line = s->line;
    if (s->n > DT_CONFIG_EXCEPT_MAX) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_CONFIG_EXCEPT_MAX);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const char *v = reader_value(r, s, i);
        struct dt_prefix *p = &t->except[t->nexcept];
        if (dt_prefix_parse(p, v, false) == 0)
            t->nexcept++;
        else if (dt_prefix_parse(p, v, true) == 0)
            reader_error(r, s->line, "except: \"%.64s\" has bits behind its prefix; %s would be right", v,
                         dt_prefix_str(right, p));
        else
            reader_error(r, s->line,
                         "except: \"%.64s\" is no prefix; such as \"192.168.0.0/16\" would be right", v);
    }
}

/* What `except` leaves out must be in `protect`, and must leave something of it. */
static void check_except(struct reader *r, const struct dt_config_tunnel *t)
{
    unsigned line = t->except_line;
    char e[DT_PREFIX_STRLEN], p[DT_SELECTOR_STRLEN];
    for (size_t i = 0; i < t->nexcept; i++) {
        struct dt_range out = dt_prefix_range(&t->except[i]), both;
        bool any = false;
        dt_prefix_str(e, &t->except[i]);
        for (size_t k = 0; k < t->cfg.protect.n; k++) {
            const struct dt_range *in = &t->cfg.protect.v[k].range;
            if (!dt_range_intersect(&both, in, &out))
                continue;
            any = true;
            if (dt_addr_eq(&both.from, &in->from) && dt_addr_eq(&both.to, &in->to))
                reader_error(r, line,
                             "except: %s leaves nothing of %s in protect; a narrower prefix would be right",
                             e, dt_selector_str(p, &t->cfg.protect.v[k]));
        }
        if (!any && t->cfg.protect.n > 0)
            reader_error(r, line,
                         "except: %s is not in protect, and goes past the tunnel anyway; a part of protect "
                         "would be right",
                         e);
    }
}

static void read_probe(struct reader *r, const struct dt_setting *s, void *field,
                       const struct setting_def *def)
{
    struct dt_config_tunnel *t = field;
    const char *v = reader_value(r, s, 0);
    if (strcmp(v, "auto") == 0)
        t->cfg.probe = DT_PROBE_AUTO;
    else if (strcmp(v, "off") == 0)
        t->cfg.probe = DT_PROBE_OFF;
    else if (dt_addr_parse(&t->cfg.probe_addr, v) == 0)
        t->cfg.probe = DT_PROBE_ADDRESS;
    else
        reader_error(r, s->line,
                     "probe = \"%.64s\": auto, off or an address inside that answers pings would be right",
                     v);
}

static void read_server_rekey(struct reader *r, const struct dt_setting *s, void *field,
                              const struct setting_def *def)
{
    struct dt_config_tunnel *t = field;
    const char *v = reader_value(r, s, 0);
    if (strcmp(v, "accept") != 0 && strcmp(v, "decline") != 0 && strcmp(v, "auto") != 0)
        reader_error(r, s->line, "server_rekey = \"%.40s\": auto, decline or accept would be right", v);
    t->cfg.params.server_rekey = strcmp(v, "accept") == 0;
    t->cfg.server_rekey_decline = strcmp(v, "decline") == 0;
}

static void read_wants_dns(struct reader *r, const struct dt_setting *s, void *field,
                           const struct setting_def *def)
{
    bool yes = true;
    read_bool(r, s, &yes, def);
    *(bool *)field = !yes;
}

static void read_locals(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def)
{
    struct dt_config_tunnel *t = field;
    if (s->n > DT_TUNNEL_LOCALS) {
        reader_error(r, s->line, "%s has %zu values; at most %d are possible", s->key, s->n,
                     DT_TUNNEL_LOCALS);
        return;
    }
    for (size_t i = 0; i < s->n; i++)
        if (value_addr(r, s->line, s->key, reader_value(r, s, i), &t->cfg.locals[t->cfg.nlocals]))
            t->cfg.nlocals++;
}

#define AT(member) offsetof(struct dt_config_tunnel, member)
static const struct setting_def defs[] = {
    {"gateway", read_hosts, 0, .list = true},
    {"local", read_id, AT(cfg.local_id)},
    {"remote", read_id, AT(cfg.remote_id)},
    {"psk", read_psk, AT(psk)},
    {"protect", read_selectors, AT(cfg.protect), .list = true},
    {"encap", read_encap, AT(cfg.encap)},
    {"probe", read_probe, 0},
    {"server_rekey", read_server_rekey, 0},
    {"inside", read_selectors, AT(cfg.local), .list = true},
    {"source", read_locals, 0, .list = true},
    {"dns", read_wants_dns, AT(cfg.no_dns)},
    {"start", read_start, AT(start)},
    {"closed", read_closed, AT(closed)},
    {"lan", read_lan, AT(lan_tunnel)},
    {"except", read_except, 0, .list = true},
    {"mtu", read_uint, AT(mtu), 576, 65535},
    {"transport", read_bool, AT(cfg.transport)},
    {"ike", read_ike_proposals, AT(cfg.ike), .list = true},
    {"esp", read_esp_proposals, AT(cfg.esp), .list = true},
    PROOF_SETTINGS,
    {"rsa_sha1", read_bool, AT(cfg.proofs.rsa_sha1)},
    EPOCH_SETTINGS(struct dt_config_tunnel, cfg.params),
};
const struct setting_table tunnel_settings = {defs, DT_ARRAY_LEN(defs)};

static bool selectors_have_version(const struct dt_selectors *list, uint8_t ver)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].range.from.ver == ver)
            return true;
    return false;
}

static unsigned line_of(const struct reader *r, const struct dt_block *b, const char *key)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(r->f->settings[b->setting + i].key, key) == 0)
            return r->f->settings[b->setting + i].line;
    return b->line;
}

/* What is known beforehand of a tunnel whose epochs nothing can prove. */
static void warn_unproved(struct reader *r, const struct dt_block *b, const struct dt_config_tunnel *t)
{
    double late = dt_time_seconds(dt_time_sub(t->cfg.params.keylife, t->cfg.params.rekeymargin));
    if (t->cfg.probe == DT_PROBE_OFF)
        reader_warn(
            r, line_of(r, b, "probe"),
            "probe = off: the tunnel will be \"unproved\", never verified; a path that carries nothing any "
            "more is noticed when the next epoch is negotiated, after up to %g s",
            late);
    else if (t->cfg.protect.n > 0 && !dt_endpoint_carries_echo(&t->cfg.local, &t->cfg.protect))
        reader_warn(
            r, line_of(r, b, "protect"),
            "what tunnel \"%s\" carries includes no ICMP: a gateway that is a Dovetail proves it all the "
            "same; with any other it will be \"unproved\", and a path that carries nothing any more is "
            "noticed when the next epoch is negotiated, after up to %g s",
            t->cfg.name, late);
    if (t->cfg.probe == DT_PROBE_ADDRESS &&
        !dt_selectors_has(&t->cfg.protect, &t->cfg.probe_addr, t->cfg.probe_addr.ver == 4 ? 1 : 58, 0)) {
        char a[DT_ADDR_STRLEN];
        reader_warn(
            r, line_of(r, b, "probe"),
            "probe = \"%s\": `protect` carries no echo to that address, so it is not asked; an address in "
            "`protect` would be right",
            dt_addr_str(a, &t->cfg.probe_addr));
    }
}

/* Raw ESP has no ports: whoever gave the gateway a port of its own meant that everything goes there. */
static void check_ports(struct reader *r, const struct dt_block *b, const struct dt_config_tunnel *t)
{
    for (size_t i = 0; i < t->nhost && t->cfg.encap == DT_ENCAP_ESP; i++)
        if (t->port[i] != 0 && t->port[i] != DT_PORT_IKE) {
            reader_error(
                r, line_of(r, b, "gateway"),
                "gateway: \"%.64s\" has port %u, and raw ESP has no ports; encap = udp, or auto, would be "
                "right",
                t->host[i], t->port[i]);
            return;
        }
}

/* What we prove ourselves with, and what the gateway does. */
static void tunnel_check_proofs(struct reader *r, const struct dt_block *b, const struct dt_config_tunnel *t)
{
    const struct dt_setting *psk = reader_setting(r, b, "psk"), *cert = reader_setting(r, b, "certificate"),
                            *ca = reader_setting(r, b, "ca"), *sha1 = reader_setting(r, b, "rsa_sha1");
    char id[DT_IKE_ID_STRLEN];
    if (psk == NULL && cert == NULL && reader_setting(r, b, "private_key") == NULL)
        reader_error(r, b->line,
                     "tunnel \"%s\" has neither psk nor certificate; psk = \"file:/etc/dovetail/NAME.psk\", "
                     "or certificate, "
                     "private_key and ca, would be right",
                     t->cfg.name);
    else if (psk != NULL && cert != NULL)
        reader_error(r, psk->line,
                     "tunnel \"%s\" has psk and certificate; one of them, what the gateway knows us by, "
                     "would be right",
                     t->cfg.name);
    else if (cert != NULL && ca == NULL)
        reader_error(r, cert->line,
                     "certificate without ca: whose certificate the gateway may show is not said; ca = "
                     "\"file:/PATH\", the "
                     "authority's, would be right");
    if (ca != NULL && t->cfg.remote_id.type == DT_ID_KEY_ID)
        reader_error(r, ca->line,
                     "ca: no certificate proves remote = \"%.64s\"; a name, an e-mail address, an address or "
                     "a distinguished name "
                     "would be right",
                     dt_ike_id_str(id, &t->cfg.remote_id));
    if (sha1 != NULL && cert == NULL && ca == NULL)
        reader_error(r, sha1->line, "rsa_sha1 is about certificates, and this tunnel has none");
    else if (sha1 != NULL && t->cfg.proofs.rsa_sha1)
        reader_warn(r, sha1->line,
                    "rsa_sha1: signatures with SHA-1 are taken from this gateway, and made for it; they can "
                    "be forged at "
                    "a price");
}

static void tunnel_check(struct reader *r, const struct dt_block *b, struct dt_config_tunnel *t,
                         const bool *seen)
{
    static const struct {
        const char *key, *right;
    } wanted[] = {
        {"gateway", "gateway = \"vpn.example.net\""},
        {"local", "local = \"anna@example.net\", who we say we are"},
        {"remote", "remote = \"vpn.example.net\", who it must be"},
        {"protect", "protect = { \"10.0.0.0/8\" }, what goes through it"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(wanted); i++)
        if (!reader_seen(defs, DT_ARRAY_LEN(defs), seen, wanted[i].key))
            reader_error(r, b->line, "tunnel \"%s\" has no %s; %s would be right", t->cfg.name, wanted[i].key,
                         wanted[i].right);
    if (!t->cfg.transport && t->cfg.local.n == 0) {
        t->cfg.inside4 = selectors_have_version(&t->cfg.protect, 4);
        t->cfg.inside6 = selectors_have_version(&t->cfg.protect, 6);
    }
    if (t->cfg.local.n > 0)
        for (uint8_t ver = 4; ver <= 6; ver += 2)
            if (selectors_have_version(&t->cfg.protect, ver) && !selectors_have_version(&t->cfg.local, ver))
                reader_error(r, b->line,
                             "tunnel \"%s\" protects IPv%u and its inside has none; an IPv%u prefix in "
                             "inside would be right",
                             t->cfg.name, ver, ver);
    check_except(r, t);
    check_ports(r, b, t);
    tunnel_check_proofs(r, b, t);
    t->cfg.params.probe = t->cfg.probe != DT_PROBE_OFF;
    reader_epoch_params(r, b, &t->cfg.params, defs, DT_ARRAY_LEN(defs), seen, true);
    t->protect_line = line_of(r, b, "protect");
    warn_unproved(r, b, t);
    value_prefixes(r, line_of(r, b, "protect"), "protect", &t->cfg.protect);
}

void read_tunnel_section(struct reader *r, const struct dt_block *b)
{
    struct dt_config *c = r->c;
    if (c->ntunnel == DT_CONFIG_TUNNELS_MAX) {
        reader_error(r, b->line, "there are more than %d tunnels", DT_CONFIG_TUNNELS_MAX);
        return;
    }
    if (c->tunnel == NULL)
        c->tunnel = reader_room(r, "tunnel", sizeof(*c->tunnel), DT_CONFIG_TUNNELS_MAX);
    if (c->tunnel == NULL) {
        reader_error(r, b->line, "out of memory");
        return;
    }
    struct dt_config_tunnel *t = &c->tunnel[c->ntunnel++];
    *t = (struct dt_config_tunnel){.line = b->line};
    dt_tunnel_cfg_default(&t->cfg);
    if (strlen(b->title) >= sizeof(t->cfg.name))
        reader_error(r, b->line, "the name has %zu bytes; at most %zu are possible", strlen(b->title),
                     sizeof(t->cfg.name) - 1);
    snprintf(t->cfg.name, sizeof(t->cfg.name), "%s", b->title);
    bool seen[DT_ARRAY_LEN(defs)] = {false};
    reader_section(r, b, t, defs, DT_ARRAY_LEN(defs), seen);
    tunnel_check(r, b, t, seen);
    struct dt_digest d;
    reader_digest(r, b, &d);
    reader_proofs(r, b, &t->cfg.local_id, false, &t->cfg.proofs, &d);
    dt_digest_bytes(&d, t->psk.key, t->psk.len);
    t->print = dt_digest_value(&d);
}
