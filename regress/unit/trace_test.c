/*
 * trace.c: canonical frames of the audit log, to the byte; and canon.c, the
 * scanner that tells whether something is one.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canon.h"
#include "trace.h"

static int
setup(void **state)
{
	*state = json_new();
	return *state == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	json_free(*state);
	return 0;
}

static struct str
str(const char *text)
{
	struct str s = { text, strlen(text) };

	return s;
}

/* The frame, with | where env belongs; checked by the scanner, too. */
static char *
canonical(const struct trace *t)
{
	static char out[AUDIT_FRAME_MAX + 16], whole[AUDIT_FRAME_MAX + 16];
	size_t before = 0, len, at, env_len;
	const char *why;

	len = trace_print(out, t, &before);
	assert_in_range(len, 2, AUDIT_FRAME_MAX);
	snprintf(whole, sizeof(whole), "%.*s\"env\":\"\",%.*s", (int)before,
	    out, (int)(len - before), out + before);
	why = canon_check(whole, strlen(whole), &at, &env_len);
	if (why != NULL)
		fail_msg("%s: %s", whole, why);
	assert_int_equal(at, before);
	assert_int_equal(env_len, strlen("\"env\":\"\","));
	memmove(out + before + 1, out + before, len - before);
	out[before] = '|';
	out[len + 1] = '\0';
	return out;
}

static char *
canonical_of(struct json *json, const char *message, enum conf_dialect dialect,
    const char *identity, const char *own_id, bool hash)
{
	static char text[4096];
	struct str proven;
	struct trace t;
	struct frame f;

	strlcpy(text, message, sizeof(text));
	assert_true(frame_parse(json, text, strlen(text), &f));
	assert_true(frame_valid(&f, dialect));
	if (identity != NULL)
		proven = str(identity);
	trace_init(&t, identity != NULL ? &proven : NULL, hash);
	trace_of_message(&t, dialect, &f, own_id);
	return canonical(&t);
}

static void
messages_are_sorted_and_absent_members_null(void **state)
{
	static const struct {
		enum conf_dialect dialect;
		const char *message;
		const char *frame;
	} rows[] = {
		{ DIALECT_CLIENT,
		    "{\"type\":\"hello\",\"session_tag\":\"t\",\"x\":[1],"
		    "\"client_id\":\"c\",\"auth_token\":\"secret\"}",
		    "{\"client_id\":\"c\",|\"identity\":\"me\","
		    "\"session_tag\":\"t\",\"type\":\"hello\",\"v\":\"0.1\"}" },
		{ DIALECT_CLIENT, "{\"type\":\"hello\",\"client_id\":\"c\"}",
		    "{\"client_id\":\"c\",|\"identity\":\"me\","
		    "\"session_tag\":null,\"type\":\"hello\",\"v\":\"0.1\"}" },
		{ DIALECT_CLIENT,
		    "{\"type\":\"heartbeat\",\"client_id\":\"c\","
		    "\"timestamp_ms\":-7}",
		    "{\"client_id\":\"c\",|\"identity\":\"me\","
		    "\"timestamp_ms\":-7,\"type\":\"heartbeat\","
		    "\"v\":\"0.1\"}" },
		{ DIALECT_CLIENT,
		    "{\"type\":\"orientation\",\"client_id\":\"c\","
		    "\"time_orientation\":{\"strength\":0.5,\"x\":1,"
		    "\"direction\":\"multi\"}}",
		    "{\"client_id\":\"c\",|\"focus_momentum\":null,"
		    "\"identity\":\"me\",\"time_orientation\":{\"direction\":"
		    "\"multi\",\"strength\":0.5},\"type\":\"orientation\","
		    "\"v\":\"0.1\"}" },
		{ DIALECT_CLIENT,
		    "{\"type\":\"route_request\",\"client_id\":\"c\","
		    "\"hint_sector\":\"h\"}",
		    "{\"client_id\":\"c\",|\"hint_sector\":\"h\","
		    "\"identity\":\"me\",\"type\":\"route_request\","
		    "\"v\":\"0.1\"}" },
		{ DIALECT_SESSION,
		    "{\"type\":\"hello\",\"api_key\":\"secret\","
		    "\"client_id\":\"c\",\"client_label\":\"l\"}",
		    "{\"client_label\":\"l\",|\"identity\":\"me\","
		    "\"type\":\"hello\",\"v\":\"0.1\"}" },
		{ DIALECT_SESSION,
		    "{\"type\":\"orientation\",\"session_id\":\"s\","
		    "\"focus_momentum\":1}",
		    "{|\"focus_momentum\":1,\"identity\":\"me\","
		    "\"session_id\":\"s\",\"time_orientation\":null,"
		    "\"type\":\"orientation\",\"v\":\"0.1\"}" },
		{ DIALECT_SESSION,
		    "{\"type\":\"route_request\",\"session_id\":\"s\","
		    "\"hint_sector\":{\"Custom\":\"h\"}}",
		    "{|\"hint_sector\":{\"Custom\":\"h\"},\"identity\":\"me\","
		    "\"session_id\":\"s\",\"type\":\"route_request\","
		    "\"v\":\"0.1\"}" },
	};
	size_t i;

	for (i = 0; i < COUNT_OF(rows); i++)
		assert_string_equal(canonical_of(*state, rows[i].message,
					rows[i].dialect, "me", "", false),
		    rows[i].frame);
}

