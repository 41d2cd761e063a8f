/* NAT detection (RFC 7296 section 2.23): each side says what it believes the addresses to be, hashed. */
#include "ike/internal.h"

static void hash(struct dt_ike *ike, uint64_t spi_i, uint64_t spi_r, const struct dt_addrport *a,
                 uint8_t *out)
{
    uint8_t spis[16], port[2];
    dt_put_be64(spis, spi_i);
    dt_put_be64(spis + 8, spi_r);
    dt_put_be16(port, a->port);
    struct dt_span in[] = {dt_span(spis, 16), dt_span(a->addr.b, dt_addr_size(&a->addr)), dt_span(port, 2)};
    if (dt_hash(ike->crypto, DT_HASH_SHA1, in, 3, out, NULL))
        memset(out, 0, IKE_NAT_HASH);
}

void ike_nat_write(struct dt_ike *ike, struct dt_ike_builder *b, uint64_t spi_i, uint64_t spi_r,
                   const struct dt_path *path, bool force)
{
    uint8_t h[IKE_NAT_HASH];
    /* Nobody's address, the same each time: a request that is repeated with a cookie is otherwise unchanged (2.6). */
    static const struct dt_addrport nobody = {.addr = {.ver = 4}};
    hash(ike, spi_i, spi_r, force ? &nobody : &path->local, h);
    ike_write_notify(b, DT_N_NAT_DETECTION_SOURCE_IP, dt_span(h, sizeof(h)));
    hash(ike, spi_i, spi_r, &path->remote, h);
    ike_write_notify(b, DT_N_NAT_DETECTION_DESTINATION_IP, dt_span(h, sizeof(h)));
}

bool ike_nat_read(struct dt_ike *ike, const struct ike_msg *m, uint64_t spi_i, uint64_t spi_r, bool *local,
                  bool *remote)
{
    uint8_t here[IKE_NAT_HASH], there[IKE_NAT_HASH];
    bool sources = false, destinations = false, source_ok = false, destination_ok = false;
    hash(ike, spi_i, spi_r, &m->path->local, here);
    hash(ike, spi_i, spi_r, &m->path->remote, there);
    for (size_t i = 0; i < m->outer.n; i++) {
        struct dt_ike_notify_payload n;
        if (m->outer.v[i].type != DT_P_NOTIFY || dt_ike_notify_read(&n, m->outer.v[i].body))
            continue;
        if (n.type == DT_N_NAT_DETECTION_SOURCE_IP) {
            sources = true;
            source_ok |= n.data.len == IKE_NAT_HASH && !memcmp(n.data.p, there, IKE_NAT_HASH);
        } else if (n.type == DT_N_NAT_DETECTION_DESTINATION_IP) {
            destinations = true;
            destination_ok |= n.data.len == IKE_NAT_HASH && !memcmp(n.data.p, here, IKE_NAT_HASH);
        }
    }
    *local = !destination_ok;
    *remote = !source_ok;
    return sources && destinations;
}
