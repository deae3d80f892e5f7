/*
 * What the node has counted.
 */
#include "counters.h"

#include "auditlog.h"
#include "chan.h"
#include "logfile.h"
#include "parent.h"
#include "pool.h"
#include "shared.h"
#include "tokens.h"

/*
 * No worker can count so much between two reports; one that says so would
 * make a counter go down by wrapping it.
 */
#define COUNTERS_DELTA_MAX (UINT64_C(1) << 40)

/*
 * Here a counter stays, whatever workers say: the doubles that readers make
 * of it are exact no further.
 */
#define COUNTERS_MAX (UINT64_C(1) << 53)

/* What the supervisor counts itself; no worker has anything to add. */
static const enum counter counters_own[] = {
	COUNT_KEYS_RELOAD_SUCCESS,
	COUNT_KEYS_RELOAD_FAILURE,
	COUNT_CONNECTIONS,
	COUNT_CONNECTIONS_REFUSED,
	COUNT_ACCEPT_PAUSES,
	COUNT_RESTARTS_WORKER,
	COUNT_RESTARTS_AUTH,
	COUNT_RESTARTS_METRICS,
	COUNT_RESTARTS_AUDIT,
	COUNT_RESTARTS_SIGN,
	COUNT_CHANNEL_VIOLATIONS,
	COUNT_LOG_DROPPED,
	COUNT_RELOADS,
	COUNT_RELOAD_FAILURES,
	COUNT_AUDIT_LINES,
	COUNT_AUDIT_ERRORS,
	COUNT_TOKENS_RELOAD_FAILURE,
	COUNT_TLS_RELOAD_FAILURE,
};

/* ltp-sign has one thing to count, and nobody else counts that. */
static bool
counters_of_sign(const struct counters *delta)
{
	const uint64_t *word = (const uint64_t *)delta;
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i++) {
		if (word[i] != 0 &&
		    &word[i] != &delta->n[COUNT_TLS_SIGN_REFUSED])
			return false;
	}
	return true;
}

static bool
counters_plausible(const struct counters *delta, enum role role)
{
	const uint64_t *word = (const uint64_t *)delta;
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i++) {
		if (word[i] > COUNTERS_DELTA_MAX)
			return false;
	}
	if (role == ROLE_SIGN)
		return counters_of_sign(delta);
	if (delta->n[COUNT_TLS_SIGN_REFUSED] != 0)
		return false;
	for (i = 0; i < sizeof(counters_own) / sizeof(counters_own[0]); i++) {
		if (delta->n[counters_own[i]] != 0)
			return false;
	}
	return true;
}

static void
counters_take(struct counters *to, const struct counters *delta)
{
	const uint64_t *more = (const uint64_t *)delta;
	uint64_t *word = (uint64_t *)to, room;
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i++) {
		room = word[i] < COUNTERS_MAX ? COUNTERS_MAX - word[i] : 0;
		word[i] += more[i] < room ? more[i] : room;
	}
}

bool
counters_report(struct parent *p, struct child *c, const struct msg_count *m)
{
	if (!counters_plausible(&m->delta, c->role) ||
	    m->expired_last_sweep > COUNTERS_DELTA_MAX)
		return false;
	counters_take(&p->counters, &m->delta);
	c->expired_last_sweep = m->expired_last_sweep;
	return true;
}

/* Of both kinds; those of a bad token file let nobody in. */
static uint64_t
counters_keys(const struct parent *p)
{
	uint64_t keys = p->keys == NULL ? 0 : p->keys->count;

	return p->tokens->shut ? keys : keys + p->tokens->count;
}

void
counters_snapshot(const struct parent *p, struct msg_stat *st)
{
	const struct pool *pool = p->pool;
	size_t i;

	*st = (struct msg_stat){ .counters = p->counters };
	st->counters.n[COUNT_LOG_DROPPED] += logfile_dropped();
	st->gauges[GAUGE_CONNECTIONS] = shared_total(p->shared, SHARED_CONNS);
	st->gauges[GAUGE_SESSIONS] = shared_total(p->shared, SHARED_SESSIONS);
	st->gauges[GAUGE_AUTH_KEYS] = counters_keys(p);
	st->gauges[GAUGE_WORKERS] = pool_workers_ready(pool);
	st->gauges[GAUGE_AUDIT_WRITABLE] = auditlog_writable(p->auditlog);
	st->gauges[GAUGE_AUDIT_NEXT] = auditlog_next(p->auditlog);
	st->audit_configured = p->auditlog != NULL;
	st->audit_required = p->auditlog != NULL && p->conf->audit_required;
	for (i = 0; i < pool->nworkers; i++)
		st->gauges[GAUGE_JANITOR_LAST_SWEEP] +=
		    pool->child[i].expired_last_sweep;
	st->uptime_ms = monotime_diff_ms(monotime_now(), p->started);
	st->auth_configured = pool->auth != NULL;
	st->auth_ready = pool->auth != NULL && pool->auth->state == CHILD_READY;
	/* It may run for tokens alone. */
	st->keys_usable = p->conf->auth_mode == AUTH_MODE_NONE ||
			  (p->keys != NULL && p->keys->count > 0);
	st->draining = p->stopping;
	st->workers_configured = pool->nworkers;
}

void
counters_publish(const struct parent *p)
{
	const struct child *metrics = p->pool->metrics;
	struct msg_process proc;
	struct msg_stat st;
	size_t i;

	/* At the end it is left without a channel, and may take its time. */
	if (metrics == NULL || metrics->state != CHILD_READY ||
	    metrics->ch == NULL)
		return;
	/* What is not sent now is sent in a second; a queue helps nobody. */
	if (chan_queued(metrics->ch) > 0)
		return;
	counters_snapshot(p, &st);
	chan_send(metrics->ch, MSG_STAT, &st, sizeof(st), NULL, 0);
	pool_describe(p, NULL, &proc);
	chan_send(metrics->ch, MSG_STAT_PROCESS, &proc, sizeof(proc), NULL, 0);
	for (i = 0; i < p->pool->count; i++) {
		const struct child *c = &p->pool->child[i];

		pool_describe(p, c, &proc);
		/* A counter of a place must not go down with its process. */
		proc.cpu_us =
		    c->dead_cpu_us + (proc.cpu_us > 0 ? proc.cpu_us : 0);
		proc.last = i + 1 == p->pool->count;
		chan_send(metrics->ch, MSG_STAT_PROCESS, &proc, sizeof(proc),
		    NULL, 0);
	}
}
