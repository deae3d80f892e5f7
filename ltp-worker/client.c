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
#include "session.h"
#include "shared.h"
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

/* ---- the log ---- */

static void
client_describe(const struct client *c, char *buf, size_t size)
{
	char peer[ADDR_TEXT_MAX], ip[ADDR_TEXT_MAX], vis[LTP_ID_MAX];
	struct str id = { "", 0 };

	if (c->session != NULL)
		id = c->session->client_id;
	else if (c->identity != NULL) {
		id.p = c->identity;
		id.len = strlen(c->identity);
	}
	log_vis(vis, sizeof(vis), id.p, id.len);
	snprintf(buf, size, "remote_addr=%s client_ip=%s%s%s",
	    addr_print(&c->peer, peer), addr_print_ip(&c->client_ip, ip),
	    id.len > 0 ? " client_id=" : "", vis);
}

void
client_log(const struct client *c, enum log_level level, const char *what,
    const char *reason)
{
	char who[512];

	if (level > log_get_level())
		return;
	client_describe(c, who, sizeof(who));
	if (reason == NULL)
		log_at(level, "client %llu: %s %s", (unsigned long long)c->id,
		    what, who);
	else
		log_at(level, "client %llu: %s %s reason=\"%s\"",
		    (unsigned long long)c->id, what, who, reason);
}

bool
client_warn(struct client *c, enum log_category category, const char *what,
    const char *reason)
{
	if (!count_may_log(&c->worker->count, category, c->worker->now))
		return false;
	client_log(c, LEVEL_WARN, what, reason);
	return true;
}

static void
client_log_end(const struct client *c)
{
	char who[512];

	if (log_get_level() < LEVEL_INFO)
		return;
	client_describe(c, who, sizeof(who));
	log_info("client %llu: closed %s duration_ms=%lld messages_in=%llu "
		 "messages_out=%llu bytes_in=%llu bytes_out=%llu code=%u "
		 "reason=\"%s\"",
	    (unsigned long long)c->id, who,
	    (long long)monotime_diff_ms(c->worker->now, c->accepted),
	    (unsigned long long)c->messages_in,
	    (unsigned long long)c->messages_out,
	    (unsigned long long)c->bytes_in, (unsigned long long)c->bytes_out,
	    c->close_code,
	    c->close_reason == NULL ? "connection lost" : c->close_reason);
}

/* ---- deadlines ---- */

static void
client_untime(struct client *c)
{
	struct worker *w = c->worker;

	if (c->timed_on == TIMED_GREETING)
		TAILQ_REMOVE(&w->greeting, c, timed);
	else if (c->timed_on == TIMED_LINGERING)
		TAILQ_REMOVE(&w->lingering, c, timed);
	c->timed_on = TIMED_NONE;
}

/* Both lists stay sorted: the time-outs are constants but for a reload. */
static void
client_time(struct client *c, enum client_timed list, struct monotime deadline)
{
	struct worker *w = c->worker;

	client_untime(c);
	c->deadline = deadline;
	c->timed_on = list;
	if (list == TIMED_GREETING)
		TAILQ_INSERT_TAIL(&w->greeting, c, timed);
	else
		TAILQ_INSERT_TAIL(&w->lingering, c, timed);
	worker_set_deadline(w);
}

void
client_greeted(struct client *c)
{
	if (c->timed_on != TIMED_GREETING)
		return;
	client_untime(c);
	address_release_half_open(c);
	c->seen = c->worker->now;
	hist_observe(&c->worker->count.now.hist[HIST_HANDSHAKE],
	    monotime_diff_us(c->worker->now, c->accepted));
}

/* ---- the beginning and the end ---- */

void
client_no_memory(struct client *c)
{
	c->broken = true;
	if (c->close_reason == NULL)
		c->close_reason = "out of memory";
}

void
client_forget_login(struct client *c)
{
	if (c->login != NULL)
		login_cancel(c->worker, c->login);
	c->login = NULL;
}

