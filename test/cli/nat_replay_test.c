/* nat replay: captures of every link type, merged by time; what leaves the router is not judged. */
#include "support/test.h"

#include <unistd.h>

#include <zlib.h>

#include <jansson.h>

#include "base/bytes.h"
#include "cli/cli.h"

#define C1  0x0a000001u
#define C2  0x0a000002u
#define S1  0xc0000201u
#define OUT 0xcb007105u

enum { RAW = 101, ETHERNET = 1, SLL = 113, LOOPBACK = 0 };

static uint8_t router_mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 9};

struct file {
    char path[64];
    FILE *f;
    int link;
    bool vlan;
};

static bool compressed; /* the files are, when they are read */

static void compress_file(const char *path)
{
    uint8_t plain[65536];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(plain, 1, sizeof(plain), f);
    fclose(f);
    gzFile gz = gzopen(path, "wb");
    assert_non_null(gz);
    assert_int_equal(gzwrite(gz, plain, (unsigned)n), n);
    assert_int_equal(gzclose(gz), Z_OK);
}

static struct file begin(const char *name, int link)
{
    struct file f = {.link = link};
    snprintf(f.path, sizeof(f.path), "/tmp/dt-replay-%d-%s.pcap", (int)getpid(), name);
    f.f = fopen(f.path, "wb");
    assert_non_null(f.f);
    uint32_t head[6] = {0xa1b2c3d4u, 4u << 16 | 2, 0, 0, 65535, (uint32_t)link};
    fwrite(head, sizeof(head), 1, f.f);
    return f;
}

static void put(struct file *f, double t, const uint8_t *ip, size_t len, bool arrives, size_t snap)
{
    uint8_t pkt[512] = {0};
    size_t n = 0;
    if (f->link == ETHERNET) {
        memcpy(pkt, arrives ? router_mac : other_mac, 6);
        memcpy(pkt + 6, arrives ? other_mac : router_mac, 6);
        dt_put_be16(pkt + 12, f->vlan ? 0x8100 : 0x0800);
        n = 14;
        if (f->vlan) {
            dt_put_be16(pkt + 16, 0x0800);
            n = 18;
        }
    } else if (f->link == SLL) {
        dt_put_be16(pkt, arrives ? 0 : 4);
        dt_put_be16(pkt + 14, 0x0800);
        n = 16;
    } else if (f->link == LOOPBACK) {
        pkt[0] = 2;
        n = 4;
    }
    memcpy(pkt + n, ip, len);
    n += len;
    uint32_t head[4] = {(uint32_t)t, (uint32_t)((t - (uint32_t)t) * 1e6 + 0.5),
                        (uint32_t)(snap && snap < n ? snap : n), (uint32_t)n};
    fwrite(head, sizeof(head), 1, f->f);
    fwrite(pkt, head[2], 1, f->f);
}

static size_t ip(uint8_t *p, uint32_t src, uint32_t dst, uint8_t proto, size_t len)
{
    memset(p, 0, 20 + len);
    p[0] = 0x45;
    dt_put_be16(p + 2, (uint16_t)(20 + len));
    p[8] = 64;
    p[9] = proto;
    dt_put_be32(p + 12, src);
    dt_put_be32(p + 16, dst);
    return 20 + len;
}

static void esp(struct file *f, double t, uint32_t src, uint32_t dst, uint32_t spi, bool arrives)
{
    uint8_t p[128];
    size_t n = ip(p, src, dst, 50, 40);
    dt_put_be32(p + 20, spi);
    put(f, t, p, n, arrives, 0);
}

static void ike(struct file *f, double t, uint32_t src, uint32_t dst, uint64_t i, uint64_t r, bool arrives)
{
    uint8_t p[128];
    size_t n = ip(p, src, dst, 17, 36);
    dt_put_be16(p + 20, 500);
    dt_put_be16(p + 22, 500);
    dt_put_be16(p + 24, 36);
    dt_put_be64(p + 28, i);
    dt_put_be64(p + 36, r);
    put(f, t, p, n, arrives, 0);
}

