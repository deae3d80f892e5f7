/*
 * The histogram of the benchmark's load generator, against sorted values.
 */
#include "unit.h"

#include <stdlib.h>

#include "histogram.h"

#define VALUES 20000

static int
setup(void **state)
{
	*state = calloc(1, sizeof(struct histogram));
	return *state == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
nothing_counted_is_nothing(void **state)
{
	struct histogram *h = *state;

	histogram_reset(h);
	assert_int_equal(histogram_quantile(h, 0.5), 0);
	assert_int_equal(histogram_quantile(h, 0.999), 0);
}

static void
small_values_are_exact(void **state)
{
	struct histogram *h = *state;
	uint64_t i;

	histogram_reset(h);
	for (i = 1; i <= 200; i++)
		histogram_add(h, i);
	assert_int_equal(histogram_quantile(h, 0.005), 1);
	assert_int_equal(histogram_quantile(h, 0.5), 100);
	assert_int_equal(histogram_quantile(h, 0.99), 198);
	assert_int_equal(histogram_quantile(h, 1), 200);
}

static void
each_value_is_in_a_bucket_that_is_narrow(void **state)
{
	struct histogram *h = *state;
	uint64_t bound, value;

	for (value = 1; value < 1ULL << 40; value += value / 97 + 1) {
		histogram_reset(h);
		histogram_add(h, value);
		/* The maximum would hide the bound of the bucket. */
		histogram_add(h, UINT64_MAX);
		bound = histogram_quantile(h, 0.5);
		assert_true(bound >= value);
		assert_true(bound - value <= value / 128);
	}
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
quantiles_are_those_of_the_sorted_values(void **state)
{
	static const double quantiles[] = { 0.01, 0.5, 0.9, 0.99, 0.999, 1 };
	static uint64_t values[VALUES];
	struct histogram *h = *state;
	uint64_t exact, found, x = 88172645463325252;
	size_t i, rank;

	histogram_reset(h);
	for (i = 0; i < VALUES; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		values[i] = x >> (24 + x % 40);
		histogram_add(h, values[i]);
	}
	qsort(values, VALUES, sizeof(values[0]), compare);
	for (i = 0; i < COUNT_OF(quantiles); i++) {
		rank = (size_t)(quantiles[i] * VALUES);
		exact = values[rank - 1];
		found = histogram_quantile(h, quantiles[i]);
		assert_true(found >= exact);
		assert_true(found - exact <= exact / 128);
	}
}

static void
what_takes_for_ever_is_the_maximum(void **state)
{
	struct histogram *h = *state;

	histogram_reset(h);
	histogram_add(h, 5);
	histogram_add(h, 1ULL << 50);
	assert_int_equal(histogram_quantile(h, 0.5), 5);
	assert_int_equal(histogram_quantile(h, 0.999), 1ULL << 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_counted_is_nothing),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(each_value_is_in_a_bucket_that_is_narrow),
		cmocka_unit_test(quantiles_are_those_of_the_sorted_values),
		cmocka_unit_test(what_takes_for_ever_is_the_maximum),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
