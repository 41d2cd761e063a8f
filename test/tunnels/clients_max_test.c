/* The most clients that a gateway may have: the data path takes as many, and who is one too many is refused by name. */
#include "daemon/fake_host.h"

#include "net/dp.h"

int __real_dt_dp_tunnel_set(struct dt_dp *dp, const struct dt_dp_tunnel *t, struct dt_err *err);
void __real_dt_dp_tunnel_remove(struct dt_dp *dp, uint64_t tunnel);

/* The data path's own tables, without its device. */
static struct dt_dp *tables(void)
{
    static struct daemon d;
    struct dt_dp *dp = calloc(1, sizeof(*dp));
    assert_non_null(dp);
    rcu_register_thread();
    dp->cfg = daemon_data_path(&d);
    dt_table_init(&dp->sa_ids);
    dt_table_init(&dp->tunnel_ids);
    assert_int_equal(dp_lookup_init(dp), 0);
    return dp;
}

static void clients_in_the_data_path(struct dt_dp *dp, uint32_t n)
{
    struct dt_err err = {0};
    struct dt_dp_tunnel t = {.local = {.n = 1, .v = {dt_selector_all4()}}};
    for (uint32_t i = 1; i <= n; i++) {
        struct dt_addr lease = dt_addr4(0x0a000000 + i);
        struct dt_range one = {lease, lease};
        t.id = i;
        t.owner = i;
        t.remote = (struct dt_selectors){.n = 1, .v = {dt_selector_range(&one)}};
        if (__real_dt_dp_tunnel_set(dp, &t, &err) != 0)
            fail_msg("client %u: %s", i, err.text);
    }
}

static void the_data_path_takes_them_all(void **state)
{
    static const char text[] = "gateway g { identity = v.b psk = \"file:/x\" protect = 10.0.0.0/8 pool = "
                               "172.16.0.0/12\n%s }\n";
    char conf[256];
    struct dt_config c;
    snprintf(conf, sizeof(conf), text, "");
    assert_int_equal(dt_config_parse(&c, conf, strlen(conf), "test.conf", DT_CONFIG_NO_FILES), 0);
    uint32_t most = c.gateway[0].cfg.tunnels_max;
    assert_int_equal(most, DT_CONFIG_CLIENTS_MAX); /* also the default */
    dt_config_free(&c);
    snprintf(conf, sizeof(conf), text, "clients_max = 65537");
    assert_int_equal(dt_config_parse(&c, conf, strlen(conf), "test.conf", DT_CONFIG_NO_FILES), -1);
    dt_config_free(&c);
    struct dt_dp *dp = tables();
    clients_in_the_data_path(dp, most);
    assert_int_equal(dp->tunnel_ids.count, most);
    for (uint32_t i = 1; i <= most; i++)
        __real_dt_dp_tunnel_remove(dp, i);
    rcu_barrier();
    dp_lookup_free(dp);
    dt_table_free(&dp->tunnel_ids);
    free(dp);
    rcu_unregister_thread();
}

static void say_client(char *out, size_t cap, const char *who)
{
    snprintf(
        out, cap,
        "tunnel \"t\" { gateway = 203.0.113.1 local = %s remote = v.b psk = secret-one-of-sixteen protect = "
        "10.0.0.0/8 }\n",
        who);
}

/* Two clients come where `conf` and the data path leave room for one: the gateway says `why`, the second hears `hears`, and the first is served. */
static void one_too_many(const char *conf, size_t tunnels_max, const char *why, const char *hears)
{
    struct fake_host *g = fake_host_new(dt_addr4(0xcb007101)), *c[2];
    char text[512];
    snprintf(text, sizeof(text),
             "gateway g { identity = v.b psk = secret-one-of-sixteen pool = 10.9.0.0/16 protect = "
             "10.0.0.0/8 %s }\n",
             conf);
    json_decref(fake_host_apply(g, text));
    g->tunnels_max = tunnels_max;
    for (size_t i = 0; i < 2; i++) {
        c[i] = fake_host_new(dt_addr4(0xc6336402 + (uint32_t)i));
        say_client(text, sizeof(text), i == 0 ? "anna@b.c" : "bert@b.c");
        json_decref(fake_host_apply(c[i], text));
        fake_hosts_run((struct fake_host *[]){g, c[0], c[i]}, i == 0 ? 2 : 3);
    }
    assert_true(fake_host_up(c[0], "t"));
    assert_false(fake_host_up(c[1], "t"));
    size_t carried = 0;
    for (size_t i = 0; i < FAKE_TUNNELS; i++)
        carried += g->tunnel[i].set.id != 0;
    assert_int_equal(carried, 1);
    struct dt_tunnel_info info = {0};
    assert_true(dt_endpoint_tunnel_info(c[1]->d.ep, tun_by_name(&c[1]->d, "t")->id, &info));
    if (strstr(info.why, hears) == NULL)
        fail_msg("the client hears \"%s\"", info.why);
    json_t *refused = refusals_json(&g->d);
    const char *said = json_string_value(json_object_get(json_array_get(refused, 0), "why"));
    if (said == NULL || strstr(said, why) == NULL)
        fail_msg("wanted \"%s\", it said \"%s\"", why, said != NULL ? said : "nothing");
    json_decref(refused);
    fake_host_free(c[0]);
    fake_host_free(c[1]);
    fake_host_free(g);
}

static void one_too_many_is_refused_by_name(void **state)
{
    one_too_many("clients_max = 1", 0, "clients_max is reached: 1 clients of 1",
                 "as many clients as its clients_max allows");
    one_too_many("", 1, "the data path is full: no more than 1 tunnels", "NO_ADDITIONAL_SAS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_data_path_takes_them_all),
        cmocka_unit_test(one_too_many_is_refused_by_name),
    };
    return TEST_RUN(tests);
}
