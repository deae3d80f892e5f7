/*
 * trace: verify audit logs line by line, in bounded memory.  Every line is
 * taken apart, checked, made again from its parts and compared byte for
 * byte; its index and previous hash must continue the line before, over the
 * end of a file, too.
 */
#include "trace.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canon.h"
#include "chain.h"
#include "ltpctl.h"
#include "output_json.h"

#define TRACE_BUFFER   (256 * 1024)
#define TRACE_KEYS_MAX 16
#define TRACE_KEY_FILE 4096
#define TRACE_WHY_MAX  512

_Static_assert(TRACE_BUFFER >= 2 * CHAIN_LINE_MAX, "two lines fit");

struct trace {
	struct chain chain; /* the head so far */
	struct chain key[TRACE_KEYS_MAX]; /* one public key each */
	size_t nkeys;
	const char *file;
	uint64_t line; /* in the file, from 1 */
	uint64_t lines; /* in all files */
	uint64_t first; /* index of the first line */
	uint64_t nsigned;
	uint64_t tail; /* lines since the last signature */
	char why[TRACE_WHY_MAX];
	char made[CHAIN_LINE_MAX];
	char buf[TRACE_BUFFER];
};

/* ---- public keys ---- */

static int
trace_add_key(struct trace *t, const char *hex, size_t len)
{
	uint8_t public[CHAIN_SEED_SIZE];
	struct chain *ch;

	if (t->nkeys == TRACE_KEYS_MAX ||
	    !chain_unhex(public, sizeof(public), hex, len))
		return -1;
	ch = &t->key[t->nkeys];
	if (chain_init(ch) == -1)
		return -1;
	t->nkeys++;
	return chain_set_public(ch, public);
}

/* A file with a key on each line. */
static int
trace_read_keys(struct trace *t, const char *path)
{
	char buf[TRACE_KEY_FILE], *p, *line;
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n == -1)
		return -1;
	buf[n] = '\0';
	errno = EINVAL;
	for (p = buf; (line = strsep(&p, "\r\n")) != NULL;) {
		if (*line != '\0' && trace_add_key(t, line, strlen(line)) == -1)
			return -1;
	}
	return t->nkeys > 0 ? 0 : -1;
}

static int
trace_keys(struct trace *t, struct ltpctl *ctl)
{
	const char *arg = ctl->public_key;

	if (arg == NULL || trace_add_key(t, arg, strlen(arg)) == 0 ||
	    trace_read_keys(t, arg) == 0)
		return 0;
	ltpctl_fail(ctl, "%s: %s", arg,
	    errno == EINVAL ? "no public keys of 64 hexadecimal digits"
			    : strerror(errno));
	return -1;
}

/* ---- one line ---- */

