/*
 * number.c.  What it writes, against a fixed table of hard values, given
 * exactly in hexadecimal, and against its own promise over many bit
 * patterns: it reads back, and nothing shorter does.  What it reads, against
 * values at the edges.
 */
#include "unit.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

#define PATTERNS 20000
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A text that ends where len says. */
struct piece {
	const char *p;
	size_t len;
};

static const struct {
	double value;
	const char *text;
} hard[] = {
	/* zero and small integers */
	{ 0x0p+0, "0.0" },
	{ -0x0p+0, "-0.0" },
	{ 0x1p+0, "1.0" },
	{ -0x1p+0, "-1.0" },
	{ 0x1.4p+2, "5.0" },
	{ 0x1.9p+6, "100.0" },
	{ 0x1.8bcfe568p+40, "1700000000000.0" },
	/* what people write down */
	{ 0x1.999999999999ap-1, "0.8" },
	{ 0x1.ccccccccccccdp-1, "0.9" },
	{ 0x1.999999999999ap-4, "0.1" },
	{ 0x1.3333333333333p-2, "0.3" },
	{ 0x1.6666666666666p-1, "0.7" },
	{ 0x1p-2, "0.25" },
	{ -0x1p-1, "-0.5" },
	{ 0x1.4p+1, "2.5" },
	{ 0x1.921f9f01b866ep+1, "3.14159" },
	{ 0x1.edd2f1a9fbe77p+6, "123.456" },
	{ 0x1.3333333333334p-2, "0.30000000000000004" },
	{ 0x1.5555555555555p-2, "0.3333333333333333" },
	{ 0x1.5555555555555p-1, "0.6666666666666666" },
	{ 0x1.f9add3746f62ep-4, "0.123456789012345" },
	{ 0x1.333334p-2, "0.30000001192092896" },
	{ 0x1.99999ap-1, "0.800000011920929" },
	/* where the plain form begins and ends */
	{ 0x1.4f8b588e368f1p-17, "0.00001" },
	{ 0x1.4f8b588e368fp-17, "9.999999999999999e-6" },
	{ 0x1.4f8b588e368f2p-17, "0.000010000000000000003" },
	{ 0x1.f75104d551d69p-17, "0.000015" },
	{ 0x1.0c6f7a0b5ed8dp-20, "1e-6" },
	{ 0x1.ad7f29abcaf48p-24, "1e-7" },
	{ 0x1.a36e2eb1c432dp-14, "0.0001" },
	{ 0x1.02e4b6ce5dc68p-13, "0.00012345" },
	{ 0x1.c6bf52634p+49, "1000000000000000.0" },
	{ 0x1.c6bf52633ffffp+49, "999999999999999.9" },
	{ 0x1.1c37937e07fffp+53, "9999999999999998.0" },
	{ 0x1.1c37937e08p+53, "1e16" },
	{ 0x1.1c37937e08001p+53, "1.0000000000000002e16" },
	{ 0x1.6345785d8ap+56, "1e17" },
	{ 0x1.043561a88293p+67, "1.5e20" },
	{ -0x1.043561a88293p+67, "-1.5e20" },
	{ 0x1.b1ae4d6e2ef5p+69, "1e21" },
	{ 0x1.0f0cf064dd592p+73, "1e22" },
	{ 0x1.52d02c7e14af6p+76, "1e23" },
	/* powers of two, also where the closest 16 digits do not read back */
	{ 0x1p-44, "5.684341886080802e-14" },
	{ 0x1p-24, "5.960464477539063e-8" },
	{ 0x1p-1, "0.5" },
	{ 0x1p-10, "0.0009765625" },
	{ 0x1p-1022, "2.2250738585072014e-308" },
	{ 0x1p-1021, "4.450147717014403e-308" },
	{ 0x1p+53, "9007199254740992.0" },
	{ 0x1p+54, "1.8014398509481984e16" },
	{ 0x1p+63, "9.223372036854776e18" },
	{ 0x1p+64, "1.8446744073709552e19" },
	{ 0x1p+89, "6.189700196426902e26" },
	{ 0x1p+90, "1.2379400392853803e27" },
	{ 0x1p+100, "1.2676506002282294e30" },
	{ 0x1p-100, "7.888609052210118e-31" },
	{ 0x1p+1023, "8.98846567431158e307" },
	{ 0x1p+122, "5.316911983139664e36" },
	{ 0x1p-149, "1.401298464324817e-45" },
	{ 0x1p-126, "1.1754943508222875e-38" },
	{ 0x1p+147, "1.78405961588245e44" },
	{ 0x1p-234, "3.622271631530685e-71" },
	{ 0x1p-383, "5.075883674631299e-116" },
	/* neighbours of integers and of powers of ten */
	{ 0x1.fffffffffffffp+52, "9007199254740991.0" },
	{ 0x1.0000000000001p+53, "9007199254740994.0" },
	{ 0x1p+52, "4503599627370496.0" },
	{ 0x1.0000000000002p+52, "4503599627370498.0" },
	{ 0x1.249ad2594c37dp+332, "1e100" },
	{ 0x1.249ad2594c37cp+332, "9.999999999999998e99" },
	{ 0x1.0000000000001p+0, "1.0000000000000002" },
	{ 0x1.fffffffffffffp-1, "0.9999999999999999" },
	{ 0x1.3p+3, "9.5" },
	{ 0x1.3ffffffffffffp+3, "9.999999999999998" },
	/* the ends of the range, and subnormal doubles */
	{ 0x0.0000000000001p-1022, "5e-324" },
	{ 0x0.0000000000002p-1022, "1e-323" },
	{ 0x0.0000000000003p-1022, "1.5e-323" },
	{ 0x0.0000000000004p-1022, "2e-323" },
	{ 0x0.0000000000008p-1022, "4e-323" },
	{ 0x0.0000000000014p-1022, "1e-322" },
	{ 0x0.0000000000018p-1022, "1.2e-322" },
	{ 0x0.000000000001p-1022, "8e-323" },
	{ 0x0.0000001p-1022, "8.289046e-317" },
	{ 0x0.fffffffffffffp-1022, "2.225073858507201e-308" },
	{ 0x1.0000000000001p-1022, "2.225073858507202e-308" },
	{ 0x0.012688b70e62bp-1022, "1e-310" },
	{ 0x0.000000ee4a56ep-1022, "1.2345e-315" },
	{ 0x1.fffffffffffffp+1023, "1.7976931348623157e308" },
	{ 0x1.ffffffffffffep+1023, "1.7976931348623155e308" },
	{ -0x1.fffffffffffffp+1023, "-1.7976931348623157e308" },
	/* known trouble makers of other printers */
	{ 0x1.52d02c7e14af6p+77, "2e23" },
	{ 0x1.d05244fe5066ap-878, "9e-265" },
	{ 0x1.d83c94fb6d2acp-65, "5e-20" },
	{ 0x1.c7e83209e90b2p+72, "8.41e21" },
	{ 0x1.1f1eb098de058p-70, "9.5e-22" },
	{ 0x1p-1019, "1.7800590868057611e-307" },
	{ 0x1.fffffffffffffp-1016, "2.8480945388892175e-306" },
	{ 0x1p-982, "2.446494580089078e-296" },
	{ 0x1p+959, "4.8726570057e288" },
	{ 0x1.d7ee8bcbbd351p+996, "1.2345678901234567e300" },
	{ 0x1.25c8a9f8p+35, "39431000000.0" },
	{ 0x1.1666666666666p+2, "4.35" },
	{ 0x1.3333333333332p-2, "0.29999999999999993" },
	{ 0x1.6666666666667p-1, "0.7000000000000001" },
	{ 0x1.3de005bd620dfp+216, "1.3076622631878654e65" },
	{ 0x1.e0ffed391517ep-186, "1.9156918820264798e-56" },
	{ 0x1.ad43e6a9cff01p-875, "6.656402112201874e-264" },
};

