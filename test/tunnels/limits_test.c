/* What the data path says of an SA's limits reaches the engine as what it is: near the end a new epoch is asked for, which a
 * client may decline; at the end the epoch is given up, which it may not. */
#include "daemon/fake_host.h"

#define CONF                                                                                                 \
    "tunnel \"t1\" { gateway = 203.0.113.1 local = anna@example.net remote = vpn.example.net "               \
    "psk = secret-one-of-sixteen protect = 10.1.0.0/16 encap = esp }\n"
#define GATEWAY                                                                                              \
    "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen\n"                               \
    "protect = 10.0.0.0/8 pool = 10.9.0.0/16 }\n"

static struct fake_host *client, *gateway;

static void begin(void)
{
    client = fake_host_new(dt_addr4(0xc6336402));
    gateway = fake_host_new(dt_addr4(0xcb007101));
    json_decref(fake_host_apply(gateway, GATEWAY));
    json_decref(fake_host_apply(client, CONF));
    fake_hosts_run((struct fake_host *[]){client, gateway}, 2);
    assert_true(fake_host_up(client, "t1"));
}

static void end(void)
{
    fake_host_free(client);
    fake_host_free(gateway);
}

/* The SA on which the only tunnel of the host sends. */
static uint64_t sending(const struct fake_host *h)
{
    for (size_t i = 0; i < FAKE_TUNNELS; i++)
        if (h->tunnel[i].set.id != 0 && h->tunnel[i].state == DT_DP_SEND)
            return h->tunnel[i].sa;
    fail_msg("nothing is sent");
    return 0;
}

/* The data path of `at` says it; the SPI on which the client hears afterwards. */
static uint32_t says(struct fake_host *at, enum dt_dp_event_kind kind, uint64_t sa)
{
    struct dt_dp_event ev = {.kind = kind, .sa = sa};
    driver_dp_event(&at->d, &ev);
    fake_hosts_run((struct fake_host *[]){client, gateway}, 2);
    return fake_host_spi(client, "t1");
}

static void of_a_client(void **state)
{
    begin();
    uint32_t first = fake_host_spi(client, "t1");
    uint32_t second = says(client, DT_DP_SOFT, sending(client));
    assert_int_not_equal(second, first);
    uint32_t third = says(client, DT_DP_HARD, sending(client));
    assert_int_not_equal(third, second);
    end();
}

static void of_a_gateway(void **state)
{
    begin();
    uint32_t first = fake_host_spi(client, "t1");
    uint64_t sa = sending(gateway);
    assert_int_equal(says(gateway, DT_DP_SOFT, sa), first); /* declined */
    assert_int_not_equal(says(gateway, DT_DP_HARD, sa), first);
    assert_int_not_equal(sending(gateway), sa);
    assert_true(fake_host_up(client, "t1"));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_client),
        cmocka_unit_test(of_a_gateway),
    };
    return TEST_RUN(tests);
}
