/*
 * The log: one writer, reopened on request.
 */
#include "logfile.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* The sink of a process is one by nature. */
static char logfile_path[PATH_MAX];
static int logfile_fd = -1;
static bool logfile_syslog;

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

void
logfile_close(void)
{
	log_set_sink(NULL, NULL);
	if (logfile_syslog)
		closelog();
	logfile_replace(-1);
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

/* RFC 3339, UTC, milliseconds. */
static int
logfile_time(char *buf, size_t size)
{
	struct timeval tv;
	struct tm tm;

	gettimeofday(&tv, NULL);
	gmtime_r(&tv.tv_sec, &tm);
	return snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(tv.tv_usec / 1000));
}

void
logfile_write(enum log_level level, const char *process, const char *text)
{
	char line[LOG_LINE_MAX + 128], *p;
	char when[64];
	int n;

	logfile_time(when, sizeof(when));
	n = snprintf(line, sizeof(line), "%s %s %s %s", when,
	    log_level_name(level), process, text);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line) - 1)
		n = sizeof(line) - 2;
	for (p = line; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	if (logfile_syslog) {
		syslog(logfile_priority(level), "%s", line + strlen(when) + 1);
		return;
	}
	line[n] = '\n';
	/* A log that cannot be written must not stop the node. */
	if (write(logfile_fd, line, n + 1) == -1)
		return;
}
