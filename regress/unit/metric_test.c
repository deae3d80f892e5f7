/*
 * The tables of names: whole, in order, and with the names that dashboards
 * know.  And the arithmetic of counters.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "metric.h"

struct table {
	const char *name;
	const struct metric_desc *desc;
	size_t n;
};

static const struct table tables[] = {
	{ "counter", counter_desc, COUNT__MAX },
	{ "gauge", gauge_desc, GAUGE__MAX },
	{ "histogram", hist_desc, HIST__MAX },
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* What the protocol promises: row, family, label, value. */
struct promise {
	const struct metric_desc *desc;
	const char *family;
	const char *label;
	const char *value;
};

#define COUNTER(c) &counter_desc[COUNT_##c]
#define GAUGE(g)   &gauge_desc[GAUGE_##g]

static const struct promise promises[] = {
	{ COUNTER(MSG_HELLO), "ltp_msgs_total", "type", "hello" },
	{ COUNTER(MSG_HEARTBEAT), "ltp_msgs_total", "type", "heartbeat" },
	{ COUNTER(MSG_ORIENTATION), "ltp_msgs_total", "type", "orientation" },
	{ COUNTER(MSG_ROUTE_REQUEST), "ltp_msgs_total", "type",
	    "route_request" },
	{ COUNTER(REJECT_RATE_LIMIT), "ltp_msg_rejected_total", "reason",
	    "rate_limit" },
	{ COUNTER(REJECT_TOO_LARGE), "ltp_msg_rejected_total", "reason",
	    "too_large" },
	{ COUNTER(REJECT_INVALID_JSON), "ltp_msg_rejected_total", "reason",
	    "invalid_json" },
	{ COUNTER(REJECT_FORBIDDEN), "ltp_msg_rejected_total", "reason",
	    "forbidden" },
	{ COUNTER(REJECT_UNAUTHORIZED), "ltp_msg_rejected_total", "reason",
	    "unauthorized" },
	{ COUNTER(EXPIRED_TTL), "ltp_sessions_expired_total", "reason", "ttl" },
	{ COUNTER(CAPACITY_REJECTIONS), "ltp_capacity_rejections_total", NULL,
	    NULL },
	{ COUNTER(INVALID_JSON), "ws_invalid_json_total", NULL, NULL },
	{ COUNTER(INVALID_JSON_SUPPRESSED), "ws_invalid_json_suppressed_total",
	    NULL, NULL },
	{ COUNTER(DIST_AUTH_FAILED), "ltp_dist_errors_total", "code",
	    "dist.auth_failed" },
	{ COUNTER(DIST_REPLAY_DETECTED), "ltp_dist_errors_total", "code",
	    "dist.replay_detected" },
	{ COUNTER(DIST_SESSION_LIMIT), "ltp_dist_errors_total", "code",
	    "dist.session_limit" },
	{ COUNTER(DIST_CONNECTION_LIMIT), "ltp_dist_errors_total", "code",
	    "dist.connection_limit" },
	{ COUNTER(DIST_MESSAGE_TOO_LARGE), "ltp_dist_errors_total", "code",
	    "dist.message_too_large" },
	{ COUNTER(DIST_RATE_LIMITED), "ltp_dist_errors_total", "code",
	    "dist.rate_limited" },
	{ COUNTER(DIST_HANDSHAKE_TIMEOUT), "ltp_dist_errors_total", "code",
	    "dist.handshake_timeout" },
	{ COUNTER(DIST_MESSAGE_TIMEOUT), "ltp_dist_errors_total", "code",
	    "dist.message_timeout" },
	{ COUNTER(RATE_LIMIT_VIOLATIONS), "rate_limit_violations_total", NULL,
	    NULL },
	{ COUNTER(IP_RATE_LIMIT_VIOLATIONS), "ip_rate_limit_violations_total",
	    NULL, NULL },
	{ COUNTER(OVERSIZE_MESSAGES), "oversize_messages_total", NULL, NULL },
	{ COUNTER(AUTH_FAILURES), "auth_failures_total", NULL, NULL },
	{ COUNTER(KEYS_RELOAD_SUCCESS), "auth_keys_reload_success_total", NULL,
	    NULL },
	{ COUNTER(KEYS_RELOAD_FAILURE), "auth_keys_reload_failure_total", NULL,
	    NULL },
	{ COUNTER(TLS_RELOAD_FAILURE), "tls_reload_failure_total", NULL, NULL },
	{ COUNTER(LOG_SUPPRESSED_IP_RATE_LIMIT), "log_suppressed_total",
	    "category", "ip_rate_limit" },
	{ COUNTER(LOG_SUPPRESSED_RATE_LIMIT), "log_suppressed_total",
	    "category", "rate_limit" },
	{ COUNTER(LOG_SUPPRESSED_TOO_LARGE), "log_suppressed_total", "category",
	    "too_large" },
	{ COUNTER(LOG_SUPPRESSED_INVALID_JSON), "log_suppressed_total",
	    "category", "invalid_json" },
	{ COUNTER(LOG_SUPPRESSED_AUTH), "log_suppressed_total", "category",
	    "auth" },
	{ COUNTER(LOG_SUPPRESSED_ORIGIN), "log_suppressed_total", "category",
	    "origin" },
	{ COUNTER(LOG_SUPPRESSED_HANDSHAKE), "log_suppressed_total", "category",
	    "handshake" },
	{ GAUGE(CONNECTIONS), "ltp_ws_connections_current", NULL, NULL },
	{ GAUGE(SESSIONS), "ltp_sessions_total", NULL, NULL },
	{ GAUGE(AUTH_KEYS), "auth_keys_active", NULL, NULL },
	{ GAUGE(JANITOR_LAST_SWEEP), "janitor_expired_last_sweep", NULL, NULL },
	{ &hist_desc[HIST_JANITOR_SWEEP], "janitor_sweep_duration_seconds",
	    NULL, NULL },
};

