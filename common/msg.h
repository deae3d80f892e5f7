/*
 * The messages of the node: who may send which to whom, how long they are,
 * how many descriptors they carry.  The rule table is in msg.c, one row per
 * type; payloads are fixed-width fields in host byte order (both ends run on
 * one host), without pointers, padding or enums.  "Then" tells what bytes
 * follow the struct; text is never NUL-terminated on the wire.
 */
#ifndef MSG_H
#define MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "metric.h"

/* Bits, so that a rule can name several. */
enum role {
	ROLE_NONE = 0,
	ROLE_PARENT = 1 << 0,
	ROLE_WORKER = 1 << 1,
	ROLE_AUTH = 1 << 2,
	ROLE_METRICS = 1 << 3,
	ROLE_CTL = 1 << 4, /* ltpctl */
	ROLE_AUDIT = 1 << 5,
	ROLE_SIGN = 1 << 6,
};

#define ROLE_CHILD \
	(ROLE_WORKER | ROLE_AUTH | ROLE_METRICS | ROLE_AUDIT | ROLE_SIGN)

/* "ltpd", "worker", "auth", "metrics", "ltpctl", "audit", "sign". */
const char *role_name(enum role);

enum msg_type {
	MSG_NONE = 0,

	/* Supervisor to any child, and back: life and configuration. */
	MSG_CONF_BEGIN,
	MSG_CONF_WORKER,
	MSG_CONF_ORIGIN,
	MSG_CONF_PROXY,
	MSG_CONF_REMOTE,
	MSG_CONF_AGENT,
	MSG_CONF_TLS,
	MSG_CONF_KEY,
	MSG_CONF_TOKEN,
	MSG_CONF_AGENTS,
	MSG_CONF_AUDIT,
	MSG_CONF_AUDIT_KEY,
	MSG_CONF_END,
	MSG_CONF_ACK,
	MSG_CONF_COMMIT,
	MSG_SHARED,
	MSG_LISTENER,
	MSG_READY,
	MSG_PEER,
	MSG_PEER_LIED,
	MSG_LOG,
	MSG_LOG_LEVEL,
	MSG_PING,
	MSG_PONG,
	MSG_TRAPPED,
	MSG_DRAIN,

	/* Supervisor and workers: connections, counters, sessions. */
	MSG_CONN_NEW,
	MSG_COUNT,
	MSG_SESSIONS_GET,
	MSG_SESSIONS_PAGE,
	MSG_SESSION_KILL,
	MSG_SESSION_KILLED,

	/* Workers and auth. */
	MSG_AUTH_ASK,
	MSG_AUTH_REPLY,
	MSG_AUTH_HERE,
	MSG_AUTH_LEFT,
	MSG_AUTH_REVOKED,
	MSG_AUTH_WHO,
	MSG_KEYS_GET,
	MSG_KEYS_PAGE,
	MSG_AGENT_ENTER,
	MSG_AGENT_REPLY,
	MSG_AGENT_LEFT,
	MSG_AGENT_REPLACED,

	/* The private key: supervisor, workers and ltp-sign. */
	MSG_SIGN_PAIR,
	MSG_SIGN_LOADED,
	MSG_SIGN_ASK,
	MSG_SIGN_REPLY,

	/* The audit log. */
	MSG_AUDIT_FILE,
	MSG_AUDIT,
	MSG_AUDIT_STATE,
	MSG_AUDIT_ALLOW,

	/* Supervisor to metrics. */
	MSG_STAT,
	MSG_STAT_PROCESS,

	/* ltpctl and the supervisor. */
	MSG_CTL_HELLO,
	MSG_CTL_SHOW,
	MSG_CTL_RELOAD,
	MSG_CTL_LOG,
	MSG_CTL_ROTATE,
	MSG_CTL_DISCONNECT,
	MSG_CTL_STOP,
	MSG_CTL_SUMMARY,
	MSG_CTL_LISTENER,
	MSG_CTL_PROCESS,
	MSG_CTL_SESSIONS,
	MSG_CTL_KEY,
	MSG_CTL_CONFIG,
	MSG_CTL_END,

