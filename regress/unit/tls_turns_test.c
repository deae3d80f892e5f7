/*
 * Handshakes that the library has left in the middle, and those that wait for
 * one of its jobs.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tls_context.h"
#include "tls_talk.h"

#define MANY 100 /* more than there are jobs */

static const struct node node = { .min_version = TLS1_2_VERSION };
static const struct guest guest;

/* ---- memory ---- */

static struct {
	unsigned left; /* allocations up to the one that fails; 0: none does */
	bool failed;
} poor;

void *__real_malloc(size_t);
void *__wrap_malloc(size_t);

void *
__wrap_malloc(size_t size)
{
	if (poor.left == 0 || --poor.left > 0)
		return __real_malloc(size);
	poor.failed = true;
	errno = ENOMEM;
	return NULL;
}

/* ---- conversations ---- */

/* Up to the question, if there is a job for it. */
static void
talk_ask(struct talk *t, struct stage *st)
{
	talk_begin(t, st, &guest);
	talk_client(t);
	talk_server(t);
}

/* The n-th allocation fails, while there is input that has to be kept. */
static void
talk_poorly(struct stage *st, unsigned n)
{
	static const char next[] = "\x14\x03\x03\x00\x01\x01";
	struct talk t;

	talk_begin(&t, st, &guest);
	talk_client(&t);
	assert_int_equal(write(t.fd[1], next, 6), 6);
	poor.left = n;
	talk_server(&t);
	poor.left = 0;
	assert_true(TAILQ_EMPTY(&st->desk->signer.waiting));
	while (t.waits)
		event_base_loop(st->base, EVLOOP_ONCE);
	talk_end(&t);
}

static void
a_job_is_given_back_when_input_could_not_be_kept(void **state)
{
	struct stage st;
	unsigned n = 0;
	int i;

	(void)state;
	stage_open(&st, &node, SIGNS);
	do {
		n++;
		poor.failed = false;
		for (i = 0; i < MANY; i++)
			talk_poorly(&st, n);
	} while (poor.failed);
	assert_true(n > 1);
	assert_int_equal(talk_once(&st, &guest), TLS_DONE);
	stage_close(&st);
}

/* ---- turns ---- */

static const struct talk *
talk_of(const struct turn *turn)
{
	assert_non_null(turn);
	return turn->arg;
}

static void
who_waits_for_a_job_gets_it_in_turn(void **state)
{
	struct talk t[MANY];
	struct signer *s;
	struct stage st;
	size_t n = 0, i, last;

	(void)state;
	stage_open(&st, &node, SAYS_NOTHING);
	s = &st.desk->signer;
	while (TAILQ_EMPTY(&s->waiting)) {
		assert_true(n < MANY - 2);
		talk_ask(&t[n++], &st);
	}
	last = n - 1;
	talk_ask(&t[n++], &st);
	/* Whoever comes before the others hear that a job is free. */
	talk_end(&t[0]);
	talk_ask(&t[n++], &st);
	assert_ptr_equal(talk_of(TAILQ_FIRST(&s->waiting)), &t[last]);
	assert_ptr_equal(
	    talk_of(TAILQ_LAST(&s->waiting, turn_list)), &t[last + 2]);
	event_base_loop(st.base, EVLOOP_NONBLOCK);
	assert_ptr_equal(TAILQ_FIRST(&s->waiting)->arg, &t[last + 1]);
	assert_ptr_equal(
	    talk_of(TAILQ_LAST(&s->waiting, turn_list)), &t[last + 2]);
	for (i = 1; i < n; i++)
		talk_end(&t[i]);
	assert_true(TAILQ_EMPTY(&s->waiting));
	stage_close(&st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_job_is_given_back_when_input_could_not_be_kept),
		cmocka_unit_test(who_waits_for_a_job_gets_it_in_turn),
	};

	if (stage_set_up() == -1)
		return 1;
	return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
