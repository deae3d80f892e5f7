/*
 * route.c: every sector and reason there is, spelled out.
 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "route.h"

enum momentum {
	ABSENT,
	BELOW_LOW,
	AT_LOW,
	BETWEEN,
	AT_HIGH,
	ABOVE_HIGH,
	NMOMENTA,
};

static const double momentum_value[NMOMENTA] = {
	[ABSENT] = 0.9, /* stands there, but does not count */
	[BELOW_LOW] = 0.29999999999999993,
	[AT_LOW] = 0.3,
	[BETWEEN] = 0.5,
	[AT_HIGH] = 0.7,
	[ABOVE_HIGH] = 0.70000000000000007,
};

struct row {
	enum direction direction;
	const char *reason;
	const char *client[NMOMENTA];
	const char *session; /* whatever the momentum */
};

static const struct row rows[] = {
	{ DIRECTION_NONE, "default",
	    { "neutral", "neutral_low_momentum", "neutral", "neutral",
		"neutral", "neutral_high_momentum" },
	    "base_neutral" },
	{ DIRECTION_PAST, "client leaning towards past",
	    { "retrospective_safe", "retrospective_safe_low_momentum",
		"retrospective_safe", "retrospective_safe",
		"retrospective_safe", "retrospective_safe_high_momentum" },
	    "retrospective_safe" },
	{ DIRECTION_PRESENT, "client is present-oriented",
	    { "present_focus", "present_focus_low_momentum", "present_focus",
		"present_focus", "present_focus",
		"present_focus_high_momentum" },
	    "present_focus" },
	{ DIRECTION_FUTURE, "client oriented to future",
	    { "future_planning", "future_planning_low_momentum",
		"future_planning", "future_planning", "future_planning",
		"future_planning_high_momentum" },
	    "future_planning" },
	{ DIRECTION_MULTI, "client in multi-temporal state",
	    { "multi_bridge", "multi_bridge_low_momentum", "multi_bridge",
		"multi_bridge", "multi_bridge", "multi_bridge_high_momentum" },
	    "multi_bridge" },
};

#define NROWS (sizeof(rows) / sizeof(rows[0]))

static struct orientation
orientation_of(const struct row *row, enum momentum m)
{
	struct orientation o = {
		.has_momentum = m != ABSENT,
		.momentum = momentum_value[m],
		.direction = row->direction,
		.strength = 0.5,
	};

	return o;
}

static void
the_client_dialect_appends_the_momentum_to_the_sector(void **state)
{
	char out[ROUTE_SECTOR_MAX];
	struct orientation o;
	size_t i;
	int m;

	(void)state;
	for (i = 0; i < NROWS; i++) {
		for (m = 0; m < NMOMENTA; m++) {
			o = orientation_of(&rows[i], (enum momentum)m);
			assert_string_equal(
			    route_sector(out, DIALECT_CLIENT, &o),
			    rows[i].client[m]);
		}
	}
}

static void
the_session_dialect_knows_no_momentum(void **state)
{
	char out[ROUTE_SECTOR_MAX];
	struct orientation o;
	size_t i;
	int m;

	(void)state;
	for (i = 0; i < NROWS; i++) {
		for (m = 0; m < NMOMENTA; m++) {
			o = orientation_of(&rows[i], (enum momentum)m);
			assert_string_equal(
			    route_sector(out, DIALECT_SESSION, &o),
			    rows[i].session);
		}
	}
}

static void
the_reason_follows_from_the_direction_alone(void **state)
{
	struct orientation o;
	size_t i;
	int m;

	(void)state;
	for (i = 0; i < NROWS; i++) {
		for (m = 0; m < NMOMENTA; m++) {
			o = orientation_of(&rows[i], (enum momentum)m);
			assert_string_equal(route_reason(&o), rows[i].reason);
		}
	}
}

static void
the_bounds_of_momentum_are_the_doubles_next_to_them(void **state)
{
	(void)state;
	assert_true(momentum_value[BELOW_LOW] == nextafter(0.3, 0));
	assert_true(momentum_value[ABOVE_HIGH] == nextafter(0.7, 1));
}

static void
any_finite_momentum_is_high_or_low(void **state)
{
	static const struct {
		double momentum;
		const char *sector;
	} cases[] = {
		{ -0.0, "neutral_low_momentum" },
		{ -1e308, "neutral_low_momentum" },
		{ 1e308, "neutral_high_momentum" },
	};
	char out[ROUTE_SECTOR_MAX];
	struct orientation o = { .has_momentum = true };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		o.momentum = cases[i].momentum;
		assert_string_equal(
		    route_sector(out, DIALECT_CLIENT, &o), cases[i].sector);
	}
}

static void
an_absent_momentum_is_neither_whatever_stands_there(void **state)
{
	static const double left_over[] = { -1, 0, 0.1, 0.5, 0.9, 7 };
	char out[ROUTE_SECTOR_MAX];
	struct orientation o = { .has_momentum = false };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(left_over) / sizeof(left_over[0]); i++) {
		o.momentum = left_over[i];
		assert_string_equal(
		    route_sector(out, DIALECT_CLIENT, &o), "neutral");
	}
}

static void
directions_are_parsed_by_the_names_they_print(void **state)
{
	static const char *const names[] = { "past", "present", "future",
		"multi" };
	enum direction d;
	size_t i;

	(void)state;
	assert_null(direction_name(DIRECTION_NONE));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		d = direction_parse(names[i], strlen(names[i]));
		assert_int_equal(d, rows[i + 1].direction);
		assert_string_equal(direction_name(d), names[i]);
	}
}

static void
nothing_else_is_a_direction(void **state)
{
	static const struct {
		const char *text;
		unsigned long len;
	} cases[] = {
		{ "", 0 },
		{ "Past", 4 },
		{ "pas", 3 },
		{ "past ", 5 },
		{ "past\0", 5 },
		{ "pres", 4 },
		{ "futures", 7 },
		{ "neutral", 7 },
		{ "none", 4 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(direction_parse(cases[i].text, cases[i].len),
		    DIRECTION_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    the_client_dialect_appends_the_momentum_to_the_sector),
		cmocka_unit_test(the_session_dialect_knows_no_momentum),
		cmocka_unit_test(the_reason_follows_from_the_direction_alone),
		cmocka_unit_test(
		    the_bounds_of_momentum_are_the_doubles_next_to_them),
		cmocka_unit_test(any_finite_momentum_is_high_or_low),
		cmocka_unit_test(
		    an_absent_momentum_is_neither_whatever_stands_there),
		cmocka_unit_test(directions_are_parsed_by_the_names_they_print),
		cmocka_unit_test(nothing_else_is_a_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
