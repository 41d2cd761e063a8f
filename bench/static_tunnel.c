/* One end of a tunnel with keys that are written down here: the data path without IKE, for benchmarks and tests of
 * the data path alone. Never for traffic that matters.
 *
 *   static-tunnel --side a|b --tun NAME --local ADDR --remote ADDR --encap esp|udp --inside ADDR[,ADDR]
 *                 --protect PREFIX[,PREFIX] [--mine PREFIX[,PREFIX]] [--suite aes128gcm|aes256gcm|chacha|cbc|null]
 *                 [--transport] [--esn] [--mtu N] [--workers N] [--no-gso] [--state hold|send|drop] [--crypto NAME]
 *                 [--df copy|set|clear] [--soft PACKETS] [--answer ADDR[,ADDR]] [--no-routes] [--keys N] [--nested]
 *                 [--local2 ADDR --remote2 ADDR --protect2 PREFIX[,PREFIX]]   a second tunnel, whose outer packets
 *                                                                             go through the first
 *
 * Prints "ready NAME" when packets can flow, then an event a line. Reads commands from standard input: "state
 * hold|send|drop", "probe SRC DST IDENT SEQ TTL", "rekey N" (a new epoch, from keys number N, beside the old one),
 * "forget N", "path ADDR PORT", "counters", "quit". Ends when standard input does, unless --daemon. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/datapath.h"
#include "net/netlink.h"

struct options {
    char side;
    const char *tun, *suite, *crypto, *encap;
    struct dt_addr local, remote, inside[2], answer[2], local2, remote2;
    struct dt_selectors protect, mine, protect2;
    unsigned keys;
    bool nested;
    bool transport, esn, no_gso, daemon, no_routes;
    uint32_t mtu, workers;
    enum dt_dp_state state;
    int df;
    uint64_t soft;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "static-tunnel: %s: %s\n", what, why);
    exit(2);
}

static void parse_addrs(struct dt_addr out[2], char *list)
{
    int n = 0;
    for (char *s = strtok(list, ","); s; s = strtok(NULL, ","))
        if (n == 2 || dt_addr_parse(&out[n++], s) < 0)
            die("not an address", s);
}

static void parse_prefixes(struct dt_selectors *out, char *list)
{
    for (char *s = strtok(list, ","); s; s = strtok(NULL, ",")) {
        struct dt_selector sel;
        if (dt_selector_parse(&sel, s) < 0 || !dt_selectors_add(out, &sel))
            die("not a selector", s);
    }
}

static enum dt_dp_state parse_state(const char *s)
{
    return !strcmp(s, "hold") ? DT_DP_HOLD : !strcmp(s, "drop") ? DT_DP_DROP : DT_DP_SEND;
}

static struct dt_suite parse_suite(const char *s)
{
    struct dt_suite v = {.encr = DT_ENCR_AES_GCM_16, .key_bits = 128};
    if (!strcmp(s, "aes256gcm"))
        v.key_bits = 256;
    else if (!strcmp(s, "chacha"))
        v = (struct dt_suite){.encr = DT_ENCR_CHACHA20_POLY1305};
    else if (!strcmp(s, "cbc"))
        v = (struct dt_suite){.encr = DT_ENCR_AES_CBC, .key_bits = 128, .integ = DT_INTEG_HMAC_SHA2_256_128};
    else if (!strcmp(s, "null"))
        v = (struct dt_suite){.encr = DT_ENCR_NULL};
    else if (strcmp(s, "aes128gcm") != 0)
        die("unknown suite", s);
    return v;
}

static bool covered(const struct dt_selectors *list, const struct dt_addr *a)
{
    for (size_t i = 0; i < list->n; i++)
        if (dt_range_has(&list->v[i].range, a))
            return true;
    return false;
}

static void parse(struct options *o, int argc, char **argv)
{
    static const struct option opts[] = {
        {"side", 1, NULL, 's'},      {"tun", 1, NULL, 't'},      {"local", 1, NULL, 'l'},
        {"remote", 1, NULL, 'r'},    {"encap", 1, NULL, 'e'},    {"inside", 1, NULL, 'i'},
        {"protect", 1, NULL, 'p'},   {"mine", 1, NULL, 'm'},     {"suite", 1, NULL, 'c'},
        {"transport", 0, NULL, 'T'}, {"esn", 0, NULL, 'E'},      {"mtu", 1, NULL, 'u'},
        {"workers", 1, NULL, 'w'},   {"no-gso", 0, NULL, 'G'},   {"state", 1, NULL, 'S'},
        {"crypto", 1, NULL, 'C'},    {"daemon", 0, NULL, 'D'},   {"df", 1, NULL, 'f'},
        {"soft", 1, NULL, 'o'},      {"answer", 1, NULL, 'a'},   {"no-routes", 0, NULL, 'R'},
        {"keys", 1, NULL, 'k'},      {"nested", 0, NULL, 'N'},   {"local2", 1, NULL, '1'},
        {"remote2", 1, NULL, '2'},   {"protect2", 1, NULL, '3'}, {0},
    };
    *o = (struct options){.side = 'a',
                          .tun = "dt%d",
                          .suite = "aes128gcm",
                          .crypto = "auto",
                          .encap = "udp",
                          .keys = 1,
                          .state = DT_DP_SEND};
    for (int c; (c = getopt_long(argc, argv, "", opts, NULL)) != -1;) {
        switch (c) {
        case 's':
            o->side = *optarg;
            break;
        case 't':
            o->tun = optarg;
            break;
        case 'l':
            if (dt_addr_parse(&o->local, optarg) < 0)
                die("not an address", optarg);
            break;
        case 'r':
            if (dt_addr_parse(&o->remote, optarg) < 0)
                die("not an address", optarg);
            break;
        case '1':
            if (dt_addr_parse(&o->local2, optarg) < 0)
                die("not an address", optarg);
            break;
        case '2':
            if (dt_addr_parse(&o->remote2, optarg) < 0)
                die("not an address", optarg);
            break;
        case '3':
            parse_prefixes(&o->protect2, optarg);
            break;
        case 'k':
            o->keys = (unsigned)atoi(optarg);
            break;
        case 'N':
            o->nested = true;
            break;
        case 'e':
            o->encap = optarg;
            break;
        case 'i':
            parse_addrs(o->inside, optarg);
            break;
        case 'a':
            parse_addrs(o->answer, optarg);
            break;
        case 'p':
            parse_prefixes(&o->protect, optarg);
            break;
        case 'm':
            parse_prefixes(&o->mine, optarg);
            break;
        case 'c':
            o->suite = optarg;
            break;
        case 'C':
            o->crypto = optarg;
            break;
        case 'T':
            o->transport = true;
            break;
        case 'E':
            o->esn = true;
            break;
        case 'u':
            o->mtu = (uint32_t)atoi(optarg);
            break;
        case 'w':
            o->workers = (uint32_t)atoi(optarg);
            break;
        case 'G':
            o->no_gso = true;
            break;
        case 'D':
            o->daemon = true;
            break;
        case 'R':
            o->no_routes = true;
            break;
        case 'S':
            o->state = parse_state(optarg);
            break;
        case 'o':
            o->soft = strtoull(optarg, NULL, 0);
            break;
        case 'f':
            o->df = !strcmp(optarg, "set")     ? DT_DP_DF_SET
                    : !strcmp(optarg, "clear") ? DT_DP_DF_CLEAR
                                               : DT_DP_DF_COPY;
            break;
        default:
            exit(2);
        }
    }
    for (int i = 0; i < 2; i++)
        if (o->inside[i].ver && !covered(&o->mine, &o->inside[i])) {
            struct dt_selector s = dt_selector_addr(&o->inside[i]);
            dt_selectors_add(&o->mine, &s);
        }
}

/* Both directions of one epoch; `set` is the number of the keys. */
static int add_sa(struct dt_dp *dp, const struct options *o, uint64_t tunnel, unsigned set,
                  struct dt_err *err)
{
    uint8_t key[2][DT_KEY_MAX];
    struct dt_suite suite = parse_suite(o->suite);
    size_t klen = dt_suite_key_len(&suite), ilen = dt_suite_integ_len(&suite);
    unsigned in = o->side == 'a' ? 0 : 1, out = 1 - in;
    uint32_t spi[2] = {0xa0000000u + set, 0xb0000000u + set}; /* towards a, towards b */

