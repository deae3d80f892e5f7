/*
 * ws.c: RFC 6455, sections 5 and 7.4.  What the reader tells is written down
 * as text, so that one stream fed in different pieces can be compared; each
 * piece lies in memory of just its size, so that a sanitizer sees any step
 * beyond it.  wslay is the second opinion.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "unit.h"
#include "ws.h"

#define LIMIT  131072
#define FIN    0x80
#define MASKED 0x80

/* ---- bytes ---- */

struct bytes {
	uint8_t *p;
	size_t len;
	size_t size;
};

static void
bytes_add(struct bytes *b, const void *p, size_t len)
{
	if (b->len + len > b->size) {
		b->size = 2 * (b->len + len);
		assert_non_null(b->p = realloc(b->p, b->size));
	}
	if (len > 0)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

static void
bytes_add_byte(struct bytes *b, unsigned byte)
{
	uint8_t c = (uint8_t)byte;

	bytes_add(b, &c, 1);
}

static void
bytes_free(struct bytes *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

/* A header whose length takes 1, 2 or 8 bytes, fitting or not. */
static void
add_header(struct bytes *b, unsigned first, unsigned masked, size_t width,
    uint64_t len)
{
	size_t i;

	bytes_add_byte(b, first);
	if (width == 1)
		bytes_add_byte(b, masked | (unsigned)len);
	else {
		bytes_add_byte(b, masked | (width == 2 ? 126 : 127));
		for (i = width; i > 0; i--)
			bytes_add_byte(b, (len >> (8 * (i - 1))) & 0xff);
	}
}

static size_t
width_of(uint64_t len)
{
	return len < 126 ? 1 : len < 65536 ? 2 : 8;
}

static const uint8_t test_mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

/* A frame as a client sends it. */
static void
add_frame(struct bytes *b, unsigned first, const void *payload, size_t len)
{
	const uint8_t *p = payload;
	size_t i;

	add_header(b, first, MASKED, width_of(len), len);
	bytes_add(b, test_mask, 4);
	for (i = 0; i < len; i++)
		bytes_add_byte(b, p[i] ^ test_mask[i % 4]);
}

static void
add_text(struct bytes *b, unsigned first, const char *text)
{
	add_frame(b, first, text, strlen(text));
}

/* ---- what the reader tells ---- */

struct reader {
	struct ws ws;
	struct bytes log;
	size_t messages;
	size_t most; /* memory it ever had */
	bool failed;
};

static void
reader_init(struct reader *r, uint32_t limit, bool client)
{
	memset(r, 0, sizeof(*r));
	ws_init(&r->ws, limit, client);
}

static void
reader_free(struct reader *r)
{
	ws_clear(&r->ws);
	assert_int_equal(ws_memory(&r->ws), 0);
	bytes_free(&r->log);
}

static void
log_text(struct reader *r, const char *text)
{
	bytes_add(&r->log, text, strlen(text));
}

static void
log_data(struct reader *r, const struct ws_frame *f)
{
	char text[32];

	assert_non_null(f->data);
	snprintf(text, sizeof(text), "[%zu]", f->len);
	log_text(r, text);
	bytes_add(&r->log, f->data, f->len);
	/* It is said that it may be written to. */
	memset(f->data, 'x', f->len);
}

static void
log_event(struct reader *r, enum ws_event ev, const struct ws_frame *f)
{
	static const char *const names[] = { "more", "begin", "message", "ping",
		"pong", "close", "fail" };
	char text[64];

	snprintf(text, sizeof(text), "%s", names[ev]);
	log_text(r, text);
	switch (ev) {
	case WS_BEGIN:
	case WS_MESSAGE:
		snprintf(text, sizeof(text), " %d ", f->opcode);
		log_text(r, text);
		break;
	case WS_CLOSE:
	case WS_FAIL:
		snprintf(text, sizeof(text), " %u ", f->code);
		log_text(r, text);
		break;
	default:
		break;
	}
	if (ev == WS_FAIL)
		log_text(r, f->reason);
	else if (ev != WS_BEGIN)
		log_data(r, f);
	log_text(r, "\n");
}

static void
feed(struct reader *r, const void *p, size_t len)
{
	uint8_t *copy, *in;
	struct ws_frame f;
	enum ws_event ev;
	size_t left = len;

	if (r->failed)
		return;
	assert_non_null(copy = malloc(len + 1));
	in = copy + 1; /* not aligned */
	if (len > 0)
		memcpy(in, p, len);
	while ((ev = ws_next(&r->ws, &in, &left, &f)) != WS_MORE) {
		log_event(r, ev, &f);
		if (ws_memory(&r->ws) > r->most)
			r->most = ws_memory(&r->ws);
		if (ev == WS_MESSAGE)
			r->messages++;
		if (ev == WS_FAIL) {
			r->failed = true;
			break;
		}
		assert_ptr_equal(in, copy + 1 + len - left);
	}
	assert_true(ev == WS_FAIL || left == 0);
	if (ws_memory(&r->ws) > r->most)
		r->most = ws_memory(&r->ws);
	free(copy);
}

static void
feed_bytes(struct reader *r, const struct bytes *b)
{
	feed(r, b->p, b->len);
}

static void
assert_log(struct reader *r, const char *expected)
{
	bytes_add_byte(&r->log, 0);
	assert_string_equal((char *)r->log.p, expected);
	r->log.len--;
}

/* The whole of a stream must give this. */
static void
assert_stream(struct bytes *b, bool client, const char *expected)
{
	struct reader r;

	reader_init(&r, LIMIT, client);
	feed_bytes(&r, b);
	assert_log(&r, expected);
	reader_free(&r);
	bytes_free(b);
}

static void
assert_server(struct bytes *b, const char *expected)
{
	assert_stream(b, false, expected);
}

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

/* ---- limits ---- */

static void
a_message_of_the_limit_passes_and_one_byte_more_does_not(void **state)
{
	struct bytes b = { 0 };
	struct reader r;
	uint64_t len;

	(void)state;
	for (len = 99; len <= 101; len++) {
		add_header(&b, FIN | WS_OP_BINARY, MASKED, 1, len);
		bytes_add(&b, test_mask, 4);
		reader_init(&r, 100, false);
		feed_bytes(&r, &b);
		assert_log(&r, len <= 100
				   ? "begin 2 \n"
				   : "begin 2 \nfail 1009 message too large\n");
		reader_free(&r);
		bytes_free(&b);
	}
}

static void
the_longest_length_is_only_too_large(void **state)
{
	struct bytes b = { 0 };

	(void)state;
	add_header(&b, FIN | WS_OP_TEXT, MASKED, 8, INT64_MAX);
	bytes_add(&b, test_mask, 4);
	assert_server(&b, "begin 1 \nfail 1009 message too large\n");
	add_text(&b, WS_OP_TEXT, "a");
	add_header(&b, FIN, MASKED, 8, INT64_MAX);
	bytes_add(&b, test_mask, 4);
	assert_server(&b, "begin 1 \nfail 1009 message too large\n");
}

static void
size_is_checked_after_begin_and_before_payload_is_stored(void **state)
{
	struct bytes b = { 0 };
	struct ws ws;
	struct ws_frame f;
	uint8_t *in;
	size_t len;

	(void)state;
	add_frame(&b, FIN | WS_OP_TEXT, "too long", 8);
	ws_init(&ws, 7, false);
	in = b.p;
	len = b.len;
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_BEGIN);
	assert_int_equal(ws_memory(&ws), 0);
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_FAIL);
	assert_int_equal(f.code, WS_TOO_BIG);
	assert_string_equal(f.reason, "message too large");
	assert_int_equal(ws_memory(&ws), 0);

	/* The same when the header comes alone, and the limit changes. */
	ws_init(&ws, 8, false);
	in = b.p;
	len = 6;
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_BEGIN);
	ws.max_message = 7;
	assert_int_equal(ws_next(&ws, &in, &len, &f), WS_FAIL);
	assert_int_equal(f.code, WS_TOO_BIG);
	assert_int_equal(ws_memory(&ws), 0);
	bytes_free(&b);
}

