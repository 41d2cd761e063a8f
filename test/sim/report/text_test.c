#include "sim/report/text.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/test.h"

static int files_in(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_escapes(void **state)
{
    struct sim_text t = {0};
    sim_text_escape(&t, "<a & \"b\">");
    assert_string_equal(t.p, "&lt;a &amp; &quot;b&quot;&gt;");
    t.len = 0;
    sim_text_json(&t, "a\"\\\n");
    assert_string_equal(t.p, "\"a\\\"\\\\\\u000a\"");
    sim_text_free(&t);
}

/* A full disk (a device that is always full), a folder that is not there, a folder in the way: one sentence, and
 * what was there before is still there and nothing else. */
static void test_write(void **state)
{
    char folder[] = "/tmp/dovetail-text.XXXXXX", path[64], other[80];
    struct sim_text t = {0};
    struct dt_err err;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/report", folder);
    for (int i = 0; i < 10000; i++)
        sim_text_add(&t, "line %d\n", i);
    assert_int_equal(sim_text_write(&t, path, &err), 0);
    assert_int_equal(files_in(folder), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, t.len);

    assert_int_equal(sim_text_write(&t, "/dev/full", &err), -1);
    assert_non_null(strstr(err.text, "No space left"));
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(sim_text_write(&t, "/no/such/folder/report", &err), -1);
    assert_non_null(strstr(err.text, "/no/such/folder/report"));
    snprintf(other, sizeof other, "%s/folder", folder);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(sim_text_write(&t, other, &err), -1);
    assert_int_equal(files_in(folder), 2);
    rmdir(other);
    unlink(path);
    rmdir(folder);
    sim_text_free(&t);
}

static void test_spans(void **state)
{
    char out[SIM_SPAN_LEN];
    assert_string_equal(sim_span(out, 850 * DT_MSEC), "850 ms");
    assert_string_equal(sim_span(out, 12 * DT_SEC), "12.0 s");
    assert_string_equal(sim_span(out, 200 * DT_SEC), "3 min 20 s");
    assert_string_equal(sim_span(out, 7260 * DT_SEC), "2 h 1 min");
    assert_string_equal(sim_span(out, DT_NEVER), "never");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_spans),
    };
    return TEST_RUN(tests);
}
