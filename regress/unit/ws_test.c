/*
 * ws.c: RFC 6455, sections 5 and 7.4.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "ws_stream.h"

/* ---- whole frames ---- */

static void
a_whole_message_lies_in_the_input_and_costs_no_memory(void **state)
{
	struct bytes b = { 0 };
	struct ws ws;
	struct ws_frame f;
	uint8_t *in;
	size_t len;

	(void)state;
	ws_init(&ws, LIMIT, false);
	add_text(&b, FIN | WS_OP_TEXT, "Hello");
	add_text(&b, FIN | WS_OP_PING, "?");
	in = b.p;
	len = b.len;
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_BEGIN);
	assert_int_equal(f.opcode, WS_OP_TEXT);
	assert_int_equal(ws_memory(&ws), 0);
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_MESSAGE);
	assert_int_equal(f.opcode, WS_OP_TEXT);
	assert_ptr_equal(f.data, b.p + 6);
	assert_int_equal(f.len, 5);
	assert_memory_equal(f.data, "Hello", 5);
	assert_int_equal(ws_memory(&ws), 0);
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_PING);
	assert_ptr_equal(f.data, b.p + 11 + 6);
	assert_int_equal(f.len, 1);
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_MORE);
	assert_int_equal(len, 0);
	assert_ptr_equal(in, b.p + b.len);
	assert_int_equal(ws_memory(&ws), 0);
	bytes_free(&b);
}

static void
the_examples_of_the_rfc_are_understood(void **state)
{
	static const uint8_t single[] = { 0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c,
		0x6f };
	static const uint8_t masked[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
		0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	static const uint8_t parts[] = { 0x01, 0x03, 0x48, 0x65, 0x6c, 0x80,
		0x02, 0x6c, 0x6f };
	static const uint8_t pong[] = { 0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d,
		0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	struct bytes b = { 0 };

	(void)state;
	bytes_add(&b, single, sizeof(single));
	bytes_add(&b, parts, sizeof(parts));
	assert_stream(&b, true,
	    "begin 1 \nmessage 1 [5]Hello\n"
	    "begin 1 \nmessage 1 [5]Hello\n");
	bytes_add(&b, masked, sizeof(masked));
	bytes_add(&b, pong, sizeof(pong));
	assert_server(&b, "begin 1 \nmessage 1 [5]Hello\npong[5]Hello\n");
}

static void
each_length_encoding_works_at_its_edges(void **state)
{
	static const size_t lengths[] = { 0, 1, 125, 126, 127, 128, 65535,
		65536, 65537, LIMIT };
	struct bytes b = { 0 }, payload = { 0 };
	struct reader r;
	size_t i, pieces;
	char expected[64];

	(void)state;
	while (payload.len < LIMIT)
		bytes_add_byte(&payload, 'a' + payload.len % 23);
	for (i = 0; i < COUNT_OF(lengths); i++)
		for (pieces = 1; pieces <= 2; pieces++) {
			add_frame(
			    &b, FIN | WS_OP_BINARY, payload.p, lengths[i]);
			reader_init(&r, LIMIT, false);
			feed(&r, b.p, b.len / pieces);
			feed(&r, b.p + b.len / pieces, b.len - b.len / pieces);
			snprintf(expected, sizeof(expected),
			    "begin 2 \nmessage 2 [%zu]", lengths[i]);
			assert_memory_equal(
			    r.log.p, expected, strlen(expected));
			assert_memory_equal(
			    r.log.p + strlen(expected), payload.p, lengths[i]);
			assert_int_equal(
			    r.log.len, strlen(expected) + lengths[i] + 1);
			reader_free(&r);
			bytes_free(&b);
		}
	bytes_free(&payload);
}

/* ---- what is wrong with a header ---- */

static void
lengths_that_are_not_minimal_are_refused(void **state)
{
	static const struct {
		size_t width;
		uint64_t len;
	} bad[] = {
		{ 2, 0 },
		{ 2, 125 },
		{ 8, 0 },
		{ 8, 125 },
		{ 8, 126 },
		{ 8, 65535 },
		{ 8, 1ULL << 63 },
		{ 8, UINT64_MAX },
	};
	struct bytes b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(bad); i++) {
		/* The mask is not there yet. */
		add_header(
		    &b, FIN | WS_OP_TEXT, MASKED, bad[i].width, bad[i].len);
		assert_server(&b, "fail 1002 bad length encoding\n");
		add_header(&b, FIN | WS_OP_TEXT, 0, bad[i].width, bad[i].len);
		assert_stream(&b, true, "fail 1002 bad length encoding\n");
	}
}

static void
frames_without_a_mask_are_refused_by_a_server(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	add_header(&b, FIN | WS_OP_TEXT, 0, 1, 5);
	assert_server(&b, "fail 1002 unmasked frame\n");
	add_header(&b, FIN | WS_OP_PING, 0, 1, 0);
	assert_server(&b, "fail 1002 unmasked frame\n");
}

static void
frames_with_a_mask_are_refused_by_a_client(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	add_header(&b, FIN | WS_OP_TEXT, MASKED, 1, 5);
	assert_stream(&b, true, "fail 1002 masked frame\n");
}

static void
each_reserved_bit_is_refused_at_the_first_byte(void **state)
{
	struct bytes b = { 0 };
	unsigned rsv, op;

	(void)state;
	for (rsv = 0x10; rsv <= 0x70; rsv += 0x10)
		for (op = 0; op <= 0x0f; op++) {
			bytes_add_byte(&b, FIN | rsv | op);
			assert_server(&b, "fail 1002 reserved bits set\n");
		}
}

static void
each_unknown_opcode_is_refused_at_the_first_byte(void **state)
{
	static const uint8_t unknown[] = { 0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc,
		0xd, 0xe, 0xf };
	struct bytes b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(unknown); i++) {
		bytes_add_byte(&b, FIN | unknown[i]);
		assert_server(&b, "fail 1002 unknown opcode\n");
		bytes_add_byte(&b, unknown[i]);
		assert_server(&b, "fail 1002 unknown opcode\n");
	}
}

