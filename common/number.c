/*
 * Numbers as text.  They are read with bounded stack and time, however long
 * they are.  Doubles are written as the shortest decimals that read back the
 * same, and of those the closest: numbers that people write down have few
 * digits and are found by a multiplication and a division; for the others
 * the C library prints and reads until it fits.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "word.h"

/*
 * No more than 767 digits decide how a decimal is rounded to a double.  Of
 * longer ones the first DIGITS_MAX are read, the last of them made odd (so
 * not zero) when there is more than zeros behind it.  That bounds stack and
 * time, whatever the length.
 */
#define DIGITS_MAX   800
#define EXPONENT_MAX 20000 /* beyond it all is zero or infinite */

/* ---- reading ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The end of the digits at p, NULL when there is none. */
static const char *
digits_end(const char *p, const char *end)
{
	if (p == end || !is_digit(*p))
		return NULL;
	while (p < end && is_digit(*p))
		p++;
	return p;
}

const char *
number_end(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else if ((p = digits_end(p, end)) == NULL)
		return NULL;
	if (p < end && *p == '.') {
		if ((p = digits_end(p + 1, end)) == NULL)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = digits_end(p, end);
	}
	return p;
}

/* p is behind the e.  What is too large stays beyond any text's length. */
static int64_t
exponent_parse(const char *p, const char *end)
{
	bool negative = *p == '-';
	int64_t exponent = 0;

	for (p += *p == '-' || *p == '+'; p < end; p++) {
		if (exponent < INT64_MAX / 100)
			exponent = exponent * 10 + (*p - '0');
	}
	return negative ? -exponent : exponent;
}

/* The text is a number without its sign. */
static double
decimal_value(const char *p, const char *end)
{
	char text[DIGITS_MAX + 16];
	size_t n = 0;
	int64_t exponent = 0;
	bool fraction = false;

	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		if (n == DIGITS_MAX) {
			if (*p != '0')
				text[n - 1] |= 1;
			exponent += !fraction;
			continue;
		}
		if (n > 0 || *p != '0')
			text[n++] = *p;
		exponent -= fraction;
	}
	if (n == 0)
		return 0;
	if (p < end)
		exponent += exponent_parse(p + 1, end);
	if (exponent > EXPONENT_MAX)
		exponent = EXPONENT_MAX;
	if (exponent < -EXPONENT_MAX)
		exponent = -EXPONENT_MAX;
	snprintf(text + n, sizeof(text) - n, "e%d", (int)exponent);
	return strtod(text, NULL);
}

bool
number_get_double(const char *p, size_t len, double *out)
{
	const char *end = p + len;
	bool negative;
	double value;

	if (len == 0 || number_end(p, end) != end)
		return false;
	negative = *p == '-';
	value = decimal_value(p + negative, end);
	if (!isfinite(value))
		return false;
	*out = negative ? -value : value;
	return true;
}

/*
 * The value of a word of digits, the first one lowest; pairs are put together
 * first, then those, and then those.  False when one of them is none.
 */
static bool
eight_digits_value(uint64_t w, uint64_t *out)
{
	if ((w & WORD_OF(0xf0)) != WORD_OF('0') ||
	    ((w + WORD_OF(6)) & WORD_OF(0xf0)) != WORD_OF('0'))
		return false;
	w -= WORD_OF('0');
	w = (w * 10 + (w >> 8)) & 0x00ff00ff00ff00ffULL;
	w = (w * 100 + (w >> 16)) & 0x0000ffff0000ffffULL;
	*out = (w * 10000 + (w >> 32)) & 0xffffffffULL;
	return true;
}

