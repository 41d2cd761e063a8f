/* What keys are appended to is a file of ours alone, under its own name: never what a link leads to, never one that somebody
 * else owns, reads, or knows by another name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper/keeper.h"

static int alone(const char *path, const struct stat *st, struct dt_err *err)
{
    if (!S_ISREG(st->st_mode))
        return dt_err_set(err, 0, "the key log %s is no regular file", path);
    if (st->st_uid != geteuid())
        return dt_err_set(
            err, 0, "the key log %s belongs to user %u; a file of user %u's, or none yet, would be right",
            path, (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return dt_err_set(
            err, 0,
            "the key log %s: others than its owner may read or change it (mode %04o); `chmod 600 %s` "
            "would be right",
            path, (unsigned)(st->st_mode & 07777), path);
    if (st->st_nlink != 1)
        return dt_err_set(err, 0, "the key log %s has %u names; one would be right", path,
                          (unsigned)st->st_nlink);
    return 0;
}

int dt_keylog_open(const char *path, struct dt_err *err)
{
    const struct open_how how = {.flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                 .mode = 0600,
                                 .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    struct stat st;
    if (fd < 0 && errno == ELOOP)
        return dt_err_set(err, 0, "the key log %s: a symbolic link leads there; its own path would be right",
                          path);
    if (fd < 0 || fstat(fd, &st) != 0)
        dt_err_set(err, 0, "cannot write the key log %s: %s", path, strerror(errno));
    else if (alone(path, &st, err) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