static void
fragments_are_summed_at_their_headers(void **state)
{
	struct bytes b = { 0 };
	struct reader r;

	(void)state;
	add_text(&b, WS_OP_TEXT, "12345");
	add_text(&b, WS_OP_CONTINUATION, "678");
	add_text(&b, FIN | WS_OP_PING, "not counted");
	reader_init(&r, 10, false);
	feed_bytes(&r, &b);
	b.len = 0;
	add_header(&b, WS_OP_CONTINUATION, MASKED, 1, 3);
	feed_bytes(&r, &b);
	assert_log(&r, "begin 1 \nping[11]not counted\n");
	feed(&r, test_mask, 4);
	assert_log(
	    &r, "begin 1 \nping[11]not counted\nfail 1009 message too large\n");
	reader_free(&r);
	bytes_free(&b);
}

static void
a_limit_lowered_within_a_message_holds_from_the_next_frame(void **state)
{
	struct bytes b = { 0 };
	struct reader r;

	(void)state;
	add_frame(&b, WS_OP_TEXT, "0123456789", 10);
	add_text(&b, FIN | WS_OP_CONTINUATION, "");
	reader_init(&r, 10, false);
	feed(&r, b.p, 8);
	r.ws.max_message = 4;
	feed(&r, b.p + 8, b.len - 8);
	assert_log(&r, "begin 1 \nfail 1009 message too large\n");
	reader_free(&r);
	bytes_free(&b);
}

