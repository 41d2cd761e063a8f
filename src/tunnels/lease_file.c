#include "tunnels/lease_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BUSY_MS 20 /* for another program that has the file open: the loop waits */
#define PATHS   4096

enum change { DROP_IDENTITY, DROP_ADDRESS, WRITE, FREE, CHANGES };

static const char *const changes[CHANGES] = {
    [DROP_IDENTITY] = "DELETE FROM lease WHERE gateway=?1 AND ver=?2 AND identity=?3",
    [DROP_ADDRESS] = "DELETE FROM lease WHERE gateway=?1 AND ver=?2 AND addr=?4",
    [WRITE] = "INSERT OR REPLACE INTO lease (gateway, ver, identity, addr, taken, at) VALUES (?1, ?2, ?3, "
              "?4, 1, ?5)",
    [FREE] = "UPDATE lease SET taken=0, at=?5 WHERE gateway=?1 AND ver=?2 AND identity=?3",
};

const char lease_schema[] =
    "CREATE TABLE IF NOT EXISTS lease (gateway TEXT NOT NULL, ver INTEGER NOT NULL, identity TEXT NOT NULL,"
    "  addr BLOB NOT NULL, taken INTEGER NOT NULL, at INTEGER NOT NULL,"
    "  PRIMARY KEY (gateway, ver, identity), UNIQUE (gateway, ver, addr)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS lease_free ON lease (gateway, ver, taken, at);";

struct lease_file {
    sqlite3 *db;
    sqlite3_stmt *q[CHANGES];
    char why[128];
};

/* How it can be opened, the best first. */
enum way {
    WAY_WRITE, /* as always */
    WAY_ALONE, /* without a file of shared memory beside it, for which a full disk has no room */
    WAY_READ,  /* on a read-only disk, with what a crash left beside it */
    WAY_FIXED, /* on a read-only disk, where nothing is beside it and nothing can be made */
};

static bool exec_all(sqlite3 *db, const char *text)
{
    return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK;
}

static const char *last_words(sqlite3 *db)
{
    int code = db != NULL ? sqlite3_system_errno(db) : 0;
    return code != 0 ? strerror(code) : sqlite3_errmsg(db);
}

/* ---- opening ---- */

/* "file:/PATH?immutable=1"; what SQLite would take for more than a name is escaped. */
static void fixed_uri(char *out, size_t cap, const char *path)
{
    size_t n = (size_t)snprintf(out, cap, "file:");
    for (; *path != '\0' && n + 32 < cap; path++)
        n += (size_t)snprintf(out + n, cap - n, strchr("%?#", *path) != NULL ? "%%%02x" : "%c",
                              (unsigned char)*path);
    snprintf(out + n, cap - n, "?immutable=1");
}

