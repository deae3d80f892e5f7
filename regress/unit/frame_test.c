/*
 * frame.c: section 2 of the LTP node protocol, messages in both dialects as
 * they are read and replies as they are written, to the byte.
 */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A parsed message with the text that its strings lie in. */
struct message {
	struct frame frame;
	char *text;
};

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

static bool
parse(struct json *json, const char *text, struct message *m)
{
	size_t len = strlen(text);

	m->text = malloc(len > 0 ? len : 1);
	assert_non_null(m->text);
	memcpy(m->text, text, len);
	return frame_parse(json, m->text, len, &m->frame);
}

static void
assert_valid(struct json *json, const char *text, enum conf_dialect dialect,
    bool expected)
{
	struct message m;

	if (!parse(json, text, &m))
		fail_msg("%s: does not parse", text);
	if (frame_valid(&m.frame, dialect) != expected)
		fail_msg("%s: %s", text, expected ? "invalid" : "valid");
	free(m.text);
}

static void
assert_field(
    struct json *json, const char *text, unsigned field, bool present, bool bad)
{
	struct message m;

	if (!parse(json, text, &m))
		fail_msg("%s: does not parse", text);
	if (((m.frame.present & field) != 0) != present)
		fail_msg("%s: %s", text, present ? "absent" : "present");
	if (((m.frame.bad & field) != 0) != bad)
		fail_msg("%s: %s", text, bad ? "good" : "bad");
	free(m.text);
}

static void
assert_str(const struct str *s, const char *expected)
{
	assert_int_equal(s->len, strlen(expected));
	assert_memory_equal(s->p, expected, s->len);
}

/* ---- reading ---- */

static void
all_members_of_a_message_are_read(void **state)
{
	struct message m;

	assert_true(parse(*state,
	    "{\"client_id\":\"c\",\"session_id\":\"s\",\"session_tag\":\"t\","
	    "\"client_label\":\"l\",\"auth_token\":\"a\",\"api_key\":\"k\","
	    "\"timestamp_ms\":-5,\"focus_momentum\":0.8,"
	    "\"time_orientation\":{\"direction\":\"future\","
	    "\"strength\":0.9},\"hint_sector\":\"h\",\"type\":\"hello\"}",
	    &m));
	assert_int_equal(m.frame.type, FRAME_HELLO);
	assert_int_equal(m.frame.present, (FIELD_HINT << 1) - 1);
	assert_int_equal(m.frame.bad, 0);
	assert_str(&m.frame.client_id, "c");
	assert_str(&m.frame.session_id, "s");
	assert_str(&m.frame.session_tag, "t");
	assert_str(&m.frame.client_label, "l");
	assert_str(&m.frame.auth_token, "a");
	assert_str(&m.frame.api_key, "k");
	assert_str(&m.frame.hint_sector, "h");
	assert_str(&m.frame.timestamp, "-5");
	assert_true(m.frame.focus_momentum == 0.8);
	assert_int_equal(m.frame.direction, DIRECTION_FUTURE);
	assert_true(m.frame.strength == 0.9);
	free(m.text);
}

static void
a_message_without_members_is_empty(void **state)
{
	struct message m;

	memset(&m, 0xff, sizeof(m));
	assert_true(parse(*state, "{}", &m));
	assert_int_equal(m.frame.type, FRAME_NONE);
	assert_int_equal(m.frame.present, 0);
	assert_int_equal(m.frame.bad, 0);
	free(m.text);
}

static void
what_is_no_json_object_does_not_parse(void **state)
{
	static const char *const bad[] = { "", "null", "1", "\"hello\"", "[]",
		"[{\"type\":\"hello\",\"client_id\":\"c\"}]",
		"{\"type\":\"hello\",\"client_id\":\"c\"",
		"{\"type\":\"hello\",\"client_id\":\"c\"} {}",
		"{\"type\":\"hello\",\"type\":\"hello\"}",
		"{\"type\":\"hello\",\"x\":{\"a\":1,\"a\":1}}",
		"{\"type\":\"hello\",\"client_id\":\"\xff\"}",
		"{\"type\":\"hello\",\"client_id\":\"\\ud800\"}" };
	struct message m;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		memset(&m, 0xff, sizeof(m));
		if (parse(*state, bad[i], &m))
			fail_msg("%s: parses", bad[i]);
		assert_int_equal(m.frame.type, FRAME_NONE);
		assert_int_equal(m.frame.present, 0);
		assert_null(m.frame.client_id.p);
		free(m.text);
	}
}