static int replay_with(struct file *in, struct file *out, const char *option, const char *value, char **text,
                       int *status)
{
    size_t len;
    FILE *o = open_memstream(text, &len), *e = fopen("/dev/null", "w");
    fclose(in->f);
    fclose(out->f);
    if (compressed) {
        compress_file(in->path);
        compress_file(out->path);
    }
    char *argv[] = {"dovetail",
                    "--json",
                    "nat",
                    "replay",
                    "--inside",
                    in->path,
                    "--outside",
                    out->path,
                    (char *)(uintptr_t)option,
                    (char *)(uintptr_t)value,
                    NULL};
    *status = dt_cli_main(option ? 10 : 8, argv, o, e);
    fclose(o);
    fclose(e);
    unlink(in->path);
    unlink(out->path);
    return *status;
}

static int replay(struct file *in, struct file *out, const char *set, char **text, int *status)
{
    return replay_with(in, out, set ? "--set" : NULL, set, text, status);
}

/* "forward>192.0.2.1 drop multicast>10.0.0.1,10.0.0.2": the verdicts, in order. */
static void verdicts(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        json_t *o = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(o);
        const char *v = json_string_value(json_object_get(o, "verdict"));
        if (v) {
            static const char *const keys[] = {"t", "side", "proto", "src", "dst", "rule", "to"};
            for (size_t i = 0; i < DT_ARRAY_LEN(keys); i++)
                assert_non_null(json_object_get(o, keys[i]));
            assert_true(json_object_get(o, "spi") || json_object_get(o, "cookies"));
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? " " : "", v);
            size_t i;
            json_t *a;
            json_array_foreach(json_object_get(o, "to"), i, a) n +=
                (size_t)snprintf(out + n, cap - n, "%c%s", i ? ',' : '>', json_string_value(a));
        } else {
            assert_non_null(json_object_get(o, "tables"));
        }
        json_decref(o);
    }
}

/* Both sides of a router, with what it forwarded on the other side. */
static void both_sides(int link, bool vlan)
{
    struct file in = begin("in", link), out = begin("out", link);
    in.vlan = out.vlan = vlan;
    char *text, got[1024];
    int status;
    ike(&in, 1, C1, S1, 7, 0, true);
    ike(&out, 1.0001, OUT, S1, 7, 0, false);
    ike(&out, 1.1, S1, OUT, 7, 8, true);
    ike(&in, 1.1001, S1, C1, 7, 8, false);
    ike(&in, 1.2, C2, S1, 9, 0, true);
    ike(&out, 1.2001, OUT, S1, 9, 0, false);
    esp(&in, 1.3, C1, S1, 0x1001, true);
    esp(&out, 1.3001, OUT, S1, 0x1001, false);
    esp(&in, 1.4, C2, S1, 0x1002, true); /* waits: not on the other side */
    esp(&out, 1.5, S1, OUT, 0x2001, true);
    esp(&in, 1.5001, S1, C1, 0x2001, false);
    esp(&out, 1.6, S1, OUT, 0x2002, true);
    esp(&in, 1.6001, S1, C1, 0x2002, false);
    esp(&in, 1.6001, S1, C2, 0x2002, false);
    esp(&out, 1.7, 0xc6336409u, OUT, 0x2003, true);
    esp(&out, 1.8, S1, OUT, 255, true);
    assert_int_equal(replay(&in, &out, NULL, &text, &status), 0);
    verdicts(text, got, sizeof(got));
    assert_string_equal(
        got, "forward>192.0.2.1 forward>10.0.0.1 forward>192.0.2.1 forward>192.0.2.1 drop forward>10.0.0.1 "
             "multicast>10.0.0.1,10.0.0.2 pass drop");
    free(text);
}

static void raw(void **state)
{
    both_sides(RAW, false);
}
static void ethernet(void **state)
{
    both_sides(ETHERNET, false);
}
static void tagged(void **state)
{
    both_sides(ETHERNET, true);
}
static void cooked(void **state)
{
    both_sides(SLL, false);
}
static void gzipped(void **state)
{
    compressed = true;
    both_sides(RAW, false);
    compressed = false;
}
static void loopback(void **state)
{
    both_sides(LOOPBACK, false);
}

