/*
 * The node-wide table: shares are exact between processes, limits are exact
 * between processes, and what a hostile process writes stays harmless.
 */
#include "unit.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memfd.h"
#include "msg.h"
#include "shared.h"
#include "siphash.h"

#define PROCESSES 4
#define SECOND    INT64_C(1000000)

uint64_t __real_siphash(const uint64_t[2], const void *, size_t);
uint64_t __wrap_siphash(const uint64_t[2], const void *, size_t);

/* Results that several processes write. */
struct board {
	_Atomic int64_t clock; /* microseconds, moved by whoever looks */
	_Atomic int64_t passed;
	_Atomic int64_t live;
	_Atomic int64_t most;
};

struct fixture {
	struct shared *shared;
	struct board *board;
	struct msg_shared passed;
	int fd;
};

static int
setup(void **state)
{
	struct fixture *f;

	if ((f = calloc(1, sizeof(*f))) == NULL)
		return -1;
	f->board = mmap(NULL, sizeof(*f->board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->shared = shared_new(SHARED_SLOTS, &f->fd);
	*state = f;
	if (f->board == MAP_FAILED || f->shared == NULL)
		return -1;
	shared_describe(f->shared, &f->passed);
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	shared_free(f->shared);
	munmap(f->board, sizeof(*f->board));
	close(f->fd);
	free(f);
	return 0;
}

/* Run fn in four processes, each with the table mapped anew. */
static void
in_processes(struct fixture *f,
    void (*fn)(struct shared *, struct board *, unsigned slot))
{
	struct shared *s;
	pid_t pids[PROCESSES];
	unsigned i;
	int status;

	for (i = 0; i < PROCESSES; i++) {
		if ((pids[i] = fork()) == -1)
			fail_msg("fork");
		if (pids[i] != 0)
			continue;
		if ((s = shared_map(f->fd, &f->passed)) == NULL)
			_exit(1);
		fn(s, f->board, i);
		_exit(0);
	}
	for (i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
}

static struct monotime
at(int64_t us)
{
	struct monotime mt = { us };

	return mt;
}

static void
key_of(uint8_t key[16], uint64_t n)
{
	memset(key, 0, 16);
	key[0] = 0x20;
	memcpy(key + 1, &n, 7);
}

/* ---- shares ---- */

#define CAP 100

static void
take_and_give(struct shared *s, struct board *board, unsigned slot)
{
	int64_t live, most;
	unsigned held = 0;
	int i;

	for (i = 0; i < 50000; i++) {
		if (held > 0 && (i % 3 == 0 || held > CAP / 2)) {
			atomic_fetch_sub(&board->live, 1);
			shared_give(s, SHARED_SESSIONS, slot);
			held--;
			continue;
		}
		if (!shared_take(s, SHARED_SESSIONS, slot, CAP))
			continue;
		held++;
		live = atomic_fetch_add(&board->live, 1) + 1;
		most = atomic_load(&board->most);
		while (live > most &&
		       !atomic_compare_exchange_weak(&board->most, &most, live))
			continue;
	}
	if (held != shared_held(s, SHARED_SESSIONS, slot))
		_exit(2);
}

static void
four_processes_never_pass_the_cap(void **state)
{
	struct fixture *f = *state;

	in_processes(f, take_and_give);
	assert_true(f->board->most <= CAP);
	assert_true(f->board->most > CAP / 2);
	assert_int_equal(
	    shared_total(f->shared, SHARED_SESSIONS), f->board->live);
}

static void
take_all(struct shared *s, struct board *board, unsigned slot)
{
	while (shared_take(s, SHARED_CONNS, slot, 10007))
		atomic_fetch_add(&board->passed, 1);
}

static void
four_processes_reach_the_cap_exactly(void **state)
{
	struct fixture *f = *state;

	in_processes(f, take_all);
	assert_int_equal(f->board->passed, 10007);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 10007);
	assert_false(shared_take(f->shared, SHARED_CONNS, 9, 10007));
	assert_true(shared_take(f->shared, SHARED_CONNS, 9, 10008));
}

static void
kinds_and_slots_are_counted_apart(void **state)
{
	struct fixture *f = *state;
	struct shared *s = f->shared;

	assert_true(shared_take(s, SHARED_CONNS, 0, 3));
	assert_true(shared_take(s, SHARED_CONNS, 63, 3));
	assert_true(shared_take(s, SHARED_CONNS, 63, 3));
	assert_false(shared_take(s, SHARED_CONNS, 1, 3));
	assert_true(shared_take(s, SHARED_SESSIONS, 1, 1));
	assert_true(shared_take(s, SHARED_REFUSALS, 1, 1));
	assert_int_equal(shared_held(s, SHARED_CONNS, 0), 1);
	assert_int_equal(shared_held(s, SHARED_CONNS, 63), 2);
	assert_int_equal(shared_held(s, SHARED_SESSIONS, 63), 0);
	assert_int_equal(shared_total(s, SHARED_CONNS), 3);
	shared_give(s, SHARED_CONNS, 63);
	assert_int_equal(shared_total(s, SHARED_CONNS), 2);
	assert_true(shared_take(s, SHARED_CONNS, 1, 3));
}

static void
a_cap_of_zero_lets_nothing_in(void **state)
{
	struct fixture *f = *state;

	assert_false(shared_take(f->shared, SHARED_CONNS, 0, 0));
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 0);
}

static void
giving_too_often_stops_at_zero(void **state)
{
	struct fixture *f = *state;

	assert_true(shared_take(f->shared, SHARED_CONNS, 5, 10));
	shared_give(f->shared, SHARED_CONNS, 5);
	shared_give(f->shared, SHARED_CONNS, 5);
	assert_int_equal(shared_held(f->shared, SHARED_CONNS, 5), 0);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 0);
}

