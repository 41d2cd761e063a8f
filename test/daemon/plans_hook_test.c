/* The workers' tables are replaced under their hands: who replaces them does not wait until they look away. */
#include "support/test.h"

#include <pthread.h>
#include <semaphore.h>
#include <urcu.h>

#include "daemon/plans.h"
#include "daemon/state.h"

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

static void nobody_waits_for_a_reader(void **state)
{
    static struct daemon d;
    const struct plans_nest nest = {dt_addr4(0xc0000201), 7};
    pthread_t thread;
    rcu_register_thread();
    sem_init(&reading, 0, 0);
    sem_init(&over, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
    sem_wait(&reading);
    for (int i = 0; i < 3; i++)
        plans_hook_nests(&d, &nest, 1); /* or this test does not end */
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
