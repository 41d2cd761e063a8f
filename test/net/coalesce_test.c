/* Segments go in, packets for the TUN device come out; cut again as the kernel would cut them, they must be the very
 * segments that went in, flow by flow in their order. A socket pair stands for the device. */
#include "support/test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/rand.h"
#include "net/dp.h"
#include "wire/checksum.h"

#define FLOWS 12
#define SEGS  60

struct flow {
    bool v6, tcp, df;
    uint16_t size, id;
    uint32_t seq;
    int made, seen; /* segments */
    uint32_t len[400];
    uint8_t seg[400][600];
};

static struct flow flow[FLOWS];
static struct dp_worker *w;
static int device[2];

static int set_up(void **state)
{
    struct dt_dp *dp = calloc(1, sizeof *dp);
    w = calloc(1, sizeof *w);
    w->dp = dp;
    dp->uso = true;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, device), 0);
    w->tun = device[0];
    return 0;
}

static int tear_down(void **state)
{
    close(device[0]);
    close(device[1]);
    free(w->dp);
    free(w);
    return 0;
}

static void l4_checksum(uint8_t *p, const struct dt_ip *ip)
{
    uint8_t *l4 = p + ip->l4, *field = l4 + (ip->proto == 6 ? 16 : 6);
    uint32_t n = ip->total - ip->l4;
    memset(field, 0, 2);
    dt_csum_put(field, dt_csum_add(dt_csum_pseudo(ip->src.b, ip->dst.b, dt_addr_size(&ip->src), ip->proto, n),
                                   l4, n));
    if (ip->proto == 17 && field[0] == 0 && field[1] == 0)
        memset(field, 0xff, 2);
}

/* The next segment of a flow, now and then with something that must not be merged. */
static uint32_t make(struct flow *f, int n, uint8_t *p, struct dt_rand *r)
{
    struct dt_addr a, b;
    dt_addr_parse(&a, f->v6 ? "fd00::1" : "10.0.0.1");
    dt_addr_parse(&b, f->v6 ? "fd00::2" : "10.0.0.2");
    size_t opt = f->tcp ? 12 : 0, l4 = f->tcp ? 20 + opt : 8;
    uint64_t odd = dt_rand_below(r, 40);
    size_t len = odd == 0 ? dt_rand_below(r, f->size) : f->size;
    size_t h = dt_ip_put(p, &a, &b, f->tcp ? 6 : 17, 64, odd == 1 ? 3 : 2, l4 + len);
    uint8_t *t = p + h;
    memset(t, 0, l4);
    dt_put_be16(t, (uint16_t)(1000 + n));
    dt_put_be16(t + 2, 80);
    if (f->tcp) {
        if (odd == 2)
            f->seq += 100; /* one is missing */
        dt_put_be32(t + 4, f->seq);
        f->seq += (uint32_t)len;
        t[12] = (uint8_t)(l4 / 4 << 4);
        t[13] = odd == 3 ? 0x18 : odd == 4 ? 0x11 : odd == 5 ? 0x50 : 0x10;
        dt_put_be16(t + 14, odd == 6 ? 501 : 500);
        t[20] = odd == 7; /* options differ */
        t[8] = odd == 10; /* acknowledges something else */
    } else {
        dt_put_be16(t + 4, (uint16_t)(l4 + len));
    }
    dt_rand_fill(r, t + l4, len);
    if (!f->v6) {
        dt_put_be16(p + 4, odd == 8 ? (uint16_t)dt_rand_u32(r) : f->id);
        f->id++;
        if (!f->df)
            dt_put_be16(p + 6, 0);
        dt_ip4_checksum(p);
    }
    struct dt_ip ip;
    assert_true(dt_ip_parse(&ip, p, h + l4 + len, false));
    l4_checksum(p, &ip);
    if (odd == 9)
        t[l4 - 1] ^= 1; /* a checksum that was wrong from the start */
    return ip.total;
}