#define NHARD (COUNT(hard))

/* As a string; also proves that nothing is written beyond the limit. */
static void
print(double value, char text[NUMBER_TEXT_MAX + 1])
{
	char out[2 * NUMBER_TEXT_MAX];
	size_t i, len;

	memset(out, '#', sizeof(out));
	len = (size_t)(number_put_double(out, value) - out);
	assert_in_range(len, 3, NUMBER_TEXT_MAX);
	for (i = NUMBER_TEXT_MAX; i < sizeof(out); i++)
		assert_int_equal(out[i], '#');
	memcpy(text, out, len);
	text[len] = '\0';
}

static uint64_t
bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static double
value_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Bit patterns of finite doubles, the same in every run. */
static double
next_pattern(uint64_t *seed)
{
	double value;

	do {
		*seed ^= *seed << 13;
		*seed ^= *seed >> 7;
		*seed ^= *seed << 17;
		value = value_of(*seed);
	} while (!isfinite(value));
	return value;
}

/* Significant digits of a text, leading and trailing zeros aside. */
static int
count_digits(const char *text)
{
	int n = 0, zeros = 0;

	for (; *text != '\0' && *text != 'e'; text++) {
		if (*text < '0' || *text > '9')
			continue;
		if (*text != '0') {
			n += zeros + 1;
			zeros = 0;
		} else if (n > 0)
			zeros++;
	}
	return n;
}

