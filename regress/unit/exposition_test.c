/*
 * The Prometheus text: golden pieces of a small snapshot, the list of all
 * families, and a strict checker of the format, which is itself shown texts
 * that it must refuse.
 */
#include "unit.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exposition.h"

/* ---- the checker ---- */

#define NAME_MAX_LEN   64
#define SERIES_MAX_LEN 160
#define FAMILIES_MAX   64
#define SERIES_MAX     1024

/*
 * One pass over the lines.  Stricter than the format: a family is HELP, TYPE
 * and its samples in this order and without a gap, values are decimal
 * numbers, there are no timestamps and no other comments.
 */
struct checker {
	char family[FAMILIES_MAX][NAME_MAX_LEN];
	size_t nfamilies;
	char series[SERIES_MAX][SERIES_MAX_LEN];
	size_t nseries;
	char type[NAME_MAX_LEN]; /* of the current family; empty before TYPE */

	/* The histogram that is being read. */
	double bound; /* last le */
	uint64_t count; /* last cumulative count */
	unsigned part; /* 0: buckets, 1: after +Inf, 2: after sum, 3: done */
	unsigned bounds; /* buckets so far */
};

static size_t
span_name(const char *p, bool label)
{
	static const char first[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
	static const char digits[] = "0123456789";
	size_t n = 0;

	while (p[n] != '\0' && (strchr(first, p[n]) != NULL ||
				   (n > 0 && strchr(digits, p[n]) != NULL))) {
		if (label && p[n] == ':')
			break;
		n++;
	}
	return n;
}

/* digits, or digits.digits; the whole of p. */
static bool
is_number(const char *p)
{
	size_t n = strspn(p, "0123456789");

	if (n == 0)
		return false;
	p += n;
	if (*p == '.') {
		n = strspn(++p, "0123456789");
		if (n == 0)
			return false;
		p += n;
	}
	return *p == '\0';
}

/* {name="value",..}; returns what follows, or NULL.  le is copied out. */
static const char *
skip_labels(const char *p, char le[NAME_MAX_LEN])
{
	const char *name, *value;
	size_t n;

	do {
		name = ++p;
		if ((n = span_name(p, true)) == 0)
			return NULL;
		p += n;
		if (strncmp(p, "=\"", 2) != 0)
			return NULL;
		value = p += 2;
		for (; *p != '"'; p++) {
			if (*p == '\0')
				return NULL;
			if (*p == '\\' && *++p != '\\' && *p != '"' &&
			    *p != 'n')
				return NULL;
		}
		if (n == 2 && strncmp(name, "le", 2) == 0)
			snprintf(
			    le, NAME_MAX_LEN, "%.*s", (int)(p - value), value);
		p++;
	} while (*p == ',');
	return *p == '}' ? p + 1 : NULL;
}

static const char *
check_bucket(struct checker *c, const char *le, uint64_t count)
{
	double bound;

	if (c->part != 0)
		return "bucket out of order";
	if (count < c->count)
		return "buckets are not cumulative";
	c->count = count;
	c->bounds++;
	if (strcmp(le, "+Inf") == 0) {
		c->part = 1;
		return NULL;
	}
	if (!is_number(le))
		return "bad le";
	bound = strtod(le, NULL);
	if (c->bounds > 1 && bound <= c->bound)
		return "bounds do not rise";
	c->bound = bound;
	return NULL;
}

static const char *
check_histogram(
    struct checker *c, const char *suffix, const char *le, const char *value)
{
	uint64_t n = strtoull(value, NULL, 10);

	if (strcmp(suffix, "_bucket") == 0) {
		if (le[0] == '\0')
			return "bucket without le";
		return strchr(value, '.') == NULL ? check_bucket(c, le, n)
						  : "fraction of a count";
	}
	if (le[0] != '\0')
		return "le outside of a bucket";
	if (strcmp(suffix, "_sum") == 0)
		return c->part++ == 1 ? NULL : "sum out of order";
	if (strcmp(suffix, "_count") != 0)
		return "sample of another family";
	if (c->part++ != 2)
		return "count out of order";
	if (strchr(value, '.') != NULL || n != c->count)
		return "count is not that of +Inf";
	return NULL;
}

static const char *
check_sample(struct checker *c, const char *line)
{
	char name[NAME_MAX_LEN], le[NAME_MAX_LEN] = "", *series;
	size_t i, n = span_name(line, false);
	const char *family, *p = line + n;

	if (c->nfamilies == 0 || c->type[0] == '\0')
		return "sample before its TYPE";
	if (n == 0 || n >= NAME_MAX_LEN)
		return "bad name";
	snprintf(name, sizeof(name), "%.*s", (int)n, line);
	if (*p == '{' && (p = skip_labels(p, le)) == NULL)
		return "bad labels";
	if (*p != ' ' || !is_number(p + 1))
		return "bad value";
	assert_true(c->nseries < SERIES_MAX && p - line < SERIES_MAX_LEN);
	series = c->series[c->nseries++];
	snprintf(series, SERIES_MAX_LEN, "%.*s", (int)(p - line), line);
	for (i = 0; i + 1 < c->nseries; i++) {
		if (strcmp(c->series[i], series) == 0)
			return "sample twice";
	}
	family = c->family[c->nfamilies - 1];
	if (strcmp(c->type, "histogram") == 0 &&
	    strncmp(name, family, strlen(family)) == 0)
		return check_histogram(c, name + strlen(family), le, p + 1);
	return strcmp(name, family) == 0 ? NULL : "sample of another family";
}

/* What can be said of a family when the next one begins. */
static const char *
check_end(const struct checker *c)
{
	if (c->nfamilies == 0)
		return NULL;
	if (c->type[0] == '\0')
		return "family without TYPE";
	if (strcmp(c->type, "histogram") == 0 && c->part != 3)
		return "histogram is incomplete";
	return NULL;
}

static const char *
check_help(struct checker *c, const char *p)
{
	const char *error = check_end(c);
	size_t i, n = span_name(p, false);
	char *family;

	if (error != NULL)
		return error;
	if (n == 0 || n >= NAME_MAX_LEN || p[n] != ' ' || p[n + 1] == '\0')
		return "bad HELP";
	assert_true(c->nfamilies < FAMILIES_MAX);
	family = c->family[c->nfamilies++];
	snprintf(family, NAME_MAX_LEN, "%.*s", (int)n, p);
	for (i = 0; i + 1 < c->nfamilies; i++) {
		if (strcmp(c->family[i], family) == 0)
			return "family twice";
	}
	for (p += n; *p != '\0'; p++) {
		if (*p == '\\' && *++p != '\\' && *p != 'n')
			return "bad escape in HELP";
	}
	c->type[0] = '\0';
	c->part = c->bounds = 0;
	c->count = 0;
	return NULL;
}

static const char *
check_type(struct checker *c, const char *p)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };
	size_t i, n = span_name(p, false);

	if (c->nfamilies == 0 || c->type[0] != '\0' || p[n] != ' ' ||
	    strlen(c->family[c->nfamilies - 1]) != n ||
	    strncmp(c->family[c->nfamilies - 1], p, n) != 0)
		return "TYPE without its HELP";
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(p + n + 1, types[i]) != 0)
			continue;
		snprintf(c->type, sizeof(c->type), "%s", types[i]);
		return NULL;
	}
	return "unknown TYPE";
}

