/*
 * Text: the pieces (numbers, times, what strangers chose) and the tables
 * that an operator reads.  The other table of functions is in output_json.c.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <vis.h>

#include "addr.h"
#include "conf.h"
#include "log.h"
#include "output.h"
#include "sandbox.h"

#define NITEMS(a) (sizeof(a) / sizeof((a)[0]))

void
output_init(struct output_to *to, FILE *fp, bool json)
{
	memset(to, 0, sizeof(*to));
	to->ops = json ? &output_json : &output_text;
	to->fp = fp;
}

/* ---- numbers and times ---- */

/* What is not known. */
static char *
put_dash(char *buf)
{
	return memcpy(buf, "-", sizeof("-"));
}

char *
output_size(char buf[OUTPUT_NUM_MAX], int64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double v = (double)bytes;
	size_t i = 0;

	if (bytes < 0)
		return put_dash(buf);
	/* From 1000 on, so that no value takes more than four digits. */
	while (v >= 1000 && units[i + 1] != '\0') {
		v /= 1024;
		i++;
	}
	snprintf(
	    buf, OUTPUT_NUM_MAX, i == 0 ? "%.0f%c" : "%.1f%c", v, units[i]);
	return buf;
}

char *
output_duration(char buf[OUTPUT_NUM_MAX], int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 0)
		return put_dash(buf);
	if (s == 0)
		snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64 "ms", ms);
	else if (s < 60)
		snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64 ".%" PRId64 "s", s,
		    ms % 1000 / 100);
	else if (s < 3600)
		snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64 "m%02" PRId64 "s",
		    s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64 "h%02" PRId64 "m",
		    s / 3600, s % 3600 / 60);
	else
		snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64 "d%02" PRId64 "h",
		    s / 86400, s % 86400 / 3600);
	return buf;
}

char *
output_cpu(char buf[OUTPUT_NUM_MAX], int64_t us)
{
	int64_t cs = us / 10000;

	if (us < 0)
		return put_dash(buf);
	snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64 ":%02" PRId64 ".%02" PRId64,
	    cs / 6000, cs % 6000 / 100, cs % 100);
	return buf;
}

