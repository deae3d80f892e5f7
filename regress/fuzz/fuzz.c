/*
 * What the fuzz targets share.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"

void
fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, what);
	abort();
}

static void
fuzz_sink(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)arg;
	FUZZ_ASSERT(strlen(text) < LOG_LINE_MAX);
}

void
fuzz_quiet(void)
{
	log_init("fuzz", LEVEL_TRACE);
	log_set_sink(fuzz_sink, NULL);
}

size_t
fuzz_read(struct fuzz *f, void *out, size_t len)
{
	size_t got;
	const uint8_t *p = fuzz_bytes(f, len, &got);

	memset(out, 0, len);
	if (got > 0)
		memcpy(out, p, got);
	return got;
}

uint8_t
fuzz_u8(struct fuzz *f)
{
	uint8_t n;

	fuzz_read(f, &n, sizeof(n));
	return n;
}

uint16_t
fuzz_u16(struct fuzz *f)
{
	uint16_t n;

	fuzz_read(f, &n, sizeof(n));
	return n;
}

const uint8_t *
fuzz_bytes(struct fuzz *f, size_t len, size_t *got)
{
	const uint8_t *p = f->p;

	*got = len < f->left ? len : f->left;
	if (*got > 0)
		f->p += *got;
	f->left -= *got;
	return p;
}

static char *
fuzz_string(const uint8_t *p, size_t len)
{
	char *text = malloc(len + 1);

	FUZZ_ASSERT(text != NULL);
	if (len > 0)
		memcpy(text, p, len);
	text[len] = '\0';
	return text;
}

char *
fuzz_text(struct fuzz *f)
{
	size_t len;
	const uint8_t *p = fuzz_bytes(f, f->left, &len);

	return fuzz_string(p, len);
}

char *
fuzz_text_until(struct fuzz *f, uint8_t separator)
{
	const uint8_t *end;
	size_t len = f->left;
	char *text;

	if (len > 0 && (end = memchr(f->p, separator, len)) != NULL)
		len = (size_t)(end - f->p);
	text = fuzz_string(f->p, len);
	fuzz_bytes(f, len + 1, &len);
	return text;
}

size_t
fuzz_piece(uint32_t *state, size_t left)
{
	size_t n;

	if (*state == 0 || left < 2)
		return 1;
	*state = *state * 1664525 + 1013904223;
	n = 1 + (*state >> 16) % ((*state >> 30) == 0 ? left : 7);
	if (*state == 0)
		*state = 1;
	return n < left ? n : left;
}

int
fuzz_file(const void *data, size_t len, const char **path)
{
	static char name[32];
	static int fd = -1;
	char template[] = "/tmp/ltpd-fuzz.XXXXXXXXXX";

	if (fd == -1) {
		FUZZ_ASSERT((fd = mkstemp(template)) != -1);
		unlink(template);
		snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	}
	FUZZ_ASSERT(ftruncate(fd, 0) == 0);
	FUZZ_ASSERT(pwrite(fd, data, len, 0) == (ssize_t)len);
	FUZZ_ASSERT(lseek(fd, 0, SEEK_SET) == 0);
	*path = name;
	return fd;
}

int
fuzz_next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	FUZZ_ASSERT(fd != -1);
	close(fd);
	return fd;
}

/* ---- memory that fails: the linker puts these before the real ones ---- */

void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_reallocarray(void *, size_t, size_t);
void *__real_recallocarray(void *, size_t, size_t, size_t);
char *__real_strdup(const char *);
char *__real_strndup(const char *, size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_reallocarray(void *, size_t, size_t);
void *__wrap_recallocarray(void *, size_t, size_t, size_t);
char *__wrap_strdup(const char *);
char *__wrap_strndup(const char *, size_t);

static unsigned allocations_left; /* 0: none fails */

void
fuzz_memory(unsigned number)
{
	allocations_left = number;
}

unsigned
fuzz_number(const uint8_t *p, size_t len)
{
	unsigned sum = 0;

	for (; len > 0; p++, len--)
		sum = sum * 31 + *p;
	return 1 + sum % ((sum >> 16 & 1) != 0 ? 16 : 128);
}

static bool
memory_fails(void)
{
	if (allocations_left == 0 || --allocations_left > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return memory_fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return memory_fails() ? NULL : __real_realloc(p, size);
}

void *
__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return memory_fails() ? NULL : __real_reallocarray(p, n, size);
}

void *
__wrap_recallocarray(void *p, size_t old, size_t n, size_t size)
{
	return memory_fails() ? NULL : __real_recallocarray(p, old, n, size);
}

char *
__wrap_strdup(const char *text)
{
	return memory_fails() ? NULL : __real_strdup(text);
}

char *
__wrap_strndup(const char *text, size_t len)
{
	return memory_fails() ? NULL : __real_strndup(text, len);
}

/* ---- looking at what came out ---- */

bool
fuzz_same_double(double a, double b)
{
	uint64_t v, w;

	memcpy(&v, &a, sizeof(v));
	memcpy(&w, &b, sizeof(w));
	return v == w;
}

bool
fuzz_is_utf8(const uint8_t *p, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t i, j, n;
	uint32_t c;

	for (i = 0; i < len; i += n) {
		n = p[i] < 0x80       ? 1
		    : p[i] >> 5 == 6  ? 2
		    : p[i] >> 4 == 14 ? 3
		    : p[i] >> 3 == 30 ? 4
				      : 0;
		if (n == 0 || n > len - i)
			return false;
		c = n == 1 ? p[i] : p[i] & (0x7fU >> n);
		for (j = 1; j < n; j++) {
			if (p[i + j] >> 6 != 2)
				return false;
			c = c << 6 | (p[i + j] & 0x3f);
		}
		if (c < least[n] || c > 0x10ffff || (c >> 11) == 0x1b)
			return false;
	}
	return true;
}

bool
fuzz_is_printable(const char *p, size_t len, bool newlines)
{
	for (; len > 0; p++, len--) {
		if ((*p < ' ' || *p > '~') && !(newlines && *p == '\n'))
			return false;
	}
	return true;
}