static void
a_slot_that_does_not_exist_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_false(shared_take(f->shared, SHARED_CONNS, SHARED_SLOTS, 10));
	assert_false(shared_take(f->shared, SHARED_CONNS, UINT32_MAX, 10));
	shared_give(f->shared, SHARED_CONNS, SHARED_SLOTS);
	shared_reclaim(f->shared, UINT32_MAX);
	assert_int_equal(shared_held(f->shared, SHARED_CONNS, UINT32_MAX), 0);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 0);
}

static void
hold_and_die(struct shared *s, struct board *board, unsigned slot)
{
	int i;

	(void)board;
	for (i = 0; i < 1000; i++) {
		shared_take(s, SHARED_CONNS, slot, UINT32_MAX);
		shared_take(s, SHARED_SESSIONS, slot, UINT32_MAX);
	}
}

static void
a_dead_slot_gives_back_what_it_held(void **state)
{
	struct fixture *f = *state;

	in_processes(f, hold_and_die);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 4000);
	shared_reclaim(f->shared, 2);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 3000);
	assert_int_equal(shared_total(f->shared, SHARED_SESSIONS), 3000);
	assert_int_equal(shared_held(f->shared, SHARED_CONNS, 2), 0);
	shared_reclaim(f->shared, 2);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 3000);
}

/* ---- a hostile process ---- */

static void
spoil(int fd, int byte)
{
	struct stat st;
	void *p;

	assert_int_equal(fstat(fd, &st), 0);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	memset(p, byte, 65536);
	munmap(p, (size_t)st.st_size);
}

static void
spoilt_numbers_refuse_and_do_not_wrap(void **state)
{
	struct fixture *f = *state;
	unsigned slot;

	spoil(f->fd, 0xff);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), UINT32_MAX);
	assert_false(shared_take(f->shared, SHARED_CONNS, 1, UINT32_MAX));
	assert_int_equal(shared_held(f->shared, SHARED_CONNS, 1), UINT32_MAX);
	for (slot = 0; slot < SHARED_SLOTS; slot++)
		shared_reclaim(f->shared, slot);
	assert_int_equal(shared_total(f->shared, SHARED_CONNS), 0);
	assert_int_equal(shared_total(f->shared, SHARED_REFUSALS), 0);
	assert_true(shared_take(f->shared, SHARED_CONNS, 1, 1));
	assert_false(shared_take(f->shared, SHARED_CONNS, 2, 1));
}

