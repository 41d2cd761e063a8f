
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/bytes.h"
#include "tunnels/lease.h"
#include "tunnels/lease_file.h"
#include "wire/ike_notify.h"

#define SCANS_MAX 1024 /* pools whose beginning is remembered */

enum query { OWN, BY_ADDR, COUNT, AFTER, RECYCLE, PUT, DROP, DROP_ADDR, RELEASE, QUERIES };

static const char *const sql[QUERIES] = {
    [OWN] = "SELECT addr FROM lease WHERE gateway=?1 AND ver=?2 AND identity=?3",
    [BY_ADDR] = "SELECT taken FROM lease WHERE gateway=?1 AND ver=?2 AND addr=?3",
    [COUNT] = "SELECT count(*) FROM lease WHERE gateway=?1 AND ver=?2 AND addr BETWEEN ?3 AND ?4",
    [AFTER] = "SELECT addr FROM lease WHERE gateway=?1 AND ver=?2 AND addr>?3 ORDER BY addr",
    [RECYCLE] = "SELECT addr FROM lease WHERE gateway=?1 AND ver=?2 AND addr BETWEEN ?3 AND ?4 AND taken=0 "
                "ORDER BY at, addr",
    [PUT] = "INSERT OR REPLACE INTO lease (gateway, ver, identity, addr, taken, at) VALUES (?1, ?2, ?3, ?4, "
            "1, ?5)",
    [DROP] = "DELETE FROM lease WHERE gateway=?1 AND ver=?2 AND identity=?3",
    [DROP_ADDR] =
        "DELETE FROM lease WHERE gateway=?1 AND ver=?2 AND addr=?3", /* one with OR would look at all rows */
    [RELEASE] = "UPDATE lease SET taken=0, at=?4 WHERE gateway=?1 AND ver=?2 AND identity=?3",
};

/* What is known of a pool, so that a new lease does not look at all that there are: how many, and up to which address each
 * is leased or reserved. */
struct scan {
    struct scan *next;
    char *gateway;
    struct dt_prefix pool;
    uint64_t reserved_print;
    struct dt_addr last;
    int64_t count;
};

struct store {
    struct dt_lease_store pub;
    struct scan *scans;
    size_t nscan;
    sqlite3 *db; /* in memory: what is leased now, whatever becomes of the file */
    sqlite3_stmt *q[QUERIES];
    char *path;              /* of the file; NULL: nothing is kept */
    struct lease_file *file; /* NULL: it could not be opened for writing; others write it (pub.keep) */
    bool behind;             /* it lacks something that is in memory */
};

/* One request, as all steps of it see it. */
struct ask {
    struct store *s;
    const char *gateway, *identity;
    uint8_t ver;
    size_t size; /* bytes of an address */
    const struct dt_lease_ask *in;
};

static sqlite3_stmt *prepare(const struct ask *a, enum query which)
{
    sqlite3_stmt *q = a->s->q[which];
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    sqlite3_bind_text(q, 1, a->gateway, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, a->ver);
    return q;
}

static void bind_addr(const struct ask *a, sqlite3_stmt *q, int i, const struct dt_addr *addr)
{
    sqlite3_bind_blob(q, i, addr->b, (int)a->size, SQLITE_TRANSIENT);
}

/* The address in column 0 of the row that the statement stands on. */
static bool column_addr(const struct ask *a, sqlite3_stmt *q, struct dt_addr *out)
{
    const void *b = sqlite3_column_blob(q, 0);
    if (b == NULL || (size_t)sqlite3_column_bytes(q, 0) != a->size)
        return false;
    *out = a->ver == 4 ? dt_addr4_bytes(b) : dt_addr6_bytes(b);
    return true;
}

/* The addresses of a pool that may be leased: all but the first, and in IPv4 the last (broadcast). */
static void usable(const struct dt_prefix *p, struct dt_addr *from, struct dt_addr *to)
{
    struct dt_range r = dt_prefix_range(p);
    *from = r.from;
    *to = r.to;
    dt_addr_next(from);
    if (p->addr.ver == 4)
        dt_addr_prev(to);
}

bool dt_lease_in_pools(const struct dt_addr *addr, const struct dt_prefix *pool, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct dt_addr from, to;
        usable(&pool[i], &from, &to);
        if (addr->ver == pool[i].addr.ver && dt_addr_cmp(&from, addr) <= 0 && dt_addr_cmp(addr, &to) <= 0)
            return true;
    }
    return false;
}

enum holder { NOBODY, RELEASED, TAKEN };

