/*
 * Reload: nothing changes until everybody has understood everything.
 */
#include "reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "auditlog.h"
#include "chan.h"
#include "keys.h"
#include "log.h"
#include "notify.h"
#include "parent.h"
#include "paths.h"
#include "pool.h"
#include "logfile.h"
#include "remotewatch.h"
#include "signing.h"
#include "tlsfiles.h"
#include "tokens.h"

/* A child that has not acknowledged by then is replaced. */
#define RELOAD_ACK_MS 2000

struct reload {
	struct conf *conf; /* NULL: something of what follows, alone */
	struct keyset *base_keys;
	bool has_keys;
	struct keyset *keys; /* NULL: there is no good set */
	struct tokens *tokens; /* NULL: those in force stay */
	struct tlsfiles *tls; /* the same */
	bool waiting; /* for ltp-sign; nobody was sent anything yet */
	uint32_t generation;
	struct event *timer;
	void (*done)(const char *error, void *arg);
	void *arg;
	bool keys_failed;
	bool failed; /* in part: old keys, tokens or certificates stay */
	char error[RELOAD_ERROR_MAX]; /* why */
};

/* What a child is to be told now. */
struct told {
	const struct conf *conf;
	const struct keyset *keys;
	const struct tokens *tokens;
	const struct tlsfiles *tls;
	uint32_t generation;
};

/* ---- what the children are told ---- */

static int
reload_send_tls(struct chan *ch, const struct told *told, uint32_t *records)
{
	struct msg_conf_tls m;
	int fd;

	if ((fd = dup(told->tls->fd)) == -1)
		return -1;
	tlsfiles_describe(told->tls, told->conf, &m);
	++*records;
	return chan_send_fds(ch, MSG_CONF_TLS, &fd, 1, &m, sizeof(m));
}

static int
reload_send_remote(struct chan *ch, const struct told *told, uint32_t *records)
{
	const struct conf_distributed *d = &told->conf->distributed;
	struct msg_conf_remote m;
	const char *id;
	size_t i;

	if (!d->enabled)
		return 0;
	memset(&m, 0, sizeof(m));
	m.max_message_bytes = d->max_message_bytes;
	m.rate_limit = d->rate_limit;
	m.handshake_timeout_ms = d->handshake_timeout_ms;
	m.message_timeout_ms = d->message_timeout_ms;
	m.idle_timeout_ms = d->idle_timeout_ms;
	m.session_ttl_secs = d->session_ttl_secs;
	m.token = (d->auth_mode & DISTRIBUTED_AUTH_TOKEN) != 0;
	m.mtls = (d->auth_mode & DISTRIBUTED_AUTH_MTLS) != 0;
	m.tls = d->tls.enabled;
	if (chan_send(ch, MSG_CONF_REMOTE, &m, sizeof(m), NULL, 0) == -1)
		return -1;
	++*records;
	for (i = 0; i < d->allow_agent_ids.count; i++, ++*records) {
		id = d->allow_agent_ids.item[i];
		if (chan_send(ch, MSG_CONF_AGENT, id, strlen(id), NULL, 0) ==
		    -1)
			return -1;
	}
	return told->tls == NULL ? 0 : reload_send_tls(ch, told, records);
}