#define PROMISES (sizeof(promises) / sizeof(promises[0]))

/* [a-z_][a-z0-9_]*, a narrower alphabet than Prometheus allows. */
static bool
name_ok(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz_";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz_0123456789";

	return name[0] != '\0' && strchr(first, name[0]) != NULL &&
	       strspn(name, rest) == strlen(name);
}

static bool
promised(const struct metric_desc *desc)
{
	size_t i;

	for (i = 0; i < PROMISES; i++) {
		if (promises[i].desc == desc)
			return true;
	}
	return false;
}

static void
assert_same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void
every_row_has_a_family_and_help(void **state)
{
	const struct metric_desc *d;
	size_t t, i;

	(void)state;
	for (t = 0; t < TABLES; t++) {
		for (i = 0; i < tables[t].n; i++) {
			d = &tables[t].desc[i];
			if (d->family == NULL || d->help == NULL)
				fail_msg(
				    "%s %zu has no row", tables[t].name, i);
			assert_true(name_ok(d->family));
			assert_true(strlen(d->help) > 0);
			/* No character that a HELP line would escape. */
			assert_null(strpbrk(d->help, "\\\n"));
		}
	}
}

static void
a_label_has_a_name_and_a_value_or_neither(void **state)
{
	const struct metric_desc *d;
	size_t t, i;

	(void)state;
	for (t = 0; t < TABLES; t++) {
		for (i = 0; i < tables[t].n; i++) {
			d = &tables[t].desc[i];
			assert_true((d->label == NULL) == (d->value == NULL));
			if (d->label == NULL)
				continue;
			assert_true(name_ok(d->label));
			assert_true(strlen(d->value) > 0);
			assert_null(strpbrk(d->value, "\\\"\n"));
		}
	}
	for (i = 0; i < HIST__MAX; i++)
		assert_null(hist_desc[i].label);
}

static void
rows_of_a_family_are_consecutive_and_alike(void **state)
{
	const struct metric_desc *a, *b;
	size_t t, i, j;

	(void)state;
	for (t = 0; t < TABLES; t++) {
		for (i = 0; i < tables[t].n; i++) {
			for (j = i + 1; j < tables[t].n; j++) {
				a = &tables[t].desc[i];
				b = &tables[t].desc[j];
				if (strcmp(a->family, b->family) != 0)
					continue;
				assert_string_equal(
				    a->family, tables[t].desc[j - 1].family);
				assert_non_null(a->label);
				assert_same(a->label, b->label);
				assert_string_equal(a->help, b->help);
			}
		}
	}
}

