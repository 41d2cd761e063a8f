/* One script of packets, two NATs: the user-space rules and the program in the kernel (BPF_PROG_TEST_RUN). */
#ifndef DT_TEST_MASQ_RIG_H
#define DT_TEST_MASQ_RIG_H

#include "support/test.h"

#include "masq/masq.h"

#define C1   0x0a000001u /* 10.0.0.1 */
#define C2   0x0a000002u
#define C3   0x0a000003u
#define S1   0xc0000201u /* 192.0.2.1 */
#define S2   0xc0000202u
#define OUT  0xcb007105u /* 203.0.113.5 */
#define OUT2 0xcb007106u

struct rig {
    const char *name;
    /* Starts afresh with these parameters. */
    void (*start)(struct rig *r, const struct dt_masq_config *c);
    void (*packet)(struct rig *r, dt_time now, const struct dt_masq_facts *f, struct dt_masq_verdict *v);
    /* New parameters, same items. */
    void (*configure)(struct rig *r, const struct dt_masq_config *c);
    /* Forgets what has expired, as the sweeper would. */
    void (*sweep)(struct rig *r, dt_time now);
    void *ctx;
    dt_time base;
};

/* Every rule and each boundary of each timer. */
struct script {
    const char *name;
    void (*run)(struct rig *r);
};
extern const struct script *const rig_scripts[]; /* tables of them, NULL at the end of each and of all */
/* A test of each that `run` runs, with the script as its initial state. Returns how many there are. */
size_t rig_tests(struct CMUnitTest *tests, size_t max, void (*run)(void **state));

struct dt_masq_config rig_config(void);

#endif
