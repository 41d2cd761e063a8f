#include "natd/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "masq/tables.h"
#include "nat.skel.h"
#include "natd/reap.h"
#include "natd/slots.h"

#define HANDLE DT_KERNEL_HANDLE

struct dt_kernel {
    struct nat *skel;
    struct bpf_map *table[MQ_TABLE_COUNT];
    struct ring_buffer *ring;
    void (*event)(void *ctx, const struct dt_masq_event *ev);
    void *event_ctx;
    int cpus;
    struct dt_slots slots;
    bool took_over, pin_again;
    char pin[256]; /* where the tables are pinned; "": nowhere */
    /* Descriptors of that folder and of the one that it is in, since the way there may be closed to the user that natd becomes. */
    int pin_dir, pin_above;
};

static char last_words[256]; /* libbpf's last complaint, for the sentence that the user gets */

static int keep_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    if (level == LIBBPF_WARN && !strstr(fmt, "BEGIN PROG LOAD LOG")) {
        char line[sizeof(last_words)];
        vsnprintf(line, sizeof(line), fmt, ap);
        line[strcspn(line, "\n")] = 0;
        if (*line)
            memcpy(last_words, line, sizeof(last_words));
    }
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void list_tables(struct dt_kernel *k)
{
#define X(name, id) k->table[id] = k->skel->maps.t_##name;
    MQ_TABLES(X)
#undef X
}

static void size_tables(struct dt_kernel *k, const struct dt_masq_sizes *z)
{
    const uint32_t size[MQ_TABLE_COUNT] = {
        [MQ_T_esp] = z->esp,        [MQ_T_esp_in] = z->esp, [MQ_T_esp_q] = z->esp, [MQ_T_server] = z->servers,
        [MQ_T_ike_c] = z->ike,      [MQ_T_ike_s] = z->ike,  [MQ_T_ike_o] = z->ike, [MQ_T_pair] = z->ike,
        [MQ_T_client] = z->clients, [MQ_T_frag] = z->frags,
    };
    for (unsigned i = 0; i < MQ_TABLE_COUNT; i++)
        bpf_map__set_max_entries(k->table[i], size[i]);
    uint32_t places = 0;
#define X(name, size, part)                                                                                  \
    k->skel->rodata->queue_first[MQ_Q_##name] = places;                                                      \
    places += k->skel->rodata->queue_room[MQ_Q_##name] = mq_queue_room(z->size, part);
    MQ_QUEUES(X)
#undef X
    bpf_map__set_max_entries(k->skel->maps.places, places);
    uint32_t buckets = mq_slot_buckets(z->esp);
    bpf_map__set_max_entries(k->skel->maps.s_esp, buckets);
    bpf_map__set_max_entries(k->skel->maps.s_esp_in, buckets);
    k->skel->rodata->slot_buckets = buckets;
    k->skel->rodata->slot_limit = z->esp;
}

static int pin_path(char *out, size_t cap, const char *dir, const struct bpf_map *map)
{
    int n = snprintf(out, cap, "%s/%s", dir, bpf_map__name(map));
    return n > 0 && (size_t)n < cap ? 0 : -1;
}

/* A pinned table of another shape (an older version, other sizes) is of no use: all are forgotten. */
static bool same_shape(const struct bpf_map *map, int fd)
{
    struct bpf_map_info info = {0};
    __u32 len = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &len))
        return false;
    return info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
           info.max_entries == bpf_map__max_entries(map);
}

#define MAPS (MQ_TABLE_COUNT + 6)

static struct bpf_map *kept_map(struct dt_kernel *k, unsigned i)
{
    struct bpf_map *const more[] = {k->skel->maps.counters, k->skel->maps.slots, k->skel->maps.s_esp,
                                    k->skel->maps.s_esp_in, k->skel->maps.turns, k->skel->maps.places};
    return i < MQ_TABLE_COUNT ? k->table[i] : more[i - MQ_TABLE_COUNT];
}

