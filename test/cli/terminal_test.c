/* What a terminal changes: the width of lines, tables that do not fit, colours. */
#include "support/test.h"

#include <pty.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* What is written to a terminal of so many columns; whoever reads it gets "\r\n" for "\n". */
struct terminal {
    int master;
    FILE *out;
    char seen[4096];
};

static void terminal_open(struct terminal *t, unsigned short columns)
{
    struct winsize w = {.ws_row = 24, .ws_col = columns};
    int slave;
    assert_int_equal(openpty(&t->master, &slave, NULL, NULL, &w), 0);
    t->out = fdopen(slave, "w");
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
}

static const char *terminal_close(struct terminal *t)
{
    size_t n = 0;
    ssize_t got;
    fclose(t->out); /* then there is an end to read to */
    while ((got = read(t->master, t->seen + n, sizeof(t->seen) - 1 - n)) > 0)
        n += (size_t)got;
    t->seen[n] = '\0';
    close(t->master);
    return t->seen;
}

static struct dt_cli_table *sample(void)
{
    static const char *const titles[] = {"TUNNEL", "STATE", ">SENT", "ENCAP"};
    struct dt_cli_table *t = dt_cli_table_new(titles, 4);
    dt_cli_table_cell(t, "christopher.longbottom-smythe@engineering.example.net");
    dt_cli_table_cell(t, "up");
    dt_cli_table_mood(t, DT_CLI_GOOD);
    dt_cli_table_cell(t, "12 kB");
    dt_cli_table_cell(t, "%s", "");
    return t;
}

static void a_table_that_fits_is_a_table(void **state)
{
    struct terminal t;
    terminal_open(&t, 100);
    dt_cli_table_print(sample(), t.out);
    assert_string_equal(
        terminal_close(&t),
        "TUNNEL                                                 STATE   SENT  ENCAP\r\n"
        "christopher.longbottom-smythe@engineering.example.net  \033[32mup\033[0m     12 kB  -\r\n");
}

static void one_that_does_not_is_told(void **state)
{
    struct terminal t;
    terminal_open(&t, 60);
    dt_cli_table_print(sample(), t.out);
    assert_string_equal(terminal_close(&t), "christopher.longbottom-smythe@engineering.example.net\r\n"
                                            "  STATE up, SENT 12 kB\r\n");
}

static void text_follows_the_width(void **state)
{
    static const char text[] = "a word and a word and a word and a word and a word and a word";
    struct terminal t;
    terminal_open(&t, 50);
    dt_cli_wrap(t.out, 2, text);
    assert_string_equal(terminal_close(&t),
                        "  a word and a word and a word and a word and a\r\n    word and a word\r\n");
    terminal_open(&t, 10); /* unreadable: as if it had 40 */
    dt_cli_wrap(t.out, 0, "a word and a word and a word and a word");
    assert_string_equal(terminal_close(&t), "a word and a word and a word and a word\r\n");
}

static void colours_are_for_terminals_that_want_them(void **state)
{
    struct terminal t;
    char *text;
    size_t n;
    terminal_open(&t, 100);
    assert_true(dt_cli_colours(t.out));
    setenv("NO_COLOR", "1", 1);
    assert_false(dt_cli_colours(t.out));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    assert_false(dt_cli_colours(t.out));
    terminal_close(&t);
    FILE *f = open_memstream(&text, &n);
    assert_false(dt_cli_colours(f));
    assert_int_equal(dt_cli_width(f), DT_CLI_WIDTH);
    dt_cli_table_print(sample(), f);
    fclose(f);
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "TUNNEL"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_that_fits_is_a_table),
        cmocka_unit_test(one_that_does_not_is_told),
        cmocka_unit_test(text_follows_the_width),
        cmocka_unit_test(colours_are_for_terminals_that_want_them),
    };
    return TEST_RUN(tests);
}