static int
reload_send_worker(struct chan *ch, const struct told *told, uint32_t *records)
{
	const struct conf *conf = told->conf;
	struct msg_conf_worker m;
	struct msg_conf_proxy proxy;
	struct cidr cidr;
	size_t i;

	memset(&m, 0, sizeof(m));
	m.max_message_bytes = conf->max_message_bytes;
	m.max_sessions = conf->max_sessions;
	m.handshake_timeout_ms = conf->handshake_timeout_ms;
	m.idle_ttl_ms = conf->idle_ttl_ms;
	m.gc_interval_ms = conf->gc_interval_ms;
	m.rate_limit_rps = conf->rate_limit_rps;
	m.rate_limit_burst = conf->rate_limit_burst;
	m.ip_rate_limit_rps = conf->ip_rate_limit_rps;
	m.ip_rate_limit_burst = conf->ip_rate_limit_burst;
	m.control_limit_rps = conf->control_limit_rps;
	m.max_connections_per_ip = conf->max_connections_per_ip;
	m.max_half_open_per_ip = conf->max_half_open_per_ip;
	m.auth_failure_limit = conf->auth_failure_limit;
	m.auth = conf->auth_mode != AUTH_MODE_NONE;
	m.auth_in_hello = conf->auth_in_hello;
	m.dialect = conf->dialect;
	m.trust_proxy = conf->trust_proxy;
	m.audit = conf->audit_log_file != NULL;
	m.audit_required = conf->audit_required;
	m.audit_payload = conf->audit_payload;
	m.node_id_len = strlen(conf->id);
	if (chan_send(ch, MSG_CONF_WORKER, &m, sizeof(m), conf->id,
		m.node_id_len) == -1)
		return -1;
	++*records;
	for (i = 0; i < conf->allowed_origins.count; i++, ++*records) {
		const char *origin = conf->allowed_origins.item[i];

		if (chan_send(ch, MSG_CONF_ORIGIN, origin, strlen(origin), NULL,
			0) == -1)
			return -1;
	}
	for (i = 0; i < conf->allow_proxy_cidr.count; i++, ++*records) {
		if (cidr_parse(&cidr, conf->allow_proxy_cidr.item[i]) == -1)
			return -1;
		memcpy(proxy.ip, cidr.ip, sizeof(proxy.ip));
		proxy.bits = cidr.bits;
		if (chan_send(ch, MSG_CONF_PROXY, &proxy, sizeof(proxy), NULL,
			0) == -1)
			return -1;
	}
	return reload_send_remote(ch, told, records);
}

static int
reload_send_keys(struct chan *ch, const struct keyset *keys, uint32_t *records)
{
	struct msg_conf_key m;
	const struct key *k;
	int rv = 0;

	if (keys == NULL)
		return 0;
	TAILQ_FOREACH(k, &keys->keys, entry) {
		memset(&m, 0, sizeof(m));
		memcpy(m.digest, k->digest, sizeof(m.digest));
		m.id_len = strlen(k->id);
		rv =
		    chan_send(ch, MSG_CONF_KEY, &m, sizeof(m), k->id, m.id_len);
		if (rv == -1)
			break;
		++*records;
	}
	/* The key may go one day, and no other come after it. */
	explicit_bzero(&m, sizeof(m));
	return rv;
}

static int
reload_send_auth(struct chan *ch, const struct told *told, uint32_t *records)
{
	const struct conf_distributed *d = &told->conf->distributed;
	struct msg_conf_agents m = { .max_sessions = d->max_sessions };

	if (reload_send_keys(ch, told->keys, records) == -1)
		return -1;
	if (!d->enabled)
		return 0;
	if (tokens_send(told->tokens, ch, records) == -1)
		return -1;
	++*records;
	return chan_send(ch, MSG_CONF_AGENTS, &m, sizeof(m), NULL, 0);
}

static int
reload_send_all(struct child *c, const struct told *told)
{
	struct msg_conf_begin begin;
	struct msg_conf_end end;
	uint32_t records = 0;
	int rv = 0;

	memset(&begin, 0, sizeof(begin));
	begin.generation = told->generation;
	begin.slot = c->slot;
	begin.log_level = log_get_level();
	if (chan_send(c->ch, MSG_CONF_BEGIN, &begin, sizeof(begin), NULL, 0) ==
	    -1)
		return -1;
	if (c->role == ROLE_WORKER)
		rv = reload_send_worker(c->ch, told, &records);
	else if (c->role == ROLE_AUTH)
		rv = reload_send_auth(c->ch, told, &records);
	else if (c->role == ROLE_AUDIT)
		rv = auditlog_send_conf(
		    c->parent->auditlog, c->ch, told->conf, &records);
	if (rv == -1)
		return -1;
	memset(&end, 0, sizeof(end));
	end.generation = told->generation;
	end.records = records;
	end.keys_good = told->keys != NULL;
	return chan_send(c->ch, MSG_CONF_END, &end, sizeof(end), NULL, 0);
}

/* The reload whose phase one has begun, or NULL. */
static struct reload *
reload_begun(const struct parent *p)
{
	return p->reload == NULL || p->reload->waiting ? NULL : p->reload;
}

void
reload_send(struct parent *p, struct child *c)
{
	const struct reload *r = reload_begun(p);
	struct told told = { p->conf, p->keys, p->tokens, p->tls,
		p->generation };

	if (r != NULL) {
		told.generation = r->generation;
		if (r->conf != NULL)
			told.conf = r->conf;
		if (r->has_keys)
			told.keys = r->keys;
		if (r->tokens != NULL)
			told.tokens = r->tokens;
		if (r->tls != NULL)
			told.tls = r->tls;
	}
	c->acked = false;
	c->generation = told.generation;
	if (reload_send_all(c, &told) == -1)
		pool_kill(c, "cannot be sent its configuration");
}

