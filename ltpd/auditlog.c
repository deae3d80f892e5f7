/*
 * The audit log's file, key and state.
 *
 * A key that was given as a value has to outlive it, for the next ltp-audit.
 * It is kept in a file without a name, not in the memory of this process.
 *
 * The descriptor of the file in use stays here, too.  When ltp-audit has to
 * be started again it gets that one, whatever lies at its path meanwhile: a
 * file that was renamed carries its chain on when we are told so, not before.
 */
#include "auditlog.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "log.h"
#include "memfd.h"
#include "parent.h"
#include "pool.h"
#include "secretfile.h"

#define KEY_FILE_MAX 256

/* Nothing is served yet when the first file is opened, so it may take this. */
#define FILE_LOCK_WAIT_MS 2000
#define FILE_LOCK_STEP_MS 20

/* So often in a second it may find out that it can, or cannot, write. */
#define AUDITLOG_CHANGES_MAX 8

struct auditlog {
	int fd; /* of the file in use, -1: none yet */
	int next_fd; /* passed to ltp-audit, which has not said yet */
	int seed_fd; /* holds the key that was given as a value, -1: none */
	uint32_t files_sent; /* since ltp-audit was started */
	struct msg_audit_state state;
	bool known; /* state is that of a running ltp-audit */
	uint64_t first; /* index of its first line */
	uint64_t lines; /* that it has written */
	unsigned changes; /* of state.writable, up to changes_end */
	struct monotime changes_end;
	bool reopen; /* as soon as there is an ltp-audit */
	void (*done)(const char *error, void *arg);
	void *arg;
};

/* ---- the key ---- */

static int
hex_digit(unsigned char c)
{
	if (!isxdigit(c))
		return -1;
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* 64 hex digits, and nothing after them but white space. */
static int
seed_parse(uint8_t seed[AUDIT_SEED_SIZE], const char *text)
{
	int high, low;
	size_t i;

	for (i = 0; i < AUDIT_SEED_SIZE; i++, text += 2) {
		if ((high = hex_digit((unsigned char)text[0])) == -1 ||
		    (low = hex_digit((unsigned char)text[1])) == -1)
			return -1;
		seed[i] = (uint8_t)(high << 4 | low);
	}
	return text[strspn(text, " \t\r\n")] == '\0' ? 0 : -1;
}

static int
seed_read(uint8_t seed[AUDIT_SEED_SIZE], const char *path,
    char error[AUDITLOG_ERROR_MAX])
{
	char why[SECRETFILE_ERROR_MAX], *text;
	size_t len;
	int rv;

	/* Its buffer has a NUL behind what was read. */
	text = secretfile_read(path, KEY_FILE_MAX, &len, why);
	if (text == NULL) {
		snprintf(error, AUDITLOG_ERROR_MAX,
		    "node_signing_key_file: %s: %s", path, why);
		return -1;
	}
	text[len] = '\0';
	rv = seed_parse(seed, text);
	freezero(text, KEY_FILE_MAX + 1);
	if (rv == -1)
		snprintf(error, AUDITLOG_ERROR_MAX,
		    "node_signing_key_file: %s: must be 64 hexadecimal digits",
		    path);
	return rv;
}

int
auditlog_check_key(const struct conf *conf, char error[AUDITLOG_ERROR_MAX])
{
	uint8_t seed[AUDIT_SEED_SIZE];
	int rv;

	if (conf->audit_log_file == NULL || conf->node_signing_key_file == NULL)
		return 0;
	rv = seed_read(seed, conf->node_signing_key_file, error);
	explicit_bzero(seed, sizeof(seed));
	return rv;
}

/* Put a key away that was given as a value.  0, or -1 with errno. */
static int
seed_keep(struct auditlog *a, const char *text)
{
	uint8_t seed[AUDIT_SEED_SIZE];
	int rv = -1;

	a->seed_fd = memfd_new("signing-key", sizeof(seed));
	/* Its form was checked when it was set. */
	if (a->seed_fd != -1 && seed_parse(seed, text) == 0 &&
	    pwrite(a->seed_fd, seed, sizeof(seed), 0) == sizeof(seed))
		rv = 0;
	explicit_bzero(seed, sizeof(seed));
	return rv;
}

/* Its key, of the file or the one that was put away: 1, 0: none, or -1. */
static int
seed_get(const struct auditlog *a, const struct conf *conf,
    uint8_t seed[AUDIT_SEED_SIZE])
{
	char error[AUDITLOG_ERROR_MAX];

	if (conf->node_signing_key_file != NULL) {
		if (seed_read(seed, conf->node_signing_key_file, error) == 0)
			return 1;
		log_warnx("%s", error);
		return -1;
	}
	if (a->seed_fd == -1)
		return 0;
	if (pread(a->seed_fd, seed, AUDIT_SEED_SIZE, 0) == AUDIT_SEED_SIZE)
		return 1;
	log_warn("node_signing_key");
	return -1;
}

struct auditlog *
auditlog_new(const struct conf *conf, char error[AUDITLOG_ERROR_MAX])
{
	struct auditlog *a;

	if (auditlog_check_key(conf, error) == -1)
		return NULL;
	if ((a = calloc(1, sizeof(*a))) == NULL) {
		strlcpy(error, strerror(errno), AUDITLOG_ERROR_MAX);
		return NULL;
	}
	a->fd = a->next_fd = a->seed_fd = -1;
	if (conf->node_signing_key != NULL &&
	    seed_keep(a, conf->node_signing_key) == -1) {
		snprintf(error, AUDITLOG_ERROR_MAX, "node_signing_key: %s",
		    strerror(errno));
		auditlog_free(a);
		return NULL;
	}
	return a;
}

void
auditlog_free(struct auditlog *a)
{
	if (a == NULL)
		return;
	if (a->fd != -1)
		close(a->fd);
	if (a->next_fd != -1)
		close(a->next_fd);
	if (a->seed_fd != -1)
		close(a->seed_fd);
	free(a);
}

int
auditlog_send_conf(struct auditlog *a, struct chan *ch, const struct conf *conf,
    uint32_t *records)
{
	struct msg_conf_audit m = { .sign_every = conf->audit_sign_every };
	uint8_t seed[AUDIT_SEED_SIZE];
	int rv;

	if (chan_send(ch, MSG_CONF_AUDIT, &m, sizeof(m), NULL, 0) == -1)
		return -1;
	++*records;
	if ((rv = seed_get(a, conf, seed)) == 1) {
		rv = chan_send(
		    ch, MSG_CONF_AUDIT_KEY, seed, sizeof(seed), NULL, 0);
		++*records;
	}
	explicit_bzero(seed, sizeof(seed));
	return rv;
}

/* ---- files ---- */

/*
 * Two writers would make two chains of one.  A node that was killed may have
 * left an ltp-audit that the kernel has not ended yet: wait for that.
 */
static int
file_lock(int fd, int wait_ms)
{
	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (wait_ms <= 0)
			return -1;
		poll(NULL, 0, FILE_LOCK_STEP_MS);
		wait_ms -= FILE_LOCK_STEP_MS;
	}
	return 0;
}