/*
 * Do so many digits read back as the value: the correctly rounded ones, or
 * those one unit above or below?
 */
static bool
digits_suffice(double value, int ndigits)
{
	char text[64];
	long long digits;
	int exponent, step;

	if (ndigits == 0)
		return value == 0;
	snprintf(text, sizeof(text), "%.*e", ndigits - 1, fabs(value));
	exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10) - (ndigits - 1);
	if (ndigits > 1)
		memmove(text + 1, text + 2, strlen(text + 2) + 1);
	digits = strtoll(text, NULL, 10);
	for (step = -1; step <= 1; step++) {
		snprintf(
		    text, sizeof(text), "%llde%d", digits + step, exponent);
		if (strtod(text, NULL) == fabs(value))
			return true;
	}
	return false;
}

static void
check_promise(double value)
{
	char text[NUMBER_TEXT_MAX + 1];

	print(value, text);
	assert_int_equal(bits_of(strtod(text, NULL)), bits_of(value));
	if (value != 0)
		assert_false(digits_suffice(value, count_digits(text) - 1));
}

static void
hard_values_print_as_the_table_says(void **state)
{
	char text[NUMBER_TEXT_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < NHARD; i++) {
		print(hard[i].value, text);
		assert_string_equal(text, hard[i].text);
	}
}

static void
the_table_reads_back_bit_by_bit(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NHARD; i++)
		assert_int_equal(bits_of(strtod(hard[i].text, NULL)),
		    bits_of(hard[i].value));
}

static void
powers_of_two_and_their_neighbours_are_shortest(void **state)
{
	int e;

	(void)state;
	for (e = DBL_MIN_EXP - DBL_MANT_DIG; e < DBL_MAX_EXP; e++) {
		check_promise(ldexp(1, e));
		check_promise(nextafter(ldexp(1, e), 0));
		check_promise(nextafter(ldexp(1, e), DBL_MAX));
	}
}

static void
any_bit_pattern_is_shortest_and_reads_back(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15ULL;
	int i;

	(void)state;
	for (i = 0; i < PATTERNS; i++)
		check_promise(next_pattern(&seed));
}

static void
short_decimals_print_as_they_were_written(void **state)
{
	char written[32], text[NUMBER_TEXT_MAX + 1];
	int i;

	(void)state;
	for (i = 1; i < 10000; i++) {
		snprintf(written, sizeof(written), "%d.%04d5", i % 7, i);
		print(strtod(written, NULL), text);
		assert_string_equal(text, written);
	}
}

static void
a_number_has_a_fraction_or_an_exponent_and_no_padding(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1dULL;
	char text[NUMBER_TEXT_MAX + 1], *e;
	double value;
	int i, exponent;

	(void)state;
	for (i = 0; i < PATTERNS; i++) {
		value = next_pattern(&seed);
		if (i % 2 == 0) /* most patterns need an exponent */
			value = ldexp(frexp(value, &exponent), i % 60);
		print(value, text);
		assert_null(strchr(text, '+'));
		if ((e = strchr(text, 'e')) == NULL) {
			assert_true(fabs(value) >= 1e-5 && fabs(value) < 1e16);
			assert_non_null(strchr(text, '.'));
			assert_int_not_equal(text[strlen(text) - 1], '.');
			continue;
		}
		assert_true(fabs(value) < 1e-5 || fabs(value) >= 1e16);
		assert_int_not_equal(e[e[1] == '-' ? 2 : 1], '0');
		*e = '\0';
		if (strchr(text, '.') != NULL)
			assert_int_not_equal(text[strlen(text) - 1], '0');
	}
}

static void
integers_are_printed_in_decimal(void **state)
{
	static const struct {
		int64_t value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 7, "7" },
		{ -7, "-7" },
		{ 1700000000000, "1700000000000" },
		{ INT64_MAX, "9223372036854775807" },
		{ INT64_MIN, "-9223372036854775808" },
	};
	char out[NUMBER_TEXT_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		*number_put_int64(out, cases[i].value) = '\0';
		assert_string_equal(out, cases[i].text);
	}
}