static void
strings_escape_what_they_must_and_no_more(void **state)
{
	assert_string_equal(canonical_of(*state,
				"{\"type\":\"hello\",\"client_id\":"
				"\"\\u0000\\u001F\\n\\/\\u00e9\x7f\\\"\\\\\"}",
				DIALECT_CLIENT, NULL, "", false),
	    "{\"client_id\":\"\\u0000\\u001f\\n/\xc3\xa9\x7f\\\"\\\\\",|"
	    "\"identity\":null,\"session_tag\":null,\"type\":\"hello\","
	    "\"v\":\"0.1\"}");
}

static void
numbers_are_the_same_for_every_reader(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0.0, "0" },
		{ -0.0, "0" },
		{ 1.0, "1" },
		{ -1.0, "-1" },
		{ 0.8, "0.8" },
		{ 0.1 + 0.2, "0.3" },
		{ 1.0 / 3, "0.333333333333333" },
		{ -2.0 / 3, "-0.666666666666667" },
		{ 0.00001, "0.00001" },
		{ 0.000012345678901234567, "0.0000123456789012346" },
		{ 0.0000099, "\"9.9e-6\"" },
		{ -1e-300, "\"-1e-300\"" },
		{ 5e-324, "\"5e-324\"" },
		{ 9007199254740992.0, "9007199254740992" },
		{ -9007199254740992.0, "-9007199254740992" },
		{ 9007199254740994.0, "\"9007199254740994\"" },
		{ 9999999999999998.0, "\"9999999999999998\"" },
		{ 1e16, "\"1e16\"" },
		{ 1.5e300, "\"1.5e300\"" },
		{ 1e15, "1000000000000000" },
		{ 123456789012345.6, "123456789012346" },
		{ 1234567890123456.5, "1234567890123460" },
		{ 99999999999999.95, "100000000000000" },
		{ 12345.678901234567, "12345.6789012346" },
	};
	char expected[256];
	struct trace t;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		trace_init(&t, NULL, false);
		t.type = str("x");
		t.members |= TRACE_MOMENTUM;
		t.given |= TRACE_MOMENTUM;
		t.orientation.has_momentum = true;
		t.orientation.momentum = rows[i].value;
		snprintf(expected, sizeof(expected),
		    "{|\"focus_momentum\":%s,\"identity\":null,\"type\":\"x\","
		    "\"v\":\"0.1\"}",
		    rows[i].text);
		assert_string_equal(canonical(&t), expected);
	}
}