static void
control_frames_are_whole_and_short(void **state)
{
	static const unsigned ops[] = { WS_OP_CLOSE, WS_OP_PING, WS_OP_PONG };
	struct bytes b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		bytes_add_byte(&b, ops[i]);
		assert_server(&b, "fail 1002 fragmented control frame\n");
		bytes_add_byte(&b, FIN | ops[i]);
		bytes_add_byte(&b, MASKED | 126);
		assert_server(&b, "fail 1002 control frame too long\n");
		bytes_add_byte(&b, FIN | ops[i]);
		bytes_add_byte(&b, MASKED | 127);
		assert_server(&b, "fail 1002 control frame too long\n");
	}
}

static void
continuations_come_when_a_message_is_open_and_only_then(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	bytes_add_byte(&b, WS_OP_CONTINUATION);
	assert_server(&b, "fail 1002 unexpected continuation\n");
	add_text(&b, FIN | WS_OP_TEXT, "a");
	bytes_add_byte(&b, FIN | WS_OP_CONTINUATION);
	assert_server(&b, "begin 1 \nmessage 1 [1]a\n"
			  "fail 1002 unexpected continuation\n");
	add_text(&b, WS_OP_TEXT, "a");
	add_text(&b, FIN | WS_OP_CONTINUATION, "b");
	bytes_add_byte(&b, FIN | WS_OP_CONTINUATION);
	assert_server(&b, "begin 1 \nmessage 1 [2]ab\n"
			  "fail 1002 unexpected continuation\n");
	add_text(&b, WS_OP_TEXT, "a");
	bytes_add_byte(&b, FIN | WS_OP_TEXT);
	assert_server(&b, "begin 1 \nfail 1002 expected continuation\n");
	add_text(&b, WS_OP_BINARY, "a");
	add_text(&b, FIN | WS_OP_PING, "");
	bytes_add_byte(&b, WS_OP_BINARY);
	assert_server(
	    &b, "begin 2 \nping[0]\nfail 1002 expected continuation\n");
}