static void
the_type_is_one_of_four_names(void **state)
{
	static const struct {
		const char *text;
		enum frame_type type;
	} cases[] = {
		{ "{\"type\":\"hello\"}", FRAME_HELLO },
		{ "{\"type\":\"heartbeat\"}", FRAME_HEARTBEAT },
		{ "{\"type\":\"orientation\"}", FRAME_ORIENTATION },
		{ "{\"type\":\"route_request\"}", FRAME_ROUTE_REQUEST },
		{ "{\"type\":\"h\\u0065llo\"}", FRAME_HELLO },
		{ "{\"\\u0074ype\":\"hello\"}", FRAME_HELLO },
		{ "{\"type\":\"\"}", FRAME_NONE },
		{ "{\"type\":\"Hello\"}", FRAME_NONE },
		{ "{\"type\":\"hello \"}", FRAME_NONE },
		{ "{\"type\":\"hello\\u0000\"}", FRAME_NONE },
		{ "{\"type\":\"hell\"}", FRAME_NONE },
		{ "{\"type\":\"hello_ack\"}", FRAME_NONE },
		{ "{\"type\":\"heartbeaT\"}", FRAME_NONE },
		{ "{\"type\":\"hearTbeat\"}", FRAME_NONE },
		{ "{\"typE\":\"hello\"}", FRAME_NONE },
		{ "{\"type\":\"handshake_init\"}", FRAME_NONE },
		{ "{\"type\":null}", FRAME_NONE },
		{ "{\"type\":1}", FRAME_NONE },
		{ "{\"type\":[\"hello\"]}", FRAME_NONE },
		{ "{\"type\":{\"type\":\"hello\"}}", FRAME_NONE },
		{ "{\"Type\":\"hello\"}", FRAME_NONE },
		{ "{\"x\":{\"type\":\"hello\"}}", FRAME_NONE },
	};
	struct message m;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_true(parse(*state, cases[i].text, &m));
		if (m.frame.type != cases[i].type)
			fail_msg("%s: type %d", cases[i].text, m.frame.type);
		free(m.text);
	}
}