static int trace_bad(struct trace *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1. */
static int
trace_bad(struct trace *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->line == 0)
		n = snprintf(t->why, sizeof(t->why), "%s: ", t->file);
	else
		n = snprintf(t->why, sizeof(t->why), "%s:%" PRIu64 ": ",
		    t->file, t->line);
	if (n < 0 || (size_t)n >= sizeof(t->why))
		return -1;
	va_start(ap, fmt);
	vsnprintf(t->why + n, sizeof(t->why) - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

/* Where it stands in the chain. */
static int
trace_check_place(struct trace *t, const struct chain_line *l)
{
	const char *prev = t->chain.hash;

	if (t->lines == 0) {
		t->first = l->i;
		/* What was before a later line is in another file. */
		prev = l->i == 0 ? chain_genesis : l->prev_hash;
	} else if (l->i != t->chain.next) {
		return trace_bad(t, "i is %" PRIu64 ", must be %" PRIu64, l->i,
		    t->chain.next);
	}
	if (memcmp(prev, l->prev_hash, CHAIN_HASH_LEN) != 0)
		return trace_bad(
		    t, "prev_hash is not the hash of the line before");
	return 0;
}

/* What it says of itself. */
static int
trace_check_frame(struct trace *t, const struct chain_line *l)
{
	char want[CHAIN_ENV_MAX];
	size_t at, len, n;
	const char *why;

	if ((why = canon_check(l->frame, l->frame_len, &at, &len)) != NULL)
		return trace_bad(t, "frame %s", why);
	n = chain_print_env(want, l);
	if (len != n || memcmp(l->frame + at, want, n) != 0)
		return trace_bad(
		    t, "env is not what the line says around its frame");
	switch (chain_check_hash(&t->chain, l)) {
	case 1:
		return 0;
	case 0:
		return trace_bad(t, "hash is not that of the frame");
	default:
		return trace_bad(t, "the hash cannot be computed");
	}
}

static int
trace_check_signature(struct trace *t, const struct chain_line *l)
{
	size_t i;

	t->tail++;
	if (l->signature == NULL)
		return 0;
	t->nsigned++;
	t->tail = 0;
	if (t->nkeys == 0)
		return 0;
	for (i = 0; i < t->nkeys; i++) {
		if (memcmp(t->key[i].key_id, l->key_id, CHAIN_KEY_ID_LEN) == 0)
			break;
	}
	if (i == t->nkeys)
		return trace_bad(t, "signed with another key: key_id %.*s",
		    CHAIN_KEY_ID_LEN, l->key_id);
	if (chain_check_signature(&t->key[i], l) != 1)
		return trace_bad(t, "signature is not that of the key");
	return 0;
}

/* text is a line with its newline. */
static int
trace_line(struct trace *t, const char *text, size_t len)
{
	struct chain_line l;

	if (!chain_parse(text, len - 1, &l))
		return trace_bad(t, "not a line of an audit log");
	if (chain_print(t->made, &l) != len || memcmp(t->made, text, len) != 0)
		return trace_bad(t, "not byte for byte what its parts make");
	if (trace_check_place(t, &l) == -1 || trace_check_frame(t, &l) == -1 ||
	    trace_check_signature(t, &l) == -1)
		return -1;
	chain_resume(&t->chain, &l);
	t->lines++;
	return 0;
}

/* ---- files ---- */

/*
 * The whole lines of len bytes; returns how many bytes they have, -1 when
 * one is bad.
 */
static ssize_t
trace_lines(struct trace *t, size_t len)
{
	const char *p = t->buf, *end = t->buf + len, *newline;

	while ((newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		t->line++;
		if (trace_line(t, p, (size_t)(newline + 1 - p)) == -1)
			return -1;
		p = newline + 1;
	}
	return p - t->buf;
}

static int
trace_fd(struct trace *t, int fd)
{
	size_t len = 0;
	ssize_t n, used;

	t->line = 0;
	while ((n = read(fd, t->buf + len, sizeof(t->buf) - len)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return trace_bad(t, "%s", strerror(errno));
		len += (size_t)n;
		if ((used = trace_lines(t, len)) == -1)
			return -1;
		len -= (size_t)used;
		memmove(t->buf, t->buf + used, len);
		if (len >= CHAIN_LINE_MAX) {
			t->line++;
			return trace_bad(t, "not a line of an audit log");
		}
	}
	if (len > 0) {
		t->line++;
		return trace_bad(t, "the last line is torn");
	}
	return 0;
}

static int
trace_file(struct trace *t, const char *path)
{
	int fd, rv;

	t->file = path;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1) {
		snprintf(
		    t->why, sizeof(t->why), "%s: %s", path, strerror(errno));
		return -1;
	}
	rv = trace_fd(t, fd);
	close(fd);
	return rv;
}

static struct trace *
trace_new(struct ltpctl *ctl)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (t == NULL || chain_init(&t->chain) == -1) {
		free(t);
		ltpctl_fail(ctl, "out of memory");
		return NULL;
	}
	return t;
}

static void
trace_free(struct trace *t)
{
	size_t i;

	for (i = 0; i < t->nkeys; i++)
		chain_free(&t->key[i]);
	chain_free(&t->chain);
	free(t);
}

/* ---- verify ---- */

static void
verify_print(const struct trace *t, FILE *fp)
{
	uint64_t last = t->chain.next - 1;

	if (t->lines == 0) {
		fprintf(fp, "no lines\n");
		return;
	}
	fprintf(fp,
	    "lines        %" PRIu64 ", i %" PRIu64 " to %" PRIu64
	    ": the chain is whole\n",
	    t->lines, t->first, last);
	fprintf(fp, "head         %" PRIu64 " %s\n", last, t->chain.hash);
	if (t->nsigned == 0)
		fprintf(fp, "signatures   none\n");
	else
		fprintf(fp, "signatures   %" PRIu64 ", %s\n", t->nsigned,
		    t->nkeys > 0 ? "all good"
				 : "not verified: no public key (-p)");
	if (t->nsigned > 0 && t->tail > 0)
		fprintf(
		    fp, "unsigned     the last %" PRIu64 " lines\n", t->tail);
}

static void
verify_json(const struct trace *t, FILE *fp, bool ok)
{
	json_t *o = output_json_object();

	output_json_bool(o, "ok", ok);
	if (!ok) {
		output_json_str(o, "error", t->why);
		output_json_str(o, "file", t->file);
		output_json_int(o, "line", (int64_t)t->line);
	}
	output_json_int(o, "lines", (int64_t)t->lines);
	if (t->lines > 0) {
		output_json_int(o, "first", (int64_t)t->first);
		output_json_int(o, "last", (int64_t)(t->chain.next - 1));
		output_json_str(o, "hash", t->chain.hash);
	}
	output_json_int(o, "signatures", (int64_t)t->nsigned);
	output_json_bool(o, "signatures_verified", t->nkeys > 0);
	output_json_int(o, "unsigned_tail", (int64_t)t->tail);
	output_json_print(fp, o);
	fputc('\n', fp);
	json_decref(o);
}

int
trace_verify_run(struct ltpctl *ctl)
{
	struct trace *t;
	bool ok = true;
	int i;

	if ((t = trace_new(ctl)) == NULL)
		return LTPCTL_FAILED;
	if (trace_keys(t, ctl) == -1) {
		trace_free(t);
		return LTPCTL_FAILED;
	}
	for (i = 0; i < ctl->nargs && ok; i++)
		ok = trace_file(t, ctl->args[i]) == 0;
	if (ok && t->nkeys > 0 && t->lines > 0 && t->nsigned == 0) {
		/* Who can rewrite a log can leave the signatures out. */
		snprintf(
		    t->why, sizeof(t->why), "%s: no line is signed", t->file);
		ok = false;
	}
	if (ctl->json)
		verify_json(t, ctl->to.fp, ok);
	else if (ok)
		verify_print(t, ctl->to.fp);
	else
		ltpctl_fail(ctl, "%s", t->why);
	trace_free(t);
	return ok ? LTPCTL_OK : LTPCTL_FAILED;
}

/* ---- head ---- */

/*
 * The last whole line of a file, with its newline; half a line after it is
 * being written.  NULL with why set.
 */
static const char *
head_find(struct trace *t, int fd, size_t *len)
{
	const char *newline, *start;
	off_t size, from;
	ssize_t n;

	if ((size = lseek(fd, 0, SEEK_END)) == -1) {
		trace_bad(t, "%s", strerror(errno));
		return NULL;
	}
	from = size > 2 * CHAIN_LINE_MAX ? size - 2 * CHAIN_LINE_MAX : 0;
	if ((n = pread(fd, t->buf, 2 * CHAIN_LINE_MAX, from)) == -1) {
		trace_bad(t, "%s", strerror(errno));
		return NULL;
	}
	if ((newline = memrchr(t->buf, '\n', (size_t)n)) == NULL) {
		trace_bad(t, "no line of an audit log");
		return NULL;
	}
	start = memrchr(t->buf, '\n', (size_t)(newline - t->buf));
	start = start == NULL ? t->buf : start + 1;
	*len = (size_t)(newline + 1 - start);
	return start;
}

/* 0 or -1.  A file without anything is bad, but may be told apart. */
static int
head_check(struct trace *t, const char *path, bool *empty)
{
	const char *line;
	struct stat st;
	int fd, rv = -1;
	size_t len;

	t->file = path;
	/* A FIFO must not keep us waiting. */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		trace_bad(t, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		trace_bad(t, "not a regular file");
	else if (st.st_size == 0 && empty != NULL)
		*empty = true;
	else if ((line = head_find(t, fd, &len)) != NULL)
		rv = trace_line(t, line, len);
	if (fd != -1)
		close(fd);
	return rv;
}

int
trace_head(const char *path, uint64_t *next, char *why, size_t size)
{
	struct trace *t;
	bool empty = false;
	int rv = -1;

	if ((t = calloc(1, sizeof(*t))) == NULL ||
	    chain_init(&t->chain) == -1) {
		free(t);
		strlcpy(why, strerror(ENOMEM), size);
		return -1;
	}
	if (head_check(t, path, &empty) == 0) {
		*next = t->chain.next;
		rv = 1;
	} else if (empty) {
		rv = 0;
	} else {
		strlcpy(why, t->why, size);
	}
	trace_free(t);
	return rv;
}

int
trace_head_run(struct ltpctl *ctl)
{
	struct trace *t;
	uint64_t i;
	json_t *o;

	if ((t = trace_new(ctl)) == NULL)
		return LTPCTL_FAILED;
	if (head_check(t, ctl->args[0], NULL) == -1) {
		ltpctl_fail(ctl, "%s", t->why);
		trace_free(t);
		return LTPCTL_FAILED;
	}
	i = t->chain.next - 1;
	if (ctl->json) {
		o = output_json_object();
		output_json_bool(o, "ok", true);
		output_json_int(o, "i", (int64_t)i);
		output_json_str(o, "hash", t->chain.hash);
		output_json_print(ctl->to.fp, o);
		fputc('\n', ctl->to.fp);
		json_decref(o);
	} else {
		fprintf(ctl->to.fp, "%" PRIu64 " %s\n", i, t->chain.hash);
	}
	trace_free(t);
	return LTPCTL_OK;
}
