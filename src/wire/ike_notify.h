/* Notify message types (RFC 7296 section 3.10.1) and Dovetail's own from the private-use range. */
#ifndef DT_WIRE_IKE_NOTIFY_H
#define DT_WIRE_IKE_NOTIFY_H

#include <stdint.h>

enum dt_ike_notify_type {
    /* errors */
    DT_N_UNSUPPORTED_CRITICAL_PAYLOAD = 1, /* data: the payload type, one octet */
    DT_N_INVALID_IKE_SPI = 4,
    DT_N_INVALID_MAJOR_VERSION = 5,
    DT_N_INVALID_SYNTAX = 7,
    DT_N_INVALID_MESSAGE_ID = 9, /* data: the message id, four octets */
    DT_N_INVALID_SPI = 11,
    DT_N_NO_PROPOSAL_CHOSEN = 14,
    DT_N_INVALID_KE_PAYLOAD = 17, /* data: the group that is wanted, two octets */
    DT_N_AUTHENTICATION_FAILED = 24,
    DT_N_SINGLE_PAIR_REQUIRED = 34,
    DT_N_NO_ADDITIONAL_SAS = 35,
    DT_N_INTERNAL_ADDRESS_FAILURE = 36,
    DT_N_FAILED_CP_REQUIRED = 37,
    DT_N_TS_UNACCEPTABLE = 38,
    DT_N_INVALID_SELECTORS = 39,
    DT_N_TEMPORARY_FAILURE = 43,
    DT_N_CHILD_SA_NOT_FOUND = 44,
    DT_N_ERROR_LAST = 16383,
    /* status */
    DT_N_INITIAL_CONTACT = 16384,
    DT_N_SET_WINDOW_SIZE = 16385,
    DT_N_ADDITIONAL_TS_POSSIBLE = 16386,
    DT_N_IPCOMP_SUPPORTED = 16387,
    DT_N_NAT_DETECTION_SOURCE_IP = 16388,
    DT_N_NAT_DETECTION_DESTINATION_IP = 16389,
    DT_N_COOKIE = 16390,
    DT_N_USE_TRANSPORT_MODE = 16391,
    DT_N_HTTP_CERT_LOOKUP_SUPPORTED = 16392,
    DT_N_REKEY_SA = 16393,
    DT_N_ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
    DT_N_NON_FIRST_FRAGMENTS_ALSO = 16395,
    DT_N_IKEV2_FRAGMENTATION_SUPPORTED = 16430,   /* RFC 7383; no data */
    DT_N_SIGNATURE_HASH_ALGORITHMS = 16431, /* RFC 7427; numbers of hashes, two octets each */
    DT_N_PRIVATE_FIRST = 40960,
    /* Dovetail's own, beside NO_PROPOSAL_CHOSEN: what would have been taken (dt_ike_takes_read). For people alone. */
    DT_N_DOVETAIL_TAKES = 40987,
    /* Beside TS_UNACCEPTABLE: what would have been allowed (dt_ike_allows_read), once for each side. */
    DT_N_DOVETAIL_ALLOWS = 40988,
    /* Beside the refusal of a child, and beside our DELETE of a session: enum dt_why, two octets, and for some the
     * port and the address that it speaks of (2, and 4 or 16 octets). */
    DT_N_DOVETAIL_WHY = 40989,
    /* In IKE_AUTH: which installation speaks, 16 random octets, and an octet of flags (1: it takes its identity from no
     * other installation that has it). */
    DT_N_DOVETAIL_PLACE = 40990,
    DT_N_PRIVATE_LAST = 65535,
};

/* RFC 7427 section 7: hash algorithms of signatures; 1 to 4 are those of enum dt_hash. */
#define DT_SIGNATURE_HASH_IDENTITY 5 /* RFC 8420: none, the octets themselves (Ed25519) */

/* Reasons for which the numbers of RFC 7296 are too coarse. */
enum dt_why {
    DT_WHY_NONE,
    DT_WHY_POOL_USED_UP, /* no inside address is left */
    DT_WHY_NO_POOL,      /* none of the IP versions that were asked for is leased */
    DT_WHY_CLIENTS_MAX,  /* the gateway serves as many clients as it may */
    DT_WHY_ELSEWHERE, /* another machine is connected with the same identity, from the address that follows */
};
/* A sentence about the peer that said so; NULL for a number without one here. */
const char *dt_why_str(uint16_t why);

/* "NO_PROPOSAL_CHOSEN"; NULL for a number without a name here. */
const char *dt_notify_name(uint16_t type);

#endif