    for (unsigned d = 0; d < 2; d++)
        for (size_t i = 0; i < DT_KEY_MAX; i++)
            key[d][i] = (uint8_t)(i * 7 + d * 101 + set * 31);
    struct dt_dp_sa sa = {
        .id = set,
        .tunnel = tunnel,
        .below = tunnel == 2 || o->nested ? 1 : 0,
        .path = {.local = {.addr = tunnel == 2 ? o->local2 : o->local, .port = DT_PORT_NATT},
                 .remote = {.addr = tunnel == 2 ? o->remote2 : o->remote, .port = DT_PORT_NATT},
                 .natt = !strcmp(o->encap, "udp")},
        .local = o->mine,
        .remote = tunnel == 2 ? o->protect2 : o->protect,
        .answer_dummy = true,
    };
    for (int i = 0; i < 2; i++) {
        if (o->answer[i].ver == 4)
            sa.answer4 = o->answer[i];
        else if (o->answer[i].ver == 6)
            sa.answer6 = o->answer[i];
        struct dt_selector s = dt_selector_addr(&o->answer[i]);
        if (o->answer[i].ver)
            dt_selectors_add(&sa.local, &s);
    }
    struct dt_esp_params p = {.suite = suite,
                              .esn = o->esn,
                              .mode = o->transport ? DT_ESP_TRANSPORT : DT_ESP_TUNNEL,
                              .soft_packets = o->soft};
    sa.in = sa.out = p;
    sa.in.spi = spi[in];
    sa.in.key = dt_span(key[in], klen);
    sa.in.integ_key = dt_span(key[in] + klen, ilen);
    sa.out.spi = spi[out];
    sa.out.key = dt_span(key[out], klen);
    sa.out.integ_key = dt_span(key[out] + klen, ilen);
    return dt_dp_sa_add(dp, &sa, err);
}

