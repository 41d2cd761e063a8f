/* What was asked for with `dovetail up` of tunnels with start = manual: kept in a file beside the leases, so that neither a
 * crash nor a restart opens what such a tunnel protects. The keeper writes it, as a whole (keeper/keeper.h). A file
 * that cannot be read, or is not what was written, says nothing of anybody: then every such tunnel stays closed until
 * `dovetail up` or `dovetail down` says what is meant. */

#include "tunnels/wants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "tunnels/daemon.h"
#include "tunnels/tunnels.h"

#define NAME      "wants"
#define ROOM      (4u << 20) /* names of DT_CONFIG_TUNNELS_MAX tunnels, each octet escaped */
#define PATH_ROOM (sizeof(((struct daemon *)0)->cfg.leases) + sizeof(NAME) + 4)

/* "DIR/wants" of "DIR/leases.db". */
bool wants_path(const struct daemon *d, char *out, size_t cap)
{
    const char *leases = d->cfg.leases, *slash = strrchr(leases, '/');
    int n = slash != NULL ? (int)(slash - leases + 1) : 0;
    out[0] = '\0';
    if (leases[0] == '\0' || strcmp(leases, ":memory:") == 0)
        return false;
    if ((size_t)snprintf(out, cap, "%.*s%s", n, leases, NAME) < cap)
        return true;
    out[0] = '\0';
    return false;
}

/* Of the names in the two sets, in their order. */
static void sum_of(char out[17], const json_t *up, const json_t *closed)
{
    struct dt_digest sum;
    json_t *sets[] = {(json_t *)(uintptr_t)up, (json_t *)(uintptr_t)closed};
    dt_digest_init(&sum);
    for (size_t k = 0; k < DT_ARRAY_LEN(sets); k++) {
        dt_digest_u64(&sum, json_object_size(sets[k]));
        for (void *i = json_object_iter(sets[k]); i != NULL; i = json_object_iter_next(sets[k], i))
            dt_digest_bytes(&sum, json_object_iter_key(i), strlen(json_object_iter_key(i)) + 1);
    }
    snprintf(out, 17, "%016llx", (unsigned long long)dt_digest_value(&sum));
}

/* NULL: it is not there (*why empty), or not to be trusted. */
static char *wants_read_whole(const char *path, const char **why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *text = fd >= 0 ? malloc(ROOM + 1) : NULL;
    size_t n = 0;
    ssize_t got = 0;
    *why = fd >= 0 || errno == ENOENT ? "" : strerror(errno);
    if (fd >= 0 && text == NULL)
        *why = "out of memory";
    while (text != NULL && n < ROOM && (got = read(fd, text + n, ROOM - n)) > 0)
        n += (size_t)got;
    if (text != NULL && (got < 0 || n == ROOM)) {
        *why = got < 0 ? strerror(errno) : "it is too long";
        free(text);
        text = NULL;
    }
    if (text != NULL)
        text[n] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

void wants_load(struct daemon *d)
{
    char path[PATH_ROOM], sum[17];
    const char *why;
    if (!wants_path(d, path, sizeof(path)))
        return;
    char *text = wants_read_whole(path, &why);
    json_t *o = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const json_t *up = json_object_get(o, "up"), *closed = json_object_get(o, "closed");
    bool good = json_is_object(up) && json_is_object(closed);
    if (good) {
        const char *said = json_string_value(json_object_get(o, "sum"));
        sum_of(sum, up, closed);
        good = said != NULL && strcmp(said, sum) == 0;
    }
    if (good) {
        d->wants.before = o;
        d->wants.text = text;
        return;
    }
    d->wants.unread = text != NULL || why[0] != '\0';
    if (d->wants.unread)
        LOG(DT_LOG_ERROR,
            "%s: %s: which tunnels with start = manual were up is not known, so each of them stays closed "
            "until `dovetail up` or `dovetail down`",
            path, text != NULL ? "it is damaged" : why);
    json_decref(o);
    free(text);
}

static bool is_manual(const struct tun *t)
{
    return !t->cfg.discovered && !t->ruled && t->cfg.start == DT_START_MANUAL;
}

void wants_recall(struct daemon *d, struct tun *t)
{
    if (!is_manual(t))
        return;
    const char *name = t->cfg.cfg.name;
    t->wanted = json_object_get(json_object_get(d->wants.before, "up"), name) != NULL;
    t->unsure = !t->wanted && (d->wants.unread ||
                               json_object_get(json_object_get(d->wants.before, "closed"), name) != NULL);
}

void wants_save(struct daemon *d)
{
    char path[PATH_ROOM], sum[17];
    struct dt_err err = {0};
    if (!wants_path(d, path, sizeof(path)))
        return;
    json_t *up = json_object(), *closed = json_object();
    dt_list_for_each (l, &d->tuns) {
        const struct tun *t = DT_CONTAINER_OF(l, struct tun, link);
        if (is_manual(t) && (t->wanted || t->unsure))
            json_object_set_new(t->wanted ? up : closed, t->cfg.cfg.name, json_true());
    }
    sum_of(sum, up, closed);
    json_t *o = json_pack("{s:o, s:o, s:s}", "up", up, "closed", closed, "sum", sum);
    char *text = json_dumps(o, JSON_COMPACT);
    bool any = d->wants.unread || json_object_size(up) > 0 || json_object_size(closed) > 0;
    bool news = text != NULL && (d->wants.text != NULL ? strcmp(text, d->wants.text) != 0 : any);
    json_decref(o);
    if (!news) {
        free(text);
        return;
    }
    if (dt_keeper_keep(d->keeper, DT_KEEPER_KEPT, text, strlen(text), &err) != 0) {
        LOG(DT_LOG_ERROR,
            "%s; a tunnel with start = manual will not be wanted after a crash or restart, and what it "
            "protects open",
            err.text);
        free(text);
        return;
    }
    free(d->wants.text);
    d->wants.text = text;
}

void wants_forget(struct daemon *d)
{
    json_decref(d->wants.before);
    d->wants.before = NULL;
    d->wants.unread = false;
}

void wants_close(struct daemon *d)
{
    wants_forget(d);
    free(d->wants.text);
    d->wants.text = NULL;
}
