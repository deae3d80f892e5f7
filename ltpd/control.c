/*
 * The control socket.  A client is an operator: root, our own uid, or a
 * member of control_group, as the kernel says.  Answers that may be long are
 * made a piece at a time, when the client has taken the piece before.
 */
#include "config.h"

#include "control.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditlog.h"
#include "chan.h"
#include "counters.h"
#include "listener.h"
#include "log.h"
#include "parent.h"
#include "pool.h"
#include "reload.h"
#include "wire.h"

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_GROUPS_MAX  128

/* One ltpctl. */
struct caller {
	TAILQ_ENTRY(caller) entry;
	struct control *control;
	struct chan *ch;
	uid_t uid;
	bool greeted;
	/* what it waits for */
	uint32_t request; /* of a worker's answer, 0: none */
	bool rotating;
	bool listing; /* sessions */
	size_t worker; /* whose sessions, by slot */
	uint64_t after; /* the last connection it was told of */
	uint64_t asked; /* workers, a bit per slot, that look for a
				  session to disconnect */
	bool found;
};

struct control {
	struct parent *parent;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	gid_t group;
	bool has_group;
	int fd;
	int spare; /* closed to refuse a client when descriptors run out */
	struct event *readable;
	TAILQ_HEAD(, caller) callers;
	unsigned count;
	uint32_t last_request;
};

static void caller_next_page(struct caller *);

/* ---- the socket ---- */

/*
 * The directory of the socket: made if it is not there; ours or root's, and
 * nobody else may write to it.
 */
static int
control_check_dir(const char *path, char error[CONTROL_ERROR_MAX])
{
	char copy[PATH_MAX], *dir;
	struct stat st;

	strlcpy(copy, path, sizeof(copy));
	dir = dirname(copy);
	if (mkdir(dir, 0755) == -1 && errno != EEXIST) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    dir, strerror(errno));
		return -1;
	}
	if (lstat(dir, &st) == -1) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    dir, strerror(errno));
		return -1;
	}
	if (!S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != getuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    dir, "not a directory that only we or root can write to");
		return -1;
	}
	return 0;
}

/* A socket that nobody listens on is what a killed supervisor left. */
static int
control_remove_stale(const struct sockaddr_un *sun)
{
	int fd, live;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	live = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;
	if (!live && errno == ECONNREFUSED)
		unlink(sun->sun_path);
	close(fd);
	if (live) {
		errno = EADDRINUSE;
		return -1;
	}
	return 0;
}

static int
control_bind(struct control *c, const struct sockaddr_un *sun)
{
	mode_t old;
	int rv;

	if (control_remove_stale(sun) == -1)
		return -1;
	c->fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd == -1)
		return -1;
	old = umask(0117);
	rv = bind(c->fd, (const struct sockaddr *)sun, sizeof(*sun));
	umask(old);
	if (rv == -1) {
		c->path[0] = '\0';
		return -1;
	}
	if (c->has_group && chown(c->path, -1, c->group) == -1)
		log_warn("control_group: %s keeps its group", c->path);
	return listen(c->fd, CONTROL_CLIENTS_MAX);
}

struct control *
control_open(const char *path, const char *group, char error[CONTROL_ERROR_MAX])
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct control *c;
	struct group *gr;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		strlcpy(error, strerror(errno), CONTROL_ERROR_MAX);
		return NULL;
	}
	c->fd = -1;
	c->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	TAILQ_INIT(&c->callers);
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		snprintf(error, CONTROL_ERROR_MAX,
		    "control_socket: %s: longer than %zu bytes", path,
		    sizeof(sun.sun_path) - 1);
		goto fail;
	}
	if (group != NULL) {
		if ((gr = getgrnam(group)) == NULL) {
			snprintf(error, CONTROL_ERROR_MAX,
			    "control_group: no group %s", group);
			goto fail;
		}
		c->group = gr->gr_gid;
		c->has_group = true;
	}
	if (control_check_dir(path, error) == -1)
		goto fail;
	strlcpy(c->path, path, sizeof(c->path));
	if (control_bind(c, &sun) == -1) {
		snprintf(error, CONTROL_ERROR_MAX, "control_socket: %s: %s",
		    path, strerror(errno));
		/* A live socket of that name is not ours to remove. */
		if (errno == EADDRINUSE)
			c->path[0] = '\0';
		goto fail;
	}
	return c;