/* Captures of what arrives, and no more. */
static void arrivals_only(void **state)
{
    struct file in = begin("in", RAW), out = begin("out", RAW);
    char *text, got[512];
    int status;
    esp(&in, 100, C1, S1, 0x1001, true);
    esp(&in, 104.999999, C2, S1, 0x1002, true);
    esp(&in, 105, C2, S1, 0x1002, true); /* exactly t_out */
    esp(&out, 106, S1, OUT, 0x2001, true);
    esp(&out, 107, S1, OUT, 0x2002, true);
    assert_int_equal(replay(&in, &out, "t_out=5", &text, &status), 0);
    verdicts(text, got, sizeof(got));
    assert_string_equal(got, "forward>192.0.2.1 drop forward>192.0.2.1 forward>10.0.0.2 pass");
    free(text);
}

/* Sources that cannot be on their side are dropped, and change nothing of how the others are read. */
static void forged(void **state)
{
    static const int links[] = {RAW, ETHERNET};
    for (size_t i = 0; i < DT_ARRAY_LEN(links); i++) {
        struct file in = begin("in", links[i]), out = begin("out", links[i]);
        char *text, got[512];
        int status;
        uint32_t s2 = S1 + 1;
        esp(&in, 1, C1, S1, 0x1001, true);
        esp(&out, 1.0001, OUT, S1, 0x1001, false);
        esp(&out, 1.1, C1, OUT, 0x2001, true); /* a client's address, outside */
        esp(&in, 1.2, OUT, S1, 0x1002, true);  /* the router's own, inside */
        esp(&in, 1.3, C1, s2, 0x1003, true);
        esp(&out, 1.3001, OUT, s2, 0x1003, false);
        esp(&out, 1.4, s2, OUT, 0x2003, true);
        esp(&in, 1.4001, s2, C1, 0x2003, false);
        esp(&in, 1.5, S1, s2, 0x1004, true); /* a server's, inside */
        esp(&out, 1.6, S1, OUT, 0x2002, true);
        esp(&in, 1.6001, S1, C1, 0x2002, false);
        assert_int_equal(replay(&in, &out, "t_out=5", &text, &status), 0);
        verdicts(text, got, sizeof(got));
        assert_string_equal(
            got, "forward>192.0.2.1 drop drop forward>192.0.2.2 forward>10.0.0.1 drop forward>10.0.0.1");
        assert_non_null(strstr(text, "\"spoofed\":3"));
        free(text);
    }
}

/* The capture outside began long before the one inside: the server, an end of most packets there and of one inside, looks
 * like the router. `own`: what --outside-address says, or NULL. */
static void began_earlier(const char *own, char *got, size_t cap)
{
    struct file in = begin("in", RAW), out = begin("out", RAW);
    char *text;
    int status;
    for (int i = 1; i < 5; i++)
        esp(&out, i, OUT, S1, 0x1001, false);
    esp(&in, 5, C1, S1, 0x1001, true);
    esp(&out, 5.0001, OUT, S1, 0x1001, false);
    esp(&out, 5.1, S1, OUT, 0x2001, true);
    assert_int_equal(replay_with(&in, &out, own ? "--outside-address" : NULL, own, &text, &status), 0);
    verdicts(text, got, cap);
    free(text);
}

static void outside_address(void **state)
{
    char got[512], guessed[512];
    began_earlier("203.0.113.5", got, sizeof(got));
    assert_string_equal(got, "forward>192.0.2.1 forward>10.0.0.1");
    began_earlier("198.51.100.1,203.0.113.5", got, sizeof(got)); /* one of several */
    assert_string_equal(got, "forward>192.0.2.1 forward>10.0.0.1");
    began_earlier(NULL, guessed, sizeof(guessed));
    assert_string_not_equal(got, guessed); /* or the option says nothing new */
}

