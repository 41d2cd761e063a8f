/* `dovetail discover --intersect`, as people and programs call it. */
#include "support/test.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static char *said, *complained;

static int dovetail(const char *arg, ...)
{
    char *argv[16] = {(char *)"dovetail", (char *)"discover", (char *)arg};
    int argc = 3;
    size_t n, m;
    va_list ap;
    va_start(ap, arg);
    while (argc < 16 && (argv[argc] = va_arg(ap, char *)))
        argc++;
    va_end(ap);
    free(said);
    free(complained);
    FILE *out = open_memstream(&said, &n), *err = open_memstream(&complained, &m);
    int rc = dt_cli_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
    return rc;
}

static void the_seeds_example(void **state)
{
    assert_int_equal(
        dovetail("--json", "--intersect", "10.11.0.0/255.255.0.0 0.0.0.0/0", "10.0.0.0/255.0.0.0 any", NULL),
        0);
    json_t *v = json_loads(said, 0, NULL), *r = json_object_get(v, "result"),
           *steps = json_object_get(v, "steps");
    assert_string_equal(dt_cli_str(r, "src"), "10.11.0.0");
    assert_string_equal(dt_cli_str(r, "src_mask"), "255.255.0.0");
    assert_string_equal(dt_cli_str(r, "dst_mask"), "0.0.0.0");
    assert_string_equal(dt_cli_str(r, "protocol"), "any");
    assert_string_equal(dt_cli_str(r, "text"), "10.11.0.0/16 0.0.0.0/0");
    assert_int_equal(json_array_size(steps), 5);
    json_t *source = json_array_get(steps, 1), *values = json_object_get(source, "values");
    assert_string_equal(dt_cli_str(source, "figure"), "3B");
    assert_string_equal(dt_cli_str(source, "branch"), "320 yes, 324");
    assert_string_equal(dt_cli_str(values, "A&B&D"), "10.0.0.0");
    assert_string_equal(dt_cli_str(values, "C&B&D"), "10.0.0.0");
    assert_string_equal(dt_cli_str(values, "address"), "10.11.0.0");
    json_decref(v);
}

static void no_intersection_is_null_and_1(void **state)
{
    assert_int_equal(
        dovetail("--json", "--intersect", "10.0.0.0/8 any tcp any 80", "10.0.0.0/8 any tcp any 443", NULL),
        1);
    json_t *v = json_loads(said, 0, NULL), *steps = json_object_get(v, "steps");
    assert_true(json_is_null(json_object_get(v, "result")));
    json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    assert_string_equal(dt_cli_str(last, "figure"), "3C");
    assert_string_equal(dt_cli_str(last, "branch"), "330 yes, 334 no, 338");
    assert_string_equal(dt_cli_str(json_object_get(last, "values"), "initiator"), "80");
    assert_non_null(strstr(complained, "initiator 80, responder 443"));
    json_decref(v);
}

static void several_proxies_a_side(void **state)
{
    assert_int_equal(dovetail("--json", "--intersect", "10.1.0.0/16 any tcp, 10.2.0.0/16 any udp",
                              "10.0.0.0/8 any udp any 53", NULL),
                     0);
    json_t *v = json_loads(said, 0, NULL), *r = json_object_get(v, "result");
    assert_string_equal(dt_cli_str(r, "text"), "10.2.0.0/16 0.0.0.0/0 udp any 53");
    assert_int_equal(json_integer_value(json_object_get(r, "dport")), 53);
    assert_int_equal(json_array_size(json_object_get(v, "pairs")), 2);
    json_decref(v);
    assert_int_equal(
        dovetail("--intersect", "10.1.0.0/16 any tcp, 10.2.0.0/16 any tcp", "10.2.0.0/16 any udp", NULL), 1);
    assert_non_null(strstr(said, "the pair that came furthest:"));
    assert_non_null(strstr(said, "initiator tcp, responder udp"));
}

static void the_responders_own_view(void **state)
{
    assert_int_equal(dovetail("--responder-view", "--intersect", "10.1.0.0/16 any",
                              "10.2.0.0/16 10.0.0.0/8 tcp 80 any", NULL),
                     0);
    assert_non_null(strstr(said, "intersection 10.1.0.0/16 10.2.0.0/16 tcp any 80"));
    assert_non_null(strstr(said, "step 3C"));
}

static void what_is_open_takes_the_others_version(void **state)
{
    assert_int_equal(dovetail("--intersect", "any any udp", "fd00::/8 any", NULL), 0);
    assert_non_null(strstr(said, "intersection fd00::/8 ::/0 udp"));
    assert_int_equal(dovetail("--intersect", "10.0.0.0/8 any", "fd00::/8 any", NULL), 1);
    assert_non_null(strstr(complained, "no address is of both versions"));
    assert_int_equal(dovetail("--json", "--intersect", "10.0.0.0/8 any", "fd00::/8 any", NULL), 1);
    json_t *v = json_loads(said, 0, NULL), *last = json_array_get(json_object_get(v, "steps"), 1);
    assert_true(json_is_null(json_object_get(v, "result")));
    assert_string_equal(dt_cli_str(json_object_get(last, "values"), "initiator"), "IPv4");
    assert_string_equal(dt_cli_str(json_object_get(last, "values"), "responder"), "IPv6");
    json_decref(v);
}

static void bad_use_is_2(void **state)
{
    assert_int_equal(dovetail("--intersect", "10.0.0.0/8 any", NULL), 2);
    assert_int_equal(dovetail("--intersect", "10.0.0/8 any", "any any", NULL), 2);
    assert_non_null(strstr(complained, "10.0.0' is no address"));
    assert_int_equal(dovetail("--intersect", "", "any any", NULL), 2);
    assert_int_equal(dovetail("--intersect", "10.0.0.0/8 fd00::/8", "any any", NULL), 2);
    assert_int_equal(dovetail("10.2.0.300", NULL), 2);
    assert_int_equal(dovetail("--intersekt", NULL), 2);
    assert_int_equal(dovetail("--intersect", "any any icmp 8 0", "any any", NULL), 2);
    assert_non_null(strstr(complained, "icmp has no ports"));
    /* For a program as an object, with the same sentence. */
    assert_int_equal(dovetail("--json", "--intersect", "10.0.0.0/33 any", "any any", NULL), 2);
    json_t *v = json_loads(said, 0, NULL);
    assert_non_null(strstr(dt_cli_str(v, "error"), "'33' is no mask for 10.0.0.0"));
    assert_int_equal(json_integer_value(json_object_get(v, "code")), 2);
    json_decref(v);
}

static int end(void **state)
{
    free(said);
    free(complained);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seeds_example),
        cmocka_unit_test(no_intersection_is_null_and_1),
        cmocka_unit_test(several_proxies_a_side),
        cmocka_unit_test(the_responders_own_view),
        cmocka_unit_test(what_is_open_takes_the_others_version),
        cmocka_unit_test(bad_use_is_2),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, end);
}
