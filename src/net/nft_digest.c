/* What the kernel says of a table of nftables, as one number: so any change by somebody else is found. */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "net/nft.h"

struct table_digest {
    struct dt_digest sum;
    const char *table;
};

static int digest_message(const struct nlmsghdr *h, void *ctx)
{
    enum { NFGENMSG = 4 }; /* its last two octets count every change of anybody's */
    struct table_digest *t = ctx;
    const struct nlattr *a;
    /* A dump of chains has those of every table where the kernel is older than Linux 6.3. The table's name is the first
     * attribute of all these messages. */
    mnl_attr_for_each(a, h, NFGENMSG)
    {
        if (mnl_attr_get_type(a) == NFTA_TABLE_NAME && strcmp(mnl_attr_get_str(a), t->table) != 0)
            return 0;
    }
    if (mnl_nlmsg_get_payload_len(h) > NFGENMSG)
        dt_digest_bytes(&t->sum, (const uint8_t *)mnl_nlmsg_get_payload(h) + NFGENMSG,
                        mnl_nlmsg_get_payload_len(h) - NFGENMSG);
    return 0;
}

static void digest_again(void *ctx)
{
    dt_digest_init(&((struct table_digest *)ctx)->sum);
}

static int add_dump(struct dt_nft *n, const char *table, uint8_t what, uint16_t flags, const char *set,
                    uint64_t *sum)
{
    struct table_digest one = {.table = table};
    dt_digest_init(&one.sum);
    if (dt_nft_get(n, what, flags, table, set, digest_message, digest_again, &one) < 0)
        return -1;
    *sum = *sum * 1099511628211u ^ dt_digest_value(&one.sum);
    return 0;
}

int dt_nft_digest(struct dt_nft *n, const char *table, const char *const *set, size_t nset, uint64_t *digest)
{
    uint64_t sum = 0;
    *digest = 0;
    /* Its flags: a dormant one is not looked at by packets. */
    if (add_dump(n, table, NFT_MSG_GETTABLE, 0, NULL, &sum) < 0)
        return errno == ENOENT ? 0 : -1;
    if (add_dump(n, table, NFT_MSG_GETCHAIN, NLM_F_DUMP, NULL, &sum) < 0 || /* their hooks */
        add_dump(n, table, NFT_MSG_GETRULE, NLM_F_DUMP, NULL, &sum) < 0 ||
        add_dump(n, table, NFT_MSG_GETSET, NLM_F_DUMP, NULL, &sum) < 0)
        return -1;
    for (size_t i = 0; i < nset; i++)
        if (add_dump(n, table, NFT_MSG_GETSETELEM, NLM_F_DUMP, set[i], &sum) < 0) {
            if (errno != ENOENT)
                return -1;
            sum = ~sum; /* a set is missing: not as it was made */
        }
    *digest = sum | 2;
    return 0;
}
