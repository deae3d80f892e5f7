/*
 * The rule table: every row accepts what it says and nothing else.
 */
#include "unit.h"

#include <string.h>

#include "msg.h"

static const enum role roles[] = { ROLE_PARENT, ROLE_WORKER, ROLE_AUTH,
	ROLE_METRICS, ROLE_CTL, ROLE_AUDIT, ROLE_SIGN };

/* Calls fn for every row, with one sender and one receiver it allows. */
static void
each_rule(
    void (*fn)(unsigned, const struct msg_rule *, enum role from, enum role to))
{
	unsigned type, rows = 0;
	size_t i, j;

	for (type = MSG_NONE + 1; type < MSG__MAX; type++) {
		const struct msg_rule *r = msg_rule(type);

		assert_non_null(r);
		rows++;
		for (i = 0; i < COUNT_OF(roles); i++) {
			for (j = 0; j < COUNT_OF(roles); j++) {
				if ((r->from & roles[i]) != 0 &&
				    (r->to & roles[j]) != 0)
					fn(type, r, roles[i], roles[j]);
			}
		}
	}
	assert_int_equal(rows, MSG__MAX - 1);
}

static void
check_accepts(
    unsigned type, const struct msg_rule *r, enum role from, enum role to)
{
	assert_null(msg_check(type, from, to, r->min_len, r->min_fds));
	assert_null(msg_check(type, from, to, r->max_len, r->max_fds));
}

static void
every_row_accepts_what_it_allows(void **state)
{
	(void)state;
	each_rule(check_accepts);
}

static void
check_sizes(
    unsigned type, const struct msg_rule *r, enum role from, enum role to)
{
	if (r->min_len > 0)
		assert_string_equal("payload too short",
		    msg_check(type, from, to, r->min_len - 1, r->min_fds));
	assert_string_equal("payload too long",
	    msg_check(type, from, to, (size_t)r->max_len + 1, r->min_fds));
	assert_true(r->min_len <= r->max_len);
	assert_true(r->max_len <= MSG_MAX_PAYLOAD);
}

static void
every_row_refuses_a_payload_of_another_size(void **state)
{
	(void)state;
	each_rule(check_sizes);
}

static void
check_fds(unsigned type, const struct msg_rule *r, enum role from, enum role to)
{
	if (r->min_fds > 0)
		assert_string_equal("descriptor missing",
		    msg_check(type, from, to, r->min_len, r->min_fds - 1));
	assert_string_equal("unexpected descriptor",
	    msg_check(type, from, to, r->min_len, r->max_fds + 1));
	assert_true(r->max_fds <= MSG_MAX_FDS);
}

static void
every_row_refuses_another_number_of_descriptors(void **state)
{
	(void)state;
	each_rule(check_fds);
}

static void
every_row_refuses_other_senders_and_receivers(void **state)
{
	unsigned type;
	size_t i, j;

	(void)state;
	for (type = MSG_NONE + 1; type < MSG__MAX; type++) {
		const struct msg_rule *r = msg_rule(type);

		for (i = 0; i < COUNT_OF(roles); i++) {
			for (j = 0; j < COUNT_OF(roles); j++) {
				const char *why = msg_check(type, roles[i],
				    roles[j], r->min_len, r->min_fds);

				if ((r->from & roles[i]) == 0)
					assert_string_equal(why,
					    "not a message of this sender");
				else if ((r->to & roles[j]) == 0)
					assert_string_equal(why,
					    "not a message for this receiver");
				else
					assert_null(why);
			}
		}
	}
}

static void
no_child_may_send_another_child_what_the_supervisor_sends(void **state)
{
	unsigned type;

	(void)state;
	for (type = MSG_NONE + 1; type < MSG__MAX; type++) {
		const struct msg_rule *r = msg_rule(type);

		if ((r->from & ROLE_PARENT) != 0)
			assert_int_equal(r->from & ROLE_CHILD, 0);
	}
}

static void
an_unknown_type_is_refused(void **state)
{
	static const unsigned types[] = { MSG_NONE, MSG__MAX, MSG__MAX + 1,
		0xffff, 0xffffffff };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(types); i++) {
		assert_null(msg_rule(types[i]));
		assert_string_equal(msg_name(types[i]), "unknown");
		assert_string_equal("unknown message type",
		    msg_check(types[i], ROLE_PARENT, ROLE_WORKER, 0, 0));
	}
}

static void
names_are_unique(void **state)
{
	unsigned a, b;

	(void)state;
	for (a = MSG_NONE + 1; a < MSG__MAX; a++) {
		for (b = a + 1; b < MSG__MAX; b++)
			assert_string_not_equal(msg_name(a), msg_name(b));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_accepts_what_it_allows),
		cmocka_unit_test(every_row_refuses_a_payload_of_another_size),
		cmocka_unit_test(
		    every_row_refuses_another_number_of_descriptors),
		cmocka_unit_test(every_row_refuses_other_senders_and_receivers),
		cmocka_unit_test(
		    no_child_may_send_another_child_what_the_supervisor_sends),
		cmocka_unit_test(an_unknown_type_is_refused),
		cmocka_unit_test(names_are_unique),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
