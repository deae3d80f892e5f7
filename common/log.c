/*
 * Log lines: levels, the sink, and encoding of what strangers sent.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vis.h>

static void log_stderr(enum log_level, const char *, void *);
static void log_va(enum log_level, const char *error, const char *fmt, va_list)
    LOG_PRINTF(3, 0);

/* The only mutable file-scope state of the node besides signal flags. */
static const char *log_process = "ltpd";
static enum log_level log_level = LEVEL_INFO;
static log_sink *log_to = log_stderr;
static void *log_arg;

static const char *const level_names[] = {
	[LEVEL_NONE] = "none",
	[LEVEL_ERROR] = "error",
	[LEVEL_WARN] = "warn",
	[LEVEL_INFO] = "info",
	[LEVEL_DEBUG] = "debug",
	[LEVEL_TRACE] = "trace",
};

#define LEVELS (sizeof(level_names) / sizeof(level_names[0]))

void
log_init(const char *process, enum log_level level)
{
	log_process = process;
	log_level = level;
}

void
log_set_sink(log_sink *sink, void *arg)
{
	log_to = sink == NULL ? log_stderr : sink;
	log_arg = arg;
}

void
log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level
log_get_level(void)
{
	return log_level;
}

const char *
log_level_name(enum log_level level)
{
	return level < LEVELS ? level_names[level] : "none";
}

enum log_level
log_level_parse(const char *name)
{
	size_t i;

	for (i = LEVEL_ERROR; i < LEVELS; i++) {
		if (strcmp(name, level_names[i]) == 0)
			return i;
	}
	return LEVEL_NONE;
}

static void
log_stderr(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s: %s\n", log_process, text);
}

static void
log_va(enum log_level level, const char *error, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX];
	int n;

	if (level > log_level)
		return;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		return;
	if (error != NULL && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - n, ": %s", error);
	log_to(level, text, log_arg);
}

void
log_at(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(level, NULL, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	const char *error = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_WARN, error, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_WARN, NULL, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_INFO, NULL, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_DEBUG, NULL, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	const char *error = strerror(errno);
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_ERROR, error, fmt, ap);
	va_end(ap);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_ERROR, NULL, fmt, ap);
	va_end(ap);
	exit(1);
}

/* Vis(3) would leave it as it is. */
static bool
log_is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\';
}

char *
log_vis(char *dst, size_t dstsize, const void *src, size_t len)
{
	const unsigned char *p = src;
	char enc[8];
	size_t i, n, used = 0;

	for (i = 0; i < len; i++) {
		/* vis(3) has an eye for the locale, which takes its time. */
		if (log_is_plain(p[i])) {
			if (used + 1 >= dstsize)
				break;
			dst[used++] = (char)p[i];
			continue;
		}
		vis(enc, p[i], VIS_CSTYLE | VIS_OCTAL | VIS_WHITE | VIS_DQ,
		    i + 1 < len ? p[i + 1] : 0);
		n = strlen(enc);
		if (used + n >= dstsize)
			break;
		memcpy(dst + used, enc, n);
		used += n;
	}
	if (dstsize > 0)
		dst[used] = '\0';
	return dst;
}
