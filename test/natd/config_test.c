#include "support/test.h"

#include <unistd.h>

#include "natd/natd.h"

static int read_text(struct natd_config *c, const char *text, struct dt_err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/dt-natd-config-%d", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    natd_config_defaults(c);
    int rc = natd_config_read(c, path, err);
    unlink(path);
    return rc;
}

static void settings(void **state)
{
    struct natd_config c;
    struct dt_err err = {0};
    assert_int_equal(
        read_text(&c,
                  "inside = lan0 # the clients\noutside = \"wan0\"\nt_out = 2.5\nn_out=7\nrequire_ike = yes\n"
                  "clients = {\"10.0.0.0/8\", \"192.168.7.9/24\"}\naddresses = {198.51.100.2}\n"
                  "metrics = \"127.0.0.1:9471\"\nmax_esp = 1000\n",
                  &err),
        0);
    assert_string_equal(c.inside, "lan0");
    assert_string_equal(c.outside, "wan0");
    assert_int_equal(c.masq.params.t_out, 2500 * DT_MSEC);
    assert_int_equal(c.masq.params.t_ike_out, 2500 * DT_MSEC);
    assert_int_equal(c.masq.params.n_out, 7);
    assert_int_equal(c.masq.params.require_ike, 1);
    assert_int_equal(c.masq.params.n_nets, 2);
    assert_int_equal(c.masq.params.nets[1].addr, 0xc0a80700);
    assert_int_equal(c.masq.params.nets[1].mask, 0xffffff00);
    assert_int_equal(c.masq.params.outside[0], 0xc6336402);
    assert_int_equal(c.masq.sizes.esp, 1000);
    assert_int_equal(c.metrics.port, 9471);
}

/* What is wrong is told with file and line. */
static void complaints(void **state)
{
    static const char *const bad[] = {"inside = lan\nt_out = soon\n",
                                      "inside = lan\nnonsense = 1\n",
                                      "inside = lan\nclients = {\"fd00::/8\"}\n",
                                      "inside = lan\nmetrics = 9471\n",
                                      "inside = lan\nmulticast_cap = 129\n",
                                      "inside = lan\nrequire_ike = perhaps\n",
                                      "inside = lan\noutside = {\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct natd_config c;
        struct dt_err err = {0};
        assert_int_equal(read_text(&c, bad[i], &err), -1);
        if (!strstr(err.text, ":2: ") && !strstr(err.text, ":3: "))
            fail_msg("\"%s\" gives \"%s\"", bad[i], err.text);
    }
    struct natd_config c;
    struct dt_err err = {0};
    natd_config_defaults(&c);
    assert_int_equal(natd_config_read(&c, "/nowhere/natd.conf", &err), -1);
    assert_non_null(strstr(err.text, "/nowhere/natd.conf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(settings), cmocka_unit_test(complaints)};
    return TEST_RUN(tests);
}
