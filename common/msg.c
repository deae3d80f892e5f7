/*
 * The rule table: one row per message type.  chan.c asks it about every
 * message before any handler sees it.
 */
#include "msg.h"

#define EXACT(s)      sizeof(struct s), sizeof(struct s)
#define ATLEAST(s, x) sizeof(struct s), sizeof(struct s) + (x)
#define NOTHING       0, 0
#define TEXT(n)       1, (n)
#define REST(s)       sizeof(struct s), MSG_MAX_PAYLOAD

static const struct msg_rule rules[MSG__MAX] = {
	[MSG_CONF_BEGIN] = { "conf_begin", ROLE_PARENT, ROLE_CHILD,
	    EXACT(msg_conf_begin), 0, 0 },
	[MSG_CONF_WORKER] = { "conf_worker", ROLE_PARENT, ROLE_WORKER,
	    ATLEAST(msg_conf_worker, LTP_ID_MAX), 0, 0 },
	[MSG_CONF_ORIGIN] = { "conf_origin", ROLE_PARENT, ROLE_WORKER,
	    TEXT(1024), 0, 0 },
	[MSG_CONF_PROXY] = { "conf_proxy", ROLE_PARENT, ROLE_WORKER,
	    EXACT(msg_conf_proxy), 0, 0 },
	[MSG_CONF_REMOTE] = { "conf_remote", ROLE_PARENT, ROLE_WORKER,
	    EXACT(msg_conf_remote), 0, 0 },
	[MSG_CONF_AGENT] = { "conf_agent", ROLE_PARENT, ROLE_WORKER,
	    TEXT(LTP_ID_MAX), 0, 0 },
	[MSG_CONF_TLS] = { "conf_tls", ROLE_PARENT, ROLE_WORKER,
	    EXACT(msg_conf_tls), 1, 1 },
	[MSG_CONF_KEY] = { "conf_key", ROLE_PARENT, ROLE_AUTH,
	    ATLEAST(msg_conf_key, LTP_ID_MAX), 0, 0 },
	[MSG_CONF_TOKEN] = { "conf_token", ROLE_PARENT, ROLE_AUTH,
	    ATLEAST(msg_conf_key, LTP_ID_MAX), 0, 0 },
	[MSG_CONF_AGENTS] = { "conf_agents", ROLE_PARENT, ROLE_AUTH,
	    EXACT(msg_conf_agents), 0, 0 },
	[MSG_CONF_AUDIT] = { "conf_audit", ROLE_PARENT, ROLE_AUDIT,
	    EXACT(msg_conf_audit), 0, 0 },
	[MSG_CONF_AUDIT_KEY] = { "conf_audit_key", ROLE_PARENT, ROLE_AUDIT,
	    AUDIT_SEED_SIZE, AUDIT_SEED_SIZE, 0, 0 },
	[MSG_CONF_END] = { "conf_end", ROLE_PARENT, ROLE_CHILD,
	    EXACT(msg_conf_end), 0, 0 },
	[MSG_CONF_ACK] = { "conf_ack", ROLE_CHILD, ROLE_PARENT,
	    EXACT(msg_conf_ack), 0, 0 },
	[MSG_CONF_COMMIT] = { "conf_commit", ROLE_PARENT, ROLE_CHILD, NOTHING,
	    0, 0 },
	[MSG_SHARED] = { "shared", ROLE_PARENT, ROLE_WORKER, EXACT(msg_shared),
	    1, 1 },
	[MSG_LISTENER] = { "listener", ROLE_PARENT, ROLE_METRICS, NOTHING, 1,
	    1 },
	[MSG_READY] = { "ready", ROLE_CHILD, ROLE_PARENT, EXACT(msg_ready), 0,
	    4 },
	[MSG_PEER] = { "peer", ROLE_PARENT,
	    ROLE_WORKER | ROLE_AUTH | ROLE_AUDIT | ROLE_SIGN, EXACT(msg_peer),
	    1, 1 },
	[MSG_PEER_LIED] = { "peer_lied",
	    ROLE_WORKER | ROLE_AUTH | ROLE_AUDIT | ROLE_SIGN, ROLE_PARENT,
	    EXACT(msg_peer), 0, 0 },
	[MSG_LOG] = { "log", ROLE_CHILD, ROLE_PARENT, ATLEAST(msg_log, 1024), 0,
	    0 },
	[MSG_LOG_LEVEL] = { "log_level", ROLE_PARENT, ROLE_CHILD,
	    EXACT(msg_log_level), 0, 0 },
	[MSG_PING] = { "ping", ROLE_PARENT, ROLE_CHILD, NOTHING, 0, 0 },
	[MSG_PONG] = { "pong", ROLE_CHILD, ROLE_PARENT, NOTHING, 0, 0 },
	[MSG_TRAPPED] = { "trapped", ROLE_CHILD, ROLE_PARENT,
	    EXACT(msg_trapped), 0, 0 },
	[MSG_DRAIN] = { "drain", ROLE_PARENT, ROLE_WORKER, EXACT(msg_drain), 0,
	    0 },

	[MSG_CONN_NEW] = { "conn_new", ROLE_PARENT, ROLE_WORKER,
	    sizeof(struct msg_conn), MSG_MAX_FDS * sizeof(struct msg_conn), 1,
	    MSG_MAX_FDS },
	[MSG_COUNT] = { "count", ROLE_WORKER | ROLE_SIGN, ROLE_PARENT,
	    EXACT(msg_count), 0, 0 },
	[MSG_SESSIONS_GET] = { "sessions_get", ROLE_PARENT, ROLE_WORKER,
	    EXACT(msg_sessions_get), 0, 0 },
	[MSG_SESSIONS_PAGE] = { "sessions_page", ROLE_WORKER, ROLE_PARENT,
	    REST(msg_sessions_page), 0, 0 },
	[MSG_SESSION_KILL] = { "session_kill", ROLE_PARENT, ROLE_WORKER,
	    ATLEAST(msg_session_kill, LTP_ID_MAX), 0, 0 },
	[MSG_SESSION_KILLED] = { "session_killed", ROLE_WORKER, ROLE_PARENT,
	    EXACT(msg_session_killed), 0, 0 },

	[MSG_AUTH_ASK] = { "auth_ask", ROLE_WORKER, ROLE_AUTH,
	    ATLEAST(msg_auth_ask, LTP_ID_MAX + AUTH_KEY_MAX), 0, 0 },
	[MSG_AUTH_REPLY] = { "auth_reply", ROLE_AUTH, ROLE_WORKER,
	    ATLEAST(msg_auth_reply, LTP_ID_MAX), 0, 0 },

	[MSG_AUTH_HERE] = { "auth_here", ROLE_WORKER, ROLE_AUTH,
	    TEXT(LTP_ID_MAX), 0, 0 },
	[MSG_AUTH_LEFT] = { "auth_left", ROLE_WORKER, ROLE_AUTH,
	    TEXT(LTP_ID_MAX), 0, 0 },
	[MSG_AUTH_REVOKED] = { "auth_revoked", ROLE_AUTH, ROLE_WORKER,
	    TEXT(LTP_ID_MAX), 0, 0 },
	[MSG_AUTH_WHO] = { "auth_who", ROLE_AUTH, ROLE_WORKER, NOTHING, 0, 0 },
	[MSG_KEYS_GET] = { "keys_get", ROLE_PARENT, ROLE_AUTH,
	    EXACT(msg_keys_get), 0, 0 },
	[MSG_KEYS_PAGE] = { "keys_page", ROLE_AUTH, ROLE_PARENT,
	    ATLEAST(msg_keys_page, KEYS_PAGE_MAX * sizeof(struct msg_key_use)),
	    0, 0 },

	[MSG_AGENT_ENTER] = { "agent_enter", ROLE_WORKER, ROLE_AUTH,
	    ATLEAST(msg_agent_enter, LTP_ID_MAX), 0, 0 },
	[MSG_AGENT_REPLY] = { "agent_reply", ROLE_AUTH, ROLE_WORKER,
	    EXACT(msg_agent_reply), 0, 0 },
	[MSG_AGENT_LEFT] = { "agent_left", ROLE_WORKER, ROLE_AUTH,
	    EXACT(msg_agent), 0, 0 },
	[MSG_AGENT_REPLACED] = { "agent_replaced", ROLE_AUTH, ROLE_WORKER,
	    EXACT(msg_agent), 0, 0 },

	[MSG_SIGN_PAIR] = { "sign_pair", ROLE_PARENT, ROLE_SIGN,
	    EXACT(msg_conf_tls), 2, 2 },
	[MSG_SIGN_LOADED] = { "sign_loaded", ROLE_SIGN, ROLE_PARENT,
	    ATLEAST(msg_sign_loaded, SIGN_WHY_MAX), 0, 0 },
	[MSG_SIGN_ASK] = { "sign_ask", ROLE_WORKER, ROLE_SIGN,
	    ATLEAST(msg_sign_ask, SIGN_INPUT_MAX), 0, 0 },
	[MSG_SIGN_REPLY] = { "sign_reply", ROLE_SIGN, ROLE_WORKER,
	    ATLEAST(msg_sign_reply, SIGN_OUTPUT_MAX), 0, 0 },

	[MSG_AUDIT_FILE] = { "audit_file", ROLE_PARENT, ROLE_AUDIT, NOTHING, 1,
	    1 },
	[MSG_AUDIT] = { "audit", ROLE_WORKER, ROLE_AUDIT,
	    REST(msg_audit_record), 0, 0 },
	[MSG_AUDIT_STATE] = { "audit_state", ROLE_AUDIT, ROLE_PARENT,
	    EXACT(msg_audit_state), 0, 0 },
	[MSG_AUDIT_ALLOW] = { "audit_allow", ROLE_PARENT, ROLE_WORKER,
	    EXACT(msg_audit_allow), 0, 0 },

	[MSG_STAT] = { "stat", ROLE_PARENT, ROLE_METRICS, EXACT(msg_stat), 0,
	    0 },
	[MSG_STAT_PROCESS] = { "stat_process", ROLE_PARENT, ROLE_METRICS,
	    EXACT(msg_process), 0, 0 },

	[MSG_CTL_HELLO] = { "ctl_hello", ROLE_CTL | ROLE_PARENT,
	    ROLE_CTL | ROLE_PARENT, EXACT(msg_ctl_hello), 0, 0 },
	[MSG_CTL_SHOW] = { "ctl_show", ROLE_CTL, ROLE_PARENT,
	    EXACT(msg_ctl_show), 0, 0 },
	[MSG_CTL_RELOAD] = { "ctl_reload", ROLE_CTL, ROLE_PARENT, NOTHING, 0,
	    0 },
	[MSG_CTL_LOG] = { "ctl_log", ROLE_CTL, ROLE_PARENT, EXACT(msg_ctl_log),
	    0, 0 },
	[MSG_CTL_ROTATE] = { "ctl_rotate", ROLE_CTL, ROLE_PARENT, NOTHING, 0,
	    0 },
	[MSG_CTL_DISCONNECT] = { "ctl_disconnect", ROLE_CTL, ROLE_PARENT,
	    TEXT(LTP_ID_MAX), 0, 0 },
	[MSG_CTL_STOP] = { "ctl_stop", ROLE_CTL, ROLE_PARENT, NOTHING, 0, 0 },
	[MSG_CTL_SUMMARY] = { "ctl_summary", ROLE_PARENT, ROLE_CTL,
	    ATLEAST(msg_ctl_summary, 64 + LTP_ID_MAX), 0, 0 },
	[MSG_CTL_LISTENER] = { "ctl_listener", ROLE_PARENT, ROLE_CTL, TEXT(256),
	    0, 0 },
	[MSG_CTL_PROCESS] = { "ctl_process", ROLE_PARENT, ROLE_CTL,
	    EXACT(msg_process), 0, 0 },
	[MSG_CTL_SESSIONS] = { "ctl_sessions", ROLE_PARENT, ROLE_CTL,
	    REST(msg_sessions_page), 0, 0 },
	[MSG_CTL_KEY] = { "ctl_key", ROLE_PARENT, ROLE_CTL,
	    ATLEAST(msg_ctl_key, LTP_ID_MAX), 0, 0 },
	[MSG_CTL_CONFIG] = { "ctl_config", ROLE_PARENT, ROLE_CTL,
	    REST(msg_ctl_config), 0, 0 },
	[MSG_CTL_END] = { "ctl_end", ROLE_PARENT, ROLE_CTL,
	    ATLEAST(msg_ctl_end, 1024), 0, 0 },
};

