/* The offload header before each packet of a TUN device (struct virtio_net_hdr), and the cutting of a super-packet
 * into segments as a network card would do it. */
#ifndef DT_NET_VNET_H
#define DT_NET_VNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_VNET_LEN 10

/* The fields, in the machine's byte order. */
struct dt_vnet {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

enum {
    DT_VNET_NEEDS_CSUM = 1,
    DT_VNET_DATA_VALID = 2,
    DT_VNET_GSO_NONE = 0,
    DT_VNET_GSO_TCPV4 = 1,
    DT_VNET_GSO_TCPV6 = 4,
    DT_VNET_GSO_UDP_L4 = 5,
    DT_VNET_GSO_ECN = 0x80,
};

void dt_vnet_get(struct dt_vnet *v, const void *p); /* from DT_VNET_LEN bytes, little-endian */
void dt_vnet_put(void *p, const struct dt_vnet *v);

/* How a packet from the TUN device is cut. */
struct dt_segments {
    const uint8_t *packet;
    uint32_t len;
    uint16_t l3;    /* bytes of IP header */
    uint16_t hlen;  /* IP and transport header, which each segment repeats */
    uint16_t size;  /* payload of each segment but the last */
    uint16_t count; /* at least 1 */
    uint8_t ver, proto;
    bool tcp;
    /* Sums of what all segments share: the IPv4 header without length, id and checksum; pseudo-header and transport
     * header without length, sequence number, flags and checksum. */
    uint64_t ip_sum, l4_sum;
};

/* Checks a packet with a gso_type other than none. l3: where the transport header begins. False when the offload
 * header and the packet do not fit each other. */
bool dt_segments_init(struct dt_segments *s, const struct dt_vnet *v, const uint8_t *packet, size_t len,
                      uint8_t ver, uint16_t l3);
/* Length of segment i; dt_segment writes it, with correct lengths, IP id, sequence number, flags and checksums. */
uint32_t dt_segment_len(const struct dt_segments *s, unsigned i);
void dt_segment(const struct dt_segments *s, unsigned i, uint8_t *out);

/* A packet without segments whose checksum was left to the device: fills it in. False when the offsets do not lie in
 * the packet. */
bool dt_vnet_checksum(const struct dt_vnet *v, uint8_t *packet, size_t len);

#endif
