/*
 * Looks for byte strings in processes: in every page that they have, in
 * their environment and command line, in the files and memory files that
 * they have open, and in what waits to be read from their unix sockets.
 * Patterns come by standard input, "NAME HEX" a line; a piece of
 * MEMSCAN_WINDOW bytes of one is a find, so that half of a secret is found
 * as well as all of it.  Prints "PID NAME FIRST LENGTH WHERE" for each find.
 * Takes the right to trace the processes, be it in a user namespace, where
 * some of /proc stays closed and system calls have to do.  Only for Linux.
 */
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMSCAN_WINDOW 12 /* bytes */
/*
 * Of WINDOW bytes, wherever they begin, SEED begin at a multiple of STRIDE:
 * only there is looked.
 */
#define SEED         8
#define STRIDE       4
#define KEPT_MAX     16 /* more than a WINDOW, a multiple of STRIDE */
#define CHUNK        (1024 * 1024) /* bytes read at once */
#define FILTER_BITS  22
#define BUCKET_BITS  18
#define WHERE_MAX    320
#define DESCRIPTORS  4096 /* numbers that are tried */
#define HUGE_MAPPING (UINT64_C(1) << 36) /* a sanitizer's shadow */
#define EXIT_HUGE    3

#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_SWAPPED (UINT64_C(1) << 62)

struct pattern {
	char *name;
	uint8_t *p;
	size_t len;
};

/* Where a piece of a pattern begins; a chain per bucket. */
struct window {
	uint32_t pattern;
	uint32_t offset;
	uint32_t next; /* 1 + index, 0: none */
};

struct memscan {
	struct pattern *patterns;
	size_t npatterns;
	struct window *windows;
	size_t nwindows;
	uint32_t *buckets; /* as struct window's next */
	uint8_t *filter; /* a bit for each hash that there is */
	uint8_t *buf; /* CHUNK bytes, after the end of the last chunk */
	size_t kept; /* bytes of buf that are that end */
	pid_t pid;
	char where[WHERE_MAX];
};

/* ---- patterns ---- */

#define BUCKET(h) ((h) >> (FILTER_BITS - BUCKET_BITS))

static uint32_t
window_hash(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return (
	    uint32_t)(w * UINT64_C(0x9e3779b97f4a7c15) >> (64 - FILTER_BITS));
}

static int
hex_digit(const char *name, char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c < 'a' || c > 'f')
		errx(1, "%s: bad hex", name);
	return c - 'a' + 10;
}

static void
pattern_add(struct memscan *m, const char *name, const char *hex)
{
	struct pattern *p;
	size_t i, len = strlen(hex) / 2;

	m->patterns =
	    reallocarray(m->patterns, m->npatterns + 1, sizeof(*m->patterns));
	if (m->patterns == NULL)
		err(1, NULL);
	p = &m->patterns[m->npatterns++];
	p->len = len;
	if ((p->name = strdup(name)) == NULL ||
	    (p->p = malloc(len + 1)) == NULL)
		err(1, NULL);
	for (i = 0; i < len; i++)
		p->p[i] = (uint8_t)(hex_digit(name, hex[2 * i]) << 4 |
				    hex_digit(name, hex[2 * i + 1]));
	if (len < MEMSCAN_WINDOW)
		errx(1, "%s: shorter than %d bytes", name, MEMSCAN_WINDOW);
}

static void
patterns_read(struct memscan *m, FILE *fp)
{
	char *line = NULL, *hex;
	size_t size = 0;

	while (getline(&line, &size, fp) != -1) {
		line[strcspn(line, "\n")] = '\0';
		if ((hex = strchr(line, ' ')) == NULL)
			errx(1, "bad pattern: %s", line);
		*hex++ = '\0';
		pattern_add(m, line, hex);
	}
	free(line);
	if (m->npatterns == 0)
		errx(1, "no pattern");
}

static void
windows_make(struct memscan *m)
{
	struct window *w;
	size_t i, j, n = 0;
	uint32_t h;

	for (i = 0; i < m->npatterns; i++)
		n += m->patterns[i].len - SEED + 1;
	if (n == 0)
		errx(2, "no pattern");
	m->windows = calloc(n, sizeof(*m->windows));
	m->buckets = calloc((size_t)1 << BUCKET_BITS, sizeof(*m->buckets));
	m->filter = calloc((size_t)1 << (FILTER_BITS - 3), 1);
	m->buf = malloc(KEPT_MAX + CHUNK);
	if (m->windows == NULL || m->buckets == NULL || m->filter == NULL ||
	    m->buf == NULL)
		err(1, NULL);
	for (i = 0; i < m->npatterns; i++) {
		for (j = 0; j + SEED <= m->patterns[i].len; j++) {
			h = window_hash(m->patterns[i].p + j);
			w = &m->windows[m->nwindows++];
			w->pattern = (uint32_t)i;
			w->offset = (uint32_t)j;
			w->next = m->buckets[BUCKET(h)];
			m->buckets[BUCKET(h)] = (uint32_t)m->nwindows;
			m->filter[h >> 3] |= (uint8_t)(1 << (h & 7));
		}
	}
}

