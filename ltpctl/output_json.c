/*
 * JSON: one object or array to a line, made with jansson.  What may be long
 * (sessions) is streamed element by element and never collected.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "output.h"
#include "output_json.h"
#include "utf8.h"

#define NITEMS(a)       (sizeof(a) / sizeof((a)[0]))

#define REPLACEMENT     "\xef\xbf\xbd" /* U+FFFD */
#define REPLACEMENT_LEN 3
#define UNSET           "<unset>" /* a setting without a value */

/* ---- pieces ---- */

static json_t *
json_must(json_t *j)
{
	if (j == NULL)
		err(1, "json");
	return j;
}

/* jansson leaves DEL as it is. */
static int
json_write(const char *p, size_t len, void *arg)
{
	FILE *fp = arg;

	for (; len > 0; p++, len--) {
		if (*p == 0x7f)
			fputs("\\u007f", fp);
		else
			putc(*p, fp);
	}
	return ferror(fp) ? -1 : 0;
}

void
output_json_print(FILE *fp, const json_t *j)
{
	if (json_dump_callback(j, json_write, fp,
		JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY |
		    JSON_REAL_PRECISION(12)) == -1)
		err(1, "json");
}

json_t *
output_json_object(void)
{
	return json_must(json_object());
}

void
output_json_set(json_t *o, const char *name, json_t *value)
{
	if (json_object_set_new(o, name, json_must(value)) == -1)
		err(1, "json");
}

void
output_json_int(json_t *o, const char *name, int64_t n)
{
	output_json_set(o, name, json_integer(n));
}

void
output_json_known(json_t *o, const char *name, int64_t n)
{
	output_json_set(o, name, n < 0 ? json_null() : json_integer(n));
}

void
output_json_real(json_t *o, const char *name, double d)
{
	/* Beyond that there is no fraction to round, and no such int64_t. */
	if (d < (double)(INT64_MAX / 10000))
		d = (double)(int64_t)(d * 1000 + 0.5) / 1000;
	output_json_set(o, name, json_real(d));
}

void
output_json_bool(json_t *o, const char *name, bool b)
{
	output_json_set(o, name, json_boolean(b));
}

void
output_json_str(json_t *o, const char *name, const char *text)
{
	struct bytes b = { .p = text, .len = strlen(text) };

	output_json_bytes(o, name, &b);
}

/* Bytes of the character at p, 0 when there is no valid one. */
static size_t
json_char_len(const char *p, size_t left)
{
	utf8_state state;
	size_t n;

	for (n = 1; n <= left && n <= 4; n++) {
		state = 0;
		if (!utf8_check(&state, (const uint8_t *)p, n))
			return 0;
		if (state == 0)
			return n;
	}
	return 0;
}

static json_t *
json_repaired(const struct bytes *b)
{
	size_t i, n, used = 0;
	char *text;
	json_t *j;

	if ((text = malloc(REPLACEMENT_LEN * b->len + 1)) == NULL)
		err(1, "json");
	for (i = 0; i < b->len; i += n) {
		n = json_char_len(b->p + i, b->len - i);
		if (n > 0) {
			memcpy(text + used, b->p + i, n);
			used += n;
			continue;
		}
		memcpy(text + used, REPLACEMENT, REPLACEMENT_LEN);
		used += REPLACEMENT_LEN;
		n = 1;
	}
	j = json_must(json_stringn(text, used));
	free(text);
	return j;
}

json_t *
output_json_text(const struct bytes *b)
{
	json_t *j = json_stringn(b->len > 0 ? b->p : "", b->len);

	return j != NULL ? j : json_repaired(b);
}

void
output_json_bytes(json_t *o, const char *name, const struct bytes *b)
{
	output_json_set(o, name, output_json_text(b));
}

/* ---- show summary ---- */

