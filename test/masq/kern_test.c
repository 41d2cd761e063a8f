/* The program in the kernel, run on crafted packets for every rule and every boundary of every timer. */
#include "masq/kern_rig.h"

#include <bpf/bpf.h>

#include "base/bytes.h"
#include "base/rand.h"
#include "masq/packets.h"
#include "masq/tables.h"

#define TC_OK       (-1) /* TC_ACT_UNSPEC: filters behind ours look at it, too */
#define TC_SHOT     2
#define TC_REDIRECT 7

static struct kern_rig rig;
static const char *missing;

static void run_script(void **state)
{
    if (missing) {
        print_message("needs %s\n", missing);
        skip();
    }
    const struct script *s = *state;
    rig.rig.name = s->name;
    rig.sum_errors = 0;
    s->run(&rig.rig);
    if (rig.sum_errors)
        fail_msg("%d packets came out wrong; the first: %s", rig.sum_errors, rig.wrong);
}

static void begin(void)
{
    if (missing)
        skip();
    struct dt_masq_config c = rig_config();
    rig.rig.start(&rig.rig, &c);
}

static size_t esp(uint8_t *frame, size_t len)
{
    struct dt_masq_facts f = dt_masq_esp_out(C1, S1, 0x1001);
    f.len = (uint16_t)len;
    return packet_build(frame, &f);
}

static void fix_ip(uint8_t *frame)
{
    uint8_t *ip = frame + 14;
    dt_put_be16(ip + 10, 0);
    dt_put_be16(ip + 10, (uint16_t)~packet_sum(ip, (ip[0] & 15u) * 4u, 0));
}

static int inside(const uint8_t *frame, size_t len)
{
    return kern_rig_frame(&rig, 1000 * DT_SEC, DT_MASQ_INSIDE, frame, len);
}

/* What is not ours comes out as it went in. */
static void others_pass(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    size_t len = esp(frame, 200);
    frame[14 + 9] = 6; /* TCP */
    fix_ip(frame);
    assert_int_equal(inside(frame, len), TC_OK);
    assert_memory_equal(rig.out + 14, frame + 14, len - 14);
    frame[14 + 9] = 17; /* UDP, some port */
    dt_put_be16(frame + 34, 4500);
    dt_put_be16(frame + 36, 4500);
    dt_put_be16(frame + 38, 200);
    fix_ip(frame);
    assert_int_equal(inside(frame, len), TC_OK);
    dt_put_be16(frame + 36, 500); /* not from port 500: masquerade can tell such clients apart */
    assert_int_equal(inside(frame, len), TC_OK);
    assert_memory_equal(rig.out + 14, frame + 14, len - 14);
    dt_put_be16(frame + 12, 0x86dd); /* IPv6 */
    assert_int_equal(inside(frame, len), TC_OK);
    memset(frame + 12, 0, 2);
    assert_int_equal(inside(frame, 34), TC_OK);
}

/* TTL 1, and a packet too large to go on in one piece: the kernel must see the client's own packet to answer it. */
static void ttl_and_mtu(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    size_t len = esp(frame, 200);
    frame[14 + 8] = 1;
    fix_ip(frame);
    assert_int_equal(inside(frame, len), TC_OK);
    assert_memory_equal(rig.out + 14, frame + 14, len - 14);
    assert_int_equal(dt_kernel_last(rig.k)->rule, DT_MASQ_RULE_PASS); /* and no item is made for it */
    len = esp(frame, 1481);
    assert_int_equal(inside(frame, len), TC_OK);
    assert_memory_equal(rig.out + 14, frame + 14, len - 14);
    len = esp(frame, 1480);
    assert_int_equal(inside(frame, len), TC_REDIRECT);
    assert_int_equal(dt_kernel_last(rig.k)->rule, DT_MASQ_RULE_ESP_CREATE);
    assert_int_equal(rig.out[14 + 8], 63);
    /* without DF it is translated, and then the kernel cuts it up: through the device for it */
    len = esp(frame, 1481);
    dt_put_be16(frame + 14 + 6, 0);
    fix_ip(frame);
    dt_kernel_setup(rig.k)->slow_ifindex = 1;
    assert_int_equal(inside(frame, len), TC_REDIRECT);
    assert_int_equal(dt_get_be32(rig.out + 14 + 12), OUT);
    assert_null(packet_checksums(rig.out, rig.out_len));
    dt_kernel_setup(rig.k)->slow_ifindex = 0;
    assert_int_equal(inside(frame, len), TC_SHOT);
}

