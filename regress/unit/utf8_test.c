/*
 * utf8.c against a second opinion: a decoder written the slow way, from
 * RFC 3629's definition rather than from its table of byte ranges.
 */
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "utf8.h"

#define CODEPOINTS 0x110000

static bool
is_surrogate(uint32_t cp)
{
	return cp >= 0xd800 && cp <= 0xdfff;
}

/* Plain encoding, also of what must not be encoded. */
static size_t
encode(uint32_t cp, size_t size, uint8_t out[4])
{
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t i;

	for (i = size - 1; i > 0; i--, cp >>= 6)
		out[i] = (uint8_t)(0x80 | (cp & 0x3f));
	out[0] = (uint8_t)(lead[size] | cp);
	return size;
}

static size_t
size_of(uint32_t cp)
{
	return cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
}

/* Valid to the end, with nothing missing. */
static bool
whole(const void *p, size_t len)
{
	utf8_state s = 0;

	return utf8_check(&s, p, len) && s == 0;
}

/* How many bytes are taken, one by one, before one is refused. */
static size_t
accepted(const uint8_t *p, size_t len)
{
	utf8_state s = 0;
	size_t i;

	for (i = 0; i < len; i++)
		if (!utf8_check(&s, p + i, 1))
			break;
	return i;
}

static void
every_character_is_valid_but_surrogates(void **state)
{
	uint8_t b[4];
	uint32_t cp;
	size_t n;

	(void)state;
	for (cp = 0; cp < CODEPOINTS; cp++) {
		n = encode(cp, size_of(cp), b);
		assert_int_equal(whole(b, n), !is_surrogate(cp));
	}
}

static void
overlong_forms_are_refused_at_their_first_or_second_byte(void **state)
{
	uint8_t b[4];
	uint32_t cp;
	size_t size;

	(void)state;
	for (cp = 0; cp < 0x10000; cp++)
		for (size = size_of(cp) + 1; size <= 4; size++) {
			encode(cp, size, b);
			assert_true(accepted(b, size) <= 1);
		}
}

static void
nothing_beyond_the_last_character_is_valid(void **state)
{
	uint8_t b[4];
	uint32_t cp;

	(void)state;
	for (cp = CODEPOINTS; cp < 0x200000; cp += 61) {
		encode(cp, 4, b);
		assert_true(accepted(b, 4) <= 1);
	}
	for (cp = 0xf5; cp <= 0xff; cp++) {
		b[0] = (uint8_t)cp;
		assert_int_equal(accepted(b, 1), 0);
	}
}

/* Mark each beginning, of any length, of each valid character. */
static uint8_t *
make_prefixes(void)
{
	uint8_t *map, b[4];
	uint32_t cp;

	assert_non_null(map = calloc(1, 1 << 16));
	for (cp = 0; cp < CODEPOINTS; cp++) {
		if (is_surrogate(cp))
			continue;
		if (encode(cp, size_of(cp), b) >= 2)
			map[b[0] << 8 | b[1]] = 1;
	}
	return map;
}

static void
a_character_is_refused_at_the_first_byte_that_cannot_be(void **state)
{
	uint8_t *map = make_prefixes(), b[3];
	unsigned i, j, k;
	bool lead;

	(void)state;
	for (i = 0x80; i <= 0xff; i++) {
		for (lead = false, j = 0; j <= 0xff; j++)
			lead = lead || map[i << 8 | j] != 0;
		for (j = 0; j <= 0xff; j++) {
			b[0] = (uint8_t)i;
			b[1] = (uint8_t)j;
			assert_int_equal(accepted(b, 2), !lead ? 0
							 : map[i << 8 | j] == 0
							     ? 1
							     : 2);
			if (map[i << 8 | j] == 0 || i < 0xe0)
				continue;
			for (k = 0; k <= 0xff; k++) {
				b[2] = (uint8_t)k;
				assert_int_equal(
				    accepted(b, 3), (k & 0xc0) == 0x80 ? 3 : 2);
			}
		}
	}
	free(map);
}

static void
truncated_characters_leave_the_text_incomplete(void **state)
{
	static const char *const chars[] = { "\xc3\xa9", "\xe2\x82\xac",
		"\xf0\x9f\x98\x80" };
	utf8_state s;
	size_t i, n;

	(void)state;
	for (i = 0; i < 3; i++)
		for (n = 1; n < strlen(chars[i]); n++) {
			s = 0;
			assert_true(
			    utf8_check(&s, (const uint8_t *)chars[i], n));
			assert_int_not_equal(s, 0);
		}
}

static void
text_split_anywhere_is_as_good_as_whole(void **state)
{
	static const char text[] = "caf\xc3\xa9 \xe2\x82\xac 12.50, \xed\x9f"
				   "\xbf\xee\x80\x80\xf0\x90\x80\x80 and "
				   "\xf4\x8f\xbf\xbf, plain to the end";
	const uint8_t *p = (const uint8_t *)text;
	size_t len = sizeof(text) - 1, i, j;
	utf8_state s;

	(void)state;
	for (i = 0; i <= len; i++)
		for (j = i; j <= len; j++) {
			s = 0;
			assert_true(utf8_check(&s, p, i));
			assert_true(utf8_check(&s, p + i, j - i));
			assert_true(utf8_check(&s, p + j, len - j));
			assert_int_equal(s, 0);
		}
}

static void
one_bad_byte_is_found_wherever_it_is_among_ascii(void **state)
{
	uint8_t *b;
	size_t len, i;

	(void)state;
	for (len = 1; len <= 100; len++) {
		assert_non_null(b = malloc(len));
		memset(b, 'a', len);
		assert_true(whole(b, len));
		for (i = 0; i < len; i++) {
			b[i] = 0x80;
			assert_false(whole(b, len));
			b[i] = 0xc3;
			assert_false(whole(b, len));
			b[i] = 0x7f;
			assert_true(whole(b, len));
		}
		free(b);
	}
}

static void
bad_text_stays_bad(void **state)
{
	utf8_state s = 0;

	(void)state;
	assert_false(utf8_check(&s, (const uint8_t *)"\xff", 1));
	assert_false(utf8_check(&s, (const uint8_t *)"a", 1));
	assert_false(utf8_check(&s, (const uint8_t *)"\xbf", 1));
	assert_false(utf8_check(&s, (const uint8_t *)"", 1));
	assert_false(utf8_check(&s, NULL, 0));
}

static void
no_bytes_are_valid_and_change_nothing(void **state)
{
	utf8_state s = 0;

	(void)state;
	assert_true(utf8_check(&s, NULL, 0));
	assert_int_equal(s, 0);
	assert_true(utf8_check(&s, (const uint8_t *)"\xe2\x82", 2));
	assert_true(utf8_check(&s, NULL, 0));
	assert_true(utf8_check(&s, (const uint8_t *)"\xac", 1));
	assert_int_equal(s, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_is_valid_but_surrogates),
		cmocka_unit_test(
		    overlong_forms_are_refused_at_their_first_or_second_byte),
		cmocka_unit_test(nothing_beyond_the_last_character_is_valid),
		cmocka_unit_test(
		    a_character_is_refused_at_the_first_byte_that_cannot_be),
		cmocka_unit_test(
		    truncated_characters_leave_the_text_incomplete),
		cmocka_unit_test(text_split_anywhere_is_as_good_as_whole),
		cmocka_unit_test(
		    one_bad_byte_is_found_wherever_it_is_among_ascii),
		cmocka_unit_test(bad_text_stays_bad),
		cmocka_unit_test(no_bytes_are_valid_and_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
