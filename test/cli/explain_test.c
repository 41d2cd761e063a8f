#include <unistd.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "support/test.h"

static const char fig5[] =
    "rule \"receiver\" { action = transport to = 10.3.0.9 }\n"
    "rule \"vpn3\" { action = tunnel gateway = 198.51.100.3 to = 10.3.0.0/16 }\n"
    "rule \"vpn2\" { action = tunnel gateway = 198.51.100.2 to = 198.51.100.3 protocol = esp }\n"
    "rule \"vpn<1>\" { action = tunnel gateway = 198.51.100.1 to = 198.51.100.2 encap = udp }\n"
    "rule \"self\" { action = tunnel gateway = 203.0.113.7 to = 203.0.113.0/24 protocol = { udp, esp } }\n";

struct answer {
    int rc;
    char *out, *err;
};

static char path[] = "/tmp/dt-explain-XXXXXX";

static int setup(void **state)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, fig5, sizeof fig5 - 1), sizeof fig5 - 1);
    return close(fd);
}

static int teardown(void **state)
{
    return unlink(path);
}

/* `dovetail explain` with these words, in which RULES is the file. */
static struct answer ask(const char *words)
{
    char buf[512], *argv[24] = {(char *)"dovetail", (char *)"explain"};
    int argc = 2;
    snprintf(buf, sizeof buf, "%s", words);
    for (char *save, *w = strtok_r(buf, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = strcmp(w, "RULES") ? w : path;
    struct answer a = {0};
    size_t out_len, err_len;
    FILE *out = open_memstream(&a.out, &out_len), *err = open_memstream(&a.err, &err_len);
    a.rc = dt_cli_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
    return a;
}

static void done(struct answer *a)
{
    free(a->out);
    free(a->err);
}

/* No daemon answers here: the file that is read instead is named, whatever is in it. */
static void without_a_daemon(void **state)
{
    struct answer a = ask("192.0.2.1 10.3.0.9 tcp 40000 443");
    assert_non_null(strstr(a.err, "these are the rules of /etc/dovetail/dovetaild.conf"));
    done(&a);
    a = ask("--rules RULES 192.0.2.1 10.3.0.9 tcp 40000 443");
    assert_int_equal(a.rc, 0);
    assert_string_equal(a.err, "");
    done(&a);
    a = ask("--socket /nonexistent/socket 192.0.2.1 10.3.0.9"); /* that one was meant */
    assert_int_equal(a.rc, 1);
    assert_non_null(strstr(a.err, "/nonexistent/socket"));
    assert_string_equal(a.out, "");
    done(&a);
}

static void json(void **state)
{
    struct answer a = ask("--json --rules RULES 192.0.2.1 10.3.0.9 tcp 40000 443");
    json_t *v = json_loads(a.out, 0, NULL), *p;
    assert_int_equal(a.rc, 0);
    static const char *const peers[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3", "10.3.0.9"};
    static const char *const rules[] = {"vpn<1>", "vpn2", "vpn3", "receiver"};
    size_t i;
    assert_int_equal(json_array_size(json_object_get(v, "plan")), 4);
    json_array_foreach(json_object_get(v, "plan"), i, p)
    {
        assert_string_equal(dt_cli_str(p, "peer"), peers[i]);
        assert_string_equal(dt_cli_str(p, "rule"), rules[i]);
        assert_string_equal(dt_cli_str(p, "kind"), i < 3 ? "tunnel" : "transport");
    }
    assert_int_equal((int)dt_cli_num(v, "mtu"), 1290);
    assert_int_equal((int)dt_cli_num(v, "overhead"), 210);
    assert_null(json_object_get(v, "error"));
    json_decref(v);
    done(&a);

    a = ask("--json --rules RULES 192.0.2.1 203.0.113.9 udp 1 2");
    v = json_loads(a.out, 0, NULL);
    assert_int_equal(a.rc, 1);
    assert_non_null(
        strstr(dt_cli_str(v, "error"), "gateway 203.0.113.7 inside its own tunnel: rule \"self\""));
    assert_null(json_object_get(v, "mtu"));
    json_decref(v);
    done(&a);

    a = ask("--json --rules RULES 192.0.2.1 192.0.2.2");
    v = json_loads(a.out, 0, NULL);
    assert_int_equal(a.rc, 0);
    assert_int_equal(json_array_size(json_object_get(v, "plan")), 0);
    assert_int_equal((int)dt_cli_num(v, "mtu"), 1500);
    assert_int_equal((int)dt_cli_num(v, "overhead"), 0);
    json_decref(v);
    done(&a);
}

static void text(void **state)
{
    struct answer a = ask("--rules RULES 192.0.2.1 10.3.0.9 tcp 40000 443");
    assert_int_equal(a.rc, 0);
    assert_non_null(
        strstr(a.out, "4  esp 192.0.2.1 > 198.51.100.2        vpn<1>    4     tunnel to 198.51.100.1\n"));
    assert_non_null(strstr(a.out, "  IP 192.0.2.1 > 198.51.100.1 | UDP 4500 | ESP\n"
                                  "    IP 192.0.2.1 > 198.51.100.2 | ESP\n"
                                  "      IP 192.0.2.1 > 198.51.100.3 | ESP\n"
                                  "        IP 192.0.2.1 > 10.3.0.9 | ESP (transport mode)\n"
                                  "          tcp\n"));
    assert_non_null(strstr(a.out, "Overhead 210 bytes: a link of 1500 carries packets of 1290.\n"));
    done(&a);
    a = ask("--rules RULES 192.0.2.1 8.8.8.8");
    assert_int_equal(a.rc, 0);
    assert_non_null(strstr(a.out, "No rule of "));
    assert_non_null(strstr(a.out, "no protocol given"));
    done(&a);
    a = ask("--rules RULES --mtu 180 192.0.2.1 10.3.0.9");
    assert_int_equal(a.rc, 1);
    assert_non_null(strstr(a.err, "the headers of 4 layers leave "));
    done(&a);
}

static void picture(void **state)
{
    struct answer a = ask("--svg --rules RULES 192.0.2.1 10.3.0.9 tcp 40000 443");
    assert_int_equal(a.rc, 0);
    assert_int_equal(strncmp(a.out, "<svg xmlns=", 11), 0);
    assert_non_null(strstr(a.out, "rule vpn&lt;1&gt;"));
    assert_null(strstr(a.out, "vpn<1>"));
    assert_non_null(strstr(a.out, "</svg>\n"));
    done(&a);
}

static void usage(void **state)
{
    static const struct {
        const char *words, *want;
    } cases[] = {
        {"--rules RULES", "a source and a destination address are wanted"},
        {"--rules RULES 192.0.2.1 10.0.0", "10.0.0 is no address"},
        {"--rules RULES 192.0.2.1 fd00::1", "of different IP versions"},
        {"--rules RULES 192.0.2.1 192.0.2.2 tpc", "tpc is no protocol"},
        {"--rules RULES 192.0.2.1 192.0.2.2 tcp 80", "the destination port is missing"},
        {"--rules RULES 192.0.2.1 192.0.2.2 tcp 80 -1", "-1 is no port"},
        {"--rules RULES 192.0.2.1 192.0.2.2 icmp 8 0", "protocol icmp has no ports"},
        {"--rules RULES 192.0.2.1 192.0.2.2 tcp 1 2 3", "3 is one argument too many"},
        {"--rules /dev/null/no 192.0.2.1 192.0.2.2", "Not a directory"},
        {"--rules RULES --mtu 67 192.0.2.1 192.0.2.2", "--mtu 67: a number from 68"},
        {"--rules RULES --suite des 192.0.2.1 192.0.2.2", "--suite des: aes-gcm"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++) {
        struct answer a = ask(cases[i].words);
        if (a.rc != 2 || !strstr(a.err, cases[i].want))
            fail_msg("%s: %d, %s", cases[i].words, a.rc, a.err);
        done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_daemon), cmocka_unit_test(json),  cmocka_unit_test(text),
        cmocka_unit_test(picture),          cmocka_unit_test(usage),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
