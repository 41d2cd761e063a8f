/* Control packets that need no traffic selectors: a dummy packet (RFC 4303 2.6: next header 59, which every receiver of
 * ESP has to discard in silence) whose plaintext is an echo request or its reply. Two Dovetails agree on them in IKE_AUTH
 * (endpoint/endpoint.h, DT_NOTIFY_PROBE); they are answered in the data path and never reach a host.
 *
 * The plaintext, in network byte order:
 *
 *   0  "DTEC"                       4  1: request, 2: reply       5  0
 *   6  ident                        8  seq
 *  10  octets of this plaintext, with these 16 and the zeros that follow them
 *  12  request: octets that its reply is to have, at most its own; reply: octets of the request that it answers
 *  14  0
 *
 * So a request finds out whether packets of a size come through, in one direction or in both. */
#ifndef DT_WIRE_DUMMY_H
#define DT_WIRE_DUMMY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_DUMMY_LEN 16u /* the least */

struct dt_dummy {
    bool reply;
    uint16_t ident, seq;
    uint16_t size;  /* octets of this plaintext: DT_DUMMY_LEN or more */
    uint16_t other; /* request: octets wanted of the reply; reply: octets of the request */
};

/* Writes the plaintext; its length is d->size, or 0 when that is below DT_DUMMY_LEN or above cap, or a request wants
 * a reply that is shorter than DT_DUMMY_LEN or longer than itself. */
size_t dt_dummy_put(void *out, size_t cap, const struct dt_dummy *d);
/* False: some other dummy packet, a malformed one, or one that was cut. */
bool dt_dummy_parse(struct dt_dummy *d, const void *p, size_t len);
/* The reply that a request asks for. */
struct dt_dummy dt_dummy_answer(const struct dt_dummy *request);

#endif