static void
limits_work_on_after_the_key_was_spoilt(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 1, 0, 1 };
	uint8_t key[16];
	uint64_t n;

	for (n = 0; n < 100; n++) {
		key_of(key, n);
		assert_true(shared_ip_allow(f->shared, key, &rate, at(SECOND)));
	}
	spoil(f->fd, 0x55);
	for (n = 0; n < 100; n++) {
		key_of(key, n);
		/* Entries in the spoilt part may be gone, 2 in 1000. */
		if (shared_ip_allow(f->shared, key, &rate, at(SECOND + 1)))
			f->board->passed++;
	}
	assert_true(f->board->passed <= 5);
}

/* Or one worker that spoils it would be the end of all to come. */
static void
a_spoilt_table_is_mapped_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct shared *again;

	spoil(f->fd, 0x55);
	again = shared_map(f->fd, &f->passed);
	assert_non_null(again);
	shared_free(again);
}

static void
a_table_of_another_layout_is_not_mapped(void **state)
{
	struct fixture *f = *state;
	struct msg_shared other = f->passed;

	other.version++;
	assert_null(shared_map(f->fd, &other));
	other = f->passed;
	other.slots = SHARED_SLOTS + 1;
	assert_null(shared_map(f->fd, &other));
}

/* Nobody dies there, so nobody would ever give it back. */
static void
what_is_written_into_a_slot_of_nobody_does_not_count(void **state)
{
	struct msg_shared few;
	struct shared *s;
	int fd;

	(void)state;
	assert_non_null(s = shared_new(2, &fd));
	shared_describe(s, &few);
	assert_int_equal(few.slots, 2);
	spoil(fd, 0x55);
	assert_int_not_equal(shared_total(s, SHARED_CONNS), 0);
	shared_reclaim(s, 0);
	shared_reclaim(s, 1);
	assert_int_equal(shared_total(s, SHARED_CONNS), 0);
	shared_free(s);
	close(fd);
}

static void
another_object_is_not_mapped(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd, ends[2];

	assert_int_equal(fstat(f->fd, &st), 0);
	fd = memfd_new("small", 4096);
	assert_true(fd >= 0);
	assert_null(shared_map(fd, &f->passed));
	close(fd);
	assert_int_equal(pipe(ends), 0);
	assert_null(shared_map(ends[0], &f->passed));
	close(ends[0]);
	close(ends[1]);
	assert_null(shared_map(-1, &f->passed));
}

#ifdef __linux__
static void
an_object_that_can_shrink_is_not_mapped(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	void *copy, *p;
	int fd;

	/* A true copy, so that only the seals are missing. */
	assert_int_equal(fstat(f->fd, &st), 0);
	fd = memfd_create("unsealed", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, st.st_size), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	copy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_ptr_not_equal(copy, MAP_FAILED);
	memcpy(copy, p, 4096);
	assert_null(shared_map(fd, &f->passed));
	munmap(p, 4096);
	munmap(copy, 4096);
	close(fd);
}

static void
the_object_can_neither_grow_nor_shrink(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(fstat(f->fd, &st), 0);
	assert_true(st.st_size <= 64 * 1024 * 1024);
	assert_int_equal(ftruncate(f->fd, 4096), -1);
	assert_int_equal(ftruncate(f->fd, st.st_size + 4096), -1);
	assert_true(memfd_check(f->fd, (size_t)st.st_size));
	assert_false(memfd_check(f->fd, (size_t)st.st_size + 1));
}
#endif

/* ---- limits ---- */

static const struct shared_rate hammer_rate = { 0, 1000, 0, 50 };
#define HAMMER_START (77 * SECOND)

/*
 * The clock moves by a microsecond with each look, so the second is as long
 * as a million messages, however busy the machine is.
 */
static void
hammer(struct shared *s, struct board *board, unsigned slot)
{
	uint8_t key[16];
	int64_t t, passed = 0;

	(void)slot;
	key_of(key, 1);
	while ((t = atomic_fetch_add(&board->clock, 1)) < SECOND)
		passed +=
		    shared_ip_allow(s, key, &hammer_rate, at(HAMMER_START + t));
	atomic_fetch_add(&board->passed, passed);
}

static void
four_processes_share_one_limit_exactly(void **state)
{
	struct fixture *f = *state;

	in_processes(f, hammer);
	assert_true(f->board->passed <= 50 + 1000);
	assert_true(f->board->passed >= 1050 * 98 / 100);
}

