#include "support/test.h"

#include "base/rand.h"
#include "base/utf8.h"

static void what_is_utf8(void **state)
{
    static const char *const good[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\x8e"};
    static const char *const bad[] = {"\xe4",
                                      "\xc3",
                                      "\xc0\x80",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\x80",
                                      "a\xff"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(dt_utf8_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(dt_utf8_ok(bad[i]));
}

static uint32_t below(struct dt_prng *p, uint32_t n)
{
    return (uint32_t)(dt_prng_u64(p) % n);
}

static size_t put_char(char *out, uint32_t c)
{
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[n] | c);
    return n;
}

/* A random text of `chars` characters, of every length; starts[i] is where the i-th begins. */
static size_t random_text(struct dt_prng *p, char *out, size_t chars, size_t *starts)
{
    static const uint32_t upto[] = {0x7f, 0x7ff, 0xffff, 0x10ffff};
    size_t n = 0;
    for (size_t i = 0; i < chars; i++) {
        uint32_t c = 1 + below(p, upto[below(p, 4)]);
        starts[i] = n;
        n += put_char(out + n, c >= 0xd800 && c <= 0xdfff ? 0xe4 : c);
    }
    starts[chars] = n;
    out[n] = '\0';
    return n;
}

#define CHARS 40

/* Cut by the buffer or by a precision, what is left is the longest run of whole characters that has room. */
static void every_cut_leaves_whole_characters(void **state)
{
    struct dt_prng p;
    dt_prng_seed(&p, test_seed("every_cut_leaves_whole_characters"));
    for (int turn = 0; turn < 200; turn++) {
        char text[4 * CHARS + 1], out[4 * CHARS + 2], again[4 * CHARS + 2];
        size_t starts[CHARS + 1], len = random_text(&p, text, CHARS, starts), whole = 0;
        assert_true(dt_utf8_ok(text));
        for (size_t room = 0; room <= len; room++) {
            while (whole < CHARS && starts[whole + 1] <= room)
                whole++;
            assert_int_equal(dt_utf8_printf(out, room + 1, "%s", text), starts[whole]);
            assert_int_equal(strlen(out), starts[whole]);
            assert_memory_equal(out, text, starts[whole]);
            assert_int_equal(dt_utf8_printf(again, sizeof(again), "%.*s!", (int)room, text),
                             starts[whole] + 1);
            assert_memory_equal(again, out, starts[whole]);
            assert_string_equal(again + starts[whole], "!"); /* what stands behind the cut is there */
        }
    }
}

static void other_octets_are_left_out(void **state)
{
    struct dt_prng p;
    char text[64];
    dt_prng_seed(&p, test_seed("other_octets_are_left_out"));
    assert_null(dt_utf8_mend(NULL));
    snprintf(text, sizeof(text), "K\xf6ln/b\xc3\xbcro\xc3");
    assert_string_equal(dt_utf8_mend(text), "Kln/b\xc3\xbcro");
    for (int turn = 0; turn < 20000; turn++) {
        size_t n = below(&p, sizeof(text)), ascii = 0, kept = 0;
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)(1 + below(&p, 255));
            ascii += (uint8_t)text[i] < 0x80;
        }
        text[n] = '\0';
        assert_true(dt_utf8_ok(dt_utf8_mend(text)));
        for (size_t i = 0; text[i] != '\0'; i++)
            kept += (uint8_t)text[i] < 0x80;
        assert_int_equal(kept, ascii);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_utf8),
        cmocka_unit_test(every_cut_leaves_whole_characters),
        cmocka_unit_test(other_octets_are_left_out),
    };
    return TEST_RUN(tests);
}
