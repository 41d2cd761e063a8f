/* One ESP security association (RFC 4303), outbound or inbound: sequence numbers, padding, the cipher, the
 * replay window. No I/O, no clock, no allocation after dt_esp_*_new. The outer header is somebody else's (net
 * builds it through the kernel, the simulator has its own); what the inner and outer headers owe each other
 * is in esp/tunnel.h.
 *
 * Threads: seal and open may run at the same time on one SA from any number of threads; sequence numbers are
 * allotted atomically, the replay window has a spin lock of its own. Only free needs that nobody else uses
 * it.
 *
 * Sources: RFC 4303 (2 packet, 3.3 outbound, 3.4 inbound, A2 ESN), 6479 (window as a ring of blocks), 4106,
 * 7634, 3602, 4868 (ciphers, through crypto/crypto.h), 3948 (what may stand behind a UDP header). */
#ifndef DT_ESP_ESP_H
#define DT_ESP_ESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/time.h"
#include "base/transform.h"
#include "crypto/crypto.h"

#define DT_ESP_HEAD           24  /* room that seal may need before the payload: SPI, number, longest IV */
#define DT_ESP_TAIL           64  /* and behind it: padding, its length, next header, the longest ICV */
#define DT_ESP_SPI_MIN        256 /* 0 is the non-ESP marker, 1 to 255 are reserved (RFC 4303 2.1) */
#define DT_ESP_WINDOW_MIN     1024
#define DT_ESP_WINDOW_DEFAULT 4096
#define DT_ESP_WINDOW_MAX     65536
#define DT_ESP_BATCH          64 /* the most packets that one call takes */

enum dt_esp_mode {
    DT_ESP_TUNNEL = 0,    /* payload: a whole IP packet, next header 4 or 41 */
    DT_ESP_TRANSPORT = 1, /* payload: what followed the IP header, next header its protocol */
};

/* What both directions need to know. Copied; key material is wiped at free. */
struct dt_esp_params {
    uint32_t spi; /* host order */
    struct dt_suite suite;
    struct dt_span key;       /* as dt_cipher_new takes it: encryption key, salt behind it for an AEAD */
    struct dt_span integ_key; /* empty for an AEAD */
    bool esn;                 /* 64-bit sequence numbers (negotiated) */
    enum dt_esp_mode mode;
    uint32_t window;       /* inbound: packets; 0: DT_ESP_WINDOW_DEFAULT; rounded up to a multiple of 64 */
    uint64_t soft_packets; /* outbound: report once when as many are sealed; 0: 15/16 of the sequence space */
    /* Outbound: seal no more; 0, or more than the sequence space: the sequence space. */
    uint64_t hard_packets;
    uint64_t soft_bytes; /* outbound: report once when as much payload is sealed; 0: never */
    /* Outbound: the last number already used; inbound: the highest already seen (tests: 0). */
    uint64_t seq_start;
};

/* What became of a packet. Everything but DT_ESP_OK and DT_ESP_DUMMY is an error, counted by reason. */
enum dt_esp_verdict {
    DT_ESP_OK = 0,
    DT_ESP_DUMMY,     /* open: authentic, next header 59: to be ignored (RFC 4303 2.6) */
    DT_ESP_SHORT,     /* open: less than the headers and the ICV; seal: longer than the cipher takes */
    DT_ESP_ALIGN,     /* open: ciphertext is not a multiple of the block or of 4 bytes */
    DT_ESP_SPI,       /* open: another SPI than this SA's */
    DT_ESP_REPLAY,    /* open: seen before, or left of the window */
    DT_ESP_AUTH,      /* open: the ICV does not match */
    DT_ESP_PAD,       /* open: pad length beyond the payload, or padding that is not 1, 2, 3, ... */
    DT_ESP_NEXT,      /* open: a next header that this mode does not carry */
    DT_ESP_EXHAUSTED, /* seal: no sequence number left (RFC 4303 3.3.3) */
    DT_ESP_VERDICTS,
};
const char *dt_esp_verdict_name(enum dt_esp_verdict v); /* "ok", "replay", ...: for counters and logs */

/* One packet of a batch, in place. seal: p and len are the payload, with DT_ESP_HEAD bytes of writable room
 * before it and DT_ESP_TAIL behind it; afterwards they are the ESP packet, from the SPI to the ICV. open: p
 * and len are the ESP packet; afterwards they are the payload, and `next` and `seq` are set. */
