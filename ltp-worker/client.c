/*
 * Clients: bytes in, bytes out, and the end of a connection.
 *
 * A wake-up serves one client: read once, take everything apart, collect the
 * answers in the worker's output buffer, write once.  A client whose socket
 * does not take its answers is not read from until it does.
 */
#include "client.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "handshake.h"
#include "json.h"
#include "limit.h"
#include "remote.h"
#include "secure.h"
#include "session.h"
#include "shared.h"
#include "tls.h"
#include "upgrade.h"
#include "worker.h"

/* After our last word, the peer has so long to close its side. */
#define CLIENT_LINGER_MS 1000

static void client_input(struct client *, uint8_t *, size_t);
static void client_event(int, short, void *);

uint64_t *
client_counter(struct client *c, enum counter n)
{
	return &c->worker->count.now.n[n];
}

uint64_t
client_id(const struct client *c)
{
	return c->id;
}

const struct addr *
client_peer(const struct client *c)
{
	return c->proxied ? &c->proxy[0] : &c->addr;
}

struct str
client_identity(const struct client *c)
{
	struct str id = { "", 0 };

	if (c->identity != IDENTITY_CLAIMED)
		return session_client_id(c->session);
	if (c->passage != NULL && c->passage->identity != NULL) {
		id.p = c->passage->identity;
		id.len = strlen(id.p);
	}
	return id;
}

uint32_t
client_age_ms(const struct client *c)
{
	return (uint32_t)monotime_diff_ms(c->worker->now, c->accepted);
}

void
client_seen(struct client *c)
{
	c->seen_ms = client_age_ms(c);
}

uint32_t
client_idle_ms(const struct client *c)
{
	return client_age_ms(c) - c->seen_ms;
}

static int
client_fd(const struct client *c)
{
	return event_get_fd(&c->readable);
}

/* NULL: what it says is plain. */
static struct tls *
client_tls(const struct client *c)
{
	return c->remote == NULL ? NULL : c->remote->tls;
}

/* Read from it again, and what TLS has read already. */
static int
client_listen(struct client *c)
{
	struct tls *tls = client_tls(c);

	if (event_add(&c->readable, NULL) == -1)
		return -1;
	if (tls != NULL && tls_pending(tls))
		event_active(&c->readable, EV_READ, 0);
	return 0;
}

/* An idle session needs no passage. */
static void
client_settle(struct client *c)
{
	if (c->passage != NULL && c->session != NULL &&
	    c->state == CLIENT_OPEN && !passage_is_timed(c) &&
	    !passage_is_stuck(c))
		passage_free(c);
}

void
client_greeted(struct client *c)
{
	if (!passage_is_timed(c) || c->passage->timed_on != TIMED_GREETING)
		return;
	passage_untime(c);
	address_release_half_open(c);
	client_seen(c);
	hist_observe(&c->worker->count.now.hist[HIST_HANDSHAKE],
	    monotime_diff_us(c->worker->now, c->accepted));
}

/* ---- the beginning and the end ---- */

/* From then on it has so long to come in. */
static void
client_time(struct client *c, struct monotime from)
{
	uint32_t ms = c->remote != NULL
			  ? remote_handshake_ms(c)
			  : c->worker->settings->node.handshake_timeout_ms;

	passage_time(c, TIMED_GREETING, monotime_add_ms(from, ms));
}

void
client_no_memory(struct client *c)
{
	c->broken = true;
	c->starved = true;
}

void
client_forget_login(struct client *c)
{
	struct passage *p = c->passage;

	if (p == NULL || p->login == NULL)
		return;
	login_cancel(c->worker, p->login);
	p->login = NULL;
}

/* NULL when there is no memory. */
static struct client *
client_alloc(struct worker *w, const struct msg_conn *m)
{
	bool proxied = settings_is_proxy(w->settings, &m->peer);
	struct client *c;

	c = calloc(1, sizeof(*c) + (proxied ? sizeof(c->proxy[0]) : 0));
	if (c == NULL)
		return NULL;
	c->worker = w;
	if (passage_get(c) == NULL) {
		free(c);
		return NULL;
	}
	c->id = m->id;
	c->state = CLIENT_HTTP;
	c->refused = m->refuse;
	c->addr = m->peer;
	c->proxied = proxied;
	if (proxied)
		c->proxy[0] = m->peer;
	c->accepted.us = m->accepted_us;
	client_seen(c);
	ws_init(&c->ws, w->settings->node.max_message_bytes, false);
	if (m->remote && remote_new(c) == -1) {
		passage_free(c);
		free(c);
		return NULL;
	}
	return c;
}

