/*
 * siphash.c: the hash is that of others, and reads what it was given.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "siphash.h"

/* 00 01 02 .. 0f */
static const uint64_t key[2] = { UINT64_C(0x0706050403020100),
	UINT64_C(0x0f0e0d0c0b0a0908) };

/*
 * Computed by another implementation, in Python, that agrees with the hash of
 * bytes in CPython, which is SipHash-1-3.
 */
static void
hashes_are_those_of_another_implementation(void **state)
{
	/* Of the bytes 00 01 02 .., as many as there are rows before. */
	static const uint64_t hashes[] = {
		UINT64_C(0xabac0158050fc4dc),
		UINT64_C(0xc9f49bf37d57ca93),
		UINT64_C(0x82cb9b024dc7d44d),
		UINT64_C(0x8bf80ab8e7ddf7fb),
		UINT64_C(0xcf75576088d38328),
		UINT64_C(0xdef9d52f49533b67),
		UINT64_C(0xc50d2b50c59f22a7),
		UINT64_C(0xd3927d989bb11140),
		UINT64_C(0x369095118d299a8e),
		UINT64_C(0x25a48eb36c063de4),
		UINT64_C(0x79de85ee92ff097f),
		UINT64_C(0x70c118c1f94dc352),
		UINT64_C(0x78a384b157b4d9a2),
		UINT64_C(0x306f760c1229ffa7),
		UINT64_C(0x605aa111c0f95d34),
		UINT64_C(0xd320d86d2a519956),
		UINT64_C(0xcc4fdd1a7d908b66),
		UINT64_C(0x9cf2689063dbd80c),
		UINT64_C(0x8ffc389cb473e63e),
		UINT64_C(0xf21f9de58d297d1c),
		UINT64_C(0xc0dc2f46a6cce040),
		UINT64_C(0xb992abfe2b45f844),
		UINT64_C(0x7ffe7b9ba320872e),
		UINT64_C(0x525a0e7fdae6c123),
		UINT64_C(0xf464aeb267349c8c),
		UINT64_C(0x45cd5928705b0979),
	};
	uint8_t text[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)i;
	for (i = 0; i < COUNT_OF(hashes); i++)
		assert_true(siphash(key, text, i) == hashes[i]);
	assert_true(
	    siphash(key, text, sizeof(text)) == UINT64_C(0x4016a23bda5a2224));
}

static void
where_the_bytes_lie_makes_no_difference(void **state)
{
	uint8_t text[64];
	size_t i;

	(void)state;
	for (i = 0; i < 24; i++) {
		memset(text, 0xee, sizeof(text));
		memcpy(text + i, "an address and so", 17);
		assert_true(siphash(key, text + i, 17) ==
			    siphash(key, "an address and so", 17));
	}
}

static void
every_bit_of_text_and_key_counts(void **state)
{
	uint8_t text[17] = { 0 };
	uint64_t zero[2] = { 0, 0 }, hash = siphash(zero, text, sizeof(text));
	size_t i;

	(void)state;
	for (i = 0; i < 8 * sizeof(text); i++) {
		text[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_true(siphash(zero, text, sizeof(text)) != hash);
		text[i / 8] = 0;
	}
	for (i = 0; i < 128; i++) {
		zero[i / 64] = UINT64_C(1) << i % 64;
		assert_true(siphash(zero, text, sizeof(text)) != hash);
		zero[i / 64] = 0;
	}
}

/* The sanitizers see a read beyond the end. */
static void
nothing_beyond_the_end_is_read(void **state)
{
	uint8_t *text;
	size_t n;

	(void)state;
	for (n = 1; n < 33; n++) {
		assert_non_null(text = malloc(n));
		memset(text, 'x', n);
		assert_true(siphash(key, text, n) != siphash(key, text, n - 1));
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_of_another_implementation),
		cmocka_unit_test(where_the_bytes_lie_makes_no_difference),
		cmocka_unit_test(every_bit_of_text_and_key_counts),
		cmocka_unit_test(nothing_beyond_the_end_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
