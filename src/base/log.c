#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static void to_stderr(void *ctx, enum dt_log_level level, const char *room, const char *line)
{
    static const char *const name[] = {"error", "warning", "info", "debug"};
    (void)ctx;
    fprintf(stderr, "%s: %s: %s\n", room, name[level], line);
}

static dt_log_sink log_sink = to_stderr;
static void *log_ctx;
static enum dt_log_level log_most = DT_LOG_WARN;

void dt_log_set(dt_log_sink sink, void *ctx, enum dt_log_level most)
{
    log_sink = sink ? sink : to_stderr;
    log_ctx = ctx;
    log_most = most;
}

void dt_log(enum dt_log_level level, const char *room, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    if (level > log_most)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log_sink(log_ctx, level, room, line);
}
