/*
 * What evhttp lacks, around evhttp.  It has neither a limit on connections
 * nor a deadline (its time-out starts anew with each byte), and it does not
 * say when it is done with a connection.  So each connection lives on a
 * bufferevent that is made here and that this file holds a reference to:
 * evhttp gives up its own by bufferevent_free(), which takes the callbacks
 * off, and the socket is closed when the second reference goes, here.
 *
 * One timer looks at all connections, often while there are any.  It drops
 * those that evhttp is done with, and tells evhttp of a time-out on those
 * that are over their deadline.  While all places are taken the listener is
 * off, so the kernel's queue holds the others.
 */
#include "web.h"

#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "monotime.h"

#define WEB_TICK_MS      50 /* while there are connections */
#define WEB_IDLE_TICK_MS 1000 /* else, and after a failed accept */
#define WEB_HEADERS_MAX  4096 /* bytes of request line and headers */
#define WEB_BODY_MAX     1024 /* nobody here wants a body */
#define WEB_UNREAD_MAX   8192 /* bytes read and not asked for; more than both */

/*
 * All methods, those that evhttp does not know included: they get our 405
 * instead of its 501.
 */
#define WEB_METHODS 0xffff

struct web_conn {
	struct bufferevent *bev; /* NULL: a free place */
	struct monotime deadline;
};

struct web {
	struct evhttp *http;
	struct evconnlistener *listener;
	const struct web_page *pages;
	void *arg;
	struct event *tick;
	struct monotime retry; /* when to switch the listener on in any case */
	struct web_conn conns[WEB_CONNS_MAX];
	size_t nconns;
};

static void
web_tick_after(struct web *w, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	evtimer_add(w->tick, &tv);
}

/* ---- connections ---- */

static struct web_conn *
web_conn_place(struct web *w)
{
	size_t i;

	for (i = 0; i < WEB_CONNS_MAX; i++) {
		if (w->conns[i].bev == NULL)
			return &w->conns[i];
	}
	return NULL;
}

/*
 * A client sends what evhttp does not take, as an endless chunk size.  No
 * more is read; the deadline does the rest.  (With a high-water mark in place
 * of this, libevent would call evhttp again and again until then.)
 */
static void
web_conn_input(
    struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct bufferevent *bev = arg;

	if (info->n_added > 0 && evbuffer_get_length(input) > WEB_UNREAD_MAX)
		bufferevent_disable(bev, EV_READ);
}

/*
 * evhttp has accepted a connection and wants a bufferevent for it.  After
 * NULL it makes its own, which only the time-out of web_new() then guards:
 * that is for want of memory only.
 */
static struct bufferevent *
web_conn_new(struct event_base *base, void *arg)
{
	struct web *w = arg;
	struct web_conn *c = web_conn_place(w);

	if (c == NULL)
		return NULL;
	c->bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL)
		return NULL;
	bufferevent_incref(c->bev);
	evbuffer_add_cb(bufferevent_get_input(c->bev), web_conn_input, c->bev);
	c->deadline = monotime_add_ms(monotime_now(), WEB_DEADLINE_MS);
	if (w->nconns++ == 0)
		web_tick_after(w, WEB_TICK_MS);
	if (w->nconns == WEB_CONNS_MAX)
		evconnlistener_disable(w->listener);
	return c->bev;
}

