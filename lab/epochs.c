/* lab-epochs: were epochs used as promised? It opens the ESP of a capture with the key log of the end at which the capture was
 * made, and compares the first packets of every epoch, in both directions, with the rule (README, "One tunnel's life"):
 *
 *   client    an epoch begins with control packets; data goes out on it only after an authenticated packet came in on it
 *             (-r: only after the answer to a control packet did)
 *   gateway   nothing goes out on an epoch before an authenticated packet came in on it
 *   both      no number goes out twice on an SA; everything authenticates; no SPI is unknown
 *
 *   lab-epochs -c|-g [-r] [-s] [-n EPOCHS] [-p PORT] [-t TRIES [-a TIME]] CAPTURE KEYLOG.esp
 *
 * With -s what comes in and was for somebody else (a NAT mixed clients up: an SPI that the key log does not know, or that does not
 * authenticate) is no breach, but counted as a stranger. With -t the summary has `events`, what became of the epochs in the order
 * of time (since TIME, in seconds since 1970): "verified", the first answer to a control packet; "unanswered", TRIES control
 * packets in a row without anything from there; "switched", the first data that goes out on an epoch.
 *
 * The exception (an epoch used unverified when its predecessor's time is over) is a breach too: whoever captures leaves room.
 * Control packets are echo requests, replies, times exceeded, and dummies; whatever else the tunnel carries is data. Prints a
 * line for each breach (seconds since the capture began, SPI, number, packet), then one JSON object. Ends with 0: no breach;
 * 1: some; 2: it cannot be judged, also when data went out on fewer than EPOCHS epochs (1). PORT: UDP with ESP in it (4500). */
#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "esp_key.h"

#define SHOWN    12u /* breaches that are printed; all are counted */
#define NUMBERS  (1u << 22)
#define NEVER    (-1.0)
#define ETHERNET 14u
#define EVENTS   64u /* that are told */

struct epoch {
    double first_in, first_reply, first_out, first_data; /* NEVER: none */
    double unanswered;
    unsigned asked; /* control packets in a row, since something came in */
    uint64_t in, out, data_out;
    uint8_t *used; /* numbers that went out, a bit each */
};

static struct esp_keys keys;
static struct epoch epochs[ESP_KEYS_MAX / 2];
static bool client, want_reply, strangers_come;
static unsigned tries; /* 0: no events are told */
static uint16_t natt_port = 4500;
static uint64_t packets, breaches, not_judged, transport, strangers;
static double began = NEVER, since;

