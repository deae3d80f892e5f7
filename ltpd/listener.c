/*
 * The listening sockets, and the way of a connection to its worker.
 */
#include "listener.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "chan.h"
#include "log.h"
#include "notify.h"
#include "parent.h"
#include "pool.h"
#include "shared.h"

#define LISTENER_MAX     16
#define LISTENER_BACKLOG 1024
/* Connections taken per wake-up and socket. */
#define LISTENER_BATCH 64
/* Out of descriptors: how long to wait before trying again. */
#define LISTENER_PAUSE_MS 100
/* A line about that, once in this time. */
#define LISTENER_QUIET_MS 1000
/* Over the cap so many sockets at a time are still refused with an answer. */
#define LISTENER_REFUSALS 64

struct listener_socket {
	struct listener *listener;
	unsigned number;
	int fd;
	struct event *readable;
	char text[ADDR_TEXT_MAX + 16];
	bool exposed; /* an override let it off loopback */
};

/* Connections on their way to one worker. */
struct handover {
	size_t count;
	int fds[MSG_MAX_FDS];
	struct msg_conn conn[MSG_MAX_FDS];
};

struct listener {
	struct parent *parent;
	struct listener_socket ltp[LISTENER_MAX];
	size_t count;
	struct listener_socket remote; /* fd -1: there is none */
	struct listener_socket metrics;
	struct event *pause; /* NULL before listener_start() */
	bool paused;
	struct monotime quiet_until; /* no line about a pause */
	struct handover *handover; /* one per worker */
};

/* Those that are accepted from, one after the other; NULL after the last. */
static struct listener_socket *
listener_nth(struct listener *l, size_t i)
{
	if (i < l->count)
		return &l->ltp[i];
	return i == l->count && l->remote.fd != -1 ? &l->remote : NULL;
}

/* ---- opening ---- */

static int
listener_bind(const char *text, char error[LISTENER_ERROR_MAX])
{
	struct sockaddr_storage ss;
	struct addr addr;
	socklen_t len;
	int fd, one = 1;

	if (addr_parse(&addr, text) == -1) {
		snprintf(error, LISTENER_ERROR_MAX, "listen %s: %s", text,
		    "not an address and a port");
		return -1;
	}
	len = addr_to_sockaddr(&addr, &ss);
	fd =
	    socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		goto fail;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1)
		goto fail;
	if (ss.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == -1)
		goto fail;
	if (bind(fd, (const struct sockaddr *)&ss, len) == -1 ||
	    listen(fd, LISTENER_BACKLOG) == -1)
		goto fail;
	return fd;