/* One frame to open a message, n like it, the last of them final or not. */
static void
fragment(struct bytes *b, size_t n, const char *text, unsigned last)
{
	add_text(b, WS_OP_TEXT, text);
	while (n-- > 0)
		add_text(b, WS_OP_CONTINUATION | (n == 0 ? last : 0), text);
}

static void
a_message_has_at_most_1024_continuations(void **state)
{
	struct bytes b = { 0 };
	struct reader r;

	(void)state;
	fragment(&b, WS_FRAGMENTS_MAX, "a", FIN);
	reader_init(&r, LIMIT, false);
	feed_bytes(&r, &b);
	assert_int_equal(r.messages, 1);
	assert_false(r.failed);
	/* The next message has as many again. */
	feed_bytes(&r, &b);
	assert_int_equal(r.messages, 2);
	assert_false(r.failed);
	reader_free(&r);
	bytes_free(&b);

	fragment(&b, WS_FRAGMENTS_MAX + 1, "a", FIN);
	assert_server(&b, "begin 1 \nfail 1008 too many fragments\n");
}

static void
at_most_64_empty_fragments_may_follow_each_other(void **state)
{
	struct bytes b = { 0 };
	size_t i;

	(void)state;
	/* The first frame counts. */
	fragment(&b, WS_EMPTY_FRAGS_MAX - 1, "", 0);
	add_text(&b, FIN | WS_OP_CONTINUATION, "");
	assert_server(&b, "begin 1 \nmessage 1 [0]\n");
	fragment(&b, WS_EMPTY_FRAGS_MAX, "", 0);
	assert_server(&b, "begin 1 \nfail 1002 too many empty fragments\n");
	/* Control frames do not break the row, payload does. */
	fragment(&b, WS_EMPTY_FRAGS_MAX - 1, "", 0);
	add_text(&b, FIN | WS_OP_PING, "x");
	add_text(&b, WS_OP_CONTINUATION, "");
	assert_server(
	    &b, "begin 1 \nping[1]x\nfail 1002 too many empty fragments\n");
	fragment(&b, WS_EMPTY_FRAGS_MAX - 1, "", 0);
	add_text(&b, WS_OP_CONTINUATION, "x");
	for (i = 0; i < WS_EMPTY_FRAGS_MAX; i++)
		add_text(&b, WS_OP_CONTINUATION, "");
	add_text(&b, FIN | WS_OP_CONTINUATION, "y");
	assert_server(&b, "begin 1 \nmessage 1 [2]xy\n");
}

