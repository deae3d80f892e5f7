/*
 * Reading and building payloads: never past the end.
 */
#include "unit.h"

#include <string.h>

#include "wire.h"

static void
fields_are_read_in_order(void **state)
{
	struct wire w;
	uint32_t n;
	char text[8];

	(void)state;
	wire_init(&w, "\1\0\0\0abc", 7);
	wire_copy(&w, &n, sizeof(n));
	assert_int_equal(n, 1);
	assert_string_equal(wire_text(&w, 3, text, sizeof(text)), "abc");
	assert_true(wire_done(&w));
}

static void
reading_past_the_end_is_bad_for_good(void **state)
{
	struct wire w;
	uint32_t n = 7;
	char text[8];

	(void)state;
	wire_init(&w, "abc", 3);
	wire_copy(&w, &n, sizeof(n));
	assert_int_equal(n, 0);
	assert_null(wire_bytes(&w, 1));
	assert_string_equal(wire_text(&w, 1, text, sizeof(text)), "");
	assert_false(wire_done(&w));
}

static void
a_huge_length_does_not_wrap(void **state)
{
	struct wire w;

	(void)state;
	wire_init(&w, "abc", 3);
	assert_non_null(wire_bytes(&w, 1));
	assert_null(wire_bytes(&w, SIZE_MAX));
	assert_false(wire_done(&w));
}

static void
bytes_that_are_left_are_not_done(void **state)
{
	struct wire w;

	(void)state;
	wire_init(&w, "abc", 3);
	assert_non_null(wire_bytes(&w, 2));
	assert_false(wire_done(&w));
}

static void
a_text_with_a_nul_or_too_long_is_bad(void **state)
{
	struct wire w;
	char text[4];

	(void)state;
	wire_init(&w, "a\0c", 3);
	assert_string_equal(wire_text(&w, 3, text, sizeof(text)), "");
	assert_false(wire_done(&w));
	wire_init(&w, "abcd", 4);
	assert_string_equal(wire_text(&w, 4, text, sizeof(text)), "");
	assert_false(wire_done(&w));
}

static void
building_stops_at_the_end_of_the_buffer(void **state)
{
	struct wire_out o;
	char buf[4];

	(void)state;
	wire_out_init(&o, buf, sizeof(buf));
	wire_put(&o, "abc", 3);
	wire_put(&o, NULL, 0);
	assert_false(o.overflow);
	wire_put(&o, "de", 2);
	assert_true(o.overflow);
	assert_int_equal(o.len, 3);
	wire_put(&o, "f", 1);
	assert_true(o.overflow);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_read_in_order),
		cmocka_unit_test(reading_past_the_end_is_bad_for_good),
		cmocka_unit_test(a_huge_length_does_not_wrap),
		cmocka_unit_test(bytes_that_are_left_are_not_done),
		cmocka_unit_test(a_text_with_a_nul_or_too_long_is_bad),
		cmocka_unit_test(building_stops_at_the_end_of_the_buffer),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