	MSG__MAX
};

#define MSG_MAX_FDS     64
#define MSG_MAX_PAYLOAD 16384

struct msg_hdr {
	uint16_t type;
	uint16_t nfds;
	uint32_t len; /* of the payload */
};

struct msg_rule {
	const char *name;
	unsigned from; /* roles */
	unsigned to;
	uint32_t min_len; /* payload; min == max: exact */
	uint32_t max_len;
	uint16_t min_fds;
	uint16_t max_fds;
};

/* NULL when there is no such type. */
const struct msg_rule *msg_rule(unsigned type);
/* For log lines; "unknown" when there is no such type. */
const char *msg_name(unsigned type);
/* NULL when the message keeps the rules, else what it breaks (static). */
const char *
msg_check(unsigned type, enum role from, enum role to, size_t len, size_t nfds);

#define LTP_ID_MAX   256 /* bytes of a client_id, session_tag, .. */
#define AUTH_KEY_MAX 1024 /* bytes of a presented key */

/* ---- life and configuration ---- */

/* MSG_CONF_BEGIN: what follows up to CONF_END replaces the configuration. */
struct msg_conf_begin {
	uint32_t generation; /* rises by one with each configuration */
	uint32_t slot;
	uint8_t log_level; /* enum log_level */
	uint8_t pad[7];
};

/* MSG_CONF_WORKER.  Then node_id_len bytes. */
struct msg_conf_worker {
	uint32_t max_message_bytes;
	uint32_t max_sessions;
	uint32_t handshake_timeout_ms;
	uint32_t idle_ttl_ms;
	uint32_t gc_interval_ms;
	uint32_t rate_limit_rps; /* 0: off */
	uint32_t rate_limit_burst;
	uint32_t ip_rate_limit_rps; /* 0: off */
	uint32_t ip_rate_limit_burst;
	uint32_t control_limit_rps; /* 0: off */
	uint32_t max_connections_per_ip; /* 0: off */
	uint32_t max_half_open_per_ip; /* 0: off */
	uint32_t auth_failure_limit; /* per address and minute, 0: off */
	uint8_t auth; /* 1: ltp-auth must be asked */
	uint8_t auth_in_hello;
	uint8_t dialect; /* enum conf_dialect */
	uint8_t trust_proxy;
	uint16_t node_id_len;
	uint8_t audit; /* 1: every message goes to ltp-audit */
	uint8_t audit_required; /* what cannot be logged is refused */
	uint8_t audit_payload; /* enum conf_audit_payload */
	uint8_t pad[3];
};

enum conf_audit_payload {
	AUDIT_PAYLOAD_FULL = 0,
	AUDIT_PAYLOAD_HASH, /* SHA-256 in place of what clients chose */
};

enum conf_dialect {
	DIALECT_AUTO = 0,
	DIALECT_CLIENT,
	DIALECT_SESSION,
};

/* MSG_CONF_ORIGIN: one allowed origin, the whole payload is its text. */
/* MSG_CONF_PROXY: one trusted proxy network. */
struct msg_conf_proxy {
	uint8_t ip[16];
	uint32_t bits;
};

/*
 * MSG_CONF_REMOTE: the rules of the remote listener, if there is one.
 * MSG_CONF_AGENT: one allowed id, the whole payload is it.
 */
struct msg_conf_remote {
	uint32_t max_message_bytes;
	uint32_t rate_limit; /* messages a second */
	uint32_t handshake_timeout_ms; /* TLS included */
	uint32_t message_timeout_ms; /* a message that has begun */
	uint32_t idle_timeout_ms;
	uint32_t session_ttl_secs;
	uint8_t token; /* 1: one must be shown */
	uint8_t mtls; /* 1: a certificate must be */
	uint8_t tls;
	uint8_t pad;
};

/*
 * MSG_CONF_TLS, after MSG_CONF_REMOTE when that says TLS: a descriptor of
 * memory that holds the texts, one behind the other, in PEM, that ltp-sign
 * has found good.
 */