/* ---- memory ---- */

static void
memory_grows_with_what_came_not_with_what_was_announced(void **state)
{
	static const size_t marks[] = { 1, 100, 1000, 10000, 100000 };
	struct bytes b = { 0 };
	struct reader r;
	size_t i, sent = 0;

	(void)state;
	add_header(&b, FIN | WS_OP_BINARY, MASKED, 8, LIMIT);
	bytes_add(&b, test_mask, 4);
	reader_init(&r, LIMIT, false);
	feed_bytes(&r, &b);
	assert_true(ws_memory(&r.ws) <= 512);
	for (i = 0; i < COUNT_OF(marks); i++) {
		for (; sent < marks[i]; sent++)
			feed(&r, "x", 1);
		assert_true(ws_memory(&r.ws) <= 2 * sent + 1024);
	}
	for (; sent < LIMIT; sent++)
		feed(&r, "x", 1);
	assert_int_equal(r.messages, 1);
	assert_true(r.most <= LIMIT + 512);
	feed(&r, "", 0);
	assert_int_equal(ws_memory(&r.ws), 0);
	reader_free(&r);
	bytes_free(&b);
}

static void
a_final_frame_takes_no_more_memory_than_it_needs(void **state)
{
	struct bytes b = { 0 };
	struct reader r;
	size_t i, before;

	(void)state;
	add_header(&b, FIN | WS_OP_BINARY, MASKED, 2, 300);
	bytes_add(&b, test_mask, 4);
	reader_init(&r, LIMIT, false);
	feed_bytes(&r, &b);
	before = ws_memory(&r.ws);
	for (i = 0; i < 299; i++)
		feed(&r, "x", 1);
	assert_int_equal(ws_memory(&r.ws), before + 300);
	reader_free(&r);
	bytes_free(&b);
}

static void
memory_is_bounded_by_the_limit_whatever_the_fragmentation(void **state)
{
	static const size_t limits[] = { 0, 1, 255, 256, 257, 1000, 4096,
		65536 };
	struct bytes b = { 0 };
	struct reader r;
	size_t i, size, left, n, fragments;
	char payload[65536];

	(void)state;
	memset(payload, 'm', sizeof(payload));
	for (i = 0; i < COUNT_OF(limits); i++)
		for (size = 1; size <= 65536; size = size * 3 + 1) {
			reader_init(&r, (uint32_t)limits[i], false);
			add_frame(&b, WS_OP_TEXT, "", 0);
			left = limits[i];
			for (fragments = 1;
			     left > 0 && fragments < WS_FRAGMENTS_MAX;
			     fragments++, left -= n) {
				n = left < size ? left : size;
				add_frame(&b, WS_OP_CONTINUATION, payload, n);
				add_text(&b, FIN | WS_OP_PING, "and a ping");
			}
			add_text(&b, FIN | WS_OP_CONTINUATION, "");
			while (b.len > 0) {
				n = b.len < 777 ? b.len : 777;
				feed(&r, b.p, n);
				memmove(b.p, b.p + n, b.len -= n);
				assert_true(
				    ws_memory(&r.ws) <= limits[i] + 8192);
			}
			assert_int_equal(r.messages, 1);
			assert_true(r.most <= limits[i] + 8192);
			reader_free(&r);
		}
	bytes_free(&b);
}

