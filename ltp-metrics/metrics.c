/*
 * Metrics.  Tells scrapers and probes how the node is: /metrics, /health and
 * /livez.  It holds the HTTP listener and the last snapshot that the
 * supervisor sent, once a second; it hears the supervisor, and strangers who
 * speak HTTP.  It knows no key, no configuration and no client, asks nobody
 * anything, and answers from the snapshot alone: a scrape costs the rest of
 * the node nothing.
 */
#include "config.h"

#include <event2/buffer.h>
#include <event2/event.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chan.h"
#include "child.h"
#include "childlog.h"
#include "exposition.h"
#include "health.h"
#include "log.h"
#include "monotime.h"
#include "msg.h"
#include "sandbox.h"
#include "web.h"

struct metrics {
	struct event_base *base;
	struct chan *parent;
	struct web *web;
	int listener; /* until it is served; -1 before and after */
	bool started; /* in the sandbox */
	bool serving; /* at work */

	/* The configuration that is being sent. */
	bool begun;
	bool complete; /* acknowledged, to be committed */
	uint32_t generation;
	enum log_level level;

	struct snapshot snapshot;
	/* The round of MSG_STAT_PROCESS that is coming in. */
	struct msg_process round[SNAPSHOT_PROCESSES];
	size_t nround;
};

static void metrics_dispatch_parent(struct chan *, struct msg *, void *);
static void metrics_parent_gone(struct chan *, enum chan_end, void *);
static void metrics_event_log(int, const char *);
static int metrics_print(struct evbuffer *, void *);
static int metrics_print_health(struct evbuffer *, void *);
static int metrics_print_livez(struct evbuffer *, void *);

static const struct chan_ops parent_ops = {
	.message = metrics_dispatch_parent,
	.gone = metrics_parent_gone,
};

static const struct web_page pages[] = {
	{ "/metrics", EXPOSITION_TYPE, metrics_print },
	{ "/health", HEALTH_TYPE, metrics_print_health },
	{ "/livez", "text/plain", metrics_print_livez },
	{ NULL, NULL, NULL },
};

static int
metrics_main(int argc, char *argv[])
{
	struct metrics *m;

	child_start(ROLE_METRICS, argc, argv);
	/* Each of these would open a file at its first use. */
	tzset();
	json_object_seed(0);
	event_set_log_callback(metrics_event_log);
	if ((m = calloc(1, sizeof(*m))) == NULL)
		fatal("metrics");
	m->listener = -1;
	if ((m->base = event_base_new()) == NULL)
		fatalx("no event base");
	if ((m->web = web_new(m->base, pages, m)) == NULL)
		fatal("http");
	m->parent = chan_new(m->base, CHILD_CHANNEL_FD, ROLE_METRICS,
	    ROLE_PARENT, &parent_ops, m);
	if (m->parent == NULL)
		fatal("channel");
	childlog_start(m->parent);
	event_base_dispatch(m->base);
	fatalx("event loop ended");
}

int
main(int argc, char *argv[])
{
	return metrics_main(argc, argv);
}

/* libevent's own words would go to stderr, which nobody reads by then. */
static void
metrics_event_log(int severity, const char *text)
{
	static const enum log_level levels[] = {
		[EVENT_LOG_DEBUG] = LEVEL_DEBUG,
		[EVENT_LOG_MSG] = LEVEL_INFO,
		[EVENT_LOG_WARN] = LEVEL_WARN,
		[EVENT_LOG_ERR] = LEVEL_ERROR,
	};

	if (severity < EVENT_LOG_DEBUG || severity > EVENT_LOG_ERR)
		severity = EVENT_LOG_ERR;
	log_at(levels[severity], "libevent: %s", text);
}

/* ---- life and configuration ---- */

static void
metrics_listener(struct metrics *m, struct msg *msg)
{
	if (m->started || m->listener != -1)
		fatalx("second listener from supervisor");
	m->listener = msg->fds[0];
	msg->fds[0] = -1;
}

static void
metrics_conf_begin(struct metrics *m, const struct msg *msg)
{
	struct msg_conf_begin begin;

	memcpy(&begin, msg->data, sizeof(begin));
	m->generation = begin.generation;
	m->level = begin.log_level;
	m->begun = true;
	m->complete = false;
}