struct msg_conf_tls {
	uint32_t pair; /* which key signs */
	uint32_t min_version; /* as TLS writes it: 0x0303, 0x0304 */
	uint32_t chain_len; /* of the certificate chain */
	uint32_t ca_len; /* of the clients' CAs, 0: none */
	uint32_t crl_len; /* 0: none */
};

/* MSG_CONF_KEY: one API key.  Then id_len bytes. */
struct msg_conf_key {
	uint8_t digest[32]; /* SHA-256 of the key */
	uint32_t id_len;
};

/*
 * MSG_CONF_TOKEN: one token of the remote listener, as struct msg_conf_key;
 * without an id it proves membership only.
 */

/* MSG_CONF_AGENTS: of the remote listener, to auth. */
struct msg_conf_agents {
	uint32_t max_sessions;
};

/* MSG_CONF_AUDIT */
struct msg_conf_audit {
	uint32_t sign_every; /* each Nth line is signed; 0: none */
};

/* MSG_CONF_AUDIT_KEY: the whole payload is an Ed25519 seed. */
#define AUDIT_SEED_SIZE 32

/* MSG_CONF_END: how many records lay between BEGIN and END. */
struct msg_conf_end {
	uint32_t generation;
	uint32_t records;
	uint8_t keys_good; /* 0: nobody is let in (auth only) */
	uint8_t pad[7];
};

/* MSG_CONF_ACK: understood and kept aside.  MSG_CONF_COMMIT: use it now. */
struct msg_conf_ack {
	uint32_t generation;
};

/*
 * MSG_SHARED: the descriptor of the shared table, and what must not lie in
 * it, where any worker could change it.
 */
struct msg_shared {
	uint64_t key[2]; /* of the hash of addresses */
	uint32_t version; /* of the table's layout */
	uint32_t slots;
};

/* MSG_LISTENER: no payload; a listening socket (metrics only). */

/*
 * MSG_READY: in the sandbox and at work.  Descriptors, where the system has
 * them: the child's /proc/self/stat, statm, status and fd.
 */
struct msg_ready {
	uint8_t mechanism; /* enum sandbox_mechanism */
	uint8_t landlock_abi;
	uint8_t no_new_privs;
	uint8_t dumpable;
	uint32_t uid;
	uint32_t landlock_fs; /* rights that are taken away, LL_FS_* */
	uint16_t landlock_net;
	uint16_t landlock_scope;
};

/*
 * MSG_PEER: a descriptor, the channel to a sibling.  MSG_PEER_LIED: the
 * sibling has broken a rule of that channel, which is closed.
 */
struct msg_peer {
	uint32_t role; /* of the sibling */
	uint32_t slot;
	uint32_t pid; /* its successor is somebody else */
};

/* MSG_LOG: one line.  Then text. */
struct msg_log {
	uint8_t level;
	uint8_t pad[3];
	uint32_t dropped; /* lines lost before this one */
};

struct msg_log_level {
	uint32_t level;
};

/*
 * MSG_PING: no payload; answered by MSG_PONG.  A child that is stopped, or
 * spins, does not answer.
 */

/* MSG_TRAPPED: the last word of a child that made a forbidden call. */
struct msg_trapped {
	int32_t call; /* its number */
};

/* MSG_DRAIN: close everything with 1001, leave when done. */
struct msg_drain {
	uint32_t timeout_ms;
};

/* ---- connections, counters, sessions ---- */

/* MSG_CONN_NEW: one struct msg_conn per descriptor, at most 64. */
struct msg_conn {
	uint64_t id; /* unique in the life of the supervisor */
	int64_t accepted_us; /* monotonic */
	struct addr peer;
	uint8_t refuse; /* 1: over the cap, answer 503 */
	uint8_t remote; /* 1: by the remote listener */
	uint32_t listener;
};

/*
 * MSG_COUNT: what was counted since the last one.  ltp-sign counts the
 * questions that it refused, and nothing else.
 */
struct msg_count {
	struct counters delta;
	uint64_t expired_last_sweep;
};

