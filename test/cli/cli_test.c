#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

struct run {
    char *out, *err;
    size_t nout, nerr;
    int rc;
};

static struct run run(const char *const *argv)
{
    struct run r = {0};
    char *copy[16];
    int argc = 0;
    for (; argv[argc] != NULL; argc++)
        copy[argc] = (char *)(uintptr_t)argv[argc];
    copy[argc] = NULL;
    FILE *out = open_memstream(&r.out, &r.nout), *err = open_memstream(&r.err, &r.nerr);
    r.rc = dt_cli_main(argc, copy, out, err);
    fclose(out);
    fclose(err);
    return r;
}

#define RUN(...) run((const char *const[]){"dovetail", __VA_ARGS__, NULL})

static void done(struct run *r)
{
    free(r->out);
    free(r->err);
}

static void help_is_for_strangers(void **state)
{
    struct run r = RUN("help");
    assert_int_equal(r.rc, 0);
    static const char *const names[] = {"check",   "up",     "down",    "status",   "rekey", "ping",
                                        "monitor", "reload", "explain", "discover", "nat",   "genpsk"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_non_null(strstr(r.out, names[i]));
        struct run h = RUN(names[i], "--help"), h2 = RUN("help", names[i]);
        assert_int_equal(h.rc, 0);
        assert_string_equal(h.out, h2.out);
        assert_non_null(strstr(h.out, "Usage: dovetail "));
        for (const char *p = h.out; *p; p += strcspn(p, "\n") + 1)
            if (strcspn(p, "\n") > DT_CLI_WIDTH)
                fail_msg("%s: wider than a terminal: %.*s", names[i], (int)strcspn(p, "\n"), p);
        done(&h);
        done(&h2);
    }
    assert_string_equal(r.err, "");
    done(&r);
}

