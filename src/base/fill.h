/* Help for people, filled to the width of a terminal. */
#ifndef DT_BASE_FILL_H
#define DT_BASE_FILL_H

#include <stdio.h>

#define DT_FILL_WIDTH 80

/* Paragraphs (lines that begin at the margin) are joined and broken anew. A line that begins with a blank stands for itself,
 * unbroken when it has one column (a command to be copied). Where it has two (what follows the first two blanks inside it)
 * and is too long it goes on below the second, and lines that begin there already are joined to it. Words are never broken. */
void dt_fill(FILE *out, const char *text);

#endif
