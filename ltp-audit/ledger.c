/*
 * The file: its tail is read once, from then on it is only appended to.
 */
#include "ledger.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* The last line, whole, and half a line after it. */
#define LEDGER_TAIL  (2 * CHAIN_LINE_MAX)
#define LEDGER_FIRST (64 * 1024)

/* What the first line of a file that carries the chain on says. */
#define CONTINUED_BEFORE "{"
#define CONTINUED_AFTER                                   \
	"\"identity\":null,\"type\":\"audit_continued\"," \
	"\"v\":\"0.1\"}"
#define CONTINUED_SESSION "0"

static int ledger_error(char *why, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1. */
static int
ledger_error(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, LEDGER_ERROR_MAX, fmt, ap);
	va_end(ap);
	return -1;
}

int
ledger_init(struct ledger *l)
{
	memset(l, 0, sizeof(*l));
	l->fd = -1;
	return chain_init(&l->chain);
}

/* ---- taking a file over ---- */

/* len bytes from offset on.  0, or -1 with errno. */
static int
ledger_pread(int fd, char *buf, size_t len, off_t offset)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, buf + done, len - done, offset + (off_t)done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

static bool
ledger_is_line(
    struct ledger *l, const char *text, size_t len, struct chain_line *line)
{
	char env[CHAIN_ENV_MAX];
	size_t n;

	if (!chain_parse(text, len, line))
		return false;
	n = chain_print_env(env, line);
	return memmem(line->frame, line->frame_len, env, n) != NULL &&
	       chain_check_hash(&l->chain, line) == 1;
}

/* Bytes of tail up to the end of its last whole line. */
static size_t
ledger_whole(const char *tail, size_t len)
{
	const char *newline = memrchr(tail, '\n', len);

	return newline == NULL ? 0 : (size_t)(newline + 1 - tail);
}

/* Cut half a line off the end. */
static int
ledger_cut_tail(int fd, off_t size, size_t torn, char *why)
{
	if (torn == 0)
		return 0;
	if (ftruncate(fd, size - (off_t)torn) == -1)
		return ledger_error(
		    why, "a torn last line cannot be cut: %s", strerror(errno));
	log_warnx("audit: a torn last line of %zu bytes is cut off", torn);
	return 0;
}

/*
 * Find the last line.  Returns 1 with its place in tail, 0 when there is no
 * line, -1 with a text.
 */
static int
ledger_tail(struct ledger *l, int fd, char tail[LEDGER_TAIL],
    struct chain_line *line, char *why)
{
	size_t len, whole, start;
	off_t size, from = 0;

	/* fstat(2) of glibc is a call that the sandbox refuses. */
	if ((size = lseek(fd, 0, SEEK_END)) == -1)
		return ledger_error(why, "%s", strerror(errno));
	if (size > LEDGER_TAIL)
		from = size - LEDGER_TAIL;
	len = (size_t)(size - from);
	if (ledger_pread(fd, tail, len, from) == -1)
		return ledger_error(why, "%s", strerror(errno));
	whole = ledger_whole(tail, len);
	if (len - whole >= CHAIN_LINE_MAX)
		return ledger_error(why, "is not an audit log");
	if (whole > 0) {
		start = ledger_whole(tail, whole - 1);
		if (!ledger_is_line(l, tail + start, whole - start - 1, line))
			return ledger_error(
			    why, "its last line is not one of this log");
	}
	if (ledger_cut_tail(fd, size, len - whole, why) == -1)
		return -1;
	return whole > 0;
}

static void
ledger_take(struct ledger *l, int fd)
{
	if (l->fd != -1)
		close(l->fd);
	l->fd = fd;
	l->torn = 0;
	l->writable = true;
}

int
ledger_open(struct ledger *l, int fd, char why[LEDGER_ERROR_MAX])
{
	struct chain_line line;
	char *tail;
	int rv;

	if ((tail = malloc(LEDGER_TAIL)) == NULL)
		return ledger_error(why, "%s", strerror(errno));
	rv = ledger_tail(l, fd, tail, &line, why);
	if (rv == 1)
		chain_resume(&l->chain, &line);
	free(tail);
	if (rv == -1)
		return -1;
	ledger_take(l, fd);
	return 0;
}

