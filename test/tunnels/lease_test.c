
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/test.h"

#include "base/bytes.h"

#include "tunnels/lease.h"
#include "wire/ike_id.h"
#include "wire/ike_notify.h"

static struct dt_prefix prefix(const char *text)
{
    struct dt_prefix p;
    assert_int_equal(dt_prefix_parse(&p, text, false), 0);
    return p;
}

static const char *take(struct dt_lease_store *s, const char *who, uint8_t ver, const struct dt_prefix *pool,
                        size_t n, int64_t now)
{
    static char text[4][DT_ADDR_STRLEN];
    static unsigned i;
    struct dt_addr out;
    struct dt_err err = {0};
    struct dt_lease_ask ask = {
        .gateway = "g", .identity = who, .ver = ver, .pool = pool, .npool = n, .now = now};
    if (s->take(s, &ask, &out, &err) != 0) {
        assert_string_not_equal(err.text, "");
        return "none";
    }
    return dt_addr_str(text[i++ % 4], &out);
}

static int wish_for(struct dt_lease_store *s, const char *gateway, const char *who,
                    const struct dt_prefix *pool, const struct dt_addr *wish, struct dt_addr *out)
{
    struct dt_lease_ask ask = {
        .gateway = gateway, .identity = who, .ver = 4, .pool = pool, .npool = 1, .wish = *wish, .now = 1};
    return s->take(s, &ask, out, NULL);
}

static struct dt_lease_store *store(const char *path)
{
    struct dt_err err = {0};
    struct dt_lease_store *s = dt_lease_sqlite(path, &err);
    if (s == NULL)
        fail_msg("%s", err.text);
    return s;
}

static void in_order_and_again(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool[] = {prefix("10.9.0.0/24"), prefix("fd09::/64")};
    assert_string_equal(take(s, "a", 4, pool, 2, 1), "10.9.0.1");
    assert_string_equal(take(s, "b", 4, pool, 2, 2), "10.9.0.2");
    assert_string_equal(take(s, "a", 6, pool, 2, 2), "fd09::1");
    s->release(s, "g", "a", 4, 3);
    assert_string_equal(take(s, "c", 4, pool, 2, 4), "10.9.0.3"); /* a's address is remembered */
    assert_string_equal(take(s, "a", 4, pool, 2, 5), "10.9.0.1");
    assert_string_equal(take(s, "a", 6, pool, 2, 5), "fd09::1");
    assert_int_equal(s->count.again, 2);
    s->close(s);
}

static void used_up_then_recycled(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.9.0.0/29"); /* six */
    char who[8];
    for (int i = 1; i <= 6; i++) {
        snprintf(who, sizeof(who), "c%d", i);
        assert_string_not_equal(take(s, who, 4, &pool, 1, i), "none");
    }
    assert_string_equal(take(s, "late", 4, &pool, 1, 10), "none");
    assert_int_equal(s->count.refused, 1);
    s->release(s, "g", "c5", 4, 20);
    s->release(s, "g", "c2", 4, 30);
    assert_string_equal(take(s, "late", 4, &pool, 1, 40), "10.9.0.5"); /* released longest ago */
    assert_string_equal(take(s, "c5", 4, &pool, 1, 41), "10.9.0.2");
    assert_string_equal(take(s, "c2", 4, &pool, 1, 42), "none");
    s->close(s);
}

static void wishes(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.9.0.0/24");
    struct dt_addr wish, out;
    dt_addr_parse(&wish, "10.9.0.77");
    assert_int_equal(wish_for(s, "g", "a", &pool, &wish, &out), 0);
    assert_true(dt_addr_eq(&out, &wish));
    assert_int_equal(wish_for(s, "g", "b", &pool, &wish, &out), 0);
    assert_false(dt_addr_eq(&out, &wish)); /* a has it */
    dt_addr_parse(&wish, "10.10.0.1");
    assert_int_equal(wish_for(s, "g", "c", &pool, &wish, &out), 0);
    assert_false(dt_addr_eq(&out, &wish)); /* not of the pool */
    dt_addr_parse(&wish, "10.9.0.255");
    assert_int_equal(wish_for(s, "g", "d", &pool, &wish, &out), 0);
    assert_false(dt_addr_eq(&out, &wish)); /* broadcast */
    s->close(s);
}

/* Two identities never hold one address, however alike their names look; one identity has one lease, however it spells
 * its name. */