static void
client_refuse_one_more(struct client *c)
{
	static const char reason[] = "connection limit reached";

	if (c->remote != NULL)
		remote_refuse(c, DIST_CONNECTION_LIMIT, 503, reason);
	else
		handshake_refuse(c, 503, CATEGORY_HANDSHAKE, reason, reason);
}

/* Refuse it at once, if there is a reason to. */
static void
client_admit(struct client *c)
{
	if (c->worker->draining ||
	    (c->remote != NULL && !c->worker->settings->has_remote))
		handshake_refuse(c, 503, CATEGORY_HANDSHAKE, "shutting down",
		    "shutting down");
	else if (c->refused)
		client_refuse_one_more(c);
	else if (!c->proxied && !address_hold(c, &c->addr))
		handshake_refuse_address(c);
	if (c->state == CLIENT_CLOSING)
		client_served(c);
}

/*
 * What can be refused before it costs a handshake is just closed; who is one
 * too many is told so behind it.  A guessed token is counted behind it, too,
 * but a bad certificate has cost all that there is.
 */
static void
client_admit_secure(struct client *c)
{
	if (c->worker->draining) {
		c->passage->close_reason = "shutting down";
		c->broken = true;
	} else if (c->refused || c->proxied) {
		return;
	} else if (!address_hold(c, &c->addr)) {
		++*client_counter(c, COUNT_CAPACITY_REJECTIONS);
		remote_cut(c, DIST_CONNECTION_LIMIT,
		    "too many connections from this address");
	} else if (c->worker->settings->remote.mtls &&
		   handshake_too_many_failures(c)) {
		remote_cut(c, DIST_AUTH_FAILED, "too many failed sign-ins");
	}
	if (c->broken)
		client_served(c);
}

static bool
client_wants_tls(const struct client *c)
{
	const struct settings *s = c->worker->settings;

	return c->remote != NULL && s->has_remote && s->remote.tls;
}

void
client_new(struct worker *w, int fd, const struct msg_conn *m)
{
	struct client *c;

	if ((c = client_alloc(w, m)) == NULL) {
		log_warn("client %llu", (unsigned long long)m->id);
		shared_give_conn(w->shared, w->slot, m->refuse, m->remote);
		close(fd);
		return;
	}
	TAILQ_INSERT_TAIL(&w->clients, c, all);
	w->nclients++;
	hist_observe(&w->count.now.hist[HIST_ACCEPT],
	    monotime_diff_us(w->now, c->accepted));
	if (event_assign(&c->readable, w->base, fd, EV_READ | EV_PERSIST,
		client_event, c) == -1 ||
	    event_add(&c->readable, NULL) == -1 ||
	    (client_wants_tls(c) && secure_new(c) == -1)) {
		client_no_memory(c);
		client_free(c);
		return;
	}
	client_time(c, c->accepted);
	if (c->state == CLIENT_TLS)
		client_admit_secure(c);
	else
		client_admit(c);
}

void
client_free(struct client *c)
{
	struct worker *w = c->worker;
	struct str identity = client_identity(c);
	struct tls *tls = client_tls(c);

	client_log_end(c);
	passage_untime(c);
	address_release(c);
	client_forget_login(c);
	if (identity.len > 0 && c->remote == NULL)
		login_left(w, identity.p, identity.len);
	session_free(c);
	/* Whatever the reason is: an end that is not said may be forged. */
	if (tls != NULL)
		tls_close(tls);
	tls_free(tls);
	passage_free(c);
	ws_clear(&c->ws);
	event_del(&c->readable);
	close(client_fd(c));
	shared_give_conn(w->shared, w->slot, c->refused, c->remote != NULL);
	TAILQ_REMOVE(&w->clients, c, all);
	w->nclients--;
	remote_free(c);
	free(c);
	worker_client_gone(w);
}

/* ---- output ---- */

