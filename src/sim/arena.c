#include "sim/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REGION  ((size_t)256 << 20)
#define CLASSES 88
#define HEAD    16 /* before each block: its class */

/* Stands at the region's beginning, so that it is saved and loaded with the rest. */
struct arena {
    size_t used; /* bytes of the region, this struct included */
    size_t pad;
    void *idle[CLASSES];
};

static struct arena *region;
static bool on;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__real_aligned_alloc(size_t align, size_t n);
int __real_posix_memalign(void **out, size_t align, size_t n);
char *__real_strdup(const char *s);

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_posix_memalign(void **out, size_t align, size_t n);
char *__wrap_strdup(const char *s);

int sim_arena_open(void)
{
    if (region)
        return 0;
    void *p = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -1;
    region = p;
    sim_arena_clear();
    return 0;
}

void sim_arena_close(void)
{
    if (region)
        munmap(region, REGION);
    region = NULL;
    on = false;
}

void sim_arena_on(bool want)
{
    on = want && region;
}

size_t sim_arena_used(void)
{
    return region->used;
}

void sim_arena_save(void *copy)
{
    memcpy(copy, region, region->used);
}

void sim_arena_load(const void *copy, size_t used)
{
    memcpy(region, copy, used);
}

void sim_arena_clear(void)
{
    memset(region, 0, sizeof *region);
    region->used = (sizeof *region + 63) & ~(size_t)63;
}

static bool inside(const void *p)
{
    return region && (const char *)p >= (const char *)region &&
           (const char *)p < (const char *)region + REGION;
}

/* Sizes go up by quarters of a power of two: 32 40 48 56 64 80 96 112 128 ... */
static size_t class_size(unsigned c)
{
    return ((size_t)4 + c % 4) << (3 + c / 4);
}

static unsigned class_of(size_t n)
{
    unsigned c = 0;
    while (c < CLASSES && class_size(c) < n)
        c++;
    return c;
}

static void *take(size_t n)
{
    unsigned c = class_of(n ? n : 1);
    if (c == CLASSES)
        return NULL;
    char *p = region->idle[c];
    if (p) {
        memcpy(&region->idle[c], p, sizeof(void *));
        return p;
    }
    size_t whole = (class_size(c) + HEAD + 15) & ~(size_t)15;
    if (region->used + whole > REGION)
        return NULL;
    p = (char *)region + region->used + HEAD;
    region->used += whole;
    memcpy(p - HEAD, &c, sizeof c);
    return p;
}

static unsigned class_at(const void *p)
{
    unsigned c;
    memcpy(&c, (const char *)p - HEAD, sizeof c);
    return c;
}

void *__wrap_malloc(size_t n)
{
    if (!on)
        return __real_malloc(n);
    void *p = take(n);
    if (!p)
        errno = ENOMEM;
    return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
    size_t all;
    if (!on)
        return __real_calloc(n, size);
    if (__builtin_mul_overflow(n, size, &all))
        return NULL;
    void *p = take(all);
    return p ? memset(p, 0, all) : NULL;
}

void __wrap_free(void *p)
{
    if (!inside(p)) {
        __real_free(p);
        return;
    }
    unsigned c = class_at(p);
    memcpy(p, &region->idle[c], sizeof(void *));
    region->idle[c] = p;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!inside(p) && !(on && !p))
        return __real_realloc(p, n);
    if (!p)
        return take(n);
    size_t had = class_size(class_at(p));
    if (n <= had)
        return p;
    void *q = take(n);
    if (q) {
        memcpy(q, p, had);
        __wrap_free(p);
    }
    return q;
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    if (!on)
        return __real_aligned_alloc(align, n);
    /* Blocks are aligned to 16; whoever wants more gets a block that is freed as a whole by the next clear. */
    if (align <= 16)
        return take(n);
    char *p = (char *)region + ((region->used + HEAD + align - 1) & ~(align - 1));
    unsigned c = class_of(n);
    if (c == CLASSES || (size_t)(p - (char *)region) + class_size(c) > REGION)
        return NULL;
    region->used = ((size_t)(p - (char *)region) + class_size(c) + 15) & ~(size_t)15;
    memcpy(p - HEAD, &c, sizeof c);
    return p;
}

int __wrap_posix_memalign(void **out, size_t align, size_t n)
{
    if (!on)
        return __real_posix_memalign(out, align, n);
    *out = __wrap_aligned_alloc(align, n);
    return *out ? 0 : ENOMEM;
}

char *__wrap_strdup(const char *s)
{
    if (!on)
        return __real_strdup(s);
    size_t n = strlen(s) + 1;
    char *p = take(n);
    return p ? memcpy(p, s, n) : NULL;
}