static void set_up_device(struct dt_dp *dp, const struct options *o)
{
    struct dt_err err;
    struct dt_nl *nl = dt_nl_open(&err);
    unsigned index = dt_dp_tun_index(dp);
    if (!nl || dt_nl_link_up(nl, index, 0, &err) < 0)
        die("device", err.text);
    for (int i = 0; i < 2; i++)
        if (o->inside[i].ver &&
            dt_nl_addr_add(nl, index, &o->inside[i], o->inside[i].ver == 4 ? 32 : 128, &err) < 0)
            die("device", err.text);
    for (size_t i = 0; i < (size_t)o->protect.n + o->protect2.n && !o->no_routes; i++) {
        struct dt_nl_route r = {.ifindex = index};
        size_t k2 = i - o->protect.n;
        if (!dt_range_prefix(i < o->protect.n ? &o->protect.v[i].range : &o->protect2.v[k2].range, &r.dst))
            continue;
        for (int k = 0; k < 2; k++)
            if (o->inside[k].ver == r.dst.addr.ver)
                r.src = o->inside[k];
        if (dt_nl_route_add(nl, &r, &err) < 0)
            die("route", err.text);
    }
    dt_nl_close(nl);
}

static void show_event(const struct dt_dp_event *ev)
{
    static const char *const name[] = {"none",        "first",    "probe-reply",  "soft", "hard", "no-sa",
                                       "need-tunnel", "path-mtu", "path-changed", "ike",  "lost"};
    char a[DT_ADDR_STRLEN], b[DT_ADDRPORT_STRLEN];
    printf("event %s sa %llu spi %08x ident %u seq %u size %u mtu %u from %s path %s%s\n", name[ev->kind],
           (unsigned long long)ev->sa, ev->spi, ev->ident, ev->seq, ev->size, ev->mtu,
           dt_addr_str(a, &ev->flow.src), dt_addrport_str(b, &ev->path.remote),
           ev->reply_ttl_exceeded ? " ttl-exceeded" : "");
}

static void show_counters(struct dt_dp *dp)
{
    uint64_t c[DT_DPC_COUNT];
    struct dt_dp_tunnel_counters t;
    dt_dp_counters(dp, c);
    for (int i = 0; i < DT_DPC_COUNT; i++)
        printf("%s=%llu ", dt_dp_counter_name((enum dt_dp_counter)i), (unsigned long long)c[i]);
    if (dt_dp_tunnel_counters(dp, 1, &t))
        printf("t.held=%llu t.released=%llu t.hold_drops=%llu t.drops=%llu t.fragments=%llu t.too_big=%llu "
               "t.mtu=%u t.tx=%llu "
               "t.rx=%llu",
               (unsigned long long)t.held, (unsigned long long)t.released, (unsigned long long)t.hold_drops,
               (unsigned long long)t.drops, (unsigned long long)t.fragment_drops,
               (unsigned long long)t.too_big, t.mtu, (unsigned long long)t.tx_packets,
               (unsigned long long)t.rx_packets);
    printf("\n");
}

