/* Settings in several files: what an include names, where its complaints are, and what is no include. */
#include "support/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/file.h"

#define TUNNEL(name, more)                                                                                   \
    "tunnel \"" name "\" { gateway = 203.0.113.1 local = a@example.net remote = vpn.example.net\n"           \
    "psk = \"0x00112233445566778899aabbccddeeff\" protect = 10.0.0.0/8\n" more "}\n"

static char dir[64];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int folders(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/dovetail-include-XXXXXX");
    assert_non_null(mkdtemp(dir));
    char path[128];
    snprintf(path, sizeof(path), "%s/conf.d", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/conf.d/folder.conf", dir);
    return mkdir(path, 0700);
}

static int load(struct dt_config *c, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return dt_config_load(c, path);
}

/* The first error of main.conf, with its file's name cut to the folder's inside. */
static void says(const char *want)
{
    struct dt_config c;
    char line[1024] = "nothing";
    load(&c, "main.conf");
    for (size_t i = 0; i < c.nissue; i++)
        if (!c.issue[i].warning) {
            dt_config_issue_str(line, sizeof(line), &c, &c.issue[i]);
            break;
        }
    const char *cut = strncmp(line, dir, strlen(dir)) == 0 ? line + strlen(dir) + 1 : line;
    if (strncmp(cut, want, strlen(want)) != 0)
        fail_msg("wanted \"%s\", got \"%s\"", want, cut);
    dt_config_free(&c);
}

static void files_stand_in_the_place_of_their_include(void **state)
{
    struct dt_config c;
    put("main.conf",
        "include(\"first.conf\")\n" TUNNEL("b", "") "include(\"conf.d/*.conf\")\n" TUNNEL("e", ""));
    put("first.conf", TUNNEL("a", ""));
    put("conf.d/1.conf", TUNNEL("c", ""));
    put("conf.d/2.conf", "include(\"more/d\")\n"); /* relative to conf.d */
    char path[128];
    snprintf(path, sizeof(path), "%s/conf.d/more", dir);
    mkdir(path, 0700);
    put("conf.d/more/d", TUNNEL("d", ""));
    assert_int_equal(load(&c, "main.conf"), 0);
    assert_int_equal(c.ntunnel, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(c.tunnel[i].cfg.name[0], 'a' + (int)i);
    dt_config_free(&c);
    put("main.conf", "include(\"conf.d/*.none\")\ninclude('first.conf')\n"); /* a pattern may match nothing */
    assert_int_equal(load(&c, "main.conf"), 0);
    assert_int_equal(c.ntunnel, 1);
    dt_config_free(&c);
    put("conf.d/1.conf", "");
    put("conf.d/2.conf", "");
}

static void complaints_have_the_place_in_their_file(void **state)
{
    put("main.conf", "# one\n# two\ninclude(\"a.conf\")\n");
    put("a.conf", "\n\n\n" TUNNEL("a", "encap = tcp\n"));
    says("a.conf:6: encap = \"tcp\"");
    put("main.conf", "# one\n# two\ninclude(\"a.conf\")\nbanana { }\n");
    put("a.conf", TUNNEL("a", ""));
    says("main.conf:4: there is no section \"banana\"");
    put("main.conf", "# one\n# two\ninclude(\"a.conf\")\n");
    put("a.conf", TUNNEL("a", "") TUNNEL("a", ""));
    says("a.conf:4: there is a tunnel \"a\" in line 1 already");
    put("main.conf", TUNNEL("a", "") "include(\"a.conf\")\n");
    put("a.conf", "# comment\n" TUNNEL("a", ""));
    says("a.conf:2: there is a tunnel \"a\" in /"); /* ...main.conf:1 */
    put("a.conf", "tunnel \"x\" {\n");
    says("a.conf:1: this section never ends");
    put("a.conf", "\nrule \"r\" { action = fly }\n");
    says("a.conf:2: action is fly");
    put("a.conf",
        "rule \"r\" { action = pass to = 10.0.0.0/8 }\nrule \"s\" { action = pass to = 10.1.0.0/16 }\n");
    says("a.conf:2: rule \"s\" can never match: \"r\" (line 1)");
}

static void what_cannot_be_included(void **state)
{
    put("main.conf", "\ninclude(\"nowhere.conf\")\n");
    says("main.conf:2: include: ");
    put("main.conf", "include(\"conf.d\")\n");
    says("main.conf:1: include: ");
    put("main.conf", "include(\"a.conf\")\n");
    put("a.conf", "\ninclude(\"b.conf\")\n");
    put("b.conf", "include(\"./main.conf\")\n");
    says("b.conf:1: ");
    struct dt_config c;
    assert_int_equal(load(&c, "main.conf"), -1);
    assert_non_null(strstr(c.issue[0].text, "holds itself"));
    assert_non_null(strstr(c.issue[0].text, "a.conf includes "));
    dt_config_free(&c);
    for (int i = 0; i < 10; i++) {
        char name[32], text[64];
        snprintf(name, sizeof(name), i == 0 ? "main.conf" : "deep%d.conf", i);
        snprintf(text, sizeof(text), "include(\"deep%d.conf\")\n", i + 1);
        put(name, text);
    }
    put("deep10.conf", "");
    says("deep8.conf:1: files stand in files more than 8 deep");
    put("main.conf", "frobnicate(\"x\")\n");
    says("main.conf:1: there is no `frobnicate(...)`; sections are");
    put("main.conf", "inclde(\"x\")\n");
    says("main.conf:1: there is no `inclde(...)`; did you mean include(\"FILE\")?");
    put("main.conf", "\ninclude \"x.conf\"\n");
    says("main.conf:2: `include` is followed by no (");
    put("main.conf", "include()\n");
    says("main.conf:1: this include names no file");
    put("main.conf", "tunnel \"a\" {\n include(\"x\")\n}\n");
    says("main.conf:2: `include(...)` stands in a section");
}

static void rules_of_several_files_are_one_list(void **state)
{
    struct dt_config c;
    put("main.conf", "include(\"a.conf\")\nrule \"last\" { action = pass to = 10.2.0.0/16 }\n");
    put("a.conf", "group \"g\" { members = 10.1.0.0/16 }\nrule \"first\" { action = pass to = g }\n");
    assert_int_equal(load(&c, "main.conf"), 0);
    assert_int_equal(c.rules->n, 2);
    assert_string_equal(c.rules->v[0].name, "first");
    char at[DT_SOURCE_STRLEN];
    assert_non_null(strstr(dt_rule_at(at, c.rules, &c.rules->v[0]), "a.conf:2"));
    assert_non_null(strstr(dt_rule_at(at, c.rules, &c.rules->v[1]), "main.conf:2"));
    dt_config_free(&c);
}

/* ---- the text itself ---- */

static void texts_of_other_programs_and_codes(void **state)
{
    struct dt_config c;
    put("main.conf", "\xef\xbb\xbf" TUNNEL("mark", ""));
    assert_int_equal(load(&c, "main.conf"), 0);
    dt_config_free(&c);
    put("main.conf", "\n" TUNNEL("b\xfcro", ""));
    says("main.conf:2: this name is not UTF-8");
    put("main.conf", TUNNEL("b\xc3\xbcro", "") "# \xfc in a comment is nobody's business\n");
    assert_int_equal(load(&c, "main.conf"), 0);
    dt_config_free(&c);
    put("main.conf", "tunnel \"a\" {\n local = \"b\xfcro\"\n}\n");
    says("main.conf:2: the value of local is not UTF-8");
    put("main.conf", "[Interface]\nPrivateKey = abc\n");
    says("main.conf:1: this is a wg-quick file");
    put("main.conf", "# mine\nconnections {\n office { version = 2 }\n}\n");
    says("main.conf:2: this is a swanctl.conf of strongSwan");
    put("main.conf", "config setup\n\tprotostack=netkey\n\nconn office\n\tleft=192.0.2.1\n");
    says("main.conf:1: this is an ipsec.conf");
    put("main.conf", "conn office\n\tleft=192.0.2.1\n");
    says("main.conf:1: this is an ipsec.conf");
}

static void where_a_brace_is_missing(void **state)
{
    put("main.conf", "tunnel \"a\" {\n local = x\n\ntunnel \"b\" {\n local = y\n}\n");
    says("main.conf:4: a section begins here, and the one of line 1 has not ended");
    put("main.conf", "tunnel \"a\" {\n protect = { 10.0.0.0/8,\n 10.1.0.0/16\n}\n");
    says("main.conf:1: this section never ends; it wants a } (the list of line 2 may have taken it)");
}

/* ---- files of secrets ---- */

static void secret(const char *content, size_t n, const char *key, const char *complaint)
{
    struct dt_config c;
    char path[256], text[1024];
    snprintf(path, sizeof(path), "%s/secret", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, content, n), n);
    close(fd);
    snprintf(text, sizeof(text),
             "tunnel \"t\" { gateway = 203.0.113.1 local = a remote = b protect = 10.0.0.0/8 psk = "
             "\"file:%s\" }\n",
             path);
    int rc = dt_config_parse(&c, text, strlen(text), "t.conf", 0);
    const char *said = c.nissue > 0 ? c.issue[0].text : "";
    for (size_t i = 0; i < c.nissue; i++)
        if (complaint != NULL && strstr(c.issue[i].text, complaint) != NULL)
            said = c.issue[i].text;
    if ((complaint != NULL) != (strstr(said, complaint != NULL ? complaint : "psk: ") != NULL))
        fail_msg("\"%s\"", said);
    assert_int_equal(rc, key != NULL ? 0 : -1);
    if (key != NULL) {
        assert_int_equal(c.tunnel[0].psk.len, strlen(key));
        assert_memory_equal(c.tunnel[0].psk.key, key, strlen(key));
    }
    dt_config_free(&c);
}
#define SECRET(content, key, complaint) secret(content, sizeof(content) - 1, key, complaint)

static void a_secret_is_the_first_line_of_its_file(void **state)
{
    SECRET("a secret of some length\n", "a secret of some length", NULL);
    SECRET("a secret of some length", "a secret of some length", NULL);
    SECRET("a secret of some length\r\n", "a secret of some length", NULL);
    SECRET("\xef\xbb\xbf"
           "a secret of some length\n",
           "a secret of some length", NULL);
    SECRET("a secret of some length \t\n", "a secret of some length", "the blanks at the end");
    SECRET("a secret of some length\n\n# made on Monday\n  \n", "a secret of some length", NULL);
    SECRET("a secret of some length\nand more of it\n", NULL, "has more than one line");
    SECRET("\xff\xfe"
           "a\0s\0",
           NULL, "UTF-16");
    SECRET("\n", NULL, "the secret has 0 bytes");
}

static void a_cut_secret_is_told(void **state)
{
    struct dt_config c;
    static const char text[] =
        "tunnel \"t\" { gateway = 203.0.113.1 local = a remote = b protect = 10.0.0.0/8\n"
        "psk = abc#long\n}\n";
    assert_int_equal(dt_config_parse(&c, text, sizeof(text) - 1, "t.conf", 0), 0);
    bool told = false;
    for (size_t i = 0; i < c.nissue; i++)
        told = told || strstr(c.issue[i].text, "a # ends the secret here") != NULL;
    assert_true(told);
    dt_config_free(&c);
}

static int clean_up(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_stand_in_the_place_of_their_include),
        cmocka_unit_test(complaints_have_the_place_in_their_file),
        cmocka_unit_test(what_cannot_be_included),
        cmocka_unit_test(rules_of_several_files_are_one_list),
        cmocka_unit_test(texts_of_other_programs_and_codes),
        cmocka_unit_test(where_a_brace_is_missing),
        cmocka_unit_test(a_secret_is_the_first_line_of_its_file),
        cmocka_unit_test(a_cut_secret_is_told),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, folders, clean_up);
}
