/*
 * The rate of a connection.
 */
#include "unit.h"

#include "limit.h"

static void
a_burst_passes_and_no_more(void **state)
{
	struct monotime tat = { 0 }, now = { 5000000 };
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_true(limit_allow(&tat, 10, 20, now));
	assert_false(limit_allow(&tat, 10, 20, now));
}

static void
a_token_comes_back_after_one_interval(void **state)
{
	struct monotime tat = { 0 }, now = { 5000000 };
	int i;

	(void)state;
	for (i = 0; i < 20; i++)
		assert_true(limit_allow(&tat, 10, 20, now));
	now.us += 99999;
	assert_false(limit_allow(&tat, 10, 20, now));
	now.us += 1;
	assert_true(limit_allow(&tat, 10, 20, now));
	assert_false(limit_allow(&tat, 10, 20, now));
}

static void
the_rate_holds_over_a_long_time(void **state)
{
	struct monotime tat = { 0 }, now = { 1 };
	unsigned passed = 0;

	(void)state;
	for (; now.us < 100 * INT64_C(1000000); now.us += 1000)
		passed += limit_allow(&tat, 10, 20, now);
	assert_in_range(passed, 1015, 1020);
}

static void
silence_gives_no_more_than_the_burst(void **state)
{
	struct monotime tat = { 0 }, now = { 1 };
	unsigned passed = 0;
	int i;

	(void)state;
	assert_true(limit_allow(&tat, 10, 20, now));
	now.us += INT64_C(3600) * 1000000;
	for (i = 0; i < 100; i++)
		passed += limit_allow(&tat, 10, 20, now);
	assert_int_equal(passed, 20);
}

static void
no_rate_is_no_limit(void **state)
{
	struct monotime tat = { 0 }, now = { 1 };
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		assert_true(limit_allow(&tat, 0, 1, now));
}

static void
a_burst_of_one_spaces_messages_evenly(void **state)
{
	struct monotime tat = { 0 }, now = { 1 };

	(void)state;
	assert_true(limit_allow(&tat, 10, 1, now));
	assert_false(limit_allow(&tat, 10, 1, now));
	now.us += 100000;
	assert_true(limit_allow(&tat, 10, 1, now));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_passes_and_no_more),
		cmocka_unit_test(a_token_comes_back_after_one_interval),
		cmocka_unit_test(the_rate_holds_over_a_long_time),
		cmocka_unit_test(silence_gives_no_more_than_the_burst),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(a_burst_of_one_spaces_messages_evenly),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