/* Uses these descriptors (-1: none) when each is there and of the right shape, and closes them. */
static bool reuse(struct dt_kernel *k, int fd[MAPS])
{
    bool all = true;
    for (unsigned i = 0; i < MAPS; i++)
        all = all && fd[i] >= 0 && same_shape(kept_map(k, i), fd[i]);
    for (unsigned i = 0; i < MAPS; i++) {
        if (all)
            all = !bpf_map__reuse_fd(kept_map(k, i), fd[i]);
        if (fd[i] >= 0)
            close(fd[i]);
    }
    return all;
}

static void reuse_pins(struct dt_kernel *k, const char *dir)
{
    char path[512];
    int fd[MAPS];
    for (unsigned i = 0; i < MAPS; i++)
        fd[i] = pin_path(path, sizeof(path), dir, kept_map(k, i)) ? -1 : bpf_obj_get(path);
    k->took_over = reuse(k, fd);
}

/* Tables by way of the program that is still attached: a natd that died without a bpffs leaves them there. */
static void reuse_attached(struct dt_kernel *k, const char *ifname, int fd[MAPS])
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)if_nametoindex(ifname),
                        .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = DT_KERNEL_PREF);
    __u32 ids[64], len = sizeof(struct bpf_prog_info);
    struct bpf_prog_info info = {.nr_map_ids = 64, .map_ids = (uintptr_t)ids};
    if (!hook.ifindex || bpf_tc_query(&hook, &opts))
        return;
    int prog = bpf_prog_get_fd_by_id(opts.prog_id);
    if (prog < 0)
        return;
    if (!bpf_obj_get_info_by_fd(prog, &info, &len))
        for (__u32 m = 0; m < info.nr_map_ids && m < 64; m++) {
            struct bpf_map_info mi = {0};
            __u32 mlen = sizeof(mi);
            int map = bpf_map_get_fd_by_id(ids[m]);
            if (map < 0 || bpf_obj_get_info_by_fd(map, &mi, &mlen))
                mi.name[0] = '\0';
            unsigned i = 0;
            while (i < MAPS && (fd[i] >= 0 || strcmp(mi.name, bpf_map__name(kept_map(k, i)))))
                i++;
            if (i < MAPS)
                fd[i] = map;
            else if (map >= 0)
                close(map);
        }
    close(prog);
}

static void forget_pins(struct dt_kernel *k, const char *dir)
{
    char path[512];
    for (unsigned i = 0; i < MAPS; i++)
        if (!pin_path(path, sizeof(path), dir, kept_map(k, i)))
            unlink(path);
}

static void find_tables(struct dt_kernel *k, const struct dt_kernel_opts *o)
{
    int fd[MAPS];
    for (unsigned i = 0; i < MAPS; i++)
        fd[i] = -1;
    if (o->pin && !o->flush)
        reuse_pins(k, o->pin);
    if (!k->took_over && !o->flush && o->inside && o->outside) {
        reuse_attached(k, o->outside, fd);
        reuse_attached(k, o->inside, fd);
        k->took_over = reuse(k, fd);
        if (o->pin && k->took_over) /* pinned anew, below */
            k->pin_again = true;
    }
}

/* Tables that were pinned there, and are not ours, go only when ours are loaded: a start that fails leaves its predecessor's. */
static int pin_all(struct dt_kernel *k, const char *dir, struct dt_err *err)
{
    char path[512];
    if (k->took_over && !k->pin_again)
        return 0;
    if (mkdir(dir, 0700) && errno != EEXIST)
        return dt_err_set(
            err, 0,
            "cannot make the directory %s for the pinned tables: %s (is a bpf file system mounted there?)",
            dir, strerror(errno));
    forget_pins(k, dir);
    for (unsigned i = 0; i < MAPS; i++) {
        struct bpf_map *map = kept_map(k, i);
        if (pin_path(path, sizeof(path), dir, map) || bpf_obj_pin(bpf_map__fd(map), path))
            return dt_err_set(err, 0, "cannot pin a table as %s: %s (is a bpf file system mounted there?)",
                              path, strerror(errno));
    }
    return 0;
}