/* The same against the real clock, of which a busy machine may miss a part. */
static void
hammer_for_real(struct shared *s, struct board *board, unsigned slot)
{
	struct monotime start = { board->clock }, now;
	uint8_t key[16];
	int64_t passed = 0;

	(void)slot;
	key_of(key, 2);
	for (;;) {
		now = monotime_now();
		if (monotime_diff_us(now, start) >= SECOND)
			break;
		passed += shared_ip_allow(s, key, &hammer_rate, now);
	}
	atomic_fetch_add(&board->passed, passed);
}

static void
four_processes_share_one_limit_in_real_time(void **state)
{
	struct fixture *f = *state;

	f->board->clock = monotime_now().us;
	in_processes(f, hammer_for_real);
	assert_true(f->board->passed <= 50 + 1000);
	assert_true(f->board->passed > 50);
}

static void
a_burst_passes_and_comes_back_at_the_rate(void **state)
{
	static const uint32_t rates[] = { 1, 3, 7, 10, 99, 999, 1000, 7777,
		66667, 95238, 100000 };
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 0, 0, 20 };
	uint8_t key[16];
	double step, expect;
	int64_t passed;
	size_t i;
	int n;

	for (i = 0; i < COUNT_OF(rates); i++) {
		key_of(key, i);
		rate.count = rates[i];
		for (n = 0; n < 20; n++)
			assert_true(
			    shared_ip_allow(f->shared, key, &rate, at(SECOND)));
		assert_false(
		    shared_ip_allow(f->shared, key, &rate, at(SECOND)));

		/* Ask five times as often as the rate for 2000 messages. */
		step = 1e6 / rates[i] / 5;
		passed = 0;
		for (n = 1; n <= 10000; n++)
			passed += shared_ip_allow(f->shared, key, &rate,
			    at(SECOND + (int64_t)(step * n)));
		expect = 10000 * step * rates[i] / 1e6;
		assert_true(passed >= expect * 0.99);
		assert_true(passed <= expect * 1.01);
	}
}

static void
no_more_than_the_burst_is_saved_up(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 5, 0, 10 };
	uint8_t key[16];
	int passed = 0, n;

	key_of(key, 1);
	assert_true(shared_ip_allow(f->shared, key, &rate, at(SECOND)));
	for (n = 0; n < 100; n++)
		passed +=
		    shared_ip_allow(f->shared, key, &rate, at(1000 * SECOND));
	assert_int_equal(passed, 10);
}

static void
a_rate_of_zero_is_no_limit(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 0, 0, 1 };
	uint8_t key[16];
	int n;

	key_of(key, 1);
	for (n = 0; n < 1000; n++)
		assert_true(shared_ip_allow(f->shared, key, &rate, at(SECOND)));
}

/* Each step changes one thing: a byte at an end of the address, or the kind. */
static void
a_hash_is_that_of_its_address_and_kind(void **state)
{
	static const uint8_t keys[4][16] = { { 0 }, { 1 }, { 1, [15] = 1 },
		{ 1, [8] = 1, [15] = 1 } };
	static const struct {
		int key;
		enum shared_rate_kind kind;
	} steps[] = {
		{ 0, SHARED_RATE_MESSAGES },
		{ 1, SHARED_RATE_MESSAGES },
		{ 2, SHARED_RATE_MESSAGES },
		{ 3, SHARED_RATE_MESSAGES },
		{ 3, SHARED_RATE_FAILURES },
		{ 2, SHARED_RATE_FAILURES },
		{ 1, SHARED_RATE_FAILURES },
		{ 0, SHARED_RATE_FAILURES },
	};
	struct shared_rate rate = { .count = 1, .burst = 1 };
	struct fixture *f = *state;
	size_t turn, i;

	for (turn = 0; turn < 3; turn++) {
		for (i = 0; i < COUNT_OF(steps); i++) {
			rate.kind = steps[i].kind;
			assert_int_equal(
			    shared_ip_allow(f->shared, keys[steps[i].key],
				&rate, at(SECOND)),
			    turn == 0);
		}
	}
}

/*
 * An entry of the one kind that had a minute to go was over, seen from the
 * other, and an address could guess on when the messages of somebody else had
 * met it.
 */