static void
label_values_of_a_family_are_unique(void **state)
{
	const struct metric_desc *a, *b;
	size_t t, i, j;

	(void)state;
	for (t = 0; t < TABLES; t++) {
		for (i = 0; i < tables[t].n; i++) {
			for (j = i + 1; j < tables[t].n; j++) {
				a = &tables[t].desc[i];
				b = &tables[t].desc[j];
				if (strcmp(a->family, b->family) == 0)
					assert_string_not_equal(
					    a->value, b->value);
			}
		}
	}
}

static void
no_family_is_in_two_tables(void **state)
{
	size_t t, u, i, j;

	(void)state;
	for (t = 0; t < TABLES; t++) {
		for (u = t + 1; u < TABLES; u++) {
			for (i = 0; i < tables[t].n; i++) {
				for (j = 0; j < tables[u].n; j++)
					assert_string_not_equal(
					    tables[t].desc[i].family,
					    tables[u].desc[j].family);
			}
		}
	}
}

static void
the_names_of_the_protocol_keep_their_spelling(void **state)
{
	const struct promise *p;
	size_t i;

	(void)state;
	for (i = 0; i < PROMISES; i++) {
		p = &promises[i];
		assert_string_equal(p->desc->family, p->family);
		assert_same(p->desc->label, p->label);
		assert_same(p->desc->value, p->value);
	}
}

static void
all_other_names_begin_with_ltp(void **state)
{
	const struct metric_desc *d;
	size_t t, i, own = 0;

	(void)state;
	for (t = 0; t < TABLES; t++) {
		for (i = 0; i < tables[t].n; i++) {
			d = &tables[t].desc[i];
			if (promised(d))
				continue;
			own++;
			if (strncmp(d->family, "ltp_", 4) != 0)
				fail_msg("%s", d->family);
		}
	}
	assert_int_equal(
	    own + PROMISES, (size_t)COUNT__MAX + GAUGE__MAX + HIST__MAX);
}

static void
names_of_counters_end_with_total_and_of_histograms_with_seconds(void **state)
{
	const char *family;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT__MAX; i++) {
		family = counter_desc[i].family;
		assert_string_equal(family + strlen(family) - 6, "_total");
	}
	for (i = 0; i < HIST__MAX; i++) {
		family = hist_desc[i].family;
		assert_string_equal(family + strlen(family) - 8, "_seconds");
	}
}

/* A different number in each word. */
static void
fill(struct counters *c, uint64_t first, uint64_t step)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < COUNTERS_WORDS; i++) {
		word = first + i * step;
		memcpy((char *)c + i * sizeof(word), &word, sizeof(word));
	}
}

static void
adding_reaches_every_word(void **state)
{
	struct counters to, from, sum;

	(void)state;
	fill(&to, 1000, 3);
	fill(&from, 7, 11);
	fill(&sum, 1007, 14);
	counters_add(&to, &from);
	assert_memory_equal(&to, &sum, sizeof(to));
	fill(&sum, 7, 11);
	assert_memory_equal(&from, &sum, sizeof(from));
}

static void
a_sum_wraps(void **state)
{
	struct counters to = { .n = { [COUNT_BYTES_IN] = UINT64_MAX } };
	struct counters from = { .n = { [COUNT_BYTES_IN] = 3 } };

	(void)state;
	counters_add(&to, &from);
	assert_int_equal(to.n[COUNT_BYTES_IN], 2);
	assert_int_equal(to.n[COUNT_BYTES_IN - 1], 0);
	assert_int_equal(to.n[COUNT_BYTES_IN + 1], 0);
}

static void
a_delta_is_what_came_since(void **state)
{
	struct counters now, base, delta, expected;

	(void)state;
	fill(&base, 5, 2);
	fill(&now, 10, 9);
	fill(&expected, 5, 7);
	memset(&delta, 0xa5, sizeof(delta));
	assert_int_not_equal(counters_delta(&delta, &now, &base), 0);
	assert_memory_equal(&delta, &expected, sizeof(delta));
	counters_add(&base, &delta);
	assert_memory_equal(&base, &now, sizeof(base));
}

static void
a_delta_without_a_move_is_zero_and_says_so(void **state)
{
	struct counters now, base, delta, zero;

	(void)state;
	fill(&base, 5, 2);
	fill(&now, 5, 2);
	memset(&zero, 0, sizeof(zero));
	memset(&delta, 0xa5, sizeof(delta));
	assert_int_equal(counters_delta(&delta, &now, &base), 0);
	assert_memory_equal(&delta, &zero, sizeof(delta));
}

