/*
 * Numbers: the text of one against jansson and the C library, and the eight
 * first bytes as a number that is written and read again.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "number.h"
#include "oracle.h"

/* What begins and ends like one is a number for both, or for none. */
static void
check_end(const char *p, size_t len)
{
	const char *end = number_end(p, p + len);
	enum oracle_verdict verdict;
	struct json_t *o;

	if (end != p + len && len > 0 &&
	    memchr("-0123456789", *p, 11) != NULL &&
	    memchr("0123456789", p[len - 1], 10) != NULL) {
		verdict = oracle_read(p, len, true, &o);
		FUZZ_ASSERT(verdict != ORACLE_GOOD);
		oracle_free(o);
	}
	if (end == NULL)
		return;
	FUZZ_ASSERT(end > p && end <= p + len);
	verdict = oracle_read(p, (size_t)(end - p), true, &o);
	FUZZ_ASSERT(verdict == ORACLE_GOOD || verdict == ORACLE_BIG_NUMBER);
	if (verdict == ORACLE_GOOD)
		FUZZ_ASSERT(oracle_type(o) == ORACLE_NUMBER);
	oracle_free(o);
}

/* text is the same, with a NUL behind it. */
static void
check_read(const char *p, size_t len, const char *text)
{
	bool number = len > 0 && number_end(p, p + len) == p + len;
	double real, expected;
	int64_t integer;
	char *end;

	expected = strtod(text, &end);
	if (number_get_double(p, len, &real)) {
		FUZZ_ASSERT(number && end == text + len);
		FUZZ_ASSERT(fuzz_same_double(real, expected));
	} else
		FUZZ_ASSERT(!number || isinf(expected));
	errno = 0;
	if (number_get_int64(p, len, &integer)) {
		FUZZ_ASSERT(number && strtoll(text, &end, 10) == integer);
		FUZZ_ASSERT(errno == 0 && end == text + len);
	} else if (number && strcmp(text, "-0") != 0) {
		(void)strtoll(text, &end, 10);
		FUZZ_ASSERT(errno == ERANGE || end != text + len);
	}
}

static void
check_integer(int64_t value)
{
	char out[NUMBER_TEXT_MAX], expected[NUMBER_TEXT_MAX];
	size_t n = (size_t)(number_put_int64(out, value) - out);
	int64_t back;

	FUZZ_ASSERT(n == (size_t)snprintf(
			     expected, sizeof(expected), "%" PRId64, value));
	FUZZ_ASSERT(memcmp(out, expected, n) == 0);
	FUZZ_ASSERT(number_get_int64(out, n, &back) && back == value);
}

static void
check_double(double value)
{
	char out[NUMBER_TEXT_MAX + 1], *end;
	double back;

	if (!isfinite(value))
		return;
	end = number_put_double(out, value);
	FUZZ_ASSERT(end < out + sizeof(out));
	FUZZ_ASSERT(number_end(out, end) == end);
	FUZZ_ASSERT(number_get_double(out, (size_t)(end - out), &back));
	FUZZ_ASSERT(fuzz_same_double(back, value));
	*end = '\0';
	FUZZ_ASSERT(strpbrk(out, ".e") != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len }, g = f;
	char *text = fuzz_text(&f), *exact;
	int64_t integer;
	double real;

	FUZZ_ASSERT((exact = malloc(len)) != NULL);
	if (len > 0)
		memcpy(exact, data, len);
	check_end(exact, len);
	check_read(exact, len, text);
	free(exact);
	free(text);
	fuzz_read(&g, &integer, sizeof(integer));
	memcpy(&real, &integer, sizeof(real));
	check_double(real);
	check_integer(integer);
	/* Numbers of every length, not only long ones. */
	check_integer(integer >> (len % 64));
	check_double((double)(integer % 1000000) / 1000);
	return 0;
}
