/* What every unit test includes: cmocka with its prerequisites, and seeds that are printed. */
#ifndef DT_TEST_SUPPORT_TEST_H
#define DT_TEST_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* The seed of a property test: DT_SEED from the environment, else a fresh one; printed either way, so that a
 * failure can be run again. */
static inline uint64_t test_seed(const char *name)
{
    const char *given = getenv("DT_SEED");
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    uint64_t seed =
        given ? strtoull(given, NULL, 0) : (uint64_t)ts.tv_sec * 1000000007u + (uint64_t)ts.tv_nsec;
    printf("# %s: DT_SEED=%llu\n", name, (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

#define TEST_RUN(tests) cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL)

#endif
