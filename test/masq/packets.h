/* Real packets from facts, and the checks that a translated packet must pass. Ethernet header first. */
#ifndef DT_TEST_MASQ_PACKETS_H
#define DT_TEST_MASQ_PACKETS_H

#include "masq/masq.h"

#define PACKET_MAX 2048

/* Every checksum right; TTL 64; don't fragment unless it is a fragment. Returns the length. */
size_t packet_build(uint8_t *out, const struct dt_masq_facts *f);
/* NULL, or what is wrong with the checksums of that Ethernet frame (IPv4, UDP 500, ICMP and what it quotes). */
const char *packet_checksums(const uint8_t *eth, size_t len);
uint16_t packet_sum(const void *p, size_t n, uint32_t start);

#endif
