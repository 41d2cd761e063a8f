/* The rules for IKE, one script each (docs/nat.md has their sentences). */
#include "masq/expect.h"

static void ike_create_convert(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_IN(S1, 11, 22), IKE_UNKNOWN, 0);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(0.1, IKE_OUT(C1, S1, 11, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT(0.2, IKE_IN(S2, 11, 22), IKE_UNKNOWN, 0); /* another server */
    EXPECT(0.2, IKE_IN(S1, 12, 22), IKE_UNKNOWN, 0); /* another cookie */
    EXPECT(0.3, IKE_IN(S1, 11, 0), IKE_IN_NULL, C1); /* COOKIE, INVALID_KE_PAYLOAD */
    EXPECT(0.4, IKE_OUT(C1, S1, 11, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT(0.5, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(0.6, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C1);
    EXPECT(0.7, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT(0.8, IKE_IN(S1, 11, 23), IKE_UNKNOWN, 0);
    EXPECT(0.9, IKE_IN(S1, 11, 0), IKE_UNKNOWN, 0);
    EXPECT(1, IKE_OUT(C1, S1, 0, 22), IKE_COOKIE, 0);
    EXPECT(1, IKE_IN(S1, 0, 22), IKE_COOKIE, 0);
}

static void ike_collision(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C2, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(0.1, IKE_OUT(C1, S1, 11, 0), IKE_COLLISION, 0); /* serialised */
    EXPECT(0.2, IKE_OUT(C1, S2, 11, 0), IKE_CREATE, S2);
    EXPECT(0.3, IKE_IN(S1, 11, 22), IKE_CONVERT, C2);
    EXPECT(0.4, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1); /* the retry finds it established */
    EXPECT(0.5, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C2);
    EXPECT(0.6, IKE_IN(S1, 11, 33), IKE_CONVERT, C1);
    EXPECT(0.7, IKE_IN(S1, 11, 33), IKE_IN_ESTABLISHED, C1);
    EXPECT(0.8, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C2);
    EXPECT(0.9, IKE_OUT(C1, S1, 11, 33), IKE_OUT_ESTABLISHED, S1);
    EXPECT(0.9, IKE_OUT(C2, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
}

static void ike_restart(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C1, S1, 11, 22), IKE_CREATE, S1); /* both cookies, no item: the NAT has forgotten */
    EXPECT(0.1, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(0.2, IKE_OUT(C2, S1, 12, 23), IKE_CREATE, S1);
    EXPECT(0.3, IKE_OUT(C3, S1, 12, 24), IKE_COLLISION, 0);
}

static void ike_expiry(struct rig *r)
{
    begin(r);
    EXPECT(0, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT_BEFORE(5, IKE_OUT(C1, S1, 11, 0), IKE_OUT_OUTSTANDING, S1);
    EXPECT_BEFORE(5, IKE_OUT(C2, S1, 11, 0), IKE_COLLISION, 0);
    EXPECT(5, IKE_OUT(C2, S1, 11, 0), IKE_CREATE, S1);
    EXPECT(10, IKE_IN(S1, 11, 22), IKE_UNKNOWN, 0);
    EXPECT(10, IKE_OUT(C1, S1, 11, 0), IKE_CREATE, S1);
    EXPECT_BEFORE(15, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(15, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT_BEFORE(615, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C1);
    EXPECT(1000, IKE_IN(S1, 11, 22), IKE_IN_ESTABLISHED, C1);
    EXPECT_BEFORE(1600, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT(1700, IKE_OUT(C1, S1, 11, 22), IKE_OUT_ESTABLISHED, S1);
    EXPECT(2300, IKE_IN(S1, 11, 22), IKE_UNKNOWN, 0);
    EXPECT(2300, IKE_OUT(C1, S1, 11, 22), IKE_CREATE, S1);
}

static void ike_share(struct rig *r)
{
    struct dt_masq_config c = rig_config();
    c.params.share_ike = 3;
    r->start(r, &c);
    for (uint64_t i = 0; i < 3; i++)
        EXPECT(0, IKE_OUT(C1, S1, 11 + i, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_OUT(C1, S1, 19, 0), SHARE, 0);
    EXPECT(0, IKE_OUT(C2, S1, 20, 0), IKE_CREATE, S1);
    EXPECT(0, IKE_IN(S1, 11, 22), IKE_CONVERT, C1);
    EXPECT(1, IKE_OUT(C1, S1, 19, 0), SHARE, 0);
    r->sweep(r, at(r, 5));
    EXPECT(5, IKE_OUT(C1, S1, 19, 0), IKE_CREATE, S1);
}

const struct script scripts_ike[] = {
    SCRIPT(ike_create_convert), SCRIPT(ike_collision), SCRIPT(ike_restart),
    SCRIPT(ike_expiry),         SCRIPT(ike_share),     SCRIPTS_END,
};
