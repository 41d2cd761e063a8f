#include "cli/nat_capture.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/grow.h"

#define CAPTURE_MAX 50000000u /* packets kept of one file */

/* ---- reading --------------------------------------------------------------------------------- */

static struct capture_packet *capture_add(struct capture *c)
{
    if (c->n == CAPTURE_MAX || dt_grow(c->packet, c->cap, c->n, 1024))
        return NULL;
    c->packet[c->n] = (struct capture_packet){0};
    return &c->packet[c->n];
}

/* Where the IPv4 header begins; 0 with *other set when the packet is none of IPv4's. */
static const uint8_t *link_layer(int type, const uint8_t *p, const uint8_t *end, struct capture_packet *out,
                                 bool *other)
{
    uint16_t proto = 0;
    *other = false;
    switch (type) {
    case DLT_EN10MB:
        if (end - p < 14)
            return NULL;
        memcpy(out->to, p, 6);
        memcpy(out->from, p + 6, 6);
        out->has_mac = true;
        proto = dt_get_be16(p + 12);
        p += 14;
        break;
    case DLT_LINUX_SLL:
        if (end - p < 16)
            return NULL;
        out->way = dt_get_be16(p) == 4   ? CAPTURE_LEAVES
                   : dt_get_be16(p) <= 2 ? CAPTURE_ARRIVES
                                         : CAPTURE_UNKNOWN;
        proto = dt_get_be16(p + 14);
        p += 16;
        break;
    case DLT_LINUX_SLL2:
        if (end - p < 20)
            return NULL;
        out->way = p[10] == 4 ? CAPTURE_LEAVES : p[10] <= 2 ? CAPTURE_ARRIVES : CAPTURE_UNKNOWN;
        proto = dt_get_be16(p);
        p += 20;
        break;
    case DLT_NULL:
    case DLT_LOOP:
        if (end - p < 5)
            return NULL;
        proto = p[4] >> 4 == 4 ? 0x0800 : 0;
        p += 4;
        break;
    default: /* DLT_RAW, DLT_IPV4 */
        proto = p < end && *p >> 4 == 4 ? 0x0800 : 0;
    }
    for (int tags = 0; tags < 3 && (proto == 0x8100 || proto == 0x88a8 || proto == 0x9100); tags++) {
        if (end - p < 4)
            return NULL;
        proto = dt_get_be16(p + 2);
        p += 4;
    }
    if (proto == 0x8864 && end - p >= 8 && dt_get_be16(p + 6) == 0x0021) { /* PPPoE session */
        proto = 0x0800;
        p += 8;
    }
    *other = proto != 0x0800;
    return *other || end - p < 20 ? NULL : p;
}

static bool known_link(int type)
{
    return type == DLT_EN10MB || type == DLT_LINUX_SLL || type == DLT_LINUX_SLL2 || type == DLT_NULL ||
           type == DLT_LOOP || type == DLT_RAW || type == DLT_IPV4 || type == 14;
}

static int capture_take(struct capture *c, int type, const struct pcap_pkthdr *h, const uint8_t *data,
                        enum dt_masq_side side)
{
    struct capture_packet *p = capture_add(c);
    if (!p)
        return -1;
    bool other;
    c->seen++;
    const uint8_t *end = data + h->caplen, *ip = link_layer(type, data, end, p, &other);
    if (!ip) {
        c->odd += !other;
        return 0;
    }
    if (!dt_masq_parse(&p->f, side, ip, (size_t)(end - ip)) || p->f.flags & DT_MASQ_F_QUOTE)
        return 0;
    p->at = (dt_time)h->ts.tv_sec * DT_SEC + (dt_time)h->ts.tv_usec; /* nanoseconds, by our wish */
    p->number = c->seen;
    c->n++;
    return 0;
}

static ssize_t gz_read(void *gz, char *to, size_t n)
{
    return gzread(gz, to, n > INT_MAX ? INT_MAX : (unsigned)n);
}

static int gz_close(void *gz)
{
    return gzclose(gz) == Z_OK ? 0 : -1;
}

/* Compressed by gzip or not, whatever its name says. NULL with *err. */
static pcap_t *capture_open(const char *file, struct dt_err *err)
{
    char why[PCAP_ERRBUF_SIZE];
    gzFile gz = gzopen(file, "rb");
    FILE *f =
        gz != NULL ? fopencookie(gz, "r", (cookie_io_functions_t){.read = gz_read, .close = gz_close}) : NULL;
    if (f == NULL) {
        dt_err_set(err, 0, "%s: %s", file, strerror(errno));
        if (gz != NULL)
            gzclose(gz);
        return NULL;
    }
    pcap_t *p = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, why);
    if (p == NULL) {
        fclose(f);
        dt_err_set(err, 0, "%s: %s", file, why);
    }
    return p;
}

int capture_read(struct capture *c, const char *file, enum dt_masq_side side, struct dt_err *err)
{
    *c = (struct capture){0};
    pcap_t *p = capture_open(file, err);
    if (!p)
        return -1;
    int type = pcap_datalink(p), rc;
    if (!known_link(type)) {
        const char *name = pcap_datalink_val_to_name(type);
        dt_err_set(err, 0, "%s has link type %s; Ethernet, raw IP, Linux cooked and loopback can be read",
                   file, name ? name : "unknown");
        pcap_close(p);
        return -1;
    }
    struct pcap_pkthdr *h;
    const u_char *data;
    while ((rc = pcap_next_ex(p, &h, &data)) == 1)
        if (capture_take(c, type, h, data, side)) {
            pcap_close(p);
            return dt_err_set(err, 0, "%s has more packets than fit into memory", file);
        }
    if (rc == PCAP_ERROR && c->seen == 0) {
        dt_err_set(err, 0, "%s: %s", file, pcap_geterr(p));
        pcap_close(p);
        return -1;
    }
    c->odd += rc == PCAP_ERROR; /* a capture that was cut short is read as far as it goes */
    pcap_close(p);
    return 0;
}

void capture_free(struct capture *c)
{
    free(c->packet);
    *c = (struct capture){0};
}
