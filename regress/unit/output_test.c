/*
 * What ltpctl prints: numbers an operator can read, one line for one record
 * whatever strangers called themselves, and JSON that parses.
 */
#include "unit.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../ltpctl/output.h"
#include "../../ltpctl/output_json.h"
#include "conf.h"
#include "sandbox.h"

#define HOSTILE "a\033]0;title\007 \n\0\xff\xc3\xa9\""

static struct bytes
bytes_of(const char *text, size_t len)
{
	struct bytes b = { .p = text, .len = len };

	return b;
}

/* What a function printed; owned by the caller of print_end(). */
struct print {
	struct output_to to;
	char *text;
	size_t len;
};

static void
print_begin(struct print *p, bool json)
{
	FILE *fp;

	memset(p, 0, sizeof(*p));
	fp = open_memstream(&p->text, &p->len);
	assert_non_null(fp);
	output_init(&p->to, fp, json);
}

static char *
print_end(struct print *p)
{
	assert_int_equal(fclose(p->to.fp), 0);
	return p->text;
}

static void
assert_one_printable_line(const char *text)
{
	size_t i, len = strlen(text);

	assert_true(len > 0);
	assert_int_equal(text[len - 1], '\n');
	for (i = 0; i < len - 1; i++)
		assert_in_range((unsigned char)text[i], 0x20, 0x7e);
}

static struct show_session
hostile_session(void)
{
	struct show_session s;

	memset(&s, 0, sizeof(s));
	s.s.conn = 7;
	assert_int_equal(addr_parse(&s.s.addr, "127.0.0.1:4000"), 0);
	s.s.dialect = DIALECT_CLIENT;
	s.s.slot = 3;
	s.client_id = bytes_of(HOSTILE, sizeof(HOSTILE) - 1);
	s.tag = bytes_of("two words", 9);
	return s;
}

/* ---- numbers and times ---- */

static void
sizes_have_at_most_four_digits(void **state)
{
	static const struct {
		int64_t n;
		const char *text;
	} sizes[] = {
		{ -1, "-" },
		{ INT64_MIN, "-" },
		{ 0, "0B" },
		{ 999, "999B" },
		{ 1000, "1.0K" },
		{ 1536, "1.5K" },
		{ 1023 * 1024, "1.0M" },
		{ 1024 * 1024, "1.0M" },
		{ INT64_C(5) << 30, "5.0G" },
		{ INT64_MAX, "8.0E" },
	};
	char buf[OUTPUT_NUM_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(sizes); i++)
		assert_string_equal(
		    output_size(buf, sizes[i].n), sizes[i].text);
}

static void
durations_show_two_units(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} durations[] = {
		{ -1, "-" },
		{ 0, "0ms" },
		{ 999, "999ms" },
		{ 1000, "1.0s" },
		{ 59999, "59.9s" },
		{ 60000, "1m00s" },
		{ 3599999, "59m59s" },
		{ 3600000, "1h00m" },
		{ 86399999, "23h59m" },
		{ 86400000, "1d00h" },
		{ INT64_C(400) * 86400000 + 3600000, "400d01h" },
		{ INT64_MAX, "106751991167d07h" },
	};
	char buf[OUTPUT_NUM_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(durations); i++)
		assert_string_equal(
		    output_duration(buf, durations[i].ms), durations[i].text);
}

static void
processor_time_is_minutes_and_seconds(void **state)
{
	char buf[OUTPUT_NUM_MAX];

	(void)state;
	assert_string_equal(output_cpu(buf, -1), "-");
	assert_string_equal(output_cpu(buf, 0), "0:00.00");
	assert_string_equal(output_cpu(buf, 62340000), "1:02.34");
	assert_string_equal(output_cpu(buf, INT64_C(6000000000)), "100:00.00");
}

static void
times_are_utc_and_absurd_ones_a_dash(void **state)
{
	char buf[OUTPUT_NUM_MAX];

	(void)state;
	assert_string_equal(output_time(buf, 1), "1970-01-01T00:00:01Z");
	assert_string_equal(output_time(buf, 86400), "1970-01-02T00:00:00Z");
	assert_string_equal(output_time(buf, 0), "-");
	assert_string_equal(output_time(buf, -5), "-");
	assert_string_equal(output_time(buf, INT64_MAX), "-");
}

static void
names_out_of_range_are_unknown(void **state)
{
	(void)state;
	assert_string_equal(output_auth_mode(AUTH_MODE_API_KEY), "api_key");
	assert_string_equal(output_auth_mode(200), "unknown");
	assert_string_equal(output_dialect(DIALECT_SESSION), "session");
	assert_string_equal(output_dialect(200), "unknown");
	assert_string_equal(output_key_source(KEY_SOURCE_FILE), "file");
	assert_string_equal(output_key_source(200), "unknown");
	assert_string_equal(output_key_realm(REALM_TOKENS), "tokens");
	assert_string_equal(output_key_realm(200), "unknown");
	assert_string_equal(output_log_level(0), "none");
	assert_string_equal(output_log_level(200), "unknown");
}