/* ---- control frames ---- */

static void
control_frames_carry_up_to_125_bytes(void **state)
{
	struct bytes b = { 0 };
	struct reader r;
	char payload[126], expected[400];

	(void)state;
	memset(payload, 'p', 125);
	payload[125] = '\0';
	add_text(&b, FIN | WS_OP_PING, payload);
	add_text(&b, FIN | WS_OP_PONG, payload);
	add_frame(&b, FIN | WS_OP_PING, "\xff\x00\xfe", 3);
	snprintf(expected, sizeof(expected), "ping[125]%s\npong[125]%s\n",
	    payload, payload);
	reader_init(&r, 1, false);
	feed_bytes(&r, &b);
	assert_memory_equal(r.log.p, expected, strlen(expected));
	assert_memory_equal(
	    r.log.p + strlen(expected), "ping[3]\xff\x00\xfe\n", 11);
	reader_free(&r);
	bytes_free(&b);
}

/* RFC 6455, section 7.4, and IANA's registry. */
static bool
code_is_legal(unsigned code)
{
	static const unsigned legal[] = { 1000, 1001, 1002, 1003, 1007, 1008,
		1009, 1010, 1011, 1012, 1013, 1014 };
	size_t i;

	for (i = 0; i < COUNT_OF(legal); i++)
		if (code == legal[i])
			return true;
	return code >= 3000 && code <= 4999;
}

static void
exactly_the_legal_close_codes_are_taken(void **state)
{
	struct bytes b = { 0 };
	uint8_t payload[2];
	char expected[64];
	unsigned code;

	(void)state;
	for (code = 0; code <= UINT16_MAX; code++) {
		payload[0] = (uint8_t)(code >> 8);
		payload[1] = (uint8_t)code;
		add_frame(&b, FIN | WS_OP_CLOSE, payload, 2);
		snprintf(expected, sizeof(expected),
		    code_is_legal(code) ? "close %u [0]\n"
					: "fail 1002 bad close code\n",
		    code);
		assert_server(&b, expected);
	}
}

static void
close_payloads_are_checked(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	add_frame(&b, FIN | WS_OP_CLOSE, "", 0);
	assert_server(&b, "close 1005 [0]\n");
	add_frame(&b, FIN | WS_OP_CLOSE, "\x03", 1);
	assert_server(&b, "fail 1002 bad close payload\n");
	add_frame(&b, FIN | WS_OP_CLOSE, "\x03\xe8gr\xc3\xbc\xc3\x9f", 8);
	assert_server(&b, "close 1000 [6]gr\xc3\xbc\xc3\x9f\n");
	add_frame(&b, FIN | WS_OP_CLOSE, "\x03\xe8\xff", 3);
	assert_server(&b, "fail 1007 invalid UTF-8\n");
	add_frame(&b, FIN | WS_OP_CLOSE, "\x03\xe8 \xe2\x82", 5);
	assert_server(&b, "fail 1007 invalid UTF-8\n");
	/* The code is judged first. */
	add_frame(&b, FIN | WS_OP_CLOSE, "\x03\xed\xff", 3);
	assert_server(&b, "fail 1002 bad close code\n");
}

static void
control_frames_between_fragments_are_told_at_once(void **state)
{
	struct bytes b = { 0 };
	struct reader r;

	(void)state;
	add_text(&b, WS_OP_TEXT, "one ");
	add_text(&b, FIN | WS_OP_PING, "p1");
	add_text(&b, WS_OP_CONTINUATION, "two ");
	add_text(&b, FIN | WS_OP_PONG, "p2");
	add_text(&b, FIN | WS_OP_PING, "");
	reader_init(&r, LIMIT, false);
	feed_bytes(&r, &b);
	assert_log(&r, "begin 1 \nping[2]p1\npong[2]p2\nping[0]\n");
	b.len = 0;
	add_text(&b, FIN | WS_OP_CONTINUATION, "three");
	feed_bytes(&r, &b);
	assert_log(&r, "begin 1 \nping[2]p1\npong[2]p2\nping[0]\n"
		       "message 1 [13]one two three\n");
	reader_free(&r);
	bytes_free(&b);
}