static void wrong_usage_ends_with_2(void **state)
{
    static const char *const cases[][4] = {
        {"stauts"},
        {"banana"},
        {"--socket"},
        {"ping"},
        {"ping", "a", "b"},
        {"ping", "--count", "x"},
        {"ping", "--count=0", "a"},
        {"down"},
        {"down", "--all", "a"},
        {"rekey"},
        {"up", "--timeout", "soon"},
        {"up", "--colour"},
        {"check", "a", "b"},
        {"reload", "x"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *argv[6] = {"dovetail"};
        for (size_t k = 0; k < 4 && cases[i][k]; k++)
            argv[k + 1] = cases[i][k];
        struct run r = run(argv);
        if (r.rc != 2)
            fail_msg("%s: status %d", cases[i][0], r.rc);
        assert_string_not_equal(r.err, "");
        done(&r);
    }
    struct run r = RUN("stauts");
    assert_non_null(strstr(r.err, "did you mean \"status\""));
    done(&r);
    r = RUN("stauts", "--json");
    assert_non_null(strstr(r.out, "{\"error\":\"there is no subcommand"));
    assert_int_equal(r.rc, 2);
    done(&r);
    r = RUN("--json", "ping", "-c", "office");
    assert_int_equal(r.rc, 2);
    assert_non_null(strstr(r.err, "no option -c"));
    assert_non_null(strstr(r.out, "{\"error\":\"there is no option -c"));
    done(&r);
}

/* With --json whoever reads standard output finds one object there, whatever went wrong. */
static void every_error_is_one_json_object(void **state)
{
    static const char *const cases[][6] = {
        {"frob"},
        {"stauts"},
        {NULL},
        {"help", "frob"},
        {"frob", "--help"},
        {"--socket"},
        {"ping"},
        {"ping", "--count", "x", "a"},
        {"ping", "a\xff"},
        {"down"},
        {"down", "--all", "x"},
        {"rekey"},
        {"up", "--timeout", "soon"},
        {"up", "--colour"},
        {"status", "-x"},
        {"status", "--brief=1"},
        {"monitor", "--x"},
        {"reload", "x"},
        {"check", "a", "b"},
        {"check", "/nonexistent.conf"},
        {"explain"},
        {"explain", "banana"},
        {"discover"},
        {"discover", "banana"},
        {"discover", "--intersect", "x"},
        {"nat"},
        {"nat", "banana"},
        {"nat", "replay"},
        {"nat", "replay", "--inside", "/nonexistent", "--outside", "/nonexistent"},
        {"nat", "replay", "--set"},
        {"--socket=/nonexistent/sock", "status"},
        {"--socket=/nonexistent/sock", "monitor"},
        {"--socket=/nonexistent/sock", "ping", "x"},
        {"--socket=/nonexistent/sock", "nat", "list"},
        {"--socket=/nonexistent/sock", "discover", "10.0.0.1"},
        {"--socket=/nonexistent/sock", "frob\xff"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *argv[9] = {"dovetail", "--json"};
        char name[128] = "";
        for (size_t k = 0; k < 6 && cases[i][k]; k++) {
            argv[k + 2] = cases[i][k];
            snprintf(name + strlen(name), sizeof(name) - strlen(name), " %s", cases[i][k]);
        }
        struct run r = run(argv);
        json_error_t why;
        json_t *v = json_loads(r.out, 0, &why);
        if (v == NULL)
            fail_msg("%s: standard output is \"%s\": %s", name, r.out, why.text);
        if (!json_is_string(json_object_get(v, "error")) ||
            json_integer_value(json_object_get(v, "code")) != r.rc || r.rc == 0)
            fail_msg("%s: status %d, and %s", name, r.rc, r.out);
        assert_string_not_equal(r.err, "");
        json_decref(v);
        done(&r);
    }
}

static void no_daemon_is_1(void **state)
{
    struct run r = RUN("--socket", "/nonexistent/sock", "status");
    assert_int_equal(r.rc, 1);
    assert_non_null(strstr(r.err, "/nonexistent/sock"));
    assert_string_equal(r.out, "");
    done(&r);
    r = RUN("status", "--json", "--socket=/nonexistent/sock");
    assert_int_equal(r.rc, 1);
    json_t *v = json_loads(r.out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(v, "code")), 1);
    assert_non_null(json_object_get(v, "error"));
    json_decref(v);
    done(&r);
}

static void check_prints_file_and_line(void **state)
{
    char path[] = "/tmp/dovetail-check-XXXXXX", want[64];
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fputs("tunnel \"t\" {\n  gatewy = \"203.0.113.1\"\n}\n", f);
    fclose(f);
    struct run r = RUN("check", path);
    assert_int_equal(r.rc, 2);
    snprintf(want, sizeof(want), "%s:2: ", path);
    assert_non_null(strstr(r.err, want));
    assert_non_null(strstr(r.err, "did you mean \"gateway\""));
    done(&r);
    f = fopen(path, "w");
    fputs("tunnel \"t\" { gateway = 203.0.113.1 local = a remote = b psk = c protect = 10.0.0.0/8 }\n", f);
    fclose(f);
    r = RUN("--json", "check", path);
    assert_int_equal(r.rc, 0);
    json_t *v = json_loads(r.out, 0, NULL);
    assert_true(json_is_true(json_object_get(v, "ok")));
    const json_t *t = json_array_get(json_object_get(v, "tunnels"), 0);
    assert_true(json_array_size(json_object_get(t, "inequalities")) >= 3);
    assert_true(json_number_value(json_object_get(t, "detect_s")) > 0);
    json_decref(v);
    done(&r);
    r = RUN("check", path);
    assert_int_equal(r.rc, 0);
    assert_non_null(strstr(r.out, "maxidle"));
    assert_null(strstr(r.out, "FAILS")); /* the defaults obey the inequalities */
    done(&r);
    f = fopen(path, "w");
    fputs("gateway \"g\" { identity = b psk = c protect = 10.0.0.0/8 pool = 10.9.0.0/24 server_rekey = yes\n"
          "  keylife = 1h rekeymargin = 10min }\n",
          f);
    fclose(f);
    r = RUN("check", path);
    assert_int_equal(r.rc, 0);
    assert_non_null(strstr(r.out, "gateway \"g\""));
    assert_non_null(strstr(r.out, "when a client has not within 3300.0 s"));
    done(&r);
    remove(path);
    r = RUN("check", path);
    assert_int_equal(r.rc, 2);
    done(&r);
}

static void tables_are_aligned(void **state)
{
    static const char *const titles[] = {"NAME", ">N", "LAST"};
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    struct dt_cli_table *t = dt_cli_table_new(titles, 3);
    dt_cli_table_cell(t, "a");
    dt_cli_table_cell(t, "1");
    dt_cli_table_cell(t, "x");
    dt_cli_table_note(t, "a note");
    dt_cli_table_cell(t, "m\xc3\xbcller");
    dt_cli_table_cell(t, "1000");
    dt_cli_table_cell(t, "%s", "");
    dt_cli_table_print(t, f);
    fclose(f);
    assert_string_equal(text, "NAME       N  LAST\na          1  x\n  a note\nm\xc3\xbcller  1000  -\n");
    free(text);
}

static void notes_are_wrapped(void **state)
{
    static const char *const titles[] = {"A"};
    char *text, word[] = "wordword ", long_note[400] = "";
    size_t n;
    for (int i = 0; i < 40; i++)
        strcat(long_note, word);
    FILE *f = open_memstream(&text, &n);
    struct dt_cli_table *t = dt_cli_table_new(titles, 1);
    dt_cli_table_cell(t, "a");
    dt_cli_table_note(t, "%s", long_note);
    dt_cli_table_print(t, f);
    fclose(f);
    for (char *p = strtok(text, "\n"); p != NULL; p = strtok(NULL, "\n"))
        assert_true(strlen(p) <= DT_CLI_WIDTH);
    free(text);
    /* A word that is longer than a line: proposals. Broken within, and nothing of it is lost. */
    char list[300] = "we offered ", flat[300] = "";
    while (strlen(list) < 250)
        strcat(list, "aes128gcm16/aes256gcm16-prfsha256-");
    f = open_memstream(&text, &n);
    dt_cli_wrap(f, 2, list);
    fclose(f);
    assert_true(strchr(text, '\n') - text > 60); /* it begins on the first line */
    for (char *p = strtok(text, "\n"); p != NULL; p = strtok(NULL, "\n")) {
        assert_true(strlen(p) <= DT_CLI_WIDTH);
        p += strspn(p, " ");
        strcat(flat, p);
    }
    assert_string_equal(flat, list);
    free(text);
}

/* 32 octets as base64, as `psk` takes it; a file is new, and its owner's alone. */
static void a_secret_is_made(void **state)
{
    struct run a = RUN("genpsk"), b = RUN("genpsk");
    assert_int_equal(a.rc, 0);
    assert_int_equal(strlen(a.out), 45);
    assert_int_equal(strspn(a.out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), 43);
    assert_string_equal(a.out + 43, "=\n");
    assert_string_equal(a.err, "");
    assert_string_not_equal(a.out, b.out);
    done(&a);
    done(&b);

    char dir[] = "/tmp/genpsk.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/anna", dir);
    mode_t before = umask(0);
    a = RUN("genpsk", "--out", path);
    umask(before);
    assert_int_equal(a.rc, 0);
    assert_string_equal(a.out, "");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 45);
    done(&a);
    char first[46] = "", again[46] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(fgets(first, sizeof(first), f));
    fclose(f);
    a = RUN("genpsk", "--out", path); /* somebody's secret stays */
    assert_int_equal(a.rc, 1);
    assert_non_null(strstr(a.err, "is there already"));
    f = fopen(path, "r");
    assert_non_null(fgets(again, sizeof(again), f));
    fclose(f);
    assert_string_equal(first, again);
    done(&a);
    unlink(path);
    rmdir(dir);
    a = RUN("genpsk", "--out", path);
    assert_int_equal(a.rc, 1);
    assert_non_null(strstr(a.err, "cannot be written"));
    done(&a);
}

static void quantities(void **state)
{
    char b[32];
    assert_string_equal(dt_cli_bytes(b, 0), "0 B");
    assert_string_equal(dt_cli_bytes(b, 999), "999 B");
    assert_string_equal(dt_cli_bytes(b, 1234), "1.2 kB");
    assert_string_equal(dt_cli_bytes(b, 123456789), "123 MB");
    assert_string_equal(dt_cli_span(b, 0.0123), "12 ms");
    assert_string_equal(dt_cli_span(b, 45), "45 s");
    assert_string_equal(dt_cli_span(b, 600), "10 min");
    assert_string_equal(dt_cli_span(b, 90000), "25 h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_is_for_strangers),
        cmocka_unit_test(wrong_usage_ends_with_2),
        cmocka_unit_test(no_daemon_is_1),
        cmocka_unit_test(every_error_is_one_json_object),
        cmocka_unit_test(check_prints_file_and_line),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(notes_are_wrapped),
        cmocka_unit_test(a_secret_is_made),
        cmocka_unit_test(quantities),
    };
    return TEST_RUN(tests);
}