static void
a_process_without_a_sandbox_stands_out(void **state)
{
	struct msg_process p = { .role = ROLE_WORKER, .slot = 3, .pid = 1 };
	char buf[OUTPUT_LINE_MAX], name[OUTPUT_NUM_MAX];

	(void)state;
	assert_string_equal(output_process_name(name, &p), "worker[3]");
	p.dumpable = 1;
	assert_string_equal(output_sandbox(buf, &p),
	    "none seccomp=0 landlock=0 rights=fs:0,net:0,scope:0 "
	    "no_new_privs=0 dumpable=1");
	p.mechanism = SANDBOX_SECCOMP;
	p.seccomp = 2;
	p.landlock_abi = 7;
	p.landlock_fs = 0xffff;
	p.landlock_net = 3;
	p.landlock_scope = 3;
	p.no_new_privs = 1;
	p.dumpable = 0;
	assert_string_equal(output_sandbox(buf, &p),
	    "seccomp=2 landlock=7 rights=fs:16,net:2,scope:2 "
	    "no_new_privs=1 dumpable=0");
	p.mechanism = SANDBOX_PLEDGE;
	assert_string_equal(output_sandbox(buf, &p), "pledge");
	p.pid = 0;
	assert_string_equal(output_sandbox(buf, &p), "-");
}

/* ---- what strangers chose ---- */

static void
an_id_is_one_word(void **state)
{
	struct bytes id = bytes_of(HOSTILE, sizeof(HOSTILE) - 1);
	char buf[OUTPUT_ID_MAX];

	(void)state;
	assert_string_equal(output_id(buf, &id),
	    "a\\033]0;title\\a\\s\\n\\0\\377\\303\\251\\\"");
	id.len = 0;
	assert_string_equal(output_id(buf, &id), "-");
}

static void
the_longest_id_is_not_cut(void **state)
{
	char raw[LTP_ID_MAX], buf[OUTPUT_ID_MAX];
	struct bytes id = bytes_of(raw, sizeof(raw));

	(void)state;
	memset(raw, 0x80, sizeof(raw));
	assert_int_equal(strlen(output_id(buf, &id)), 4 * LTP_ID_MAX);
}

static void
a_line_keeps_blanks_and_no_control_character(void **state)
{
	struct bytes line = bytes_of("a b\033[1m\\c", 9);
	char buf[64], small[6];

	(void)state;
	assert_string_equal(
	    output_line(buf, sizeof(buf), &line), "a b^[[1m\\c");
	assert_string_equal(output_line(small, sizeof(small), &line), "a b^[");
}

static void
a_session_is_one_printable_line(void **state)
{
	struct show_session s = hostile_session();
	struct print p;
	char *text;

	(void)state;
	print_begin(&p, false);
	p.to.ops->session(&p.to, &s);
	text = print_end(&p);
	assert_one_printable_line(text);
	assert_non_null(strstr(text, "127.0.0.1:4000"));
	assert_non_null(strstr(text, "two\\swords"));
	free(text);
}

static void
a_setting_is_one_printable_line(void **state)
{
	struct show_setting s = { .name = bytes_of("id", 2),
		.value = bytes_of("\"a\n\tb\033\"", 7),
		.origin = bytes_of("/etc/ltpd/ltpd.conf:3", 21) };
	struct print p;
	char *text;

	(void)state;
	print_begin(&p, false);
	p.to.ops->setting(&p.to, &s);
	text = print_end(&p);
	assert_one_printable_line(text);
	assert_int_equal(strncmp(text, "id = \"a", 7), 0);
	assert_non_null(strstr(text, "\"  # /etc/ltpd/ltpd.conf:3\n"));
	free(text);
}

/* ---- JSON ---- */

static void
bytes_that_are_no_utf8_are_replaced_in_json(void **state)
{
	struct bytes b = bytes_of("\xc3\xa9\xff\xe2\x82z\0", 7);
	json_t *j = output_json_text(&b);

	(void)state;
	assert_int_equal(json_string_length(j), 13);
	assert_memory_equal(json_string_value(j),
	    "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\0", 13);
	json_decref(j);
}

static void
json_is_ascii_without_control_characters(void **state)
{
	struct show_session s = hostile_session();
	struct print p;
	size_t i;
	char *text;

	(void)state;
	print_begin(&p, true);
	p.to.ops->head(&p.to, SHOW_SESSIONS);
	p.to.ops->session(&p.to, &s);
	p.to.ops->session(&p.to, &s);
	p.to.ops->tail(&p.to, SHOW_SESSIONS);
	text = print_end(&p);
	for (i = 0; i < p.len; i++)
		assert_true(
		    text[i] == '\n' || (text[i] >= 0x20 && text[i] <= 0x7e));
	free(text);
}