static void
a_delta_sees_a_move_of_any_word_even_one_that_an_int_cannot_hold(void **state)
{
	const uint64_t move = UINT64_C(1) << 32;
	struct counters now, base, delta;
	size_t i;

	(void)state;
	memset(&base, 0, sizeof(base));
	for (i = 0; i < COUNTERS_WORDS; i++) {
		memset(&now, 0, sizeof(now));
		memcpy((char *)&now + i * sizeof(move), &move, sizeof(move));
		assert_int_not_equal(counters_delta(&delta, &now, &base), 0);
		assert_memory_equal(&delta, &now, sizeof(delta));
	}
}

static void
bounds_rise(void **state)
{
	size_t i;

	(void)state;
	assert_true(hist_bounds_us[0] > 0);
	for (i = 1; i < HIST_BUCKETS - 1; i++)
		assert_true(hist_bounds_us[i] > hist_bounds_us[i - 1]);
}

/* The bucket that one observation fell into; it must be one only. */
static size_t
bucket_of(int64_t us)
{
	struct hist h = { .sum_us = 0 };
	size_t i, found = HIST_BUCKETS;

	hist_observe(&h, us);
	for (i = 0; i < HIST_BUCKETS; i++) {
		if (h.bucket[i] == 0)
			continue;
		assert_int_equal(h.bucket[i], 1);
		assert_int_equal(found, HIST_BUCKETS);
		found = i;
	}
	assert_true(h.sum_us == (us < 0 ? 0 : (uint64_t)us));
	return found;
}

static void
a_bound_belongs_to_its_bucket_and_one_more_to_the_next(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		assert_int_equal(bucket_of(hist_bounds_us[i]), i);
		assert_int_equal(bucket_of(hist_bounds_us[i] + 1), i + 1);
	}
}

static void
the_ends_of_the_scale_have_buckets(void **state)
{
	(void)state;
	assert_int_equal(bucket_of(0), 0);
	assert_int_equal(bucket_of(INT64_MAX), HIST_BUCKETS - 1);
}

static void
a_clock_that_went_back_counts_as_zero(void **state)
{
	(void)state;
	assert_int_equal(bucket_of(-1), 0);
	assert_int_equal(bucket_of(INT64_MIN), 0);
}

static void
observations_add_up(void **state)
{
	struct hist h = { .sum_us = 0 };

	(void)state;
	hist_observe(&h, 1);
	hist_observe(&h, 2);
	hist_observe(&h, 60);
	hist_observe(&h, 9000000);
	assert_int_equal(h.bucket[0], 2);
	assert_int_equal(h.bucket[1], 1);
	assert_int_equal(h.bucket[HIST_BUCKETS - 1], 1);
	assert_int_equal(h.sum_us, 9000063);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_has_a_family_and_help),
		cmocka_unit_test(a_label_has_a_name_and_a_value_or_neither),
		cmocka_unit_test(rows_of_a_family_are_consecutive_and_alike),
		cmocka_unit_test(label_values_of_a_family_are_unique),
		cmocka_unit_test(no_family_is_in_two_tables),
		cmocka_unit_test(the_names_of_the_protocol_keep_their_spelling),
		cmocka_unit_test(all_other_names_begin_with_ltp),
		cmocka_unit_test(
		    names_of_counters_end_with_total_and_of_histograms_with_seconds),
		cmocka_unit_test(adding_reaches_every_word),
		cmocka_unit_test(a_sum_wraps),
		cmocka_unit_test(a_delta_is_what_came_since),
		cmocka_unit_test(a_delta_without_a_move_is_zero_and_says_so),
		cmocka_unit_test(
		    a_delta_sees_a_move_of_any_word_even_one_that_an_int_cannot_hold),
		cmocka_unit_test(bounds_rise),
		cmocka_unit_test(
		    a_bound_belongs_to_its_bucket_and_one_more_to_the_next),
		cmocka_unit_test(the_ends_of_the_scale_have_buckets),
		cmocka_unit_test(a_clock_that_went_back_counts_as_zero),
		cmocka_unit_test(observations_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