static void
null_is_absent(void **state)
{
	static const struct {
		const char *text;
		unsigned field;
	} cases[] = {
		{ "{\"client_id\":null}", FIELD_CLIENT_ID },
		{ "{\"session_id\":null}", FIELD_SESSION_ID },
		{ "{\"session_tag\":null}", FIELD_SESSION_TAG },
		{ "{\"client_label\":null}", FIELD_CLIENT_LABEL },
		{ "{\"auth_token\":null}", FIELD_AUTH_TOKEN },
		{ "{\"api_key\":null}", FIELD_API_KEY },
		{ "{\"timestamp_ms\":null}", FIELD_TIMESTAMP },
		{ "{\"focus_momentum\":null}", FIELD_MOMENTUM },
		{ "{\"time_orientation\":null}", FIELD_TIME },
		{ "{\"hint_sector\":null}", FIELD_HINT },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_field(
		    *state, cases[i].text, cases[i].field, false, false);
}

/* {"name":"xx..x"}, each x as `unit'. */
static void
check_length(struct json *json, const char *name, unsigned field,
    const char *unit, size_t count, bool bad)
{
	char *text;
	size_t i, len;

	text = malloc(count * strlen(unit) + 64);
	assert_non_null(text);
	len = (size_t)sprintf(text, "{\"%s\":\"", name);
	for (i = 0; i < count; i++)
		len += (size_t)sprintf(text + len, "%s", unit);
	sprintf(text + len, "\"}");
	assert_field(json, text, field, true, bad);
	free(text);
}

static void
ids_have_1_to_256_bytes_as_decoded(void **state)
{
	static const struct {
		const char *name;
		unsigned field;
	} ids[] = {
		{ "client_id", FIELD_CLIENT_ID },
		{ "session_id", FIELD_SESSION_ID },
		{ "session_tag", FIELD_SESSION_TAG },
		{ "client_label", FIELD_CLIENT_LABEL },
		{ "hint_sector", FIELD_HINT },
	};
	const char *name;
	unsigned field;
	size_t i;

	for (i = 0; i < COUNT(ids); i++) {
		name = ids[i].name;
		field = ids[i].field;
		check_length(*state, name, field, "x", 0, true);
		check_length(*state, name, field, "x", 1, false);
		check_length(*state, name, field, "x", 256, false);
		check_length(*state, name, field, "x", 257, true);
		check_length(*state, name, field, "\\u0061", 256, false);
		check_length(*state, name, field, "\\u0061", 257, true);
		check_length(*state, name, field, "\\u0000", 256, false);
		check_length(*state, name, field, "\xc3\xa9", 128, false);
		check_length(*state, name, field, "\xc3\xa9", 129, true);
		check_length(*state, name, field, "\\ud83d\\ude00", 64, false);
		check_length(*state, name, field, "\\ud83d\\ude00", 65, true);
	}
}

static void
credentials_have_0_to_1024_bytes(void **state)
{
	static const struct {
		const char *name;
		unsigned field;
	} credentials[] = {
		{ "auth_token", FIELD_AUTH_TOKEN },
		{ "api_key", FIELD_API_KEY },
	};
	size_t i;

	for (i = 0; i < COUNT(credentials); i++) {
		check_length(*state, credentials[i].name, credentials[i].field,
		    "x", 0, false);
		check_length(*state, credentials[i].name, credentials[i].field,
		    "x", 1024, false);
		check_length(*state, credentials[i].name, credentials[i].field,
		    "x", 1025, true);
	}
}

static void
a_text_is_a_string_and_nothing_else(void **state)
{
	static const char *const names[] = { "client_id", "session_id",
		"session_tag", "client_label", "auth_token", "api_key",
		"hint_sector" };
	static const unsigned fields[] = { FIELD_CLIENT_ID, FIELD_SESSION_ID,
		FIELD_SESSION_TAG, FIELD_CLIENT_LABEL, FIELD_AUTH_TOKEN,
		FIELD_API_KEY, FIELD_HINT };
	static const char *const values[] = { "1", "true", "false", "[]",
		"[\"c\"]", "{}", "{\"c\":\"c\"}" };
	char text[128];
	size_t i, k;

	for (i = 0; i < COUNT(names); i++) {
		for (k = 0; k < COUNT(values); k++) {
			snprintf(text, sizeof(text), "{\"%s\":%s}", names[i],
			    values[k]);
			assert_field(*state, text, fields[i], true, true);
		}
	}
}

static void
a_timestamp_is_an_integer_of_64_bits(void **state)
{
	static const struct {
		const char *text;
		bool bad;
		const char *value;
	} cases[] = {
		{ "{\"timestamp_ms\":0}", false, "0" },
		{ "{\"timestamp_ms\":1700000000000}", false, "1700000000000" },
		{ "{\"timestamp_ms\":9223372036854775807}", false,
		    "9223372036854775807" },
		{ "{\"timestamp_ms\":-9223372036854775808}", false,
		    "-9223372036854775808" },
		{ "{\"timestamp_ms\":9223372036854775808}", true, "" },
		{ "{\"timestamp_ms\":-9223372036854775809}", true, "" },
		{ "{\"timestamp_ms\":-0}", true, "" },
		{ "{\"timestamp_ms\":1.0}", true, "" },
		{ "{\"timestamp_ms\":1e3}", true, "" },
		{ "{\"timestamp_ms\":\"1\"}", true, "" },
		{ "{\"timestamp_ms\":true}", true, "" },
		{ "{\"timestamp_ms\":[1]}", true, "" },
	};
	struct message m;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_field(
		    *state, cases[i].text, FIELD_TIMESTAMP, true, cases[i].bad);
		assert_true(parse(*state, cases[i].text, &m));
		assert_str(&m.frame.timestamp, cases[i].value);
		free(m.text);
	}
}