/* The neighbour is not known yet: the packet is translated, and waits for it in the kernel. */
static void unknown_neighbour(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    size_t len = esp(frame, 200);
    assert_int_equal(system("ip neigh del 203.0.113.1 dev dtout"), 0);
    struct dt_masq_config c = rig_config();
    c.params.gen = 7; /* forget the route that was remembered */
    rig.rig.configure(&rig.rig, &c);
    assert_int_equal(inside(frame, len), TC_REDIRECT);
    assert_int_equal(dt_get_be32(rig.out + 14 + 12), OUT);
    assert_null(packet_checksums(rig.out, rig.out_len));
    assert_int_equal(system("ip neigh replace 203.0.113.1 lladdr 02:00:00:00:00:01 dev dtout nud permanent"),
                     0);
}

/* IP options move everything that follows. */
static void ip_options(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    size_t len = esp(frame, 200);
    memmove(frame + 14 + 24, frame + 14 + 20, 200);
    memset(frame + 34, 1, 4); /* no operation */
    frame[14] = 0x46;
    dt_put_be16(frame + 16, (uint16_t)(len - 14 + 4));
    fix_ip(frame);
    assert_int_equal(inside(frame, len + 4), TC_REDIRECT);
    assert_null(packet_checksums(rig.out, rig.out_len));
    assert_int_equal(dt_kernel_last(rig.k)->rule, DT_MASQ_RULE_ESP_CREATE);
}

/* A UDP checksum of zero means none, and stays none. */
static void udp_without_checksum(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    struct dt_masq_facts f = dt_masq_ike_out(C1, S1, 11, 0);
    size_t len = packet_build(frame, &f);
    assert_int_equal(inside(frame, len), TC_REDIRECT);
    assert_int_not_equal(dt_get_be16(rig.out + 40), 0);
    assert_null(packet_checksums(rig.out, rig.out_len));
    dt_put_be16(frame + 40, 0);
    assert_int_equal(inside(frame, len), TC_REDIRECT);
    assert_int_equal(dt_get_be16(rig.out + 40), 0);
    assert_null(packet_checksums(rig.out, rig.out_len));
}

/* Any IKE packet's checksum, among them those whose sum comes out as zero. */
static void udp_checksums(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    for (uint32_t i = 0; i < 70000; i += 1) {
        struct dt_masq_facts f = dt_masq_ike_out(C1, S1, 11, 1 + i);
        f.len = 60;
        size_t len = packet_build(frame, &f);
        if (i % 8 == 0 || i < 256 || dt_get_be16(frame + 40) > 0xff00 || dt_get_be16(frame + 40) < 0x100) {
            assert_int_equal(inside(frame, len), TC_REDIRECT);
            assert_int_not_equal(dt_get_be16(rig.out + 40), 0);
            assert_null(packet_checksums(rig.out, rig.out_len));
        }
    }
}

/* Lengths that lie. */
static void truncated_packets(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX];
    struct dt_masq_facts f = dt_masq_ike_out(C1, S1, 11, 0);
    size_t len = packet_build(frame, &f);
    dt_put_be16(frame + 38, 35); /* UDP: no room for an IKE header */
    assert_int_equal(inside(frame, len), TC_SHOT);
    dt_put_be16(frame + 38, 101); /* more than the packet has */
    assert_int_equal(inside(frame, len), TC_SHOT);
    assert_int_equal(dt_kernel_last(rig.k)->rule, DT_MASQ_RULE_TRUNCATED);
    len = esp(frame, 200);
    for (size_t cut = 34; cut < 42; cut++) { /* the packet ends before its own length says */
        int rc = inside(frame, cut);
        assert_true(rc == TC_OK || rc == TC_SHOT);
    }
    frame[14] = 0x4f; /* a header longer than the packet */
    assert_int_not_equal(inside(frame, 40), TC_REDIRECT);
    frame[14] = 0x41;
    assert_int_equal(inside(frame, len), TC_OK);
}