/* What is on the wire has no padding that a compiler chose. */
_Static_assert(sizeof(struct msg_hdr) == 8, "msg_hdr");
_Static_assert(sizeof(struct msg_conf_begin) == 16, "msg_conf_begin");
_Static_assert(sizeof(struct msg_conf_worker) == 64, "msg_conf_worker");
_Static_assert(sizeof(struct msg_conf_proxy) == 20, "msg_conf_proxy");
_Static_assert(sizeof(struct msg_conf_key) == 36, "msg_conf_key");
_Static_assert(sizeof(struct msg_conf_end) == 16, "msg_conf_end");
_Static_assert(sizeof(struct msg_conf_ack) == 4, "msg_conf_ack");
_Static_assert(sizeof(struct msg_shared) == 24, "msg_shared");
_Static_assert(sizeof(struct msg_ready) == 16, "msg_ready");
_Static_assert(sizeof(struct msg_peer) == 12, "msg_peer");
_Static_assert(sizeof(struct msg_log) == 8, "msg_log");
_Static_assert(sizeof(struct msg_log_level) == 4, "msg_log_level");
_Static_assert(sizeof(struct msg_trapped) == 4, "msg_trapped");
_Static_assert(sizeof(struct msg_drain) == 4, "msg_drain");
_Static_assert(sizeof(struct msg_conn) == 40, "msg_conn");
_Static_assert(
    sizeof(struct msg_count) == 8 * (COUNTERS_WORDS + 1), "msg_count");