static void
a_momentum_is_any_finite_number(void **state)
{
	static const struct {
		const char *text;
		bool bad;
	} cases[] = {
		{ "{\"focus_momentum\":0}", false },
		{ "{\"focus_momentum\":-0.0}", false },
		{ "{\"focus_momentum\":0.8}", false },
		{ "{\"focus_momentum\":-7}", false },
		{ "{\"focus_momentum\":1e308}", false },
		{ "{\"focus_momentum\":1e-999}", false },
		{ "{\"focus_momentum\":123456789012345678901234567890}",
		    false },
		{ "{\"focus_momentum\":1e309}", true },
		{ "{\"focus_momentum\":-1e999}", true },
		{ "{\"focus_momentum\":\"0.8\"}", true },
		{ "{\"focus_momentum\":true}", true },
		{ "{\"focus_momentum\":{}}", true },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_field(
		    *state, cases[i].text, FIELD_MOMENTUM, true, cases[i].bad);
}

static void
a_time_orientation_has_a_direction_and_a_strength(void **state)
{
	static const struct {
		const char *value;
		bool bad;
	} cases[] = {
		{ "{\"direction\":\"past\",\"strength\":0}", false },
		{ "{\"strength\":-1e3,\"direction\":\"present\"}", false },
		{ "{\"direction\":\"future\",\"strength\":0.9}", false },
		{ "{\"direction\":\"multi\",\"strength\":1}", false },
		{ "{\"x\":1,\"direction\":\"past\",\"y\":{\"direction\":1},"
		  "\"strength\":1,\"z\":[{\"strength\":\"\"}]}",
		    false },
		{ "{\"Custom\":\"\",\"type\":5,\"direction\":\"past\","
		  "\"strength\":1}",
		    false },
		{ "{}", true },
		{ "{\"direction\":\"past\"}", true },
		{ "{\"strength\":1}", true },
		{ "{\"direction\":null,\"strength\":1}", true },
		{ "{\"direction\":\"past\",\"strength\":null}", true },
		{ "{\"direction\":\"Past\",\"strength\":1}", true },
		{ "{\"direction\":\"\",\"strength\":1}", true },
		{ "{\"direction\":\"none\",\"strength\":1}", true },
		{ "{\"direction\":1,\"strength\":1}", true },
		{ "{\"direction\":[\"past\"],\"strength\":1}", true },
		{ "{\"direction\":\"past\",\"strength\":\"1\"}", true },
		{ "{\"direction\":\"past\",\"strength\":1e999}", true },
		{ "{\"x\":{\"direction\":\"past\",\"strength\":1}}", true },
		{ "[{\"direction\":\"past\",\"strength\":1}]", true },
		{ "[]", true },
		{ "\"future\"", true },
		{ "0", true },
		{ "false", true },
	};
	char text[256];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		snprintf(text, sizeof(text), "{\"time_orientation\":%s}",
		    cases[i].value);
		assert_field(*state, text, FIELD_TIME, true, cases[i].bad);
	}
}

static void
parts_of_a_time_orientation_count_only_within_it(void **state)
{
	assert_field(*state, "{\"direction\":\"past\",\"strength\":1}",
	    FIELD_TIME, false, false);
	assert_field(*state, "{\"x\":{\"direction\":\"past\",\"strength\":1}}",
	    FIELD_TIME, false, false);
	assert_field(*state,
	    "{\"time_orientation\":{\"direction\":\"past\"},"
	    "\"x\":{\"strength\":1}}",
	    FIELD_TIME, true, true);
	assert_field(*state,
	    "{\"time_orientation\":{\"direction\":\"past\"},"
	    "\"hint_sector\":{\"strength\":1,\"Custom\":\"c\"},"
	    "\"strength\":1}",
	    FIELD_TIME, true, true);
}

static void
a_hint_is_a_string_or_a_custom_one(void **state)
{
	static const struct {
		const char *value;
		const char *hint; /* NULL: bad */
	} cases[] = {
		{ "\"anything\"", "anything" },
		{ "{\"Custom\":\"mine\"}", "mine" },
		{ "{\"x\":null,\"Custom\":\"mine\",\"custom\":1}", "mine" },
		{ "{\"y\":{\"Custom\":1},\"Custom\":\"mine\"}", "mine" },
		{ "{\"Custom\":\"\"}", NULL },
		{ "{\"Custom\":null}", NULL },
		{ "{\"Custom\":1}", NULL },
		{ "{\"Custom\":{\"Custom\":\"x\"}}", NULL },
		{ "{\"custom\":\"x\"}", NULL },
		{ "{\"y\":{\"Custom\":\"x\"}}", NULL },
		{ "{}", NULL },
		{ "[\"x\"]", NULL },
		{ "1", NULL },
		{ "true", NULL },
	};
	struct message m;
	char text[256];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		snprintf(
		    text, sizeof(text), "{\"hint_sector\":%s}", cases[i].value);
		assert_field(
		    *state, text, FIELD_HINT, true, cases[i].hint == NULL);
		assert_true(parse(*state, text, &m));
		if (cases[i].hint != NULL)
			assert_str(&m.frame.hint_sector, cases[i].hint);
		free(m.text);
	}
}

static void
a_custom_hint_has_1_to_256_bytes(void **state)
{
	char text[512];
	int len;

	for (len = 255; len <= 258; len++) {
		snprintf(text, sizeof(text),
		    "{\"hint_sector\":{\"Custom\":\"%0*d\"}}", len, 0);
		assert_field(*state, text, FIELD_HINT, true, len > 256);
	}
}

/* ---- validity ---- */