fail:
	control_free(c);
	return NULL;
}

/* ---- callers ---- */

static void
caller_free(struct caller *o)
{
	struct control *c = o->control;

	reload_forget(c->parent, o);
	auditlog_forget(c->parent->auditlog, o);
	TAILQ_REMOVE(&c->callers, o, entry);
	c->count--;
	chan_free(o->ch);
	free(o);
}

void
control_free(struct control *c)
{
	struct caller *o;

	if (c == NULL)
		return;
	while ((o = TAILQ_FIRST(&c->callers)) != NULL) {
		chan_flush(o->ch, 0);
		caller_free(o);
	}
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->fd != -1)
		close(c->fd);
	if (c->spare != -1)
		close(c->spare);
	if (c->path[0] != '\0')
		unlink(c->path);
	free(c);
}

/* Ends the answer to a request; the operator may ask again. */
static void
caller_end(struct caller *o, const char *error)
{
	struct msg_ctl_end m = { .failed = error != NULL };
	const char *text = error == NULL ? "" : error;

	o->request = 0;
	o->listing = false;
	o->rotating = false;
	chan_send(o->ch, MSG_CTL_END, &m, sizeof(m), text, strnlen(text, 1024));
}

static uint32_t
caller_new_request(struct caller *o)
{
	if (++o->control->last_request == 0)
		o->control->last_request = 1;
	return o->request = o->control->last_request;
}

static void
caller_hello(struct caller *o, struct msg *m)
{
	struct msg_ctl_hello theirs, ours = { .version = CTL_VERSION };

	memcpy(&theirs, m->data, sizeof(theirs));
	chan_send(o->ch, MSG_CTL_HELLO, &ours, sizeof(ours), NULL, 0);
	if (theirs.version != CTL_VERSION)
		chan_reject(o->ch, "speaks another version");
	o->greeted = true;
}

/* ---- show ---- */

static void
show_summary(struct caller *o)
{
	struct parent *p = o->control->parent;
	struct msg_ctl_summary m;
	const char *text;
	char tail[64 + LTP_ID_MAX];
	struct wire_out out;
	size_t i;

	memset(&m, 0, sizeof(m));
	counters_snapshot(p, &m.stat);
	m.pid = getpid();
	m.max_connections = p->conf->max_connections;
	m.max_sessions = p->conf->max_sessions;
	m.auth_mode = p->conf->auth_mode;
	m.log_level = log_get_level();
	m.version_len = strlen(PACKAGE_VERSION);
	m.node_id_len = strlen(p->conf->id);
	wire_out_init(&out, tail, sizeof(tail));
	wire_put(&out, PACKAGE_VERSION, m.version_len);
	wire_put(&out, p->conf->id, m.node_id_len);
	chan_send(o->ch, MSG_CTL_SUMMARY, &m, sizeof(m), tail, out.len);
	for (i = 0; (text = listener_text(p->listener, i)) != NULL; i++)
		chan_send(o->ch, MSG_CTL_LISTENER, text, strlen(text), NULL, 0);
	caller_end(o, NULL);
}

static void
show_processes(struct caller *o)
{
	struct pool *pool = o->control->parent->pool;
	struct msg_process m;
	size_t i;

	pool_describe(o->control->parent, NULL, &m);
	chan_send(o->ch, MSG_CTL_PROCESS, &m, sizeof(m), NULL, 0);
	for (i = 0; i < pool->count; i++) {
		pool_describe(o->control->parent, &pool->child[i], &m);
		m.last = i + 1 == pool->count;
		chan_send(o->ch, MSG_CTL_PROCESS, &m, sizeof(m), NULL, 0);
	}
	caller_end(o, NULL);
}