bool
number_get_int64(const char *p, size_t len, int64_t *out)
{
	const char *end = p + len;
	uint64_t value = 0, eight;
	unsigned digit;
	bool negative;

	if ((negative = p < end && *p == '-'))
		p++;
	/* An int64_t has at most 19 digits, and 19 fit a uint64_t. */
	if (p == end || end - p > 19 ||
	    (*p == '0' && (negative || end - p > 1)))
		return false;
	for (; end - p >= (ptrdiff_t)WORD; p += WORD) {
		if (!eight_digits_value(word_read(p), &eight))
			return false;
		value = value * 100000000 + eight;
	}
	for (; p < end; p++) {
		digit = (unsigned)*p - '0';
		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	if (value > (uint64_t)INT64_MAX + negative)
		return false;
	*out = negative ? -(int64_t)(value - 1) - 1 : (int64_t)value;
	return true;
}

/* ---- writing ---- */

/* digits * 10^exponent; no trailing zeros once it is shortest. */
struct decimal {
	uint64_t digits;
	int exponent;
};

/*
 * A decimal of at most 15 digits is the only one of that length that reads
 * as its double.  If it is integer / 10^n, both exact as doubles, one
 * correctly rounded division proves it; x87 would round twice.
 */
static bool
decimal_quick(double value, struct decimal *out)
{
	double power, scaled;
	int n;

	if (FLT_EVAL_METHOD != 0)
		return false;
	for (n = 0, power = 1; n <= DBL_DIG; n++) {
		scaled = value * power;
		if (scaled >= 1e15)
			return false;
		out->digits = (uint64_t)(scaled + 0.5);
		if ((double)out->digits / power == value) {
			out->exponent = -n;
			return true;
		}
		power *= 10;
	}
	return false;
}

static bool
decimal_reads_as(const struct decimal *decimal, double value)
{
	char text[48];

	snprintf(text, sizeof(text), "%" PRIu64 "e%d", decimal->digits,
	    decimal->exponent);
	return strtod(text, NULL) == value;
}

/* Correctly rounded to so many digits. */
static void
decimal_round(double value, int ndigits, struct decimal *out)
{
	char text[48], *p;

	snprintf(text, sizeof(text), "%.*e", ndigits - 1, value);
	out->digits = 0;
	for (p = text; *p != 'e'; p++) {
		if (is_digit(*p))
			out->digits = out->digits * 10 + (uint64_t)(*p - '0');
	}
	out->exponent = (int)strtol(p + 1, NULL, 10) - (ndigits - 1);
}

/*
 * Below a power of two doubles lie twice as dense as above it, so the
 * closest decimal may be too low where the next one up still reads back.
 */
static bool
decimal_next_up(double value, struct decimal *decimal)
{
	struct decimal up = *decimal;
	int exponent;

	if (frexp(value, &exponent) != 0.5)
		return false;
	up.digits++;
	if (!decimal_reads_as(&up, value))
		return false;
	*decimal = up;
	return true;
}

static void
decimal_search(double value, struct decimal *out)
{
	int ndigits;

	/* Subnormal doubles carry fewer digits than the others. */
	for (ndigits = value < DBL_MIN ? 1 : DBL_DIG; ndigits < DBL_DECIMAL_DIG;
	     ndigits++) {
		decimal_round(value, ndigits, out);
		if (decimal_reads_as(out, value) || decimal_next_up(value, out))
			return;
	}
	decimal_round(value, DBL_DECIMAL_DIG, out);
}

static void
decimal_strip(struct decimal *decimal)
{
	while (decimal->digits != 0 && decimal->digits % 10 == 0) {
		decimal->digits /= 10;
		decimal->exponent++;
	}
}

static char *
put(char *out, const char *p, size_t len)
{
	memcpy(out, p, len);
	return out + len;
}

static char *
put_zeros(char *out, int n)
{
	while (n-- > 0)
		*out++ = '0';
	return out;
}

/* point: how many of the digits stand before the decimal point. */
static char *
put_plain(char *out, const char *digits, int ndigits, int point)
{
	if (point <= 0) {
		out = put(out, "0.", 2);
		out = put_zeros(out, -point);
		return put(out, digits, (size_t)ndigits);
	}
	if (point >= ndigits) {
		out = put(out, digits, (size_t)ndigits);
		out = put_zeros(out, point - ndigits);
		return put(out, ".0", 2);
	}
	out = put(out, digits, (size_t)point);
	*out++ = '.';
	return put(out, digits + point, (size_t)(ndigits - point));
}

static char *
put_exponent(char *out, const char *digits, int ndigits, int exponent)
{
	*out++ = digits[0];
	if (ndigits > 1) {
		*out++ = '.';
		out = put(out, digits + 1, (size_t)(ndigits - 1));
	}
	/* At most 1 + 1 + 16 bytes so far, and a sign before. */
	return out + snprintf(out, 6, "e%d", exponent);
}

/*
 * The eight digits of a number below 10^8 as bytes of a word, the first one
 * lowest: it is cut into halves, those into pairs, and those into digits,
 * all of a size at once.  x / 100 is x * 10486 >> 20 up to 10^4, and x / 10
 * is x * 103 >> 10 up to 100.
 */
static uint64_t
eight_digits(uint64_t n)
{
	uint64_t w, high;

	w = n / 10000 | n % 10000 << 32;
	high = (w * 10486 >> 20) & 0x7f0000007fULL;
	w = high | (w - 100 * high) << 16;
	high = (w * 103 >> 10) & 0xf000f000f000fULL;
	return high | (w - 10 * high) << 8;
}

/* By whole words, so up to 24 bytes of out are written to. */
char *
number_put_uint64(char out[NUMBER_TEXT_MAX], uint64_t value)
{
	const uint64_t parts[] = { value / 10000000000000000,
		value / 100000000 % 100000000, value % 100000000 };
	const uint64_t ascii = WORD_OF('0');
	uint64_t w;
	size_t i = 0, zeros;

	while (i < 2 && parts[i] == 0)
		i++;
	w = eight_digits(parts[i]);
	zeros = w == 0 ? WORD - 1 : word_first(w);
	word_write(out, (w | ascii) >> 8 * zeros);
	out += WORD - zeros;
	for (i++; i < 3; i++, out += WORD)
		word_write(out, eight_digits(parts[i]) | ascii);
	return out;
}

char *
number_put_double(char out[NUMBER_TEXT_MAX], double value)
{
	struct decimal decimal;
	char digits[NUMBER_TEXT_MAX];
	int n, point;

	if (signbit(value)) {
		*out++ = '-';
		value = -value;
	}
	if (!decimal_quick(value, &decimal))
		decimal_search(value, &decimal);
	decimal_strip(&decimal);
	if (decimal.digits == 0)
		return put(out, "0.0", 3);
	n = (int)(number_put_uint64(digits, decimal.digits) - digits);
	point = n + decimal.exponent;
	if (point > -5 && point <= 16)
		return put_plain(out, digits, n, point);
	return put_exponent(out, digits, n, point - 1);
}

char *
number_put_int64(char out[NUMBER_TEXT_MAX], int64_t value)
{
	uint64_t rest = (uint64_t)value;

	if (value < 0) {
		*out++ = '-';
		rest = -rest;
	}
	return number_put_uint64(out, rest);
}