static void
messages_of_the_client_dialect(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{ "{\"type\":\"hello\",\"client_id\":\"c\"}", true },
		{ "{\"client_id\":\"c\",\"x\":[1],\"type\":\"hello\"}", true },
		{ "{\"type\":\"hello\",\"client_id\":\"c\","
		  "\"session_tag\":\"t\",\"auth_token\":\"\"}",
		    true },
		{ "{\"type\":\"hello\",\"client_id\":\"c\","
		  "\"session_tag\":null,\"auth_token\":null}",
		    true },
		{ "{\"type\":\"hello\"}", false },
		{ "{\"type\":\"hello\",\"client_id\":null}", false },
		{ "{\"type\":\"hello\",\"client_id\":\"\"}", false },
		{ "{\"type\":\"hello\",\"session_id\":\"c\"}", false },
		{ "{\"type\":\"hello\",\"client_id\":\"c\","
		  "\"session_tag\":\"\"}",
		    false },
		{ "{\"type\":\"hello\",\"client_id\":\"c\","
		  "\"auth_token\":1}",
		    false },
		{ "{\"type\":\"heartbeat\",\"client_id\":\"c\","
		  "\"timestamp_ms\":5}",
		    true },
		{ "{\"type\":\"heartbeat\",\"client_id\":\"c\"}", false },
		{ "{\"type\":\"heartbeat\",\"timestamp_ms\":5}", false },
		{ "{\"type\":\"heartbeat\",\"client_id\":\"c\","
		  "\"timestamp_ms\":1.0}",
		    false },
		{ "{\"type\":\"orientation\",\"client_id\":\"c\"}", true },
		{ "{\"type\":\"orientation\",\"client_id\":\"c\","
		  "\"focus_momentum\":0.8,\"time_orientation\":"
		  "{\"direction\":\"future\",\"strength\":0.9}}",
		    true },
		{ "{\"type\":\"orientation\",\"client_id\":\"c\","
		  "\"focus_momentum\":null,\"time_orientation\":null}",
		    true },
		{ "{\"type\":\"orientation\",\"focus_momentum\":0.8}", false },
		{ "{\"type\":\"orientation\",\"client_id\":\"c\","
		  "\"focus_momentum\":\"0.8\"}",
		    false },
		{ "{\"type\":\"orientation\",\"client_id\":\"c\","
		  "\"time_orientation\":{\"direction\":\"future\"}}",
		    false },
		{ "{\"type\":\"route_request\",\"client_id\":\"c\"}", true },
		{ "{\"type\":\"route_request\",\"client_id\":\"c\","
		  "\"hint_sector\":\"h\"}",
		    true },
		{ "{\"type\":\"route_request\",\"client_id\":\"c\","
		  "\"hint_sector\":{\"Custom\":\"h\"}}",
		    true },
		{ "{\"type\":\"route_request\",\"client_id\":\"c\","
		  "\"hint_sector\":1}",
		    false },
		{ "{\"type\":\"route_request\"}", false },
		{ "{\"type\":\"other\",\"client_id\":\"c\"}", false },
		{ "{\"client_id\":\"c\"}", false },
		{ "{}", false },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_valid(
		    *state, cases[i].text, DIALECT_CLIENT, cases[i].valid);
}

static void
messages_of_the_session_dialect(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{ "{\"type\":\"hello\",\"api_key\":\"k\"}", true },
		{ "{\"type\":\"hello\",\"api_key\":\"\"}", true },
		{ "{\"type\":\"hello\",\"api_key\":\"k\","
		  "\"client_label\":\"x\"}",
		    true },
		{ "{\"type\":\"hello\",\"api_key\":\"k\","
		  "\"client_label\":null}",
		    true },
		{ "{\"type\":\"hello\"}", false },
		{ "{\"type\":\"hello\",\"api_key\":null}", false },
		{ "{\"type\":\"hello\",\"api_key\":1}", false },
		{ "{\"type\":\"hello\",\"api_key\":\"k\","
		  "\"client_label\":\"\"}",
		    false },
		{ "{\"type\":\"hello\",\"session_id\":\"s\"}", false },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\","
		  "\"timestamp_ms\":5}",
		    true },
		{ "{\"type\":\"heartbeat\",\"client_id\":\"s\","
		  "\"timestamp_ms\":5}",
		    false },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\"}", false },
		{ "{\"type\":\"orientation\",\"session_id\":\"s\"}", true },
		{ "{\"type\":\"orientation\",\"session_id\":\"s\","
		  "\"time_orientation\":[]}",
		    false },
		{ "{\"type\":\"orientation\",\"session_id\":\"\"}", false },
		{ "{\"type\":\"route_request\",\"session_id\":\"s\"}", true },
		{ "{\"type\":\"route_request\",\"session_id\":\"s\","
		  "\"hint_sector\":{}}",
		    false },
		{ "{\"type\":\"route_request\",\"client_id\":\"s\"}", false },
		{ "{\"type\":\"other\",\"session_id\":\"s\"}", false },
		{ "{\"session_id\":\"s\"}", false },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_valid(
		    *state, cases[i].text, DIALECT_SESSION, cases[i].valid);
}