static void
metrics_conf_end(struct metrics *m, const struct msg *msg)
{
	struct msg_conf_ack ack = { .generation = m->generation };
	struct msg_conf_end end;

	memcpy(&end, msg->data, sizeof(end));
	if (!m->begun || end.generation != m->generation || end.records != 0)
		fatalx("incomplete configuration from supervisor");
	m->begun = false;
	m->complete = true;
	if (chan_send(m->parent, MSG_CONF_ACK, &ack, sizeof(ack), NULL, 0) ==
	    -1)
		fatal("cannot acknowledge the configuration");
}

/* Shut the door.  Scrapers wait in the backlog for the first snapshot. */
static void
metrics_start(struct metrics *m)
{
	const char *why;

	if (m->listener == -1)
		fatalx("no listener from supervisor");
	child_enter(ROLE_METRICS, m->parent);
	/* No other descriptor will come. */
	if (sandbox_tighten(ROLE_METRICS, &why) == -1)
		fatal("sandbox: %s", why);
	m->started = true;
}

static void
metrics_serve(struct metrics *m)
{
	if (web_listen(m->web, m->listener) == -1)
		fatal("http");
	m->listener = -1;
	m->serving = true;
}

static void
metrics_conf_commit(struct metrics *m)
{
	if (!m->complete)
		fatalx("commit without a configuration from supervisor");
	m->complete = false;
	log_set_level(m->level);
	if (!m->started)
		metrics_start(m);
}

/* ---- the snapshot ---- */

static void
metrics_stat(struct metrics *m, const struct msg *msg)
{
	memcpy(&m->snapshot.stat, msg->data, sizeof(m->snapshot.stat));
	m->snapshot.taken = monotime_now();
	m->snapshot.valid = true;
}

/* A round replaces the last one when it is complete, never in part. */
static void
metrics_stat_process(struct metrics *m, const struct msg *msg)
{
	struct msg_process *p = &m->round[m->nround];

	if (m->nround == SNAPSHOT_PROCESSES)
		fatalx("more than %d processes from supervisor",
		    SNAPSHOT_PROCESSES);
	memcpy(p, msg->data, sizeof(*p));
	m->nround++;
	if (!p->last)
		return;
	memcpy(m->snapshot.process, m->round, m->nround * sizeof(*p));
	m->snapshot.nprocess = m->nround;
	m->nround = 0;
	if (!m->serving && m->started && m->snapshot.valid)
		metrics_serve(m);
}

static void
metrics_dispatch_parent(struct chan *ch, struct msg *msg, void *arg)
{
	struct metrics *m = arg;

	switch (msg->type) {
	case MSG_LISTENER:
		metrics_listener(m, msg);
		break;
	case MSG_CONF_BEGIN:
		metrics_conf_begin(m, msg);
		break;
	case MSG_CONF_END:
		metrics_conf_end(m, msg);
		break;
	case MSG_CONF_COMMIT:
		metrics_conf_commit(m);
		break;
	case MSG_LOG_LEVEL:
		child_log_level(msg);
		break;
	case MSG_PING:
		child_pong(ch);
		break;
	case MSG_STAT:
		metrics_stat(m, msg);
		break;
	case MSG_STAT_PROCESS:
		metrics_stat_process(m, msg);
		break;
	default:
		fatalx("%s from supervisor", msg_name(msg->type));
	}
}

static void
metrics_parent_gone(struct chan *ch, enum chan_end end, void *arg)
{
	(void)arg;
	child_parent_gone(ch, end);
}

/* ---- pages ---- */

static int
metrics_print(struct evbuffer *out, void *arg)
{
	const struct metrics *m = arg;

	if (exposition_print(out, &m->snapshot, LTPD_VERSION) == -1)
		return -1;
	return 200;
}

static int
metrics_print_health(struct evbuffer *out, void *arg)
{
	const struct metrics *m = arg;

	return health_print(out, &m->snapshot, monotime_now(), LTPD_VERSION);
}

static int
metrics_print_livez(struct evbuffer *out, void *arg)
{
	(void)arg;
	return evbuffer_add(out, "ok\n", 3) == -1 ? -1 : 200;
}
