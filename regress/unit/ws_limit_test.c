/*
 * ws.c: sizes, fragments and memory, with peers that mean harm.
 */
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "ws_stream.h"

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
a_caller_may_set_another_limit_of_fragments(void **state)
{
	struct bytes b = { 0 };
	struct reader r;

	(void)state;
	fragment(&b, 2, "a", FIN);
	reader_init(&r, LIMIT, false);
	r.ws.max_fragments = 2;
	feed_bytes(&r, &b);
	assert_log(&r, "begin 1 \nmessage 1 [3]aaa\n");
	r.ws.max_fragments = 1;
	feed_bytes(&r, &b);
	assert_log(&r, "begin 1 \nmessage 1 [3]aaa\n"
		       "begin 1 \nfail 1008 too many fragments\n");
	reader_free(&r);
	bytes_free(&b);

	fragment(&b, UINT16_MAX, "a", FIN);
	reader_init(&r, 2 * UINT16_MAX, false);
	r.ws.max_fragments = UINT16_MAX;
	feed_bytes(&r, &b);
	assert_int_equal(r.messages, 1);
	reader_free(&r);
	bytes_free(&b);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_message_of_the_limit_passes_and_one_byte_more_does_not),
		cmocka_unit_test(the_longest_length_is_only_too_large),
		cmocka_unit_test(
		    size_is_checked_after_begin_and_before_payload_is_stored),
		cmocka_unit_test(fragments_are_summed_at_their_headers),
		cmocka_unit_test(
		    a_limit_lowered_within_a_message_holds_from_the_next_frame),
		cmocka_unit_test(a_message_has_at_most_1024_continuations),
		cmocka_unit_test(a_caller_may_set_another_limit_of_fragments),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