/* Keep what the socket did not take; from now on it is not read from. */
static void
client_keep_output(struct client *c, const uint8_t *data, size_t len)
{
	struct passage *p = passage_get(c);
	uint8_t *grown;
	size_t left;

	if (p == NULL)
		return;
	left = p->out_len - p->out_done;
	if (p->out != NULL && p->out_done > 0) {
		memmove(p->out, p->out + p->out_done, left);
		p->out_len = left;
		p->out_done = 0;
	}
	if ((grown = realloc(p->out, left + len)) == NULL) {
		client_no_memory(c);
		return;
	}
	memcpy(grown + left, data, len);
	p->out = grown;
	p->out_len = left + len;
	if (p->writable == NULL)
		p->writable = event_new(c->worker->base, client_fd(c),
		    EV_WRITE | EV_PERSIST, client_event, c);
	if (p->writable == NULL || event_add(p->writable, NULL) == -1)
		client_no_memory(c);
	if (c->state != CLIENT_CLOSING)
		event_del(&c->readable);
}

/* Returns how many bytes the socket took. */
static size_t
client_write(struct client *c, const uint8_t *data, size_t len)
{
	struct tls *tls = client_tls(c);
	ssize_t n;

	n = tls == NULL ? send(client_fd(c), data, len, MSG_NOSIGNAL)
			: tls_write(tls, data, len);

	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
			c->broken = true;
		return 0;
	}
	c->bytes_out += n;
	*client_counter(c, COUNT_BYTES_OUT) += n;
	return n;
}

/* Write what was kept, and what is new behind it. */
static void
client_flush_kept(struct client *c)
{
	struct output *o = &c->worker->output;
	struct passage *p = c->passage;

	if (o->len > 0)
		client_keep_output(c, o->data, o->len);
	p->out_done +=
	    client_write(c, p->out + p->out_done, p->out_len - p->out_done);
	if (p->out_done < p->out_len)
		return;
	free(p->out);
	p->out = NULL;
	p->out_len = p->out_done = 0;
	event_free(p->writable);
	p->writable = NULL;
}

static void
client_flush(struct client *c)
{
	struct output *o = &c->worker->output;
	size_t done;

	if (passage_is_stuck(c)) {
		client_flush_kept(c);
	} else if (o->len > 0) {
		done = client_write(c, o->data, o->len);
		if (done < o->len && !c->broken)
			client_keep_output(c, o->data + done, o->len - done);
	}
	output_reset(o);
}

/*
 * Our last word is said or on its way.  When it has left, say that nothing
 * follows, and leave the peer a moment to read it, before a reset could
 * destroy it.
 */
static void
client_linger(struct client *c)
{
	struct passage *p = c->passage;

	if (p->timed_on != TIMED_LINGERING)
		passage_time(c, TIMED_LINGERING,
		    monotime_add_ms(c->worker->now, CLIENT_LINGER_MS));
	if (p->out == NULL && !p->shut) {
		if (client_tls(c) != NULL)
			tls_close(client_tls(c));
		shutdown(client_fd(c), SHUT_WR);
		p->shut = true;
		event_add(&c->readable, NULL);
	}
}

void
client_served(struct client *c)
{
	client_flush(c);
	if (c->broken)
		client_free(c);
	else if (c->state == CLIENT_CLOSING)
		client_linger(c);
	else
		client_settle(c);
}

void
client_reply(struct client *c, const char *text, size_t len)
{
	if (c->state == CLIENT_CLOSING)
		return;
	if (output_put_frame(&c->worker->output, WS_OP_TEXT, text, len) == -1)
		client_no_memory(c);
	c->messages_out++;
	++*client_counter(c, COUNT_REPLIES);
}

void
client_close(struct client *c, uint16_t code, const char *reason)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n = 0;

	if (c->state == CLIENT_CLOSING)
		return;
	if (passage_get(c) != NULL) {
		c->passage->close_code = code;
		c->passage->close_reason = reason;
	}
	if (code != WS_NO_STATUS)
		n = ws_close_payload(payload, code, reason);
	if (output_put_frame(&c->worker->output, WS_OP_CLOSE, payload, n) == -1)
		client_no_memory(c);
	c->state = CLIENT_CLOSING;
	session_end(c);
	client_forget_login(c);
	ws_clear(&c->ws);
	if (c->remote != NULL) {
		remote_leave(c);
		remote_quiet(c);
	}
}

/*
 * The first proof makes the identity; a second one must be of the same.
 */