static const char *
check_line(struct checker *c, const char *line)
{
	const char *p;

	for (p = line; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			return "not printable";
	}
	if (strncmp(line, "# HELP ", 7) == 0)
		return check_help(c, line + 7);
	if (strncmp(line, "# TYPE ", 7) == 0)
		return check_type(c, line + 7);
	return check_sample(c, line);
}

/* NULL when the text is good, else what is wrong with it. */
static const char *
check(const char *text)
{
	struct checker *c = calloc(1, sizeof(*c));
	char *copy = strdup(text), *line, *next;
	const char *error = NULL;

	assert_true(c != NULL && copy != NULL);
	for (line = copy; error == NULL && *line != '\0'; line = next) {
		if ((next = strchr(line, '\n')) == NULL) {
			error = "no newline at the end";
			break;
		}
		*next++ = '\0';
		error = check_line(c, line);
	}
	if (error == NULL)
		error = check_end(c);
	free(copy);
	free(c);
	return error;
}

/* ---- helpers ---- */

/* Two workers, of which the system tells little of the second. */
static struct snapshot *
sample(void)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	struct msg_stat *st;

	assert_non_null(s);
	st = &s->stat;
	s->valid = true;
	st->uptime_ms = 65500;
	st->workers_configured = 2;
	st->gauges[GAUGE_CONNECTIONS] = 17;
	st->counters.n[COUNT_MSG_HELLO] = 3;
	st->counters.n[COUNT_MSG_ROUTE_REQUEST] = 1;
	st->counters.n[COUNT_BYTES_IN] = UINT64_MAX;
	st->counters.n[COUNT_UPGRADE_503] = 4;
	hist_observe(&st->counters.hist[HIST_JANITOR_SWEEP], 50);
	hist_observe(&st->counters.hist[HIST_JANITOR_SWEEP], 51);
	hist_observe(&st->counters.hist[HIST_JANITOR_SWEEP], 7000000);
	s->process[0] = (struct msg_process){ .role = ROLE_PARENT,
		.cpu_us = 1500000,
		.resident_bytes = 4096,
		.descriptors = 12 };
	s->process[1] = (struct msg_process){ .role = ROLE_WORKER,
		.cpu_us = 100,
		.resident_bytes = 8192,
		.descriptors = 0 };
	s->process[2] = (struct msg_process){ .role = ROLE_WORKER,
		.slot = 1,
		.restarts = 7,
		.cpu_us = -1,
		.resident_bytes = -1,
		.descriptors = -1 };
	s->nprocess = 3;
	return s;
}

