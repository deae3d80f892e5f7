/*
 * Whose certificate is it?
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>

#include "certname.h"
#include "certs.h"

static void
check(const struct cert_wish *wish, const char *expected)
{
	struct cert c = cert_make(wish, NULL);
	char *name = certname(c.x);

	if (expected == NULL)
		assert_null(name);
	else if (name == NULL)
		fail_msg("no name, expected %s", expected);
	else
		assert_string_equal(name, expected);
	free(name);
	cert_free(&c);
}

static void
the_first_kind_of_name_counts_and_of_that_the_first(void **state)
{
	static const struct {
		const char *san;
		const char *name;
	} rows[] = {
		{ "IP:192.0.2.1,email:a@B.example,DNS:C,URI:spiffe://D/e",
		    "spiffe://D/e" },
		{ "IP:192.0.2.1,email:a@B.example,DNS:C,DNS:d", "c" },
		{ "IP:192.0.2.1,email:A@B.example", "A@b.example" },
		{ "IP:2001:db8::1,IP:192.0.2.1", "2001:db8::1" },
		{ NULL, "cn" },
	};
	struct cert_wish wish = { .cn = "cn" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		wish.san = rows[i].san;
		check(&wish, rows[i].name);
	}
}

static void
what_could_harm_a_log_is_no_name(void **state)
{
	static const char *const names[] = { "a\nb", "a\x7f", "a\x1b[2J",
		"a\xc2\x9b" };
	struct cert_wish wish = { .cn = NULL };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(names); i++) {
		wish.cn = names[i];
		check(&wish, NULL);
	}
}

/* The library may not say so; what it read of the first would be believed. */
static void
a_name_that_is_there_twice_is_none(void **state)
{
	struct cert_wish wish = {
		.cn = "cn", .san = "DNS:a", .san_too = "DNS:b"
	};

	(void)state;
	check(&wish, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_first_kind_of_name_counts_and_of_that_the_first),
		cmocka_unit_test(what_could_harm_a_log_is_no_name),
		cmocka_unit_test(a_name_that_is_there_twice_is_none),
	};

	return cmocka_run_group_tests_name("certname", tests, NULL, NULL);
}