/* ---- streams in pieces ---- */

static void
make_messages(struct bytes *b)
{
	add_text(b, FIN | WS_OP_TEXT, "{\"type\":\"hello\"}");
	add_text(b, FIN | WS_OP_TEXT, "");
	add_text(b, FIN | WS_OP_BINARY, "\xff\xfe");
	add_text(b, FIN | WS_OP_PING, "ping");
	add_text(b, FIN | WS_OP_TEXT, "\xe2\x82\xac and \xf0\x9f\x98\x80");
	add_frame(b, FIN | WS_OP_CLOSE,
	    "\x03\xe9"
	    "bye",
	    5);
}

static void
make_fragments(struct bytes *b)
{
	add_text(b, WS_OP_TEXT, "");
	add_text(b, WS_OP_CONTINUATION, "\xe2");
	add_text(b, FIN | WS_OP_PING, "in a character");
	add_text(b, WS_OP_CONTINUATION, "");
	add_text(b, WS_OP_CONTINUATION, "\x82\xac");
	add_text(b, FIN | WS_OP_CONTINUATION, "");
	add_text(b, FIN | WS_OP_PONG, "");
	add_text(b, WS_OP_BINARY, "\x80\x81");
	add_text(b, FIN | WS_OP_CONTINUATION, "\x82");
	add_text(b, WS_OP_TEXT, "");
	add_text(b, FIN | WS_OP_CONTINUATION, "");
	add_frame(b, FIN | WS_OP_CLOSE, "", 0);
}

static void
make_longer(struct bytes *b)
{
	char text[300];

	memset(text, 'l', sizeof(text));
	add_frame(b, FIN | WS_OP_TEXT, text, 126);
	add_frame(b, WS_OP_TEXT, text, 130);
	add_frame(b, FIN | WS_OP_CONTINUATION, text, sizeof(text));
}

static void
make_too_large(struct bytes *b)
{
	add_text(b, FIN | WS_OP_TEXT, "fits");
	add_header(b, FIN | WS_OP_TEXT, MASKED, 8, 1 << 20);
	bytes_add(b, "mask and payload", 16);
}

static void
make_grown_too_large(struct bytes *b)
{
	char text[300];

	memset(text, 'l', sizeof(text));
	add_frame(b, WS_OP_BINARY, text, 300);
	add_frame(b, WS_OP_CONTINUATION, text, 100);
	add_frame(b, WS_OP_CONTINUATION, text, 101);
}

static void
make_bad_text(struct bytes *b)
{
	add_text(b, FIN | WS_OP_TEXT, "good");
	add_text(b, FIN | WS_OP_TEXT, "bad \xed\xa0\x80 and more of it");
}

static void
make_bad_fragment(struct bytes *b)
{
	add_text(b, WS_OP_TEXT, "good \xf4");
	add_text(b, FIN | WS_OP_CONTINUATION, "\x90 bad");
}

static void
make_truncated_text(struct bytes *b)
{
	add_text(b, WS_OP_TEXT, "cut \xf0\x9f");
	add_text(b, FIN | WS_OP_CONTINUATION, "\x98");
}

static void
make_bad_close(struct bytes *b)
{
	add_text(b, WS_OP_TEXT, "open");
	add_frame(b, FIN | WS_OP_CLOSE, "\x03\xee", 2);
}

static void
make_bad_length(struct bytes *b)
{
	add_text(b, FIN | WS_OP_PING, "");
	add_header(b, FIN | WS_OP_TEXT, MASKED, 2, 100);
	bytes_add(b, test_mask, 4);
}

#define STREAM_LIMIT 500

/* Streams with a bit of everything, each to be cut up. */
static void (*const streams[])(struct bytes *) = {
	make_messages,
	make_fragments,
	make_longer,
	make_too_large,
	make_grown_too_large,
	make_bad_text,
	make_bad_fragment,
	make_truncated_text,
	make_bad_close,
	make_bad_length,
};

