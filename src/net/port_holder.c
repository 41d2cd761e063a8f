#include "net/port_holder.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKETS_MAX     65536u  /* lines of /proc/net/udp that are looked at */
#define DESCRIPTORS_MAX 262144u /* of all processes */

/* The inode of the first socket of that file that is bound to the port; 0: none. */
static unsigned long find_socket(const char *path, uint16_t port)
{
    char line[512];
    unsigned long inode = 0;
    FILE *f = fopen(path, "re");
    for (unsigned i = 0; f && inode == 0 && i < SOCKETS_MAX && fgets(line, sizeof line, f); i++) {
        unsigned at;
        unsigned long found;
        /* sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode */
        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*s %*s %*s %*s %*s %*s %*s %lu", &at, &found) == 2 &&
            at == port)
            inode = found;
    }
    if (f)
        fclose(f);
    return inode;
}

/* Whether one of the process's descriptors is that socket; `left` is how many may still be looked at. */
static bool has_socket(pid_t pid, const char *socket, unsigned *left)
{
    char path[PATH_MAX], link[64];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && !found && *left && (e = readdir(dir)); --*left) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof link - 1);
        if (n <= 0)
            continue; /* "." and "..", or it was closed */
        link[n] = '\0';
        found = strcmp(link, socket) == 0;
    }
    if (dir)
        closedir(dir);
    return found;
}

static pid_t find_process(unsigned long inode)
{
    char socket[64];
    unsigned left = DESCRIPTORS_MAX;
    pid_t pid = 0;
    snprintf(socket, sizeof socket, "socket:[%lu]", inode);
    DIR *proc = opendir("/proc");
    for (const struct dirent *e; proc && pid == 0 && left && (e = readdir(proc));) {
        char *end;
        long n = strtol(e->d_name, &end, 10);
        if (*end == '\0' && n > 0 && n <= INT_MAX && has_socket((pid_t)n, socket, &left))
            pid = (pid_t)n;
    }
    if (proc)
        closedir(proc);
    return pid;
}

char *dt_program_name(char out[DT_PROGRAM_NAME], pid_t pid)
{
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f) {
        n = fread(out, 1, DT_PROGRAM_NAME - 1, f);
        fclose(f);
    }
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    for (char *c = out; *c; c++)
        if (*c < 0x20 || *c > 0x7e) /* a process names itself as it likes */
            *c = '?';
    if (!*out)
        strcpy(out, "?");
    return out;
}

struct dt_port_holder dt_port_holder(uint8_t ver, uint16_t port)
{
    struct dt_port_holder h = {.there = false};
    unsigned long inode = ver == 4 ? find_socket("/proc/net/udp", port) : 0;
    if (inode == 0)
        inode = find_socket("/proc/net/udp6", port);
    if (inode == 0)
        return h;
    h.there = true;
    h.pid = find_process(inode);
    if (h.pid)
        dt_program_name(h.name, h.pid);
    return h;
}

char *dt_port_holder_str(char out[DT_PORT_HOLDER_STRLEN], const struct dt_port_holder *h, uint16_t port)
{
    if (!h->there)
        snprintf(out, DT_PORT_HOLDER_STRLEN, "whoever had it is gone by now");
    else if (h->pid == 0)
        snprintf(out, DT_PORT_HOLDER_STRLEN,
                 "another program has it, which cannot be seen from here: `ss -lunp sport = :%u`, as root, "
                 "names it",
                 port);
    else
        snprintf(out, DT_PORT_HOLDER_STRLEN, "process %d, %s, has it%s", (int)h->pid, h->name,
                 strncmp(h->name, "charon", 6) == 0
                     ? ", strongSwan's IKE daemon: of these two one alone can run on this host"
                     : "");
    return out;
}