/* MSG_SESSIONS_GET: sessions with a greater connection id than after. */
struct msg_sessions_get {
	uint32_t request; /* comes back in the page */
	uint32_t pad;
	uint64_t after;
};

/* MSG_SESSIONS_PAGE, MSG_CTL_SESSIONS.  Then count records. */
struct msg_sessions_page {
	uint32_t request;
	uint16_t count;
	uint8_t last; /* no more after these */
	uint8_t pad;
};

/* Who says that a session's client_id is its client's. */
enum identity_source {
	IDENTITY_CLAIMED = 0, /* the client alone */
	IDENTITY_API_KEY,
	IDENTITY_TOKEN,
	IDENTITY_MTLS_SUBJECT, /* its certificate */
};

/*
 * A record of a page.  Then client_id, session_id, tag (session_tag or
 * client_label), each of its length.
 */
struct msg_session {
	uint64_t conn;
	uint64_t age_ms; /* since the session was made */
	uint64_t idle_ms;
	uint64_t messages_in;
	uint64_t messages_out;
	struct addr addr; /* the client's; behind a proxy its port is 0 */
	uint8_t dialect; /* enum conf_dialect */
	uint8_t identity; /* enum identity_source */
	uint16_t client_id_len;
	uint16_t session_id_len;
	uint16_t tag_len;
	uint16_t slot; /* of the worker */
	uint8_t pad2[4];
};

/* MSG_SESSION_KILL: close one session.  Then its id as text. */
struct msg_session_kill {
	uint32_t request;
};

struct msg_session_killed {
	uint32_t request;
	uint32_t found;
};

/* ---- auth ---- */

/* MSG_AUTH_ASK.  Then id_len bytes (Basic only) and key_len bytes. */
struct msg_auth_ask {
	uint64_t conn;
	uint32_t serial; /* comes back; a stale answer is recognised by it */
	uint16_t id_len;
	uint16_t key_len;
	uint8_t realm; /* enum auth_realm */
	uint8_t pad[7];
};

enum auth_realm {
	REALM_KEYS = 0, /* API keys */
	REALM_TOKENS, /* of the remote listener */
};

enum auth_verdict {
	AUTH_NONE = 0,
	AUTH_GRANTED,
	AUTH_REFUSED,
	AUTH_UNAVAILABLE, /* no usable key */
};

/*
 * MSG_AUTH_REPLY.  Then id_len bytes, the key's id, when granted; none when
 * a token has no id.
 */
struct msg_auth_reply {
	uint64_t conn;
	uint32_t serial;
	uint8_t verdict;
	uint8_t realm; /* as asked */
	uint16_t id_len;
};

/*
 * MSG_AUTH_HERE: a connection that was signed in by the key of this id goes
 * on while auth is another process; MSG_AUTH_LEFT: one has ended;
 * MSG_AUTH_REVOKED: the id has no key any more, end its connections.  Each
 * is the id.  MSG_AUTH_WHO: auth knows no connections and asks for
 * MSG_AUTH_HERE of them all; no payload.
 */

/* MSG_KEYS_GET: how the keys are used, from the one of this number on. */
struct msg_keys_get {
	uint32_t request; /* comes back in the page */
	uint32_t first; /* in the order of MSG_CONF_KEY */
};

/* MSG_KEYS_PAGE.  Then count records. */
struct msg_keys_page {
	uint32_t request;
	uint32_t generation;
	uint32_t first;
	uint32_t count;
};

#define KEYS_PAGE_MAX 512

struct msg_key_use {
	int64_t last_used; /* seconds since the epoch, 0: never */
	int64_t sessions; /* connections that it signed in */
};

/*
 * Agents of the remote listener.  MSG_AGENT_ENTER: a connection is to be the
 * session of this id, which its worker has checked.  Then id_len bytes, in
 * lower case.  It replaces the one that had the id before, of which its
 * worker is told by MSG_AGENT_REPLACED.  An id that is proven and one that is
 * claimed with a token for all are two, so that nobody can push out who has
 * a token of his own.  MSG_AGENT_LEFT: it has ended, or does not want to
 * enter any more.  A worker enters its sessions again when auth is another
 * process, with serial 0, and is not answered; of two with one id, the later
 * connection stays.
 */