static void one_lease_for_an_identity(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.9.0.0/24");
    char key[DT_IKE_ID_STRLEN];
    struct dt_ike_id name = {.type = DT_ID_FQDN, .len = 8, .data = "id9:abcd"},
                     odd = {.type = 9, .len = 2, .data = {0xab, 0xcd}}, anna = {0}, shouted = {0};
    assert_int_equal(dt_ike_id_parse(&anna, "anna@example.net"), 0);
    assert_int_equal(dt_ike_id_parse(&shouted, "ANNA@example.net"), 0);
    assert_string_equal(take(s, dt_ike_id_key(key, &name), 4, &pool, 1, 1), "10.9.0.1");
    assert_string_equal(take(s, dt_ike_id_key(key, &odd), 4, &pool, 1, 2), "10.9.0.2");
    assert_string_equal(take(s, dt_ike_id_key(key, &anna), 4, &pool, 1, 3), "10.9.0.3");
    assert_string_equal(take(s, dt_ike_id_key(key, &shouted), 4, &pool, 1, 4), "10.9.0.3");
    s->close(s);
}

static void survives_a_restart(void **state)
{
    char path[] = "/tmp/dovetail-lease-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    struct dt_prefix pool = prefix("10.9.0.0/24");
    struct dt_lease_store *s = store(path);
    take(s, "a", 4, &pool, 1, 1);
    assert_string_equal(take(s, "b", 4, &pool, 1, 1), "10.9.0.2");
    s->close(s);
    s = store(path);
    assert_string_equal(take(s, "c", 4, &pool, 1, 9), "10.9.0.3");
    assert_string_equal(take(s, "b", 4, &pool, 1, 9), "10.9.0.2");
    s->close(s);
    unlink(path);
}

static void another_pool_and_gateway(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix one = prefix("10.9.0.0/24"), two = prefix("10.8.0.0/24");
    struct dt_addr out;
    char text[DT_ADDR_STRLEN];
    assert_string_equal(take(s, "a", 4, &one, 1, 1), "10.9.0.1");
    assert_string_equal(take(s, "a", 4, &two, 1, 2), "10.8.0.1"); /* the configuration changed */
    assert_string_equal(take(s, "b", 4, &one, 1, 3), "10.9.0.1");
    assert_int_equal(wish_for(s, "h", "z", &one, &(struct dt_addr){0}, &out), 0);
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.1"); /* gateways do not share */
    s->close(s);
}

static bool odd(void *ctx, const struct dt_addr *a)
{
    return a->b[3] & 1;
}

static bool below_five(void *ctx, const struct dt_addr *a)
{
    return a->b[3] < 5;
}

/* What is the host's, or fixed for somebody, is leased to nobody: not at first, not by a wish, not again, not recycled. */
static void reserved_addresses_are_never_leased(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.9.0.0/29");
    struct dt_addr out;
    struct dt_err err = {0};
    char text[DT_ADDR_STRLEN];
    assert_string_equal(take(s, "a", 4, &pool, 1, 1), "10.9.0.1"); /* before it was reserved */
    struct dt_lease_ask ask = {.gateway = "g",
                               .identity = "a",
                               .ver = 4,
                               .pool = &pool,
                               .npool = 1,
                               .now = 2,
                               .reserved = odd,
                               .reserved_print = 1};
    assert_int_equal(s->take(s, &ask, &out, &err), 0);
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.2");
    ask.identity = "b";
    dt_addr_parse(&ask.wish, "10.9.0.5");
    assert_int_equal(s->take(s, &ask, &out, &err), 0);
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.4");
    ask.identity = "c";
    ask.wish.ver = 0;
    assert_int_equal(s->take(s, &ask, &out, &err), 0);
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.6");
    ask.identity = "d";
    assert_int_equal(s->take(s, &ask, &out, &err), -1);
    assert_int_equal(err.why, DT_WHY_POOL_USED_UP);
    s->release(s, "g", "a", 4, 3);
    s->release(s, "g", "c", 4, 4);
    ask.reserved_print = 2;
    ask.reserved = below_five; /* a's is reserved now: the one released later is recycled */
    assert_string_equal(take(s, "x", 4, &pool, 1, 5), "10.9.0.1");
    assert_string_equal(take(s, "y", 4, &pool, 1, 5), "10.9.0.3");
    assert_string_equal(take(s, "z", 4, &pool, 1, 5), "10.9.0.5");
    assert_int_equal(s->take(s, &ask, &out, &err), 0);
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.6");
    s->close(s);
}