_Static_assert(sizeof(struct msg_sessions_get) == 16, "msg_sessions_get");
_Static_assert(sizeof(struct msg_sessions_page) == 8, "msg_sessions_page");
_Static_assert(sizeof(struct msg_session) == 72, "msg_session");
_Static_assert(sizeof(struct msg_session_kill) == 4, "msg_session_kill");
_Static_assert(sizeof(struct msg_session_killed) == 8, "msg_session_killed");
_Static_assert(sizeof(struct msg_auth_ask) == 24, "msg_auth_ask");
_Static_assert(sizeof(struct msg_conf_remote) == 28, "msg_conf_remote");
_Static_assert(sizeof(struct msg_conf_tls) == 20, "msg_conf_tls");
_Static_assert(sizeof(struct msg_conf_agents) == 4, "msg_conf_agents");
_Static_assert(sizeof(struct msg_agent_enter) == 16, "msg_agent_enter");
_Static_assert(sizeof(struct msg_agent_reply) == 16, "msg_agent_reply");
_Static_assert(sizeof(struct msg_agent) == 8, "msg_agent");
_Static_assert(sizeof(struct msg_sign_loaded) == 8, "msg_sign_loaded");
_Static_assert(sizeof(struct msg_sign_ask) == 12, "msg_sign_ask");
_Static_assert(sizeof(struct msg_sign_reply) == 4, "msg_sign_reply");
_Static_assert(sizeof(struct msg_auth_reply) == 16, "msg_auth_reply");
_Static_assert(sizeof(struct msg_stat) == 8 * (COUNTERS_WORDS + GAUGE__MAX + 3),
    "msg_stat");
