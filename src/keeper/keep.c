/* A file that is replaced as a whole: beside the old one, synced, and renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/message.h"

/* What somebody hands over may be of any kind, and grow. */
static int copy_all(int from, int to)
{
    char buf[65536];
    struct stat st;
    if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > KEEPER_KEEP_MAX) {
        errno = EFBIG;
        return -1;
    }
    for (off_t at = 0; at < st.st_size;) {
        size_t want = (size_t)(st.st_size - at) < sizeof(buf) ? (size_t)(st.st_size - at) : sizeof(buf);
        ssize_t n = pread(from, buf, want, at);
        ssize_t written = n > 0 ? write(to, buf, (size_t)n) : -1;
        if (n == 0)
            errno = EFBIG; /* it has become shorter meanwhile */
        if (written < 0)
            return -1;
        at += written; /* what was not written is tried again, and then the kernel says why not */
    }
    return fsync(to);
}

/* The name of a file is safe when its folder was synced. */
static void sync_folder(const char *path)
{
    char dir[sizeof(((struct dt_keeper_setup *)0)->kept)];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        slash[1] = '\0';
    int fd = open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* What SQLite would read into the new file, as the end of the old one. */
static void remove_sidecars(const char *path)
{
    static const char *const suffix[] = {"-wal", "-shm", "-journal"};
    char name[sizeof(((struct dt_keeper_setup *)0)->kept) + 16];
    for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
        (void)unlink(name);
    }
}

/* The folder of a file, when that alone is missing. */
static void make_keep_folder(const char *path)
{
    char dir[sizeof(((struct dt_keeper_setup *)0)->kept)];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
        (void)mkdir(dir, 0700);
    }
}

int keeper_keep(const char *path, bool database, int from, struct dt_err *err)
{
    char fresh[sizeof(((struct dt_keeper_setup *)0)->kept) + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    make_keep_folder(path);
    (void)unlink(fresh); /* of an attempt that was cut short; never written into, whatever it is */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd >= 0 ? copy_all(from, fd) : -1, why = errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0 && database)
        remove_sidecars(path);
    if (rc == 0 && rename(fresh, path) == 0) {
        sync_folder(path);
        return 0;
    }
    if (rc == 0)
        why = errno;
    if (fd >= 0)
        unlink(fresh);
    return dt_err_set(err, 0, "cannot write %s: %s", path, strerror(why));
}