static void
show_sessions(struct caller *o)
{
	o->listing = true;
	o->worker = 0;
	o->after = 0;
	caller_next_page(o);
}

static void
show_keys(struct caller *o)
{
	const struct keyset *keys = o->control->parent->keys;
	struct msg_ctl_key m;
	const struct key *k;

	if (keys == NULL) {
		caller_end(o, NULL);
		return;
	}
	TAILQ_FOREACH(k, &keys->keys, entry) {
		memset(&m, 0, sizeof(m));
		memcpy(m.digest_prefix, k->digest, sizeof(m.digest_prefix));
		m.source = k->source;
		m.loaded = k->loaded;
		m.id_len = strlen(k->id);
		if (chan_send(o->ch, MSG_CTL_KEY, &m, sizeof(m), k->id,
			m.id_len) == -1) {
			caller_end(o, "more keys than can be shown");
			return;
		}
	}
	caller_end(o, NULL);
}

static void
show_setting(const char *name, const char *value, const char *origin, void *arg)
{
	struct caller *o = arg;
	struct msg_ctl_config m;
	char buf[MSG_MAX_PAYLOAD];
	struct wire_out out;

	m.name_len = strlen(name);
	m.origin_len = strlen(origin);
	m.value_len = strlen(value);
	wire_out_init(&out, buf, sizeof(buf) - sizeof(m));
	wire_put(&out, name, m.name_len);
	wire_put(&out, value, m.value_len);
	wire_put(&out, origin, m.origin_len);
	if (out.overflow)
		log_warnx("control: %s is too long to be shown", name);
	else
		chan_send(o->ch, MSG_CTL_CONFIG, &m, sizeof(m), buf, out.len);
}

static void
show_config(struct caller *o)
{
	conf_each(o->control->parent->conf, show_setting, o);
	caller_end(o, NULL);
}

static void
caller_show(struct caller *o, struct msg *m)
{
	static void (*const show[SHOW__MAX])(struct caller *) = {
		[SHOW_SUMMARY] = show_summary,
		[SHOW_PROCESSES] = show_processes,
		[SHOW_SESSIONS] = show_sessions,
		[SHOW_KEYS] = show_keys,
		[SHOW_CONFIG] = show_config,
	};
	struct msg_ctl_show what;

	memcpy(&what, m->data, sizeof(what));
	if (what.what == SHOW_NONE || what.what >= SHOW__MAX)
		caller_end(o, "there is nothing of that kind to show");
	else
		show[what.what](o);
}

/* ---- what takes time ---- */

/* Ask the next worker that is there for a page of sessions, or end. */
static void
caller_next_page(struct caller *o)
{
	struct pool *pool = o->control->parent->pool;
	struct msg_sessions_get m;

	for (; o->worker < pool->nworkers; o->worker++, o->after = 0) {
		struct child *c = &pool->child[o->worker];

		if (c->state != CHILD_READY && c->state != CHILD_DRAINING)
			continue;
		memset(&m, 0, sizeof(m));
		m.request = caller_new_request(o);
		m.after = o->after;
		if (chan_send(
			c->ch, MSG_SESSIONS_GET, &m, sizeof(m), NULL, 0) == 0)
			return;
	}
	caller_end(o, NULL);
}

static struct caller *
control_find(struct control *c, uint32_t request)
{
	struct caller *o;

	TAILQ_FOREACH(o, &c->callers, entry) {
		if (request != 0 && o->request == request)
			return o;
	}
	return NULL;
}

/* The connection id of the last record of a page, 0 when the page lies. */
static uint64_t
control_last_record(const struct msg_sessions_page *page, const struct msg *m)
{
	struct msg_session s = { .conn = 0 };
	struct wire w;
	unsigned i;

	wire_init(&w, m->data, m->len);
	wire_bytes(&w, sizeof(*page));
	for (i = 0; i < page->count; i++) {
		wire_copy(&w, &s, sizeof(s));
		wire_bytes(&w, s.client_id_len);
		wire_bytes(&w, s.session_id_len);
		wire_bytes(&w, s.tag_len);
	}
	return wire_done(&w) ? s.conn : 0;
}