/* ---- the two phases ---- */

static void
reload_free(struct reload *r)
{
	if (r == NULL)
		return;
	if (r->timer != NULL)
		event_free(r->timer);
	conf_free(r->conf);
	keyset_free(r->base_keys);
	keyset_free(r->keys);
	tokens_free(r->tokens);
	tlsfiles_unref(r->tls);
	free(r);
}

static void
reload_commit_child(struct child *c)
{
	if (chan_send(c->ch, MSG_CONF_COMMIT, NULL, 0, NULL, 0) == -1)
		pool_kill(c, "cannot be sent a commit");
}

static void
reload_apply_log(struct parent *p, const struct conf *conf)
{
	const char *was = p->conf->log_file, *now = conf->log_file;
	bool same =
	    was == now || (was != NULL && now != NULL && strcmp(was, now) == 0);

	if (!p->opts->debug && !same && logfile_open(now, false) == -1)
		log_warn("log_file: %s", now == NULL ? "syslog" : now);
	logfile_set_json(conf->log_format == LOG_FORMAT_JSON);
	if (conf->log_level != p->conf->log_level)
		parent_log_level(p, conf->log_level);
}

static void
reload_adopt_keys(struct parent *p, struct reload *r)
{
	if (r->keys != NULL && p->keys != NULL)
		keyset_keep_times(r->keys, p->keys);
	keyset_free(p->keys);
	p->keys = r->keys;
	r->keys = NULL;
	if (p->conf->auth_mode != AUTH_MODE_NONE && p->keys != NULL &&
	    !r->keys_failed)
		p->counters.n[COUNT_KEYS_RELOAD_SUCCESS]++;
}

static void
reload_adopt_remote(struct parent *p, struct reload *r)
{
	if (r->tokens != NULL) {
		tokens_keep_times(r->tokens, p->tokens);
		tokens_free(p->tokens);
		p->tokens = r->tokens;
		r->tokens = NULL;
		tokens_forget_variable(p->tokens);
		if (!p->tokens->shut)
			remotewatch_told_tokens(p->remotewatch, "");
	}
	if (r->tls == NULL)
		return;
	remotewatch_told_tls(p->remotewatch, "");
	if (r->tls != p->tls) {
		tlsfiles_unref(p->tls);
		p->tls = r->tls;
		r->tls = NULL;
		signing_adopted(p);
	}
}

/* What children were told holds for the supervisor too. */
static void
reload_adopt(struct parent *p, struct reload *r)
{
	if (r->conf != NULL) {
		reload_apply_log(p, r->conf);
		conf_free(p->conf);
		p->conf = r->conf;
		r->conf = NULL;
		keyset_free(p->base_keys);
		p->base_keys = r->base_keys;
		r->base_keys = NULL;
		keywatch_follow(p->keywatch);
		remotewatch_follow(p->remotewatch);
		p->counters.n[COUNT_RELOADS]++;
	}
	if (r->has_keys)
		reload_adopt_keys(p, r);
	reload_adopt_remote(p, r);
	p->generation = r->generation;
}

static const char *
reload_what(const struct reload *r)
{
	if (r->conf != NULL)
		return "done";
	if (r->tokens != NULL)
		return "new tokens";
	return r->tls != NULL ? "new certificates" : "new keys";
}

static void
reload_tell(const struct reload *r)
{
	char text[RELOAD_ERROR_MAX + sizeof("done, but ")];

	if (r->done == NULL)
		return;
	/* What was good is in force, so it is not that nothing changed. */
	snprintf(text, sizeof(text), "done, but %s", r->error);
	r->done(r->failed ? text : NULL, r->arg);
}

static void
reload_commit(struct parent *p)
{
	struct reload *r = p->reload;
	const struct keyset *keys = r->has_keys ? r->keys : p->keys;
	size_t i;

	p->reload = NULL;
	for (i = 0; i < p->pool->count; i++) {
		struct child *c = &p->pool->child[i];

		/* It may have acknowledged and died since. */
		if (c->ch != NULL && c->acked)
			reload_commit_child(c);
	}
	log_info("reload: %s generation=%u keys=%zu", reload_what(r),
	    r->generation, keys == NULL ? 0 : keys->count);
	if (r->conf != NULL)
		notify_send(
		    "READY=1\nSTATUS=serving, generation=%u", r->generation);
	reload_adopt(p, r);
	reload_tell(r);
	reload_free(r);
}