struct msg_agent_enter {
	uint64_t conn;
	uint32_t serial; /* comes back */
	uint16_t id_len;
	uint8_t proven;
	uint8_t pad;
};

/* MSG_AGENT_REPLY: AUTH_GRANTED, or AUTH_REFUSED when there are too many. */
struct msg_agent_reply {
	uint64_t conn;
	uint32_t serial;
	uint8_t verdict;
	uint8_t pad[3];
};

/* MSG_AGENT_LEFT, MSG_AGENT_REPLACED. */
struct msg_agent {
	uint64_t conn;
};

/* ---- the private key ---- */

/*
 * MSG_SIGN_PAIR: a struct msg_conf_tls with its descriptor, and one of the
 * file of the private key.
 */

#define SIGN_WHY_MAX 256

/* MSG_SIGN_LOADED.  Then a text, what is wrong with the pair if it is bad. */
struct msg_sign_loaded {
	uint32_t pair;
	uint32_t good; /* it can be used */
};

enum sign_scheme {
	SIGN_NONE = 0,
	SIGN_ECDSA, /* a digest; the signature is DER */
	SIGN_RSA, /* a padded block, as long as the modulus */
};

#define SIGN_INPUT_MAX  1024 /* bytes of an RSA modulus of 8192 bits */
#define SIGN_OUTPUT_MAX 1024

/* MSG_SIGN_ASK.  Then what is to be signed. */
struct msg_sign_ask {
	uint32_t serial; /* comes back */
	uint32_t pair;
	uint32_t scheme; /* enum sign_scheme */
};

/* MSG_SIGN_REPLY.  Then the signature; none when it was refused. */
struct msg_sign_reply {
	uint32_t serial;
};

/* ---- the audit log ---- */

#define AUDIT_SESSION_MAX 64 /* bytes of a line's session_id */
#define AUDIT_FRAME_MAX   8192 /* bytes of a canonical frame, without env */

/*
 * MSG_AUDIT_FILE: no payload; the file, open for reading and appending.  The
 * first one is taken over as it is; each later one carries the chain on.
 */

enum audit_direction {
	AUDIT_NONE = 0,
	AUDIT_IN,
	AUDIT_OUT,
};

/*
 * MSG_AUDIT: one record after the other up to the end.  Then session_id_len,
 * before_len and after_len bytes: the canonical frame in two parts, between
 * which its "env" belongs, since only ltp-audit knows the index.
 */
struct msg_audit_record {
	int64_t timestamp_ms; /* wall clock */
	uint16_t before_len;
	uint16_t after_len;
	uint8_t direction; /* enum audit_direction */
	uint8_t session_id_len;
	uint8_t pad[2];
};

/* MSG_AUDIT_STATE: when it changes, and what was counted since the last. */
struct msg_audit_state {
	uint64_t next; /* index of the next line */
	uint32_t lines;
	uint32_t errors;
	uint32_t files; /* descriptors taken or refused so far */
	uint8_t writable;
	uint8_t refused; /* the last descriptor was */
	uint8_t pad[2];
};

/* MSG_AUDIT_ALLOW: can lines be written? */
struct msg_audit_allow {
	uint32_t allowed;
};

/* ---- metrics ---- */

/* MSG_STAT: the whole state, once a second. */
struct msg_stat {
	struct counters counters;
	uint64_t gauges[GAUGE__MAX];
	uint64_t uptime_ms;
	uint8_t auth_configured;
	uint8_t auth_ready;
	uint8_t keys_usable;
	uint8_t draining;
	uint32_t workers_configured;
	uint8_t audit_configured;
	uint8_t audit_required;
	uint8_t pad[6];
};