static const char *
file_check(int fd, int wait_ms)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_uid != geteuid())
		return "belongs to somebody else";
	if ((st.st_mode & (S_IWGRP | S_IROTH | S_IWOTH)) != 0)
		return "its mode is too open";
	if (file_lock(fd, wait_ms) == -1)
		return "another process writes to it";
	return NULL;
}

static int
file_open(const char *path, int wait_ms, char error[AUDITLOG_ERROR_MAX])
{
	const char *why;
	int fd;

	/* A FIFO must not keep the supervisor waiting. */
	fd = open(path,
	    O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
	    0600);
	why = fd == -1 ? strerror(errno) : file_check(fd, wait_ms);
	if (why == NULL)
		return fd;
	snprintf(
	    error, AUDITLOG_ERROR_MAX, "audit_log_file: %s: %s", path, why);
	if (fd != -1)
		close(fd);
	return -1;
}

/* Is the file of that name the one in use? */
static bool
file_is_same(int fd, const char *path)
{
	struct stat open_one, named;

	return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
	       open_one.st_dev == named.st_dev &&
	       open_one.st_ino == named.st_ino;
}

static int
file_pass(struct auditlog *a, struct child *c, int fd)
{
	int copy = dup(fd);

	if (copy == -1 ||
	    chan_send_fds(c->ch, MSG_AUDIT_FILE, &copy, 1, NULL, 0) == -1)
		return -1;
	a->files_sent++;
	return 0;
}

int
auditlog_equip(struct auditlog *a, struct child *c, const struct conf *conf)
{
	char error[AUDITLOG_ERROR_MAX];

	a->files_sent = 0;
	if (a->fd == -1 && (a->fd = file_open(conf->audit_log_file,
				FILE_LOCK_WAIT_MS, error)) == -1) {
		log_at(LEVEL_ERROR, "%s", error);
		return -1;
	}
	if (file_pass(a, c, a->fd) == -1) {
		log_warn("audit_log_file: cannot be passed");
		return -1;
	}
	return 0;
}

static void
auditlog_done(struct auditlog *a, const char *error)
{
	void (*done)(const char *, void *) = a->done;

	a->done = NULL;
	if (done != NULL)
		done(error, a->arg);
}