/* evhttp listens to the errors of a connection as long as it has it. */
static bool
web_conn_released(const struct web_conn *c)
{
	bufferevent_event_cb event;

	bufferevent_getcb(c->bev, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void
web_conn_look(struct web *w, struct web_conn *c, struct monotime now)
{
	if (!web_conn_released(c)) {
		if (!monotime_reached(now, c->deadline))
			return;
		bufferevent_trigger_event(
		    c->bev, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
	}
	bufferevent_decref(c->bev);
	c->bev = NULL;
	w->nconns--;
}

static void
web_tick(int fd, short what, void *arg)
{
	struct web *w = arg;
	struct monotime now = monotime_now();
	bool full = w->nconns == WEB_CONNS_MAX;
	size_t i;

	(void)fd;
	(void)what;
	for (i = 0; i < WEB_CONNS_MAX; i++) {
		if (w->conns[i].bev != NULL)
			web_conn_look(w, &w->conns[i], now);
	}
	if (w->nconns < WEB_CONNS_MAX &&
	    (full || monotime_reached(now, w->retry))) {
		evconnlistener_enable(w->listener);
		w->retry = monotime_add_ms(now, WEB_IDLE_TICK_MS);
	}
	web_tick_after(w, w->nconns > 0 ? WEB_TICK_MS : WEB_IDLE_TICK_MS);
}

/*
 * Out of descriptors or memory: trying again at once would fail again.
 * arg is evhttp's, so only web_tick() can switch the listener on.
 */
static void
web_accept_failed(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	log_warn("http: accept");
	evconnlistener_disable(listener);
}

/* ---- requests ---- */

static void
web_reply(struct evhttp_request *req, int status, const char *type,
    struct evbuffer *body)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	bool head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
	char length[24];

	snprintf(length, sizeof(length), "%zu", evbuffer_get_length(body));
	/* So that evhttp does not grant a keep-alive beside our close. */
	evhttp_remove_header(
	    evhttp_request_get_input_headers(req), "Connection");
	evhttp_add_header(out, "Connection", "close");
	evhttp_add_header(out, "Content-Type", type);
	evhttp_add_header(out, "Content-Length", length);
	evhttp_add_header(out, "Cache-Control", "no-store");
	evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
	evhttp_send_reply(req, status, NULL, head ? NULL : body);
}

static const struct web_page *
web_find(const struct web *w, struct evhttp_request *req)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = evhttp_uri_get_path(uri);
	const struct web_page *p;

	for (p = w->pages; p->path != NULL; p++) {
		if (path != NULL && strcmp(p->path, path) == 0)
			return p;
	}
	return NULL;
}

static void
web_not_allowed(struct evhttp_request *req, struct evbuffer *body)
{
	evhttp_add_header(
	    evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
	evbuffer_add_printf(body, "method not allowed\n");
	web_reply(req, HTTP_BADMETHOD, "text/plain", body);
}

static void
web_not_found(
    const struct web *w, struct evhttp_request *req, struct evbuffer *body)
{
	const struct web_page *p;

	evbuffer_add_printf(body, "not found; there is");
	for (p = w->pages; p->path != NULL; p++)
		evbuffer_add_printf(body, " %s", p->path);
	evbuffer_add_printf(body, "\n");
	web_reply(req, HTTP_NOTFOUND, "text/plain", body);
}

static void
web_page_reply(const struct web *w, const struct web_page *p,
    struct evhttp_request *req, struct evbuffer *body)
{
	int status = p->print(body, w->arg);

	if (status == -1)
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
	else
		web_reply(req, status, p->type, body);
}

/* Replies at once: evhttp must never wait for us with a connection. */
static void
web_request(struct evhttp_request *req, void *arg)
{
	struct web *w = arg;
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const struct web_page *p = web_find(w, req);
	struct evbuffer *body = evbuffer_new();

	if (body == NULL)
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
	else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD)
		web_not_allowed(req, body);
	else if (p == NULL)
		web_not_found(w, req, body);
	else
		web_page_reply(w, p, req, body);
	if (body != NULL)
		evbuffer_free(body);
}

/* ---- the server ---- */

struct web *
web_new(struct event_base *base, const struct web_page *pages, void *arg)
{
	struct web *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return NULL;
	w->pages = pages;
	w->arg = arg;
	w->http = evhttp_new(base);
	w->tick = evtimer_new(base, web_tick, w);
	if (w->http == NULL || w->tick == NULL)
		goto fail;
	evhttp_set_max_headers_size(w->http, WEB_HEADERS_MAX);
	evhttp_set_max_body_size(w->http, WEB_BODY_MAX);
	evhttp_set_allowed_methods(w->http, WEB_METHODS);
	evhttp_set_timeout(w->http, WEB_DEADLINE_MS / 1000);
	evhttp_set_bevcb(w->http, web_conn_new, w);
	evhttp_set_gencb(w->http, web_request, w);
	return w;
fail:
	if (w->http != NULL)
		evhttp_free(w->http);
	if (w->tick != NULL)
		event_free(w->tick);
	free(w);
	errno = ENOMEM;
	return NULL;
}

int
web_listen(struct web *w, int fd)
{
	struct evhttp_bound_socket *bound;

	if ((bound = evhttp_accept_socket_with_handle(w->http, fd)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	w->listener = evhttp_bound_socket_get_listener(bound);
	evconnlistener_set_error_cb(w->listener, web_accept_failed);
	web_tick_after(w, WEB_IDLE_TICK_MS);
	return 0;
}