bool
control_sessions_page(struct control *c, struct child *child, struct msg *m)
{
	struct msg_sessions_page page;
	struct caller *o;
	uint64_t last;

	memcpy(&page, m->data, sizeof(page));
	if (page.request == 0 || page.request > c->last_request)
		return false;
	last = control_last_record(&page, m);
	if (page.count > 0 && last == 0)
		return false;
	/* The operator may have gone meanwhile; that is no lie. */
	if ((o = control_find(c, page.request)) == NULL)
		return true;
	if (!o->listing || o->worker != child->slot)
		return false;
	if (page.count > 0) {
		if (last <= o->after)
			return false;
		o->after = last;
		chan_send(o->ch, MSG_CTL_SESSIONS, m->data, m->len, NULL, 0);
	}
	o->request = 0;
	if (page.last || page.count == 0) {
		o->worker++;
		o->after = 0;
	}
	if (chan_queued(o->ch) == 0)
		caller_next_page(o);
	return true;
}

static void
caller_disconnect(struct caller *o, struct msg *m)
{
	struct pool *pool = o->control->parent->pool;
	struct msg_session_kill kill;
	size_t i;

	kill.request = caller_new_request(o);
	o->asked = 0;
	o->found = false;
	for (i = 0; i < pool->nworkers; i++) {
		if (pool->child[i].state == CHILD_READY &&
		    chan_send(pool->child[i].ch, MSG_SESSION_KILL, &kill,
			sizeof(kill), m->data, m->len) == 0)
			o->asked |= UINT64_C(1) << i;
	}
	if (o->asked == 0)
		caller_end(o, "no worker is ready");
}

static void
caller_kill_answered(struct caller *o, unsigned slot, bool found)
{
	o->asked &= ~(UINT64_C(1) << slot);
	o->found |= found;
	if (o->asked == 0)
		caller_end(o, o->found ? NULL : "no such session");
}

bool
control_session_killed(struct control *c, struct child *child, struct msg *m)
{
	struct msg_session_killed answer;
	struct caller *o;

	memcpy(&answer, m->data, sizeof(answer));
	if (answer.request == 0 || answer.request > c->last_request)
		return false;
	/* The operator may have gone meanwhile; that is no lie. */
	if ((o = control_find(c, answer.request)) == NULL)
		return true;
	if ((o->asked & (UINT64_C(1) << child->slot)) == 0)
		return false;
	caller_kill_answered(o, child->slot, answer.found != 0);
	return true;
}

void
control_child_gone(struct control *c, struct child *child)
{
	struct caller *o, *next;

	TAILQ_FOREACH_SAFE(o, &c->callers, entry, next) {
		if (o->listing && o->request != 0 && o->worker == child->slot) {
			o->worker++;
			o->after = 0;
			caller_next_page(o);
		} else if ((o->asked & (UINT64_C(1) << child->slot)) != 0) {
			caller_kill_answered(o, child->slot, false);
		}
	}
}

static void
caller_done(const char *error, void *arg)
{
	caller_end(arg, error);
}

static void
caller_reload(struct caller *o)
{
	char error[RELOAD_ERROR_MAX];

	if (reload_start(o->control->parent, caller_done, o, error) == -1)
		caller_end(o, error);
}

static void
caller_log(struct caller *o, struct msg *m)
{
	struct parent *p = o->control->parent;
	struct msg_ctl_log what;

	memcpy(&what, m->data, sizeof(what));
	parent_log_level(p, what.verbose ? LEVEL_DEBUG : p->conf->log_level);
	caller_end(o, NULL);
}

static void
caller_rotate(struct caller *o)
{
	char error[PARENT_ERROR_MAX];

	switch (parent_rotate(o->control->parent, caller_done, o, error)) {
	case 0:
		caller_end(o, NULL);
		break;
	case 1:
		o->rotating = true;
		break;
	default:
		caller_end(o, error);
	}
}

static void
caller_stop(struct caller *o)
{
	log_info("control: stop asked for by uid %u", (unsigned)o->uid);
	caller_end(o, NULL);
	parent_stop(o->control->parent);
}

