/*
 * conf_parse.c without memory: jansson would write beyond its buffers, so
 * the process ends.
 */
#include "unit.h"

#include <sys/wait.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_parse.h"
#include "log.h"

void *__real_malloc(size_t);
void *__wrap_malloc(size_t);

static unsigned fails_at; /* 0: never */
static unsigned allocations;

/* The linker puts it before the one that conf_parse.c calls. */
void *
__wrap_malloc(size_t size)
{
	return ++allocations == fails_at ? NULL : __real_malloc(size);
}

static void
no_log(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)text;
	(void)arg;
}

static void
decode(void)
{
	char text[1200];

	/* Long enough that its buffer grows in the middle. */
	memset(text, 'x', sizeof(text));
	text[0] = text[sizeof(text) - 1] = '"';
	json_decref(conf_json(text, sizeof(text), NULL));
}

static int
status_without_allocation(unsigned n)
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		fails_at = n;
		allocations = 0;
		decode();
		_exit(0);
	}
	assert_int_not_equal(pid, -1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
a_process_without_memory_for_json_ends(void **state)
{
	unsigned n, total;

	(void)state;
	log_set_sink(no_log, NULL);
	allocations = 0;
	decode();
	total = allocations;
	assert_true(total > 2);
	for (n = 1; n <= total; n++)
		assert_int_equal(status_without_allocation(n), 1);
	assert_int_equal(status_without_allocation(total + 1), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_without_memory_for_json_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
