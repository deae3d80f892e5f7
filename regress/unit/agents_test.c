/*
 * The registry of agents: one session per id, none of a worker that died,
 * never more than the bound.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents.h"
#include "msg.h"

#define MANY 3000

struct hall {
	struct agents *agents;
	struct agent_owner worker[2];
	struct agent_seat gone;
};

static int
setup(void **state)
{
	struct hall *h;

	if ((*state = h = calloc(1, sizeof(*h))) == NULL ||
	    (h->agents = agents_new()) == NULL)
		return -1;
	agent_owner_init(&h->worker[0]);
	agent_owner_init(&h->worker[1]);
	return agents_bound(h->agents, 10);
}

static int
teardown(void **state)
{
	struct hall *h = *state;

	agents_free(h->agents);
	free(h);
	return 0;
}

static struct agent_id
name_of(const char *text, bool proven)
{
	struct agent_id id = { text, strlen(text), proven };

	return id;
}

static enum agents_result
enter(struct hall *h, unsigned worker, uint64_t conn, const char *name)
{
	struct agent_id id = name_of(name, true);

	return agents_enter(h->agents, &h->worker[worker], conn, &id, &h->gone);
}

static enum agents_result
again(struct hall *h, unsigned worker, uint64_t conn, const char *name)
{
	struct agent_id id = name_of(name, true);

	return agents_enter_again(
	    h->agents, &h->worker[worker], conn, &id, &h->gone);
}

static void
assert_gone(const struct hall *h, unsigned worker, uint64_t conn)
{
	assert_ptr_equal(h->gone.owner, &h->worker[worker]);
	assert_int_equal(h->gone.conn, conn);
}

/* ---- the tests ---- */

static void
a_newer_session_of_an_id_replaces_the_older_one(void **state)
{
	struct hall *h = *state;

	assert_int_equal(enter(h, 0, 5, "a"), AGENTS_ENTERED);
	assert_null(h->gone.owner);
	/* whichever connection came first */
	assert_int_equal(enter(h, 1, 3, "a"), AGENTS_ENTERED);
	assert_gone(h, 0, 5);
	assert_int_equal(enter(h, 1, 4, "a"), AGENTS_ENTERED);
	assert_gone(h, 1, 3);
	assert_int_equal(agents_count(h->agents), 1);
}

static void
who_was_replaced_takes_nothing_with_it(void **state)
{
	struct hall *h = *state;

	enter(h, 0, 1, "a");
	enter(h, 1, 2, "a");
	agents_left(h->agents, &h->worker[0], 1);
	assert_int_equal(agents_count(h->agents), 1);
	agents_left_all(h->agents, &h->worker[0]);
	assert_int_equal(agents_count(h->agents), 1);
	agents_left(h->agents, &h->worker[1], 2);
	assert_int_equal(agents_count(h->agents), 0);
}

static void
a_worker_speaks_for_its_own_connections_alone(void **state)
{
	struct hall *h = *state;

	enter(h, 0, 1, "a");
	agents_left(h->agents, &h->worker[1], 1);
	assert_int_equal(agents_count(h->agents), 1);
	assert_int_equal(enter(h, 0, 1, "a"), AGENTS_TWICE);
	assert_int_equal(agents_count(h->agents), 1);
}

/* Or it could have an honest one called a liar for it. */
static void
a_worker_that_takes_another_ones_number_is_not_in_its_way(void **state)
{
	struct hall *h = *state;

	assert_int_equal(enter(h, 0, 7, "lie"), AGENTS_ENTERED);
	assert_int_equal(enter(h, 1, 7, "a"), AGENTS_ENTERED);
	assert_null(h->gone.owner);
	assert_int_equal(enter(h, 1, 7, "b"), AGENTS_TWICE);
	assert_int_equal(again(h, 0, 8, "a"), AGENTS_ENTERED);
	assert_gone(h, 1, 7);
	agents_left(h->agents, &h->worker[1], 7);
	assert_int_equal(agents_count(h->agents), 2);
	agents_left(h->agents, &h->worker[0], 7);
	assert_int_equal(agents_count(h->agents), 1);
	agents_left_all(h->agents, &h->worker[0]);
	assert_int_equal(agents_count(h->agents), 0);
}

static void
ids_are_bytes_and_proven_ones_are_apart(void **state)
{
	static const struct agent_id ids[] = { { "a", 1, true },
		{ "a", 1, false }, { "a\0", 2, true }, { "A", 1, true },
		{ "", 0, true }, { "\0", 1, true } };
	struct hall *h = *state;
	size_t i;

	for (i = 0; i < COUNT_OF(ids); i++) {
		assert_int_equal(agents_enter(h->agents, &h->worker[0], i + 1,
				     &ids[i], &h->gone),
		    AGENTS_ENTERED);
		assert_null(h->gone.owner);
	}
	assert_int_equal(agents_count(h->agents), COUNT_OF(ids));
}

