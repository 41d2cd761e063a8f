/* Writes a capture of discovery messages (and a datagram that is none) for dissector.sh: dissector_capture FILE */
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>

#include "ted/proxy.h"
#include "wire/ip.h"
#include "wire/udp.h"

static pcap_t *dead;
static pcap_dumper_t *dump;
static long written;

static struct dt_addr a(const char *text)
{
    struct dt_addr r = {0};
    dt_addr_parse(&r, text);
    return r;
}

/* IP and UDP headers before the message; raw IP, no link layer. */
static void put(const char *src, const char *dst, uint16_t sport, const uint8_t *msg, size_t len)
{
    uint8_t p[2048] = {0};
    struct dt_addr s = a(src), d = a(dst);
    size_t ip = dt_ip_put(p, &s, &d, DT_IPPROTO_UDP, 64, 0, DT_UDP_HDR_LEN + len),
           total = ip + DT_UDP_HDR_LEN + len;
    memcpy(p + ip + DT_UDP_HDR_LEN, msg, len);
    dt_udp_put(p + ip, sport, DT_TED_PORT, len, &s, &d);
    struct pcap_pkthdr h = {
        .ts = {.tv_sec = 1700000000 + written++}, .caplen = (bpf_u_int32)total, .len = (bpf_u_int32)total};
    pcap_dump((u_char *)dump, &h, p);
}

static void probe4(void)
{
    uint8_t msg[DT_TED_MAX_MESSAGE];
    struct dt_ted_probe p = {.cookie = 0x0102030405060708,
                             .capabilities = DT_TED_CAP_SEVERAL | DT_TED_CAP_IPV6 | DT_TED_CAP_IKEV2,
                             .id = a("192.0.2.1"),
                             .proxy = a("10.1.0.0"),
                             .proxy_mask = a("255.255.0.0"),
                             .packet = {a("10.1.0.5"), a("10.2.0.7"), 6, 50000, 80}};
    put("10.1.0.5", "10.2.0.7", 50000, msg, dt_ted_probe_encode(msg, sizeof msg, &p));
}

static void probe6(void)
{
    uint8_t msg[DT_TED_MAX_MESSAGE];
    struct dt_ted_probe p = {.cookie = 0xfedcba9876543210,
                             .capabilities = DT_TED_CAP_IPV6,
                             .id = a("2001:db8::1"),
                             .packet = {a("fd01::5"), a("fd02::7"), 17, 5353, 53}};
    put("fd01::5", "fd02::7", 5353, msg, dt_ted_probe_encode(msg, sizeof msg, &p));
}

static void reply(bool cut)
{
    uint8_t msg[DT_TED_MAX_MESSAGE];
    struct dt_ted_reply r = {.cookie = 0x0102030405060708,
                             .responder_cookie = 0x1112131415161718,
                             .capabilities = DT_TED_CAP_IKEV2,
                             .id = a("198.51.100.1"),
                             .name = "east.example.net",
                             .count = 2};
    dt_ted_proxy_parse(&r.proxy[0], "10.0.0.0/8 10.2.0.0/16 tcp any 80", NULL);
    dt_ted_proxy_parse(&r.proxy[1], "10.0.0.0/8 10.2.0.1/255.255.0.255 udp 5000 53", NULL);
    size_t len = dt_ted_reply_encode(msg, sizeof msg, &r);
    put("198.51.100.1", "192.0.2.1", 500, msg, cut ? len - 4 : len);
}

static void ikev2(void)
{
    uint8_t msg[28] = {1, 2, 3, 4,    5,  6, 7, 8, 0, 0, 0, 0, 0, 0,
                       0, 0, 0, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 28};
    put("192.0.2.1", "198.51.100.1", 500, msg, sizeof msg);
}

int main(int argc, char **argv)
{
    dead = pcap_open_dead(DLT_RAW, 65535);
    dump = argc == 2 ? pcap_dump_open(dead, argv[1]) : NULL;
    if (!dump) {
        fprintf(stderr, "usage: dissector_capture FILE (that can be written)\n");
        return 2;
    }
    probe4();
    probe6();
    reply(false);
    ikev2();
    reply(true);
    pcap_dump_close(dump);
    pcap_close(dead);
    return 0;
}