static void
messages_of_others_do_not_make_failures_forgotten(void **state)
{
	struct shared_rate failures = { SHARED_RATE_FAILURES, 3, 60000, 3 };
	struct shared_rate messages = { SHARED_RATE_MESSAGES, 5, 0, 25 };
	struct fixture *f = *state;
	uint8_t key[16];
	uint64_t n;
	int i;

	for (n = 0; n < 100; n++) {
		key_of(key, n);
		for (i = 0; i < 3; i++)
			assert_true(shared_ip_allow(
			    f->shared, key, &failures, at(SECOND)));
	}
	for (n = 1000; n < 1000000; n++) {
		key_of(key, n);
		shared_ip_allow(f->shared, key, &messages, at(SECOND));
	}
	for (n = 0; n < 100; n++) {
		key_of(key, n);
		assert_false(shared_ip_would_allow(
		    f->shared, key, &failures, at(SECOND)));
	}
}

static unsigned hashed;

uint64_t
__wrap_siphash(const uint64_t key[2], const void *data, size_t len)
{
	hashed++;
	return __real_siphash(key, data, len);
}

static void
a_batch_of_one_address_is_hashed_once(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { SHARED_RATE_MESSAGES, 1000, 0, 100 };
	uint8_t key[16];
	uint64_t batch;
	int n;

	hashed = 0;
	for (batch = 1; batch <= 3; batch++) {
		key_of(key, batch);
		for (n = 0; n < 16; n++)
			assert_true(
			    shared_ip_allow(f->shared, key, &rate, at(SECOND)));
		assert_int_equal(hashed, batch);
	}
}

static void
a_clock_that_lags_behind_gains_nothing(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 10, 0, 10 };
	uint8_t key[16];
	int n;

	key_of(key, 1);
	for (n = 0; n < 10; n++)
		assert_true(
		    shared_ip_allow(f->shared, key, &rate, at(100 * SECOND)));
	for (n = 1; n < 5000; n++)
		assert_false(shared_ip_allow(
		    f->shared, key, &rate, at(100 * SECOND - n * 1000)));
}

static void
the_clock_of_the_table_wraps_unnoticed(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 1, 0, 2 };
	int64_t wrap = (INT64_C(1) << 42) / 8, t;
	uint8_t key[16];

	key_of(key, 1);
	/* Across the wrap. */
	t = 3 * wrap - SECOND / 2;
	assert_true(shared_ip_allow(f->shared, key, &rate, at(t)));
	assert_true(shared_ip_allow(f->shared, key, &rate, at(t)));
	assert_false(shared_ip_allow(f->shared, key, &rate, at(t)));
	assert_false(shared_ip_allow(f->shared, key, &rate, at(t + 999999)));
	assert_true(shared_ip_allow(f->shared, key, &rate, at(t + SECOND)));
	assert_false(shared_ip_allow(f->shared, key, &rate, at(t + SECOND)));
	/* Back after any pause but that of a wrap. */
	for (t += 60 * SECOND; t < 4 * wrap - 60 * SECOND; t += wrap / 97) {
		key_of(key, (uint64_t)t);
		assert_true(shared_ip_allow(f->shared, key, &rate, at(t)));
	}
	key_of(key, 1);
	assert_true(shared_ip_allow(f->shared, key, &rate, at(t)));
	assert_true(shared_ip_allow(f->shared, key, &rate, at(t)));
	assert_false(shared_ip_allow(f->shared, key, &rate, at(t)));
}

static void
an_absurd_burst_is_still_a_limit(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 1, 0, UINT32_MAX };
	uint8_t key[16];
	int n;

	key_of(key, 1);
	for (n = 0; n < 250000; n++)
		assert_true(shared_ip_allow(f->shared, key, &rate, at(SECOND)));
	for (; n < 300000; n++)
		f->board->passed +=
		    shared_ip_allow(f->shared, key, &rate, at(SECOND));
	assert_true(f->board->passed < 50000);
}

/*
 * A million addresses within the time of a burst.  One that keeps the rate
 * must never be refused for it, one that does not must be held back, and the
 * others find a place of their own.
 */
