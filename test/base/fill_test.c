#include "support/test.h"

#include <stdio.h>

#include "base/fill.h"

static void fills(const char *in, const char *want)
{
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    dt_fill(f, in);
    fclose(f);
    assert_string_equal(text, want);
    free(text);
}

static void paragraphs(void **state)
{
    fills("", "");
    fills("one\ntwo\n\nthree\n", "one two\n\nthree\n");
    fills("a word that ends in the eightieth column of the line stays, and the next one xx\ngoes on below\n",
          "a word that ends in the eightieth column of the line stays, and the next one xx\ngoes on below\n");
    fills("text\n  example one\n  example two\n", "text\n  example one\n  example two\n");
}

static void two_columns(void **state)
{
    fills("  --option NAME   what it does\n  --other         what that does\n",
          "  --option NAME   what it does\n  --other         what that does\n");
    fills("  --option   what it does when there is more to say of it than a line of a terminal can hold\n"
          "             and what stands below in its column\n  --version\n",
          "  --option   what it does when there is more to say of it than a line of a\n"
          "             terminal can hold and what stands below in its column\n  --version\n");
    fills("  a command that somebody will copy and paste into a terminal, however long it may be\n",
          "  a command that somebody will copy and paste into a terminal, however long it may be\n");
    char word[200];
    memset(word, 'x', sizeof(word));
    word[199] = '\0';
    fills(word, strcat(strcpy((char[256]){0}, word), "\n")); /* a word is never broken */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paragraphs), cmocka_unit_test(two_columns)};
    return TEST_RUN(tests);
}
