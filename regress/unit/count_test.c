/*
 * A worker's counters: deltas that add up, log lines that are left out and
 * counted.
 */
#include "unit.h"

#include <sys/socket.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "count.h"

struct fixture {
	struct event_base *base;
	struct chan *worker;
	struct chan *parent;
	struct count count;
	struct counters sum;
	uint64_t last_sweep;
	unsigned reports;
};

static void
on_count(struct chan *ch, struct msg *m, void *arg)
{
	struct fixture *f = arg;
	struct msg_count count;

	(void)ch;
	assert_int_equal(m->type, MSG_COUNT);
	memcpy(&count, m->data, sizeof(count));
	counters_add(&f->sum, &count.delta);
	f->last_sweep = count.expired_last_sweep;
	f->reports++;
}

static void
on_gone(struct chan *ch, enum chan_end end, void *arg)
{
	(void)ch;
	(void)end;
	(void)arg;
	fail_msg("the channel broke");
}

static const struct chan_ops ops = { .message = on_count, .gone = on_gone };

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int sv[2];

	assert_non_null(f);
	f->base = event_base_new();
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv), 0);
	f->worker = chan_new(f->base, sv[0], ROLE_WORKER, ROLE_PARENT, &ops, f);
	f->parent = chan_new(f->base, sv[1], ROLE_PARENT, ROLE_WORKER, &ops, f);
	assert_non_null(f->worker);
	assert_non_null(f->parent);
	assert_int_equal(count_start(&f->count, f->base, f->worker), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	event_free(f->count.timer);
	chan_free(f->worker);
	chan_free(f->parent);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void
report(struct fixture *f)
{
	count_report(&f->count);
	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

static void
the_sum_of_deltas_is_the_count(void **state)
{
	struct fixture *f = *state;
	int round;

	for (round = 1; round <= 10; round++) {
		f->count.now.n[COUNT_MSG_HELLO] += round;
		f->count.now.n[COUNT_LOG_DROPPED]++;
		hist_observe(&f->count.now.hist[HIST_ACCEPT], 10 * round);
		report(f);
		assert_memory_equal(&f->sum, &f->count.now, sizeof(f->sum));
	}
	assert_int_equal(f->sum.n[COUNT_MSG_HELLO], 55);
}

static void
nothing_new_is_not_reported(void **state)
{
	struct fixture *f = *state;

	report(f);
	assert_int_equal(f->reports, 0);
	f->count.now.n[COUNT_MSG_HELLO]++;
	report(f);
	report(f);
	assert_int_equal(f->reports, 1);
}

static void
the_last_sweep_is_reported_when_it_changes(void **state)
{
	struct fixture *f = *state;

	f->count.expired_last_sweep = 3;
	report(f);
	assert_int_equal(f->last_sweep, 3);
	f->count.expired_last_sweep = 0;
	report(f);
	assert_int_equal(f->last_sweep, 0);
	assert_int_equal(f->reports, 2);
}

static void
a_category_is_logged_once_a_second_and_the_rest_is_counted(void **state)
{
	struct fixture *f = *state;
	struct monotime now = { 1000000 };
	unsigned logged = 0, events = 0;
	int i;

	for (i = 0; i < 3500; i++, events++, now.us += 1000)
		logged += count_may_log(&f->count, CATEGORY_AUTH, now);
	assert_int_equal(logged, 4);
	assert_int_equal(
	    logged + f->count.now.n[COUNT_LOG_SUPPRESSED_AUTH], events);
}

static void
categories_do_not_silence_each_other(void **state)
{
	struct fixture *f = *state;
	struct monotime now = { 1000000 };
	int cat;

	for (cat = 0; cat < CATEGORY__MAX; cat++) {
		assert_true(count_may_log(&f->count, cat, now));
		assert_false(count_may_log(&f->count, cat, now));
	}
	assert_int_equal(f->count.now.n[COUNT_LOG_SUPPRESSED_IP_RATE_LIMIT], 1);
	assert_int_equal(f->count.now.n[COUNT_LOG_SUPPRESSED_HANDSHAKE], 1);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_sum_of_deltas_is_the_count),
		TEST(nothing_new_is_not_reported),
		TEST(the_last_sweep_is_reported_when_it_changes),
		TEST(
		    a_category_is_logged_once_a_second_and_the_rest_is_counted),
		TEST(categories_do_not_silence_each_other),
	};

	return cmocka_run_group_tests_name("count", tests, NULL, NULL);
}