static void
there_are_no_more_than_the_bound(void **state)
{
	struct hall *h = *state;
	char name[16];
	int i;

	for (i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(enter(h, 0, i, name), AGENTS_ENTERED);
	}
	assert_int_equal(enter(h, 0, 10, "x"), AGENTS_FULL);
	assert_null(h->gone.owner);
	/* who is there may come anew */
	assert_int_equal(enter(h, 0, 10, "3"), AGENTS_ENTERED);
	assert_gone(h, 0, 3);
	agents_left(h->agents, &h->worker[0], 7);
	assert_int_equal(enter(h, 0, 11, "x"), AGENTS_ENTERED);
	assert_int_equal(enter(h, 0, 12, "y"), AGENTS_FULL);
	assert_int_equal(agents_count(h->agents), 10);
}

static void
a_lower_bound_lets_those_stay_who_are_there(void **state)
{
	struct hall *h = *state;

	enter(h, 0, 1, "a");
	enter(h, 0, 2, "b");
	assert_int_equal(agents_bound(h->agents, 1), 0);
	assert_int_equal(agents_count(h->agents), 2);
	assert_int_equal(enter(h, 0, 3, "c"), AGENTS_FULL);
	assert_int_equal(enter(h, 0, 3, "a"), AGENTS_ENTERED);
	assert_int_equal(agents_bound(h->agents, 0), 0);
	agents_left_all(h->agents, &h->worker[0]);
	assert_int_equal(enter(h, 0, 4, "a"), AGENTS_FULL);
}

static void
the_tables_grow_and_shrink_with_the_bound(void **state)
{
	static const uint32_t bounds[] = { MANY, 100, 2 * MANY, 0, MANY };
	struct hall *h = *state;
	char name[16];
	size_t b;
	int i;

	agents_bound(h->agents, MANY);
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "agent-%d", i);
		assert_int_equal(enter(h, i & 1, i, name), AGENTS_ENTERED);
	}
	for (b = 0; b < COUNT_OF(bounds); b++) {
		assert_int_equal(agents_bound(h->agents, bounds[b]), 0);
		/* Each is found by id, and by connection. */
		for (i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "agent-%d", i);
			assert_int_equal(
			    enter(h, i & 1, (b + 1) * MANY + i, name),
			    AGENTS_ENTERED);
			assert_gone(h, i & 1, b * MANY + i);
		}
		assert_int_equal(agents_count(h->agents), MANY);
	}
	agents_left_all(h->agents, &h->worker[0]);
	assert_int_equal(agents_count(h->agents), MANY / 2);
	for (i = 1; i < MANY; i += 2)
		agents_left(h->agents, &h->worker[1], b * MANY + i);
	assert_int_equal(agents_count(h->agents), 0);
}

static void
of_those_who_enter_again_the_later_connection_stays(void **state)
{
	struct hall *h = *state;

	assert_int_equal(again(h, 0, 9, "a"), AGENTS_ENTERED);
	assert_null(h->gone.owner);
	assert_int_equal(again(h, 1, 5, "a"), AGENTS_ENTERED);
	assert_gone(h, 1, 5);
	agents_left(h->agents, &h->worker[1], 5);
	assert_int_equal(agents_count(h->agents), 1);
	assert_int_equal(again(h, 1, 12, "a"), AGENTS_ENTERED);
	assert_gone(h, 0, 9);
	assert_int_equal(again(h, 1, 12, "a"), AGENTS_TWICE);
}

static void
nobody_enters_before_there_is_a_bound(void **state)
{
	struct agents *a = agents_new();
	struct agent_id id = name_of("a", true);
	struct agent_owner o;
	struct agent_seat gone;

	(void)state;
	assert_non_null(a);
	agent_owner_init(&o);
	assert_int_equal(agents_enter(a, &o, 1, &id, &gone), AGENTS_FULL);
	agents_left(a, &o, 1);
	agents_free(a);
	agents_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_newer_session_of_an_id_replaces_the_older_one),
		TEST(who_was_replaced_takes_nothing_with_it),
		TEST(a_worker_speaks_for_its_own_connections_alone),
		TEST(a_worker_that_takes_another_ones_number_is_not_in_its_way),
		TEST(ids_are_bytes_and_proven_ones_are_apart),
		TEST(there_are_no_more_than_the_bound),
		TEST(a_lower_bound_lets_those_stay_who_are_there),
		TEST(the_tables_grow_and_shrink_with_the_bound),
		TEST(of_those_who_enter_again_the_later_connection_stays),
		cmocka_unit_test(nobody_enters_before_there_is_a_bound),
	};

	return cmocka_run_group_tests_name("agents", tests, NULL, NULL);
}
