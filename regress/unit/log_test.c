/*
 * Log lines: levels, error texts, and what strangers sent.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

static struct {
	enum log_level level;
	char text[LOG_LINE_MAX];
	unsigned lines;
} last;

static void
sink(enum log_level level, const char *text, void *arg)
{
	assert_ptr_equal(arg, &last);
	last.level = level;
	last.lines++;
	snprintf(last.text, sizeof(last.text), "%s", text);
}

static int
setup(void **state)
{
	(void)state;
	memset(&last, 0, sizeof(last));
	log_init("test", LEVEL_INFO);
	log_set_sink(sink, &last);
	return 0;
}

static void
a_line_reaches_the_sink_with_its_level(void **state)
{
	(void)state;
	log_info("subject: %s", "text");
	assert_int_equal(last.level, LEVEL_INFO);
	assert_string_equal(last.text, "subject: text");
}

static void
what_is_above_the_level_is_left_out(void **state)
{
	(void)state;
	log_debug("not now");
	assert_int_equal(last.lines, 0);
	log_set_level(LEVEL_DEBUG);
	log_debug("now");
	assert_int_equal(last.lines, 1);
}

static void
log_warn_adds_the_error(void **state)
{
	(void)state;
	errno = ENOENT;
	log_warn("keys: %s", "/x");
	assert_string_equal(last.text, "keys: /x: No such file or directory");
	assert_int_equal(last.level, LEVEL_WARN);
	log_warnx("keys: %s", "/x");
	assert_string_equal(last.text, "keys: /x");
}

static void
a_long_line_is_cut(void **state)
{
	char text[2 * LOG_LINE_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	errno = ENOENT;
	log_warn("%s", text);
	assert_int_equal(strlen(last.text), LOG_LINE_MAX - 1);
}

static void
levels_have_names_both_ways(void **state)
{
	int level;

	(void)state;
	for (level = LEVEL_ERROR; level <= LEVEL_TRACE; level++)
		assert_int_equal(log_level_parse(log_level_name(level)), level);
	assert_int_equal(log_level_parse("none"), LEVEL_NONE);
	assert_int_equal(log_level_parse(""), LEVEL_NONE);
	assert_int_equal(log_level_parse("INFO"), LEVEL_NONE);
}

static void
vis_leaves_nothing_that_could_forge_a_line(void **state)
{
	unsigned char all[256];
	char out[2048];
	const char *p;
	int i;

	(void)state;
	for (i = 0; i < 256; i++)
		all[i] = i;
	log_vis(out, sizeof(out), all, sizeof(all));
	for (p = out; *p != '\0'; p++) {
		assert_true(
		    (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f);
		assert_true(*p != '"' || (p > out && p[-1] == '\\'));
	}
	log_vis(out, sizeof(out), "a\nb", 3);
	assert_string_equal(out, "a\\nb");
}

static void
vis_is_cut_at_a_whole_character(void **state)
{
	char out[6];

	(void)state;
	log_vis(out, sizeof(out), "abc\n\n", 5);
	assert_string_equal(out, "abc\\n");
	log_vis(out, 1, "abc", 3);
	assert_string_equal(out, "");
}

#define TEST(t) cmocka_unit_test_setup(t, setup)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_reaches_the_sink_with_its_level),
		TEST(what_is_above_the_level_is_left_out),
		TEST(log_warn_adds_the_error),
		TEST(a_long_line_is_cut),
		TEST(levels_have_names_both_ways),
		TEST(vis_leaves_nothing_that_could_forge_a_line),
		TEST(vis_is_cut_at_a_whole_character),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