/* ltp-audit has looked at the new file. */
static void
auditlog_settle(struct auditlog *a)
{
	int fd = a->next_fd;

	a->next_fd = -1;
	if (a->state.refused) {
		close(fd);
		auditlog_done(a, "audit_log_file: the new file is not used, "
				 "see the log");
		return;
	}
	close(a->fd);
	a->fd = fd;
	auditlog_done(a, NULL);
}

int
auditlog_reopen(struct parent *p, void (*done)(const char *, void *), void *arg,
    char error[AUDITLOG_ERROR_MAX])
{
	const char *path = p->conf->audit_log_file;
	struct child *c = p->pool->audit;
	struct auditlog *a = p->auditlog;

	if (a == NULL || file_is_same(a->fd, path))
		return 0;
	if (a->next_fd != -1 || c->state != CHILD_READY) {
		a->reopen = a->next_fd == -1;
		strlcpy(error, "audit_log_file: ltp-audit is not ready",
		    AUDITLOG_ERROR_MAX);
		return -1;
	}
	if ((a->next_fd = file_open(path, 0, error)) == -1)
		return -1;
	if (file_pass(a, c, a->next_fd) == -1) {
		snprintf(error, AUDITLOG_ERROR_MAX, "audit_log_file: %s",
		    strerror(errno));
		close(a->next_fd);
		a->next_fd = -1;
		return -1;
	}
	a->done = done;
	a->arg = arg;
	return 1;
}

void
auditlog_ready(struct parent *p)
{
	char error[AUDITLOG_ERROR_MAX];

	if (!p->auditlog->reopen)
		return;
	p->auditlog->reopen = false;
	if (auditlog_reopen(p, NULL, NULL, error) == -1)
		log_warnx("%s", error);
}

void
auditlog_forget(struct auditlog *a, void *arg)
{
	if (a != NULL && a->arg == arg)
		a->done = NULL;
}

/* ---- the state ---- */

void
auditlog_allow(struct parent *p, struct child *worker)
{
	struct msg_audit_allow m = { .allowed = p->auditlog->state.writable };

	if (chan_send(worker->ch, MSG_AUDIT_ALLOW, &m, sizeof(m), NULL, 0) ==
	    -1)
		pool_kill(worker, "cannot be told of the audit log");
}

/* An index never goes back, and a line that was written has one. */
static bool
state_possible(const struct auditlog *a, const struct msg_audit_state *now)
{
	if (now->writable > 1 || now->refused > 1 || now->files == 0 ||
	    now->files > a->files_sent)
		return false;
	if (!a->known)
		return now->lines <= now->next;
	return now->files >= a->state.files && now->next >= a->state.next &&
	       a->lines + now->lines <= now->next - a->first;
}

/* Each change is told to all workers, who could be kept busy with that. */
static bool
state_may_change(struct auditlog *a)
{
	struct monotime now = monotime_now();

	if (monotime_reached(now, a->changes_end)) {
		a->changes = 0;
		a->changes_end = monotime_add_ms(now, 1000);
	}
	return ++a->changes <= AUDITLOG_CHANGES_MAX;
}

static void
auditlog_allow_all(struct parent *p)
{
	size_t i;

	for (i = 0; i < p->pool->nworkers; i++) {
		if (p->pool->child[i].state == CHILD_READY)
			auditlog_allow(p, &p->pool->child[i]);
	}
}

bool
auditlog_state(struct parent *p, const struct msg *m)
{
	struct auditlog *a = p->auditlog;
	struct msg_audit_state now;
	bool changed;

	memcpy(&now, m->data, sizeof(now));
	if (!state_possible(a, &now))
		return false;
	changed = a->known && now.writable != a->state.writable;
	if (changed && !state_may_change(a))
		return false;
	if (!a->known) {
		a->first = now.next - now.lines;
		a->lines = 0;
	}
	a->lines += now.lines;
	a->known = true;
	a->state = now;
	p->counters.n[COUNT_AUDIT_LINES] += now.lines;
	p->counters.n[COUNT_AUDIT_ERRORS] += now.errors;
	if (changed)
		auditlog_allow_all(p);
	if (a->next_fd != -1 && a->state.files == a->files_sent)
		auditlog_settle(a);
	return true;
}

void
auditlog_child_gone(struct auditlog *a)
{
	a->known = false;
	if (a->next_fd == -1)
		return;
	/*
	 * Whether it took the new file is not known, but a file with lines
	 * in it was taken.
	 */
	a->state.refused = lseek(a->next_fd, 0, SEEK_END) <= 0;
	auditlog_settle(a);
}

bool
auditlog_writable(const struct auditlog *a)
{
	return a != NULL && a->known && a->state.writable;
}

uint64_t
auditlog_next(const struct auditlog *a)
{
	return a == NULL ? 0 : a->state.next;
}
