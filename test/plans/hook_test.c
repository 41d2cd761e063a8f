/* The workers' tables are replaced under their hands: who replaces them does not wait until they look away. */

#include <pthread.h>
#include <semaphore.h>
#include <urcu.h>

#include "support/test.h"

#include "plans/plans.h"
#include "policy/match.h"
#include "tunnels/daemon.h"

static sem_t reading, over;

/* A worker that sits in a call of the kernel's, in the middle of a batch. */
static void *reader(void *arg)
{
    rcu_register_thread();
    rcu_read_lock();
    sem_post(&reading);
    sem_wait(&over);
    rcu_read_unlock();
    rcu_unregister_thread();
    return NULL;
}

static struct dt_match *a_rule(void)
{
    static const char text[] = "rule \"r\" { action = tunnel gateway = 192.0.2.1 to = 10.1.0.0/16 }\n";
    struct dt_err err = {0};
    struct dt_rules *rs = dt_rules_parse(text, sizeof(text) - 1, "rules", true, &err);
    struct dt_match *m = rs != NULL ? dt_match_new(rs, &err) : NULL;
    dt_rules_unref(rs);
    if (m == NULL)
        fail_msg("%s", err.text);
    return m;
}

static void nobody_waits_for_a_reader(void **state)
{
    static struct daemon d;
    const struct plans_nest nest = {dt_addr4(0xc0000201), 7};
    pthread_t thread;
    dt_list_init(&d.tuns);
    rcu_register_thread();
    sem_init(&reading, 0, 0);
    sem_init(&over, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
    sem_wait(&reading);
    for (int i = 0; i < 3; i++) { /* or this test does not end */
        plans_hook_nests(&d, &nest, 1);
        plans_hook_rules(&d, a_rule());
    }
    sem_post(&over);
    pthread_join(thread, NULL);
    rcu_barrier();
    plans_hook_close(&d);
    rcu_unregister_thread();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(nobody_waits_for_a_reader)};
    return TEST_RUN(tests);
}