/* The text as a string, to be freed. */
static char *
print(const struct snapshot *s)
{
	struct evbuffer *out = evbuffer_new();
	size_t len;
	char *text;

	assert_non_null(out);
	assert_int_equal(exposition_print(out, s, "1.2.3"), 0);
	len = evbuffer_get_length(out);
	text = calloc(1, len + 1);
	assert_non_null(text);
	assert_int_equal(evbuffer_remove(out, text, len), len);
	evbuffer_free(out);
	return text;
}

/* The lines of a family, from its HELP to the next one's, to be freed. */
static char *
piece(const char *text, const char *family)
{
	char help[NAME_MAX_LEN + 16];
	const char *begin, *end;

	snprintf(help, sizeof(help), "# HELP %s ", family);
	if ((begin = strstr(text, help)) == NULL)
		fail_msg("no family %s", family);
	end = strstr(begin + strlen(help), "# HELP ");
	return end == NULL ? strdup(begin) : strndup(begin, end - begin);
}

static void
assert_piece(const char *text, const char *family, const char *golden)
{
	char *p = piece(text, family);

	assert_string_equal(p, golden);
	free(p);
}

static void
assert_valid(const char *text)
{
	const char *error = check(text);

	if (error != NULL)
		fail_msg("%s", error);
}

/* ---- the tests ---- */

#define G "# HELP a b\n# TYPE a gauge\n"
#define H "# HELP a b\n# TYPE a histogram\n"