char *
output_time(char buf[OUTPUT_NUM_MAX], int64_t epoch)
{
	time_t t = (time_t)epoch;
	struct tm tm;

	if (epoch <= 0 || gmtime_r(&t, &tm) == NULL ||
	    strftime(buf, OUTPUT_NUM_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return put_dash(buf);
	return buf;
}

char *
output_count(char buf[OUTPUT_NUM_MAX], int64_t n)
{
	if (n < 0)
		return put_dash(buf);
	snprintf(buf, OUTPUT_NUM_MAX, "%" PRId64, n);
	return buf;
}

/* ---- names ---- */

static const char *
output_name(const char *const *names, size_t n, unsigned i)
{
	return i < n ? names[i] : "unknown";
}

const char *
output_auth_mode(unsigned mode)
{
	static const char *const names[] = {
		[AUTH_MODE_NONE] = "none",
		[AUTH_MODE_API_KEY] = "api_key",
		[AUTH_MODE_JWT] = "jwt",
	};

	return output_name(names, NITEMS(names), mode);
}

const char *
output_dialect(unsigned dialect)
{
	static const char *const names[] = {
		[DIALECT_AUTO] = "auto",
		[DIALECT_CLIENT] = "client",
		[DIALECT_SESSION] = "session",
	};

	return output_name(names, NITEMS(names), dialect);
}

const char *
output_identity(unsigned identity)
{
	static const char *const names[] = {
		[IDENTITY_CLAIMED] = "claimed",
		[IDENTITY_API_KEY] = "api_key",
		[IDENTITY_TOKEN] = "token",
		[IDENTITY_MTLS_SUBJECT] = "mtls_subject",
	};

	return output_name(names, NITEMS(names), identity);
}

const char *
output_key_source(unsigned source)
{
	static const char *const names[] = {
		[KEY_SOURCE_NONE] = "none",
		[KEY_SOURCE_ENVIRONMENT] = "environment",
		[KEY_SOURCE_CONFIG] = "config",
		[KEY_SOURCE_FILE] = "file",
		[KEY_SOURCE_PREVIOUS] = "previous",
	};

	return output_name(names, NITEMS(names), source);
}

const char *
output_key_realm(unsigned realm)
{
	static const char *const names[] = {
		[REALM_KEYS] = "keys",
		[REALM_TOKENS] = "tokens",
	};

	return output_name(names, NITEMS(names), realm);
}

const char *
output_mechanism(unsigned mechanism)
{
	static const char *const names[] = {
		[SANDBOX_NONE] = "none",
		[SANDBOX_SECCOMP] = "seccomp",
		[SANDBOX_PLEDGE] = "pledge",
		[SANDBOX_LANDLOCK] = "landlock",
	};

	return output_name(names, NITEMS(names), mechanism);
}

const char *
output_log_level(unsigned level)
{
	return level <= LEVEL_TRACE ? log_level_name((enum log_level)level)
				    : "unknown";
}

char *
output_process_name(char buf[OUTPUT_NUM_MAX], const struct msg_process *p)
{
	const char *name = role_name((enum role)p->role);

	if (p->role == ROLE_WORKER)
		snprintf(buf, OUTPUT_NUM_MAX, "%s[%" PRIu32 "]", name, p->slot);
	else
		strlcpy(buf, name, OUTPUT_NUM_MAX);
	return buf;
}

char *
output_sandbox(char buf[OUTPUT_LINE_MAX], const struct msg_process *p)
{
	const char *how = "";

	if (p->pid == 0)
		return put_dash(buf);
	if (p->mechanism == SANDBOX_PLEDGE)
		return memcpy(buf, "pledge", sizeof("pledge"));
	if (p->seccomp == 0 && p->landlock_abi == 0)
		how = "none ";
	snprintf(buf, OUTPUT_LINE_MAX,
	    "%sseccomp=%u landlock=%u rights=fs:%d,net:%d,scope:%d "
	    "no_new_privs=%u dumpable=%u",
	    how, (unsigned)p->seccomp, (unsigned)p->landlock_abi,
	    __builtin_popcount(p->landlock_fs),
	    __builtin_popcount(p->landlock_net),
	    __builtin_popcount(p->landlock_scope), (unsigned)p->no_new_privs,
	    (unsigned)p->dumpable);
	return buf;
}

char *
output_peer(char buf[OUTPUT_LINE_MAX], const struct msg_session *s)
{
	char text[ADDR_TEXT_MAX];

	/* A proxy tells the address of its client, not the port. */
	if (s->addr.port == 0)
		strlcpy(buf, addr_print_ip(&s->addr, text), OUTPUT_LINE_MAX);
	else
		strlcpy(buf, addr_print(&s->addr, text), OUTPUT_LINE_MAX);
	return buf;
}

char *
output_id(char buf[OUTPUT_ID_MAX], const struct bytes *id)
{
	if (id->len == 0)
		return put_dash(buf);
	return log_vis(buf, OUTPUT_ID_MAX, id->p, id->len);
}

/* Byte i of a line, encoded; returns the length. */
static size_t
output_vis(char enc[8], const struct bytes *line, size_t i)
{
	int next = i + 1 < line->len ? (unsigned char)line->p[i + 1] : 0;

	vis(enc, (unsigned char)line->p[i], VIS_NL | VIS_TAB | VIS_NOSLASH,
	    next);
	return strlen(enc);
}

void
output_put_line(FILE *fp, const struct bytes *line)
{
	char enc[8];
	size_t i, n;

	for (i = 0; i < line->len; i++) {
		n = output_vis(enc, line, i);
		fwrite(enc, 1, n, fp);
	}
}

char *
output_line(char *buf, size_t bufsize, const struct bytes *line)
{
	size_t i, n, used = 0;
	char enc[8];

	for (i = 0; i < line->len; i++) {
		n = output_vis(enc, line, i);
		if (used + n >= bufsize)
			break;
		memcpy(buf + used, enc, n);
		used += n;
	}
	buf[used] = '\0';
	return buf;
}

size_t
output_family_end(size_t i)
{
	const char *family = counter_desc[i].family;

	while (i < COUNT__MAX && strcmp(counter_desc[i].family, family) == 0)
		i++;
	return i;
}

/* ---- show summary ---- */

static void text_row(struct output_to *, const char *, const char *, ...)
    __attribute__((__format__(printf, 3, 4)));

static void
text_row(struct output_to *to, const char *label, const char *fmt, ...)
{
	va_list ap;

	fprintf(to->fp, "%-12s ", label);
	va_start(ap, fmt);
	vfprintf(to->fp, fmt, ap);
	va_end(ap);
	fputc('\n', to->fp);
}

/* All counters of the family that begins with first, those at zero too. */
static void
text_family(struct output_to *to, const char *label, const uint64_t *n,
    enum counter first)
{
	size_t i, end = output_family_end(first);

	fprintf(to->fp, "%-12s", label);
	for (i = first; i < end; i++)
		fprintf(to->fp, "%s %s %" PRIu64, i > (size_t)first ? "," : "",
		    counter_desc[i].value != NULL ? counter_desc[i].value
						  : "total",
		    n[i]);
	fputc('\n', to->fp);
}

static void
text_auth(struct output_to *to, const struct msg_ctl_summary *s)
{
	const struct msg_stat *st = &s->stat;

	if (!st->auth_configured) {
		text_row(to, "auth", "%s", output_auth_mode(s->auth_mode));
		return;
	}
	text_row(to, "auth", "%s, %" PRIu64 " keys%s%s",
	    output_auth_mode(s->auth_mode), st->gauges[GAUGE_AUTH_KEYS],
	    st->keys_usable ? "" : ", no usable keys: everybody is refused",
	    st->auth_ready ? "" : ", ltp-auth is not ready");
}

static void
text_audit(struct output_to *to, const struct msg_stat *st)
{
	const uint64_t *n = st->counters.n;

	if (!st->audit_configured) {
		text_row(to, "audit log", "off");
		return;
	}
	text_row(to, "audit log",
	    "%s, %s, next i %" PRIu64 ", lines %" PRIu64 ", errors %" PRIu64
	    ", lost %" PRIu64,
	    st->gauges[GAUGE_AUDIT_WRITABLE] ? "writable" : "not writable",
	    st->audit_required ? "required" : "not required",
	    st->gauges[GAUGE_AUDIT_NEXT], n[COUNT_AUDIT_LINES],
	    n[COUNT_AUDIT_ERRORS], n[COUNT_AUDIT_LOST]);
}

static void
text_traffic(struct output_to *to, const uint64_t *n)
{
	char in[OUTPUT_NUM_MAX], out[OUTPUT_NUM_MAX];

	text_row(to, "accepted", "%" PRIu64 ", refused %" PRIu64,
	    n[COUNT_CONNECTIONS], n[COUNT_CONNECTIONS_REFUSED]);
	text_family(to, "upgrades", n, COUNT_UPGRADE_101);
	text_family(to, "messages", n, COUNT_MSG_HELLO);
	text_family(to, "rejected", n, COUNT_REJECT_RATE_LIMIT);
	text_row(to, "replies", "%" PRIu64, n[COUNT_REPLIES]);
	text_row(to, "bytes", "in %s, out %s",
	    output_size(in, (int64_t)n[COUNT_BYTES_IN]),
	    output_size(out, (int64_t)n[COUNT_BYTES_OUT]));
	text_family(to, "expired", n, COUNT_EXPIRED_TTL);
	text_family(to, "restarts", n, COUNT_RESTARTS_WORKER);
	text_row(to, "reloads", "%" PRIu64 ", failed %" PRIu64,
	    n[COUNT_RELOADS], n[COUNT_RELOAD_FAILURES]);
	text_row(to, "key reloads", "%" PRIu64 ", failed %" PRIu64,
	    n[COUNT_KEYS_RELOAD_SUCCESS], n[COUNT_KEYS_RELOAD_FAILURE]);
}

static void
text_summary(struct output_to *to, const struct show_summary *sum)
{
	const struct msg_ctl_summary *s = &sum->s;
	const uint64_t *g = s->stat.gauges;
	char id[OUTPUT_ID_MAX], num[OUTPUT_NUM_MAX];

	text_row(to, "node", "%s", output_id(id, &sum->node_id));
	text_row(to, "version", "%s", output_id(id, &sum->version));
	text_row(to, "pid", "%" PRIu32, s->pid);
	text_row(to, "state", "%s", s->stat.draining ? "draining" : "running");
	text_row(to, "uptime", "%s",
	    output_duration(num, (int64_t)s->stat.uptime_ms));
	text_row(to, "log level", "%s", output_log_level(s->log_level));
	text_auth(to, s);
	text_audit(to, &s->stat);
	text_row(to, "workers", "%" PRIu64 " ready of %" PRIu32,
	    g[GAUGE_WORKERS], s->stat.workers_configured);
	text_row(to, "connections", "%" PRIu64 " of %" PRIu32,
	    g[GAUGE_CONNECTIONS], s->max_connections);
	text_row(to, "sessions", "%" PRIu64 " of %" PRIu32, g[GAUGE_SESSIONS],
	    s->max_sessions);
	text_traffic(to, s->stat.counters.n);
}

static void
text_listener(struct output_to *to, const struct show_listener *l)
{
	char kind[OUTPUT_ID_MAX], url[OUTPUT_ID_MAX];

	text_row(to, "listener", "%s %s", output_id(kind, &l->kind),
	    output_id(url, &l->url));
}

/* ---- tables ---- */

static void
text_process(struct output_to *to, const struct msg_process *p)
{
	char name[OUTPUT_NUM_MAX], up[OUTPUT_NUM_MAX], cpu[OUTPUT_NUM_MAX];
	char mem[OUTPUT_NUM_MAX], fds[OUTPUT_NUM_MAX], sb[OUTPUT_LINE_MAX];
	bool alive = p->pid != 0;

	fprintf(to->fp,
	    "%-10s %7" PRIu32 " %6" PRIu32 " %-8s %7s %8" PRIu32
	    " %9s %7s %5s %6" PRIu64 " %8" PRIu64 " %s\n",
	    output_process_name(name, p), p->pid, p->uid,
	    child_state_name(p->state),
	    output_duration(up, alive ? p->uptime_ms : -1), p->restarts,
	    output_cpu(cpu, alive ? p->cpu_us : -1),
	    output_size(mem, alive ? p->resident_bytes : -1),
	    output_count(fds, alive ? p->descriptors : -1), p->connections,
	    p->sessions, output_sandbox(sb, p));
}

static void
text_session(struct output_to *to, const struct show_session *s)
{
	char id[OUTPUT_ID_MAX], session[OUTPUT_ID_MAX], tag[OUTPUT_ID_MAX];
	char peer[OUTPUT_LINE_MAX], age[OUTPUT_NUM_MAX], idle[OUTPUT_NUM_MAX];

	fprintf(to->fp,
	    "%-8" PRIu64 " %-24s %-12s %-36s %-7s %-21s %6u %7s %7s "
	    "%8" PRIu64 " %8" PRIu64 " %s\n",
	    s->s.conn, output_id(id, &s->client_id),
	    output_identity(s->s.identity), output_id(session, &s->session_id),
	    output_dialect(s->s.dialect), output_peer(peer, &s->s),
	    (unsigned)s->s.slot, output_duration(age, (int64_t)s->s.age_ms),
	    output_duration(idle, (int64_t)s->s.idle_ms), s->s.messages_in,
	    s->s.messages_out, output_id(tag, &s->tag));
}

static void
text_key(struct output_to *to, const struct show_key *k)
{
	char id[OUTPUT_ID_MAX], loaded[OUTPUT_NUM_MAX], used[OUTPUT_NUM_MAX];
	char sessions[OUTPUT_NUM_MAX] = "-";
	const uint8_t *d = k->k.digest_prefix;

	if (k->k.sessions >= 0)
		snprintf(sessions, sizeof(sessions), "%" PRId64, k->k.sessions);
	fprintf(to->fp, "%-24s %-6s %-11s %02x%02x%02x%02x %-20s %8s %s\n",
	    output_id(id, &k->id), output_key_realm(k->k.realm),
	    output_key_source(k->k.source), d[0], d[1], d[2], d[3],
	    output_time(loaded, k->k.loaded), sessions,
	    output_time(used, k->k.last_used));
}

static void
text_setting(struct output_to *to, const struct show_setting *s)
{
	output_put_line(to->fp, &s->name);
	fputs(" = ", to->fp);
	output_put_line(to->fp, &s->value);
	fputs("  # ", to->fp);
	output_put_line(to->fp, &s->origin);
	fputc('\n', to->fp);
}

static void
text_head(struct output_to *to, enum ctl_show what)
{
	switch (what) {
	case SHOW_PROCESSES:
		fprintf(to->fp,
		    "%-10s %7s %6s %-8s %7s %8s %9s %7s %5s %6s %8s %s\n",
		    "PROCESS", "PID", "UID", "STATE", "UPTIME", "RESTARTS",
		    "CPU", "MEMORY", "FDS", "CONNS", "SESSIONS", "SANDBOX");
		break;
	case SHOW_SESSIONS:
		fprintf(to->fp,
		    "%-8s %-24s %-12s %-36s %-7s %-21s %6s %7s %7s %8s %8s "
		    "%s\n",
		    "CONN", "CLIENT_ID", "IDENTITY", "SESSION_ID", "DIALECT",
		    "PEER", "WORKER", "AGE", "IDLE", "IN", "OUT", "TAG");
		break;
	case SHOW_KEYS:
		fprintf(to->fp, "%-24s %-6s %-11s %-8s %-20s %8s %s\n", "ID",
		    "REALM", "SOURCE", "SHA-256", "LOADED", "SESSIONS",
		    "LAST USED");
		break;
	default:
		break;
	}
}

static void
text_tail(struct output_to *to, enum ctl_show what)
{
	(void)to;
	(void)what;
}

static void
text_done(struct output_to *to, const char *remark)
{
	fprintf(
	    to->fp, "%s\n", remark[0] != '\0' ? remark : "command succeeded");
}

static void
text_error(struct output_to *to, const char *text)
{
	struct bytes line = { .p = text, .len = strlen(text) };

	fflush(to->fp);
	fputs("ltpctl: ", stderr);
	output_put_line(stderr, &line);
	fputc('\n', stderr);
}

const struct output output_text = {
	.head = text_head,
	.summary = text_summary,
	.listener = text_listener,
	.process = text_process,
	.session = text_session,
	.key = text_key,
	.setting = text_setting,
	.tail = text_tail,
	.done = text_done,
	.error = text_error,
};