static void
integers_beyond_two_to_the_53_are_strings(void **state)
{
	static const struct {
		const char *value;
		const char *text;
	} rows[] = {
		{ "0", "0" },
		{ "-5", "-5" },
		{ "9007199254740992", "9007199254740992" },
		{ "9007199254740993", "\"9007199254740993\"" },
		{ "-9007199254740993", "\"-9007199254740993\"" },
		{ "-9223372036854775808", "\"-9223372036854775808\"" },
		{ "9223372036854775807", "\"9223372036854775807\"" },
	};
	struct str id = str("c"), timestamp;
	char expected[256];
	struct trace t;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		timestamp = str(rows[i].value);
		trace_init(&t, NULL, false);
		trace_of_heartbeat_ack(&t, DIALECT_CLIENT, &id, &timestamp);
		snprintf(expected, sizeof(expected),
		    "{\"client_id\":\"c\",|\"identity\":null,"
		    "\"timestamp_ms\":%s,\"type\":\"heartbeat_ack\","
		    "\"v\":\"0.1\"}",
		    rows[i].text);
		assert_string_equal(canonical(&t), expected);
	}
}

static void
replies_are_frames_too(void **state)
{
	struct orientation o = { true, 0.9, DIRECTION_FUTURE, 1.0 };
	struct str id = str("c"), node = str("n"), session = str("s");
	char sector[ROUTE_SECTOR_MAX];
	struct trace t;

	(void)state;
	trace_init(&t, &(struct str){ "me", 2 }, false);
	trace_of_hello_ack(&t, &node, "");
	assert_string_equal(canonical(&t),
	    "{\"accepted\":true,|\"identity\":\"me\",\"node_id\":\"n\","
	    "\"type\":\"hello_ack\",\"v\":\"0.1\"}");
	trace_init(&t, NULL, false);
	trace_of_hello_ack(&t, &node, "s");
	assert_string_equal(canonical(&t),
	    "{\"accepted\":true,|\"identity\":null,\"node_id\":\"n\","
	    "\"session_id\":\"s\",\"type\":\"hello_ack\",\"v\":\"0.1\"}");
	trace_init(&t, NULL, false);
	trace_of_suggestion(&t, DIALECT_CLIENT, &id, &o, sector);
	assert_string_equal(canonical(&t),
	    "{\"client_id\":\"c\",\"debug\":{\"focus_momentum\":0.9,"
	    "\"time_orientation\":{\"direction\":\"future\",\"strength\":1}},"
	    "|\"identity\":null,\"reason\":\"client oriented to future\","
	    "\"suggested_sector\":\"future_planning_high_momentum\","
	    "\"type\":\"route_suggestion\",\"v\":\"0.1\"}");
	memset(&o, 0, sizeof(o));
	trace_init(&t, NULL, false);
	trace_of_suggestion(&t, DIALECT_SESSION, &session, &o, sector);
	assert_string_equal(canonical(&t),
	    "{\"debug\":{\"focus_momentum\":null,\"time_orientation\":null},"
	    "|\"identity\":null,\"reason\":\"default\",\"session_id\":\"s\","
	    "\"suggested_sector\":\"base_neutral\","
	    "\"type\":\"route_suggestion\",\"v\":\"0.1\"}");
	trace_init(&t, NULL, false);
	trace_of_error(&t, "INVALID", "no", NULL);
	assert_string_equal(canonical(&t),
	    "{\"code\":\"INVALID\",|\"identity\":null,\"message\":\"no\","
	    "\"type\":\"error\",\"v\":\"0.1\"}");
	trace_init(&t, NULL, false);
	trace_of_error(&t, NULL, "no", "dist.rate_limited");
	assert_string_equal(canonical(&t),
	    "{\"dist_code\":\"dist.rate_limited\",|\"identity\":null,"
	    "\"message\":\"no\",\"type\":\"error\",\"v\":\"0.1\"}");
}