/* ---- looking ---- */

/*
 * Tell of every pattern that has a piece around a place.  Returns how far
 * the longest goes on from there.
 */
static size_t
find_here(struct memscan *m, size_t at, size_t len, uint32_t h)
{
	const uint8_t *p = m->buf + at;
	const struct pattern *pat;
	const struct window *w;
	size_t before, after, longest = 0;
	uint32_t i;

	for (i = m->buckets[BUCKET(h)]; i != 0; i = w->next) {
		w = &m->windows[i - 1];
		pat = &m->patterns[w->pattern];
		if (memcmp(pat->p + w->offset, p, SEED) != 0)
			continue;
		for (before = 0; before < at && before < w->offset &&
				 pat->p[w->offset - before - 1] ==
				     p[-1 - (ptrdiff_t)before];
		     before++)
			continue;
		for (after = SEED;
		     at + after < len && w->offset + after < pat->len &&
		     pat->p[w->offset + after] == p[after];
		     after++)
			continue;
		if (before + after < MEMSCAN_WINDOW)
			continue;
		printf("%ld %s %zu %zu %s\n", (long)m->pid, pat->name,
		    w->offset - before, before + after, m->where);
		if (after > longest)
			longest = after;
	}
	return longest;
}

/* len bytes have been read behind those that were kept; 0 ends a run. */
static void
scan_chunk(struct memscan *m, size_t len)
{
	size_t at, n = m->kept + len;
	uint32_t h;

	for (at = 0; at + SEED <= n; at += STRIDE) {
		h = window_hash(m->buf + at);
		if ((m->filter[h >> 3] & 1 << (h & 7)) != 0)
			at += find_here(m, at, n, h) / STRIDE * STRIDE;
	}
	m->kept = len == 0 ? 0 : MIN(n, KEPT_MAX);
	memmove(m->buf, m->buf + n - m->kept, m->kept);
}

static void scan_name(struct memscan *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
scan_name(struct memscan *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->where, sizeof(m->where), fmt, ap);
	va_end(ap);
}

/* ---- memory ---- */

/* -1 when it is closed to us. */
static int
open_proc(const struct memscan *m, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)m->pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1 && errno != EACCES)
		err(1, "%s", path);
	return fd;
}

static ssize_t
read_memory(struct memscan *m, int mem, uint8_t *buf, size_t len, uint64_t at)
{
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)at,
		.iov_len = len };

	if (mem != -1)
		return pread(mem, buf, len, (off_t)at);
	return process_vm_readv(m->pid, &local, 1, &remote, 1, 0);
}

/* A page that cannot be read has been given away since, or is nobody's. */
static void
scan_pages(struct memscan *m, int mem, uint64_t start, uint64_t end)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	ssize_t n;

	while (start < end) {
		n = read_memory(
		    m, mem, m->buf + m->kept, MIN(CHUNK, end - start), start);
		if (n == -1 && errno == EPERM)
			err(1, "%ld", (long)m->pid);
		scan_chunk(m, n <= 0 ? 0 : (size_t)n);
		start += n <= 0 ? page : (uint64_t)n;
	}
	scan_chunk(m, 0);
}

/*
 * Only pages that are there: reading others would make them, in the process
 * that is looked at.
 */
static void
scan_mapping(
    struct memscan *m, int mem, int pagemap, uint64_t start, uint64_t end)
{
	const uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t entries[512], at, run = 0;
	size_t i = 0, n = 0;
	bool present;

	if (end - start > HUGE_MAPPING)
		exit(EXIT_HUGE);
	if (pagemap == -1) {
		scan_pages(m, mem, start, end);
		return;
	}
	for (at = start; at < end; at += size, i++) {
		if (i == n) {
			n = MIN(sizeof(entries) / sizeof(entries[0]),
			    (end - at) / size);
			if (pread(pagemap, entries, n * sizeof(entries[0]),
				(off_t)(at / size * sizeof(entries[0]))) !=
			    (ssize_t)(n * sizeof(entries[0])))
				err(1, "pagemap");
			i = 0;
		}
		present = (entries[i] & (PAGE_PRESENT | PAGE_SWAPPED)) != 0;
		if (present && run == 0)
			run = at;
		if (!present && run != 0) {
			scan_pages(m, mem, run, at);
			run = 0;
		}
	}
	if (run != 0)
		scan_pages(m, mem, run, end);
}

/* The addresses that a line of maps begins with; 0 or -1. */
static int
mapping_range(const char *line, uint64_t *start, uint64_t *end, char **rest)
{
	char *p;

	*start = strtoull(line, &p, 16);
	if (p == line || *p != '-')
		return -1;
	line = p + 1;
	*end = strtoull(line, &p, 16);
	if (p == line || *p != ' ')
		return -1;
	*rest = p;
	return 0;
}

