/*
 * Memory runs out at the n-th allocation.
 */
#include "nomem.h"

#include <event2/event.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_reallocarray(void *, size_t, size_t);
void *__real_recallocarray(void *, size_t, size_t, size_t);
char *__real_strdup(const char *);
char *__real_strndup(const char *, size_t);
void __real_free(void *);
void __real_freezero(void *, size_t);

void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_reallocarray(void *, size_t, size_t);
void *__wrap_recallocarray(void *, size_t, size_t, size_t);
char *__wrap_strdup(const char *);
char *__wrap_strndup(const char *, size_t);
void __wrap_free(void *);
void __wrap_freezero(void *, size_t);

/* The allocator of a program is one by nature. */
static struct {
	unsigned left; /* allocations up to the one that fails; 0: none does */
	bool all; /* and those after it */
	bool failed;
	long live;
} nomem;

static bool
nomem_fails(void)
{
	if (nomem.left == 0 || --nomem.left > 0)
		return false;
	nomem.left = nomem.all;
	nomem.failed = true;
	errno = ENOMEM;
	return true;
}

static void *
nomem_count(void *new)
{
	if (new != NULL)
		nomem.live++;
	return new;
}

void *
__wrap_malloc(size_t size)
{
	return nomem_fails() ? NULL : nomem_count(__real_malloc(size));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return nomem_fails() ? NULL : nomem_count(__real_calloc(n, size));
}

void *
__wrap_realloc(void *p, size_t size)
{
	bool fresh = p == NULL;

	if (nomem_fails())
		return NULL;
	p = __real_realloc(p, size);
	return fresh ? nomem_count(p) : p;
}

void *
__wrap_reallocarray(void *p, size_t n, size_t size)
{
	bool fresh = p == NULL;

	if (nomem_fails())
		return NULL;
	p = __real_reallocarray(p, n, size);
	return fresh ? nomem_count(p) : p;
}

void *
__wrap_recallocarray(void *p, size_t old, size_t n, size_t size)
{
	bool fresh = p == NULL;

	if (nomem_fails())
		return NULL;
	p = __real_recallocarray(p, old, n, size);
	return fresh ? nomem_count(p) : p;
}

char *
__wrap_strdup(const char *s)
{
	return nomem_fails() ? NULL : nomem_count(__real_strdup(s));
}

char *
__wrap_strndup(const char *s, size_t n)
{
	return nomem_fails() ? NULL : nomem_count(__real_strndup(s, n));
}

void
__wrap_free(void *p)
{
	if (p != NULL)
		nomem.live--;
	__real_free(p);
}

void
__wrap_freezero(void *p, size_t size)
{
	if (p != NULL)
		nomem.live--;
	__real_freezero(p, size);
}

void
nomem_init(void)
{
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, __wrap_free);
}

void
nomem_arm(unsigned n, bool all)
{
	nomem.left = n;
	nomem.all = all;
	nomem.failed = false;
}

bool
nomem_disarm(void)
{
	nomem.left = 0;
	return nomem.failed;
}

long
nomem_live(void)
{
	return nomem.live;
}