static void
a_million_addresses_disturb_nobody(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 5, 0, 10 };
	uint8_t key[16], good[16], bad[16];
	int64_t good_refused = 0, bad_passed = 0, fresh_refused = 0, t;
	uint64_t n;
	struct stat st;

	key_of(good, UINT64_C(1) << 40);
	key_of(bad, UINT64_C(1) << 41);
	for (n = 0; n < 1000000; n++) {
		t = SECOND + (int64_t)n; /* a second in all */
		key_of(key, n);
		if (!shared_ip_allow(f->shared, key, &rate, at(t)))
			fresh_refused++;
		if (n % 200000 == 0 &&
		    !shared_ip_allow(f->shared, good, &rate, at(t)))
			good_refused++;
		if (n % 1000 == 0)
			bad_passed +=
			    shared_ip_allow(f->shared, bad, &rate, at(t));
	}
	assert_int_equal(good_refused, 0);
	/* 15 are due; an eviction gives back at most the burst. */
	assert_true(bad_passed <= 25);
	/* Nobody else sent twice, so not even a collision is refused. */
	assert_int_equal(fresh_refused, 0);
	assert_int_equal(fstat(f->fd, &st), 0);
	assert_true(st.st_size <= 64 * 1024 * 1024);
	assert_true(st.st_blocks * 512 <= 64 * 1024 * 1024);
}

static void
a_million_addresses_each_have_a_limit(void **state)
{
	struct fixture *f = *state;
	struct shared_rate rate = { 0, 1, 0, 1 };
	uint8_t key[16];
	int64_t passed = 0;
	uint64_t n;

	for (n = 0; n < 1000000; n++) {
		key_of(key, n);
		shared_ip_allow(f->shared, key, &rate, at(SECOND));
	}
	for (n = 0; n < 1000000; n++) {
		key_of(key, n);
		passed +=
		    shared_ip_allow(f->shared, key, &rate, at(SECOND + 1));
	}
	/* Those whose entry was evicted; see the head of shared.c. */
	assert_true(passed < 1000000 / 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- what addresses hold ---- */

#define RACES 5000 /* addresses that all processes come for at once */

static void
take_last_places(struct shared *s, struct board *board, unsigned slot)
{
	uint8_t key[16];
	uint64_t n;

	for (n = 0; n < RACES; n++) {
		key_of(key, n);
		if (shared_ip_take(s, SHARED_HOLD_CONNS, slot, key, 1) ==
		    SHARED_HELD)
			atomic_fetch_add(&board->passed, 1);
	}
}

static void
somebody_gets_the_last_place_of_an_address(void **state)
{
	struct fixture *f = *state;

	in_processes(f, take_last_places);
	assert_int_equal(f->board->passed, RACES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(four_processes_never_pass_the_cap),
		TEST(four_processes_reach_the_cap_exactly),
		TEST(kinds_and_slots_are_counted_apart),
		TEST(a_cap_of_zero_lets_nothing_in),
		TEST(giving_too_often_stops_at_zero),
		TEST(a_slot_that_does_not_exist_is_refused),
		TEST(a_dead_slot_gives_back_what_it_held),
		TEST(spoilt_numbers_refuse_and_do_not_wrap),
		TEST(limits_work_on_after_the_key_was_spoilt),
		TEST(a_spoilt_table_is_mapped_all_the_same),
		TEST(a_table_of_another_layout_is_not_mapped),
		TEST(what_is_written_into_a_slot_of_nobody_does_not_count),
		TEST(another_object_is_not_mapped),
#ifdef __linux__
		TEST(an_object_that_can_shrink_is_not_mapped),
		TEST(the_object_can_neither_grow_nor_shrink),
#endif
		TEST(four_processes_share_one_limit_exactly),
		TEST(four_processes_share_one_limit_in_real_time),
		TEST(a_burst_passes_and_comes_back_at_the_rate),
		TEST(no_more_than_the_burst_is_saved_up),
		TEST(a_rate_of_zero_is_no_limit),
		TEST(a_hash_is_that_of_its_address_and_kind),
		TEST(messages_of_others_do_not_make_failures_forgotten),
		TEST(a_batch_of_one_address_is_hashed_once),
		TEST(a_clock_that_lags_behind_gains_nothing),
		TEST(the_clock_of_the_table_wraps_unnoticed),
		TEST(an_absurd_burst_is_still_a_limit),
		TEST(a_million_addresses_disturb_nobody),
		TEST(a_million_addresses_each_have_a_limit),
		TEST(somebody_gets_the_last_place_of_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