static enum holder lease_holder(const struct ask *a, const struct dt_addr *addr)
{
    sqlite3_stmt *q = prepare(a, BY_ADDR);
    bind_addr(a, q, 3, addr);
    if (sqlite3_step(q) != SQLITE_ROW)
        return NOBODY;
    return sqlite3_column_int(q, 0) ? TAKEN : RELEASED;
}

static bool reserved(const struct ask *a, const struct dt_addr *addr)
{
    return a->in->reserved != NULL && a->in->reserved(a->in->ctx, addr);
}

static void scans_forget(struct store *s)
{
    while (s->scans != NULL) {
        struct scan *x = s->scans;
        s->scans = x->next;
        free(x->gateway);
        free(x);
    }
    s->nscan = 0;
}

static struct scan *scan_new(const struct ask *a, const struct dt_prefix *pool)
{
    struct dt_addr from, to;
    struct scan *x = calloc(1, sizeof(*x));
    if (x == NULL || (x->gateway = strdup(a->gateway)) == NULL) {
        free(x);
        return NULL;
    }
    usable(pool, &from, &to);
    sqlite3_stmt *q = prepare(a, COUNT);
    bind_addr(a, q, 3, &from);
    bind_addr(a, q, 4, &to);
    x->count = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    x->pool = *pool;
    x->last = dt_prefix_range(pool).from;
    x->reserved_print = a->in->reserved_print;
    if (a->s->nscan == SCANS_MAX)
        scans_forget(a->s);
    x->next = a->s->scans;
    a->s->scans = x;
    a->s->nscan++;
    return x;
}

static bool scan_has(const struct scan *x, const char *gateway, const struct dt_addr *addr)
{
    return strcmp(x->gateway, gateway) == 0 && dt_lease_in_pools(addr, &x->pool, 1);
}

static struct scan *scan_of(const struct ask *a, const struct dt_prefix *pool)
{
    struct scan *x = a->s->scans;
    while (x != NULL && !(x->pool.len == pool->len && dt_addr_eq(&x->pool.addr, &pool->addr) &&
                          strcmp(x->gateway, a->gateway) == 0))
        x = x->next;
    if (x == NULL)
        return scan_new(a, pool);
    if (x->reserved_print != a->in->reserved_print) { /* what was passed as reserved may be free */
        x->reserved_print = a->in->reserved_print;
        x->last = dt_prefix_range(pool).from;
    }
    return x;
}

/* An address of the gateway is somebody's from now on, or nobody's any more. */
static void scans_note(const struct ask *a, const struct dt_addr *addr, bool leased)
{
    for (struct scan *x = a->s->scans; x != NULL; x = x->next) {
        if (!scan_has(x, a->gateway, addr))
            continue;
        x->count += leased ? 1 : -1;
        if (!leased && dt_addr_cmp(addr, &x->last) <= 0) {
            x->last = *addr;
            dt_addr_prev(&x->last);
        }
    }
}

/* The first address of this pool that nobody has or had. */
static bool fresh(const struct ask *a, const struct dt_prefix *pool, struct dt_addr *out)
{
    struct dt_addr from, to, row;
    struct scan *x = scan_of(a, pool);
    if (x == NULL || x->count >= DT_LEASE_POOL_MAX)
        return false;
    usable(pool, &from, &to);
    sqlite3_stmt *q = prepare(a, AFTER);
    bind_addr(a, q, 3, &x->last);
    bool more = sqlite3_step(q) == SQLITE_ROW && column_addr(a, q, &row);
    *out = x->last;
    while (dt_addr_cmp(out, &to) < 0 && dt_addr_next(out)) {
        a->s->pub.count.scanned++;
        bool leased = more && dt_addr_eq(&row, out);
        if (!leased && !reserved(a, out))
            return true;
        x->last = *out;
        if (leased)
            more = sqlite3_step(q) == SQLITE_ROW && column_addr(a, q, &row);
    }
    return false;
}

/* Does one more fit into the pool that the address is of? */
static bool pool_has_room(const struct ask *a, const struct dt_addr *addr)
{
    for (size_t i = 0; i < a->in->npool; i++)
        if (dt_lease_in_pools(addr, &a->in->pool[i], 1)) {
            const struct scan *x = scan_of(a, &a->in->pool[i]);
            return x != NULL && x->count < DT_LEASE_POOL_MAX;
        }
    return false;
}

