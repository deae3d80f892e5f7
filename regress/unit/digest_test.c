/*
 * digest.c: SHA-256, hex and random ids.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"

static void
digests_are_those_of_the_standard(void **state)
{
	static const struct {
		const char *text;
		const char *hex;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb924"
		      "27ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223"
			 "b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		    "248d6a61d20638b8e5c026930c3e6039"
		    "a33ce45964ff2167f6ecedd419db06c1" },
	};
	uint8_t digest[DIGEST_SIZE];
	char hex[DIGEST_HEX_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		digest_sha256(digest, rows[i].text, strlen(rows[i].text));
		assert_string_equal(digest_hex(hex, digest), rows[i].hex);
	}
}

static void
a_digest_covers_every_byte(void **state)
{
	uint8_t a[DIGEST_SIZE], b[DIGEST_SIZE];

	(void)state;
	digest_sha256(a, "a\0b", 3);
	digest_sha256(b, "a\0c", 3);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void
two_are_the_same_if_every_bit_is(void **state)
{
	uint8_t a[DIGEST_SIZE], b[DIGEST_SIZE];
	size_t i;

	(void)state;
	arc4random_buf(a, sizeof(a));
	memcpy(b, a, sizeof(b));
	assert_true(digest_same(a, b, sizeof(a)));
	assert_true(digest_same("a", "b", 0));
	for (i = 0; i < 8 * sizeof(a); i++) {
		b[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(digest_same(a, b, sizeof(a)));
		assert_true(digest_same(a, b, i / 8));
		b[i / 8] = a[i / 8];
	}
}

static void
a_uuid_is_of_version_4(void **state)
{
	char uuid[UUID_TEXT_SIZE];
	uint8_t id[UUID_SIZE];
	int i;

	(void)state;
	for (i = 0; i < 256; i++) {
		uuid_random(id);
		assert_ptr_equal(uuid_print(uuid, id), uuid);
		assert_int_equal(strlen(uuid), 36);
		assert_int_equal(strspn(uuid, "0123456789abcdef-"), 36);
		assert_int_equal(uuid[8], '-');
		assert_int_equal(uuid[13], '-');
		assert_int_equal(uuid[18], '-');
		assert_int_equal(uuid[23], '-');
		assert_int_equal(uuid[14], '4');
		assert_non_null(memchr("89ab", uuid[19], 4));
	}
}

static void
no_two_uuids_are_the_same(void **state)
{
	static uint8_t uuid[256][UUID_SIZE];
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT_OF(uuid); i++) {
		uuid_random(uuid[i]);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(uuid[i], uuid[j], UUID_SIZE);
	}
}

/* Every digit that may be random takes every value before long. */
static void
every_digit_of_a_uuid_is_random(void **state)
{
	bool seen[36][256] = { { false } };
	char uuid[UUID_TEXT_SIZE];
	uint8_t id[UUID_SIZE];
	size_t i, at, n;

	(void)state;
	for (i = 0; i < 2000; i++) {
		uuid_random(id);
		uuid_print(uuid, id);
		for (at = 0; at < 36; at++)
			seen[at][(unsigned char)uuid[at]] = true;
	}
	for (at = 0; at < 36; at++) {
		for (i = n = 0; i < 256; i++)
			n += seen[at][i];
		if (uuid[at] == '-' || at == 14)
			assert_int_equal(n, 1);
		else
			assert_int_equal(n, at == 19 ? 4 : 16);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_those_of_the_standard),
		cmocka_unit_test(a_digest_covers_every_byte),
		cmocka_unit_test(two_are_the_same_if_every_bit_is),
		cmocka_unit_test(a_uuid_is_of_version_4),
		cmocka_unit_test(no_two_uuids_are_the_same),
		cmocka_unit_test(every_digit_of_a_uuid_is_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