static void
integers_of_every_length_are_printed_and_read_back(void **state)
{
	char *out, expected[NUMBER_TEXT_MAX];
	int64_t power = 1, value, back;
	int digits, delta, sign;
	size_t n;

	(void)state;
	for (digits = 1; digits <= 19; digits++) {
		for (delta = -2; delta <= 2; delta++) {
			for (sign = -1; sign <= 1; sign += 2) {
				value = sign * (power + delta);
				/* of exactly its size */
				out = malloc(NUMBER_TEXT_MAX);
				assert_non_null(out);
				n = (size_t)(number_put_int64(out, value) -
					     out);
				assert_int_equal(
				    n, snprintf(expected, sizeof(expected),
					   "%" PRId64, value));
				assert_memory_equal(out, expected, n);
				assert_true(number_get_int64(out, n, &back));
				assert_true(back == value);
				free(out);
			}
		}
		if (digits < 19)
			power *= 10;
	}
}

static void
each_digit_is_printed_at_each_place(void **state)
{
	char out[NUMBER_TEXT_MAX], expected[NUMBER_TEXT_MAX];
	int64_t power = 1;
	int place, digit, n;

	(void)state;
	for (place = 0; place < 18; place++, power *= 10) {
		for (digit = 1; digit <= 9; digit++) {
			n = snprintf(expected, sizeof(expected), "%" PRId64,
			    digit * power + 7);
			assert_int_equal(
			    number_put_int64(out, digit * power + 7) - out, n);
			assert_memory_equal(out, expected, (size_t)n);
		}
	}
}

/* ---- reading ---- */

static void
an_integer_is_what_fits_an_int64(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
		{ "0", 0 },
		{ "5", 5 },
		{ "-1", -1 },
		{ "10", 10 },
		{ "1700000000000", 1700000000000 },
		{ "9007199254740993", 9007199254740993 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775807", -INT64_MAX },
		{ "-9223372036854775808", INT64_MIN },
	};
	static const char *const bad[] = { "", "-", "-0", "1.0", "1.5", "1e3",
		"1E0", "0.0", "0e0", "00", "01", "-01", "+1", " 1", "1 ", "x",
		"9223372036854775808", "-9223372036854775809",
		"9999999999999999999", "18446744073709551615",
		"18446744073709551616", "18446744073709551621",
		"123456789012345678901234567890", "-99999999999999999999",
		"10000000000000000000" };
	struct piece s;
	int64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good); i++) {
		s = (struct piece){ good[i].text, strlen(good[i].text) };
		assert_true(number_get_int64(s.p, s.len, &value));
		assert_true(value == good[i].value);
	}
	for (i = 0; i < COUNT(bad); i++) {
		s = (struct piece){ bad[i], strlen(bad[i]) };
		assert_false(number_get_int64(s.p, s.len, &value));
	}
}

static void
a_number_ends_where_its_length_says(void **state)
{
	const struct piece s = { "-125.5e1", 3 };
	int64_t integer;
	double value;

	(void)state;
	assert_true(number_get_int64(s.p, s.len, &integer));
	assert_int_equal(integer, -12);
	assert_true(number_get_double(s.p, s.len, &value));
	assert_true(value == -12.0);
}

static void
a_double_is_rounded_correctly(void **state)
{
	static const struct {
		const char *text;
		double value;
	} cases[] = {
		{ "0", 0 },
		{ "0.8", 0x1.999999999999ap-1 },
		{ "-2.5E+1", -25 },
		{ "0.1e1", 1 },
		{ "10000000000000000000000e-22", 1 },
		{ "0.000000000000000000000000000001e30", 1 },
		{ "9007199254740993", 0x1p53 },
		{ "9007199254740993.000000000000000000000000000000000001",
		    0x1.0000000000001p53 },
		{ "9007199254740995", 0x1.0000000000002p53 },
		{ "1.7976931348623157e308", DBL_MAX },
		{ "1.797693134862315807e308", DBL_MAX },
		{ "4.9e-324", 0x1p-1074 },
		{ "2.5e-324", 0x1p-1074 },
		{ "2.4e-324", 0 },
		{ "2.2250738585072011e-308", 0x0.fffffffffffffp-1022 },
		{ "1e-400", 0 },
		{ "1e-99999999999999999999999999", 0 },
		{ "0e99999999999999999999999999", 0 },
		{ "0.0e400", 0 },
	};
	struct piece s;
	double value;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		s = (struct piece){ cases[i].text, strlen(cases[i].text) };
		assert_true(number_get_double(s.p, s.len, &value));
		assert_true(value == cases[i].value);
	}
}

