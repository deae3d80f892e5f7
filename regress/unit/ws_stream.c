/*
 * Streams of frames for the tests of ws.c, and what is told of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "ws_stream.h"

/* ---- bytes ---- */

void
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

void
bytes_add_byte(struct bytes *b, unsigned byte)
{
	uint8_t c = (uint8_t)byte;

	bytes_add(b, &c, 1);
}

void
bytes_free(struct bytes *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

void
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

size_t
width_of(uint64_t len)
{
	return len < 126 ? 1 : len < 65536 ? 2 : 8;
}

const uint8_t test_mask[4] = { 0x37, 0xfa, 0x21, 0x3d };

void
add_frame(struct bytes *b, unsigned first, const void *payload, size_t len)
{
	const uint8_t *p = payload;
	size_t i;

	add_header(b, first, MASKED, width_of(len), len);
	bytes_add(b, test_mask, 4);
	for (i = 0; i < len; i++)
		bytes_add_byte(b, p[i] ^ test_mask[i % 4]);
}

void
add_text(struct bytes *b, unsigned first, const char *text)
{
	add_frame(b, first, text, strlen(text));
}

/* ---- what the reader tells ---- */

void
reader_init(struct reader *r, uint32_t limit, bool client)
{
	memset(r, 0, sizeof(*r));
	ws_init(&r->ws, limit, client);
}

void
reader_free(struct reader *r)
{
	ws_clear(&r->ws);
	assert_int_equal(ws_memory(&r->ws), 0);
	bytes_free(&r->log);
}

void
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

void
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

void
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

void
feed_bytes(struct reader *r, const struct bytes *b)
{
	feed(r, b->p, b->len);
}

void
assert_log(struct reader *r, const char *expected)
{
	bytes_add_byte(&r->log, 0);
	assert_string_equal((char *)r->log.p, expected);
	r->log.len--;
}

void
assert_stream(struct bytes *b, bool client, const char *expected)
{
	struct reader r;

	reader_init(&r, LIMIT, client);
	feed_bytes(&r, b);
	assert_log(&r, expected);
	reader_free(&r);
	bytes_free(b);
}

void
assert_server(struct bytes *b, const char *expected)
{
	assert_stream(b, false, expected);
}