fail:
	snprintf(
	    error, LISTENER_ERROR_MAX, "listen %s: %s", text, strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

/*
 * No answer waits for others to come.  Connections inherit that from the
 * socket that they are accepted from.
 */
static void
listener_hurry(struct listener *l)
{
	struct listener_socket *s;
	int one = 1;
	size_t i;

	for (i = 0; (s = listener_nth(l, i)) != NULL; i++)
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/*
 * Describe a socket by the address that it really has.  One that was passed
 * must keep the bind rule as well.
 */
static int
listener_describe(struct listener_socket *s, const char *what, bool exposed,
    char error[LISTENER_ERROR_MAX])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char text[ADDR_TEXT_MAX];
	struct addr addr;

	if (getsockname(s->fd, (struct sockaddr *)&ss, &len) == -1 ||
	    addr_from_sockaddr(&addr, (const struct sockaddr *)&ss) == -1) {
		snprintf(error, LISTENER_ERROR_MAX,
		    "descriptor %d is no TCP socket", s->fd);
		return -1;
	}
	addr_print(&addr, text);
	snprintf(s->text, sizeof(s->text), "%s%s", what, text);
	if (!addr_is_loopback(&addr)) {
		if (!exposed) {
			snprintf(error, LISTENER_ERROR_MAX,
			    "listen %s: not a loopback address", text);
			return -1;
		}
		s->exposed = true;
	}
	return 0;
}

static int
listener_describe_ltp(struct listener_socket *s, const struct conf *conf,
    char error[LISTENER_ERROR_MAX])
{
	return listener_describe(
	    s, "ltp ws://", conf->allow_unsafe_expose, error);
}

static int
listener_describe_remote(struct listener_socket *s, const struct conf *conf,
    char error[LISTENER_ERROR_MAX])
{
	bool tls = conf->distributed.tls.enabled;

	if (listener_describe(s, tls ? "remote wss://" : "remote ws://",
		tls || conf_distributed_exposed(conf), error) == -1)
		return -1;
	if (tls)
		s->exposed = false;
	return 0;
}

static int
listener_describe_metrics(struct listener_socket *s, const struct conf *conf,
    char error[LISTENER_ERROR_MAX])
{
	return listener_describe(
	    s, "metrics http://", conf->metrics_allow_insecure, error);
}

/* Where a socket that was passed belongs, by its name; NULL: nowhere. */
static struct listener_socket *
listener_place(struct listener *l, const struct conf *conf, const char *name,
    char error[LISTENER_ERROR_MAX])
{
	struct listener_socket *s = NULL;

	if (strcmp(name, "metrics") == 0)
		s = &l->metrics;
	else if (strcmp(name, "remote") == 0)
		s = &l->remote;
	else if (l->count < LISTENER_MAX)
		s = &l->ltp[l->count++];
	if (s == NULL || s->fd != -1) {
		strlcpy(
		    error, "LISTEN_FDS: too many sockets", LISTENER_ERROR_MAX);
		return NULL;
	}
	if (s == &l->remote && !conf->distributed.enabled) {
		strlcpy(error,
		    "LISTEN_FDS: a remote socket, and distributed.enabled is "
		    "not set",
		    LISTENER_ERROR_MAX);
		return NULL;
	}
	return s;
}

static int
listener_take(struct listener *l, const struct conf *conf, const int *fds,
    char names[][32], int n, char error[LISTENER_ERROR_MAX])
{
	struct listener_socket *s;
	int i, rv;

	for (i = 0; i < n; i++) {
		if ((s = listener_place(l, conf, names[i], error)) == NULL)
			return -1;
		s->fd = fds[i];
		if (s == &l->metrics)
			rv = listener_describe_metrics(s, conf, error);
		else if (s == &l->remote)
			rv = listener_describe_remote(s, conf, error);
		else
			rv = listener_describe_ltp(s, conf, error);
		if (rv == -1)
			return -1;
	}
	return 0;
}

static int
listener_bind_one(struct listener_socket *s, const char *text,
    const struct conf *conf,
    int (*describe)(struct listener_socket *, const struct conf *, char *),
    char error[LISTENER_ERROR_MAX])
{
	if ((s->fd = listener_bind(text, error)) == -1)
		return -1;
	return describe(s, conf, error);
}

/* Sockets that were passed stand for the configured addresses. */
static int
listener_bind_all(
    struct listener *l, const struct conf *conf, char error[LISTENER_ERROR_MAX])
{
	size_t i;

	if (l->count == 0 && conf->addr.count > LISTENER_MAX) {
		snprintf(error, LISTENER_ERROR_MAX,
		    "addr: more than %d addresses", LISTENER_MAX);
		return -1;
	}
	for (i = 0; l->count == i && i < conf->addr.count; i++) {
		l->count++;
		if (listener_bind_one(&l->ltp[i], conf->addr.item[i], conf,
			listener_describe_ltp, error) == -1)
			return -1;
	}
	if (conf->distributed.enabled && l->remote.fd == -1 &&
	    listener_bind_one(&l->remote, conf->distributed.bind_addr, conf,
		listener_describe_remote, error) == -1)
		return -1;
	if (l->metrics.fd != -1)
		return 0;
	return listener_bind_one(&l->metrics, conf->metrics_addr, conf,
	    listener_describe_metrics, error);
}

struct listener *
listener_open(const struct conf *conf, char error[LISTENER_ERROR_MAX])
{
	char names[NOTIFY_FDS_MAX][32];
	int fds[NOTIFY_FDS_MAX];
	struct listener *l;
	size_t i;
	int n;

	if ((l = calloc(1, sizeof(*l))) == NULL) {
		strlcpy(error, strerror(errno), LISTENER_ERROR_MAX);
		return NULL;
	}
	l->metrics.fd = l->remote.fd = -1;
	l->remote.number = LISTENER_MAX;
	l->remote.listener = l;
	for (i = 0; i < LISTENER_MAX; i++) {
		l->ltp[i].fd = -1;
		l->ltp[i].number = i;
		l->ltp[i].listener = l;
	}
	if ((n = notify_listen_fds(fds, names)) == -1) {
		snprintf(error, LISTENER_ERROR_MAX, "LISTEN_FDS: %s",
		    strerror(errno));
		goto fail;
	}
	if (listener_take(l, conf, fds, names, n, error) == -1 ||
	    listener_bind_all(l, conf, error) == -1)
		goto fail;
	listener_hurry(l);
	return l;
fail:
	listener_free(l);
	return NULL;
}

static void
listener_close(struct listener_socket *s)
{
	if (s->readable != NULL)
		event_free(s->readable);
	s->readable = NULL;
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
}

void
listener_stop(struct listener *l)
{
	size_t i;

	for (i = 0; i < l->count; i++)
		listener_close(&l->ltp[i]);
	listener_close(&l->remote);
	if (l->pause != NULL)
		event_free(l->pause);
	l->pause = NULL;
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	listener_stop(l);
	listener_close(&l->metrics);
	free(l->handover);
	free(l);
}

int
listener_metrics_fd(const struct listener *l)
{
	return l->metrics.fd;
}

const char *
listener_text(const struct listener *l, size_t i)
{
	if (i < l->count)
		return l->ltp[i].text;
	i -= l->count;
	if (l->remote.text[0] != '\0' && i-- == 0)
		return l->remote.text;
	return i == 0 ? l->metrics.text : NULL;
}

/* ---- accepting ---- */

static void
listener_pause(struct listener *l, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };
	struct listener_socket *s;
	size_t i;

	for (i = 0; (s = listener_nth(l, i)) != NULL; i++)
		event_del(s->readable);
	l->paused = true;
	evtimer_add(l->pause, &tv);
}

