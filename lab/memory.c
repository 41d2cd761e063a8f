/* lab-memory PID FILE: how often what the file has (without its line end) stands in the process's memory. One number. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP (1u << 20)

static size_t count_in(const char *buf, size_t len, const char *what, size_t n)
{
    size_t found = 0;
    for (const char *p = buf; (p = memmem(p, len - (size_t)(p - buf), what, n)) != NULL; p++)
        found++;
    return found;
}

/* A piece overlaps the one before it by n - 1 octets, so that nothing is missed and nothing counted twice. */
static size_t count_range(int mem, uint64_t from, uint64_t to, const char *what, size_t n)
{
    static char buf[STEP + 256];
    size_t kept = 0, found = 0;
    while (from < to) {
        size_t want = to - from < STEP ? (size_t)(to - from) : STEP;
        ssize_t got = pread(mem, buf + kept, want, (off_t)from);
        if (got <= 0)
            break;
        size_t len = kept + (size_t)got;
        found += count_in(buf, len, what, n);
        kept = len < n - 1 ? len : n - 1;
        memmove(buf, buf + len - kept, kept);
        from += (uint64_t)got;
    }
    return found;
}

int main(int argc, char **argv)
{
    char path[64], line[512], what[256], mode[8];
    FILE *f = argc == 3 ? fopen(argv[2], "re") : NULL;
    if (f == NULL || fgets(what, sizeof(what), f) == NULL) {
        fputs("lab-memory PID FILE\n", stderr);
        return 2;
    }
    fclose(f);
    size_t n = strcspn(what, "\n"), found = 0, ranges = 0;
    snprintf(path, sizeof(path), "/proc/%ld/mem", strtol(argv[1], NULL, 10));
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%ld/maps", strtol(argv[1], NULL, 10));
    FILE *maps = fopen(path, "re");
    if (mem < 0 || maps == NULL || n == 0) {
        perror(path);
        return 1;
    }
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx %7s", &from, &to, mode) != 3 || mode[0] != 'r' ||
            strstr(line, "[vvar") != NULL)
            continue;
        found += count_range(mem, from, to, what, n);
        ranges++;
    }
    printf("%zu\n", found);
    return ranges > 0 ? 0 : 1;
}