void
client_new(struct worker *w, int fd, const struct msg_conn *m)
{
	struct client *c;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		log_warn("client %llu", (unsigned long long)m->id);
		shared_give(w->shared,
		    m->refuse ? SHARED_REFUSALS : SHARED_CONNS, w->slot);
		close(fd);
		return;
	}
	c->worker = w;
	c->id = m->id;
	c->fd = fd;
	c->state = CLIENT_HTTP;
	c->refused = m->refuse;
	memcpy(c->peer.ip, m->ip, sizeof(c->peer.ip));
	c->peer.port = m->port;
	c->peer.v4 = m->v4;
	c->client_ip = c->peer;
	addr_limit_key(&c->peer, c->limit_key);
	c->accepted.us = m->accepted_us;
	c->seen = w->now;
	ws_init(&c->ws, w->settings->node.max_message_bytes, false);
	TAILQ_INSERT_TAIL(&w->clients, c, all);
	w->nclients++;
	hist_observe(&w->count.now.hist[HIST_ACCEPT],
	    monotime_diff_us(w->now, c->accepted));
	if (event_assign(&c->readable, w->base, fd, EV_READ | EV_PERSIST,
		client_event, c) == -1 ||
	    event_add(&c->readable, NULL) == -1) {
		client_no_memory(c);
		client_free(c);
		return;
	}
	client_time(c, TIMED_GREETING,
	    monotime_add_ms(
		c->accepted, w->settings->node.handshake_timeout_ms));
	if (w->draining)
		handshake_refuse(c, 503, CATEGORY_HANDSHAKE, "shutting down",
		    "shutting down");
	else if (c->refused)
		handshake_refuse(c, 503, CATEGORY_HANDSHAKE,
		    "connection limit reached", "connection limit reached");
	else if (!settings_is_proxy(w->settings, &c->peer) &&
		 !address_hold(c, &c->peer))
		handshake_refuse_address(c);
	if (c->state == CLIENT_CLOSING)
		client_served(c);
}

static void
client_drop_held(struct client *c)
{
	freezero(c->held, c->held_len);
	c->held = NULL;
	c->held_len = 0;
}

void
client_free(struct client *c)
{
	struct worker *w = c->worker;

	client_log_end(c);
	client_untime(c);
	address_release(c);
	client_forget_login(c);
	session_free(c);
	upgrade_free(c->upgrade);
	ws_clear(&c->ws);
	client_drop_held(c);
	free(c->out);
	if (c->identity != NULL)
		login_left(w, c->identity, strlen(c->identity));
	free(c->identity);
	event_del(&c->readable);
	if (c->writable != NULL)
		event_free(c->writable);
	close(c->fd);
	shared_give(
	    w->shared, c->refused ? SHARED_REFUSALS : SHARED_CONNS, w->slot);
	TAILQ_REMOVE(&w->clients, c, all);
	w->nclients--;
	free(c);
	worker_client_gone(w);
}

/* ---- output ---- */

/* Keep what the socket did not take; from now on it is not read from. */
static void
client_keep_output(struct client *c, const uint8_t *data, size_t len)
{
	size_t left = c->out_len - c->out_done;
	uint8_t *grown;

	if (c->out != NULL && c->out_done > 0) {
		memmove(c->out, c->out + c->out_done, left);
		c->out_len = left;
		c->out_done = 0;
	}
	if ((grown = realloc(c->out, left + len)) == NULL) {
		client_no_memory(c);
		return;
	}
	memcpy(grown + left, data, len);
	c->out = grown;
	c->out_len = left + len;
	if (c->writable == NULL)
		c->writable = event_new(c->worker->base, c->fd,
		    EV_WRITE | EV_PERSIST, client_event, c);
	if (c->writable == NULL || event_add(c->writable, NULL) == -1)
		client_no_memory(c);
	if (c->state != CLIENT_CLOSING)
		event_del(&c->readable);
}

/* Returns how many bytes the socket took. */
static size_t
client_write(struct client *c, const uint8_t *data, size_t len)
{
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
			c->broken = true;
		return 0;
	}
	c->bytes_out += n;
	*client_counter(c, COUNT_BYTES_OUT) += n;
	return n;
}

static void
client_flush(struct client *c)
{
	struct output *o = &c->worker->output;
	size_t done;

	if (c->out == NULL) {
		done = o->len == 0 ? 0 : client_write(c, o->data, o->len);
		if (done < o->len && !c->broken)
			client_keep_output(c, o->data + done, o->len - done);
	} else {
		if (o->len > 0)
			client_keep_output(c, o->data, o->len);
		c->out_done += client_write(
		    c, c->out + c->out_done, c->out_len - c->out_done);
	}
	output_reset(o);
	if (c->out != NULL && c->out_done == c->out_len) {
		free(c->out);
		c->out = NULL;
		c->out_len = c->out_done = 0;
		event_free(c->writable);
		c->writable = NULL;
	}
}