static const struct {
	const char *text;
	const char *error;
} refused[] = {
	{ G "a 1", "no newline at the end" },
	{ G "\n", "bad name" },
	{ G "a\t1\n", "not printable" },
	{ G "a 1\r\n", "not printable" },
	{ "a 1\n", "sample before its TYPE" },
	{ "# HELP a b\na 1\n", "sample before its TYPE" },
	{ "# HELP a b\n", "family without TYPE" },
	{ "# TYPE a gauge\n", "TYPE without its HELP" },
	{ "# HELP a b\n# TYPE b gauge\n", "TYPE without its HELP" },
	{ G "# TYPE a gauge\n", "TYPE without its HELP" },
	{ "# HELP a b\n# TYPE a number\n", "unknown TYPE" },
	{ "# HELP a\n# TYPE a gauge\n", "bad HELP" },
	{ "# HELP 1 b\n", "bad HELP" },
	{ "# HELP a b\\t\n", "bad escape in HELP" },
	{ G "# HELP a b\n", "family twice" },
	{ G "b 1\n", "sample of another family" },
	{ G "ab 1\n", "sample of another family" },
	{ G "a 1\na 2\n", "sample twice" },
	{ G "a{x=\"1\"} 1\na{x=\"1\"} 1\n", "sample twice" },
	{ G "a\n", "bad value" },
	{ G "a  1\n", "bad value" },
	{ G "a 1 2\n", "bad value" },
	{ G "a 1.\n", "bad value" },
	{ G "a x\n", "bad value" },
	{ G "a{} 1\n", "bad labels" },
	{ G "a{x} 1\n", "bad labels" },
	{ G "a{x=1} 1\n", "bad labels" },
	{ G "a{x=\"1} 1\n", "bad labels" },
	{ G "a{x=\"\\t\"} 1\n", "bad labels" },
	{ G "a{x=\"1\" 1\n", "bad labels" },
	{ G "a{x=\"1\",} 1\n", "bad labels" },
	{ G "a{x:y=\"1\"} 1\n", "bad labels" },
	{ H, "histogram is incomplete" },
	{ H "a_bucket 1\n", "bucket without le" },
	{ H "a_bucket{le=\"x\"} 1\n", "bad le" },
	{ H "a_bucket{le=\"1\"} 1.5\n", "fraction of a count" },
	{ H "a_bucket{le=\"1\"} 2\na_bucket{le=\"2\"} 1\n",
	    "buckets are not cumulative" },
	{ H "a_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n",
	    "bounds do not rise" },
	{ H "a_bucket{le=\"1\"} 1\na_sum 1\n", "sum out of order" },
	{ H "a_bucket{le=\"+Inf\"} 1\na_count 1\n", "count out of order" },
	{ H "a_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
	    "count is not that of +Inf" },
	{ H "a_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\na_bucket{le=\"1\"} 1\n",
	    "bucket out of order" },
};

static void
the_checker_refuses_what_breaks_the_format(void **state)
{
	const char *error;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		error = check(refused[i].text);
		if (error == NULL)
			fail_msg("accepted: %s", refused[i].text);
		assert_string_equal(error, refused[i].error);
	}
}

static void
the_checker_accepts_what_keeps_it(void **state)
{
	(void)state;
	assert_valid("");
	assert_valid("# HELP a b \\\\ \\n\n# TYPE a gauge\n");
	assert_valid("# HELP a:b c\n# TYPE a:b counter\n"
		     "a:b{x=\"1\",y=\"\\\"\\\\\\n}\"} 10.25\na:b 0\n"
		     "# HELP h c\n# TYPE h histogram\n"
		     "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 1\n"
		     "h_sum 0.25\nh_count 1\n");
}

static void
a_snapshot_is_printed_in_the_format(void **state)
{
	struct snapshot *s = sample();
	char *text = print(s);

	(void)state;
	assert_valid(text);
	free(text);
	free(s);
}

static void
no_snapshot_yet_is_in_the_format_and_all_zero(void **state)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	char *text, *line, *value, *next;

	(void)state;
	assert_non_null(s);
	text = print(s);
	assert_valid(text);
	for (line = strtok_r(text, "\n", &next); line != NULL;
	     line = strtok_r(NULL, "\n", &next)) {
		if (line[0] == '#' || strncmp(line, "ltp_build_info", 14) == 0)
			continue;
		value = strrchr(line, ' ');
		assert_non_null(value);
		assert_string_equal(value, " 0");
	}
	free(text);
	free(s);
}

static void
the_most_processes_are_in_the_format(void **state)
{
	struct snapshot *s = sample();
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < SNAPSHOT_PROCESSES; i++)
		s->process[i] =
		    (struct msg_process){ .role = ROLE_WORKER, .slot = i };
	s->nprocess = SNAPSHOT_PROCESSES;
	text = print(s);
	assert_valid(text);
	assert_non_null(strstr(text,
	    "ltp_process_cpu_seconds_total{process=\"worker\",slot=\"71\"} 0"));
	free(text);
	free(s);
}

