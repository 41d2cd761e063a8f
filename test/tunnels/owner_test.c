/* Whose a client's prefixes are: the data path is told of an owner by number, and an identity is one number. */
#include "daemon/fake_host.h"

#define GATEWAY_AT dt_addr4(0xcb007101)
#define AT(n)      dt_addr4(0xc6336402 + (n))

static const char gateway_conf[] = "gateway \"g\" { identity = vpn.example.net psk = secret-one-of-sixteen\n"
                                   "protect = 10.0.0.0/8 pool = 10.9.0.0/16 }\n";

/* The owner of the only tunnel that the gateway has now with a client of that identity; 0: it did not come up. */
static uint64_t owner(struct fake_host *g, const char *identity, unsigned at)
{
    struct fake_host *c = fake_host_new(AT(at));
    char text[512];
    uint64_t found = 0;
    snprintf(text, sizeof(text),
             "tunnel \"office\" { gateway = 203.0.113.1 local = \"%s\" remote = vpn.example.net\n"
             "psk = secret-one-of-sixteen protect = 10.0.0.0/8 }\n",
             identity);
    json_decref(fake_host_apply(c, text));
    fake_hosts_run((struct fake_host *[]){c, g}, 2);
    assert_true(fake_host_up(c, "office"));
    assert_int_equal(fake_host_clients(g), 1);
    for (size_t i = 0; i < FAKE_TUNNELS; i++)
        if (g->tunnel[i].set.id != 0) {
            assert_int_equal(found, 0);
            found = g->tunnel[i].set.owner;
        }
    fake_host_free(c);
    uint32_t t = dt_endpoint_tunnel_next(g->d.ep, 0);
    dt_endpoint_down(g->d.ep, daemon_now(), t);
    fake_hosts_run(&g, 1);
    return found;
}

static void an_identity_is_one_owner(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } pairs[] = {
        {"site.example.net", "Site.Example.NET", true}, /* names are equal without regard to case */
        {"anna@example.net", "Anna@Example.net", true},
        {"keyid:Site", "keyid:sITE", false}, /* octets are not */
        {"keyid:site.example.net", "site.example.net", false},
        {"site.example.net", "cite.example.net", false},
        {"id9:3000", "id9:3020", false},
        {"id9:41", "id9:61", false},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(pairs); i++) {
        struct fake_host *g = fake_host_new(GATEWAY_AT);
        json_decref(fake_host_apply(g, gateway_conf));
        uint64_t one = owner(g, pairs[i].one, 0), other = owner(g, pairs[i].other, 1);
        assert_int_not_equal(one, 0);
        assert_int_not_equal(other, 0);
        if ((one == other) != pairs[i].same)
            fail_msg("%s and %s are %s", pairs[i].one, pairs[i].other,
                     pairs[i].same ? "two owners" : "one owner");
        fake_host_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_is_one_owner),
    };
    return TEST_RUN(tests);
}