static void
memory_is_given_back_at_each_boundary_and_after_a_failure(void **state)
{
	struct bytes b = { 0 };
	struct reader r;
	size_t i;

	(void)state;
	reader_init(&r, LIMIT, false);
	add_text(&b, FIN | WS_OP_TEXT, "in two pieces");
	for (i = 0; i < 3; i++) {
		feed(&r, b.p, 10);
		assert_true(ws_memory(&r.ws) > 0);
		feed(&r, b.p + 10, b.len - 10);
		feed(&r, "", 0);
		assert_int_equal(ws_memory(&r.ws), 0);
	}
	b.len = 0;
	add_text(&b, FIN | WS_OP_PING, "split ping");
	feed(&r, b.p, 3);
	feed(&r, b.p + 3, b.len - 3);
	feed(&r, "", 0);
	assert_int_equal(ws_memory(&r.ws), 0);
	feed(&r, b.p, 3);
	assert_true(ws_memory(&r.ws) > 0);
	reader_free(&r);

	reader_init(&r, LIMIT, false);
	b.len = 0;
	add_text(&b, WS_OP_TEXT, "open");
	bytes_add_byte(&b, 0x70);
	feed_bytes(&r, &b);
	assert_true(r.failed);
	assert_int_equal(ws_memory(&r.ws), 0);
	reader_free(&r);
	bytes_free(&b);
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

/* ---- the second opinion ---- */

#define ORACLE_ROUNDS   100
#define ORACLE_MESSAGES 12
#define ORACLE_SIZE     70000

/* A generator of our own, so that a failure can be repeated anywhere. */
static uint32_t
rnd(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 33) % below;
}