/* A family as it is announced, of all those that every scrape must have. */
static const char *const families[] = {
	"ltp_build_info gauge",
	"ltp_uptime_seconds gauge",
	"ltp_workers_configured gauge",
	"ltp_ws_connections_current gauge",
	"ltp_sessions_total gauge",
	"auth_keys_active gauge",
	"janitor_expired_last_sweep gauge",
	"ltp_workers gauge",
	"ltp_audit_writable gauge",
	"ltp_audit_next_index gauge",
	"ltp_msgs_total counter",
	"ltp_msg_rejected_total counter",
	"ltp_sessions_expired_total counter",
	"ltp_capacity_rejections_total counter",
	"ws_invalid_json_total counter",
	"ws_invalid_json_suppressed_total counter",
	"rate_limit_violations_total counter",
	"ip_rate_limit_violations_total counter",
	"oversize_messages_total counter",
	"auth_failures_total counter",
	"auth_keys_reload_success_total counter",
	"auth_keys_reload_failure_total counter",
	"log_suppressed_total counter",
	"ltp_connections_total counter",
	"ltp_connections_refused_total counter",
	"ltp_accept_pauses_total counter",
	"ltp_upgrades_total counter",
	"ltp_protocol_errors_total counter",
	"ltp_handshake_timeouts_total counter",
	"ltp_replies_total counter",
	"ltp_bytes_total counter",
	"ltp_restarts_total counter",
	"ltp_channel_violations_total counter",
	"ltp_log_dropped_total counter",
	"ltp_reloads_total counter",
	"ltp_reload_failures_total counter",
	"ltp_audit_lines_total counter",
	"ltp_audit_errors_total counter",
	"ltp_audit_lost_total counter",
	"ltp_dist_errors_total counter",
	"ltp_tls_handshakes_total counter",
	"ltp_tls_handshake_failures_total counter",
	"ltp_tls_sign_refused_total counter",
	"ltp_tokens_reload_failure_total counter",
	"tls_reload_failure_total counter",
	"janitor_sweep_duration_seconds histogram",
	"ltp_accept_latency_seconds histogram",
	"ltp_handshake_latency_seconds histogram",
	"ltp_process_resident_bytes gauge",
	"ltp_process_open_descriptors gauge",
	"ltp_process_cpu_seconds_total counter",
	"ltp_process_restarts_total counter",
};

static void
every_family_is_always_there(void **state)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	char *text, *p, line[NAME_MAX_LEN * 2];
	size_t i, n = 0;

	(void)state;
	assert_non_null(s);
	text = print(s);
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		snprintf(line, sizeof(line), "# TYPE %s\n", families[i]);
		if (strstr(text, line) == NULL)
			fail_msg("no %s", families[i]);
	}
	for (p = text; (p = strstr(p, "# TYPE ")) != NULL; p++)
		n++;
	assert_int_equal(n, sizeof(families) / sizeof(families[0]));
	free(text);
	free(s);
}

static void
the_node_is_printed_as_expected(void **state)
{
	struct snapshot *s = sample();
	char *text = print(s);

	(void)state;
	assert_piece(text, "ltp_build_info",
	    "# HELP ltp_build_info Always 1; the label tells the version.\n"
	    "# TYPE ltp_build_info gauge\n"
	    "ltp_build_info{version=\"1.2.3\"} 1\n");
	assert_piece(text, "ltp_uptime_seconds",
	    "# HELP ltp_uptime_seconds Time since the node was started.\n"
	    "# TYPE ltp_uptime_seconds gauge\n"
	    "ltp_uptime_seconds 65.5\n");
	assert_piece(text, "ltp_workers_configured",
	    "# HELP ltp_workers_configured Workers that the configuration asks for.\n"
	    "# TYPE ltp_workers_configured gauge\n"
	    "ltp_workers_configured 2\n");
	free(text);
	free(s);
}

