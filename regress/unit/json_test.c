/*
 * json.c: what is JSON and what is not, word by word; what the visitor is
 * told; numbers from text.  Texts are scanned in blocks of exactly their
 * size, so that a sanitizer sees a byte that is read beyond them.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"

/* A text with its length, for texts that hold NULs. */
#define TEXT(s)   s, sizeof(s) - 1
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

#define TRACE_MAX 4096

/* Visits, written as lines. */
struct trace {
	char text[TRACE_MAX];
	size_t len;
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

static void __attribute__((__format__(printf, 2, 3)))
trace_add(struct trace *trace, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	trace->len += (size_t)vsnprintf(trace->text + trace->len,
	    sizeof(trace->text) - trace->len, fmt, ap);
	va_end(ap);
	assert_in_range(trace->len, 0, sizeof(trace->text) - 1);
}

/* Bytes of a string as a C literal would have them. */
static void
trace_str(struct trace *trace, const struct str *s)
{
	size_t i;
	unsigned char c;

	for (i = 0; i < s->len; i++) {
		c = (unsigned char)s->p[i];
		if (c >= ' ' && c < 0x7f)
			trace_add(trace, "%c", c);
		else
			trace_add(trace, "\\x%02x", c);
	}
}

static void
trace_visit(unsigned depth, const struct str *name, enum json_type type,
    const struct str *value, void *arg)
{
	static const char *const types[] = {
		[JSON_NULL] = "null",
		[JSON_TRUE] = "true",
		[JSON_FALSE] = "false",
		[JSON_NUMBER] = "number",
		[JSON_STRING] = "string",
		[JSON_ARRAY] = "array",
		[JSON_OBJECT] = "object",
	};
	struct trace *trace = arg;

	if (trace == NULL)
		return;
	trace_add(trace, "%u ", depth);
	trace_str(trace, name);
	trace_add(trace, " %s [", types[type]);
	trace_str(trace, value);
	trace_add(trace, "]\n");
}

static enum json_type
scan_len(struct json *json, const char *text, size_t len, struct trace *trace)
{
	enum json_type type;
	char *copy;

	copy = malloc(len > 0 ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	type = json_scan(json, copy, len, trace_visit, trace);
	free(copy);
	return type;
}

static void
assert_type_len(
    struct json *json, const char *text, size_t len, enum json_type expected)
{
	enum json_type type;

	type = scan_len(json, text, len, NULL);
	if (type != expected)
		fail_msg(
		    "%.*s: type %d, not %d", (int)len, text, type, expected);
}

static void
assert_type(struct json *json, const char *text, enum json_type expected)
{
	assert_type_len(json, text, strlen(text), expected);
}

static void
assert_trace(struct json *json, const char *text, const char *expected)
{
	struct trace trace = { .len = 0 };

	trace.text[0] = '\0';
	assert_int_equal(
	    scan_len(json, text, strlen(text), &trace), JSON_OBJECT);
	assert_string_equal(trace.text, expected);
}

/* ---- grammar ---- */

static void
the_type_of_the_top_level_value_is_returned(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
	} cases[] = {
		{ "null", JSON_NULL },
		{ "true", JSON_TRUE },
		{ "false", JSON_FALSE },
		{ "0", JSON_NUMBER },
		{ "-1.5e3", JSON_NUMBER },
		{ "\"\"", JSON_STRING },
		{ "\"x\"", JSON_STRING },
		{ "[]", JSON_ARRAY },
		{ "[1,2]", JSON_ARRAY },
		{ "{}", JSON_OBJECT },
		{ "{\"a\":1}", JSON_OBJECT },
		{ " \t\r\n{ \"a\" \n:\t[ 1 ,\r2 ] , \"b\" : { } } \t\r\n",
		    JSON_OBJECT },
		{ "", JSON_NONE },
		{ " ", JSON_NONE },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_type(*state, cases[i].text, cases[i].type);
}

static void
what_is_not_json_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {
		/* not complete, or too much */
		{ TEXT("{") },
		{ TEXT("}") },
		{ TEXT("[") },
		{ TEXT("]") },
		{ TEXT("[}") },
		{ TEXT("{]") },
		{ TEXT("{\"a\"") },
		{ TEXT("{\"a\":") },
		{ TEXT("{\"a\":1") },
		{ TEXT("{\"a\":1,") },
		{ TEXT("[1") },
		{ TEXT("[1,") },
		{ TEXT("{}{}") },
		{ TEXT("{} {}") },
		{ TEXT("{}x") },
		{ TEXT("{},") },
		{ TEXT("1 2") },
		{ TEXT("\"a\"\"b\"") },
		{ TEXT("{}\0") },
		{ TEXT("\0{}") },
		/* commas, colons, names */
		{ TEXT("[,]") },
		{ TEXT("[1,]") },
		{ TEXT("[,1]") },
		{ TEXT("[1,,2]") },
		{ TEXT("[1 2]") },
		{ TEXT("{,}") },
		{ TEXT("{\"a\":1,}") },
		{ TEXT("{\"a\":1 \"b\":2}") },
		{ TEXT("{\"a\" 1}") },
		{ TEXT("{\"a\"::1}") },
		{ TEXT("{\"a\":}") },
		{ TEXT("{:1}") },
		{ TEXT("{a:1}") },
		{ TEXT("{'a':1}") },
		{ TEXT("{1:1}") },
		{ TEXT("{null:1}") },
		{ TEXT("{\"a\"}") },
		{ TEXT("[\"a\":1]") },
		{ TEXT("{\"a\":1;\"b\":2}") },
		/* words */
		{ TEXT("nul") },
		{ TEXT("nulL") },
		{ TEXT("nullx") },
		{ TEXT("NULL") },
		{ TEXT("True") },
		{ TEXT("tru") },
		{ TEXT("fals") },
		{ TEXT("undefined") },
		{ TEXT("NaN") },
		{ TEXT("Infinity") },
		{ TEXT("-Infinity") },
		/* what others call JSON */
		{ TEXT("// x\n1") },
		{ TEXT("/* x */1") },
		{ TEXT("'x'") },
		{ TEXT("\v1") },
		{ TEXT("\f1") },
		{ TEXT("\xc2\xa0"
		       "1") },
		{ TEXT("\xef\xbb\xbf{}") },
		{ TEXT("0x10") },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_type_len(*state, cases[i].text, cases[i].len, JSON_NONE);
}

static void
a_text_that_is_cut_short_is_refused_wherever_it_ends(void **state)
{
	static const char text[] = "{\"a\\u00e9\\ud83d\\ude00\\n\":[1.5e-7,"
				   "true,null,{\"\xf0\x9f\x98\x80\":-0}]}";
	size_t len;

	for (len = 0; len < sizeof(text) - 1; len++)
		assert_type_len(*state, text, len, JSON_NONE);
	assert_type_len(*state, text, len, JSON_OBJECT);
}

static void
numbers_have_the_form_of_rfc_8259(void **state)
{
	static const char *const good[] = { "0", "-0", "1", "10", "-10", "0.0",
		"-0.0", "1.0", "0.50", "1e0", "1E0", "1e+0", "1e-0", "1e00",
		"1.5E+10", "0e0", "123456789012345678901234567890",
		"1e999999999999999999999" };
	static const char *const bad[] = { "-", "+1", "00", "01", "-01", ".5",
		"-.5", "1.", "1.e1", "1e", "1e+", "1E-", "1e1.5", "1.5.5",
		"--1", "1-", "1+1", "1_000", "1,5", "0x1", "1f", "- 1",
		"1 e1" };
	size_t i;

	for (i = 0; i < COUNT(good); i++)
		assert_type(*state, good[i], JSON_NUMBER);
	for (i = 0; i < COUNT(bad); i++)
		assert_type(*state, bad[i], JSON_NONE);
}

/* Arrays (0), objects (1), or both by turns (2). */
static size_t
nest(char *text, size_t size, unsigned depth, unsigned kind)
{
	unsigned i;
	size_t n = 0;

	for (i = 0; i < depth; i++)
		n += (size_t)snprintf(text + n, size - n, "%s",
		    (kind == 2 ? i % 2 : kind) == 0 ? "[" : "{\"a\":");
	text[n++] = '1';
	while (i-- > 0)
		text[n++] = (kind == 2 ? i % 2 : kind) == 0 ? ']' : '}';
	return n;
}

static void
nesting_ends_at_32(void **state)
{
	char text[512];
	unsigned depth, kind;
	enum json_type type;
	size_t len;

	for (kind = 0; kind < 3; kind++) {
		type = kind == 1 ? JSON_OBJECT : JSON_ARRAY;
		for (depth = 1; depth <= 40; depth++) {
			len = nest(text, sizeof(text), depth, kind);
			assert_type_len(
			    *state, text, len, depth <= 32 ? type : JSON_NONE);
		}
	}
}

/* ---- strings ---- */

static void
escapes_are_decoded_in_names_and_values(void **state)
{
	assert_trace(*state,
	    "{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\":\"a\\u0041\\u007fb\","
	    "\"\\u00e9\":\"\\u0080\\u07ff\\u0800\\uffff\","
	    "\"\\ud800\\udc00\":\"\\uDBFF\\uDfFf\\u20aC\"}",
	    "1 \"\\/\\x08\\x0c\\x0a\\x0d\\x09 string [aA\\x7fb]\n"
	    "1 \\xc3\\xa9 string "
	    "[\\xc2\\x80\\xdf\\xbf\\xe0\\xa0\\x80\\xef\\xbf\\xbf]\n"
	    "1 \\xf0\\x90\\x80\\x80 string "
	    "[\\xf4\\x8f\\xbf\\xbf\\xe2\\x82\\xac]\n");
}

static void
what_stands_beside_an_escape_stays(void **state)
{
	assert_trace(*state,
	    "{\"k\":\"0123456789abcdef\\n0123456789\xc3\xa9\\u00e9"
	    "\xf0\x9f\x98\x80tail\",\"l\":\"\\\\\\\\\"}",
	    "1 k string [0123456789abcdef\\x0a0123456789\\xc3\\xa9"
	    "\\xc3\\xa9\\xf0\\x9f\\x98\\x80tail]\n"
	    "1 l string [\\\\]\n");
}

static void
other_escapes_are_refused(void **state)
{
	static const char *const bad[] = { "\"\\\"", "\"\\a\"", "\"\\0\"",
		"\"\\'\"", "\"\\x41\"", "\"\\U0041\"", "\"\\u\"", "\"\\u004\"",
		"\"\\u004g\"", "\"\\u 041\"", "\"\\u+041\"", "\"\\u00-1\"",
		"\"\\N\"", "\"\\" };
	size_t i;

	for (i = 0; i < COUNT(bad); i++)
		assert_type(*state, bad[i], JSON_NONE);
	assert_type_len(*state, "\"\\\0\"", 4, JSON_NONE);
}

static void
lone_surrogates_are_refused(void **state)
{
	static const char *const bad[] = { "\"\\ud800\"", "\"\\udbff\"",
		"\"\\udc00\"", "\"\\udfff\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
		"\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"",
		"\"\\ud800\\udbff\"", "\"\\ud800\\ue000\"",
		"\"\\ud800\\uffff\"", "\"\\udc00\\ud800\"",
		"\"\\ud83d\\ude00\\ude00\"", "\"\\ud800\\udc0\"",
		"{\"\\ud800\":1}" };
	size_t i;

	for (i = 0; i < COUNT(bad); i++)
		assert_type(*state, bad[i], JSON_NONE);
}

static void
controls_are_refused_and_del_is_not(void **state)
{
	char text[32];
	int c, shift;

	/* At every place within a word of eight bytes, and behind it. */
	for (shift = 0; shift < 12; shift++) {
		for (c = 0; c < 0x80; c++) {
			memset(text, 'x', sizeof(text));
			text[0] = text[20] = '"';
			text[1 + shift] = (char)c;
			if (c == '"' || c == '\\')
				continue;
			assert_type_len(*state, text, 21,
			    c < ' ' ? JSON_NONE : JSON_STRING);
		}
	}
}

static void
strings_must_be_utf8(void **state)
{
	static const char *const good[] = { "\"\xc2\x80\"", "\"\xdf\xbf\"",
		"\"\xe0\xa0\x80\"", "\"\xed\x9f\xbf\"", "\"\xee\x80\x80\"",
		"\"\xef\xbf\xbf\"", "\"\xf0\x90\x80\x80\"",
		"\"\xf4\x8f\xbf\xbf\"", "\"\xef\xbb\xbf\"" };
	static const char *const bad[] = { "\"\x80\"", "\"\xbf\"",
		"\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xe0\x9f\xbf\"",
		"\"\xed\xa0\x80\"", "\"\xed\xbf\xbf\"", "\"\xf0\x8f\xbf\xbf\"",
		"\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xff\"",
		"\"\xfe\"", "\"\xc3\"", "\"\xe2\x82\"", "\"\xf0\x9f\x98\"",
		"\"\xc3x\"", "\"\xc3\\u00a9\"", "\"abcdefgh\xe2\x82\"",
		"\"\xc3\xa9\xa9\"", "{\"\xff\":1}", "{\"a\":[\"\xc3(\"]}",
		"\"\xc3" };
	size_t i;

	for (i = 0; i < COUNT(good); i++)
		assert_type(*state, good[i], JSON_STRING);
	for (i = 0; i < COUNT(bad); i++)
		assert_type(*state, bad[i], JSON_NONE);
}

/* Bytes in a block of exactly their size, at any place within a word. */
static char *
place(const char *bytes, size_t len, size_t shift)
{
	char *block = malloc(shift + len + (shift + len == 0));

	assert_non_null(block);
	memcpy(block + shift, bytes, len);
	return block;
}

/* What a string holds, at any shift; JSON_NONE: it is none. */
static void
assert_string(struct json *json, const char *inside, size_t len,
    enum json_type expected, const char *decoded, size_t decoded_len)
{
	char text[96], *block;
	struct str value = { decoded, decoded_len };
	struct trace got, want = { .len = 0 };
	size_t shift, n = 0;

	memcpy(text, "{\"k\":\"", 6);
	memcpy(text + 6, inside, len);
	memcpy(text + 6 + len, "\"}", 2);
	n = 8 + len;
	trace_visit(1, &(struct str){ "k", 1 }, JSON_STRING, &value, &want);
	for (shift = 0; shift < 8; shift++) {
		got.len = 0;
		block = place(text, n, shift);
		assert_int_equal(
		    json_scan(json, block + shift, n, trace_visit, &got),
		    expected);
		if (expected != JSON_NONE)
			assert_string_equal(got.text, want.text);
		free(block);
	}
}

static void
any_byte_at_any_place_of_a_string_of_any_length(void **state)
{
	static const struct {
		const char *in;
		const char *out; /* NULL: no string */
		size_t out_len;
	} pieces[] = {
		{ "x", "x", 1 },
		{ " ", " ", 1 },
		{ "!", "!", 1 },
		{ "#", "#", 1 },
		{ "[", "[", 1 },
		{ "]", "]", 1 },
		{ "\x7f", "\x7f", 1 },
		{ "\xc3\xa9", "\xc3\xa9", 2 },
		{ "\\n", "\n", 1 },
		{ "\\\"", "\"", 1 },
		{ "\\u00e9", "\xc3\xa9", 2 },
		{ "\\u0000", "\0", 1 },
		{ "\"", NULL, 0 },
		{ "\x1f", NULL, 0 },
		{ "\x01", NULL, 0 },
		{ "\n", NULL, 0 },
		{ "\x80", NULL, 0 },
		{ "\xc3", NULL, 0 },
		{ "\xff", NULL, 0 },
		{ "\\x", NULL, 0 },
	};
	char in[64], out[64];
	size_t i, len, at, n;

	for (i = 0; i < COUNT(pieces); i++) {
		n = strlen(pieces[i].in);
		for (len = 0; len <= 40; len++) {
			for (at = 0; at <= len; at++) {
				memset(in, 'a', sizeof(in));
				memset(out, 'a', sizeof(out));
				memcpy(in + at, pieces[i].in, n);
				if (pieces[i].out != NULL)
					memcpy(out + at, pieces[i].out,
					    pieces[i].out_len);
				assert_string(*state, in, len + n,
				    pieces[i].out == NULL ? JSON_NONE
							  : JSON_OBJECT,
				    out, len + pieces[i].out_len);
			}
		}
	}
}

static void
a_string_without_an_end_is_not_read_beyond_the_text(void **state)
{
	char text[42], *block;
	size_t len, shift;

	memset(text, 'a', sizeof(text));
	text[0] = '"';
	for (len = 1; len <= sizeof(text); len++) {
		for (shift = 0; shift < 8; shift++) {
			block = place(text, len, shift);
			assert_int_equal(json_scan(*state, block + shift, len,
					     trace_visit, NULL),
			    JSON_NONE);
			free(block);
		}
	}
}

/* ---- visits ---- */

static void
members_are_visited_in_order_two_levels_deep(void **state)
{
	assert_trace(*state,
	    "{\"n\":null,\"t\":true,\"f\":false,\"i\":-12.50e+3,\"s\":\"x\","
	    "\"\":\"\",\"a\":[1,[2]],\"o\":{\"p\":1,\"q\":{\"r\":2},"
	    "\"s\":[]},\"z\":0}",
	    "1 n null []\n"
	    "1 t true []\n"
	    "1 f false []\n"
	    "1 i number [-12.50e+3]\n"
	    "1 s string [x]\n"
	    "1  string []\n"
	    "1 a array []\n"
	    "1 o object []\n"
	    "2 p number [1]\n"
	    "2 q object []\n"
	    "2 s array []\n"
	    "1 z number [0]\n");
}

static void
objects_in_arrays_are_checked_but_not_visited(void **state)
{
	struct trace trace = { .len = 0 };

	assert_trace(*state, "{\"a\":[{\"b\":1},{\"c\":{}}],\"d\":{}}",
	    "1 a array []\n"
	    "1 d object []\n");
	trace.text[0] = '\0';
	assert_int_equal(
	    scan_len(*state, "[{\"b\":1}]", 9, &trace), JSON_ARRAY);
	assert_string_equal(trace.text, "");
}

static void
a_member_is_visited_before_those_that_it_holds(void **state)
{
	assert_trace(*state, "{\"\\u0061\\n\":{\"b\":\"c\"}}",
	    "1 a\\x0a object []\n"
	    "2 b string [c]\n");
}

/* ---- duplicates ---- */

static void
a_name_that_comes_twice_is_refused_at_any_level(void **state)
{
	static const char *const bad[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"{\"a\":null,\"a\":{}}",
		"{\"\":1,\"\":2}",
		"{\"x\":{\"a\":1,\"a\":2}}",
		"{\"x\":{\"y\":{\"a\":1,\"a\":2}}}",
		"{\"x\":[{\"a\":1,\"a\":2}]}",
		"[{\"a\":1,\"a\":2}]",
		"[[[{\"a\":{},\"a\":{}}]]]",
		"{\"a\":{\"a\":1},\"a\":2}",
		"{\"a\":{\"b\":{\"c\":1},\"b\":1}}",
	};
	size_t i;

	for (i = 0; i < COUNT(bad); i++)
		assert_type(*state, bad[i], JSON_NONE);
}

static void
names_are_compared_as_decoded(void **state)
{
	static const char *const bad[] = {
		"{\"a\":1,\"\\u0061\":2}",
		"{\"\\u0061\":1,\"a\":2}",
		"{\"\xc3\xa9\":1,\"\\u00e9\":2}",
		"{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}",
		"{\"\\/\":1,\"/\":2}",
		"{\"\\n\":1,\"\\u000A\":2}",
		"{\"\\u0000\":1,\"\\u0000\":2}",
		"{\"x\":{\"a\":1,\"\\u0061\":2}}",
	};
	size_t i;

	for (i = 0; i < COUNT(bad); i++)
		assert_type(*state, bad[i], JSON_NONE);
}

static void
names_that_differ_are_accepted(void **state)
{
	static const char *const good[] = {
		"{\"a\":1,\"A\":2}",
		"{\"a\":1,\"a \":2,\"\":3}",
		"{\"a\":{\"a\":{\"a\":1}}}",
		"{\"x\":{\"a\":1},\"y\":{\"a\":1},\"a\":1}",
		"{\"x\":[{\"a\":1},{\"a\":2},{\"a\":3}]}",
		/* the same to the eye, composed and not */
		"{\"\xc3\xa9\":1,\"e\xcc\x81\":2}",
		"{\"a\\u0000\":1,\"a\":2,\"a\\u0000\\u0000\":3}",
	};
	size_t i;

	for (i = 0; i < COUNT(good); i++)
		assert_type(*state, good[i], JSON_OBJECT);
}

/* An object of n members, of which `twice' comes again at the end. */
static char *
large_object(unsigned n, long twice, size_t *len)
{
	char *text;
	unsigned i;

	text = malloc((size_t)(n + 1) * 48 + 2);
	assert_non_null(text);
	*len = (size_t)sprintf(text, "{");
	for (i = 0; i < n; i++)
		*len += (size_t)sprintf(
		    text + *len, "\"member%u\":{\"member0\":%u},", i, i);
	if (twice >= 0)
		*len += (size_t)sprintf(
		    text + *len, "\"\\u006dember%ld\":0}", twice);
	else
		text[*len - 1] = '}';
	return text;
}

static void
large_objects_are_searched_as_well(void **state)
{
	static const unsigned sizes[] = { 1, 2, 14, 15, 16, 17, 18, 31, 32, 33,
		64, 65, 1023, 1024, 1025, 20000 };
	char *text;
	size_t i, k, len;
	unsigned n;

	for (i = 0; i < COUNT(sizes); i++) {
		n = sizes[i];
		const long twice[] = { -1, 0, n / 2, n - 1 };

		for (k = 0; k < COUNT(twice); k++) {
			text = large_object(n, twice[k], &len);
			assert_type_len(*state, text, len,
			    k == 0 ? JSON_OBJECT : JSON_NONE);
			free(text);
		}
	}
}

static void
every_pair_in_an_object_is_compared(void **state)
{
	char text[1024];
	size_t len;
	int first, second, i, n = 20;

	for (second = 1; second < n; second++) {
		for (first = 0; first < second; first++) {
			len = (size_t)snprintf(text, sizeof(text), "{");
			for (i = 0; i < n; i++)
				len += (size_t)snprintf(text + len,
				    sizeof(text) - len, "%s\"%c\":0",
				    i > 0 ? "," : "",
				    'a' + (i == second ? first : i));
			text[len++] = '}';
			assert_type_len(*state, text, len, JSON_NONE);
		}
	}
}

static void
the_cost_of_names_is_not_quadratic(void **state)
{
	clock_t start;
	size_t len;
	char *text;

	/* Comparing each with each would take minutes. */
	text = large_object(300000, -1, &len);
	start = clock();
	assert_type_len(*state, text, len, JSON_OBJECT);
	assert_true((clock() - start) / CLOCKS_PER_SEC < 10);
	free(text);
}

static void
a_scanner_serves_the_next_text_whatever_the_last_one_was(void **state)
{
	char *large;
	size_t len;
	int i;

	for (i = 0; i < 3; i++) {
		assert_type(*state, "{\"a\":{\"b\":{\"c\":", JSON_NONE);
		assert_type(*state, "{\"a\":1}", JSON_OBJECT);
		large = large_object(5000, 4999, &len);
		assert_type_len(*state, large, len, JSON_NONE);
		free(large);
		assert_type(*state, "{\"b\":1,\"c\":[{\"b\":1}]}", JSON_OBJECT);
	}
}

/* ---- output ---- */

static void
only_what_must_be_escaped_is(void **state)
{
	static const char in[] = "\"\\/\b\f\n\r\t\x01\x1f\x7f plain "
				 "\xc3\xa9\xf0\x9f\x98\x80";
	static const char expected[] =
	    "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f plain "
	    "\xc3\xa9\xf0\x9f\x98\x80\"";
	char out[JSON_STRING_MAX(sizeof(in))], *end;

	(void)state;
	end = json_put_string(out, in, sizeof(in) - 1);
	assert_int_equal(end - out, sizeof(expected) - 1);
	assert_memory_equal(out, expected, sizeof(expected) - 1);
	end = json_put_string(out, "", 0);
	assert_int_equal(end - out, 2);
	assert_memory_equal(out, "\"\"", 2);
}

static void
controls_are_written_in_lower_case_hexadecimal(void **state)
{
	char out[JSON_STRING_MAX(1)], expected[16];
	char c;
	int i;

	(void)state;
	for (i = 0; i < ' '; i++) {
		c = (char)i;
		if (c != '\0' && strchr("\b\f\n\r\t", c) != NULL)
			continue;
		snprintf(expected, sizeof(expected), "\"\\u00%02x\"", c);
		assert_int_equal(json_put_string(out, &c, 1) - out, 8);
		assert_memory_equal(out, expected, 8);
	}
}

static void
what_is_written_reads_back_at_any_length(void **state)
{
	char in[40], *text;
	struct trace got = { .len = 0 }, expected = { .len = 0 };
	struct str s = { in, 0 };
	size_t i, len;
	char *end;

	for (len = 0; len <= sizeof(in); len++) {
		for (i = 0; i < sizeof(in); i++)
			in[i] = (char)(i % 9 == 0 ? i % 0x80 : 'a' + i % 26);
		s.len = len;
		text = malloc(JSON_STRING_MAX(len) + 6);
		assert_non_null(text);
		memcpy(text, "{\"k\":", 5);
		end = json_put_string(text + 5, in, len);
		*end++ = '}';
		got.len = expected.len = 0;
		assert_int_equal(
		    scan_len(*state, text, (size_t)(end - text), &got),
		    JSON_OBJECT);
		trace_visit(
		    1, &(struct str){ "k", 1 }, JSON_STRING, &s, &expected);
		assert_string_equal(got.text, expected.text);
		free(text);
	}
}

/* Byte by byte. */
static size_t
put_plainly(char *out, const char *p, size_t len)
{
	static const char bytes[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *byte;
	size_t n = 0;

	out[n++] = '"';
	for (; len > 0; p++, len--) {
		byte = memchr(bytes, *p, sizeof(bytes) - 1);
		if (byte != NULL)
			n += (size_t)sprintf(
			    out + n, "\\%c", names[byte - bytes]);
		else if ((unsigned char)*p < ' ')
			n += (size_t)sprintf(out + n, "\\u%04x", *p);
		else
			out[n++] = *p;
	}
	out[n++] = '"';
	return n;
}

static void
any_byte_is_escaped_or_not_at_any_place_and_length(void **state)
{
	static const char special[] = "\"\\\n\x1f\0 !#[]\x7f\x80\xc3\xff";
	char in[40], plain[JSON_STRING_MAX(40) + 1], *from, *out;
	size_t i, len, at, n, shift;

	(void)state;
	for (i = 0; i < sizeof(special) - 1; i++) {
		for (len = 0; len <= sizeof(in); len++) {
			for (at = 0; at < len || at == 0; at++) {
				memset(in, 'a', sizeof(in));
				in[at] = special[i];
				/* and one that escapes the last word */
				in[sizeof(in) - 1] = '"';
				shift = (at + len) % 8;
				from = place(in, len, shift);
				out = malloc(JSON_STRING_MAX(len));
				assert_non_null(out);
				n = (size_t)(json_put_string(
						 out, from + shift, len) -
					     out);
				assert_int_equal(
				    n, put_plainly(plain, in, len));
				assert_memory_equal(out, plain, n);
				free(from);
				free(out);
			}
		}
	}
}

static void
bytes_are_the_same_up_to_the_last(void **state)
{
	char bytes[40], *a, *b;
	size_t len, at, shift;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	for (len = 0; len <= sizeof(bytes); len++) {
		shift = len % 8;
		a = place(bytes, len, 0);
		b = place(bytes, len, shift);
		assert_true(bytes_same(a, b + shift, len));
		for (at = 0; at < len; at++) {
			b[shift + at] = 'b';
			assert_false(bytes_same(a, b + shift, len));
			b[shift + at] = 'a';
		}
		free(a);
		free(b);
	}
}

static void
strings_are_compared_with_their_length(void **state)
{
	const struct str s = { "type\0", 5 }, t = { "typed", 4 };

	(void)state;
	assert_false(str_is(&s, "type"));
	assert_true(str_is(&t, "type"));
	assert_false(str_is(&t, "typ"));
	assert_false(str_is(&t, "Type"));
	assert_false(str_same(&s, &t));
	assert_true(str_same(&t, &(struct str){ "type", 4 }));
}

/* ---- where jansson says otherwise ---- */

/*
 * regress/fuzz/json_fuzz.c looks for differences; those that are allowed are
 * a table in regress/fuzz/oracle.c.  Here is an example of each.
 */
static void
differences_to_jansson_are_deliberate(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum json_type type;
	} cases[] = {
		/* JSON has no largest integer; jansson stops at int64_t */
		{ TEXT("{\"x\":9223372036854775808}"), JSON_OBJECT },
		{ TEXT("{\"x\":18446744073709551616}"), JSON_OBJECT },
		{ TEXT("{\"x\":-9223372036854775809}"), JSON_OBJECT },
		/* nor a largest real: only who wants its value may refuse it */
		{ TEXT("{\"x\":1e400}"), JSON_OBJECT },
		{ TEXT("[-1.7976931348623159e308]"), JSON_ARRAY },
		/* \u0000 is legal in names, too; jansson takes it in values
		   only */
		{ TEXT("{\"a\\u0000\":1}"), JSON_OBJECT },
		{ TEXT("{\"z\":{\"\\u0000\":0}}"), JSON_OBJECT },
		/* a raw NUL behind a number or a word is swallowed by jansson,
		   but it is no white space */
		{ TEXT("{\"a\":1\0}"), JSON_NONE },
		{ TEXT("[true\0,null\0]"), JSON_NONE },
		{ TEXT("5\0"), JSON_NONE },
		/* our nesting ends at 32, jansson's at 2048 */
		{ TEXT("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
		       "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
		    JSON_NONE },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		assert_type_len(
		    *state, cases[i].text, cases[i].len, cases[i].type);
}

/* jansson reads -0 as the integer 0; it is no timestamp for us. */
static void
minus_zero_is_a_number(void **state)
{
	assert_type(*state, "-0", JSON_NUMBER);
}

#define TEST(f) cmocka_unit_test(f)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_type_of_the_top_level_value_is_returned),
		TEST(what_is_not_json_is_refused),
		TEST(a_text_that_is_cut_short_is_refused_wherever_it_ends),
		TEST(numbers_have_the_form_of_rfc_8259),
		TEST(nesting_ends_at_32),
		TEST(escapes_are_decoded_in_names_and_values),
		TEST(what_stands_beside_an_escape_stays),
		TEST(other_escapes_are_refused),
		TEST(lone_surrogates_are_refused),
		TEST(controls_are_refused_and_del_is_not),
		TEST(strings_must_be_utf8),
		TEST(any_byte_at_any_place_of_a_string_of_any_length),
		TEST(a_string_without_an_end_is_not_read_beyond_the_text),
		TEST(members_are_visited_in_order_two_levels_deep),
		TEST(objects_in_arrays_are_checked_but_not_visited),
		TEST(a_member_is_visited_before_those_that_it_holds),
		TEST(a_name_that_comes_twice_is_refused_at_any_level),
		TEST(names_are_compared_as_decoded),
		TEST(names_that_differ_are_accepted),
		TEST(large_objects_are_searched_as_well),
		TEST(every_pair_in_an_object_is_compared),
		TEST(the_cost_of_names_is_not_quadratic),
		TEST(a_scanner_serves_the_next_text_whatever_the_last_one_was),
		TEST(only_what_must_be_escaped_is),
		TEST(controls_are_written_in_lower_case_hexadecimal),
		TEST(what_is_written_reads_back_at_any_length),
		TEST(any_byte_is_escaped_or_not_at_any_place_and_length),
		TEST(bytes_are_the_same_up_to_the_last),
		TEST(strings_are_compared_with_their_length),
		TEST(differences_to_jansson_are_deliberate),
		TEST(minus_zero_is_a_number),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
