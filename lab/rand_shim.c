/* Preloaded into a daemon under test: lets a test say which SPI or cookie it draws next, since collisions of 32 and 64
 * random bits do not happen on a bench by themselves. When the file $DT_SHIM.N is there (N: how many bytes are asked
 * for at once: 4 for an ESP SPI, 8 for an IKE SPI), its first N bytes are the answer, and the file is removed.
 * Everything else comes from the kernel. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t getrandom(void *buf, size_t n, unsigned flags)
{
    const char *base = getenv("DT_SHIM");
    char path[256];
    if (base && (n == 4 || n == 8)) {
        snprintf(path, sizeof path, "%s.%zu", base, n);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ssize_t got = read(fd, buf, n);
            close(fd);
            unlink(path);
            if (got == (ssize_t)n)
                return got;
        }
    }
    return syscall(SYS_getrandom, buf, n, flags);
}