static void
a_bad_member_matters_only_where_it_belongs(void **state)
{
	static const struct {
		const char *text;
		enum conf_dialect dialect;
	} cases[] = {
		{ "{\"type\":\"hello\",\"client_id\":\"c\",\"session_id\":1,"
		  "\"client_label\":1,\"api_key\":1,\"timestamp_ms\":\"\","
		  "\"focus_momentum\":\"\",\"time_orientation\":1,"
		  "\"hint_sector\":1}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"heartbeat\",\"client_id\":\"c\","
		  "\"timestamp_ms\":1,\"session_tag\":1,\"auth_token\":1,"
		  "\"focus_momentum\":\"\",\"time_orientation\":1}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"orientation\",\"client_id\":\"c\","
		  "\"timestamp_ms\":1.5,\"hint_sector\":1}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"route_request\",\"client_id\":\"c\","
		  "\"focus_momentum\":\"\",\"time_orientation\":{}}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"hello\",\"api_key\":\"k\",\"client_id\":1,"
		  "\"session_id\":1,\"session_tag\":1,\"auth_token\":1}",
		    DIALECT_SESSION },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\","
		  "\"timestamp_ms\":1,\"client_id\":1,\"api_key\":1,"
		  "\"client_label\":1}",
		    DIALECT_SESSION },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_valid(*state, cases[i].text, cases[i].dialect, true);
}

static void
nothing_is_valid_before_the_dialect_is_settled(void **state)
{
	assert_valid(*state,
	    "{\"type\":\"hello\",\"client_id\":\"c\",\"session_id\":\"s\","
	    "\"api_key\":\"k\"}",
	    DIALECT_AUTO, false);
}

static void
the_first_object_settles_the_dialect(void **state)
{
	static const struct {
		const char *text;
		enum conf_dialect dialect;
	} cases[] = {
		{ "{}", DIALECT_CLIENT },
		{ "{\"type\":\"hello\"}", DIALECT_CLIENT },
		{ "{\"type\":\"hello\",\"client_id\":\"c\"}", DIALECT_CLIENT },
		{ "{\"type\":\"hello\",\"api_key\":\"k\"}", DIALECT_SESSION },
		{ "{\"type\":\"hello\",\"api_key\":1}", DIALECT_SESSION },
		{ "{\"type\":\"hello\",\"api_key\":null}", DIALECT_CLIENT },
		{ "{\"type\":\"hello\",\"api_key\":\"k\","
		  "\"client_id\":\"c\"}",
		    DIALECT_SESSION },
		{ "{\"client_id\":\"c\",\"api_key\":\"k\","
		  "\"type\":\"hello\"}",
		    DIALECT_SESSION },
		{ "{\"type\":\"heartbeat\",\"api_key\":\"k\"}",
		    DIALECT_CLIENT },
		{ "{\"api_key\":\"k\"}", DIALECT_CLIENT },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\"}",
		    DIALECT_SESSION },
		{ "{\"type\":\"heartbeat\",\"session_id\":1}",
		    DIALECT_SESSION },
		{ "{\"type\":\"heartbeat\",\"session_id\":null}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\","
		  "\"client_id\":null}",
		    DIALECT_SESSION },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\","
		  "\"client_id\":\"c\"}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"heartbeat\",\"session_id\":\"s\","
		  "\"client_id\":1}",
		    DIALECT_CLIENT },
		{ "{\"type\":\"hello\",\"session_id\":\"s\"}",
		    DIALECT_SESSION },
		{ "{\"type\":\"unknown\",\"session_id\":\"s\"}",
		    DIALECT_SESSION },
		{ "{\"session_id\":\"s\"}", DIALECT_SESSION },
		{ "{\"x\":{\"session_id\":\"s\"}}", DIALECT_CLIENT },
	};
	struct message m;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_true(parse(*state, cases[i].text, &m));
		if (frame_dialect(&m.frame) != cases[i].dialect)
			fail_msg("%s: wrong dialect", cases[i].text);
		free(m.text);
	}
}

/* ---- replies ---- */

static void
assert_reply(const char *out, size_t len, const char *expected)
{
	char text[FRAME_REPLY_MAX + 1];

	assert_in_range(len, 1, FRAME_REPLY_MAX);
	memcpy(text, out, len);
	text[len] = '\0';
	assert_string_equal(text, expected);
}