static void
scan_memory(struct memscan *m)
{
	char line[PATH_MAX + 128], mode[8], name[PATH_MAX], *rest;
	int mem = open_proc(m, "mem"), pagemap = open_proc(m, "pagemap");
	int fd = open_proc(m, "maps");
	FILE *maps = fd == -1 ? NULL : fdopen(fd, "r");
	uint64_t start, end;

	if (maps == NULL)
		err(1, "%ld: maps", (long)m->pid);
	while (fgets(line, sizeof(line), maps) != NULL) {
		name[0] = '\0';
		if (mapping_range(line, &start, &end, &rest) == -1 ||
		    sscanf(rest, " %7s %*s %*s %*s %4095[^\n]", mode, name) < 1)
			errx(1, "maps: %s", line);
		/* The kernel's own pages. */
		if (strncmp(name, "[vvar", 5) == 0 ||
		    strcmp(name, "[vsyscall]") == 0)
			continue;
		scan_name(m, "memory %s %.256s", mode,
		    name[0] == '\0' ? "anonymous" : name);
		scan_mapping(m, mem, pagemap, start, end);
	}
	fclose(maps);
	if (mem != -1)
		close(mem);
	if (pagemap != -1)
		close(pagemap);
}

/* ---- what else a process has ---- */

/* The environment is in memory, too, should its file be closed to us. */
static void
scan_stream(struct memscan *m, const char *name)
{
	int fd = open_proc(m, name);
	ssize_t n;

	if (fd == -1)
		return;
	scan_name(m, "%s", name);
	while ((n = read(fd, m->buf + m->kept, CHUNK)) > 0)
		scan_chunk(m, (size_t)n);
	scan_chunk(m, 0);
	close(fd);
}

/* A descriptor of theirs may be for writing only, so open the file anew. */
static void
scan_file(struct memscan *m, const char *path)
{
	off_t at = 0;
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) == -1)
		return;
	while ((n = pread(fd, m->buf + m->kept, CHUNK, at)) > 0) {
		scan_chunk(m, (size_t)n);
		at += n;
	}
	scan_chunk(m, 0);
	close(fd);
}

/*
 * What waits in a unix socket, message by message, without taking it away:
 * each look begins where the last one ended.
 */
static void
scan_queue(struct memscan *m, int fd)
{
	int domain = 0, off = 0;
	socklen_t len = sizeof(domain);
	ssize_t n;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1 ||
	    domain != AF_UNIX ||
	    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) == -1)
		return;
	while ((n = recv(fd, m->buf, CHUNK, MSG_PEEK | MSG_DONTWAIT)) > 0) {
		m->kept = 0;
		scan_chunk(m, (size_t)n);
	}
	scan_chunk(m, 0);
	off = -1;
	setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
}

static void
scan_descriptor(struct memscan *m, int number, int fd)
{
	char path[64], target[256];
	struct stat st;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) == -1 ||
	    (n = readlink(path, target, sizeof(target) - 1)) == -1)
		return;
	target[n] = '\0';
	if (S_ISREG(st.st_mode)) {
		scan_name(m, "file %s", target);
		scan_file(m, path);
	} else if (S_ISSOCK(st.st_mode)) {
		scan_name(m, "queue %d", number);
		scan_queue(m, fd);
	}
}

static void
scan_descriptors(struct memscan *m)
{
	int pidfd, number, fd;

	if ((pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0)) == -1)
		err(1, "%ld: pidfd_open", (long)m->pid);
	for (number = 0; number < DESCRIPTORS; number++) {
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
		if (fd == -1 && errno == EPERM)
			err(1, "%ld: pidfd_getfd", (long)m->pid);
		if (fd == -1)
			continue;
		scan_descriptor(m, number, fd);
		close(fd);
	}
	close(pidfd);
}

static void
memscan_clear(struct memscan *m)
{
	size_t i;

	for (i = 0; i < m->npatterns; i++) {
		free(m->patterns[i].name);
		free(m->patterns[i].p);
	}
	free(m->patterns);
	free(m->windows);
	free(m->buckets);
	free(m->filter);
	free(m->buf);
}

static pid_t
pid_parse(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || pid < 1 || pid > INT_MAX)
		errx(2, "not a process: %s", text);
	return (pid_t)pid;
}

int
main(int argc, char *argv[])
{
	struct memscan m = { .npatterns = 0 };
	int i;

	if (argc < 2) {
		fprintf(stderr, "usage: memscan pid ...\n");
		return 2;
	}
	patterns_read(&m, stdin);
	windows_make(&m);
	for (i = 1; i < argc; i++) {
		m.pid = pid_parse(argv[i]);
		scan_memory(&m);
		scan_stream(&m, "environ");
		scan_stream(&m, "cmdline");
		scan_descriptors(&m);
	}
	memscan_clear(&m);
	return fflush(stdout) == 0 ? 0 : 1;
}
