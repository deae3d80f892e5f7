/*
 * Options of the sanitizers, linked into every program of the tree that
 * regress/sanitize/run builds: children have an empty environment, so they
 * cannot be told there.  A report goes to stderr, which a node under test
 * has as its log, and ends the process.
 */
/* NOLINTBEGIN(bugprone-reserved-identifier): the sanitizers chose them */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
/* NOLINTEND(bugprone-reserved-identifier) */

const char *
__asan_default_options(void)
{
	return "abort_on_error=1:detect_leaks=1:strict_string_checks=1:"
	       "detect_stack_use_after_return=1:check_initialization_order=1:"
	       "allocator_may_return_null=1";
}

const char *
__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}