/* Feed a stream cut at i and j, and compare with the whole. */
static void
assert_cut(
    const struct bytes *b, const struct reader *whole, size_t i, size_t j)
{
	struct reader r;

	reader_init(&r, STREAM_LIMIT, false);
	feed(&r, b->p, i);
	feed(&r, b->p + i, j - i);
	feed(&r, b->p + j, b->len - j);
	assert_int_equal(r.log.len, whole->log.len);
	assert_memory_equal(r.log.p, whole->log.p, r.log.len);
	assert_int_equal(r.failed, whole->failed);
	reader_free(&r);
}

static void
a_stream_cut_at_any_two_bytes_tells_the_same(void **state)
{
	struct bytes b = { 0 };
	struct reader whole;
	size_t s, i, j;

	(void)state;
	for (s = 0; s < COUNT_OF(streams); s++) {
		streams[s](&b);
		reader_init(&whole, STREAM_LIMIT, false);
		feed_bytes(&whole, &b);
		assert_true(whole.log.len > 0);
		for (i = 0; i <= b.len; i++)
			for (j = i; j <= b.len; j++)
				assert_cut(&b, &whole, i, j);
		reader_free(&whole);
		bytes_free(&b);
	}
}

static void
a_stream_fed_byte_by_byte_tells_the_same(void **state)
{
	struct bytes b = { 0 };
	struct reader whole, r;
	size_t s, i;

	(void)state;
	for (s = 0; s < COUNT_OF(streams); s++) {
		streams[s](&b);
		reader_init(&whole, STREAM_LIMIT, false);
		reader_init(&r, STREAM_LIMIT, false);
		feed_bytes(&whole, &b);
		for (i = 0; i < b.len; i++)
			feed(&r, b.p + i, 1);
		assert_int_equal(r.log.len, whole.log.len);
		assert_memory_equal(r.log.p, whole.log.p, r.log.len);
		assert_true(r.most <= STREAM_LIMIT + 8192);
		reader_free(&whole);
		reader_free(&r);
		bytes_free(&b);
	}
}

static void
a_message_is_the_same_in_any_two_fragments(void **state)
{
	static const char text[] = "z\xc3\xbcrich \xe2\x82\xac\xf0\x9f\x98\x80";
	size_t len = sizeof(text) - 1, i, pings;
	struct bytes b = { 0 };
	char expected[128];

	(void)state;
	for (i = 0; i <= len; i++)
		for (pings = 0; pings <= 2; pings++) {
			add_frame(&b, WS_OP_TEXT, text, i);
			if (pings > 0)
				add_text(&b, FIN | WS_OP_PING, "x");
			if (pings > 1)
				add_text(&b, FIN | WS_OP_PING, "y");
			add_frame(
			    &b, FIN | WS_OP_CONTINUATION, text + i, len - i);
			snprintf(expected, sizeof(expected),
			    "begin 1 \n%s%smessage 1 [%zu]%s\n",
			    pings > 0 ? "ping[1]x\n" : "",
			    pings > 1 ? "ping[1]y\n" : "", len, text);
			assert_server(&b, expected);
		}
}

/* ---- UTF-8 ---- */