/* A family with labels is an object of objects: {"type":{"hello":5}}. */
static void
json_metric(json_t *families, const struct metric_desc *d, uint64_t n)
{
	json_t *family, *values;

	if (d->label == NULL) {
		output_json_int(families, d->family, (int64_t)n);
		return;
	}
	if ((family = json_object_get(families, d->family)) == NULL) {
		family = output_json_object();
		output_json_set(families, d->family, family);
	}
	if ((values = json_object_get(family, d->label)) == NULL) {
		values = output_json_object();
		output_json_set(family, d->label, values);
	}
	output_json_int(values, d->value, (int64_t)n);
}

/* The buckets are cumulative and in seconds, as Prometheus has them. */
static json_t *
json_histogram(const struct hist *h)
{
	json_t *o = output_json_object(), *buckets, *b;
	uint64_t count = 0;
	size_t i;

	buckets = json_must(json_array());
	for (i = 0; i < HIST_BUCKETS; i++) {
		count += h->bucket[i];
		b = output_json_object();
		output_json_set(b, "le",
		    i < HIST_BUCKETS - 1
			? json_real((double)hist_bounds_us[i] / 1e6)
			: json_string("+Inf"));
		output_json_int(b, "count", (int64_t)count);
		json_array_append_new(buckets, b);
	}
	output_json_set(o, "buckets", buckets);
	output_json_set(o, "sum", json_real((double)h->sum_us / 1e6));
	output_json_int(o, "count", (int64_t)count);
	return o;
}

static void
json_metrics(json_t *doc, const struct msg_stat *st)
{
	json_t *counters = output_json_object();
	json_t *gauges = output_json_object();
	json_t *hists = output_json_object();
	size_t i;

	for (i = 0; i < COUNT__MAX; i++)
		json_metric(counters, &counter_desc[i], st->counters.n[i]);
	for (i = 0; i < GAUGE__MAX; i++)
		json_metric(gauges, &gauge_desc[i], st->gauges[i]);
	for (i = 0; i < HIST__MAX; i++)
		output_json_set(hists, hist_desc[i].family,
		    json_histogram(&st->counters.hist[i]));
	output_json_set(doc, "counters", counters);
	output_json_set(doc, "gauges", gauges);
	output_json_set(doc, "histograms", hists);
}

static json_t *
json_of(const char *first, uint64_t n, const char *second, uint64_t of)
{
	json_t *o = output_json_object();

	output_json_int(o, first, (int64_t)n);
	output_json_int(o, second, (int64_t)of);
	return o;
}

static json_t *
json_auth(const struct msg_ctl_summary *s)
{
	json_t *o = output_json_object();

	output_json_str(o, "mode", output_auth_mode(s->auth_mode));
	output_json_bool(o, "configured", s->stat.auth_configured);
	output_json_bool(o, "ready", s->stat.auth_ready);
	output_json_bool(o, "keys_usable", s->stat.keys_usable);
	output_json_int(o, "keys", (int64_t)s->stat.gauges[GAUGE_AUTH_KEYS]);
	return o;
}

static json_t *
json_audit(const struct msg_stat *st)
{
	json_t *o = output_json_object();

	output_json_bool(o, "configured", st->audit_configured);
	output_json_bool(o, "required", st->audit_required);
	output_json_bool(o, "writable", st->gauges[GAUGE_AUDIT_WRITABLE] != 0);
	output_json_int(o, "next", (int64_t)st->gauges[GAUGE_AUDIT_NEXT]);
	return o;
}

static void
json_summary(struct output_to *to, const struct show_summary *sum)
{
	const struct msg_ctl_summary *s = &sum->s;
	const uint64_t *g = s->stat.gauges;
	json_t *doc = to->doc;

	output_json_bytes(doc, "node_id", &sum->node_id);
	output_json_bytes(doc, "version", &sum->version);
	output_json_int(doc, "pid", s->pid);
	output_json_int(doc, "uptime_ms", (int64_t)s->stat.uptime_ms);
	output_json_bool(doc, "draining", s->stat.draining);
	output_json_str(doc, "log_level", output_log_level(s->log_level));
	output_json_set(doc, "auth", json_auth(s));
	output_json_set(doc, "audit", json_audit(&s->stat));
	output_json_set(doc, "workers",
	    json_of("ready", g[GAUGE_WORKERS], "configured",
		s->stat.workers_configured));
	output_json_set(doc, "connections",
	    json_of(
		"current", g[GAUGE_CONNECTIONS], "max", s->max_connections));
	output_json_set(doc, "sessions",
	    json_of("current", g[GAUGE_SESSIONS], "max", s->max_sessions));
	output_json_set(doc, "listeners", json_array());
	json_metrics(doc, &s->stat);
}