static void a_fixed_address_is_its_identitys(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.9.0.0/24");
    struct dt_addr out;
    struct dt_err err = {0};
    char text[DT_ADDR_STRLEN];
    assert_string_equal(take(s, "a", 4, &pool, 1, 1), "10.9.0.1");
    assert_string_equal(take(s, "b", 4, &pool, 1, 1), "10.9.0.2");
    struct dt_lease_ask ask = {
        .gateway = "g", .identity = "a", .ver = 4, .pool = &pool, .npool = 1, .now = 2, .fixed = true};
    dt_addr_parse(&ask.wish, "10.9.0.7");
    assert_int_equal(s->take(s, &ask, &out, &err), 0); /* not the one that it had */
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.7");
    dt_addr_parse(&ask.wish, "10.9.0.2");
    assert_int_equal(s->take(s, &ask, &out, &err), -1); /* b has it still */
    assert_non_null(strstr(err.text, "10.9.0.2"));
    s->release(s, "g", "b", 4, 3);
    assert_int_equal(s->take(s, &ask, &out, &err), 0);
    assert_string_equal(dt_addr_str(text, &out), "10.9.0.2");
    s->close(s);
}

/* Whoever wishes for the last address of a pool makes no later lease dear: each address is passed once, and again only
 * when somebody has left it. */
static void a_new_lease_does_not_look_at_all_others(void **state)
{
    enum { LEASES = 3000 };
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.9.0.0/16");
    struct dt_addr wish, out;
    char who[16], text[DT_ADDR_STRLEN];
    dt_addr_parse(&wish, "10.9.255.254");
    assert_int_equal(wish_for(s, "g", "greedy", &pool, &wish, &out), 0);
    assert_true(dt_addr_eq(&out, &wish));
    for (int i = 0; i < LEASES; i++) {
        snprintf(who, sizeof(who), "c%d", i);
        assert_string_not_equal(take(s, who, 4, &pool, 1, 1), "none");
    }
    assert_true(s->count.scanned <= 2 * LEASES);
    /* One moves, by a wish, and leaves a hole behind. */
    uint64_t before = s->count.scanned;
    struct dt_lease_ask ask = {
        .gateway = "g", .identity = "c5", .ver = 4, .pool = &pool, .npool = 1, .fixed = true};
    dt_addr_parse(&ask.wish, "10.9.200.1");
    assert_int_equal(s->take(s, &ask, &out, NULL), 0);
    assert_string_equal(take(s, "late", 4, &pool, 1, 2), "10.9.0.6");
    assert_string_equal(take(s, "later", 4, &pool, 1, 2),
                        dt_addr_str(text, &(struct dt_addr){.ver = 4, .b = {10, 9, 11, 185}}));
    assert_true(s->count.scanned - before <= 2 * LEASES);
    s->close(s);
}

/* So many leases of one pool are remembered, however they came about. */
static void a_pool_is_bounded(void **state)
{
    struct dt_lease_store *s = store(":memory:");
    struct dt_prefix pool = prefix("10.0.0.0/8");
    struct dt_addr wish, out;
    char who[16];
    for (int i = 0; i < DT_LEASE_POOL_MAX; i++) {
        snprintf(who, sizeof(who), "c%d", i);
        if (i % 2 == 0) {
            assert_string_not_equal(take(s, who, 4, &pool, 1, 1), "none");
        } else {
            wish = dt_addr4(0x0a800000 + (uint32_t)i);
            assert_int_equal(wish_for(s, "g", who, &pool, &wish, &out), 0);
            assert_true(dt_addr_eq(&out, &wish));
        }
    }
    assert_string_equal(take(s, "late", 4, &pool, 1, 2), "none");
    wish = dt_addr4(0x0aff0000);
    assert_int_equal(wish_for(s, "g", "later", &pool, &wish, &out), -1);
    s->close(s);
}

/* A path in a folder of its own, where nothing is. */
static const char *lease_path(void)
{
    static char dir[32], path[64];
    strcpy(dir, "/tmp/dovetail-lease-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/leases.db", dir);
    return path;
}

static void lease_path_remove(const char *path)
{
    static const char *const suffix[] = {"", "-wal", "-shm", "-journal"};
    char name[80];
    for (size_t i = 0; i < DT_ARRAY_LEN(suffix); i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
        unlink(name);
    }
    *strrchr(name, '/') = '\0';
    assert_int_equal(rmdir(name), 0);
}

/* Somebody else has the file open for writing: leases go on in memory, and the file has them later, also what was released
 * meanwhile. */