static void
a_double_is_finite_and_a_number(void **state)
{
	static const char *const bad[] = { "1e309", "-1e309", "1e999",
		"1.7976931348623159e308", "1e99999999999999999999999999", "",
		"-", "inf", "nan", "0x1p3", "1e", "1.", ".5", "+1", "01", " 1",
		"1 " };
	const struct piece absent = { NULL, 0 };
	struct piece s;
	double value;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		s = (struct piece){ bad[i], strlen(bad[i]) };
		assert_false(number_get_double(s.p, s.len, &value));
	}
	assert_false(number_get_double(absent.p, absent.len, &value));
	assert_false(number_get_int64(absent.p, absent.len, &(int64_t){ 0 }));
}

static void
the_sign_of_zero_is_kept(void **state)
{
	static const char *const negative[] = { "-0", "-0.0", "-0e5",
		"-1e-400" };
	struct piece s;
	double value;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(negative); i++) {
		s = (struct piece){ negative[i], strlen(negative[i]) };
		assert_true(number_get_double(s.p, s.len, &value));
		assert_true(value == 0 && signbit(value));
	}
	s = (struct piece){ "0", 1 };
	assert_true(number_get_double(s.p, s.len, &value));
	assert_false(signbit(value));
}

/*
 * 2^53 + 1 lies halfway between two doubles, and is rounded down to the even
 * one unless anything at all stands behind it.
 */
static void
all_digits_of_a_long_number_count(void **state)
{
	static const char halfway[] = "9007199254740993.";
	size_t len = 100000;
	char *text;
	struct piece s;
	double value;

	(void)state;
	text = malloc(len);
	assert_non_null(text);
	memset(text, '0', len);
	memcpy(text, halfway, sizeof(halfway) - 1);
	s = (struct piece){ text, len };
	assert_true(number_get_double(s.p, s.len, &value));
	assert_true(value == 0x1p53);
	text[len - 1] = '1';
	assert_true(number_get_double(s.p, s.len, &value));
	assert_true(value == 0x1.0000000000001p53);
	free(text);
}

static void
long_numbers_keep_their_magnitude(void **state)
{
	size_t len = 100000;
	char *text;
	struct piece s;
	double value;

	(void)state;
	text = malloc(len + 8);
	assert_non_null(text);
	s = (struct piece){ text, len + 7 };
	/* 1000..000e-99999, and 0.000..001e99999 */
	memset(text, '0', len);
	text[0] = '1';
	memcpy(text + len, "e-99999", 7);
	assert_true(number_get_double(s.p, s.len, &value));
	assert_true(value == 1);
	memset(text, '0', len);
	text[1] = '.';
	text[len - 1] = '1';
	memcpy(text + len, "e+99998", 7);
	assert_true(number_get_double(s.p, s.len, &value));
	assert_true(value == 1);
	/* the digits alone are beyond the range */
	memset(text, '7', len);
	s.len = len;
	assert_false(number_get_double(s.p, s.len, &value));
	text[1] = '.';
	assert_true(number_get_double(s.p, s.len, &value));
	assert_true(value == 7.7777777777777777);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hard_values_print_as_the_table_says),
		cmocka_unit_test(the_table_reads_back_bit_by_bit),
		cmocka_unit_test(
		    powers_of_two_and_their_neighbours_are_shortest),
		cmocka_unit_test(any_bit_pattern_is_shortest_and_reads_back),
		cmocka_unit_test(short_decimals_print_as_they_were_written),
		cmocka_unit_test(integers_are_printed_in_decimal),
		cmocka_unit_test(
		    integers_of_every_length_are_printed_and_read_back),
		cmocka_unit_test(each_digit_is_printed_at_each_place),
		cmocka_unit_test(
		    a_number_has_a_fraction_or_an_exponent_and_no_padding),
		cmocka_unit_test(an_integer_is_what_fits_an_int64),
		cmocka_unit_test(a_number_ends_where_its_length_says),
		cmocka_unit_test(a_double_is_rounded_correctly),
		cmocka_unit_test(a_double_is_finite_and_a_number),
		cmocka_unit_test(the_sign_of_zero_is_kept),
		cmocka_unit_test(all_digits_of_a_long_number_count),
		cmocka_unit_test(long_numbers_keep_their_magnitude),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