static void
gauges_and_counters_are_printed_as_expected(void **state)
{
	struct snapshot *s = sample();
	char *text = print(s);

	(void)state;
	assert_piece(text, "ltp_ws_connections_current",
	    "# HELP ltp_ws_connections_current Connections open, from accept "
	    "on.\n"
	    "# TYPE ltp_ws_connections_current gauge\n"
	    "ltp_ws_connections_current 17\n");
	assert_piece(text, "ltp_msgs_total",
	    "# HELP ltp_msgs_total Valid LTP messages received.\n"
	    "# TYPE ltp_msgs_total counter\n"
	    "ltp_msgs_total{type=\"hello\"} 3\n"
	    "ltp_msgs_total{type=\"heartbeat\"} 0\n"
	    "ltp_msgs_total{type=\"orientation\"} 0\n"
	    "ltp_msgs_total{type=\"route_request\"} 1\n");
	assert_piece(text, "ltp_bytes_total",
	    "# HELP ltp_bytes_total Bytes read from and written to clients.\n"
	    "# TYPE ltp_bytes_total counter\n"
	    "ltp_bytes_total{direction=\"in\"} 18446744073709551615\n"
	    "ltp_bytes_total{direction=\"out\"} 0\n");
	free(text);
	free(s);
}

static void
a_histogram_is_printed_as_expected(void **state)
{
	struct snapshot *s = sample();
	char *text = print(s);

	(void)state;
	assert_piece(text, "janitor_sweep_duration_seconds",
	    "# HELP janitor_sweep_duration_seconds Time that a sweep for idle "
	    "sessions took.\n"
	    "# TYPE janitor_sweep_duration_seconds histogram\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.00005\"} 1\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.00025\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.001\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.005\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.01\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.025\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.1\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"0.25\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"1\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"2.5\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"5\"} 2\n"
	    "janitor_sweep_duration_seconds_bucket{le=\"+Inf\"} 3\n"
	    "janitor_sweep_duration_seconds_sum 7.000101\n"
	    "janitor_sweep_duration_seconds_count 3\n");
	free(text);
	free(s);
}

static void
what_is_not_known_of_a_process_is_left_out(void **state)
{
	struct snapshot *s = sample();
	char *text = print(s);

	(void)state;
	assert_piece(text, "ltp_process_resident_bytes",
	    "# HELP ltp_process_resident_bytes Memory of the process that is "
	    "in core.\n"
	    "# TYPE ltp_process_resident_bytes gauge\n"
	    "ltp_process_resident_bytes{process=\"ltpd\",slot=\"0\"} 4096\n"
	    "ltp_process_resident_bytes{process=\"worker\",slot=\"0\"} 8192\n");
	assert_piece(text, "ltp_process_open_descriptors",
	    "# HELP ltp_process_open_descriptors Descriptors that the process "
	    "has open.\n"
	    "# TYPE ltp_process_open_descriptors gauge\n"
	    "ltp_process_open_descriptors{process=\"ltpd\",slot=\"0\"} 12\n"
	    "ltp_process_open_descriptors{process=\"worker\",slot=\"0\"} 0\n");
	assert_piece(text, "ltp_process_cpu_seconds_total",
	    "# HELP ltp_process_cpu_seconds_total Processor time of the "
	    "process, user and system.\n"
	    "# TYPE ltp_process_cpu_seconds_total counter\n"
	    "ltp_process_cpu_seconds_total{process=\"ltpd\",slot=\"0\"} 1.5\n"
	    "ltp_process_cpu_seconds_total{process=\"worker\",slot=\"0\"} "
	    "0.0001\n");
	assert_piece(text, "ltp_process_restarts_total",
	    "# HELP ltp_process_restarts_total How often the process was "
	    "started anew.\n"
	    "# TYPE ltp_process_restarts_total counter\n"
	    "ltp_process_restarts_total{process=\"ltpd\",slot=\"0\"} 0\n"
	    "ltp_process_restarts_total{process=\"worker\",slot=\"0\"} 0\n"
	    "ltp_process_restarts_total{process=\"worker\",slot=\"1\"} 7\n");
	free(text);
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checker_refuses_what_breaks_the_format),
		cmocka_unit_test(the_checker_accepts_what_keeps_it),
		cmocka_unit_test(a_snapshot_is_printed_in_the_format),
		cmocka_unit_test(no_snapshot_yet_is_in_the_format_and_all_zero),
		cmocka_unit_test(the_most_processes_are_in_the_format),
		cmocka_unit_test(every_family_is_always_there),
		cmocka_unit_test(the_node_is_printed_as_expected),
		cmocka_unit_test(gauges_and_counters_are_printed_as_expected),
		cmocka_unit_test(a_histogram_is_printed_as_expected),
		cmocka_unit_test(what_is_not_known_of_a_process_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
