#include "wire/udp.h"

#include "wire/checksum.h"

void dt_udp_put(void *p, uint16_t sport, uint16_t dport, size_t payload, const struct dt_addr *src,
                const struct dt_addr *dst)
{
    uint8_t *b = p;
    uint16_t len = (uint16_t)(DT_UDP_HDR_LEN + payload);

    dt_put_be16(b, sport);
    dt_put_be16(b + 2, dport);
    dt_put_be16(b + 4, len);
    dt_put_be16(b + 6, 0);
    uint64_t sum = dt_csum_pseudo(src->b, dst->b, dt_addr_size(src), 17, len);
    uint16_t check = dt_csum_finish(dt_csum_add(sum, b, len));
    if (check == 0)
        check = 0xffff; /* 0 would say "no checksum" */
    memcpy(b + 6, &check, 2);
}