static enum login_result
client_identify(struct client *c, const char *id, size_t len)
{
	struct str proven = client_identity(c);

	if (c->remote != NULL)
		return c->remote->entering ? LOGIN_GRANTED
					   : remote_identify(c, id, len);
	if (proven.len == 0) {
		c->passage->source = IDENTITY_API_KEY;
		if ((c->passage->identity = strndup(id, len)) != NULL)
			return LOGIN_GRANTED;
		client_no_memory(c);
	}
	/* Auth counts connections, not proofs. */
	login_left(c->worker, id, len);
	if (proven.len != len || memcmp(proven.p, id, len) != 0)
		return LOGIN_REFUSED;
	return LOGIN_GRANTED;
}

/*
 * Those of an address that were asked about together are answered one by one:
 * beyond the limit it is not told which of them was right.
 */
static enum login_result
client_judge(
    struct client *c, enum login_result result, const char *id, size_t len)
{
	bool entering = c->remote != NULL && c->remote->entering;
	bool granted = result == LOGIN_GRANTED;

	if (!entering && (granted || result == LOGIN_REFUSED) &&
	    handshake_too_many_failures(c)) {
		if (granted && c->remote == NULL)
			login_left(c->worker, id, len);
		return LOGIN_LIMITED;
	}
	return granted ? client_identify(c, id, len) : result;
}

void
client_signed_in(
    struct client *c, enum login_result result, const char *id, size_t len)
{
	bool upgrading = c->state == CLIENT_SIGN_IN;
	struct passage *p = c->passage;
	uint8_t *held = p->held;
	size_t held_len = p->held_len;

	p->login = NULL;
	p->held = NULL;
	p->held_len = 0;
	result = client_judge(c, result, id, len);
	if (!c->broken) {
		client_listen(c);
		if (upgrading) {
			handshake_signed_in(c, result);
		} else {
			c->state = CLIENT_OPEN;
			session_signed_in(c, result);
		}
		client_input(c, held, held_len);
	}
	freezero(held, held_len);
	client_served(c);
}

/* ---- frames ---- */

/* One token of the node's for this address, one of the connection's own. */
static void
client_limit_message(struct client *c)
{
	struct worker *w = c->worker;
	const struct settings *conf = w->settings;
	uint8_t key[16];

	if (c->remote != NULL) {
		remote_message_begins(c);
		return;
	}
	c->messages_in++;
	addr_limit_key(&c->addr, key);
	if (!shared_ip_allow(w->shared, key, &conf->ip_rate, w->now)) {
		++*client_counter(c, COUNT_IP_RATE_LIMIT_VIOLATIONS);
		++*client_counter(c, COUNT_REJECT_RATE_LIMIT);
		client_warn(c, CATEGORY_IP_RATE_LIMIT, "too many messages",
		    "ip rate limit exceeded");
		client_close(c, WS_POLICY, "ip rate limit exceeded");
		return;
	}
	if (!limit_allow(&c->rate, conf->node.rate_limit_rps,
		conf->node.rate_limit_burst, w->now)) {
		++*client_counter(c, COUNT_RATE_LIMIT_VIOLATIONS);
		++*client_counter(c, COUNT_REJECT_RATE_LIMIT);
		client_warn(c, CATEGORY_RATE_LIMIT, "too many messages",
		    "rate limit exceeded");
		client_close(c, WS_POLICY, "rate limit exceeded");
	}
}

static void
client_message(struct client *c, const struct ws_frame *f)
{
	if (c->remote != NULL && !remote_message_ends(c))
		return;
	if (f->opcode == WS_OP_BINARY)
		session_binary(c);
	else
		session_text(c, (char *)f->data, f->len);
}

/* False when there were too many control frames. */
static bool
client_limit_control(struct client *c)
{
	uint32_t rps = c->worker->settings->node.control_limit_rps;

	/* A burst of two seconds' worth. */
	if (limit_allow(&c->control_rate, rps, 2 * rps, c->worker->now))
		return true;
	if (c->remote != NULL) {
		remote_end(c, DIST_RATE_LIMITED, "too many control frames");
		return false;
	}
	++*client_counter(c, COUNT_RATE_LIMIT_VIOLATIONS);
	++*client_counter(c, COUNT_REJECT_RATE_LIMIT);
	client_warn(c, CATEGORY_RATE_LIMIT, "too many control frames",
	    "rate limit exceeded");
	client_close(c, WS_POLICY, "rate limit exceeded");
	return false;
}

static void
client_ping(struct client *c, const struct ws_frame *f)
{
	if (client_limit_control(c) && output_put_frame(&c->worker->output,
					   WS_OP_PONG, f->data, f->len) == -1)
		client_no_memory(c);
}

