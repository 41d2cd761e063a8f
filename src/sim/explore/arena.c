#include "sim/explore/arena.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define REGION  ((size_t)256 << 20)
#define PAGE    ((size_t)4096)
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
static char *ground; /* the region as it stood then; NULL: there is none */
static size_t ground_used;
/* Pages that were written to since, in the order in which that happened first: a copy holds as many of them as there
 * were when it was made. */
static uint32_t hot[REGION / PAGE];
static size_t nhot;
static struct sigaction before;

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

/* The first write to a page since the ground: it is hot from now on. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    char *at = info->si_addr;
    size_t page = (size_t)(at - (char *)region) / PAGE;
    if (!ground || at < (char *)region || at >= (char *)region + REGION ||
        mprotect((char *)region + page * PAGE, PAGE, PROT_READ | PROT_WRITE)) {
        sigaction(SIGSEGV, &before, NULL); /* not ours: it happens again, to whoever was there before */
        return;
    }
    hot[nhot++] = (uint32_t)page;
}

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

static void lift(void)
{
    if (!ground)
        return;
    mprotect(region, REGION, PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &before, NULL);
    __real_free(ground);
    ground = NULL;
    nhot = 0;
}

void sim_arena_close(void)
{
    lift();
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

int sim_arena_ground(void)
{
    struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    size_t used = region->used;
    char *copy = __real_malloc(used + PAGE);
    if (!copy)
        return -1;
    memcpy(copy, region, used);
    memset(copy + used, 0, PAGE);
    if (sigaction(SIGSEGV, &act, &before) || mprotect(region, REGION, PROT_READ)) {
        __real_free(copy);
        return -1;
    }
    ground = copy;
    ground_used = used;
    nhot = 0;
    return 0;
}

/* A copy: how many bytes are in use, how many pages were hot, and those of them that are in use. */
struct copy {
    size_t used, nhot;
    char pages[];
};

size_t sim_arena_copy_size(void)
{
    return sizeof(struct copy) + (ground ? nhot * PAGE : region->used);
}

void sim_arena_save(void *copy)
{
    struct copy *c = copy;
    char *to = c->pages;
    c->used = region->used;
    c->nhot = nhot;
    if (!ground)
        memcpy(to, region, c->used);
    for (size_t i = 0; ground && i < nhot; i++) {
        if (hot[i] * PAGE >= c->used)
            continue;
        memcpy(to, (char *)region + hot[i] * PAGE, PAGE);
        to += PAGE;
    }
}

static void from_ground(size_t page)
{
    if (page * PAGE < ground_used) /* else it was not in use then */
        memcpy((char *)region + page * PAGE, ground + page * PAGE, PAGE);
}

void sim_arena_load(const void *copy)
{
    const struct copy *c = copy;
    const char *from = c->pages;
    if (!ground)
        memcpy(region, from, c->used);
    for (size_t i = 0; ground && i < c->nhot; i++) {
        if (hot[i] * PAGE >= c->used)
            continue;
        memcpy((char *)region + hot[i] * PAGE, from, PAGE);
        from += PAGE;
    }
    for (size_t i = c->nhot; ground && i < nhot; i++) /* hot only since the copy */
        from_ground(hot[i]);
}

void sim_arena_to_ground(void)
{
    for (size_t i = 0; i < nhot; i++)
        from_ground(hot[i]);
}

void sim_arena_clear(void)
{
    lift();
    memset(region, 0, sizeof *region);
    region->used = (sizeof *region + 63) & ~(size_t)63;
}

static bool arena_holds(const void *p)
{
    return region && (const char *)p >= (const char *)region &&
           (const char *)p < (const char *)region + REGION;
}

/* Sizes go up by quarters of a power of two: 32 40 48 56 64 80 96 112 128 ... */
static size_t class_size(unsigned c)
{
    return ((size_t)4 + c % 4) << (3 + c / 4);
}

static unsigned size_class(size_t n)
{
    unsigned c = 0;
    while (c < CLASSES && class_size(c) < n)
        c++;
    return c;
}

static void *arena_take(size_t n)
{
    unsigned c = size_class(n ? n : 1);
    if (c == CLASSES)
        return NULL;
    char *p = region->idle[c];
    if (p) {
        /* cppcheck-suppress pointerSize ; a link to the next idle one lies in each */
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
    void *p = arena_take(n);
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
    void *p = arena_take(all);
    return p ? memset(p, 0, all) : NULL;
}

void __wrap_free(void *p)
{
    if (!arena_holds(p)) {
        __real_free(p);
        return;
    }
    unsigned c = class_at(p);
    memcpy(p, &region->idle[c], sizeof(void *));
    region->idle[c] = p;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!arena_holds(p) && !(on && !p))
        return __real_realloc(p, n);
    if (!p)
        return arena_take(n);
    size_t had = class_size(class_at(p));
    if (n <= had)
        return p;
    void *q = arena_take(n);
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
        return arena_take(n);
    char *p = (char *)region + ((region->used + HEAD + align - 1) & ~(align - 1));
    unsigned c = size_class(n);
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
    char *p = arena_take(n);
    return p ? memcpy(p, s, n) : NULL;
}
