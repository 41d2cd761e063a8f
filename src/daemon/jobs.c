/* Key exchanges, on a thread of their own: the control thread, which proves epochs and answers for tunnels that are up, never
 * waits for one. Peers that have proved who they are, and sessions of our own, come before strangers. How many jobs there
 * may be is the engine's business (struct dt_ike_door). */

#include "daemon/jobs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/top.h"
#include "tunnels/daemon.h"

#define NICE 5 /* below the data path's workers and the control thread */

struct jobs {
    struct daemon *d;
    pthread_t thread;
    uv_async_t finished;
    pthread_mutex_t lock; /* for all that follows */
    pthread_cond_t more;
    struct dt_list urgent, strangers, done;
    bool stop;
};

static struct dt_ike_work *job_first(struct dt_list *queue)
{
    if (dt_list_empty(queue))
        return NULL;
    struct dt_ike_work *w = DT_CONTAINER_OF(queue->next, struct dt_ike_work, link);
    dt_list_del(&w->link);
    return w;
}

static struct dt_ike_work *job_next(struct jobs *j)
{
    struct dt_ike_work *w = job_first(&j->urgent);
    return w != NULL ? w : job_first(&j->strangers);
}

static void *jobs_thread(void *arg)
{
    struct jobs *j = arg;
    pthread_setname_np(pthread_self(), "key-exchange");
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    pthread_mutex_lock(&j->lock);
    while (!j->stop) {
        struct dt_ike_work *w = job_next(j);
        if (w == NULL) {
            pthread_cond_wait(&j->more, &j->lock);
            continue;
        }
        pthread_mutex_unlock(&j->lock);
        dt_ike_work_run(w);
        pthread_mutex_lock(&j->lock);
        dt_list_add_tail(&j->done, &w->link);
        uv_async_send(&j->finished);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static struct dt_ike_work *job_done(struct jobs *j)
{
    pthread_mutex_lock(&j->lock);
    struct dt_ike_work *w = job_first(&j->done);
    pthread_mutex_unlock(&j->lock);
    return w;
}

static void on_finished(uv_async_t *a)
{
    struct jobs *j = a->data;
    struct dt_ike_work *w;
    while (j->d->ep != NULL && (w = job_done(j)) != NULL)
        dt_endpoint_work_done(j->d->ep, daemon_now(), w);
    daemon_wake(j->d);
}

int jobs_open(struct daemon *d, struct dt_err *err)
{
    struct jobs *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return dt_err_set(err, 0, "out of memory");
    j->d = d;
    dt_list_init(&j->urgent);
    dt_list_init(&j->strangers);
    dt_list_init(&j->done);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->more, NULL);
    int rc = uv_async_init(&d->loop, &j->finished, on_finished);
    j->finished.data = j;
    if (rc == 0 && (rc = pthread_create(&j->thread, NULL, jobs_thread, j)) != 0)
        rc = -rc;
    d->top->jobs = j; /* the loop has its handle: freed by jobs_free, after the loop */
    j->stop = rc != 0;
    return rc == 0 ? 0 : dt_err_set(err, 0, "no thread for key exchanges: %s", uv_strerror(rc));
}

void jobs_add(void *user, struct dt_ike_work *w)
{
    struct jobs *j = ((struct daemon *)user)->top->jobs;
    pthread_mutex_lock(&j->lock);
    dt_list_add_tail(dt_ike_work_urgent(w) ? &j->urgent : &j->strangers, &w->link);
    pthread_cond_signal(&j->more);
    pthread_mutex_unlock(&j->lock);
}

void jobs_stop(struct daemon *d)
{
    struct jobs *j = d->top->jobs;
    struct dt_ike_work *w;
    if (j == NULL || j->stop)
        return;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_signal(&j->more);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    while ((w = job_next(j)) != NULL || (w = job_first(&j->done)) != NULL)
        dt_ike_work_done(w, daemon_now());
}

void jobs_free(struct daemon *d)
{
    free(d->top->jobs);
    d->top->jobs = NULL;
}