/* Tables that were there keep the seed with which they were filled; new ones get a random one. */
static int seed_slots(struct dt_kernel *k, struct mq_slots *slots)
{
    uint32_t zero = 0;
    if (k->took_over) {
        if (bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.slots), &zero, slots))
            return -1;
    } else if (getrandom(slots->seed, sizeof(slots->seed), 0) != sizeof(slots->seed)) {
        return -1;
    }
    memcpy((void *)(uintptr_t)k->skel->rodata->slot_seed, slots->seed, sizeof(slots->seed));
    /* What items remember of the last natd's addresses is no news of ours. */
    uint32_t *gen = &((struct dt_masq_params *)(void *)&k->skel->bss->params)->gen;
    return getrandom(gen, sizeof(*gen), 0) == sizeof(*gen) ? 0 : -1;
}

static const char *pin_name(const struct dt_kernel *k)
{
    const char *slash = strrchr(k->pin, '/');
    return slash ? slash + 1 : k->pin;
}

/* The folder as it is now: somebody may have removed it, or made another. */
static int look_for_folder(struct dt_kernel *k)
{
    struct stat st, now;
    bool there = !fstatat(k->pin_above, pin_name(k), &now, AT_SYMLINK_NOFOLLOW);
    if (k->pin_dir >= 0 && !there &&
        errno == EACCES) /* what is above is closed to us: the one that we know */
        return 0;
    if (k->pin_dir >= 0 && there && !fstat(k->pin_dir, &st) && st.st_ino == now.st_ino &&
        st.st_dev == now.st_dev)
        return 0;
    if (k->pin_dir >= 0)
        close(k->pin_dir);
    k->pin_dir =
        there ? openat(k->pin_above, pin_name(k), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    return k->pin_dir >= 0 ? 0 : -1;
}

static void open_folders(struct dt_kernel *k)
{
    char above[sizeof(k->pin)];
    snprintf(above, sizeof(above), "%s", k->pin);
    char *slash = strrchr(above, '/');
    if (slash)
        slash[slash == above] = '\0';
    k->pin_above = open(slash ? above : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    look_for_folder(k);
}

static int folder_path(char *out, size_t cap, const struct dt_kernel *k, const struct bpf_map *map)
{
    char dir[64];
    snprintf(dir, sizeof(dir), "/proc/self/fd/%d", k->pin_dir);
    return pin_path(out, cap, dir, map);
}

static int programs_load(struct dt_kernel *k, const struct dt_kernel_opts *o, struct dt_err *err)
{
    last_words[0] = 0;
    libbpf_set_print(keep_words);
    k->skel = nat__open();
    if (!k->skel)
        return dt_err_set(err, 0, "the kernel program cannot be read: %s", strerror(errno));
    list_tables(k);
    size_tables(k, &o->sizes);
    if (o->bench) {
        bpf_program__set_autoload(k->skel->progs.nat_bench_inside, true);
        bpf_program__set_autoload(k->skel->progs.nat_bench_outside, true);
        bpf_program__set_autoload(k->skel->progs.nat_bench_empty, true);
        bpf_program__set_autoload(k->skel->progs.nat_bench_slot, true);
        bpf_program__set_autoload(k->skel->progs.nat_bench_sink, true);
        bpf_program__set_autoload(k->skel->progs.nat_bench_source, true);
    }
    find_tables(k, o);
    struct mq_slots slots = {0};
    if (seed_slots(k, &slots))
        return dt_err_set(err, 0, "the seed of the tables cannot be had: %s", strerror(errno));
    int rc = nat__load(k->skel);
    if (rc) {
        struct utsname u;
        uname(&u);
        if (rc == -EPERM)
            return dt_err_set(
                err, 0,
                "this process may not load a BPF program: it needs root, or CAP_BPF and CAP_NET_ADMIN");
        return dt_err_set(
            err, 0, "this kernel (%s) does not take the program, which needs Linux 5.15 or later: %s (%s)",
            u.release, strerror(-rc), last_words);
    }
    uint32_t zero = 0;
    if ((!k->took_over && bpf_map_update_elem(bpf_map__fd(k->skel->maps.slots), &zero, &slots, BPF_ANY)) ||
        dt_slots_map(&k->slots, bpf_map__fd(k->skel->maps.s_esp), bpf_map__fd(k->skel->maps.s_esp_in),
                     k->skel->rodata->slot_buckets, slots.seed))
        return dt_err_set(err, 0, "the tables cannot be reached: %s", strerror(errno));
    if (!o->pin)
        return 0;
    snprintf(k->pin, sizeof(k->pin), "%s", o->pin);
    if (pin_all(k, o->pin, err))
        return -1;
    open_folders(k);
    return 0;
}

const struct dt_slots *dt_kernel_slots(const struct dt_kernel *k)
{
    return &k->slots;
}

struct dt_kernel *dt_kernel_open(const struct dt_kernel_opts *o, struct dt_err *err)
{
    struct dt_kernel *k = calloc(1, sizeof(*k));
    if (!k) {
        dt_err_set(err, 0, "out of memory");
        return NULL;
    }
    k->pin_dir = k->pin_above = -1;
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY}; /* before 5.11 maps were locked memory */
    setrlimit(RLIMIT_MEMLOCK, &unlimited);
    k->cpus = libbpf_num_possible_cpus();
    if (programs_load(k, o, err)) {
        dt_kernel_close(k);
        return NULL;
    }
    return k;
}

void dt_kernel_close(struct dt_kernel *k)
{
    if (!k)
        return;
    if (k->pin_dir >= 0)
        close(k->pin_dir);
    if (k->pin_above >= 0)
        close(k->pin_above);
    ring_buffer__free(k->ring);
    dt_slots_unmap(&k->slots);
    if (k->skel)
        nat__destroy(k->skel);
    free(k);
}

bool dt_kernel_took_over(const struct dt_kernel *k)
{
    return k->took_over;
}

/* ---- parameters ------------------------------------------------------------------------------ */

void dt_kernel_configure(struct dt_kernel *k, const struct dt_masq_params *p)
{
    /* The kernel reads while we write: a packet may see some new and some old values, each whole, and never an
     * address count that runs past the addresses. */
    struct dt_masq_params *at = (struct dt_masq_params *)(void *)&k->skel->bss->params;
    volatile uint32_t *n_outside = &at->n_outside, *n_nets = &at->n_nets;
    uint32_t n = p->n_outside, nets = p->n_nets;
    if (memcmp(at->outside, p->outside, sizeof(p->outside)) || memcmp(at->nets, p->nets, sizeof(p->nets))) {
        *n_outside = *n_outside < n ? *n_outside : n;
        *n_nets = *n_nets < nets ? *n_nets : nets;
    }
    memcpy(at->outside, p->outside, sizeof(p->outside));
    memcpy(at->nets, p->nets, sizeof(p->nets));
    __sync_synchronize();
    struct dt_masq_params copy = *p;
    memcpy(at, &copy, sizeof(copy));
}

const struct dt_masq_params *dt_kernel_params(const struct dt_kernel *k)
{
    return (const struct dt_masq_params *)(const void *)&k->skel->bss->params;
}

struct nat_setup *dt_kernel_setup(struct dt_kernel *k)
{
    return (struct nat_setup *)(void *)&k->skel->bss->setup;
}

const struct nat_last *dt_kernel_last(const struct dt_kernel *k)
{
    return (const struct nat_last *)(const void *)&k->skel->bss->last;
}

int dt_kernel_prog_fd(const struct dt_kernel *k, enum dt_kernel_prog which)
{
    const struct bpf_program *const prog[] = {
        [DT_KERNEL_INSIDE] = k->skel->progs.nat_inside,
        [DT_KERNEL_OUTSIDE] = k->skel->progs.nat_outside,
        [DT_KERNEL_EGRESS] = k->skel->progs.nat_egress,
        [DT_KERNEL_BENCH_INSIDE] = k->skel->progs.nat_bench_inside,
        [DT_KERNEL_BENCH_OUTSIDE] = k->skel->progs.nat_bench_outside,
        [DT_KERNEL_BENCH_EMPTY] = k->skel->progs.nat_bench_empty,
        [DT_KERNEL_BENCH_SLOT] = k->skel->progs.nat_bench_slot,
        [DT_KERNEL_BENCH_SINK] = k->skel->progs.nat_bench_sink,
        [DT_KERNEL_BENCH_SOURCE] = k->skel->progs.nat_bench_source,
    };
    return bpf_program__fd(prog[which]);
}

struct nat_bench *dt_kernel_bench(struct dt_kernel *k)
{
    return (struct nat_bench *)(void *)&k->skel->bss->bench;
}

volatile uint64_t *dt_kernel_bench_sunk(struct dt_kernel *k)
{
    return (volatile uint64_t *)(void *)&k->skel->bss->bench_sunk;
}

int dt_kernel_table_fd(const struct dt_kernel *k, unsigned table)
{
    return bpf_map__fd(k->table[table]);
}

int dt_kernel_peers_fd(const struct dt_kernel *k)
{
    return bpf_map__fd(k->skel->maps.scratch);
}

/* ---- attaching ------------------------------------------------------------------------------- */

int dt_kernel_clsact(unsigned ifindex, struct dt_err *err)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
                        .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
    libbpf_set_print(keep_words);
    int rc = bpf_tc_hook_create(&hook);
    if (rc && rc != -EEXIST)
        return dt_err_set(err, 0, "interface %u takes no clsact queueing discipline (CONFIG_NET_CLS_ACT): %s",
                          ifindex, strerror(-rc));
    return 0;
}