static void
a_hello_is_acknowledged(void **state)
{
	const struct str node = { "n\"\n", 3 }, session = { "s-1", 3 };
	char out[FRAME_REPLY_MAX];
	size_t len;

	(void)state;
	len = frame_print_hello_ack(out, &node, NULL);
	assert_reply(out, len,
	    "{\"type\":\"hello_ack\",\"node_id\":\"n\\\"\\n\","
	    "\"accepted\":true}");
	len = frame_print_hello_ack(out, &node, &session);
	assert_reply(out, len,
	    "{\"type\":\"hello_ack\",\"node_id\":\"n\\\"\\n\","
	    "\"accepted\":true,\"session_id\":\"s-1\"}");
}

static void
a_heartbeat_is_acknowledged_with_its_time(void **state)
{
	static const struct {
		const char *time;
		const char *text;
	} cases[] = {
		{ "0", "{\"type\":\"heartbeat_ack\",\"client_id\":\"c\","
		       "\"timestamp_ms\":0}" },
		{ "5", "{\"type\":\"heartbeat_ack\",\"client_id\":\"c\","
		       "\"timestamp_ms\":5}" },
		{ "-10", "{\"type\":\"heartbeat_ack\",\"client_id\":\"c\","
			 "\"timestamp_ms\":-10}" },
		{ "1700000000000",
		    "{\"type\":\"heartbeat_ack\",\"client_id\":\"c\","
		    "\"timestamp_ms\":1700000000000}" },
		{ "9223372036854775807",
		    "{\"type\":\"heartbeat_ack\",\"client_id\":\"c\","
		    "\"timestamp_ms\":9223372036854775807}" },
		{ "-9223372036854775808",
		    "{\"type\":\"heartbeat_ack\",\"client_id\":\"c\","
		    "\"timestamp_ms\":-9223372036854775808}" },
	};
	const struct str id = { "c", 1 };
	struct str time;
	char out[FRAME_REPLY_MAX];
	size_t i, len;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		time.p = cases[i].time;
		time.len = strlen(time.p);
		len =
		    frame_print_heartbeat_ack(out, DIALECT_CLIENT, &id, &time);
		assert_reply(out, len, cases[i].text);
	}
	len = frame_print_heartbeat_ack(
	    out, DIALECT_SESSION, &id, &(struct str){ "5", 1 });
	assert_reply(out, len,
	    "{\"type\":\"heartbeat_ack\",\"session_id\":\"c\","
	    "\"timestamp_ms\":5}");
}

static void
a_suggestion_tells_what_it_is_based_on(void **state)
{
	static const struct {
		enum conf_dialect dialect;
		struct orientation o;
		const char *text;
	} cases[] = {
		{ DIALECT_CLIENT, { true, 0.8, DIRECTION_FUTURE, 0.9 },
		    "{\"type\":\"route_suggestion\",\"client_id\":\"c\","
		    "\"suggested_sector\":"
		    "\"future_planning_high_momentum\",\"reason\":"
		    "\"client oriented to future\",\"debug\":{"
		    "\"focus_momentum\":0.8,\"time_orientation\":{"
		    "\"direction\":\"future\",\"strength\":0.9}}}" },
		{ DIALECT_CLIENT, { false, 0, DIRECTION_NONE, 0 },
		    "{\"type\":\"route_suggestion\",\"client_id\":\"c\","
		    "\"suggested_sector\":"
		    "\"neutral\",\"reason\":\"default\",\"debug\":{"
		    "\"focus_momentum\":null,\"time_orientation\":null}}" },
		{ DIALECT_CLIENT, { true, -0.0, DIRECTION_NONE, 0 },
		    "{\"type\":\"route_suggestion\",\"client_id\":\"c\","
		    "\"suggested_sector\":"
		    "\"neutral_low_momentum\",\"reason\":\"default\","
		    "\"debug\":{\"focus_momentum\":-0.0,"
		    "\"time_orientation\":null}}" },
		{ DIALECT_CLIENT, { false, 0, DIRECTION_PAST, 1 },
		    "{\"type\":\"route_suggestion\",\"client_id\":\"c\","
		    "\"suggested_sector\":"
		    "\"retrospective_safe\",\"reason\":"
		    "\"client leaning towards past\",\"debug\":{"
		    "\"focus_momentum\":null,\"time_orientation\":{"
		    "\"direction\":\"past\",\"strength\":1.0}}}" },
		{ DIALECT_SESSION, { true, 1e16, DIRECTION_MULTI, -1e-6 },
		    "{\"type\":\"route_suggestion\",\"session_id\":\"c\","
		    "\"suggested_sector\":"
		    "\"multi_bridge\",\"reason\":"
		    "\"client in multi-temporal state\",\"debug\":{"
		    "\"focus_momentum\":1e16,\"time_orientation\":{"
		    "\"direction\":\"multi\",\"strength\":-1e-6}}}" },
		{ DIALECT_SESSION, { true, 0.1, DIRECTION_NONE, 0 },
		    "{\"type\":\"route_suggestion\",\"session_id\":\"c\","
		    "\"suggested_sector\":"
		    "\"base_neutral\",\"reason\":\"default\",\"debug\":{"
		    "\"focus_momentum\":0.1,\"time_orientation\":null}}" },
	};
	const struct str id = { "c", 1 };
	char out[FRAME_REPLY_MAX];
	size_t i, len;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		len = frame_print_suggestion(
		    out, cases[i].dialect, &id, &cases[i].o);
		assert_reply(out, len, cases[i].text);
	}
}