/* Commit when nobody is left to wait for. */
static void
reload_check(struct parent *p)
{
	size_t i;

	if (p->reload->waiting)
		return;
	for (i = 0; i < p->pool->count; i++) {
		const struct child *c = &p->pool->child[i];

		if (c->ch != NULL && !c->acked)
			return;
	}
	reload_commit(p);
}

static void
reload_timeout(int fd, short what, void *arg)
{
	struct parent *p = arg;
	size_t i;

	(void)fd;
	(void)what;
	if (p->reload->waiting) {
		signing_give_up(p, p->reload->tls, "ltp-sign does not answer");
		return;
	}
	for (i = 0; i < p->pool->count; i++) {
		struct child *c = &p->pool->child[i];

		if (c->ch != NULL && !c->acked)
			pool_kill(c, "did not acknowledge a configuration");
	}
	reload_check(p);
}

/*
 * The configuration is good, the keys are not: nobody new is let in, unless
 * the operator chose to keep the last good ones.
 */
static void
reload_without_keys(struct parent *p, struct reload *r)
{
	bool keep = r->conf->reload_failure == RELOAD_FAILURE_KEEP;

	p->counters.n[COUNT_KEYS_RELOAD_FAILURE]++;
	r->keys_failed = r->failed = true;
	if (keep && p->keys != NULL)
		r->keys = keyset_copy(p->keys);
	log_at(LEVEL_ERROR, "reload: %s: %s", r->error,
	    r->keys != NULL ? "the last good keys are kept"
			    : "new handshakes are refused");
}

/* The same of tokens. */
static void
reload_without_tokens(struct parent *p, struct reload *r)
{
	bool keep = r->conf->reload_failure == RELOAD_FAILURE_KEEP;

	p->counters.n[COUNT_TOKENS_RELOAD_FAILURE]++;
	r->failed = true;
	remotewatch_told_tokens(p->remotewatch, r->error);
	if (!keep && (r->tokens = tokens_copy(p->tokens)) != NULL)
		r->tokens->shut = true;
	log_at(LEVEL_ERROR, "reload: %s: %s", r->error,
	    keep ? "the last good tokens are kept"
		 : "new handshakes with a token are refused");
}

/* Certificates do not become worse by a bad file beside them. */
static void
reload_without_tls(struct parent *p, struct reload *r, const char *why)
{
	p->counters.n[COUNT_TLS_RELOAD_FAILURE]++;
	r->failed = true;
	strlcpy(r->error, why, sizeof(r->error));
	remotewatch_told_tls(p->remotewatch, why);
	log_at(LEVEL_ERROR,
	    "reload: %s: the certificate and key in use are kept", why);
}

static void
reload_load_tls(struct parent *p, struct reload *r)
{
	char why[TLSFILES_ERROR_MAX];
	struct tlsfiles *f;

	if (p->pool->sign == NULL)
		return;
	if ((f = tlsfiles_read(r->conf, why)) == NULL)
		reload_without_tls(p, r, why);
	else
		r->tls = signing_ask(p, f);
}

static int
reload_load(struct parent *p, struct reload *r, char error[RELOAD_ERROR_MAX])
{
	r->conf = conf_load(
	    p->opts->conf_path, p->env, p->opts->defs, p->opts->ndefs, error);
	if (r->conf == NULL)
		return -1;
	conf_keep_restart_only(r->conf, p->conf);
	if (conf_check_distributed(r->conf, error) == -1 ||
	    paths_check(p->paths, r->conf, error) == -1 ||
	    auditlog_check_key(r->conf, error) == -1)
		return -1;
	/* Before the secrets are wiped. */
	r->tokens = tokens_read(r->conf, p->tokens, r->error);
	if (r->tokens == NULL)
		reload_without_tokens(p, r);
	r->base_keys = keys_read_base(r->conf, p->base_keys, error);
	if (r->base_keys == NULL)
		return -1;
	r->has_keys = true;
	r->keys = keys_read_file(r->conf, r->base_keys, r->error);
	if (r->keys == NULL)
		reload_without_keys(p, r);
	reload_load_tls(p, r);
	return 0;
}