static void
bad_text_fails_at_the_byte_that_makes_it_bad(void **state)
{
	static const struct {
		const char *text;
		size_t bad; /* index of the byte */
	} vectors[] = {
		{ "abc\x80", 3 },
		{ "\xc0\x80", 0 },
		{ "\xc1\xbf", 0 },
		{ "\xe0\x9f\xbf", 1 },
		{ "\xed\xa0\x80", 1 },
		{ "\xf0\x8f\xbf\xbf", 1 },
		{ "\xf4\x90\x80\x80", 1 },
		{ "\xf5\x80\x80\x80", 0 },
		{ "ok \xe2\x82"
		  "a",
		    5 },
		{ "ok \xc3\xc3", 4 },
		{ "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
		    12 },
	};
	struct bytes b = { 0 };
	struct reader r;
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT_OF(vectors); i++)
		for (n = 0; n <= vectors[i].bad; n++) {
			/* A first fragment of n bytes, then a long frame. */
			add_frame(&b, WS_OP_TEXT, vectors[i].text, n);
			add_header(&b, FIN, MASKED, 2, 400);
			bytes_add(&b, "\0\0\0\0", 4);
			bytes_add(&b, vectors[i].text + n, vectors[i].bad - n);
			reader_init(&r, LIMIT, false);
			feed_bytes(&r, &b);
			assert_log(&r, "begin 1 \n");
			feed(&r, vectors[i].text + vectors[i].bad, 1);
			assert_log(&r, "begin 1 \nfail 1007 invalid UTF-8\n");
			assert_int_equal(ws_memory(&r.ws), 0);
			reader_free(&r);
			bytes_free(&b);
		}
}

static void
text_that_ends_within_a_character_is_bad(void **state)
{
	static const char *const cut[] = { "\xc3", "\xe2\x82",
		"a\xf0\x9f\x98" };
	struct bytes b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		add_text(&b, FIN | WS_OP_TEXT, cut[i]);
		assert_server(&b, "begin 1 \nfail 1007 invalid UTF-8\n");
		add_text(&b, WS_OP_TEXT, cut[i]);
		add_text(&b, FIN | WS_OP_CONTINUATION, "");
		assert_server(&b, "begin 1 \nfail 1007 invalid UTF-8\n");
	}
}

static void
binary_messages_and_pings_need_not_be_text(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	add_text(&b, FIN | WS_OP_BINARY, "\xff");
	add_text(&b, WS_OP_BINARY, "\xc0");
	add_text(&b, FIN | WS_OP_CONTINUATION, "\xff");
	add_text(&b, FIN | WS_OP_PONG, "\xfe");
	assert_server(&b, "begin 2 \nmessage 2 [1]\xff\n"
			  "begin 2 \nmessage 2 [2]\xc0\xff\npong[1]\xfe\n");
}

/* ---- writing ---- */

static void
headers_that_are_written_are_read_again(void **state)
{
	static const size_t lengths[] = { 0, 125, 126, 65535, 65536, 70000 };
	struct bytes b = { 0 };
	struct reader r;
	uint8_t head[WS_HEADER_MAX], *payload;
	char expected[64];
	size_t i, n, masked;

	(void)state;
	for (i = 0; i < COUNT_OF(lengths); i++)
		for (masked = 0; masked <= 1; masked++) {
			n = ws_header(head, WS_OP_BINARY, lengths[i],
			    masked ? test_mask : NULL);
			assert_int_equal(
			    n, 1 + width_of(lengths[i]) + (masked ? 4 : 0) +
				   (width_of(lengths[i]) > 1 ? 1 : 0));
			assert_non_null(payload = calloc(1, lengths[i] + 1));
			if (masked)
				ws_mask(payload, lengths[i], test_mask, 0);
			bytes_add(&b, head, n);
			bytes_add(&b, payload, lengths[i]);
			reader_init(&r, LIMIT, !masked);
			feed_bytes(&r, &b);
			n = (size_t)snprintf(expected, sizeof(expected),
			    "begin 2 \nmessage 2 [%zu]", lengths[i]);
			assert_memory_equal(r.log.p, expected, n);
			memset(payload, 0, lengths[i]);
			assert_memory_equal(r.log.p + n, payload, lengths[i]);
			free(payload);
			reader_free(&r);
			bytes_free(&b);
		}
}

static void
masking_may_start_at_any_phase_and_length(void **state)
{
	uint8_t data[80], *copy;
	size_t len, phase, i;

	(void)state;
	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	for (len = 0; len <= sizeof(data); len++)
		for (phase = 0; phase < 9; phase++) {
			assert_non_null(copy = malloc(len + 1));
			memcpy(copy, data, len);
			ws_mask(copy, len, test_mask, phase);
			for (i = 0; i < len; i++)
				assert_int_equal(copy[i],
				    data[i] ^ test_mask[(phase + i) % 4]);
			free(copy);
		}
}