static void
json_listener(struct output_to *to, const struct show_listener *l)
{
	json_t *o = output_json_object();

	output_json_bytes(o, "kind", &l->kind);
	output_json_bytes(o, "url", &l->url);
	json_array_append_new(json_object_get(to->doc, "listeners"), o);
}

/* ---- elements of arrays ---- */

/* Takes the element. */
static void
json_element(struct output_to *to, json_t *j)
{
	fputs(to->rows++ == 0 ? "\n" : ",\n", to->fp);
	output_json_print(to->fp, j);
	json_decref(j);
}

json_t *
output_json_process(const struct msg_process *p)
{
	json_t *o = output_json_object();
	bool alive = p->pid != 0;

	output_json_str(o, "process", role_name((enum role)p->role));
	output_json_int(o, "slot", p->slot);
	output_json_int(o, "pid", p->pid);
	output_json_int(o, "uid", p->uid);
	output_json_str(o, "state", child_state_name(p->state));
	output_json_known(o, "uptime_ms", alive ? p->uptime_ms : -1);
	output_json_int(o, "restarts", p->restarts);
	output_json_known(o, "cpu_us", alive ? p->cpu_us : -1);
	output_json_known(o, "resident_bytes", alive ? p->resident_bytes : -1);
	output_json_known(o, "descriptors", alive ? p->descriptors : -1);
	output_json_int(o, "connections", (int64_t)p->connections);
	output_json_int(o, "sessions", (int64_t)p->sessions);
	return o;
}

/* Names as in landlock(7), by bit. */
static const char *const fs_rights[] = { "execute", "write_file", "read_file",
	"read_dir", "remove_dir", "remove_file", "make_char", "make_dir",
	"make_reg", "make_sock", "make_fifo", "make_block", "make_sym", "refer",
	"truncate", "ioctl_dev", "resolve_unix" };
static const char *const net_rights[] = { "bind_tcp", "connect_tcp", "bind_udp",
	"send_udp" };
static const char *const scope_rights[] = { "abstract_unix_socket", "signal" };

/* The rights that are taken away, as a list. */
static void
json_rights(json_t *o, const char *name, uint32_t rights,
    const char *const *names, size_t count)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < count; i++) {
		if ((rights & UINT32_C(1) << i) != 0)
			json_array_append_new(list, json_string(names[i]));
	}
	output_json_set(o, name, list);
}

static void
json_process(struct output_to *to, const struct msg_process *p)
{
	json_t *o = output_json_process(p), *sb = output_json_object();

	output_json_str(sb, "mechanism", output_mechanism(p->mechanism));
	output_json_int(sb, "seccomp", p->seccomp);
	output_json_int(sb, "landlock_abi", p->landlock_abi);
	json_rights(
	    sb, "landlock_fs", p->landlock_fs, fs_rights, NITEMS(fs_rights));
	json_rights(sb, "landlock_net", p->landlock_net, net_rights,
	    NITEMS(net_rights));
	json_rights(sb, "landlock_scope", p->landlock_scope, scope_rights,
	    NITEMS(scope_rights));
	output_json_bool(sb, "no_new_privs", p->no_new_privs);
	output_json_bool(sb, "dumpable", p->dumpable);
	output_json_set(o, "sandbox", sb);
	json_element(to, o);
}

