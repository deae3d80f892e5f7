/*
 * The names of what the node counts, and sums of counts.  Rows of one family
 * stand together; the seeds' names keep their spelling, ours begin with ltp_.
 */
#include "metric.h"

/* Families of several rows, whose help must be the same in each. */
#define MSGS(type) \
	"ltp_msgs_total", "type", type, "Valid LTP messages received."
#define REJECTED(reason) \
	"ltp_msg_rejected_total", "reason", reason, "LTP messages refused."
#define SUPPRESSED(category)                          \
	"log_suppressed_total", "category", category, \
	    "Log lines left out because there were too many alike."
#define UPGRADES(status)                        \
	"ltp_upgrades_total", "status", status, \
	    "Answers to WebSocket upgrade requests."
#define BYTES(direction)                           \
	"ltp_bytes_total", "direction", direction, \
	    "Bytes read from and written to clients."
#define DIST(code) \
	"ltp_dist_errors_total", "code", code, "Errors of the remote listener."
#define RESTARTS(process)                         \
	"ltp_restarts_total", "process", process, \
	    "Processes of the node that were started anew."

const struct metric_desc counter_desc[COUNT__MAX] = {
	[COUNT_MSG_HELLO] = { MSGS("hello") },
	[COUNT_MSG_HEARTBEAT] = { MSGS("heartbeat") },
	[COUNT_MSG_ORIENTATION] = { MSGS("orientation") },
	[COUNT_MSG_ROUTE_REQUEST] = { MSGS("route_request") },
	[COUNT_REJECT_RATE_LIMIT] = { REJECTED("rate_limit") },
	[COUNT_REJECT_TOO_LARGE] = { REJECTED("too_large") },
	[COUNT_REJECT_INVALID_JSON] = { REJECTED("invalid_json") },
	[COUNT_REJECT_FORBIDDEN] = { REJECTED("forbidden") },
	[COUNT_REJECT_UNAUTHORIZED] = { REJECTED("unauthorized") },
	[COUNT_EXPIRED_TTL] = { "ltp_sessions_expired_total", "reason", "ttl",
	    "Sessions that the node ended." },
	[COUNT_CAPACITY_REJECTIONS] = { "ltp_capacity_rejections_total", NULL,
	    NULL, "Sessions, and connections of one address, over a limit." },
	[COUNT_INVALID_JSON] = { "ws_invalid_json_total", NULL, NULL,
	    "Messages, text and binary, that are no valid LTP message." },
	[COUNT_INVALID_JSON_SUPPRESSED] = { "ws_invalid_json_suppressed_total",
	    NULL, NULL, "Invalid messages that were not logged." },
	[COUNT_RATE_LIMIT_VIOLATIONS] = { "rate_limit_violations_total", NULL,
	    NULL, "Connections closed by the limit per connection." },
	[COUNT_IP_RATE_LIMIT_VIOLATIONS] = { "ip_rate_limit_violations_total",
	    NULL, NULL, "Connections closed by the limit per address." },
	[COUNT_OVERSIZE_MESSAGES] = { "oversize_messages_total", NULL, NULL,
	    "Connections closed because a message was too large." },
	[COUNT_AUTH_FAILURES] = { "auth_failures_total", NULL, NULL,
	    "Credentials refused." },
	[COUNT_KEYS_RELOAD_SUCCESS] = { "auth_keys_reload_success_total", NULL,
	    NULL, "Key files loaded anew." },
	[COUNT_KEYS_RELOAD_FAILURE] = { "auth_keys_reload_failure_total", NULL,
	    NULL, "Key files that could not be loaded." },
	[COUNT_LOG_SUPPRESSED_IP_RATE_LIMIT] = { SUPPRESSED("ip_rate_limit") },
	[COUNT_LOG_SUPPRESSED_RATE_LIMIT] = { SUPPRESSED("rate_limit") },
	[COUNT_LOG_SUPPRESSED_TOO_LARGE] = { SUPPRESSED("too_large") },
	[COUNT_LOG_SUPPRESSED_INVALID_JSON] = { SUPPRESSED("invalid_json") },
	[COUNT_LOG_SUPPRESSED_AUTH] = { SUPPRESSED("auth") },
	[COUNT_LOG_SUPPRESSED_ORIGIN] = { SUPPRESSED("origin") },
	[COUNT_LOG_SUPPRESSED_HANDSHAKE] = { SUPPRESSED("handshake") },
	[COUNT_CONNECTIONS] = { "ltp_connections_total", NULL, NULL,
	    "Connections accepted." },
	[COUNT_CONNECTIONS_REFUSED] = { "ltp_connections_refused_total", NULL,
	    NULL, "Connections over the limit, closed without an answer." },
	[COUNT_ACCEPT_PAUSES] = { "ltp_accept_pauses_total", NULL, NULL,
	    "Pauses in accepting because descriptors had run out." },
	[COUNT_UPGRADE_101] = { UPGRADES("101") },
	[COUNT_UPGRADE_400] = { UPGRADES("400") },
	[COUNT_UPGRADE_401] = { UPGRADES("401") },
	[COUNT_UPGRADE_403] = { UPGRADES("403") },
	[COUNT_UPGRADE_405] = { UPGRADES("405") },
	[COUNT_UPGRADE_408] = { UPGRADES("408") },
	[COUNT_UPGRADE_426] = { UPGRADES("426") },
	[COUNT_UPGRADE_429] = { UPGRADES("429") },
	[COUNT_UPGRADE_431] = { UPGRADES("431") },
	[COUNT_UPGRADE_503] = { UPGRADES("503") },
	[COUNT_PROTOCOL_ERRORS] = { "ltp_protocol_errors_total", NULL, NULL,
	    "Connections closed with 1002 or 1007." },
	[COUNT_HANDSHAKE_TIMEOUTS] = { "ltp_handshake_timeouts_total", NULL,
	    NULL, "Connections without a valid message by the deadline." },
	[COUNT_REPLIES] = { "ltp_replies_total", NULL, NULL,
	    "LTP messages sent." },
	[COUNT_BYTES_IN] = { BYTES("in") },
	[COUNT_BYTES_OUT] = { BYTES("out") },
	[COUNT_RESTARTS_WORKER] = { RESTARTS("worker") },
	[COUNT_RESTARTS_AUTH] = { RESTARTS("auth") },
	[COUNT_RESTARTS_METRICS] = { RESTARTS("metrics") },
	[COUNT_RESTARTS_AUDIT] = { RESTARTS("audit") },
	[COUNT_RESTARTS_SIGN] = { RESTARTS("sign") },
	[COUNT_CHANNEL_VIOLATIONS] = { "ltp_channel_violations_total", NULL,
	    NULL,
	    "Processes killed because they broke a rule of their channel." },
	[COUNT_LOG_DROPPED] = { "ltp_log_dropped_total", NULL, NULL,
	    "Log lines that could not be handed over or written." },
	[COUNT_RELOADS] = { "ltp_reloads_total", NULL, NULL,
	    "Configurations taken." },
	[COUNT_RELOAD_FAILURES] = { "ltp_reload_failures_total", NULL, NULL,
	    "Configurations refused." },
	[COUNT_AUDIT_LINES] = { "ltp_audit_lines_total", NULL, NULL,
	    "Lines written to the audit log." },
	[COUNT_AUDIT_ERRORS] = { "ltp_audit_errors_total", NULL, NULL,
	    "Failures to write the audit log." },
	[COUNT_AUDIT_LOST] = { "ltp_audit_lost_total", NULL, NULL,
	    "Messages, in and out, that are not in the audit log." },
	[COUNT_DIST_AUTH_FAILED] = { DIST("dist.auth_failed") },
	[COUNT_DIST_REPLAY_DETECTED] = { DIST("dist.replay_detected") },
	[COUNT_DIST_SESSION_LIMIT] = { DIST("dist.session_limit") },
	[COUNT_DIST_CONNECTION_LIMIT] = { DIST("dist.connection_limit") },
	[COUNT_DIST_MESSAGE_TOO_LARGE] = { DIST("dist.message_too_large") },
	[COUNT_DIST_RATE_LIMITED] = { DIST("dist.rate_limited") },
	[COUNT_DIST_HANDSHAKE_TIMEOUT] = { DIST("dist.handshake_timeout") },
	[COUNT_DIST_MESSAGE_TIMEOUT] = { DIST("dist.message_timeout") },
	[COUNT_TLS_HANDSHAKES] = { "ltp_tls_handshakes_total", NULL, NULL,
	    "TLS handshakes completed." },
	[COUNT_TLS_HANDSHAKE_FAILURES] = { "ltp_tls_handshake_failures_total",
	    NULL, NULL, "TLS handshakes that failed." },
	[COUNT_TLS_SIGN_REFUSED] = { "ltp_tls_sign_refused_total", NULL, NULL,
	    "Questions to the private key that were no TLS signatures." },
	[COUNT_TOKENS_RELOAD_FAILURE] = { "ltp_tokens_reload_failure_total",
	    NULL, NULL, "Token files that could not be loaded." },
	[COUNT_TLS_RELOAD_FAILURE] = { "tls_reload_failure_total", NULL, NULL,
	    "Certificates and keys that were refused; the old ones stay." },
};