/* The client's own MAC in front, a broadcast: not for us. */
static void not_to_this_host(void **state)
{
    begin();
    uint8_t frame[PACKET_MAX], keep[6];
    size_t len = esp(frame, 200);
    memcpy(keep, rig.mac[DT_MASQ_INSIDE], 6);
    memset(rig.mac[DT_MASQ_INSIDE], 0xff, 6);
    assert_int_equal(inside(frame, len), TC_OK);
    memcpy(rig.mac[DT_MASQ_INSIDE], keep, 6);
    assert_int_equal(inside(frame, len), TC_REDIRECT);
}

/* Listing and sweeping see what the program wrote. */
static bool remember(void *ctx, const struct dt_masq_item *it)
{
    struct dt_masq_item *last = ctx;
    *last = *it;
    return true;
}

static void listing(void **state)
{
    begin();
    dt_time t = 1000 * DT_SEC;
    struct dt_masq_verdict v;
    struct dt_masq_facts out = dt_masq_esp_out(C1, S1, 0x1001), in = dt_masq_esp_in(S1, OUT, 0x2001);
    struct dt_masq_item it = {0};
    rig.rig.packet(&rig.rig, t, &out, &v);
    assert_int_equal(dt_kernel_items(rig.k, t, remember, &it), 0);
    assert_int_equal(it.state, DT_MASQ_OUTSTANDING);
    assert_int_equal(it.spi_out, 0x1001);
    assert_int_equal(it.expires, t + 5 * DT_SEC);
    rig.rig.packet(&rig.rig, t + DT_SEC, &in, &v);
    rig.rig.packet(&rig.rig, t + 2 * DT_SEC, &in, &v);
    assert_int_equal(dt_kernel_items(rig.k, t + 2 * DT_SEC, remember, &it), 0);
    assert_int_equal(it.state, DT_MASQ_ESTABLISHED);
    assert_int_equal(it.client, C1);
    assert_int_equal(it.spi_in, 0x2001);
    assert_int_equal(it.packets_in, 2);
    assert_int_equal(it.packets_out, 1);
    assert_int_equal(it.last, t + 2 * DT_SEC);
    assert_true(it.created > t - 10 * DT_MSEC && it.created <= t + 10 * DT_MSEC);
    assert_int_equal(it.nat, OUT);
    assert_int_equal(dt_kernel_entries(rig.k, 0), 1);
    rig.rig.sweep(&rig.rig, t + 61 * DT_SEC);
    assert_int_equal(dt_kernel_entries(rig.k, 0), 1); /* its other half is younger */
    rig.rig.sweep(&rig.rig, t + 62 * DT_SEC);
    for (unsigned table = 0; table < 3; table++)
        assert_int_equal(dt_kernel_entries(rig.k, table), 0);
    rig.rig.sweep(&rig.rig, t + 100 * DT_SEC);
    for (unsigned table = 0; table < 10; table++)
        assert_int_equal(dt_kernel_entries(rig.k, table), 0);
}

/* Whoever is outside and no server of a client's makes no entry, whatever it sends. */
static void strangers_outside(void **state)
{
    struct dt_prng p;
    begin();
    dt_prng_seed(&p, test_seed("strangers_outside"));
    struct dt_rand rnd = dt_prng_rand(&p);
    struct dt_masq_verdict v;
    for (int i = 0; i < 5000; i++) {
        uint32_t s = 0xc6000000 + (uint32_t)dt_rand_below(&rnd, 1 << 20);
        uint64_t ic = dt_rand_below(&rnd, 1000), rc = dt_rand_below(&rnd, 3);
        struct dt_masq_facts f = i % 2 ? dt_masq_esp_in(s, OUT, 256 + (uint32_t)dt_rand_below(&rnd, 1 << 30))
                                       : dt_masq_ike_in(s, OUT, ic, rc);
        f.ip_id = (uint16_t)i;
        if (i % 8 < 2)
            f.flags = DT_MASQ_F_MORE;
        if (i % 8 == 2) {
            f.frag_off = 800;
            f.spi = 0;
        }
        rig.rig.packet(&rig.rig, 1000 * DT_SEC, &f, &v);
        assert_int_not_equal(v.verdict, DT_MASQ_FORWARD);
        assert_int_not_equal(v.verdict, DT_MASQ_MULTICAST);
    }
    for (unsigned table = 0; table < MQ_TABLE_COUNT; table++)
        assert_int_equal(dt_kernel_entries(rig.k, table), 0);
}