static void
streamed_elements_are_one_array(void **state)
{
	struct show_session s = hostile_session();
	struct print p;
	json_t *j;
	char *text;
	size_t n, i;

	(void)state;
	for (n = 0; n < 3; n++) {
		print_begin(&p, true);
		p.to.ops->head(&p.to, SHOW_SESSIONS);
		for (i = 0; i < n; i++)
			p.to.ops->session(&p.to, &s);
		p.to.ops->tail(&p.to, SHOW_SESSIONS);
		text = print_end(&p);
		j = json_loads(text, JSON_ALLOW_NUL, NULL);
		assert_true(json_is_array(j));
		assert_int_equal(json_array_size(j), n);
		json_decref(j);
		free(text);
	}
}

static void
an_error_closes_the_array_and_follows_it(void **state)
{
	struct show_session s = hostile_session();
	json_t *list, *error;
	json_error_t at;
	struct print p;
	char *text;

	(void)state;
	print_begin(&p, true);
	p.to.ops->head(&p.to, SHOW_SESSIONS);
	p.to.ops->session(&p.to, &s);
	p.to.ops->error(&p.to, "it broke");
	text = print_end(&p);
	list = json_loads(text, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &at);
	assert_int_equal(json_array_size(list), 1);
	error = json_loads(text + at.position, 0, NULL);
	assert_true(json_is_false(json_object_get(error, "ok")));
	assert_string_equal(
	    json_string_value(json_object_get(error, "error")), "it broke");
	json_decref(list);
	json_decref(error);
	free(text);
}

static void
the_summary_has_every_counter_by_family_and_label(void **state)
{
	struct show_summary sum;
	json_t *j, *counters, *v;
	struct print p;
	size_t i;
	char *text;

	(void)state;
	memset(&sum, 0, sizeof(sum));
	for (i = 0; i < COUNT__MAX; i++)
		sum.s.stat.counters.n[i] = 100 + i;
	print_begin(&p, true);
	p.to.ops->head(&p.to, SHOW_SUMMARY);
	p.to.ops->summary(&p.to, &sum);
	p.to.ops->tail(&p.to, SHOW_SUMMARY);
	text = print_end(&p);
	j = json_loads(text, 0, NULL);
	counters = json_object_get(j, "counters");
	for (i = 0; i < COUNT__MAX; i++) {
		v = json_object_get(counters, counter_desc[i].family);
		if (counter_desc[i].label != NULL)
			v = json_object_get(
			    json_object_get(v, counter_desc[i].label),
			    counter_desc[i].value);
		assert_int_equal(json_integer_value(v), 100 + i);
	}
	json_decref(j);
	free(text);
}

static void
a_setting_has_the_type_it_has_in_the_file(void **state)
{
	static const struct {
		const char *value;
		json_type type;
	} values[] = {
		{ "4", JSON_INTEGER },
		{ "true", JSON_TRUE },
		{ "\"text\"", JSON_STRING },
		{ "[\"a\", \"b\"]", JSON_ARRAY },
		{ "<set>", JSON_STRING },
		{ "<unset>", JSON_NULL },
	};
	struct show_setting s = { .name = bytes_of("n", 1),
		.origin = bytes_of("-D", 2) };
	struct print p;
	json_t *j;
	char *text;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(values); i++) {
		s.value = bytes_of(values[i].value, strlen(values[i].value));
		print_begin(&p, true);
		p.to.ops->head(&p.to, SHOW_CONFIG);
		p.to.ops->setting(&p.to, &s);
		p.to.ops->tail(&p.to, SHOW_CONFIG);
		text = print_end(&p);
		j = json_loads(text, 0, NULL);
		assert_int_equal(
		    json_typeof(json_object_get(json_array_get(j, 0), "value")),
		    values[i].type);
		json_decref(j);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_at_most_four_digits),
		cmocka_unit_test(durations_show_two_units),
		cmocka_unit_test(processor_time_is_minutes_and_seconds),
		cmocka_unit_test(times_are_utc_and_absurd_ones_a_dash),
		cmocka_unit_test(names_out_of_range_are_unknown),
		cmocka_unit_test(a_process_without_a_sandbox_stands_out),
		cmocka_unit_test(an_id_is_one_word),
		cmocka_unit_test(the_longest_id_is_not_cut),
		cmocka_unit_test(a_line_keeps_blanks_and_no_control_character),
		cmocka_unit_test(a_session_is_one_printable_line),
		cmocka_unit_test(a_setting_is_one_printable_line),
		cmocka_unit_test(bytes_that_are_no_utf8_are_replaced_in_json),
		cmocka_unit_test(json_is_ascii_without_control_characters),
		cmocka_unit_test(streamed_elements_are_one_array),
		cmocka_unit_test(an_error_closes_the_array_and_follows_it),
		cmocka_unit_test(
		    the_summary_has_every_counter_by_family_and_label),
		cmocka_unit_test(a_setting_has_the_type_it_has_in_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
