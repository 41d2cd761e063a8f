/* The kernel program in a network namespace of this process's own, one packet at a time (BPF_PROG_TEST_RUN). */
#ifndef DT_TEST_MASQ_KERN_RIG_H
#define DT_TEST_MASQ_KERN_RIG_H

#include "base/err.h"
#include "masq/rig.h"
#include "natd/kernel.h"

struct kern_rig {
    struct rig rig; /* start, packet, configure, sweep */
    struct dt_kernel *k;
    struct dt_masq_sizes sizes;
    unsigned inside, outside; /* interface indexes */
    uint8_t mac[2][6];        /* of the interface of each side */
    uint8_t out[2048];        /* the last packet as the program left it */
    size_t out_len;
    int ret; /* TC_ACT_* */
    int cpus;
    int sum_errors; /* checksums found wrong */
    char wrong[128];
};

/* NULL when it is ready, else what is missing (the test is skipped). */
const char *kern_rig_open(struct kern_rig *r);
void kern_rig_close(struct kern_rig *r);
/* A frame as it is, at that side; `now` 0 leaves the clock alone. TC_ACT_*, or KERN_RIG_FAILED. */
#define KERN_RIG_FAILED (-1000)
int kern_rig_frame(struct kern_rig *r, dt_time now, enum dt_masq_side side, const void *frame, size_t len);

#endif