/* SPIs as peers draw them: without order, each but once. */
static uint32_t some_spi(uint32_t i)
{
    i = (i ^ i >> 16) * 0x85ebca6bu;
    i = (i ^ i >> 13) * 0xc2b2ae35u;
    return i ^ i >> 16;
}

/* A table filled to its last item: nobody is lost in the slots, nor in the hash map for those that find no slot. */
static void filled(void **state)
{
    enum { N = 800 };
    struct dt_masq_config c = rig_config();
    struct dt_masq_verdict v;
    dt_time t = 1000 * DT_SEC;
    if (missing)
        skip();
    c.sizes.esp = N;
    c.params.share_esp = N;
    rig.rig.start(&rig.rig, &c);
    for (int round = 0; round < 2; round++, t += 200 * DT_SEC) {
        for (uint32_t i = 0; i <= N; i++) {
            struct dt_masq_facts out = dt_masq_esp_out(C1 + i % 7, S1 + i % 3, some_spi(0x10000 + i));
            struct dt_masq_facts in = dt_masq_esp_in(S1 + i % 3, OUT, some_spi(0x20000 + i));
            rig.rig.packet(&rig.rig, t, &out, &v);
            assert_int_equal(v.rule, DT_MASQ_RULE_ESP_CREATE);
            rig.rig.packet(&rig.rig, t, &in, &v);
            assert_int_equal(v.rule, i < N ? DT_MASQ_RULE_ESP_CONVERT : DT_MASQ_RULE_FULL);
        }
        for (uint32_t i = 0; i < N; i++) {
            struct dt_masq_facts out = dt_masq_esp_out(C1 + i % 7, S1 + i % 3, some_spi(0x10000 + i));
            struct dt_masq_facts in = dt_masq_esp_in(S1 + i % 3, OUT, some_spi(0x20000 + i));
            rig.rig.packet(&rig.rig, t, &out, &v);
            assert_int_equal(v.rule, DT_MASQ_RULE_ESP_OUT_ESTABLISHED);
            rig.rig.packet(&rig.rig, t, &in, &v);
            assert_int_equal(v.rule, DT_MASQ_RULE_ESP_IN_ESTABLISHED);
            assert_int_equal(v.to[0], C1 + i % 7);
        }
        assert_int_equal(dt_kernel_entries(rig.k, MQ_T_esp), N);
        assert_int_equal(dt_kernel_entries(rig.k, MQ_T_esp_in), N);
        uint32_t key[3];
        assert_int_equal(bpf_map_get_next_key(dt_kernel_table_fd(rig.k, MQ_T_esp), NULL, key), 0);
        assert_int_equal(bpf_map_get_next_key(dt_kernel_table_fd(rig.k, MQ_T_esp_in), NULL, key), 0);
        rig.rig.sweep(&rig.rig, t + 60 * DT_SEC);
        assert_int_equal(dt_kernel_entries(rig.k, MQ_T_esp), 0);
        assert_int_equal(dt_kernel_entries(rig.k, MQ_T_esp_in), 0);
    }
    assert_int_equal(rig.sum_errors, 0);
}

int main(void)
{
    missing = kern_rig_open(&rig);
    struct CMUnitTest tests[64] = {0};
    size_t n = rig_tests(tests, DT_ARRAY_LEN(tests), run_script);
    const struct CMUnitTest more[] = {
        cmocka_unit_test(others_pass),
        cmocka_unit_test(ttl_and_mtu),
        cmocka_unit_test(unknown_neighbour),
        cmocka_unit_test(ip_options),
        cmocka_unit_test(udp_without_checksum),
        cmocka_unit_test(udp_checksums),
        cmocka_unit_test(truncated_packets),
        cmocka_unit_test(not_to_this_host),
        cmocka_unit_test(listing),
        cmocka_unit_test(strangers_outside),
        cmocka_unit_test(filled),
    };
    memcpy(tests + n, more, sizeof(more));
    n += DT_ARRAY_LEN(more);
    int failed = _cmocka_run_group_tests("masq-kern", tests, n, NULL, NULL);
    kern_rig_close(&rig);
    return failed;
}