static void
an_error_has_a_code_in_the_session_dialect_alone(void **state)
{
	char out[FRAME_REPLY_MAX];
	size_t len;

	(void)state;
	len = frame_print_error(out, NULL, "invalid message", NULL);
	assert_reply(
	    out, len, "{\"type\":\"error\",\"message\":\"invalid message\"}");
	len = frame_print_error(out, "INVALID", "invalid message", NULL);
	assert_reply(out, len,
	    "{\"type\":\"error\",\"code\":\"INVALID\","
	    "\"message\":\"invalid message\"}");
	len = frame_print_error(out, NULL, "no", "dist.auth_failed");
	assert_reply(out, len,
	    "{\"type\":\"error\",\"message\":\"no\","
	    "\"dist_code\":\"dist.auth_failed\"}");
	len = frame_print_error(out, "INVALID", "no", "dist.auth_failed");
	assert_reply(out, len,
	    "{\"type\":\"error\",\"code\":\"INVALID\",\"message\":\"no\","
	    "\"dist_code\":\"dist.auth_failed\"}");
}

static void
replies_escape_no_more_than_they_must(void **state)
{
	static const char id[] = "a\"\\/\b\f\n\r\t\0\x1f\x7f\xc3\xa9";
	const struct str s = { id, sizeof(id) - 1 };
	char out[FRAME_REPLY_MAX];
	size_t len;

	(void)state;
	len = frame_print_heartbeat_ack(
	    out, DIALECT_CLIENT, &s, &(struct str){ "1", 1 });
	assert_reply(out, len,
	    "{\"type\":\"heartbeat_ack\",\"client_id\":"
	    "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\xc3\xa9\","
	    "\"timestamp_ms\":1}");
}

static void
no_id_makes_a_reply_larger_than_its_room(void **state)
{
	char out[FRAME_REPLY_MAX], id[2 * LTP_ID_MAX];
	struct str s = { id, LTP_ID_MAX };
	size_t whole;

	memset(id, '\x01', sizeof(id));
	whole = frame_print_hello_ack(out, &s, &s);
	assert_in_range(whole, 12 * LTP_ID_MAX, FRAME_REPLY_MAX);
	/* one that is too long is cut, and the reply is still JSON */
	s.len = sizeof(id);
	assert_int_equal(frame_print_hello_ack(out, &s, &s), whole);
	assert_true(frame_parse(*state, out, whole, &(struct frame){ 0 }));
}

#define TEST(f) cmocka_unit_test(f)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_members_of_a_message_are_read),
		TEST(a_message_without_members_is_empty),
		TEST(what_is_no_json_object_does_not_parse),
		TEST(the_type_is_one_of_four_names),
		TEST(null_is_absent),
		TEST(ids_have_1_to_256_bytes_as_decoded),
		TEST(credentials_have_0_to_1024_bytes),
		TEST(a_text_is_a_string_and_nothing_else),
		TEST(a_timestamp_is_an_integer_of_64_bits),
		TEST(a_momentum_is_any_finite_number),
		TEST(a_time_orientation_has_a_direction_and_a_strength),
		TEST(parts_of_a_time_orientation_count_only_within_it),
		TEST(a_hint_is_a_string_or_a_custom_one),
		TEST(a_custom_hint_has_1_to_256_bytes),
		TEST(messages_of_the_client_dialect),
		TEST(messages_of_the_session_dialect),
		TEST(a_bad_member_matters_only_where_it_belongs),
		TEST(nothing_is_valid_before_the_dialect_is_settled),
		TEST(the_first_object_settles_the_dialect),
		TEST(a_hello_is_acknowledged),
		TEST(a_heartbeat_is_acknowledged_with_its_time),
		TEST(a_suggestion_tells_what_it_is_based_on),
		TEST(an_error_has_a_code_in_the_session_dialect_alone),
		TEST(replies_escape_no_more_than_they_must),
		TEST(no_id_makes_a_reply_larger_than_its_room),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
