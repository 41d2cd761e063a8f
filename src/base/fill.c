#include "base/fill.h"

#include <stdbool.h>
#include <string.h>

#define DEEP 8 /* what begins further in belongs to a second column */

/* Where a line that begins with blanks has its second column; 0 where it has none. */
static size_t second_column(const char *line, size_t len)
{
    size_t at = strspn(line, " ");
    if (at == 0)
        return 0;
    for (size_t i = at; i + 2 < len; i++)
        if (line[i] == ' ' && line[i + 1] == ' ')
            return i + strspn(line + i, " ");
    return at;
}

/* Puts the words of a line out, from column *at on. */
static void put_words(FILE *out, const char *p, size_t len, size_t hang, size_t *at)
{
    const char *end = p + len;
    while (p < end) {
        size_t word = 0;
        while (p + word < end && p[word] != ' ')
            word++;
        if (*at > hang && *at + 1 + word > DT_FILL_WIDTH) {
            fprintf(out, "\n%*s", (int)hang, "");
            *at = hang;
        }
        *at += (size_t)fprintf(out, "%s%.*s", *at > hang ? " " : "", (int)word, p);
        p += word;
        while (p < end && *p == ' ')
            p++;
    }
}

void dt_fill(FILE *out, const char *text)
{
    size_t at = 0, hang = 0;
    bool two = false; /* the line has a second column, or is of one */
    while (*text != '\0') {
        size_t len = strcspn(text, "\n"), blanks = strspn(text, " "), column = second_column(text, len);
        bool goes_on = at > 0 && len > 0 && blanks == hang && (blanks == 0 || (two && column == blanks));
        if (at > 0 && !goes_on)
            fputc('\n', out);
        if (len == 0) {
            fputc('\n', out);
            at = 0;
        } else if (goes_on) {
            put_words(out, text + blanks, len - blanks, hang, &at);
        } else {
            hang = column;
            two = column > blanks || blanks > DEEP;
            column = two || blanks == 0 ? column : len; /* one column: unbroken */
            at = (size_t)fprintf(out, "%.*s", (int)column, text);
            put_words(out, text + column, len - column, hang, &at);
        }
        text += len + (text[len] == '\n');
    }
    if (at > 0)
        fputc('\n', out);
}
