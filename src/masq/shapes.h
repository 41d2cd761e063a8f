/* The shapes that the rules of VPN Masquerade share between their two builds: the kernel program (eBPF) and
 * user space. Source: US 7,155,740, background and FIG. 4 and 5; docs/nat.md lists each rule with its
 * sentence.
 *
 * Everything is in host byte order. Times are nanoseconds on one monotonic clock. Structs have no hidden
 * padding, because the kernel hashes keys as bytes. */
#ifndef DT_MASQ_SHAPES_H
#define DT_MASQ_SHAPES_H

#ifndef __bpf__
#include <stdint.h>
#endif

#define DT_MASQ_OUTSIDE_MAX 8   /* outside addresses of one NAT */
#define DT_MASQ_NETS_MAX    16  /* prefixes that count as clients */
#define DT_MASQ_PEERS_MAX   128 /* clients of one server that a multicast can reach */

/* The interface on which the packet arrived; or it is the router's own, on its way out of the outside one. */
enum dt_masq_side { DT_MASQ_INSIDE, DT_MASQ_OUTSIDE, DT_MASQ_ROUTER };

enum dt_masq_verdict_kind {
    DT_MASQ_PASS,      /* of no client: leave it to the kernel, untouched */
    DT_MASQ_FORWARD,   /* to the one address in to[0] */
    DT_MASQ_DROP,      /* count it by rule, tell nobody */
    DT_MASQ_MULTICAST, /* to each address in to[] */
};

enum dt_masq_kind { DT_MASQ_IKE, DT_MASQ_ESP };
enum dt_masq_state { DT_MASQ_OUTSTANDING, DT_MASQ_ESTABLISHED };

/* Why. One counter each; names by dt_masq_rule_name(): lower case with dashes, "esp-create". */
#define DT_MASQ_RULES(X)                                                                                     \
    X(NONE, "none")                                                                                          \
    X(PASS, "pass")                                                                                          \
    /* from inside */                                                                                        \
    X(ESP_OUT_ESTABLISHED, "esp-out-established")                                                            \
    X(ESP_OUT_OUTSTANDING, "esp-out-outstanding")                                                            \
    X(ESP_CREATE, "esp-create")                                                                              \
    X(ESP_WAIT, "esp-wait")         /* another client's item with that server is outstanding */              \
    X(ESP_WAIT_OWN, "esp-wait-own") /* the client's own other SPI is */                                      \
    X(ESP_N_OUT, "esp-n-out")       /* the item made another wait, and has had its n_out packets */          \
    X(ESP_BACK_OFF, "esp-back-off") /* others' turn: its last items made them wait, and nobody answered */   \
    X(ESP_RESERVED, "esp-reserved") /* the turn of those who have proved to hear the server */               \
    X(ESP_NO_IKE, "esp-no-ike")     /* require_ike */                                                        \
    X(ESP_SPI, "esp-spi")           /* SPI 0 to 255 */                                                       \
    X(IKE_OUT_ESTABLISHED, "ike-out-established")                                                            \
    X(IKE_OUT_OUTSTANDING, "ike-out-outstanding")                                                            \
    X(IKE_CREATE, "ike-create")                                                                              \
    X(IKE_COLLISION, "ike-collision") /* same initiator cookie as another client's outstanding item */       \
    X(IKE_COOKIE, "ike-cookie")       /* null initiator cookie */                                            \
    /* from outside */                                                                                       \
    X(ESP_IN_ESTABLISHED, "esp-in-established")                                                              \
    X(ESP_CONVERT, "esp-convert")                                                                            \
    X(ESP_MULTICAST, "esp-multicast")                                                                        \
    X(ESP_UNKNOWN, "esp-unknown") /* no item, and no client with a recent IKE negotiation */                 \
    X(MULTICAST_OFF, "multicast-off")                                                                        \
    X(MULTICAST_RATE, "multicast-rate")                                                                      \
    X(IKE_IN_ESTABLISHED, "ike-in-established")                                                              \
    X(IKE_CONVERT, "ike-convert")                                                                            \
    X(IKE_IN_NULL, "ike-in-null") /* null responder cookie: forwarded, the item stays outstanding */         \
    X(IKE_UNKNOWN, "ike-unknown")                                                                            \
    X(UNTRANSLATED, "untranslated") /* leaves, forwarded past us, with a client's address */                 \
    /* either side */                                                                                        \
    X(SHARE, "share")         /* the client has its share of items */                                        \
    X(FULL, "full")           /* a table is full */                                                          \
    X(TRUNCATED, "truncated") /* shorter than its headers */                                                 \
    X(SPOOFED, "spoofed")     /* a source that cannot be on that side */                                     \
    X(FRAG_FOLLOW, "frag-follow")                                                                            \
    X(FRAG_UNKNOWN, "frag-unknown") /* its first fragment was not seen, or not forwarded */                  \
    X(FRAG_OVERLAP, "frag-overlap")                                                                          \
    X(ICMP_ERROR, "icmp-error")     /* an error that quotes a packet of an item, translated */               \
    X(ICMP_UNKNOWN, "icmp-unknown") /* quotes a packet of no item */