static struct reload *
reload_new(struct parent *p)
{
	struct reload *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	if ((r->timer = evtimer_new(p->base, reload_timeout, p)) == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

/* Phase one. */
static void
reload_begin(struct parent *p, struct reload *r)
{
	struct timeval tv = { .tv_sec = RELOAD_ACK_MS / 1000 };
	size_t i;

	p->reload = r;
	evtimer_add(r->timer, &tv);
	r->waiting = r->tls != NULL && r->tls->state == TLSFILES_ASKED;
	if (r->waiting)
		return;
	r->generation = ++p->last_generation;
	for (i = 0; i < p->pool->count; i++) {
		if (p->pool->child[i].ch != NULL)
			reload_send(p, &p->pool->child[i]);
	}
}

void
reload_abandon(struct parent *p)
{
	reload_free(p->reload);
	p->reload = NULL;
}

/* Why no reload can be started now, or NULL. */
static const char *
reload_obstacle(const struct parent *p)
{
	if (p->stopping)
		return "the node is stopping";
	if (!p->ready)
		return "the node is starting";
	if (p->reload != NULL && p->reload->conf != NULL)
		return "a reload is in progress";
	return NULL;
}

static int
reload_failed(struct parent *p, const char *error)
{
	p->counters.n[COUNT_RELOAD_FAILURES]++;
	log_warnx("reload: nothing changed: %s", error);
	return -1;
}

int
reload_start(struct parent *p, void (*done)(const char *, void *), void *arg,
    char error[RELOAD_ERROR_MAX])
{
	const char *obstacle = reload_obstacle(p);
	struct reload *r;

	/*
	 * A service manager waits for both words, whatever comes of it; when
	 * a reload is in progress, its end is what it will be told.
	 */
	if (p->ready && !p->stopping)
		notify_send("RELOADING=1\nMONOTONIC_USEC=%lld",
		    (long long)monotime_now().us);
	if (obstacle != NULL) {
		strlcpy(error, obstacle, RELOAD_ERROR_MAX);
		return reload_failed(p, error);
	}
	if ((r = reload_new(p)) == NULL) {
		strlcpy(error, strerror(errno), RELOAD_ERROR_MAX);
	} else if (reload_load(p, r, error) == 0) {
		/* New keys alone on their way are part of this reload. */
		reload_abandon(p);
		r->done = done;
		r->arg = arg;
		reload_begin(p, r);
		return 0;
	}
	reload_free(r);
	notify_send("READY=1\n"
		    "STATUS=serving as before, the reload has failed: "
		    "see the log");
	return reload_failed(p, error);
}

void
reload_keys(struct parent *p, struct keyset *keys)
{
	struct reload *r;

	if ((r = reload_new(p)) == NULL) {
		log_warn("keys");
		keyset_free(keys);
		return;
	}
	r->has_keys = true;
	r->keys = keys;
	reload_begin(p, r);
}

void
reload_tokens(struct parent *p, struct tokens *tokens)
{
	struct reload *r;

	if ((r = reload_new(p)) == NULL) {
		log_warn("tokens");
		tokens_free(tokens);
		return;
	}
	r->tokens = tokens;
	reload_begin(p, r);
}

void
reload_tls(struct parent *p, struct tlsfiles *tls)
{
	struct reload *r;

	if ((r = reload_new(p)) == NULL) {
		log_warn("certificates");
		tlsfiles_unref(tls);
		return;
	}
	r->tls = signing_ask(p, tls);
	reload_begin(p, r);
}

void
reload_judged(struct parent *p, const struct tlsfiles *f)
{
	struct reload *r = p->reload;
	char why[TLSFILES_ERROR_MAX];

	if (r == NULL || !r->waiting || r->tls != f)
		return;
	if (f->state == TLSFILES_GOOD) {
		reload_begin(p, r);
		return;
	}
	snprintf(why, sizeof(why), "distributed.tls: %s", f->why);
	tlsfiles_unref(r->tls);
	r->tls = NULL;
	if (r->conf == NULL) {
		reload_abandon(p);
		remotewatch_refused(p->remotewatch, why);
		return;
	}
	reload_without_tls(p, r, why);
	reload_begin(p, r);
}

void
reload_forget(struct parent *p, void *arg)
{
	if (p->reload != NULL && p->reload->arg == arg)
		p->reload->done = NULL;
}

void
reload_acked(struct parent *p, struct child *c)
{
	c->acked = true;
	if (reload_begun(p) == NULL)
		reload_commit_child(c);
	else
		reload_check(p);
}

void
reload_child_gone(struct parent *p)
{
	if (p->reload != NULL)
		reload_check(p);
}