/* Any text: characters of one to four bytes. */
static void
rnd_text(uint64_t *seed, struct bytes *b, size_t len)
{
	static const char *const chars[] = { "a", "\x7f", "\xc2\x80",
		"\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
	const char *c;

	while (b->len < len) {
		c = rnd(seed, 2) != 0 ? "z" : chars[rnd(seed, 9)];
		bytes_add(b, c, strlen(c));
	}
}

static size_t
rnd_length(uint64_t *seed)
{
	static const uint32_t about[] = { 4, 126, 300, 5000, ORACLE_SIZE };

	return rnd(seed, about[rnd(seed, 5)]);
}

struct pipe {
	struct bytes wire;
	size_t taken;
	uint64_t seed;
	struct reader *told; /* what wslay received, as ws.c would tell it */
};

static ssize_t
pipe_write(const uint8_t *p, size_t len, int flags, void *arg)
{
	struct pipe *pipe = arg;

	(void)flags;
	bytes_add(&pipe->wire, p, len);
	return (ssize_t)len;
}

static ssize_t
pipe_read(uint8_t *p, size_t len, int flags, void *arg)
{
	struct pipe *pipe = arg;

	(void)flags;
	if (pipe->taken == pipe->wire.len)
		return -1;
	/* In pieces of any size. */
	len = 1 + rnd(&pipe->seed, (uint32_t)len);
	if (len > pipe->wire.len - pipe->taken)
		len = pipe->wire.len - pipe->taken;
	memcpy(p, pipe->wire.p + pipe->taken, len);
	pipe->taken += len;
	return (ssize_t)len;
}

static int
pipe_mask(uint8_t *p, size_t len, void *arg)
{
	struct pipe *pipe = arg;

	while (len-- > 0)
		*p++ = (uint8_t)rnd(&pipe->seed, 256);
	return 0;
}

static void
wslay_send(wslay_frame_context_ptr ctx, unsigned opcode, bool fin, bool masked,
    const uint8_t *p, size_t len)
{
	struct wslay_frame_iocb io = { .fin = fin,
		.opcode = (uint8_t)opcode,
		.payload_length = len,
		.mask = masked,
		.data = p,
		.data_length = len };

	assert_int_equal(wslay_frame_send(ctx, &io), (ssize_t)len);
}

/* What ws.c is to tell of a message. */
static void
expect_message(struct reader *r, unsigned opcode, struct bytes *payload)
{
	struct ws_frame f = {
		.opcode = opcode, .data = payload->p, .len = payload->len
	};

	log_event(r, WS_MESSAGE, &f);
}

static void
expect_begin(struct reader *r, unsigned opcode)
{
	struct ws_frame f = { .opcode = opcode };

	log_event(r, WS_BEGIN, &f);
}

static void
expect_ping(struct reader *r)
{
	uint8_t payload[] = { 'p', 0xff };
	struct ws_frame f = { .data = payload, .len = sizeof(payload) };

	log_event(r, WS_PING, &f);
}

/* A message in random fragments with pings between them. */
static void
wslay_send_message(wslay_frame_context_ptr ctx, struct pipe *pipe,
    struct reader *expected, bool masked)
{
	struct bytes payload = { 0 };
	unsigned opcode = 1 + rnd(&pipe->seed, 2), op = opcode;
	size_t sent = 0, n;
	bool fin;

	bytes_add(&payload, "", 1);
	payload.len = 0;
	rnd_text(&pipe->seed, &payload, rnd_length(&pipe->seed));
	if (opcode == WS_OP_BINARY && payload.len > 0)
		payload.p[0] = 0xff;
	expect_begin(expected, opcode);
	do {
		n = rnd(&pipe->seed, (uint32_t)(payload.len - sent) + 1);
		fin = rnd(&pipe->seed, 3) == 0;
		if (fin)
			n = payload.len - sent;
		wslay_send(ctx, op, fin, masked, payload.p + sent, n);
		sent += n;
		op = WS_OP_CONTINUATION;
		if (!fin && rnd(&pipe->seed, 4) == 0) {
			wslay_send(ctx, WS_OP_PING, true, masked,
			    (const uint8_t *)"p\xff", 2);
			expect_ping(expected);
		}
	} while (!fin);
	expect_message(expected, opcode, &payload);
	bytes_free(&payload);
}

static void
read_what_wslay_writes(bool client)
{
	struct wslay_frame_callbacks cb = { .send_callback = pipe_write,
		.genmask_callback = pipe_mask };
	struct pipe pipe = { .seed = 4711 };
	struct reader r, expected;
	wslay_frame_context_ptr ctx;
	size_t round, i, at, n;

	assert_int_equal(wslay_frame_context_init(&ctx, &cb, &pipe), 0);
	for (round = 0; round < ORACLE_ROUNDS; round++) {
		reader_init(&r, 2 * ORACLE_SIZE, client);
		reader_init(&expected, 0, false);
		for (i = 0; i < ORACLE_MESSAGES; i++)
			wslay_send_message(ctx, &pipe, &expected, !client);
		for (at = 0; at < pipe.wire.len; at += n) {
			n = 1 + rnd_length(&pipe.seed);
			if (n > pipe.wire.len - at)
				n = pipe.wire.len - at;
			feed(&r, pipe.wire.p + at, n);
		}
		assert_int_equal(r.log.len, expected.log.len);
		assert_memory_equal(r.log.p, expected.log.p, r.log.len);
		reader_free(&r);
		reader_free(&expected);
		pipe.wire.len = 0;
	}
	wslay_frame_context_free(ctx);
	bytes_free(&pipe.wire);
}

static void
a_server_reads_what_a_wslay_client_writes(void **state)
{
	(void)state;
	read_what_wslay_writes(false);
}

static void
a_client_reads_what_a_wslay_server_writes(void **state)
{
	(void)state;
	read_what_wslay_writes(true);
}

static ssize_t
event_read(
    wslay_event_context_ptr ctx, uint8_t *p, size_t len, int flags, void *arg)
{
	ssize_t n = pipe_read(p, len, flags, arg);

	if (n == -1)
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
	return n;
}

static void
event_message(wslay_event_context_ptr ctx,
    const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct pipe *pipe = arg;
	struct bytes payload = { 0 };

	(void)ctx;
	bytes_add(&payload, m->msg, m->msg_length);
	bytes_add(&payload, "", 1);
	payload.len--;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		assert_int_equal(m->status_code, WS_GOING_AWAY);
		log_text(pipe->told, "close\n");
	} else
		expect_message(pipe->told, m->opcode, &payload);
	bytes_free(&payload);
}