/* What is inside an ESP packet, for people too. */
struct inner {
    bool control, request, reply, whole; /* whole: a whole IP packet, so tunnel mode */
    char text[160];
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

__attribute__((format(printf, 4, 5))) static void breach(double at, uint32_t spi, uint32_t number,
                                                         const char *fmt, ...)
{
    va_list ap;
    if (breaches++ >= SHOWN)
        return;
    printf("%.6f  SPI 0x%08x  number %u  ", at, spi, number);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

static bool is_control(uint8_t proto, const uint8_t *l4, size_t len, bool *reply)
{
    uint8_t type = len >= 8 ? l4[0] : 0xff;
    *reply = proto == 1 ? type == 0 || type == 11 : proto == 58 && (type == 129 || type == 3);
    return *reply || (proto == 1 && type == 8) || (proto == 58 && type == 128);
}

static void look_inside(struct inner *in, const uint8_t *p, size_t len, uint8_t next)
{
    char src[INET6_ADDRSTRLEN] = "", dst[INET6_ADDRSTRLEN] = "", ports[32] = "";
    uint8_t proto = next;
    size_t head = 0;
    if (next == 4 && len >= 20) {
        head = (size_t)(p[0] & 15) * 4;
        proto = p[9];
        inet_ntop(AF_INET, p + 12, src, sizeof src);
        inet_ntop(AF_INET, p + 16, dst, sizeof dst);
    } else if (next == 41 && len >= 40) {
        head = 40;
        proto = p[6];
        inet_ntop(AF_INET6, p + 8, src, sizeof src);
        inet_ntop(AF_INET6, p + 24, dst, sizeof dst);
    }
    size_t left = len > head ? len - head : 0;
    in->whole = next == 4 || next == 41;
    in->control = is_control(proto, p + head, left, &in->reply) || next == 59;
    in->request = in->control && !in->reply;
    if (next == 59) { /* an echo in a dummy: "DTEC", then 1 for a request and 2 for its reply */
        in->request = len >= 16 && memcmp(p, "DTEC\1", 5) == 0;
        in->reply = len >= 16 && memcmp(p, "DTEC\2", 5) == 0;
    }
    if ((proto == 6 || proto == 17) && left >= 4)
        snprintf(ports, sizeof ports, " port %u to %u", get16(p + head), get16(p + head + 2));
    snprintf(in->text, sizeof in->text, "%s%s%s%s, protocol %u%s, %zu bytes", src, *src ? " -> " : "", dst,
             *src ? "" : "transport", proto, ports, len);
}

static bool number_is_new(struct epoch *e, uint32_t number)
{
    if (!e->used && !(e->used = calloc(NUMBERS / 8, 1)))
        abort();
    if (number >= NUMBERS) {
        not_judged++;
        return true;
    }
    uint8_t *byte = &e->used[number / 8], bit = (uint8_t)(1u << number % 8);
    bool fresh = !(*byte & bit);
    *byte |= bit;
    return fresh;
}

static void judge_out(struct epoch *e, const struct esp_key *k, double at, uint32_t number,
                      const struct inner *in)
{
    double proof = want_reply ? e->first_reply : e->first_in;
    if (!number_is_new(e, number))
        breach(at, k->spi, number, "the number was used before: %s", in->text);
    if (!client && proof == NEVER)
        breach(at, k->spi, number, "the gateway speaks before the client was heard here: %s", in->text);
    if (client && !in->control && proof == NEVER)
        breach(at, k->spi, number, "data before %s: %s",
               want_reply ? "a probe was answered" : "anything came back", in->text);
    else if (client && !in->control && e->out == 0)
        breach(at, k->spi, number, "the epoch begins with data: %s", in->text);
    if (e->first_out == NEVER)
        e->first_out = at;
    if (!in->control && e->first_data == NEVER)
        e->first_data = at;
    if (in->request && ++e->asked == tries && e->unanswered == NEVER)
        e->unanswered = at;
    e->out++;
    e->data_out += !in->control;
}

static void judge_in(struct epoch *e, double at, const struct inner *in)
{
    if (e->first_in == NEVER)
        e->first_in = at;
    if (in->reply && e->first_reply == NEVER)
        e->first_reply = at;
    e->asked = 0;
    e->in++;
}

/* Is it an SA of that SPI? The peer's address may have changed since: our own has not. */
static bool may_be_key(const struct esp_key *k, uint32_t spi, uint8_t ver, const uint8_t *from,
                       const uint8_t *to, bool own_address)
{
    if (k->spi != spi || k->ver != ver)
        return false;
    return !own_address || memcmp(k->out ? k->from : k->to, k->out ? from : to, ver == 4 ? 4 : 16) == 0;
}

/* The SA of a packet is the one that opens it: two peers may have chosen one SPI, and numbers may come again in a long log. The
 * newest first. *known: there is one of that SPI; what is returned has opened it, or is NULL. */
static struct esp_key *open_packet(const uint8_t *p, size_t len, uint8_t ver, const uint8_t *from,
                                   const uint8_t *to, uint8_t *plain, size_t *n, uint8_t *next, bool *known)
{
    *known = false;
    for (int own_address = 1; own_address >= 0; own_address--)
        for (size_t i = keys.n; i-- > 0;) {
            struct esp_key *k = &keys.key[i];
            if (!may_be_key(k, get32(p), ver, from, to, own_address))
                continue;
            *known = true;
            if (esp_key_open(k, p, len, plain, n, next))
                return k;
        }
    return NULL;
}

/* It came in, not for us: nothing of ours goes out to its receiver's address. */
static bool is_stranger(uint8_t ver, const uint8_t *to)
{
    size_t n = ver == 4 ? 4 : 16;
    for (size_t i = 0; strangers_come && i < keys.n; i++)
        if (!keys.key[i].out && keys.key[i].ver == ver && memcmp(keys.key[i].to, to, n) == 0)
            return true;
    return false;
}

static void esp_packet(double at, uint8_t ver, const uint8_t *from, const uint8_t *to, const uint8_t *p,
                       size_t len)
{
    static uint8_t plain[65536];
    struct inner in;
    size_t n = 0;
    uint8_t next = 0;
    uint32_t spi = get32(p), number = get32(p + 4);
    bool known = false;
    struct esp_key *k =
        len <= sizeof plain ? open_packet(p, len, ver, from, to, plain, &n, &next, &known) : NULL;
    packets++;
    if (k == NULL && is_stranger(ver, to)) {
        strangers++;
        return;
    }
    if (!known) {
        breach(at, spi, number, "the key log does not know this SPI");
        return;
    }
    if (k == NULL) {
        breach(at, spi, number, "it is not authentic (%zu bytes)", len);
        return;
    }
    look_inside(&in, plain, n, next);
    transport += !in.whole;
    struct epoch *e = &epochs[(k - keys.key) / 2];
    if (k->out)
        judge_out(e, k, at, number, &in);
    else
        judge_in(e, at, &in);
}

/* One IP packet: ESP, or UDP with ESP in it. What is neither (IKE, neighbours) is passed by. */
static void ip_packet(double at, const uint8_t *p, size_t len)
{
    uint8_t ver = len ? p[0] >> 4 : 0, proto;
    size_t head, total;
    if (ver == 4 && len >= 20) {
        head = (size_t)(p[0] & 15) * 4;
        total = get16(p + 2);
        proto = p[9];
        if ((get16(p + 6) & 0x3fff) != 0 && (proto == 50 || proto == 17)) {
            not_judged++; /* a fragment */
            return;
        }
    } else if (ver == 6 && len >= 40) {
        head = 40;
        total = 40u + get16(p + 4);
        proto = p[6];
    } else {
        return;
    }
    const uint8_t *from = ver == 4 ? p + 12 : p + 8, *to = ver == 4 ? p + 16 : p + 24;
    if (proto == 17 && total >= head + 16 && len >= head + 16 &&
        (get16(p + head) == natt_port || get16(p + head + 2) == natt_port) && get32(p + head + 8) != 0)
        head += 8;
    else if (proto != 50)
        return;
    if (total > len || total < head + 8)
        not_judged++; /* the capture has not all of it */
    else
        esp_packet(at, ver, from, to, p + head, total - head);
}

static int read_capture(const char *path)
{
    char err[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *h;
    const u_char *p;
    int rc;
    pcap_t *cap = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, err);
    if (!cap) {
        fprintf(stderr, "lab-epochs: %s\n", err);
        return -1;
    }
    int link = pcap_datalink(cap);
    size_t skip = link == DLT_EN10MB ? ETHERNET : 0;
    if (link != DLT_EN10MB && link != DLT_RAW) {
        fprintf(stderr, "lab-epochs: %s: frames of kind %d are not understood\n", path, link);
        pcap_close(cap);
        return -1;
    }
    while ((rc = pcap_next_ex(cap, &h, &p)) == 1) {
        double at = (double)h->ts.tv_sec + (double)h->ts.tv_usec / 1e9;
        if (began == NEVER)
            began = at;
        if (h->caplen > skip && (skip == 0 || get16(p + 12) == 0x0800 || get16(p + 12) == 0x86dd))
            ip_packet(at - began, p + skip, h->caplen - skip);
    }
    pcap_close(cap);
    return rc == PCAP_ERROR ? -1 : 0;
}

struct event {
    double at;
    const char *what;
};

static int by_time(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void tell_events(void)
{
    struct event ev[EVENTS];
    size_t n = 0;
    for (size_t i = 0; i < keys.n / 2 && n + 3 <= EVENTS; i++) {
        const struct epoch *e = &epochs[i];
        ev[n++] = (struct event){e->first_reply, "verified"};
        ev[n++] = (struct event){e->unanswered, "unanswered"};
        ev[n++] = (struct event){e->first_data, "switched"};
    }
    qsort(ev, n, sizeof ev[0], by_time);
    const char *comma = "";
    printf(", \"events\": [");
    for (size_t i = 0; i < n; i++) {
        if (ev[i].at == NEVER || began + ev[i].at < since)
            continue;
        printf("%s\"%s\"", comma, ev[i].what);
        comma = ", ";
    }
    printf("]");
}

/* The summary. True: data went out on `least` epochs, and all was judged. */
static bool report(unsigned least)
{
    unsigned seen = 0, carried = 0;
    double slowest = 0;
    for (size_t i = 0; i < keys.n / 2; i++) {
        const struct epoch *e = &epochs[i];
        seen += e->in + e->out > 0;
        carried += e->data_out > 0;
        if (e->first_out != NEVER && e->first_in - e->first_out > slowest)
            slowest = e->first_in - e->first_out;
        free(e->used);
    }
    if (breaches > SHOWN)
        printf("... and %llu more\n", (unsigned long long)(breaches - SHOWN));
    printf("{\"epochs\": %u, \"carried\": %u, \"packets\": %llu, \"transport\": %llu, \"breaches\": %llu, "
           "\"not_judged\": %llu, \"strangers\": %llu, \"slowest_proof_s\": %.6f",
           seen, carried, (unsigned long long)packets, (unsigned long long)transport,
           (unsigned long long)breaches, (unsigned long long)not_judged, (unsigned long long)strangers,
           slowest);
    if (tries != 0)
        tell_events();
    printf("}\n");
    return carried >= least && not_judged == 0;
}

int main(int argc, char **argv)
{
    unsigned least = 1;
    bool gateway = false;
    for (int o; (o = getopt(argc, argv, "cgrsn:p:t:a:")) != -1;) {
        client = client || o == 'c';
        gateway = gateway || o == 'g';
        want_reply = want_reply || o == 'r';
        strangers_come = strangers_come || o == 's';
        if (o == 't')
            tries = (unsigned)atoi(optarg);
        if (o == 'a')
            since = atof(optarg);
        if (o == 'n')
            least = (unsigned)atoi(optarg);
        if (o == 'p')
            natt_port = (uint16_t)atoi(optarg);
    }
    if (argc - optind != 2 || client == gateway) {
        fprintf(stderr, "usage: lab-epochs -c|-g [-r] [-s] [-n EPOCHS] [-p PORT] [-t TRIES [-a TIME]] "
                        "CAPTURE KEYLOG.esp\n");
        return 2;
    }
    for (size_t i = 0; i < ESP_KEYS_MAX / 2; i++)
        epochs[i] = (struct epoch){.first_in = NEVER,
                                   .first_reply = NEVER,
                                   .first_out = NEVER,
                                   .first_data = NEVER,
                                   .unanswered = NEVER};
    if (!esp_keys_load(&keys, argv[optind + 1]) || read_capture(argv[optind]) != 0)
        return 2;
    bool whole = report(least);
    esp_keys_free(&keys);
    return breaches ? 1 : whole ? 0 : 2;
}