static void
json_session(struct output_to *to, const struct show_session *s)
{
	json_t *o = output_json_object();
	char peer[OUTPUT_LINE_MAX];

	output_json_int(o, "connection", (int64_t)s->s.conn);
	output_json_bytes(o, "client_id", &s->client_id);
	output_json_str(o, "identity_source", output_identity(s->s.identity));
	if (s->session_id.len > 0)
		output_json_bytes(o, "session_id", &s->session_id);
	else
		output_json_set(o, "session_id", json_null());
	if (s->tag.len > 0)
		output_json_bytes(o, "tag", &s->tag);
	else
		output_json_set(o, "tag", json_null());
	output_json_str(o, "dialect", output_dialect(s->s.dialect));
	output_json_str(o, "peer", output_peer(peer, &s->s));
	output_json_int(o, "worker", s->s.slot);
	output_json_int(o, "age_ms", (int64_t)s->s.age_ms);
	output_json_int(o, "idle_ms", (int64_t)s->s.idle_ms);
	output_json_int(o, "messages_in", (int64_t)s->s.messages_in);
	output_json_int(o, "messages_out", (int64_t)s->s.messages_out);
	json_element(to, o);
}

/* Null for never and for not known. */
static void
json_time(json_t *o, const char *name, int64_t epoch)
{
	char text[OUTPUT_NUM_MAX];

	output_time(text, epoch);
	output_json_set(
	    o, name, text[0] == '-' ? json_null() : json_string(text));
}

static void
json_key(struct output_to *to, const struct show_key *k)
{
	json_t *o = output_json_object();
	char hex[2 * sizeof(k->k.digest_prefix) + 1];
	const uint8_t *d = k->k.digest_prefix;

	snprintf(hex, sizeof(hex), "%02x%02x%02x%02x", d[0], d[1], d[2], d[3]);
	output_json_bytes(o, "id", &k->id);
	output_json_str(o, "realm", output_key_realm(k->k.realm));
	output_json_str(o, "source", output_key_source(k->k.source));
	output_json_str(o, "digest_prefix", hex);
	json_time(o, "loaded", k->k.loaded);
	output_json_set(o, "sessions",
	    k->k.sessions < 0 ? json_null() : json_integer(k->k.sessions));
	json_time(o, "last_used", k->k.last_used);
	json_element(to, o);
}

/* A value as ltpd.conf(5) writes it is JSON, unless it is a <word>. */
static json_t *
json_value(const struct bytes *value)
{
	json_t *j;

	if (value->len == strlen(UNSET) &&
	    memcmp(value->p, UNSET, value->len) == 0)
		return json_null();
	j = json_loadb(value->p, value->len,
	    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	return j != NULL ? j : output_json_text(value);
}

static void
json_setting(struct output_to *to, const struct show_setting *s)
{
	json_t *o = output_json_object();

	output_json_bytes(o, "name", &s->name);
	output_json_set(o, "value", json_value(&s->value));
	output_json_bytes(o, "origin", &s->origin);
	json_element(to, o);
}

/* ---- frames ---- */

static void
json_head(struct output_to *to, enum ctl_show what)
{
	if (what == SHOW_SUMMARY) {
		to->doc = output_json_object();
		return;
	}
	fputc('[', to->fp);
	to->array = true;
}

static void
json_close(struct output_to *to)
{
	if (to->array)
		fputs(to->rows == 0 ? "]\n" : "\n]\n", to->fp);
	to->array = false;
	json_decref(to->doc);
	to->doc = NULL;
}

static void
json_tail(struct output_to *to, enum ctl_show what)
{
	if (what == SHOW_SUMMARY) {
		output_json_print(to->fp, to->doc);
		fputc('\n', to->fp);
	}
	json_close(to);
}

static void
json_result(struct output_to *to, bool ok, const char *name, const char *text)
{
	json_t *o = output_json_object();

	json_close(to);
	output_json_bool(o, "ok", ok);
	if (text[0] != '\0')
		output_json_str(o, name, text);
	output_json_print(to->fp, o);
	fputc('\n', to->fp);
	json_decref(o);
}

static void
json_done(struct output_to *to, const char *remark)
{
	json_result(to, true, "remark", remark);
}

static void
json_error(struct output_to *to, const char *text)
{
	json_result(to, false, "error", text);
}

const struct output output_json = {
	.head = json_head,
	.summary = json_summary,
	.listener = json_listener,
	.process = json_process,
	.session = json_session,
	.key = json_key,
	.setting = json_setting,
	.tail = json_tail,
	.done = json_done,
	.error = json_error,
};
