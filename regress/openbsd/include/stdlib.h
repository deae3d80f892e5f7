/* The C library, with what OpenBSD adds to it. */
#ifndef OPENBSD_STDLIB_H
#define OPENBSD_STDLIB_H

#include <sys/cdefs.h>
#include <sys/types.h>
#include <stddef.h>

#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1

void *malloc(size_t) OPENBSD_MUST_USE;
void *calloc(size_t, size_t) OPENBSD_MUST_USE;
void *calloc_conceal(size_t, size_t) OPENBSD_MUST_USE;
void *realloc(void *, size_t) OPENBSD_MUST_USE;
void *reallocarray(void *, size_t, size_t) OPENBSD_MUST_USE;
void *recallocarray(void *, size_t, size_t, size_t) OPENBSD_MUST_USE;
void freezero(void *, size_t);
void free(void *);
void abort(void) OPENBSD_NORETURN;
void exit(int) OPENBSD_NORETURN;
void _Exit(int) OPENBSD_NORETURN;
int atexit(void (*)(void));
int atoi(const char *);
long strtol(const char *, char **, int);
unsigned long strtoul(const char *, char **, int);
long long strtoll(const char *, char **, int);
unsigned long long strtoull(const char *, char **, int);
double strtod(const char *, char **);
long long strtonum(const char *, long long, long long, const char **);
int abs(int);
long labs(long);
void qsort(void *, size_t, size_t, int (*)(const void *, const void *));
void *bsearch(const void *, const void *, size_t, size_t,
    int (*)(const void *, const void *));
char *getenv(const char *);
int setenv(const char *, const char *, int);
int unsetenv(const char *);
char *realpath(const char *, char *);
int mkstemp(char *);
int mkostemp(char *, int);
char *mkdtemp(char *);
uint32_t arc4random(void);
uint32_t arc4random_uniform(uint32_t);
void arc4random_buf(void *, size_t);
const char *getprogname(void);
void setprogname(const char *);
void setproctitle(const char *, ...) OPENBSD_PRINTF(1, 2);
int system(const char *);

#endif /* OPENBSD_STDLIB_H */