static void
client_failed(struct client *c, const struct ws_frame *f)
{
	if (f->code == WS_TOO_BIG && c->remote != NULL) {
		remote_fail(c, DIST_MESSAGE_TOO_LARGE, NULL);
		return;
	}
	if (f->code == WS_TOO_BIG) {
		++*client_counter(c, COUNT_OVERSIZE_MESSAGES);
		++*client_counter(c, COUNT_REJECT_TOO_LARGE);
		client_warn(
		    c, CATEGORY_TOO_LARGE, "message refused", f->reason);
	} else {
		++*client_counter(c, COUNT_PROTOCOL_ERRORS);
		client_log(c, LEVEL_DEBUG, "protocol error", f->reason);
	}
	client_close(c, f->code, f->reason);
}

/* Input that came too early waits in memory, and no more is read. */
static void
client_keep_input(struct client *c, const uint8_t *data, size_t len)
{
	struct passage *p = c->passage;

	event_del(&c->readable);
	if (len == 0)
		return;
	if ((p->held = malloc(len)) == NULL) {
		client_no_memory(c);
		return;
	}
	memcpy(p->held, data, len);
	p->held_len = len;
}

static void
client_frames(struct client *c, uint8_t *data, size_t len)
{
	struct ws_frame f;
	enum ws_event ev;

	while (c->state == CLIENT_OPEN && !c->broken &&
	       (ev = ws_next(&c->ws, &data, &len, &f)) != WS_MORE) {
		switch (ev) {
		case WS_BEGIN:
			client_limit_message(c);
			break;
		case WS_MESSAGE:
			client_message(c, &f);
			break;
		case WS_PING:
			client_ping(c, &f);
			break;
		case WS_PONG:
			client_limit_control(c);
			break;
		case WS_CLOSE:
			client_close(c, f.code, "closed by the client");
			break;
		case WS_FAIL:
			client_failed(c, &f);
			break;
		case WS_MORE:
			break;
		}
	}
	if (c->remote != NULL)
		remote_input_ends(c);
	/* Auth is being asked: the rest must wait. */
	if (c->state == CLIENT_GREETING)
		client_keep_input(c, data, len);
}

void
client_hold(struct client *c)
{
	c->state = CLIENT_GREETING;
}

static void
client_input(struct client *c, uint8_t *data, size_t len)
{
	size_t used;

	if (c->state == CLIENT_HTTP && len > 0) {
		used = handshake_input(c, data, len);
		data += used;
		len -= used;
	}
	switch (c->state) {
	case CLIENT_SIGN_IN:
	case CLIENT_GREETING:
		client_keep_input(c, data, len);
		break;
	case CLIENT_OPEN:
		client_frames(c, data, len);
		break;
	default:
		break;
	}
}

/* ---- events ---- */

/* A peer that has only stopped sending still gets our last words. */
static void
client_read_end(struct client *c)
{
	if (c->state == CLIENT_CLOSING && passage_is_stuck(c))
		event_del(&c->readable);
	else
		c->broken = true;
}

/* False when there was nothing. */
static bool
client_read_once(struct client *c)
{
	struct tls *tls = client_tls(c);
	struct worker *w = c->worker;
	ssize_t n;

	n = tls == NULL ? recv(client_fd(c), w->input, sizeof(w->input), 0)
			: tls_read(tls, w->input, sizeof(w->input));
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			c->broken = true;
		return false;
	}
	if (n == 0) {
		client_read_end(c);
		return false;
	}
	c->bytes_in += n;
	*client_counter(c, COUNT_BYTES_IN) += n;
	client_input(c, w->input, n);
	/*
	 * A key may be anywhere in it, in a second hello as in the first, and
	 * also when none is wanted: the next input need not cover it.
	 */
	explicit_bzero(w->input, n);
	return true;
}

/*
 * No more is read from it while its messages could not be logged.  What it has
 * said may be waiting in the socket, so meanwhile it is late for nothing.
 * That is not for ever: ltp-audit takes the records or says that it cannot,
 * and one that does neither is replaced by the supervisor.
 */
static bool
client_park(struct client *c)
{
	if (c->state != CLIENT_OPEN || journal_state(c->worker) != JOURNAL_WAIT)
		return false;
	event_del(&c->readable);
	c->parked = true;
	c->worker->journal.parked = true;
	if (c->remote != NULL)
		remote_quiet(c);
	return true;
}