static void a_file_that_is_busy(void **state)
{
    const char *path = lease_path();
    struct dt_prefix pool = prefix("10.9.0.0/24");
    struct dt_lease_store *s = store(path);
    assert_string_equal(take(s, "a", 4, &pool, 1, 1), "10.9.0.1");
    assert_string_equal(s->unkept, "");
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_string_equal(take(s, "b", 4, &pool, 1, 2), "10.9.0.2");
    assert_non_null(strstr(s->unkept, "in memory alone"));
    assert_non_null(strstr(s->unkept, path));
    assert_non_null(strstr(s->unkept, "locked"));
    s->sync(s);
    assert_string_not_equal(s->unkept, "");
    assert_string_equal(take(s, "c", 4, &pool, 1, 3), "10.9.0.3");
    sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(other);
    s->sync(s);
    assert_string_equal(s->unkept, "");
    struct dt_lease_store *again = store(path); /* as after kill -9 */
    assert_string_equal(take(again, "d", 4, &pool, 1, 4), "10.9.0.4");
    assert_string_equal(take(again, "b", 4, &pool, 1, 4), "10.9.0.2");
    again->close(again);
    s->close(s);
    lease_path_remove(path);
}

static char kept_image[1 << 20];
static size_t kept_len;
static bool keep_fails;

static int keep_here(void *user, const void *image, size_t len, struct dt_err *err)
{
    if (keep_fails)
        return dt_err_set(err, 0, "cannot write it: no room");
    assert_true(len <= sizeof(kept_image));
    memcpy(kept_image, image, len);
    kept_len = len;
    return 0;
}

/* There is a file, and it can only be read (a folder of that name stands where its journal would be made): what it has counts, and
 * somebody else writes the new one as a whole. */
static void a_file_that_others_must_write(void **state)
{
    const char *path = lease_path();
    char wal[80];
    struct dt_prefix pool = prefix("10.9.0.0/24");
    struct dt_lease_store *s = store(path);
    assert_string_equal(take(s, "a", 4, &pool, 1, 1), "10.9.0.1");
    s->close(s);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    assert_int_equal(mkdir(wal, 0700), 0);
    s = store(path);
    s->keep = keep_here;
    keep_fails = true;
    assert_non_null(strstr(s->unkept, "in memory alone"));
    assert_string_equal(take(s, "b", 4, &pool, 1, 2), "10.9.0.2");
    s->sync(s);
    assert_non_null(strstr(s->unkept, "no room"));
    assert_int_equal(kept_len, 0);
    keep_fails = false;
    s->sync(s);
    assert_string_equal(s->unkept, "");
    assert_int_not_equal(kept_len, 0);
    assert_string_equal(take(s, "c", 4, &pool, 1, 2), "10.9.0.3");
    s->close(s); /* the last one is kept here */
    rmdir(wal);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(kept_image, 1, kept_len, f), kept_len);
    fclose(f);
    s = store(path);
    assert_string_equal(s->unkept, "");
    assert_string_equal(take(s, "d", 4, &pool, 1, 3), "10.9.0.4");
    assert_string_equal(take(s, "c", 4, &pool, 1, 3), "10.9.0.3");
    assert_string_equal(take(s, "a", 4, &pool, 1, 3), "10.9.0.1");
    s->close(s);
    lease_path_remove(path);
}

/* What is no database, or another one, is left as it is: somebody's leases may be in it. */
static void something_else_is_not_overwritten(void **state)
{
    struct dt_err err = {0};
    const char *path = lease_path();
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("no database ", f);
    fclose(f);
    assert_null(dt_lease_sqlite(path, &err));
    assert_non_null(strstr(err.text, path));
    unlink(path);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "CREATE TABLE lease (color TEXT)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_null(dt_lease_sqlite(path, &err));
    assert_non_null(strstr(err.text, path));
    lease_path_remove(path);
}

static void not_a_database(void **state)
{
    struct dt_err err = {0};
    assert_null(dt_lease_sqlite("/dev/null/leases.db", &err));
    assert_non_null(strstr(err.text, "/dev/null/leases.db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_again),
        cmocka_unit_test(used_up_then_recycled),
        cmocka_unit_test(wishes),
        cmocka_unit_test(one_lease_for_an_identity),
        cmocka_unit_test(survives_a_restart),
        cmocka_unit_test(another_pool_and_gateway),
        cmocka_unit_test(reserved_addresses_are_never_leased),
        cmocka_unit_test(a_fixed_address_is_its_identitys),
        cmocka_unit_test(a_new_lease_does_not_look_at_all_others),
        cmocka_unit_test(a_pool_is_bounded),
        cmocka_unit_test(a_file_that_is_busy),
        cmocka_unit_test(a_file_that_others_must_write),
        cmocka_unit_test(something_else_is_not_overwritten),
        cmocka_unit_test(not_a_database),
    };
    return TEST_RUN(tests);
}
