/* The sysctls that decide whether the answers of a gateway come in. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/host.h"

#define CONF        "/proc/sys/net/ipv4/conf/"
#define DEVICES_MAX 256 /* that are looked at; of more, the first */

static int read_number(const char *device, const char *name)
{
    char path[320];
    int n = 0;
    snprintf(path, sizeof(path), CONF "%s/%s", device, name);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    int c = fgetc(f);
    if (c >= '0' && c <= '9')
        n = c - '0';
    fclose(f);
    return n;
}

/* The kernel takes the greater of "all" and the device's. */
static int greater(int a, int b)
{
    return a > b ? a : b;
}

int dt_host_rp_filter(const char *device)
{
    int most =
        greater(read_number("all", "rp_filter"), device != NULL ? read_number(device, "rp_filter") : 0);
    DIR *d = device == NULL && most == 0 ? opendir(CONF) : NULL;
    if (d == NULL)
        return most;
    struct dirent *e;
    for (unsigned i = 0; i < DEVICES_MAX && (e = readdir(d)) != NULL; i++)
        if (e->d_name[0] != '.')
            most = greater(most, read_number(e->d_name, "rp_filter"));
    closedir(d);
    return most;
}

bool dt_host_src_valid_mark(void)
{
    return read_number("all", "src_valid_mark") == 1;
}

int dt_host_src_valid_mark_set(bool on, struct dt_err *err)
{
    static const char path[] = CONF "all/src_valid_mark";
    FILE *f = fopen(path, "we");
    bool done = f != NULL && fputs(on ? "1\n" : "0\n", f) >= 0;
    if (f != NULL && fclose(f) != 0)
        done = false;
    return done ? 0 : dt_err_set(err, 0, "cannot write %s: %s", path, strerror(errno));
}
