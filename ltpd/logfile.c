/*
 * The log: one writer, reopened on request.
 */
#include "logfile.h"

#include <sys/stat.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* The sink of a process is one by nature. */
static char logfile_path[PATH_MAX];
static int logfile_fd = -1;
static bool logfile_syslog;
static bool logfile_json;
static bool logfile_echoes;

/* Lines that could not be written: all of them, and since the last good one. */
static uint64_t logfile_lost;
static uint64_t logfile_missing;
static int logfile_error; /* why the first of those was not */
static bool logfile_torn; /* the file ends in the middle of a line */

static void
logfile_sink(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	logfile_write(level, "ltpd", text);
}

static int
logfile_open_path(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void
logfile_replace(int fd)
{
	if (logfile_fd != -1 && logfile_fd != STDERR_FILENO)
		close(logfile_fd);
	logfile_fd = fd;
	logfile_torn = false;
}

int
logfile_open(const char *path, bool to_stderr)
{
	int fd = -1;

	if (to_stderr) {
		fd = STDERR_FILENO;
		logfile_path[0] = '\0';
	} else if (path != NULL) {
		if (strlcpy(logfile_path, path, sizeof(logfile_path)) >=
		    sizeof(logfile_path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if ((fd = logfile_open_path(path)) == -1)
			return -1;
	} else {
		openlog("ltpd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		logfile_path[0] = '\0';
	}
	/* A limit of the file's size is a full disk, no reason to die. */
	signal(SIGXFSZ, SIG_IGN);
	logfile_replace(fd);
	logfile_syslog = fd == -1;
	log_set_sink(logfile_sink, NULL);
	return 0;
}

int
logfile_reopen(void)
{
	int fd;

	if (logfile_path[0] == '\0')
		return 0;
	if ((fd = logfile_open_path(logfile_path)) == -1)
		return -1;
	logfile_replace(fd);
	return 0;
}

static int
logfile_priority(enum log_level level)
{
	switch (level) {
	case LEVEL_ERROR:
		return LOG_ERR;
	case LEVEL_WARN:
		return LOG_WARNING;
	case LEVEL_INFO:
		return LOG_INFO;
	default:
		return LOG_DEBUG;
	}
}

/* RFC 3339, UTC, milliseconds.  The second is printed once. */
static void
logfile_time(char *buf, size_t size)
{
	static char second[sizeof("-0001-01-01T00:00:00")];
	static time_t printed;
	struct timeval tv;
	struct tm tm;
	char fraction[] = ".000Z";
	int ms;

	gettimeofday(&tv, NULL);
	if (second[0] == '\0' || tv.tv_sec != printed) {
		gmtime_r(&tv.tv_sec, &tm);
		strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &tm);
		printed = tv.tv_sec;
	}
	ms = (int)tv.tv_usec / 1000;
	fraction[1] = (char)('0' + ms / 100);
	fraction[2] = (char)('0' + ms / 10 % 10);
	fraction[3] = (char)('0' + ms % 10);
	strlcpy(buf, second, size);
	strlcat(buf, fraction, size);
}

void
logfile_set_json(bool json)
{
	logfile_json = json;
}

void
logfile_echo(bool echo)
{
	logfile_echoes = echo;
}

/* ---- lines ---- */

/* The first "key=" of a line, or its end: there the message stops. */
static const char *
logfile_pairs(const char *text)
{
	const char *word = text, *p;

	for (;;) {
		p = word + strspn(word, "abcdefghijklmnopqrstuvwxyz_");
		if (p > word && *p == '=')
			return word;
		if ((p = strchr(word, ' ')) == NULL)
			return word + strlen(word);
		word = p + 1;
	}
}

/* Keys whose values are numbers in JSON; all others are strings. */
static bool
logfile_is_number(const char *key)
{
	static const char *const numbers[] = { "bytes_in", "bytes_out", "code",
		"connections", "duration_ms", "generation", "keys",
		"lines_dropped", "messages_in", "messages_out", "pid", "status",
		"workers" };
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(key, numbers[i]) == 0)
			return true;
	}
	return false;
}

static void
logfile_add_pair(json_t *line, const char *key, const char *value, size_t len)
{
	char number[32];

	/* Who said it, and when, is not for a child's text to say. */
	if (json_object_get(line, key) != NULL)
		return;
	if (logfile_is_number(key) && len < sizeof(number)) {
		snprintf(number, sizeof(number), "%.*s", (int)len, value);
		json_object_set_new(
		    line, key, json_integer(strtoll(number, NULL, 10)));
	} else {
		json_object_set_new(line, key, json_stringn(value, len));
	}
}

/* key=value or key="value with spaces", as client_log() writes them. */
static void
logfile_add_pairs(json_t *line, const char *p)
{
	const char *equals, *end;
	char key[64];

	while ((equals = strchr(p, '=')) != NULL) {
		snprintf(key, sizeof(key), "%.*s", (int)(equals - p), p);
		p = equals + 1;
		if (*p == '"') {
			p++;
			end = strchr(p, '"');
		} else {
			end = strchr(p, ' ');
		}
		if (end == NULL)
			end = p + strlen(p);
		logfile_add_pair(line, key, p, end - p);
		p = end + strspn(end, "\" ");
	}
}

/* The line as JSON, without its end; its length, 0 when there is none. */
static size_t
logfile_print_json(char *out, size_t size, const char *when,
    enum log_level level, const char *process, const char *text)
{
	const char *pairs = logfile_pairs(text);
	size_t n, len = pairs - text;
	json_t *line;

	while (len > 0 && text[len - 1] == ' ')
		len--;
	line = json_pack("{s:s, s:s, s:s}", "time", when, "level",
	    log_level_name(level), "process", process);
	if (line == NULL)
		return 0;
	json_object_set_new(line, "message", json_stringn(text, len));
	logfile_add_pairs(line, pairs);
	n = json_dumpb(line, out, size, JSON_COMPACT);
	json_decref(line);
	return n <= size ? n : 0;
}

static size_t
logfile_print(char *out, size_t size, const char *when, enum log_level level,
    const char *process, const char *text)
{
	const char *const parts[] = { when, log_level_name(level), process,
		text };
	size_t i, n = 0;

	if (logfile_json)
		return logfile_print_json(
		    out, size, when, level, process, text);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (i > 0 && n < size)
			out[n++] = ' ';
		n += strlcpy(out + n, parts[i], size - n);
		if (n >= size)
			return 0;
	}
	return n;
}

