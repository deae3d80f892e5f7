/*
 * Log lines are "subject: what happened key=value ..", lower case, no full
 * stop.  A sink decides where they go: the supervisor writes the log file,
 * children send MSG_LOG, ltpctl and a child before READY print to stderr.
 * Whatever came from the network goes through log_vis() first.
 */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>

enum log_level {
	LEVEL_NONE = 0,
	LEVEL_ERROR,
	LEVEL_WARN,
	LEVEL_INFO,
	LEVEL_DEBUG,
	LEVEL_TRACE,
};

#define LOG_LINE_MAX 1024 /* bytes of text in a line, with its NUL */

typedef void log_sink(enum log_level, const char *text, void *arg);

/*
 * process is printed by the stderr sink and must outlive the program; until
 * log_set_sink() is called, lines go to stderr.
 */
void log_init(const char *process, enum log_level);
void log_set_sink(log_sink *, void *arg);
void log_set_level(enum log_level);
enum log_level log_get_level(void);
const char *log_level_name(enum log_level);
/* LEVEL_NONE when the name is none of error, warn, info, debug, trace. */
enum log_level log_level_parse(const char *name);

#define LOG_PRINTF(f, a) __attribute__((__format__(printf, f, a)))

void log_at(enum log_level, const char *fmt, ...) LOG_PRINTF(2, 3);
/* The _warn and fatal forms add ": " and strerror(errno); the x forms not. */
void log_warn(const char *fmt, ...) LOG_PRINTF(1, 2);
void log_warnx(const char *fmt, ...) LOG_PRINTF(1, 2);
void log_info(const char *fmt, ...) LOG_PRINTF(1, 2);
void log_debug(const char *fmt, ...) LOG_PRINTF(1, 2);
_Noreturn void fatal(const char *fmt, ...) LOG_PRINTF(1, 2);
_Noreturn void fatalx(const char *fmt, ...) LOG_PRINTF(1, 2);

/*
 * Encode len bytes of src with vis(3) into dst so that the result holds no
 * space, control character or non-ASCII byte, and a quote only behind a
 * backslash; cut at dstsize.
 * Returns dst.
 */
char *log_vis(char *dst, size_t dstsize, const void *src, size_t len);

#endif /* LOG_H */
