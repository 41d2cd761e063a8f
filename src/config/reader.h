/* Inside the config room: sections and settings as tables. To add a section, write its file, add its reader to
 * `sections` in sections.c, and a field to struct dt_config. */
#ifndef DT_CONFIG_READER_H
#define DT_CONFIG_READER_H

#include "config/config.h"
#include "base/block.h"
#include "config/file.h"

struct reader {
    struct dt_config *c;
    const struct dt_block_file *f;
    unsigned flags;
    const struct dt_config_opener *opener;
    struct proof_file *proofs; /* that were read already (proofs.c) */
};

/* A complaint; the sentence says what would be right. */
void reader_error(struct reader *r, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void reader_warn(struct reader *r, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* How a sentence about the place `from` speaks of another one: "line 7", or "FILE:7". Valid until the call after the next. */
const char *reader_line(const struct reader *r, unsigned place, unsigned from);
/* An error of another room that says "file:line: ..." already. */
void reader_error_from(struct reader *r, const struct dt_err *err);

struct setting_def {
    const char *key;
    /* Reads values 0 .. s->n - 1 (at least one) into `field`; complains by itself. */
    void (*read)(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
    size_t offset; /* of the field in the section's struct */
    long min, max; /* read_uint, read_seconds; and how many values where it is a list */
    bool list;     /* more than one value is allowed */
};

struct setting_table {
    const struct setting_def *def;
    size_t n;
};
extern const struct setting_table tunnel_settings, gateway_settings, client_settings, discover_settings,
    daemon_settings, nat_settings, plans_settings;

/* Reads a section's settings by its table: unknown ones get the nearest name, those given twice are refused. `seen`
 * (one bool a def) says which were there. */
void reader_section(struct reader *r, const struct dt_block *b, void *target, const struct setting_def *defs,
                    size_t n, bool *seen);
/* All that stands in a section: for `print`, to which the caller adds what came from files. */
void reader_digest(const struct reader *r, const struct dt_block *b, struct dt_digest *d);
/* Room for every section of that kind there is, at most `max`, zeroed: made at the first one, so that none is moved, which may
 * hold secrets and a tunnel's is large. NULL: no memory. */
void *reader_room(const struct reader *r, const char *kind, size_t size, size_t max);
bool reader_seen(const struct setting_def *defs, size_t n, const bool *seen, const char *key);
const char *reader_value(const struct reader *r, const struct dt_setting *s, size_t i);

void read_text(struct reader *r, const struct dt_setting *s, void *field,
               const struct setting_def *def); /* char[max] */
void read_bool(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void read_uint(struct reader *r, const struct dt_setting *s, void *field,
               const struct setting_def *def); /* uint32_t */
void read_port(struct reader *r, const struct dt_setting *s, void *field,
               const struct setting_def *def); /* uint16_t */
void read_percent(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void read_span(struct reader *r, const struct dt_setting *s, void *field,
               const struct setting_def *def); /* dt_time */
void read_id(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void read_id_pattern(struct reader *r, const struct dt_setting *s, void *field,
                     const struct setting_def *def);
void read_psk(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void read_selectors(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void read_ike_proposals(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def);
void read_esp_proposals(struct reader *r, const struct dt_setting *s, void *field,
                        const struct setting_def *def);

/* A tunnel's `gateway`: into its `host` and `gateways` (hosts.c). */
void read_hosts(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
/* enum dt_encap; secrets of a struct dt_config_gateway from a file. */
void read_encap(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void read_closed(struct reader *r, const struct dt_setting *s, void *field,
                 const struct setting_def *def); /* enum dt_config_closed */
const struct dt_config_client *config_own_client(const struct dt_config_gateway *g,
                                                 const struct dt_ike_id *peer); /* no pattern; or NULL */
void read_secrets(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);

/* An address, or a complaint and false. */
bool value_addr(struct reader *r, unsigned line, const char *key, const char *text, struct dt_addr *out);
/* The content of a file of secrets, at most cap bytes; its length, or -1 with a complaint, also when others than its
 * owner may read it. */
long value_file(struct reader *r, unsigned line, const char *key, const char *path, void *out, size_t cap);
/* The same of a file that everybody may read, and nobody but root may change; the caller frees *out. */
long value_public_file(struct reader *r, unsigned line, const char *key, const char *path, char **out);
/* Complains when the far side of a tunnel comes to more prefixes than the data path takes of one. */
void value_prefixes(struct reader *r, unsigned line, const char *key, const struct dt_selectors *list);
/* The length of a byte order mark that the text begins with, or 0. */
size_t value_mark(const char *text, size_t len);
/* A secret from text: 0x hex digits, else as it stands. False with a complaint. */
bool value_psk(struct reader *r, unsigned line, const char *text, size_t len, struct dt_config_psk *out);

/* The parameters of the epoch engine, for a struct `type` with a struct dt_epoch_params `member`. */
#define EPOCH_SETTINGS(type, member)                                                                         \
    {"keylife", read_span, offsetof(type, member.keylife)},                                                  \
        {"rekeymargin", read_span, offsetof(type, member.rekeymargin)},                                      \
        {"rekeyfuzz", read_percent, offsetof(type, member.rekeyfuzz), 0, 1000},                              \
        {"maxidle", read_span, offsetof(type, member.maxidle)},                                              \
        {"pingtime", read_span, offsetof(type, member.pingtime)},                                            \
        {"pingtries", read_uint, offsetof(type, member.pingtries), 1, 1000},                                 \
        {"pingtime2", read_span, offsetof(type, member.pingtime2)},                                          \
        {"pingtries2", read_uint, offsetof(type, member.pingtries2), 1, 1000},                               \
        {"timeout", read_span, offsetof(type, member.timeout)},                                              \
    {                                                                                                        \
        "elimit", read_uint, offsetof(type, member.elimit), 0, 1000                                          \
    }
/* A short keylife brings a short rekeymargin with it unless that is given too; then what must hold is checked. */
void reader_epoch_params(struct reader *r, const struct dt_block *b, struct dt_epoch_params *p,
                         const struct setting_def *defs, size_t n, const bool *seen, bool client);

/* Proof by certificate (proofs.c): the settings of a tunnel or a gateway, whose files are read when the section is, by
 * reader_proofs: the references in *out are the section's. */
#define PROOF_SETTINGS                                                                                       \
    {"certificate", read_proof_file, 0}, {"private_key", read_proof_file, 0},                                \
        {"ca", read_proof_file, 0, .list = true}, {"crl_file", read_proof_file, 0, .list = true},            \
    {                                                                                                        \
        "crl", read_crl, 0                                                                                   \
    }
void read_proof_file(struct reader *r, const struct dt_setting *s, void *field,
                     const struct setting_def *def);
void read_crl(struct reader *r, const struct dt_setting *s, void *field, const struct setting_def *def);
void reader_proofs(struct reader *r, const struct dt_block *b, const struct dt_ike_id *local, bool responder,
                   struct dt_ike_proofs *out, struct dt_digest *d);
void reader_proofs_free(struct reader *r);
/* The section's setting of that name; NULL: it has none. */
const struct dt_setting *reader_setting(const struct reader *r, const struct dt_block *b, const char *key);

void read_tunnel_section(struct reader *r, const struct dt_block *b);
void read_gateway_section(struct reader *r, const struct dt_block *b);
void read_client_section(struct reader *r, const struct dt_block *b);
/* Warnings about what this host has, or lacks (surroundings.c). */
void config_remark_own_network(struct reader *r, const struct dt_prefix *net, const char *device);
void config_remark_gateways(struct reader *r);
void config_check_overlaps(struct reader *r);
/* Does some rule lead to this tunnel? */
bool config_rules_serve(const struct dt_config *c, const struct dt_config_tunnel *t);
void config_check_pools(struct reader *r); /* against each other, and the addresses that gateways listen at */
void config_check_clients(
    struct reader *r);                     /* when all sections are read: gives gateways their clients too */
void config_check_reach(struct reader *r); /* when gateways have their clients */
void read_discover_section(struct reader *r, const struct dt_block *b);
void read_daemon_section(struct reader *r, const struct dt_block *b);
void read_nat_section(struct reader *r, const struct dt_block *b);
void read_plans_section(struct reader *r, const struct dt_block *b);
void config_check_rules(struct reader *r); /* r->c->rules, which is there */
void config_daemon_defaults(struct dt_config_daemon *d);

#endif
