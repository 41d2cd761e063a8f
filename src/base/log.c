#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/utf8.h"

static const char *const level_name[] = {"error", "warning", "info", "debug"};

static void to_stderr(void *ctx, enum dt_log_level level, const char *room, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s: %s: %s\n", room, level_name[level], line);
}

void dt_log_stderr(void *ctx, enum dt_log_level level, const char *room, const char *line)
{
    static const int priority[] = {3, 4, 6, 7};
    if (getenv("JOURNAL_STREAM")) {
        fprintf(stderr, "<%d>%s\n", priority[level], line);
        return;
    }
    struct timespec ts;
    struct tm tm;
    char clock[16] = "";
    clock_gettime(CLOCK_REALTIME, &ts);
    if (localtime_r(&ts.tv_sec, &tm))
        strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    fprintf(stderr, "%s.%03ld %-7s %s\n", clock, ts.tv_nsec / 1000000, level_name[level], line);
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
    dt_utf8_vprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log_sink(log_ctx, level, room, line);
}