/*
 * Our last word is said or on its way.  When it has left, say that nothing
 * follows, and leave the peer a moment to read it, before a reset could
 * destroy it.
 */
static void
client_linger(struct client *c)
{
	if (c->timed_on != TIMED_LINGERING)
		client_time(c, TIMED_LINGERING,
		    monotime_add_ms(c->worker->now, CLIENT_LINGER_MS));
	if (c->out == NULL && !c->shut) {
		shutdown(c->fd, SHUT_WR);
		c->shut = true;
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
	c->close_code = code;
	c->close_reason = reason;
	if (code != WS_NO_STATUS)
		n = ws_close_payload(payload, code, reason);
	if (output_put_frame(&c->worker->output, WS_OP_CLOSE, payload, n) == -1)
		client_no_memory(c);
	c->state = CLIENT_CLOSING;
	session_end(c);
	client_forget_login(c);
	ws_clear(&c->ws);
}

/*
 * The first proof makes the identity; a second one must be of the same.
 */
static enum login_result
client_identify(struct client *c, const char *id, size_t len)
{
	if (c->identity == NULL) {
		if ((c->identity = strndup(id, len)) != NULL)
			return LOGIN_GRANTED;
		client_no_memory(c);
	}
	/* Auth counts connections, not proofs. */
	login_left(c->worker, id, len);
	if (c->identity == NULL || strlen(c->identity) != len ||
	    memcmp(c->identity, id, len) != 0)
		return LOGIN_REFUSED;
	return LOGIN_GRANTED;
}

void
client_signed_in(
    struct client *c, enum login_result result, const char *id, size_t len)
{
	bool upgrading = c->state == CLIENT_SIGN_IN;
	uint8_t *held = c->held;
	size_t held_len = c->held_len;

	c->login = NULL;
	c->held = NULL;
	c->held_len = 0;
	if (result == LOGIN_GRANTED)
		result = client_identify(c, id, len);
	if (!c->broken) {
		event_add(&c->readable, NULL);
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

	c->messages_in++;
	if (conf->ip_rate.count > 0 &&
	    !shared_ip_allow(w->shared, c->limit_key, &conf->ip_rate, w->now)) {
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
	event_del(&c->readable);
	if (len == 0)
		return;
	if ((c->held = malloc(len)) == NULL) {
		client_no_memory(c);
		return;
	}
	memcpy(c->held, data, len);
	c->held_len = len;
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
	if (c->state == CLIENT_CLOSING && c->out != NULL)
		event_del(&c->readable);
	else
		c->broken = true;
}

static void
client_read(struct client *c)
{
	struct worker *w = c->worker;
	ssize_t n;

	n = recv(c->fd, w->input, sizeof(w->input), 0);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR)
			c->broken = true;
		return;
	}
	if (n == 0) {
		client_read_end(c);
		return;
	}
	c->bytes_in += n;
	*client_counter(c, COUNT_BYTES_IN) += n;
	client_input(c, w->input, n);
	/*
	 * A key may be anywhere in it, in a second hello as in the first, and
	 * also when none is wanted: the next input need not cover it.
	 */
	explicit_bzero(w->input, n);
}

/* No more is read from it while its messages could not be logged. */
static bool
client_park(struct client *c)
{
	if (c->state != CLIENT_OPEN || journal_state(c->worker) != JOURNAL_WAIT)
		return false;
	event_del(&c->readable);
	c->parked = true;
	return true;
}

void
client_unpark(struct client *c)
{
	if (c->parked && c->state == CLIENT_OPEN && c->out == NULL)
		event_add(&c->readable, NULL);
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
		if (c->out == NULL && !c->broken &&
		    (c->state == CLIENT_OPEN || c->state == CLIENT_HTTP))
			event_add(&c->readable, NULL);
	}
	if ((what & EV_READ) != 0 && !client_park(c))
		client_read(c);
	client_served(c);
}

void
client_expired(struct client *c)
{
	switch (c->state) {
	case CLIENT_HTTP:
	case CLIENT_SIGN_IN:
		++*client_counter(c, COUNT_HANDSHAKE_TIMEOUTS);
		client_untime(c);
		handshake_refuse(c, 408, CATEGORY_HANDSHAKE,
		    "handshake timeout", "handshake timeout");
		break;
	case CLIENT_OPEN:
	case CLIENT_GREETING:
		++*client_counter(c, COUNT_HANDSHAKE_TIMEOUTS);
		client_untime(c);
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