/* TLS hands out one record at a time. */
static void
client_read_records(struct client *c, struct tls *tls)
{
	tls_wake(tls);
	while (client_read_once(c) && !c->broken &&
	       c->state != CLIENT_SIGN_IN && c->state != CLIENT_GREETING &&
	       !client_park(c))
		continue;
	tls_sleep(tls);
}

static void
client_read(struct client *c)
{
	struct tls *tls = client_tls(c);

	if (tls == NULL)
		client_read_once(c);
	else
		client_read_records(c, tls);
}

/* Its time begins anew, whatever it is to do. */
static void
client_on_time(struct client *c)
{
	client_seen(c);
	if (passage_is_timed(c))
		client_time(c, c->worker->now);
	if (c->remote != NULL)
		remote_input_ends(c);
}

void
client_unpark(struct client *c)
{
	if (c->parked && c->state == CLIENT_OPEN) {
		client_on_time(c);
		if (!passage_is_stuck(c))
			client_listen(c);
	}
	c->parked = false;
}

static void
client_event(int fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	worker_wake(c->worker);
	if ((what & EV_WRITE) != 0) {
		client_flush(c);
		if (!passage_is_stuck(c) && !c->broken &&
		    (c->state == CLIENT_OPEN || c->state == CLIENT_HTTP))
			client_listen(c);
	}
	if ((what & EV_READ) != 0 && !client_park(c))
		client_read(c);
	client_served(c);
}

/* From now on it is a client like any other. */
static void
client_take_back(struct client *c)
{
	int fd = client_fd(c);

	event_del(&c->readable);
	event_assign(&c->readable, c->worker->base, fd, EV_READ | EV_PERSIST,
	    client_event, c);
	if (event_add(&c->readable, NULL) == -1)
		client_no_memory(c);
}

void
client_secured(struct client *c)
{
	client_take_back(c);
	c->state = CLIENT_HTTP;
	if (c->refused)
		client_refuse_one_more(c);
	else if (!c->broken)
		client_read(c);
	client_served(c);
}

void
client_insecure(struct client *c)
{
	client_take_back(c);
	c->state = CLIENT_CLOSING;
	client_served(c);
}

void
client_expired(struct client *c)
{
	switch (c->state) {
	case CLIENT_TLS:
		secure_expired(c);
		break;
	case CLIENT_HTTP:
	case CLIENT_SIGN_IN:
		passage_untime(c);
		if (c->remote != NULL) {
			remote_refuse(c, DIST_HANDSHAKE_TIMEOUT, 408,
			    "handshake timeout");
			break;
		}
		++*client_counter(c, COUNT_HANDSHAKE_TIMEOUTS);
		handshake_refuse(c, 408, CATEGORY_HANDSHAKE,
		    "handshake timeout", "handshake timeout");
		break;
	case CLIENT_OPEN:
	case CLIENT_GREETING:
		if (c->parked) {
			client_time(c, c->worker->now);
			break;
		}
		passage_untime(c);
		if (c->remote != NULL) {
			remote_fail(c, DIST_HANDSHAKE_TIMEOUT, NULL);
			break;
		}
		++*client_counter(c, COUNT_HANDSHAKE_TIMEOUTS);
		client_warn(
		    c, CATEGORY_HANDSHAKE, "closing", "handshake timeout");
		client_close(c, WS_POLICY, "handshake timeout");
		break;
	default:
		c->broken = true;
		break;
	}
	client_served(c);
}

void
client_idle(struct client *c)
{
	if (c->session != NULL)
		++*client_counter(c, COUNT_EXPIRED_TTL);
	client_log(c, LEVEL_DEBUG, "expired", "idle timeout");
	client_close(c, WS_GOING_AWAY, "idle timeout");
	client_served(c);
}

void
client_revoked(struct client *c)
{
	client_log(c, LEVEL_INFO, "closing", "key revoked");
	client_close(c, WS_POLICY, "key revoked");
	client_served(c);
}

void
client_shutdown(struct client *c)
{
	switch (c->state) {
	case CLIENT_TLS:
		c->passage->close_reason = "shutting down";
		c->broken = true;
		break;
	case CLIENT_HTTP:
	case CLIENT_SIGN_IN:
		handshake_refuse(c, 503, CATEGORY_HANDSHAKE, "shutting down",
		    "shutting down");
		break;
	case CLIENT_CLOSING:
		break;
	default:
		client_close(c, WS_GOING_AWAY, "shutting down");
		break;
	}
	client_served(c);
}