enum dt_masq_rule {
#define X(id, name) DT_MASQ_RULE_##id,
    DT_MASQ_RULES(X)
#undef X
        DT_MASQ_RULE_COUNT
};

/* What the rules may know of a packet. */
enum dt_masq_facts_flag {
    DT_MASQ_F_TRUNCATED = 1, /* the headers that the rules need are not all there */
    DT_MASQ_F_MORE = 2,      /* IPv4 more fragments */
    DT_MASQ_F_QUOTE = 4, /* an ICMP error: the fields below src and dst are those of the packet it quotes */
    DT_MASQ_F_NO_COOKIES = 8, /* quoted IKE, but the quote ends before the cookies */
    DT_MASQ_F_FORWARDED =
        16, /* DT_MASQ_ROUTER: not the router's own, but somebody's that its stack forwards */
};

struct dt_masq_facts {
    uint64_t icookie, rcookie; /* IKE: the first sixteen bytes of its header */
    uint32_t src, dst;         /* IPv4, as it arrived */
    uint32_t spi;              /* ESP */
    uint32_t qsrc, qdst;       /* with DT_MASQ_F_QUOTE: addresses of the quoted packet */
    uint16_t frag_off;         /* bytes; more than 0: neither SPI nor cookies are there */
    uint16_t ip_id;
    uint16_t len;  /* bytes of IP payload in this fragment */
    uint8_t proto; /* 50, or 17 (UDP from port 500 to port 500); of the quoted packet with DT_MASQ_F_QUOTE */
    uint8_t side;  /* enum dt_masq_side */
    uint8_t flags; /* enum dt_masq_facts_flag */
    uint8_t pad[3];
};

struct dt_masq_verdict {
    uint8_t verdict;                /* enum dt_masq_verdict_kind */
    uint8_t rule;                   /* enum dt_masq_rule */
    uint16_t n;                     /* addresses in to[] */
    uint32_t nat;                   /* from inside: the outside address that becomes the source */
    uint32_t to[DT_MASQ_PEERS_MAX]; /* destinations: the server, the client, or the clients */
};

struct dt_masq_net {
    uint32_t addr, mask;
};

struct dt_masq_params {
    uint64_t t_out; /* an outstanding ESP item lives this long, from its creation */
    uint64_t t_ei;  /* an established ESP item lives this long after its last packet in either direction */
    uint64_t t_ike_out; /* the same two for IKE items */
    uint64_t t_ike;
    uint64_t t_frag;             /* how long the fragments of one packet are followed */
    uint64_t multicast_interval; /* between two multicast packets of one server, in the long run */
    uint32_t multicast_burst;    /* so many may come at once */
    uint32_t multicast_cap;      /* clients that one packet may reach, at most DT_MASQ_PEERS_MAX */
    uint32_t n_out;              /* packets on an outstanding item after it made another client wait */
    uint32_t share_esp, share_ike, share_frag; /* entries that one client may have */
    uint32_t share_server;                     /* servers that it may be the first to speak with */
    uint32_t multicast;                        /* 0: off */
    uint32_t require_ike; /* 1: an ESP item needs an unexpired IKE item of that client with that server */
    uint32_t gen;         /* changes whenever outside[] does */
    uint32_t n_outside;
    uint32_t outside[DT_MASQ_OUTSIDE_MAX]; /* the NAT's own addresses; a client keeps the one it was given */
    uint32_t n_nets;                       /* 0: any source from inside is a client */
    struct dt_masq_net nets[DT_MASQ_NETS_MAX];
};

enum dt_masq_event_kind {
    DT_MASQ_EV_CREATED,
    DT_MASQ_EV_CONVERTED,
    DT_MASQ_EV_EXPIRED,
    DT_MASQ_EV_DROPPED,
    DT_MASQ_EV_MULTICAST,
};

struct dt_masq_event {
    uint64_t at;
    uint64_t icookie, rcookie;
    uint32_t client, server; /* 0: not known */
    uint32_t spi_out, spi_in;
    uint8_t what; /* enum dt_masq_event_kind */
    uint8_t kind; /* enum dt_masq_kind */
    uint8_t state;
    uint8_t rule;
    uint32_t n; /* multicast: clients reached */
};

#endif