static sqlite3 *open_way(const char *path, enum way way)
{
    static const int flags[] = {
        [WAY_WRITE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
        [WAY_ALONE] = SQLITE_OPEN_READWRITE,
        [WAY_READ] = SQLITE_OPEN_READONLY,
        [WAY_FIXED] = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
    };
    char uri[PATHS + 64];
    sqlite3 *db = NULL;
    if (way == WAY_FIXED)
        fixed_uri(uri, sizeof(uri), path);
    bool good = sqlite3_open_v2(way == WAY_FIXED ? uri : path, &db, flags[way] | SQLITE_OPEN_NOMUTEX, NULL) ==
                SQLITE_OK;
    sqlite3_extended_result_codes(db, 1);
    good = good && exec_all(db, "PRAGMA trusted_schema=OFF; PRAGMA temp_store=MEMORY;");
    if (way == WAY_ALONE || way == WAY_READ)
        good = good && exec_all(db, "PRAGMA locking_mode=EXCLUSIVE;");
    if (way == WAY_WRITE)
        good = good && exec_all(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;") &&
               exec_all(db, lease_schema);
    if (way == WAY_ALONE)
        good = good && exec_all(db, "PRAGMA synchronous=NORMAL;");
    if (good)
        sqlite3_busy_timeout(db, BUSY_MS);
    return db;
}

/* A failure that another way of opening may get around: its place, not what is in it. */
static bool is_place(sqlite3 *db)
{
    switch (db != NULL ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return true;
    default:
        return false;
    }
}

/* The folder of the file, when that alone is missing. False: there can be none. */
static bool make_lease_folder(const char *path)
{
    char dir[PATHS];
    struct stat st;
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof(dir))
        return true;
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = '\0';
    if (mkdir(dir, 0700) == 0 || errno == EROFS || errno == ENOSPC || errno == EDQUOT)
        return true;
    return stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool has_octets(const char *path, const char *suffix)
{
    char name[PATHS + 8];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return stat(name, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

/* A file that was begun, and in which nothing stands. */
static bool has_no_tables(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    bool none = sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_master", -1, &q, NULL) == SQLITE_OK &&
                sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0) == 0;
    sqlite3_finalize(q);
    return none;
}

/* ---- copying ---- */

/* The rows of one table into the other, which is emptied before. `taken`: as they are, else none is. */
static bool copy_rows(sqlite3 *from, sqlite3 *to, bool taken)
{
    sqlite3_stmt *rows = NULL, *put = NULL;
    int rc = SQLITE_ERROR;
    if (exec_all(to, "BEGIN IMMEDIATE") && exec_all(to, "DELETE FROM lease") &&
        sqlite3_prepare_v2(from, "SELECT gateway, ver, identity, addr, taken, at FROM lease", -1, &rows,
                           NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(to, "INSERT INTO lease VALUES (?1, ?2, ?3, ?4, ?5, ?6)", -1, &put, NULL) ==
            SQLITE_OK)
        while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
            sqlite3_reset(put);
            for (int i = 0; i < 6; i++)
                sqlite3_bind_value(put, i + 1, sqlite3_column_value(rows, i));
            if (!taken)
                sqlite3_bind_int(put, 5, 0);
            if (sqlite3_step(put) != SQLITE_DONE)
                break;
        }
    sqlite3_finalize(rows);
    sqlite3_finalize(put);
    return rc == SQLITE_DONE && exec_all(to, "COMMIT");
}

static bool lease_file_prepare(struct lease_file *f)
{
    for (size_t i = 0; i < CHANGES; i++)
        if (sqlite3_prepare_v3(f->db, changes[i], -1, SQLITE_PREPARE_PERSISTENT, &f->q[i], NULL) != SQLITE_OK)
            return false;
    return true;
}

static int lease_file_failed(struct lease_file *f)
{
    snprintf(f->why, sizeof(f->why), "%s", last_words(f->db));
    if (!sqlite3_get_autocommit(f->db))
        exec_all(f->db, "ROLLBACK");
    return -1;
}

/* True: it is open in that way, and `memory` has what it has. *db is set in any case. */
static bool read_way(const char *path, enum way way, sqlite3 *memory, sqlite3 **db)
{
    *db = open_way(path, way);
    if (*db == NULL || sqlite3_errcode(*db) != SQLITE_OK)
        return false;
    if (copy_rows(*db, memory, false))
        return true;
    exec_all(memory, "ROLLBACK");
    return false;
}

/* The place of the file is read-only or full: what it has is needed all the same. 0: `memory` has it; *db is not NULL where it can be
 * written when there is room. */
static int read_disabled(const char *path, sqlite3 *memory, sqlite3 **db, struct dt_err *err)
{
    *db = NULL;
    if (!has_octets(path, ""))
        return 0; /* nothing was leased yet */
    bool read = read_way(path, WAY_ALONE, memory, db);
    if (read &&
        !sqlite3_db_readonly(*db, "main")) /* SQLite opens for reading what it cannot open for writing */
        return 0;
    sqlite3_close(*db);
    *db = NULL;
    int rc = 0;
    if (read)
        return 0;
    if (!read_way(path, has_octets(path, "-wal") ? WAY_READ : WAY_FIXED, memory, db) && !has_no_tables(*db))
        rc = dt_err_set(err, 0, "cannot read %s, and what was leased would be leased to others: %s", path,
                        last_words(*db));
    sqlite3_close(*db);
    *db = NULL;
    return rc;
}

int lease_file_open(const char *path, sqlite3 *memory, struct lease_file **out, char *why, size_t cap,
                    struct dt_err *err)
{
    sqlite3 *db;
    *out = NULL;
    if (strlen(path) >= PATHS || !make_lease_folder(path))
        return dt_err_set(err, 0, "cannot use %s for leases: its folder is not there", path);
    if (read_way(path, WAY_WRITE, memory, &db)) {
        if (sqlite3_db_readonly(db, "main")) { /* SQLite opens for reading what it cannot open for writing */
            snprintf(why, cap, "%s", strerror(EROFS));
            sqlite3_close(db);
            return 0;
        }
    } else {
        int rc = -1;
        if (is_place(db))
            snprintf(why, cap, "%s", last_words(db));
        else
            rc = dt_err_set(err, 0, "cannot use %s for leases: %s", path, last_words(db));
        bool place = is_place(db);
        sqlite3_close(db);
        if (!place || (rc = read_disabled(path, memory, &db, err)) != 0 || db == NULL)
            return rc;
    }
    struct lease_file *f = calloc(1, sizeof(*f));
    if (f == NULL || (f->db = db, !lease_file_prepare(f))) {
        dt_err_set(err, 0, "%s holds something else than Dovetail's leases: %s", path, sqlite3_errmsg(db));
        if (f == NULL)
            sqlite3_close(db);
        lease_file_close(f);
        return -1;
    }
    *out = f;
    return 0;
}

void lease_file_close(struct lease_file *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < CHANGES; i++)
        sqlite3_finalize(f->q[i]);
    sqlite3_close(f->db);
    free(f);
}

/* ---- writing ---- */

static bool lease_change(struct lease_file *f, enum change which, const struct lease_row *row)
{
    sqlite3_stmt *q = f->q[which];
    sqlite3_bind_text(q, 1, row->gateway, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, row->ver);
    if (which != DROP_ADDRESS)
        sqlite3_bind_text(q, 3, row->identity, -1, SQLITE_STATIC);
    if (which == DROP_ADDRESS || which == WRITE)
        sqlite3_bind_blob(q, 4, row->addr, row->ver == 4 ? 4 : 16, SQLITE_STATIC);
    if (which == WRITE || which == FREE)
        sqlite3_bind_int64(q, 5, row->at);
    bool done = sqlite3_step(q) == SQLITE_DONE;
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return done;
}

static bool lease_commit(struct lease_file *f, bool good)
{
    return good && exec_all(f->db, "COMMIT");
}

int lease_file_put(struct lease_file *f, const struct lease_row *row)
{
    bool good = exec_all(f->db, "BEGIN IMMEDIATE") && lease_change(f, DROP_IDENTITY, row) &&
                lease_change(f, DROP_ADDRESS, row) && lease_change(f, WRITE, row);
    return lease_commit(f, good) ? 0 : lease_file_failed(f);
}

int lease_file_release(struct lease_file *f, const struct lease_row *row)
{
    bool good = exec_all(f->db, "BEGIN IMMEDIATE") && lease_change(f, FREE, row);
    return lease_commit(f, good) ? 0 : lease_file_failed(f);
}

int lease_file_all(struct lease_file *f, sqlite3 *memory)
{
    return exec_all(f->db, lease_schema) && copy_rows(memory, f->db, true) ? 0 : lease_file_failed(f);
}

const char *lease_file_why(const struct lease_file *f)
{
    return f->why;
}