/* ---- dispatch ---- */

static void
control_dispatch_caller(struct chan *ch, struct msg *m, void *arg)
{
	struct caller *o = arg;

	if (m->type != MSG_CTL_HELLO && !o->greeted) {
		chan_reject(ch, "no hello first");
		return;
	}
	if (o->request != 0 || o->listing || o->rotating) {
		chan_reject(ch, "asks before it was answered");
		return;
	}
	switch (m->type) {
	case MSG_CTL_HELLO:
		caller_hello(o, m);
		break;
	case MSG_CTL_SHOW:
		caller_show(o, m);
		break;
	case MSG_CTL_RELOAD:
		caller_reload(o);
		break;
	case MSG_CTL_LOG:
		caller_log(o, m);
		break;
	case MSG_CTL_ROTATE:
		caller_rotate(o);
		break;
	case MSG_CTL_DISCONNECT:
		caller_disconnect(o, m);
		break;
	case MSG_CTL_STOP:
		caller_stop(o);
		break;
	default:
		chan_reject(ch, "not a message of ltpctl");
	}
}

static void
caller_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct caller *o = arg;

	if (end == CHAN_VIOLATION)
		log_warnx("control: uid %u: %s", (unsigned)o->uid,
		    chan_violation(ch));
	caller_free(o);
}

static void
caller_writable(struct chan *ch, void *arg)
{
	struct caller *o = arg;

	(void)ch;
	if (o->listing && o->request == 0)
		caller_next_page(o);
}

static const struct chan_ops caller_chan_ops = {
	.message = control_dispatch_caller,
	.gone = caller_gone,
	.writable = caller_writable,
};

/* ---- accepting ---- */

static bool
control_is_member(const struct control *c, uid_t uid, gid_t gid)
{
	gid_t groups[CONTROL_GROUPS_MAX];
	int i, n = CONTROL_GROUPS_MAX;
	struct passwd *pw;

	if (!c->has_group)
		return false;
	if (gid == c->group)
		return true;
	if ((pw = getpwuid(uid)) == NULL)
		return false;
	if (getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) == -1)
		n = CONTROL_GROUPS_MAX;
	for (i = 0; i < n; i++) {
		if (groups[i] == c->group)
			return true;
	}
	return false;
}

/*
 * Out of descriptors: a client that nobody accepts would keep the loop busy,
 * so it is accepted in the place of the spare one and let go.
 */
static void
control_shed(struct control *c)
{
	if (c->spare != -1)
		close(c->spare);
	c->spare = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);
	if (c->spare != -1)
		close(c->spare);
	c->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
control_accept(int lfd, short what, void *arg)
{
	struct control *c = arg;
	struct caller *o;
	uid_t uid;
	gid_t gid;
	int fd;

	(void)what;
	fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1) {
		if (errno == EMFILE || errno == ENFILE)
			control_shed(c);
		return;
	}
	if (getpeereid(fd, &uid, &gid) == -1 ||
	    (uid != 0 && uid != getuid() && !control_is_member(c, uid, gid))) {
		log_warnx("control: uid %u refused", (unsigned)uid);
		close(fd);
		return;
	}
	if (c->count == CONTROL_CLIENTS_MAX ||
	    (o = calloc(1, sizeof(*o))) == NULL) {
		log_warnx("control: too many clients");
		close(fd);
		return;
	}
	o->control = c;
	o->uid = uid;
	o->ch = chan_new(
	    c->parent->base, fd, ROLE_PARENT, ROLE_CTL, &caller_chan_ops, o);
	if (o->ch == NULL) {
		close(fd);
		free(o);
		return;
	}
	TAILQ_INSERT_TAIL(&c->callers, o, entry);
	c->count++;
}

int
control_start(struct control *c, struct parent *p)
{
	c->parent = p;
	c->readable =
	    event_new(p->base, c->fd, EV_READ | EV_PERSIST, control_accept, c);
	if (c->readable == NULL)
		return -1;
	return event_add(c->readable, NULL);
}