static enum bpf_tc_attach_point hook_of(enum dt_kernel_prog which)
{
    return which == DT_KERNEL_EGRESS ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

int dt_kernel_filter(struct dt_kernel *k, enum dt_kernel_prog which, unsigned ifindex, struct dt_err *err)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = hook_of(which));
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = DT_KERNEL_PREF,
                        .prog_fd = dt_kernel_prog_fd(k, which), .flags = BPF_TC_F_REPLACE);
    libbpf_set_print(keep_words);
    int rc = bpf_tc_attach(&hook, &opts);
    if (rc)
        return dt_err_set(err, 0, "interface %u takes no BPF classifier (CONFIG_NET_CLS_BPF): %s", ifindex,
                          strerror(-rc));
    return 0;
}

uint32_t dt_kernel_prog_id(const struct dt_kernel *k, enum dt_kernel_prog which)
{
    struct bpf_prog_info info = {0};
    __u32 len = sizeof(info);
    return bpf_obj_get_info_by_fd(dt_kernel_prog_fd(k, which), &info, &len) ? 0 : info.id;
}

unsigned dt_kernel_tcx(unsigned ifindex, bool egress)
{
    enum { TCX_INGRESS = 46, TCX_EGRESS = 47 }; /* enum bpf_attach_type of Linux 6.6 */
    __u32 n = 0;
    return bpf_prog_query((int)ifindex, (enum bpf_attach_type)(egress ? TCX_EGRESS : TCX_INGRESS), 0, NULL,
                          NULL, &n)
               ? 0
               : n;
}