_Static_assert(sizeof(struct msg_conf_audit) == 4, "msg_conf_audit");
_Static_assert(sizeof(struct msg_audit_record) == 16, "msg_audit_record");
_Static_assert(sizeof(struct msg_audit_state) == 24, "msg_audit_state");
_Static_assert(sizeof(struct msg_audit_allow) == 4, "msg_audit_allow");
_Static_assert(
    sizeof(struct msg_audit_record) + AUDIT_SESSION_MAX + AUDIT_FRAME_MAX <=
	MSG_MAX_PAYLOAD,
    "a record fits");
_Static_assert(sizeof(struct msg_process) == 88, "msg_process");
_Static_assert(sizeof(struct msg_ctl_summary) == sizeof(struct msg_stat) + 24,
    "msg_ctl_summary");
_Static_assert(sizeof(struct msg_keys_get) == 8, "msg_keys_get");
_Static_assert(sizeof(struct msg_keys_page) == 16, "msg_keys_page");
_Static_assert(sizeof(struct msg_key_use) == 16, "msg_key_use");
_Static_assert(sizeof(struct msg_ctl_key) == 32, "msg_ctl_key");
_Static_assert(sizeof(struct msg_ctl_config) == 8, "msg_ctl_config");

const struct msg_rule *
msg_rule(unsigned type)
{
	if (type == MSG_NONE || type >= MSG__MAX || rules[type].name == NULL)
		return NULL;
	return &rules[type];
}

const char *
msg_name(unsigned type)
{
	const struct msg_rule *r = msg_rule(type);

	return r == NULL ? "unknown" : r->name;
}

const char *
msg_check(unsigned type, enum role from, enum role to, size_t len, size_t nfds)
{
	const struct msg_rule *r = msg_rule(type);

	if (r == NULL)
		return "unknown message type";
	if ((r->from & from) == 0)
		return "not a message of this sender";
	if ((r->to & to) == 0)
		return "not a message for this receiver";
	if (len < r->min_len)
		return "payload too short";
	if (len > r->max_len)
		return "payload too long";
	if (nfds < r->min_fds)
		return "descriptor missing";
	if (nfds > r->max_fds)
		return "unexpected descriptor";
	return NULL;
}

const char *
role_name(enum role role)
{
	switch (role) {
	case ROLE_PARENT:
		return "ltpd";
	case ROLE_WORKER:
		return "worker";
	case ROLE_AUTH:
		return "auth";
	case ROLE_METRICS:
		return "metrics";
	case ROLE_CTL:
		return "ltpctl";
	case ROLE_AUDIT:
		return "audit";
	case ROLE_SIGN:
		return "sign";
	case ROLE_NONE:
		break;
	}
	return "nobody";
}

const char *
child_state_name(unsigned state)
{
	static const char *const names[] = {
		[CHILD_DOWN] = "down",
		[CHILD_STARTING] = "starting",
		[CHILD_READY] = "ready",
		[CHILD_DRAINING] = "draining",
		[CHILD_DYING] = "dying",
	};

	if (state >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[state];
}
