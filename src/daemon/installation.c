/* Which installation this is: sixteen random octets in a file beside the leases, made once. A copied configuration does not
 * copy it, so that a gateway can tell a second machine from one that moved. */

#include "daemon/installation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tunnels/daemon.h"

#define NAME "installation"

/* "DIR/installation" of "DIR/leases.db"; false: nothing is kept. */
static bool installation_path(char *out, size_t cap, const char *leases)
{
    const char *slash = strrchr(leases, '/');
    int n = slash != NULL ? (int)(slash - leases + 1) : 0;
    return strcmp(leases, ":memory:") != 0 && (size_t)snprintf(out, cap, "%.*s%s", n, leases, NAME) < cap;
}

static bool installation_read(const char *path, uint8_t id[DT_INSTALLATION_LEN])
{
    char text[2 * DT_INSTALLATION_LEN + 2] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 2 * DT_INSTALLATION_LEN)
        return false;
    text[2 * DT_INSTALLATION_LEN] = '\0';
    return dt_unhex(id, DT_INSTALLATION_LEN, text) == DT_INSTALLATION_LEN;
}

static bool installation_write(const char *path, const uint8_t id[DT_INSTALLATION_LEN])
{
    char text[2 * DT_INSTALLATION_LEN + 2];
    for (size_t i = 0; i < DT_INSTALLATION_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    text[2 * DT_INSTALLATION_LEN] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && write(fd, text, 2 * DT_INSTALLATION_LEN + 1) == 2 * DT_INSTALLATION_LEN + 1;
    return fd >= 0 && close(fd) == 0 && written;
}

void installation_set(struct daemon *d)
{
    uint8_t id[DT_INSTALLATION_LEN];
    char path[sizeof(d->cfg.leases) + sizeof(NAME)];
    struct dt_rand rand = dt_rand_system();
    bool kept = installation_path(path, sizeof(path), d->cfg.leases);
    if (!kept || !installation_read(path, id)) {
        dt_rand_fill(&rand, id, sizeof(id));
        if (kept && !installation_write(path, id))
            LOG(DT_LOG_WARN,
                "cannot write %s: %s; after a restart gateways will take this for another machine", path,
                strerror(errno));
    }
    dt_endpoint_installation(d->ep, id);
}