void
listener_resume(struct listener *l)
{
	struct listener_socket *s;
	size_t i;

	if (l->pause == NULL || !l->paused)
		return;
	l->paused = false;
	evtimer_del(l->pause);
	for (i = 0; (s = listener_nth(l, i)) != NULL; i++)
		event_add(s->readable, NULL);
}

static void
listener_pause_over(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	listener_resume(arg);
}

static void
listener_flush(struct listener *l, struct child *c)
{
	struct handover *h = &l->handover[c->slot];
	size_t i;

	if (h->count == 0)
		return;
	/* The rule table cannot say that both counts agree; we see to it. */
	if (chan_send_fds(c->ch, MSG_CONN_NEW, h->fds, h->count, h->conn,
		h->count * sizeof(h->conn[0])) == -1) {
		for (i = 0; i < h->count; i++)
			shared_give_conn(l->parent->shared, c->slot,
			    h->conn[i].refuse, h->conn[i].remote);
		l->parent->counters.n[COUNT_CONNECTIONS_REFUSED] += h->count;
	}
	h->count = 0;
}

/*
 * Reserve a place for a connection; false when not even a refusal can be
 * afforded.
 */
static bool
listener_reserve(struct parent *p, unsigned slot, struct msg_conn *conn)
{
	uint32_t cap = p->conf->distributed.max_connections;

	if (!conn->remote || shared_take(p->shared, SHARED_REMOTE, slot, cap)) {
		if (shared_take(p->shared, SHARED_CONNS, slot,
			p->conf->max_connections))
			return true;
		if (conn->remote)
			shared_give(p->shared, SHARED_REMOTE, slot);
	}
	conn->refuse = 1;
	return shared_take(p->shared, SHARED_REFUSALS, slot, LISTENER_REFUSALS);
}

