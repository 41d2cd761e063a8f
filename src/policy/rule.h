/* Rules: which packets are protected, and how (US 6,636,520, "transport rules" and "tunnel rules" over the
 * 5-tuple).
 *
 * A rules file, or the `rule` and `group` sections of dovetaild's configuration, the grammar is one:
 *
 *     group "branches" { members = { "10.1.0.0/16", "10.2.0.0-10.2.0.99", "fd00:1::/64", "other-group" } }
 *
 *     rule "to-branches" {
 *         action   = "tunnel"             # or "transport", or "pass": no (further) tunnel
 *         gateway  = "203.0.113.1"        # a tunnel rule's security gateway: an address, or the name of a
 *                                         # `tunnel` section of the same file that has one
 *         from     = "10.9.0.0/24"        # one value or { a, list }: prefix, range, address, group; default any
 *         to       = { "branches" }
 *         protocol = "tcp"                # name or number; default any
 *         sport    = "1024-65535"         # port or range; default any
 *         dport    = { 80, 443 }
 *         encap    = "udp"                # this layer inside UDP 4500 (RFC 3948); default: as its tunnel section has it
 *         use      = "office"             # the `tunnel` section whose identity and secret serve this action
 *         always   = "yes"                # build it at the start, and never tear it down for idleness
 *     }
 *
 * Rules stand in the order of the file, and the first that matches wins. A rule that names ports matches no
 * packet without ports (ESP, ICMP, a later fragment whose first one was not seen). */
#ifndef DT_POLICY_RULE_H
#define DT_POLICY_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/source.h"

#define DT_RULES_MAX       1000000 /* rules in one set */
#define DT_RULE_NAME_MAX   64      /* bytes of a rule's or a group's name */
#define DT_RULE_RANGES_MAX 65536   /* address ranges in one `from` or `to`, groups unfolded */
#define DT_RULE_PORTS_MAX  64      /* port ranges in one `sport` or `dport` */
#define DT_RULE_PROTOS_MAX 16

enum dt_rule_kind {
    DT_RULE_TRANSPORT = 1, /* protect end to end: ESP in transport mode with the packet's destination */
    DT_RULE_TUNNEL,        /* build a tunnel to `gateway` */
    DT_RULE_PASS, /* stands among the tunnel rules; when it is the first to match, none of them does */
};

/* What a packet shows to the rules. */
struct dt_flow {
    struct dt_addr src, dst;
    uint8_t proto;         /* IP protocol; 0: not known, and only rules that name none match */
    bool ports;            /* sport and dport mean something */
    uint16_t sport, dport; /* host order */
};

struct dt_ports {
    uint16_t from, to; /* both included */
};

/* A set of addresses: ranges in order that neither overlap nor touch; n of 0 means any address of either
 * version. */
struct dt_addrset {
    struct dt_range *v;
    size_t n;
};

struct dt_rule {
    enum dt_rule_kind kind;
    uint32_t index; /* place among the rules, from 0: a lower one wins */
    unsigned line;  /* its place (base/source.h): with one file its line there; 0: none */
    char *name;
    char *use;              /* or NULL */
    struct dt_addr gateway; /* tunnel rules */
    bool udp;               /* encap = "udp", its own or of the tunnel section that serves it */
    bool always;
    struct dt_addrset from, to;
    uint8_t nproto, nsport, ndport; /* 0: any */
    uint8_t proto[DT_RULE_PROTOS_MAX];
    struct dt_ports *sport, *dport;
};

/* A set of rules; never changed once it is made, counted by reference so that a reload can leave the old set
 * to those that still work with it. */
struct dt_rules {
    struct dt_rule *v;
    size_t n;
    char *file;                 /* for messages */
    struct dt_sources *sources; /* what the rules' places are of; NULL: of the one file */
    unsigned refs;
};

/* The rules in `text`. With `embedded`, top-level settings and sections other than rule and group are skipped
 * (they are somebody else's, as in dovetaild.conf), else they are errors. NULL with err->text "file:line:
 * what, and what would be right". The result holds one reference. */
struct dt_rules *dt_rules_parse(const char *text, size_t len, const char *file, bool embedded,
                                struct dt_err *err);
/* The same of a text that was read already, which may be of several files. */
struct dt_block_file;
struct dt_rules *dt_rules_of(const struct dt_block_file *b, const char *file, bool embedded,
                             struct dt_err *err);
/* The settings of a "rule" or "group" section, and NULL behind the last. */
const char *const *dt_rules_setting_names(const char *section);
/* "file:line" of a rule, into DT_SOURCE_STRLEN bytes; and how a sentence about `from` speaks of where it is
 * (dt_source_line), into DT_SOURCE_LINELEN. Both return out. */
char *dt_rule_at(char *out, const struct dt_rules *rs, const struct dt_rule *r);
char *dt_rule_line(char *out, const struct dt_rules *rs, const struct dt_rule *r, const struct dt_rule *from);
/* An empty set, and adding to it: takes copies of what *r points at. For callers that have rules from
 * elsewhere. */
struct dt_rules *dt_rules_new(const char *file);
int dt_rules_add(struct dt_rules *rs, const struct dt_rule *r, struct dt_err *err);
struct dt_rules *dt_rules_ref(struct dt_rules *rs);
void dt_rules_unref(struct dt_rules *rs); /* NULL is fine */

/* Sorts and merges ranges in place, so that they make a set; returns how many are left. */
size_t dt_addrset_normalize(struct dt_range *v, size_t n);
bool dt_addrset_has(const struct dt_addrset *s, const struct dt_addr *a);

/* Does this rule match? The plain reading, one rule; match.h finds the first of many. */
bool dt_rule_matches(const struct dt_rule *r, const struct dt_flow *f);

/* "tcp" and its like, or a number; -1 when it is neither. The name of a number, or its digits, into out (8
 * bytes). */
int dt_proto_parse(const char *text);
char *dt_proto_str(char *out, uint8_t proto);
bool dt_proto_has_ports(uint8_t proto);

#define DT_FLOW_STRLEN 168
/* "tcp 10.0.0.1:1024 > 10.1.0.1:80", into out of at least DT_FLOW_STRLEN bytes. */
char *dt_flow_str(char *out, const struct dt_flow *f);

#endif
