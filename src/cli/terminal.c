/* What is known of the terminal that people read from. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

#define WIDTH_LEAST 40
#define WIDTH_MOST  160 /* longer lines are hard to read */

bool dt_cli_is_terminal(FILE *out)
{
    int fd = fileno(out);
    return fd >= 0 && isatty(fd);
}

size_t dt_cli_width(FILE *out)
{
    struct winsize w;
    if (!dt_cli_is_terminal(out) || ioctl(fileno(out), TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return DT_CLI_WIDTH;
    return w.ws_col < WIDTH_LEAST ? WIDTH_LEAST : w.ws_col > WIDTH_MOST ? WIDTH_MOST : w.ws_col;
}

bool dt_cli_colours(FILE *out)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return dt_cli_is_terminal(out) && (no == NULL || *no == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

void dt_cli_clear(FILE *out)
{
    if (dt_cli_is_terminal(out))
        fputs("\033[H\033[2J", out);
    else
        fputc('\n', out);
}