/* False: quit. */
static bool command(struct dt_dp *dp, const struct options *o, char *line)
{
    struct dt_err err = {.text = ""};
    static unsigned current;
    char word[16] = "", x[64] = "", y[64] = "";
    unsigned ident = 0, seq = 0, ttl = 0, size = 0;
    struct dt_addr src, dst;

    if (current == 0)
        current = o->keys;
    if (sscanf(line, "%15s", word) != 1)
        return true;
    if (!strcmp(word, "quit"))
        return false;
    if (!strcmp(word, "state") && sscanf(line, "%*s %63s", x) == 1)
        dt_dp_tunnel_state(dp, 1, parse_state(x), current, &err);
    else if (!strcmp(word, "probe") &&
             sscanf(line, "%*s %63s %63s %u %u %u", x, y, &ident, &seq, &ttl) == 5 &&
             dt_addr_parse(&src, x) == 0 && dt_addr_parse(&dst, y) == 0)
        dt_dp_probe(
            dp, current,
            &(struct dt_dp_probe){
                .src = src, .dst = dst, .ident = (uint16_t)ident, .seq = (uint16_t)seq, .ttl = (uint8_t)ttl},
            &err);
    else if (!strcmp(word, "dummy") && sscanf(line, "%*s %u %u %u", &ident, &seq, &size) == 3)
        dt_dp_probe(
            dp, current,
            &(struct dt_dp_probe){.dummy = (uint16_t)size, .ident = (uint16_t)ident, .seq = (uint16_t)seq},
            &err);
    else if (!strcmp(word, "rekey") && sscanf(line, "%*s %u", &seq) == 1) {
        if (add_sa(dp, o, 1, seq, &err) == 0)
            current = seq;
    } else if (!strcmp(word, "forget") && sscanf(line, "%*s %u", &seq) == 1)
        dt_dp_sa_remove(dp, seq);
    else if (!strcmp(word, "path") && sscanf(line, "%*s %63s %u", x, &seq) == 2 &&
             dt_addr_parse(&dst, x) == 0) {
        struct dt_path path = {.local = {.addr = o->local, .port = DT_PORT_NATT},
                               .remote = {.addr = dst, .port = (uint16_t)seq},
                               .natt = !strcmp(o->encap, "udp")};
        dt_dp_sa_path(dp, current, &path, &err);
    } else if (!strcmp(word, "counters"))
        show_counters(dp);
    else
        printf("what?\n");
    printf("done%s%s\n", err.text[0] ? ": " : "", err.text);
    return true;
}

static volatile sig_atomic_t stopped;
static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void loop(struct dt_dp *dp, const struct options *o)
{
    char buf[1024];
    size_t n = 0;
    struct pollfd p[2] = {{.fd = dt_dp_event_fd(dp), .events = POLLIN},
                          {.fd = o->daemon ? -1 : 0, .events = POLLIN}};

    while (!stopped) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        struct dt_dp_event ev;
        while (dt_dp_next_event(dp, &ev)) {
            show_event(&ev);
            dt_dp_event_done(&ev);
        }
        if (p[1].revents) {
            ssize_t got = read(0, buf + n, sizeof buf - 1 - n);
            if (got <= 0)
                return;
            n += (size_t)got;
            buf[n] = 0;
            for (char *nl; (nl = strchr(buf, '\n'));) {
                *nl = 0;
                if (!command(dp, o, buf))
                    return;
                n -= (size_t)(nl + 1 - buf);
                memmove(buf, nl + 1, n + 1);
            }
        }
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct options o;
    struct dt_err err;
    parse(&o, argc, argv);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    struct dt_dp_config cfg = {.crypto = dt_crypto_by_name(o.crypto),
                               .tun_name = o.tun,
                               .workers = o.workers,
                               .mtu = o.mtu,
                               .no_gso = o.no_gso};
    struct dt_dp *dp = dt_dp_open(&cfg, &err);
    struct dt_dp_tunnel t = {.id = 1, .local = o.mine, .remote = o.protect, .on_demand = true, .df = o.df};
    if (!dp)
        die("open", err.text);
    if (dt_dp_start(dp, &err) < 0)
        die("start", err.text);
    struct dt_dp_tunnel t2 = {.id = 2, .local = o.mine, .remote = o.protect2};
    if (dt_dp_tunnel_set(dp, &t, &err) < 0 || add_sa(dp, &o, 1, o.keys, &err) < 0 ||
        dt_dp_tunnel_state(dp, 1, o.state, o.keys, &err) < 0)
        die("tunnel", err.text);
    if (o.remote2.ver && (dt_dp_tunnel_set(dp, &t2, &err) < 0 || add_sa(dp, &o, 2, 100, &err) < 0 ||
                          dt_dp_tunnel_state(dp, 2, DT_DP_SEND, 100, &err) < 0))
        die("tunnel", err.text);
    set_up_device(dp, &o);
    printf("ready %s\n", dt_dp_tun_name(dp));
    fflush(stdout);
    loop(dp, &o);
    show_counters(dp);
    dt_dp_close(dp);
    return 0;
}
