#include "net/resolv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_OCTETS 512

static struct stat resolv_look_at(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        memset(&st, 0, sizeof(st));
    return st;
}

void resolv_init(struct resolv *r, const char *conf, const char *resolved)
{
    *r = (struct resolv){.conf = conf != NULL ? conf : RESOLV_CONF,
                         .resolved = resolved != NULL ? resolved : RESOLV_RESOLVED};
}

static bool names_the_stub(const char *path)
{
    char line[LINE_MAX_OCTETS], server[64];
    bool stub = false;
    FILE *f = fopen(path, "re");
    while (f != NULL && !stub && fgets(line, sizeof(line), f) != NULL)
        stub = sscanf(line, " nameserver %63s", server) == 1 &&
               (strcmp(server, "127.0.0.53") == 0 || strcmp(server, "127.0.0.54") == 0);
    if (f != NULL)
        fclose(f);
    return stub;
}

const char *resolv_file(struct resolv *r)
{
    r->seen[0] = resolv_look_at(r->conf);
    r->seen[1] = resolv_look_at(r->resolved);
    return names_the_stub(r->conf) && access(r->resolved, R_OK) == 0 ? r->resolved : r->conf;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_nlink == b->st_nlink && a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool resolv_changed(const struct resolv *r)
{
    struct stat conf = resolv_look_at(r->conf), resolved = resolv_look_at(r->resolved);
    return !same_file(&conf, &r->seen[0]) || !same_file(&resolved, &r->seen[1]);
}