#define HASH_C \
	"879923da020d1533f4d8e921ea7bac61e8ba41d3c89d17a4d14e3a89c6780d5d"
#define HASH_5 \
	"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d"
#define HASH_08 \
	"1e9d7c27c8bbc8ddf0055c93e064a62fa995d177fee28cc8fa949bc8a4db06f4"
#define HASH_FUTURE \
	"0ac050bc47b922c00d1fcb4f87fce1b6ce42cc5676c4f7e9c31bb57a96098d96"

static void
what_a_client_chose_can_be_hidden(void **state)
{
	struct str id = str("c");
	struct trace t;

	assert_string_equal(canonical_of(*state,
				"{\"type\":\"orientation\",\"client_id\":\"c\","
				"\"focus_momentum\":0.8,\"time_orientation\":"
				"{\"direction\":\"future\",\"strength\":5}}",
				DIALECT_CLIENT, "me", "", true),
	    "{\"client_id\":\"" HASH_C "\",|\"focus_momentum\":\"" HASH_08
	    "\",\"identity\":\"me\",\"time_orientation\":{\"direction\":\"" HASH_FUTURE
	    "\",\"strength\":\"" HASH_5
	    "\"},\"type\":\"orientation\",\"v\":\"0.1\"}");
	/* The node gave the session its id, and the key its owner's. */
	assert_string_equal(canonical_of(*state,
				"{\"type\":\"heartbeat\",\"session_id\":\"c\","
				"\"timestamp_ms\":5}",
				DIALECT_SESSION, NULL, "c", true),
	    "{|\"identity\":null,\"session_id\":\"c\",\"timestamp_ms\":\"" HASH_5
	    "\",\"type\":\"heartbeat\",\"v\":\"0.1\"}");
	assert_string_equal(canonical_of(*state,
				"{\"type\":\"heartbeat\",\"session_id\":\"c\","
				"\"timestamp_ms\":5}",
				DIALECT_SESSION, NULL, "other", true),
	    "{|\"identity\":null,\"session_id\":\"" HASH_C
	    "\",\"timestamp_ms\":\"" HASH_5
	    "\",\"type\":\"heartbeat\",\"v\":\"0.1\"}");
	trace_init(&t, &(struct str){ "c", 1 }, true);
	trace_of_heartbeat_ack(
	    &t, DIALECT_CLIENT, &id, &(struct str){ "5", 1 });
	assert_string_equal(canonical(&t),
	    "{\"client_id\":\"c\",|\"identity\":\"c\",\"timestamp_ms\":\"" HASH_5
	    "\",\"type\":\"heartbeat_ack\",\"v\":\"0.1\"}");
	trace_init(&t, NULL, true);
	trace_of_heartbeat_ack(
	    &t, DIALECT_CLIENT, &id, &(struct str){ "5", 1 });
	assert_string_equal(canonical(&t),
	    "{\"client_id\":\"" HASH_C
	    "\",|\"identity\":null,\"timestamp_ms\":\"" HASH_5
	    "\",\"type\":\"heartbeat_ack\",\"v\":\"0.1\"}");
}

static void
the_longest_frame_fits(void **state)
{
	char id[LTP_ID_MAX + 1];
	struct str name;
	struct trace t;

	(void)state;
	memset(id, 1, LTP_ID_MAX);
	id[LTP_ID_MAX] = '\0';
	name = str(id);
	trace_init(&t, &name, false);
	t.type = str("hello");
	t.client_id = t.session_tag = t.hint_sector = name;
	t.members |= TRACE_CLIENT_ID | TRACE_SESSION_TAG | TRACE_HINT;
	t.given = t.members;
	assert_in_range(
	    strlen(canonical(&t)), 4 * 6 * LTP_ID_MAX, AUDIT_FRAME_MAX);
}

/* ---- the scanner ---- */