/* Write messages with ws.c, text and binary, and a close at the end. */
static void
write_messages(struct pipe *pipe, struct reader *expected, bool client)
{
	uint8_t head[WS_HEADER_MAX], mask[4];
	uint8_t bye[WS_CONTROL_MAX];
	struct bytes payload = { 0 };
	enum ws_opcode opcode;
	size_t i;

	for (i = 0; i < ORACLE_MESSAGES; i++) {
		opcode = 1 + rnd(&pipe->seed, 2);
		payload.len = 0;
		bytes_add(&payload, "", 1);
		payload.len = 0;
		rnd_text(&pipe->seed, &payload, rnd_length(&pipe->seed));
		pipe_mask(mask, sizeof(mask), pipe);
		bytes_add(&pipe->wire, head,
		    ws_header(head, opcode, payload.len, client ? mask : NULL));
		bytes_add(&pipe->wire, payload.p, payload.len);
		if (client)
			ws_mask(pipe->wire.p + pipe->wire.len - payload.len,
			    payload.len, mask, 0);
		expect_message(expected, opcode, &payload);
	}
	i = ws_close_payload(bye, WS_GOING_AWAY, "");
	bytes_add(&pipe->wire, head,
	    ws_header(head, WS_OP_CLOSE, i, client ? mask : NULL));
	bytes_add(&pipe->wire, bye, i);
	if (client)
		ws_mask(pipe->wire.p + pipe->wire.len - i, i, mask, 0);
	log_text(expected, "close\n");
	bytes_free(&payload);
}

static void
wslay_reads_what_we_write(bool client)
{
	struct wslay_event_callbacks cb = { .recv_callback = event_read,
		.on_msg_recv_callback = event_message };
	struct reader told, expected;
	struct pipe pipe = { .seed = 815, .told = &told };
	wslay_event_context_ptr ctx;
	size_t round;

	for (round = 0; round < ORACLE_ROUNDS; round++) {
		reader_init(&told, 0, false);
		reader_init(&expected, 0, false);
		write_messages(&pipe, &expected, client);
		assert_int_equal(
		    client ? wslay_event_context_server_init(&ctx, &cb, &pipe)
			   : wslay_event_context_client_init(&ctx, &cb, &pipe),
		    0);
		assert_int_equal(wslay_event_recv(ctx), 0);
		assert_int_equal(wslay_event_get_close_received(ctx), 1);
		assert_int_equal(told.log.len, expected.log.len);
		assert_memory_equal(told.log.p, expected.log.p, told.log.len);
		wslay_event_context_free(ctx);
		reader_free(&told);
		reader_free(&expected);
		pipe.wire.len = pipe.taken = 0;
	}
	bytes_free(&pipe.wire);
}

static void
a_wslay_client_reads_what_a_server_writes(void **state)
{
	(void)state;
	wslay_reads_what_we_write(false);
}

static void
a_wslay_server_reads_what_a_client_writes(void **state)
{
	(void)state;
	wslay_reads_what_we_write(true);
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
		cmocka_unit_test(
		    a_message_of_the_limit_passes_and_one_byte_more_does_not),
		cmocka_unit_test(the_longest_length_is_only_too_large),
		cmocka_unit_test(
		    size_is_checked_after_begin_and_before_payload_is_stored),
		cmocka_unit_test(fragments_are_summed_at_their_headers),
		cmocka_unit_test(
		    a_limit_lowered_within_a_message_holds_from_the_next_frame),
		cmocka_unit_test(a_message_has_at_most_1024_continuations),
		cmocka_unit_test(
		    at_most_64_empty_fragments_may_follow_each_other),
		cmocka_unit_test(
		    memory_grows_with_what_came_not_with_what_was_announced),
		cmocka_unit_test(
		    a_final_frame_takes_no_more_memory_than_it_needs),
		cmocka_unit_test(
		    memory_is_bounded_by_the_limit_whatever_the_fragmentation),
		cmocka_unit_test(
		    memory_is_given_back_at_each_boundary_and_after_a_failure),
		cmocka_unit_test(headers_that_are_written_are_read_again),
		cmocka_unit_test(masking_may_start_at_any_phase_and_length),
		cmocka_unit_test(close_reasons_are_cut_at_a_character),
		cmocka_unit_test(a_server_reads_what_a_wslay_client_writes),
		cmocka_unit_test(a_client_reads_what_a_wslay_server_writes),
		cmocka_unit_test(a_wslay_client_reads_what_a_server_writes),
		cmocka_unit_test(a_wslay_server_reads_what_a_client_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
