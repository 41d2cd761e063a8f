/* Log lines go to one sink that the program sets; engines report through their event callbacks instead. */
#ifndef DT_BASE_LOG_H
#define DT_BASE_LOG_H

enum dt_log_level { DT_LOG_ERROR, DT_LOG_WARN, DT_LOG_INFO, DT_LOG_DEBUG };

typedef void (*dt_log_sink)(void *ctx, enum dt_log_level level, const char *room, const char *line);

/* Until it is called, warnings and errors go to standard error. Call before there are threads. */
void dt_log_set(dt_log_sink sink, void *ctx, enum dt_log_level most);
/* A sink for daemons: journald's level before each line where it listens, else the time of day and the level. */
void dt_log_stderr(void *ctx, enum dt_log_level level, const char *room, const char *line);
void dt_log(enum dt_log_level level, const char *room, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
