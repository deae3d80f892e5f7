/*
 * What the node counts.  Every counter, its Prometheus family and label are
 * one row of a table in metric.c, so that workers count by index, deltas
 * travel as an array, and the metrics process knows the names.
 */
#ifndef METRIC_H
#define METRIC_H

#include <stddef.h>
#include <stdint.h>

enum counter {
	/* Protocol, section 6; the names are the seeds'. */
	COUNT_MSG_HELLO = 0,
	COUNT_MSG_HEARTBEAT,
	COUNT_MSG_ORIENTATION,
	COUNT_MSG_ROUTE_REQUEST,
	COUNT_REJECT_RATE_LIMIT,
	COUNT_REJECT_TOO_LARGE,
	COUNT_REJECT_INVALID_JSON,
	COUNT_REJECT_FORBIDDEN,
	COUNT_REJECT_UNAUTHORIZED,
	COUNT_EXPIRED_TTL,
	COUNT_CAPACITY_REJECTIONS,
	COUNT_INVALID_JSON,
	COUNT_INVALID_JSON_SUPPRESSED,
	COUNT_RATE_LIMIT_VIOLATIONS,
	COUNT_IP_RATE_LIMIT_VIOLATIONS,
	COUNT_OVERSIZE_MESSAGES,
	COUNT_AUTH_FAILURES,
	COUNT_KEYS_RELOAD_SUCCESS,
	COUNT_KEYS_RELOAD_FAILURE,
	COUNT_LOG_SUPPRESSED_IP_RATE_LIMIT,
	COUNT_LOG_SUPPRESSED_RATE_LIMIT,
	COUNT_LOG_SUPPRESSED_TOO_LARGE,
	COUNT_LOG_SUPPRESSED_INVALID_JSON,
	COUNT_LOG_SUPPRESSED_AUTH,
	COUNT_LOG_SUPPRESSED_ORIGIN,
	COUNT_LOG_SUPPRESSED_HANDSHAKE,
	/* Our own. */
	COUNT_CONNECTIONS, /* accepted */
	COUNT_CONNECTIONS_REFUSED, /* over the cap, closed without an answer */
	COUNT_ACCEPT_PAUSES, /* out of descriptors */
	COUNT_UPGRADE_101,
	COUNT_UPGRADE_400,
	COUNT_UPGRADE_401,
	COUNT_UPGRADE_403,
	COUNT_UPGRADE_405,
	COUNT_UPGRADE_408,
	COUNT_UPGRADE_426,
	COUNT_UPGRADE_429,
	COUNT_UPGRADE_431,
	COUNT_UPGRADE_503,
	COUNT_PROTOCOL_ERRORS, /* closed with 1002 or 1007 */
	COUNT_HANDSHAKE_TIMEOUTS,
	COUNT_REPLIES, /* LTP messages sent */
	COUNT_BYTES_IN,
	COUNT_BYTES_OUT,
	COUNT_RESTARTS_WORKER,
	COUNT_RESTARTS_AUTH,
	COUNT_RESTARTS_METRICS,
	COUNT_RESTARTS_AUDIT,
	COUNT_RESTARTS_SIGN,
	COUNT_CHANNEL_VIOLATIONS, /* a child broke a rule and was killed */
	COUNT_LOG_DROPPED, /* lines not handed over or not written */
	COUNT_RELOADS,
	COUNT_RELOAD_FAILURES,
	COUNT_AUDIT_LINES,
	COUNT_AUDIT_ERRORS, /* failures to write the audit log */
	COUNT_AUDIT_LOST, /* messages that are not in it */
	/* The remote listener, in the order of enum dist_code. */
	COUNT_DIST_AUTH_FAILED,
	COUNT_DIST_REPLAY_DETECTED,
	COUNT_DIST_SESSION_LIMIT,
	COUNT_DIST_CONNECTION_LIMIT,
	COUNT_DIST_MESSAGE_TOO_LARGE,
	COUNT_DIST_RATE_LIMITED,
	COUNT_DIST_HANDSHAKE_TIMEOUT,
	COUNT_DIST_MESSAGE_TIMEOUT,
	COUNT_TLS_HANDSHAKES,
	COUNT_TLS_HANDSHAKE_FAILURES,
	COUNT_TLS_SIGN_REFUSED, /* questions that were no TLS signatures */
	COUNT_TOKENS_RELOAD_FAILURE,
	COUNT_TLS_RELOAD_FAILURE, /* a bad pair; the old one is kept */
	COUNT__MAX
};

enum histogram {
	HIST_JANITOR_SWEEP = 0,
	HIST_ACCEPT, /* accept() to the worker's first look */
	HIST_HANDSHAKE, /* accept() to the first valid LTP message */
	HIST__MAX
};

#define HIST_BUCKETS 12 /* the last one is +Inf */

struct hist {
	uint64_t bucket[HIST_BUCKETS]; /* not cumulative */
	uint64_t sum_us;
};

/* Nothing but uint64_t, so that it can be added word by word. */
struct counters {
	uint64_t n[COUNT__MAX];
	struct hist hist[HIST__MAX];
};

#define COUNTERS_WORDS (sizeof(struct counters) / sizeof(uint64_t))

enum gauge {
	GAUGE_CONNECTIONS = 0,
	GAUGE_SESSIONS,
	GAUGE_AUTH_KEYS,
	GAUGE_JANITOR_LAST_SWEEP,
	GAUGE_WORKERS, /* ready */
	GAUGE_AUDIT_WRITABLE, /* 0 or 1 */
	GAUGE_AUDIT_NEXT, /* index of the next line */
	GAUGE__MAX
};

struct metric_desc {
	const char *family; /* consecutive rows of one name are a family */
	const char *label; /* NULL when the family has none */
	const char *value;
	const char *help;
};

extern const struct metric_desc counter_desc[COUNT__MAX];
extern const struct metric_desc gauge_desc[GAUGE__MAX];
extern const struct metric_desc hist_desc[HIST__MAX];
/* Upper bounds in microseconds, of all buckets but the last. */
extern const uint64_t hist_bounds_us[HIST_BUCKETS - 1];

/* to += from, word by word, wrapping. */
void counters_add(struct counters *to, const struct counters *from);
/* delta = now - base; returns 0 when nothing moved. */
int counters_delta(struct counters *delta, const struct counters *now,
    const struct counters *base);
void hist_observe(struct hist *, int64_t us);

#endif /* METRIC_H */