/* MSG_STAT_PROCESS, MSG_CTL_PROCESS: one process of the node. */
struct msg_process {
	uint32_t role;
	uint32_t slot;
	uint32_t pid; /* 0: not running */
	uint32_t uid;
	uint32_t restarts;
	uint32_t state; /* enum child_state */
	int64_t uptime_ms;
	int64_t cpu_us; /* user and system; -1: not known */
	int64_t resident_bytes;
	int64_t descriptors;
	uint64_t connections;
	uint64_t sessions;
	uint8_t mechanism; /* enum sandbox_mechanism */
	uint8_t seccomp; /* mode as the kernel says: 0, 1, 2 */
	uint8_t landlock_abi;
	uint8_t no_new_privs;
	uint8_t dumpable;
	uint8_t last; /* the last of this round */
	uint8_t pad[2];
	uint32_t landlock_fs; /* as in struct msg_ready */
	uint16_t landlock_net;
	uint16_t landlock_scope;
};

enum child_state {
	CHILD_DOWN = 0,
	CHILD_STARTING, /* forked, being configured */
	CHILD_READY,
	CHILD_DRAINING,
	CHILD_DYING, /* killed, not yet reaped */
};

/* "down", "starting", .. */
const char *child_state_name(unsigned);

/* ---- control ---- */

#define CTL_VERSION 1

/*
 * MSG_CTL_HELLO, both ways, first.  A supervisor that speaks another version
 * answers with its own and closes.
 */
struct msg_ctl_hello {
	uint32_t version;
};

enum ctl_show {
	SHOW_NONE = 0,
	SHOW_SUMMARY,
	SHOW_PROCESSES,
	SHOW_SESSIONS,
	SHOW_KEYS,
	SHOW_CONFIG,
	SHOW__MAX
};

/*
 * MSG_CTL_SHOW: answered by records (CTL_SUMMARY and one CTL_LISTENER per
 * listener; CTL_PROCESS; CTL_SESSIONS; CTL_KEY; CTL_CONFIG), then CTL_END.
 */
struct msg_ctl_show {
	uint32_t what;
};

/* MSG_CTL_RELOAD, _ROTATE, _STOP: no payload; answered by CTL_END. */

struct msg_ctl_log {
	uint32_t verbose; /* 0: back to the configured level */
};

/* MSG_CTL_DISCONNECT: the payload is a connection id or a session id. */

/* MSG_CTL_SUMMARY.  Then version_len and node_id_len bytes. */
struct msg_ctl_summary {
	struct msg_stat stat;
	uint32_t pid;
	uint32_t max_connections;
	uint32_t max_sessions;
	uint16_t version_len;
	uint16_t node_id_len;
	uint8_t auth_mode; /* enum conf_auth_mode */
	uint8_t log_level;
	uint8_t pad[6];
};

/* MSG_CTL_LISTENER: "ltp ws://127.0.0.1:7070", "metrics http://..". */

/*
 * MSG_CTL_KEY: an API key, or a token of the remote listener.  Then id_len
 * bytes, none for a token without an id.
 */
struct msg_ctl_key {
	uint8_t digest_prefix[4];
	uint8_t source; /* enum key_source */
	uint8_t realm; /* enum auth_realm */
	uint16_t id_len;
	int64_t loaded; /* seconds since the epoch */
	int64_t last_used; /* likewise; 0: never, -1: not known */
	int64_t sessions; /* -1: not known */
};

enum key_source {
	KEY_SOURCE_NONE = 0,
	KEY_SOURCE_ENVIRONMENT,
	KEY_SOURCE_CONFIG,
	KEY_SOURCE_FILE,
	KEY_SOURCE_PREVIOUS, /* a file, during a rollover */
};

/*
 * MSG_CTL_CONFIG: one setting.  Then its name, its value as ltpd.conf(5)
 * writes it (secrets as <set>), and where the value comes from.
 */
struct msg_ctl_config {
	uint16_t name_len;
	uint16_t origin_len;
	uint32_t value_len;
};

/* MSG_CTL_END: the answer is complete.  Then text, an error or a remark. */
struct msg_ctl_end {
	uint32_t failed;
};

#endif /* MSG_H */