static int
ledger_add_continued(struct ledger *l)
{
	struct msg_audit_record r = { .direction = AUDIT_OUT,
		.session_id_len = sizeof(CONTINUED_SESSION) - 1,
		.before_len = sizeof(CONTINUED_BEFORE) - 1,
		.after_len = sizeof(CONTINUED_AFTER) - 1 };
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	r.timestamp_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	return ledger_add(
	    l, &r, CONTINUED_SESSION, CONTINUED_BEFORE, CONTINUED_AFTER);
}

int
ledger_continue(struct ledger *l, int fd, char why[LEDGER_ERROR_MAX])
{
	struct chain_line line;
	char *tail;
	int rv;

	if (ledger_write(l) == 0)
		ledger_sync(l);
	if ((tail = malloc(LEDGER_TAIL)) == NULL)
		return ledger_error(why, "%s", strerror(errno));
	rv = ledger_tail(l, fd, tail, &line, why);
	/* NOLINTBEGIN(clang-analyzer-*): 1 comes with a line, -1 without */
	if (rv == 1 &&
	    (l->len > 0 || line.i + 1 != l->chain.next ||
		memcmp(line.hash, l->chain.hash, CHAIN_HASH_LEN) != 0))
		rv = ledger_error(why, "holds lines of another chain");
	/* NOLINTEND(clang-analyzer-*) */
	free(tail);
	if (rv == -1)
		return -1;
	ledger_take(l, fd);
	if (rv == 0 && ledger_add_continued(l) == -1)
		log_warn("audit: the new file has no first line");
	return 0;
}

/* ---- writing ---- */

static int
ledger_grow(struct ledger *l, size_t need)
{
	size_t size = l->size == 0 ? LEDGER_FIRST : l->size;
	char *grown;

	while (size - l->len < need)
		size *= 2;
	if (size == l->size)
		return 0;
	if ((grown = realloc(l->buf, size)) == NULL)
		return -1;
	l->buf = grown;
	l->size = size;
	return 0;
}

int
ledger_add(struct ledger *l, const struct msg_audit_record *r,
    const char *session_id, const char *before, const char *after)
{
	size_t n;

	if (ledger_grow(l, CHAIN_LINE_MAX) == -1)
		return -1;
	n = chain_append(
	    &l->chain, l->buf + l->len, r, session_id, before, after);
	if (n == 0) {
		errno = EIO;
		return -1;
	}
	l->len += n;
	return 0;
}

/* These bytes are in the file. */
static void
ledger_written(struct ledger *l, size_t n)
{
	const char *p = l->buf, *end = l->buf + n;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		l->lines++;
		p++;
	}
	l->len -= n;
	memmove(l->buf, l->buf + n, l->len);
	l->dirty |= n > 0;
}

/*
 * Cut half a line off.  Where the file ends is asked each time: somebody may
 * have cut it, too.
 */
static int
ledger_mend(struct ledger *l)
{
	off_t size;

	if (l->torn == 0)
		return 0;
	if ((size = lseek(l->fd, 0, SEEK_END)) == -1)
		return -1;
	if (size >= (off_t)l->torn &&
	    ftruncate(l->fd, size - (off_t)l->torn) == -1)
		return -1;
	l->torn = 0;
	return 0;
}

int
ledger_write(struct ledger *l)
{
	size_t whole;
	ssize_t n;

	if (l->len == 0 && l->torn == 0)
		return 0;
	if (ledger_mend(l) == -1)
		goto fail;
	do {
		n = write(l->fd, l->buf, l->len);
	} while (n == -1 && errno == EINTR);
	if (n == (ssize_t)l->len) {
		ledger_written(l, l->len);
		l->writable = true;
		return 0;
	}
	if (n > 0) {
		whole = ledger_whole(l->buf, (size_t)n);
		l->torn = (size_t)n - whole;
		ledger_written(l, whole);
		errno = ledger_mend(l) == -1 ? errno : ENOSPC;
	}
fail:
	l->writable = false;
	l->errors++;
	return -1;
}

int
ledger_sync(struct ledger *l)
{
	if (!l->dirty)
		return 0;
	l->dirty = false;
	if (fsync(l->fd) == -1) {
		l->errors++;
		return -1;
	}
	return 0;
}
