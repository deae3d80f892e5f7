/*
 * The worker's output.c: what one wake-up says is a row of frames, whatever
 * their sizes, and memory far beyond the usual is given back.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "../../ltp-worker/output.h"
#include "../../ltp-worker/ws.h"

/* Read one frame back. */
static void
assert_frame(struct ws *ws, uint8_t **p, size_t *len, size_t expected)
{
	struct ws_frame f;
	size_t i;

	assert_int_equal(ws_next(ws, p, len, &f), WS_BEGIN);
	assert_int_equal(ws_next(ws, p, len, &f), WS_MESSAGE);
	assert_int_equal(f.opcode, WS_OP_TEXT);
	assert_int_equal(f.len, expected);
	for (i = 0; i < f.len; i++)
		assert_int_equal(f.data[i], 'a' + expected % 26);
}

static void
frames_of_all_sizes_are_read_back_in_order(void **state)
{
	static const size_t edges[] = { 0, 1, 125, 126, 127, 65535, 65536 };
	struct output o = { NULL, 0, 0 };
	struct ws ws;
	uint8_t *p;
	char *text;
	size_t len, i;

	(void)state;
	text = malloc(65536);
	assert_non_null(text);
	for (i = 0; i < COUNT_OF(edges) + 300; i++) {
		len = i < COUNT_OF(edges) ? edges[i] : i;
		memset(text, 'a' + (int)(len % 26), len);
		assert_int_equal(
		    output_put_frame(&o, WS_OP_TEXT, text, len), 0);
		assert_true(o.len <= o.size);
	}
	ws_init(&ws, 65536, true);
	p = o.data;
	len = o.len;
	for (i = 0; i < COUNT_OF(edges) + 300; i++)
		assert_frame(&ws, &p, &len, i < COUNT_OF(edges) ? edges[i] : i);
	assert_int_equal(len, 0);
	ws_clear(&ws);
	free(text);
	free(o.data);
}

static void
a_frame_fits_wherever_the_memory_ends(void **state)
{
	struct output o;
	size_t before;
	char byte = 'x';

	(void)state;
	for (before = 4096 - 2 * WS_HEADER_MAX; before <= 4096; before++) {
		o = (struct output){ malloc(4096), before, 4096 };
		assert_non_null(o.data);
		memset(o.data, 'y', before);
		assert_int_equal(output_put_frame(&o, WS_OP_PONG, &byte, 1), 0);
		assert_int_equal(o.len, before + 3);
		assert_int_equal(o.data[before - 1], 'y');
		assert_memory_equal(o.data + before, "\x8a\x01x", 3);
		free(o.data);
	}
}

static void
much_memory_is_given_back_and_little_is_kept(void **state)
{
	struct output o = { NULL, 0, 0 };
	char *text = calloc(1, 70000);

	(void)state;
	assert_non_null(text);
	assert_int_equal(output_put(&o, text, 100), 0);
	output_reset(&o);
	assert_int_equal(o.len, 0);
	assert_non_null(o.data);
	assert_int_equal(output_put(&o, text, 70000), 0);
	output_reset(&o);
	assert_null(o.data);
	assert_int_equal(o.size, 0);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_all_sizes_are_read_back_in_order),
		cmocka_unit_test(a_frame_fits_wherever_the_memory_ends),
		cmocka_unit_test(much_memory_is_given_back_and_little_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
