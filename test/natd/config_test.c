#include "support/test.h"

#include <unistd.h>

#include "natd/natd.h"

/* The first complaint. */
static void note(void *ctx, const char *text)
{
    struct dt_err *err = ctx;
    if (!err->text[0])
        dt_err_set(err, 0, "%s", text);
}

static int read_text(struct natd_config *c, const char *text, struct dt_err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/dt-natd-config-%d", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    natd_config_defaults(c);
    int rc = natd_config_read(c, path, note, err);
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
                                      "inside = lan\noutside = {\n",
                                      "inside = lan\nfrobnicate(\"x\")\n",
                                      "inside = lan\ninside = wan\n",
                                      "inside = lan\ninside = { a, b }\n",
                                      "t_out = 1\nnat { t_out = 2 }\n",
                                      "inside = lan\nclients = { }\n"};
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
    assert_int_equal(natd_config_read(&c, "/nowhere/natd.conf", note, &err), -1);
    assert_non_null(strstr(err.text, "/nowhere/natd.conf"));
}

/* As good as dovetaild's: the same grammar, the nearest name, all that is wrong. */
static void count_complaints(void *ctx, const char *text)
{
    ++*(unsigned *)ctx;
}

static void names_and_limits(void **state)
{
    struct natd_config c;
    struct dt_err err = {0};
    char text[1024], hint[160];
    assert_int_equal(read_text(&c, "insid = lan0\n", &err), -1);
    assert_non_null(strstr(err.text, ":1: there is no setting \"insid\"; did you mean \"inside\"?"));
    assert_false(natd_config_known("foo", hint, sizeof(hint)));
    assert_non_null(strstr(hint, "no setting \"foo\""));
    assert_true(natd_config_known("t_out", hint, sizeof(hint)));
    /* What is too much is refused with its line, and not cut. */
    for (int most = 16; most <= 17; most++) {
        int n = snprintf(text, sizeof(text), "inside = lan\nclients = { 10.0.0.0/24");
        for (int i = 1; i < most; i++)
            n += snprintf(text + n, sizeof(text) - (size_t)n, ", 10.0.%d.0/24", i);
        snprintf(text + n, sizeof(text) - (size_t)n, " }\n");
        memset(&err, 0, sizeof(err));
        assert_int_equal(read_text(&c, text, &err), most == 16 ? 0 : -1);
        assert_int_equal(strstr(err.text, ":2: clients \"10.0.16.0/24\" has more than 16 prefixes") != NULL,
                         most == 17);
    }
    assert_int_equal(read_text(&c, "clients = 10.0.0.0/24\nclients += { 10.0.1.0/24 }\n", &err), 0);
    assert_int_equal(c.masq.params.n_nets, 2);
    unsigned n = 0;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/dt-natd-config-%d", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("insid = a\nt_out = soon\nmetrics = x\n", f);
    fclose(f);
    natd_config_defaults(&c);
    assert_int_equal(natd_config_read(&c, path, count_complaints, &n), -1);
    assert_int_equal(n, 3);
    unlink(path);
}

/* The example has every setting; with its comments taken away each is read. */
static void the_example_is_right(void **state)
{
    struct natd_config c;
    struct dt_err err = {0};
    char text[8192] = "", line[256];
    FILE *f = fopen(DT_EXAMPLES_DIR "/natd.conf", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        strcat(text, strncmp(line, "# ", 2) == 0 && strchr(line, '=') != NULL ? line + 2 : line);
    fclose(f);
    if (read_text(&c, text, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(c.masq.params.n_nets, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(settings), cmocka_unit_test(complaints),
                                       cmocka_unit_test(names_and_limits),
                                       cmocka_unit_test(the_example_is_right)};
    return TEST_RUN(tests);
}
