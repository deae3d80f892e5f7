/*
 * text.c: base64, in both directions.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

#define BYTES_MAX 64

/* RFC 4648, section 10, and digits that are rare. */
static void
base64_is_that_of_the_standard(void **state)
{
	static const struct {
		const char *bytes;
		const char *text;
	} rows[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfb\xef\xbe\xf8", "//777774" },
		{ "\xfb\xf0", "+/A=" },
	};
	char out[TEXT_BASE64_SIZE(6)];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		text_base64_print(
		    out, (const uint8_t *)rows[i].bytes, strlen(rows[i].bytes));
		assert_string_equal(out, rows[i].text);
	}
}

static void
what_is_printed_reads_back_the_same(void **state)
{
	uint8_t bytes[BYTES_MAX], back[BYTES_MAX];
	char out[TEXT_BASE64_SIZE(BYTES_MAX)];
	struct text text = { .p = out };
	size_t n;

	(void)state;
	for (n = 0; n <= BYTES_MAX; n++) {
		arc4random_buf(bytes, sizeof(bytes));
		memset(out, '!', sizeof(out));
		text_base64_print(out, bytes, n);
		text.len = strlen(out);
		assert_int_equal(text.len + 1, TEXT_BASE64_SIZE(n));
		assert_int_equal(text_base64(&text, back, sizeof(back)), n);
		assert_memory_equal(back, bytes, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_is_that_of_the_standard),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