const struct metric_desc gauge_desc[GAUGE__MAX] = {
	[GAUGE_CONNECTIONS] = { "ltp_ws_connections_current", NULL, NULL,
	    "Connections open, from accept on." },
	[GAUGE_SESSIONS] = { "ltp_sessions_total", NULL, NULL,
	    "Sessions alive." },
	[GAUGE_AUTH_KEYS] = { "auth_keys_active", NULL, NULL,
	    "API keys and tokens in use." },
	[GAUGE_JANITOR_LAST_SWEEP] = { "janitor_expired_last_sweep", NULL, NULL,
	    "Sessions that expired in the last sweep." },
	[GAUGE_WORKERS] = { "ltp_workers", NULL, NULL,
	    "Workers that are ready." },
	[GAUGE_AUDIT_WRITABLE] = { "ltp_audit_writable", NULL, NULL,
	    "1 when the audit log is configured and can be written." },
	[GAUGE_AUDIT_NEXT] = { "ltp_audit_next_index", NULL, NULL,
	    "Index of the next line of the audit log." },
};

const struct metric_desc hist_desc[HIST__MAX] = {
	[HIST_JANITOR_SWEEP] = { "janitor_sweep_duration_seconds", NULL, NULL,
	    "Time that a sweep for idle sessions took." },
	[HIST_ACCEPT] = { "ltp_accept_latency_seconds", NULL, NULL,
	    "From accept to the worker's first look at the connection." },
	[HIST_HANDSHAKE] = { "ltp_handshake_latency_seconds", NULL, NULL,
	    "From accept to the first valid LTP message." },
};

const uint64_t hist_bounds_us[HIST_BUCKETS - 1] = { 50, 250, 1000, 5000, 10000,
	25000, 100000, 250000, 1000000, 2500000, 5000000 };

_Static_assert(
    sizeof(struct hist) == (HIST_BUCKETS + 1) * sizeof(uint64_t), "hist");
_Static_assert(sizeof(struct counters) == COUNT__MAX * sizeof(uint64_t) +
					      HIST__MAX * sizeof(struct hist),
    "counters");

void
counters_add(struct counters *to, const struct counters *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i++)
		t[i] += f[i];
}

int
counters_delta(struct counters *delta, const struct counters *now,
    const struct counters *base)
{
	uint64_t *d = (uint64_t *)delta, moved = 0;
	const uint64_t *n = (const uint64_t *)now;
	const uint64_t *b = (const uint64_t *)base;
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i++) {
		d[i] = n[i] - b[i];
		moved |= d[i];
	}
	return moved != 0;
}

void
hist_observe(struct hist *h, int64_t us)
{
	size_t i;

	if (us < 0)
		us = 0;
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		if ((uint64_t)us <= hist_bounds_us[i])
			break;
	}
	h->bucket[i]++;
	h->sum_us += us;
}