static void
other_forms_are_not_canonical(void **state)
{
	static const char *const bad[] = { "", "[]", "1", "{", "{}x", "{\"a\"}",
		"{\"a\":}", "{\"a\":1,}", "{ }", "{\"a\": 1}", "{\"a\":1 }",
		"{\"b\":1,\"a\":1}", "{\"a\":1,\"a\":1}",
		"{\"x\":{\"b\":1,\"a\":1}}", "{\"ab\":1,\"a\":1}", "{\"a\":01}",
		"{\"a\":-0}", "{\"a\":1.0}", "{\"a\":1.50}", "{\"a\":1e5}",
		"{\"a\":.5}", "{\"a\":1.}", "{\"a\":+1}", "{\"a\":-}",
		"{\"a\":9007199254740993}", "{\"a\":10000000000000000}",
		"{\"a\":0.1234567890123456}", "{\"a\":\"\\/\"}",
		"{\"a\":\"\\u0041\"}", "{\"a\":\"\\u000a\"}",
		"{\"a\":\"\\u001F\"}", "{\"a\":\"\\u007f\"}", "{\"a\":\"\n\"}",
		"{\"a\":\"\xff\"}", "{\"a\":\"", "{\"a\":\"\\\"}",
		"{\"a\":nul}", "{\"a\":[1,]}", "{\"a\":[1 ]}", "{a:1}" };
	size_t i, env, len;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		if (canon_check(bad[i], strlen(bad[i]), &env, &len) == NULL)
			fail_msg("%s", bad[i]);
	}
}

static void
the_canonical_form_is_accepted(void **state)
{
	static const char *const good[] = { "{}", "{\"a\":1,\"ab\":2,\"b\":{}}",
		"{\"a\":[],\"b\":[1,\"x\",null]}", "{\"a\":-0.5}",
		"{\"a\":9007199254740992}", "{\"a\":\"\\u0000\\u001f\\b\\n/\"}",
		"{\"a\":\"\xc3\xa9\x7f\"}", "{\"a\":true,\"b\":false}" };
	size_t i, env, len;

	(void)state;
	for (i = 0; i < COUNT_OF(good); i++) {
		const char *why =
		    canon_check(good[i], strlen(good[i]), &env, &len);

		if (why != NULL)
			fail_msg("%s: %s", good[i], why);
		assert_int_equal(len, 0);
	}
}

static void
only_the_env_of_the_top_counts(void **state)
{
	static const char text[] =
	    "{\"a\":{\"env\":\"1\"},\"env\":\"2\",\"x\":{\"env\":\"3\"}}";
	size_t env, len;

	(void)state;
	assert_null(canon_check(text, strlen(text), &env, &len));
	assert_memory_equal(text + env, "\"env\":\"2\",", len);
	assert_int_equal(len, 10);
}

static void
endless_nesting_ends(void **state)
{
	char text[10000];
	size_t env, len;

	(void)state;
	memset(text, '[', sizeof(text));
	memcpy(text, "{\"a\":", 5);
	assert_string_equal(
	    canon_check(text, sizeof(text), &env, &len), "is too deep");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_sorted_and_absent_members_null),
		cmocka_unit_test(strings_escape_what_they_must_and_no_more),
		cmocka_unit_test(numbers_are_the_same_for_every_reader),
		cmocka_unit_test(integers_beyond_two_to_the_53_are_strings),
		cmocka_unit_test(replies_are_frames_too),
		cmocka_unit_test(what_a_client_chose_can_be_hidden),
		cmocka_unit_test(the_longest_frame_fits),
		cmocka_unit_test(other_forms_are_not_canonical),
		cmocka_unit_test(the_canonical_form_is_accepted),
		cmocka_unit_test(only_the_env_of_the_top_counts),
		cmocka_unit_test(endless_nesting_ends),
	};

	return cmocka_run_group_tests_name("trace", tests, setup, teardown);
}