/* A child's text is not trusted to be one line of plain characters. */
static void
logfile_clean(char *dst, size_t size, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i] != '\0'; i++) {
		dst[i] = text[i];
		if (dst[i] < 0x20 || dst[i] > 0x7e)
			dst[i] = '?';
	}
	dst[i] = '\0';
}

/* ---- writing ---- */

uint64_t
logfile_dropped(void)
{
	return logfile_lost;
}

/* A line with its end.  0, or -1 with errno when it is not there, or torn. */
static int
logfile_put(const char *line, size_t len)
{
	ssize_t n;

	if (logfile_torn && write(logfile_fd, "\n", 1) != 1)
		return -1;
	logfile_torn = false;
	do {
		n = write(logfile_fd, line, len);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	if ((size_t)n == len)
		return 0;
	logfile_torn = n > 0;
	errno = ENOSPC;
	return -1;
}

/* There is a gap: say so where it is, before anything else is written. */
static int
logfile_tell_gap(const char *when)
{
	char text[128], line[3 * sizeof(text)];
	size_t n;

	snprintf(text, sizeof(text),
	    "log_file: could not be written lines_dropped=%llu reason=\"%s\"",
	    (unsigned long long)logfile_missing, strerror(logfile_error));
	n = logfile_print(
	    line, sizeof(line) - 1, when, LEVEL_WARN, "ltpd", text);
	if (n == 0) {
		errno = ENOMEM;
		return -1;
	}
	line[n++] = '\n';
	if (logfile_put(line, n) == -1)
		return -1;
	logfile_missing = 0;
	return 0;
}

static void
logfile_lose(int error)
{
	if (logfile_missing++ == 0)
		logfile_error = error;
	logfile_lost++;
}

/* A log that cannot be written must not stop the node. */
static void
logfile_append(const char *when, const char *line, size_t len)
{
	if ((logfile_missing > 0 && logfile_tell_gap(when) == -1) ||
	    logfile_put(line, len) == -1)
		logfile_lose(errno);
}

void
logfile_write(enum log_level level, const char *process, const char *text)
{
	/* JSON may put a backslash before each character, and has names. */
	char clean[LOG_LINE_MAX], when[64], line[3 * LOG_LINE_MAX];
	size_t n, skip;

	logfile_clean(clean, sizeof(clean), text);
	if (logfile_echoes && level == LEVEL_ERROR)
		fprintf(stderr, "%s: %s\n", process, clean);
	logfile_time(when, sizeof(when));
	n = logfile_print(line, sizeof(line) - 1, when, level, process, clean);
	if (n == 0) {
		logfile_lose(ENOMEM);
		return;
	}
	if (logfile_syslog) {
		/* syslog has a clock of its own. */
		skip = logfile_json ? 0 : strlen(when) + 1;
		line[n] = '\0';
		syslog(logfile_priority(level), "%s", line + skip);
		return;
	}
	line[n++] = '\n';
	logfile_append(when, line, n);
}