static void
unmasking_tells_whether_it_is_all_ascii(void **state)
{
	uint8_t *data;
	size_t len, at, phase;

	(void)state;
	for (len = 1; len <= 80; len++) {
		assert_non_null(data = malloc(len));
		for (at = 0; at < len; at++) {
			phase = (len + at) % 4;
			memset(data, 0x7f, len);
			ws_mask(data, len, test_mask, phase);
			assert_true(ws_mask(data, len, test_mask, phase));
			data[at] = 0x80;
			ws_mask(data, len, test_mask, phase);
			assert_false(ws_mask(data, len, test_mask, phase));
		}
		free(data);
	}
	assert_true(ws_mask(NULL, 0, test_mask, 0));
}

static void
close_reasons_are_cut_at_a_character(void **state)
{
	uint8_t out[WS_CONTROL_MAX];
	char reason[200];
	size_t pad, n;

	(void)state;
	assert_int_equal(ws_close_payload(out, WS_GOING_AWAY, "bye"), 5);
	assert_memory_equal(out,
	    "\x03\xe9"
	    "bye",
	    5);
	assert_int_equal(ws_close_payload(out, WS_NORMAL, NULL), 2);
	assert_int_equal(ws_close_payload(out, WS_NO_STATUS, "x"), 0);
	for (n = 0; n < sizeof(reason); n++) {
		memset(reason, 'r', n);
		reason[n] = '\0';
		assert_int_equal(ws_close_payload(out, WS_POLICY, reason),
		    2 + (n < 123 ? n : 123));
	}
	for (pad = 119; pad <= 124; pad++) {
		memset(reason, 'r', sizeof(reason) - 1);
		memcpy(reason + pad, "\xf0\x9f\x98\x80", 4);
		n = ws_close_payload(out, WS_POLICY, reason);
		assert_int_equal(n - 2, pad == 119 || pad == 124 ? 123 : pad);
		assert_memory_equal(out + 2, reason, n - 2);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_whole_message_lies_in_the_input_and_costs_no_memory),
		cmocka_unit_test(the_examples_of_the_rfc_are_understood),
		cmocka_unit_test(each_length_encoding_works_at_its_edges),
		cmocka_unit_test(lengths_that_are_not_minimal_are_refused),
		cmocka_unit_test(frames_without_a_mask_are_refused_by_a_server),
		cmocka_unit_test(frames_with_a_mask_are_refused_by_a_client),
		cmocka_unit_test(
		    each_reserved_bit_is_refused_at_the_first_byte),
		cmocka_unit_test(
		    each_unknown_opcode_is_refused_at_the_first_byte),
		cmocka_unit_test(control_frames_are_whole_and_short),
		cmocka_unit_test(
		    continuations_come_when_a_message_is_open_and_only_then),
		cmocka_unit_test(control_frames_carry_up_to_125_bytes),
		cmocka_unit_test(exactly_the_legal_close_codes_are_taken),
		cmocka_unit_test(close_payloads_are_checked),
		cmocka_unit_test(
		    control_frames_between_fragments_are_told_at_once),
		cmocka_unit_test(a_stream_cut_at_any_two_bytes_tells_the_same),
		cmocka_unit_test(a_stream_fed_byte_by_byte_tells_the_same),
		cmocka_unit_test(a_message_is_the_same_in_any_two_fragments),
		cmocka_unit_test(bad_text_fails_at_the_byte_that_makes_it_bad),
		cmocka_unit_test(text_that_ends_within_a_character_is_bad),
		cmocka_unit_test(binary_messages_and_pings_need_not_be_text),
		cmocka_unit_test(headers_that_are_written_are_read_again),
		cmocka_unit_test(masking_may_start_at_any_phase_and_length),
		cmocka_unit_test(unmasking_tells_whether_it_is_all_ascii),
		cmocka_unit_test(close_reasons_are_cut_at_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