static void detach_one(unsigned ifindex, enum bpf_tc_attach_point where)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = where);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = DT_KERNEL_PREF);
    bpf_tc_detach(&hook, &opts);
}

int dt_kernel_attach(struct dt_kernel *k, unsigned inside, unsigned outside, struct dt_err *err)
{
    dt_kernel_setup(k)->outside = outside;
    /* What comes back must be understood before anything is sent. */
    if (dt_kernel_clsact(outside, err) || dt_kernel_filter(k, DT_KERNEL_OUTSIDE, outside, err) ||
        dt_kernel_filter(k, DT_KERNEL_EGRESS, outside, err) || dt_kernel_clsact(inside, err) ||
        dt_kernel_filter(k, DT_KERNEL_INSIDE, inside, err))
        return -1;
    return 0;
}

void dt_kernel_detach(unsigned inside, unsigned outside)
{
    libbpf_set_print(keep_words);
    detach_one(inside, BPF_TC_INGRESS);
    detach_one(outside, BPF_TC_INGRESS);
    detach_one(outside, BPF_TC_EGRESS);
}

/* ---- pins ------------------------------------------------------------------------------------- */

unsigned dt_kernel_pins(const struct dt_kernel *k)
{
    return k->pin[0] ? MAPS : 0;
}

static uint32_t map_id(int fd)
{
    struct bpf_map_info info = {0};
    __u32 len = sizeof(info);
    return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

uint32_t dt_kernel_pin_wanted(struct dt_kernel *k, unsigned i)
{
    return map_id(bpf_map__fd(kept_map(k, i)));
}

uint32_t dt_kernel_pin_found(struct dt_kernel *k, unsigned i)
{
    char path[512];
    int fd =
        look_for_folder(k) || folder_path(path, sizeof(path), k, kept_map(k, i)) ? -1 : bpf_obj_get(path);
    uint32_t id = map_id(fd);
    if (fd >= 0)
        close(fd);
    return id;
}

const char *dt_kernel_pin_name(struct dt_kernel *k, unsigned i)
{
    return bpf_map__name(kept_map(k, i));
}

int dt_kernel_pin(struct dt_kernel *k, unsigned i, struct dt_err *err)
{
    char path[512];
    const char *name = bpf_map__name(kept_map(k, i));
    if ((look_for_folder(k) && (mkdirat(k->pin_above, pin_name(k), 0700) || look_for_folder(k))) ||
        folder_path(path, sizeof(path), k, kept_map(k, i)))
        return dt_err_set(err, 0, "cannot make the directory %s for the pinned tables: %s", k->pin,
                          strerror(errno));
    unlinkat(k->pin_dir, name, 0);
    if (bpf_obj_pin(bpf_map__fd(kept_map(k, i)), path))
        return dt_err_set(err, 0, "cannot pin a table as %s/%s: %s", k->pin, name, strerror(errno));
    return 0;
}

int dt_kernel_give(struct dt_kernel *k, uid_t uid, gid_t gid, struct dt_err *err)
{
    int rc = 0;
    if (!k->pin[0])
        return 0;
    if (look_for_folder(k) || fchownat(k->pin_above, pin_name(k), uid, gid, AT_SYMLINK_NOFOLLOW))
        rc = -1;
    for (unsigned i = 0; !rc && i < MAPS; i++)
        if (fchownat(k->pin_dir, bpf_map__name(kept_map(k, i)), uid, gid, AT_SYMLINK_NOFOLLOW) &&
            errno != ENOENT)
            rc = -1;
    return rc ? dt_err_set(err, 0, "the pinned tables in %s cannot become user %u's: %s", k->pin,
                           (unsigned)uid, strerror(errno))
              : 0;
}

/* ---- events ---------------------------------------------------------------------------------- */

static int on_event(void *ctx, void *data, size_t size)
{
    struct dt_kernel *k = ctx;
    if (size >= sizeof(struct dt_masq_event))
        k->event(k->event_ctx, data);
    return 0;
}

int dt_kernel_watch(struct dt_kernel *k, void (*event)(void *ctx, const struct dt_masq_event *ev), void *ctx)
{
    k->event = event;
    k->event_ctx = ctx;
    k->ring = ring_buffer__new(bpf_map__fd(k->skel->maps.events), on_event, k, NULL);
    if (!k->ring)
        return -1;
    return 0;
}

int dt_kernel_watch_fd(const struct dt_kernel *k)
{
    return ring_buffer__epoll_fd(k->ring);
}

void dt_kernel_watch_read(struct dt_kernel *k)
{
    ring_buffer__consume(k->ring);
}

dt_time dt_kernel_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (dt_time)ts.tv_sec * DT_SEC + (dt_time)ts.tv_nsec;
}

uint64_t dt_kernel_count(struct dt_kernel *k, unsigned which)
{
    uint64_t sum = 0, *each = calloc((size_t)k->cpus, sizeof(*each));
    if (each && !bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.counters), &which, each))
        for (int i = 0; i < k->cpus; i++)
            sum += each[i];
    free(each);
    return sum;
}

int dt_kernel_reap(struct dt_kernel *k, const struct nat_reap *r)
{
    DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = r, .data_size_in = sizeof(*r), .repeat = 1);
    return bpf_prog_test_run_opts(bpf_program__fd(k->skel->progs.nat_reap), &opts);
}