/* Clients with public addresses of a server with a private one, and nothing outside but what arrives there. */
static void public_clients(const char *nets, char *got, size_t cap, char **text)
{
    struct file in = begin("in", RAW), out = begin("out", RAW);
    uint32_t client = 0xc6336407, other = 0xcb007107, server = C1;
    int status;
    esp(&in, 1, client, server, 0x1001, true);
    esp(&out, 1.1, server, OUT, 0x2001, true);
    esp(&in, 1.1001, server, client, 0x2001, false);
    esp(&in, 1.2, other, server, 0x1002, true);
    assert_int_equal(replay_with(&in, &out, nets ? "--clients" : NULL, nets, text, &status), 0);
    verdicts(*text, got, cap);
}

static void clients(void **state)
{
    char *text, got[512], guessed[512];
    public_clients("198.51.100.0/24,203.0.113.0/24", got, sizeof(got), &text);
    assert_string_equal(got, "forward>10.0.0.1 forward>198.51.100.7 forward>10.0.0.1");
    free(text);
    public_clients(NULL, guessed, sizeof(guessed), &text);
    assert_string_not_equal(got, guessed); /* or the option says nothing new */
    free(text);
    public_clients("198.51.100.0/24", got, sizeof(got), &text); /* the other is no client */
    assert_string_equal(got, "forward>10.0.0.1 forward>198.51.100.7 drop");
    assert_non_null(strstr(text, "\"spoofed\":1"));
    free(text);
}

static void wrong_options(void **state)
{
    static const char *const wrong[][2] = {
        {"--outside-address", "2001:db8::1"},
        {"--outside-address", "router"},
        {"--clients", "10.0.0.0/33"},
        {"--clients", "10.0.0.0/8,2001:db8::/64"},
        {"--clients", "lan"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(wrong); i++) {
        struct file in = begin("in", RAW), out = begin("out", RAW);
        char *text;
        int status;
        assert_int_equal(replay_with(&in, &out, wrong[i][0], wrong[i][1], &text, &status), 2);
        assert_non_null(strstr(text, wrong[i][0]));
        assert_null(strstr(text, "verdict"));
        free(text);
    }
}

/* The time is the double nearest to the capture's. */
static void calendar_time(void **state)
{
    struct file in = begin("in", RAW), out = begin("out", RAW);
    char *text;
    int status;
    double t = 1700000000.283879;
    esp(&in, t, C1, S1, 0x1001, true);
    assert_int_equal(replay(&in, &out, NULL, &text, &status), 0);
    json_t *o = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    assert_true(json_real_value(json_object_get(o, "t")) == t);
    json_decref(o);
    free(text);
}

/* A capture cut by its snap length, an empty one, and one that is none. */
static void odd_files(void **state)
{
    struct file in = begin("in", ETHERNET), out = begin("out", ETHERNET);
    char *text, got[512];
    int status;
    uint8_t p[128];
    size_t n = ip(p, C1, S1, 50, 40);
    dt_put_be32(p + 20, 0x1001);
    put(&in, 1, p, n, true, 14 + 20 + 8);
    put(&in, 2, p, n, true, 14 + 10); /* not even the IP header */
    put(&in, 3, p, n, true, 14 + 20 + 4);
    assert_int_equal(replay(&in, &out, NULL, &text, &status), 0);
    verdicts(text, got, sizeof(got));
    free(text);
    in = begin("in", RAW);
    out = begin("out", RAW);
    rewind(out.f);
    fputs("this is no capture at all, only text", out.f);
    assert_int_equal(replay(&in, &out, NULL, &text, &status), 1);
    assert_non_null(strstr(text, "-out.pcap")); /* says which of the two */
    free(text);
    in = begin("in", RAW);
    out = begin("out", RAW);
    assert_int_equal(replay(&in, &out, "t_out=soon", &text, &status), 2);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw),           cmocka_unit_test(ethernet),        cmocka_unit_test(gzipped),
        cmocka_unit_test(tagged),        cmocka_unit_test(cooked),          cmocka_unit_test(loopback),
        cmocka_unit_test(arrivals_only), cmocka_unit_test(forged),          cmocka_unit_test(calendar_time),
        cmocka_unit_test(odd_files),     cmocka_unit_test(outside_address), cmocka_unit_test(clients),
        cmocka_unit_test(wrong_options),
    };
    return TEST_RUN(tests);
}