/* Takes fd. */
static void
listener_hand_over(struct listener_socket *s, struct child *c, int fd,
    const struct sockaddr *sa)
{
	struct listener *l = s->listener;
	struct parent *p = l->parent;
	struct handover *h = &l->handover[c->slot];
	struct msg_conn *conn = &h->conn[h->count];

	memset(conn, 0, sizeof(*conn));
	conn->remote = s == &l->remote;
	p->counters.n[COUNT_CONNECTIONS]++;
	if (addr_from_sockaddr(&conn->peer, sa) == -1 ||
	    !listener_reserve(p, c->slot, conn)) {
		p->counters.n[COUNT_CONNECTIONS_REFUSED]++;
		if (conn->remote)
			p->counters.n[COUNT_DIST_CONNECTION_LIMIT]++;
		close(fd);
		return;
	}
	conn->id = p->next_conn++;
	conn->accepted_us = monotime_now().us;
	conn->listener = s->number;
	h->fds[h->count++] = fd;
	if (h->count == MSG_MAX_FDS)
		listener_flush(l, c);
}

/* Out of descriptors here, or no worker that could take one more. */
static void
listener_out_of_room(struct listener *l, const char *why)
{
	struct monotime now = monotime_now();

	l->parent->counters.n[COUNT_ACCEPT_PAUSES]++;
	if (monotime_reached(now, l->quiet_until)) {
		log_warnx("ltpd: accept pauses: %s", why);
		l->quiet_until = monotime_add_ms(now, LISTENER_QUIET_MS);
	}
	listener_pause(l, LISTENER_PAUSE_MS);
}

static void
listener_accept_failed(struct listener *l)
{
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		listener_out_of_room(l, strerror(errno));
		break;
	default:
		/* Nothing left, or a client that has gone already. */
		break;
	}
}

static void
listener_readable(int fd, short what, void *arg)
{
	struct listener_socket *s = arg;
	struct listener *l = s->listener;
	struct pool *pool = l->parent->pool;
	struct sockaddr_storage ss;
	struct child *c;
	socklen_t len;
	int conn, i;

	(void)what;
	for (i = 0; i < LISTENER_BATCH; i++) {
		if ((c = pool_choose(pool)) == NULL) {
			/* The backlog keeps them until a worker is there. */
			listener_out_of_room(l, "no worker has room");
			break;
		}
		len = sizeof(ss);
		conn = accept4(fd, (struct sockaddr *)&ss, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn == -1) {
			listener_accept_failed(l);
			break;
		}
		listener_hand_over(s, c, conn, (const struct sockaddr *)&ss);
	}
	for (i = 0; (size_t)i < pool->nworkers; i++) {
		if (pool->child[i].ch != NULL)
			listener_flush(l, &pool->child[i]);
	}
}

/* Every override is said at every start. */
static void
listener_warn_exposed(const struct listener_socket *s)
{
	if (s->exposed)
		log_warnx(
		    "ltpd: %s is plaintext and open to the network", s->text);
}

static void
listener_warn_remote(const struct conf_distributed *d)
{
	if (d->allow_insecure)
		log_warnx("ltpd: distributed.allow_insecure = true: the remote "
			  "listener may go without TLS");
	if (!d->require_tls_for_non_loopback)
		log_warnx("ltpd: distributed.require_tls_for_non_loopback = "
			  "false: the remote listener may go without TLS");
}

static int
listener_watch(struct listener *l, struct event_base *base)
{
	struct listener_socket *s;
	size_t i;

	for (i = 0; (s = listener_nth(l, i)) != NULL; i++) {
		s->readable = event_new(
		    base, s->fd, EV_READ | EV_PERSIST, listener_readable, s);
		if (s->readable == NULL || event_add(s->readable, NULL) == -1)
			return -1;
	}
	return 0;
}

int
listener_start(struct listener *l, struct parent *p)
{
	size_t i;

	for (i = 0; i < l->count; i++)
		listener_warn_exposed(&l->ltp[i]);
	listener_warn_exposed(&l->remote);
	listener_warn_exposed(&l->metrics);
	if (l->remote.fd != -1)
		listener_warn_remote(&p->conf->distributed);
	l->parent = p;
	l->handover = calloc(p->pool->nworkers, sizeof(*l->handover));
	l->pause = evtimer_new(p->base, listener_pause_over, l);
	if (l->handover == NULL || l->pause == NULL)
		return -1;
	return listener_watch(l, p->base);
}