static bool recycle(const struct ask *a, const struct dt_prefix *pool, struct dt_addr *out)
{
    struct dt_addr from, to;
    usable(pool, &from, &to);
    sqlite3_stmt *q = prepare(a, RECYCLE);
    bind_addr(a, q, 3, &from);
    bind_addr(a, q, 4, &to);
    while (sqlite3_step(q) == SQLITE_ROW)
        if (column_addr(a, q, out) && !reserved(a, out))
            return true;
    return false;
}

/* The address that this identity has, or had. */
static bool own(const struct ask *a, struct dt_addr *out)
{
    sqlite3_stmt *q = prepare(a, OWN);
    sqlite3_bind_text(q, 3, a->identity, -1, SQLITE_STATIC);
    return sqlite3_step(q) == SQLITE_ROW && column_addr(a, q, out);
}

static bool lease_choose(const struct ask *a, struct dt_addr *out)
{
    const struct dt_lease_ask *in = a->in;
    struct dt_lease_counters *count = &a->s->pub.count;
    if (own(a, out) && dt_lease_in_pools(out, in->pool, in->npool) &&
        (in->fixed ? dt_addr_eq(out, &in->wish) : !reserved(a, out))) {
        count->again++;
        return true;
    }
    bool wish = in->wish.ver == a->ver && dt_lease_in_pools(&in->wish, in->pool, in->npool);
    *out = in->wish;
    if (in->fixed)
        return wish && lease_holder(a, out) != TAKEN;
    if (wish && lease_holder(a, out) == NOBODY && !reserved(a, out) && pool_has_room(a, out))
        return true;
    for (size_t i = 0; i < in->npool; i++)
        if (in->pool[i].addr.ver == a->ver && fresh(a, &in->pool[i], out))
            return true;
    for (size_t i = 0; i < in->npool; i++)
        if (in->pool[i].addr.ver == a->ver && recycle(a, &in->pool[i], out)) {
            count->recycled++;
            return true;
        }
    return false;
}

static int lease_put(const struct ask *a, const struct dt_addr *addr, struct dt_err *err)
{
    struct dt_addr had;
    bool moved = own(a, &had) && !dt_addr_eq(&had, addr), newly = lease_holder(a, addr) == NOBODY;
    sqlite3_stmt *q = prepare(a, DROP);
    sqlite3_bind_text(q, 3, a->identity, -1, SQLITE_STATIC);
    bool ok = sqlite3_step(q) == SQLITE_DONE;
    q = prepare(a, DROP_ADDR);
    bind_addr(a, q, 3, addr);
    ok = sqlite3_step(q) == SQLITE_DONE && ok;
    q = prepare(a, PUT);
    sqlite3_bind_text(q, 3, a->identity, -1, SQLITE_STATIC);
    bind_addr(a, q, 4, addr);
    sqlite3_bind_int64(q, 5, a->in->now);
    if (!ok || sqlite3_step(q) != SQLITE_DONE)
        return dt_err_set(err, 0, "there is no memory for leases: %s", sqlite3_errmsg(a->s->db));
    if (moved)
        scans_note(a, &had, false);
    if (newly)
        scans_note(a, addr, true);
    return 0;
}

static void store_finish(struct store *s)
{
    for (size_t i = 0; i < QUERIES; i++)
        sqlite3_reset(s->q[i]);
}

static int take_refused(const struct ask *a, struct dt_err *err)
{
    char text[DT_ADDR_STRLEN];
    a->s->pub.count.refused++;
    if (a->in->fixed)
        return dt_err_set(err, 0, "%s, which is fixed for %s at gateway \"%s\", is leased to another still",
                          dt_addr_str(text, &a->in->wish), a->identity, a->gateway);
    dt_err_set(err, 0, "the IPv%u pool of gateway \"%s\" has no address left for %s", a->ver, a->gateway,
               a->identity);
    if (err != NULL)
        err->why = DT_WHY_POOL_USED_UP;
    return -1;
}

/* ---- the file ---- */

static void file_fails(struct store *s, const char *why)
{
    s->behind = true;
    snprintf(s->pub.unkept, sizeof(s->pub.unkept), "leases are in memory alone: %.260s", why);
}

static void path_fails(struct store *s, const char *why)
{
    char text[256];
    snprintf(text, sizeof(text), "cannot write %.120s: %.100s", s->path, why);
    file_fails(s, text);
}

static void file_works(struct store *s)
{
    s->behind = false;
    s->pub.unkept[0] = '\0';
}