/* A segment arrived in its flow: it must be the next that went in. The id of IPv4 with DF may be made anew. */
static void arrived(const uint8_t *p, uint32_t len)
{
    struct dt_ip ip;
    uint16_t sport, dport;
    uint8_t a[600], b[600];
    assert_true(dt_ip_parse(&ip, p, len, false));
    assert_true(dt_ip_ports(&ip, p, len, &sport, &dport));
    struct flow *f = &flow[sport - 1000];
    assert_true(f->seen < f->made);
    assert_int_equal(len, f->len[f->seen]);
    memcpy(a, p, len);
    memcpy(b, f->seg[f->seen], len);
    if (!f->v6 && f->df)
        for (int i = 0; i < 2; i++) {
            uint8_t *h = i ? a : b;
            memset(h + 4, 0, 2);
            memset(h + 10, 0, 2);
        }
    assert_memory_equal(a, b, len);
    f->seen++;
}

static void drain(int *supers)
{
    static uint8_t buf[70000];
    for (ssize_t n; (n = read(device[1], buf, sizeof buf)) > 0;) {
        struct dt_vnet v;
        struct dt_ip ip;
        uint8_t *p = buf + DT_VNET_LEN, seg[600];
        size_t len = (size_t)n - DT_VNET_LEN;
        dt_vnet_get(&v, buf);
        if (v.gso_type == DT_VNET_GSO_NONE) {
            arrived(p, (uint32_t)len);
            continue;
        }
        struct dt_segments s;
        assert_true(dt_ip_parse(&ip, p, len, false));
        assert_int_equal(ip.total, len);
        assert_int_equal(v.flags, DT_VNET_NEEDS_CSUM);
        assert_int_equal(v.csum_start, ip.l4);
        assert_true(dt_segments_init(&s, &v, p, len, ip.ver, ip.l4));
        assert_int_equal(s.hlen, v.hdr_len);
        /* The kernel completes the checksum from the pseudo-header's sum in the field. */
        uint16_t sum = 0, partial;
        size_t alen = dt_addr_size(&ip.src);
        memcpy(&partial, p + v.csum_start + v.csum_offset, 2);
        sum = dt_csum_fold(dt_csum_pseudo(ip.src.b, ip.dst.b, alen, ip.proto, (uint32_t)len - ip.l4));
        assert_int_equal(partial, sum);
        for (unsigned i = 0; i < s.count; i++) {
            dt_segment(&s, i, seg);
            arrived(seg, dt_segment_len(&s, i));
        }
        (*supers)++;
    }
}

static void what_goes_in_comes_out(void **state)
{
    struct dt_prng prng;
    dt_prng_seed(&prng, test_seed("coalesce"));
    struct dt_rand r = dt_prng_rand(&prng);
    int supers = 0, segments = 0;
    static uint8_t batch[SEGS][600];

    for (int i = 0; i < FLOWS; i++)
        flow[i] = (struct flow){
            .v6 = i & 1, .tcp = i % 3 != 0, .df = i & 2, .size = (uint16_t)(100 + 30 * i), .id = 65530};
    for (int round = 0; round < 60; round++) {
        int active = 1 + (int)dt_rand_below(&r, FLOWS), last = 0;
        for (int i = 0; i < SEGS; i++) {
            int n = dt_rand_below(&r, 5) ? last : (int)dt_rand_below(&r, (uint64_t)active);
            struct flow *f = &flow[n];
            struct dt_ip ip;
            last = n;
            if (f->made == 400)
                continue;
            uint32_t len = make(f, n, batch[i], &r);
            memcpy(f->seg[f->made], batch[i], len);
            f->len[f->made++] = len;
            segments++;
            assert_true(dt_ip_parse(&ip, batch[i], len, true));
            dp_gro_add(w, batch[i], len, &ip);
            drain(&supers);
        }
        dp_gro_flush(w);
        drain(&supers);
    }
    for (int i = 0; i < FLOWS; i++)
        assert_int_equal(flow[i].seen, flow[i].made);
    printf("# %d segments, %d super-packets\n", segments, supers);
    assert_true(supers > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_goes_in_comes_out, set_up, tear_down),
    };
    return TEST_RUN(tests);
}
