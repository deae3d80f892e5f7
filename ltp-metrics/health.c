/*
 * The verdict on the node, for load balancers and probes: a status for them,
 * and JSON with the reason for whoever reads it.
 */
#include "health.h"

#include <event2/buffer.h>

#include <jansson.h>
#include <stdio.h>
#include <time.h>

#define TIMESTAMP_SIZE sizeof("9999-12-31T23:59:59.999Z")

static bool
health_workers(const struct msg_stat *st)
{
	return st->gauges[GAUGE_WORKERS] > 0;
}

static bool
health_auth(const struct msg_stat *st)
{
	return !st->auth_configured || (st->auth_ready && st->keys_usable);
}

static const char *
health_status(bool ok)
{
	return ok ? "healthy" : "unhealthy";
}

const char *
health_reason(const struct snapshot *s, struct monotime now)
{
	const struct msg_stat *st = &s->stat;

	if (!s->valid)
		return "the supervisor has not reported yet";
	if (monotime_diff_ms(now, s->taken) > HEALTH_STALE_MS)
		return "the supervisor has not reported for 5 seconds";
	if (st->draining)
		return "the node is shutting down";
	if (!health_workers(st))
		return "no worker is ready";
	if (st->auth_configured && !st->auth_ready)
		return "authentication is not running";
	if (!health_auth(st))
		return "authentication has no usable key";
	if (st->audit_required && st->gauges[GAUGE_AUDIT_WRITABLE] == 0)
		return "the audit log cannot be written";
	return NULL;
}

/* RFC 3339, in UTC. */
static char *
health_timestamp(char out[TIMESTAMP_SIZE])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, TIMESTAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, TIMESTAMP_SIZE - n, ".%03dZ",
	    (int)(ts.tv_nsec / 1000000 % 1000));
	return out;
}

static json_t *
health_services(const struct msg_stat *st)
{
	json_t *auth;

	if (st->auth_configured)
		auth = json_pack("{s:s, s:I}", "status",
		    health_status(health_auth(st)), "keys",
		    (json_int_t)st->gauges[GAUGE_AUTH_KEYS]);
	else
		auth = json_pack("{s:s}", "status", "disabled");
	return json_pack("{s:{s:s, s:I, s:I}, s:o}", "workers", "status",
	    health_status(health_workers(st)), "ready",
	    (json_int_t)st->gauges[GAUGE_WORKERS], "configured",
	    (json_int_t)st->workers_configured, "auth", auth);
}

static int
health_write(const char *buf, size_t len, void *out)
{
	return evbuffer_add(out, buf, len);
}

int
health_print(struct evbuffer *out, const struct snapshot *s,
    struct monotime now, const char *version)
{
	const char *reason = health_reason(s, now);
	uint64_t uptime_ms = s->stat.uptime_ms;
	char timestamp[TIMESTAMP_SIZE];
	json_t *root;
	int error;

	if (s->valid)
		uptime_ms += monotime_diff_ms(now, s->taken);
	root = json_pack("{s:b, s:{s:s, s:s*, s:s, s:o, s:s, s:I}}", "success",
	    reason == NULL, "data", "status", health_status(reason == NULL),
	    "reason", reason, "timestamp", health_timestamp(timestamp),
	    "services", health_services(&s->stat), "version", version, "uptime",
	    (json_int_t)(uptime_ms / 1000));
	error =
	    root == NULL ||
	    json_dump_callback(root, health_write, out, JSON_COMPACT) == -1 ||
	    evbuffer_add(out, "\n", 1) == -1;
	json_decref(root);
	if (error)
		return -1;
	return reason == NULL ? 200 : 503;
}