/* As a whole, by somebody who can open it. */
static void keep_image(struct store *s)
{
    struct dt_err err = {0};
    sqlite3_int64 size = 0;
    unsigned char *image = sqlite3_serialize(s->db, "main", &size, 0);
    if (image == NULL)
        file_fails(s, "out of memory");
    else if (s->pub.keep(s->pub.user, image, (size_t)size, &err) != 0)
        file_fails(s, err.text);
    else
        file_works(s);
    sqlite3_free(image);
}

static void store_sync(struct dt_lease_store *st)
{
    struct store *s = DT_CONTAINER_OF(st, struct store, pub);
    if (!s->behind)
        return;
    if (s->file == NULL && st->keep != NULL)
        keep_image(s);
    else if (s->file != NULL && lease_file_all(s->file, s->db) == 0)
        file_works(s);
    else if (s->file != NULL)
        path_fails(s, lease_file_why(s->file));
}

/* A file that lacks more than this waits for store_sync. */
static void file_follow(struct store *s, const struct lease_row *row)
{
    if (s->path == NULL || s->behind)
        return;
    s->behind = s->file == NULL;
    if (s->file != NULL &&
        (row->addr != NULL ? lease_file_put(s->file, row) : lease_file_release(s->file, row)) != 0)
        path_fails(s, lease_file_why(s->file));
}

static int lease_take(struct dt_lease_store *st, const struct dt_lease_ask *ask, struct dt_addr *out,
                      struct dt_err *err)
{
    struct store *s = DT_CONTAINER_OF(st, struct store, pub);
    struct ask a = {s, ask->gateway, ask->identity, ask->ver, ask->ver == 4 ? 4 : 16, ask};
    int rc;
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return dt_err_set(err, 0, "there is no memory for leases: %s", sqlite3_errmsg(s->db));
    if (lease_choose(&a, out)) {
        rc = lease_put(&a, out, err);
        st->count.taken += rc == 0;
    } else {
        rc = take_refused(&a, err);
    }
    store_finish(s);
    if (rc == 0 && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
        file_follow(s, &(struct lease_row){ask->gateway, ask->identity, ask->ver, out->b, ask->now});
        return 0;
    }
    if (rc == 0) {
        rc = dt_err_set(err, 0, "there is no memory for leases: %s", sqlite3_errmsg(s->db));
        scans_forget(s); /* what was noted is not so */
    }
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static void release(struct dt_lease_store *st, const char *gateway, const char *identity, uint8_t ver,
                    int64_t now)
{
    struct store *s = DT_CONTAINER_OF(st, struct store, pub);
    struct ask a = {s, gateway, identity, ver, 0, NULL};
    sqlite3_stmt *q = prepare(&a, RELEASE);
    sqlite3_bind_text(q, 3, identity, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, now);
    sqlite3_step(q);
    store_finish(s);
    file_follow(s, &(struct lease_row){gateway, identity, ver, NULL, now});
}

static void close_store(struct dt_lease_store *st)
{
    struct store *s = DT_CONTAINER_OF(st, struct store, pub);
    store_sync(st);
    for (size_t i = 0; i < QUERIES; i++)
        sqlite3_finalize(s->q[i]);
    sqlite3_close(s->db);
    lease_file_close(s->file);
    scans_forget(s);
    free(s->path);
    free(s);
}

static int open_store(struct store *s, const char *path, struct dt_err *err)
{
    char why[128] = "";
    if (sqlite3_open_v2(":memory:", &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, lease_schema, NULL, NULL, NULL) != SQLITE_OK)
        return dt_err_set(err, 0, "there is no memory for leases: %s", sqlite3_errmsg(s->db));
    if (strcmp(path, ":memory:") != 0) {
        s->path = strdup(path);
        if (s->path == NULL)
            return dt_err_set(err, 0, "out of memory");
        if (lease_file_open(path, s->db, &s->file, why, sizeof(why), err) != 0)
            return -1;
        if (why[0] != '\0')
            path_fails(s, why);
    }
    for (size_t i = 0; i < QUERIES; i++)
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->q[i], NULL) != SQLITE_OK)
            return dt_err_set(err, 0, "there is no memory for leases: %s", sqlite3_errmsg(s->db));
    return 0;
}

struct dt_lease_store *dt_lease_sqlite(const char *path, struct dt_err *err)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    s->pub = (struct dt_lease_store){
        .take = lease_take, .release = release, .sync = store_sync, .close = close_store};
    mode_t old = umask(0077);
    int rc = open_store(s, path, err);
    umask(old);
    if (rc != 0) {
        close_store(&s->pub);
        return NULL;
    }
    return &s->pub;
}
