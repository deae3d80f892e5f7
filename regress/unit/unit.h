/*
 * What cmocka wants included first, in its order.
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifdef __clang_analyzer__
/* The analyzer cannot see that an assertion that fails does not return. */
#include <stdlib.h>
#undef assert_true
#undef assert_non_null
#undef fail_msg
#define assert_true(c)           \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)
#define assert_non_null(p) assert_true((p) != NULL)
#define fail_msg(...)      abort()
#endif

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif /* UNIT_H */