struct dt_esp_pkt {
    uint8_t *p;
    uint32_t len;
    uint8_t next; /* next header: 4, 41, a transport protocol, or 59 for a dummy */
    uint8_t verdict;
    uint64_t seq; /* the whole 64-bit number with ESN */
};

/* What happened in a batch that somebody above will want to know: the or of these. */
enum {
    DT_ESP_NOTE_FIRST = 1, /* inbound: the first authentic packet of this SA was among them */
    DT_ESP_NOTE_SOFT = 2,  /* outbound: a soft limit was crossed just now */
    DT_ESP_NOTE_HARD = 4,  /* outbound: a packet found the sequence space used up (every time) */
};

struct dt_esp_counters {
    uint64_t packets; /* DT_ESP_OK and DT_ESP_DUMMY */
    uint64_t bytes;   /* their payload */
    dt_time last;     /* `now` of the last of them; 0: never */
    uint64_t errors[DT_ESP_VERDICTS];
};

/* ---- outbound -------------------------------------------------------------------------------- */

struct dt_esp_out;
/* NULL and *err: a suite that is unknown, keys of the wrong length, an SPI below 256, memory. */
struct dt_esp_out *dt_esp_out_new(const struct dt_crypto *c, const struct dt_esp_params *p,
                                  struct dt_err *err);
void dt_esp_out_free(struct dt_esp_out *sa); /* NULL is fine */
/* Seals n packets (at most DT_ESP_BATCH) in this order, with consecutive sequence numbers; returns notes. A
 * packet with a verdict other than DT_ESP_OK must not be sent. */
unsigned dt_esp_seal(struct dt_esp_out *sa, dt_time now, struct dt_esp_pkt *pkts, size_t n);
uint32_t dt_esp_out_spi(const struct dt_esp_out *sa);
enum dt_esp_mode dt_esp_out_mode(const struct dt_esp_out *sa);
void dt_esp_out_counters(const struct dt_esp_out *sa, struct dt_esp_counters *out);
/* A packet is coming: has the processor fetch the SA's memory, and (deep, when that is there) what it points at. */
void dt_esp_out_prefetch(const struct dt_esp_out *sa, bool deep);
/* Bytes before the payload (8 + IV), and of the whole ESP packet for so much payload. */
size_t dt_esp_head_len(const struct dt_esp_out *sa);
size_t dt_esp_sealed_len(const struct dt_esp_out *sa, size_t payload);
/* The longest payload whose ESP packet has at most `room` bytes; 0 when none. */
size_t dt_esp_payload_max(const struct dt_esp_out *sa, size_t room);

/* ---- inbound --------------------------------------------------------------------------------- */

struct dt_esp_in;
struct dt_esp_in *dt_esp_in_new(const struct dt_crypto *c, const struct dt_esp_params *p, struct dt_err *err);
void dt_esp_in_free(struct dt_esp_in *sa);
/* Opens n packets (at most DT_ESP_BATCH); returns notes. What fails changes nothing but a counter; the
 * payload of a packet that fails is worthless. The selector check of the inner packet (RFC 4301 5.2) is the
 * caller's: dt_tunnel_inner_ok. */
unsigned dt_esp_open(struct dt_esp_in *sa, dt_time now, struct dt_esp_pkt *pkts, size_t n);
uint32_t dt_esp_in_spi(const struct dt_esp_in *sa);
enum dt_esp_mode dt_esp_in_mode(const struct dt_esp_in *sa);
void dt_esp_in_counters(const struct dt_esp_in *sa, struct dt_esp_counters *out);
void dt_esp_in_prefetch(const struct dt_esp_in *sa, bool deep); /* as dt_esp_out_prefetch */
/* What an explorer must know of it beside its SPI: which packets it has seen. Nobody else uses the SA meanwhile. */
void dt_esp_in_digest(const struct dt_esp_in *sa, struct dt_digest *d);

/* The SPI of an ESP packet, 0 when it is too short to have one. */
static inline uint32_t dt_esp_peek_spi(const void *p, size_t len)
{
    return len < 8 ? 0 : dt_get_be32(p);
}

#endif
