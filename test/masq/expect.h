/* What the scripts are written with: times are seconds after the rig's base, and a packet that goes otherwise than expected fails
 * the test with the script's line. */
#ifndef DT_TEST_MASQ_EXPECT_H
#define DT_TEST_MASQ_EXPECT_H

#include "masq/rig.h"

#include "base/bytes.h"
#include "masq/tables.h"

extern const struct script scripts_esp[], scripts_ike[], scripts_router[],
    scripts_tables[]; /* NULL at the end of each */

static inline dt_time at(const struct rig *r, double t)
{
    return r->base + (dt_time)(t * 1e9 + 0.5);
}

/* With the parameters of rig_config. */
void begin(struct rig *r);
/* `to` 0: not forwarded. */
void expect_at(struct rig *r, dt_time now, struct dt_masq_facts f, enum dt_masq_rule rule, uint32_t to,
               const char *file, int line);
/* Addressees of a multicast, in any order. */
void expect_multicast(struct rig *r, double t, struct dt_masq_facts f, size_t n, const uint32_t *want,
                      const char *file, int line);

#define EXPECT(t, facts, rule, to) expect_at(r, at(r, t), facts, DT_MASQ_RULE_##rule, to, __FILE__, __LINE__)
/* One nanosecond before t. */
#define EXPECT_BEFORE(t, facts, rule, to)                                                                    \
    expect_at(r, at(r, t) - 1, facts, DT_MASQ_RULE_##rule, to, __FILE__, __LINE__)
#define ESP_OUT(c, s, spi)   dt_masq_esp_out(c, s, spi)
#define ESP_IN(s, spi)       dt_masq_esp_in(s, OUT, spi)
#define IKE_OUT(c, s, i, rc) dt_masq_ike_out(c, s, i, rc)
#define IKE_IN(s, i, rc)     dt_masq_ike_in(s, OUT, i, rc)
#define EXPECT_MULTICAST(t, facts, ...)                                                                      \
    expect_multicast(r, t, facts, DT_ARRAY_LEN(((uint32_t[]){__VA_ARGS__})), (uint32_t[]){__VA_ARGS__},      \
                     __FILE__, __LINE__)
/* A line of a table of scripts. */
#define SCRIPT(name)                                                                                         \
    {                                                                                                        \
#name, name                                                                                          \
    }
#define SCRIPTS_END                                                                                          \
    {                                                                                                        \
        NULL, NULL                                                                                           \
    }

/* A later fragment, or a first one with more to come. */
struct dt_masq_facts frag(struct dt_masq_facts f, uint16_t id, uint16_t off, uint16_t len, bool more);

#endif
