/*
 * What the kernel says of a process, on Linux: /proc.  The descriptors come
 * from a child, so the supervisor believes nothing about them: a pipe would
 * block it, another process's file would mislead it, a file system in user
 * space could do both.  Only a descriptor that is the very file of /proc that
 * it should be is ever read.
 */
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "procinfo.h"

/* In the order of MSG_READY. */
enum procinfo_file {
	FILE_STAT,
	FILE_STATM,
	FILE_STATUS,
	FILE_FD,
};

static const struct {
	const char *name;
	int flags;
} files[PROCINFO_FDS] = {
	[FILE_STAT] = { "stat", O_RDONLY },
	[FILE_STATM] = { "statm", O_RDONLY },
	[FILE_STATUS] = { "status", O_RDONLY },
	[FILE_FD] = { "fd", O_PATH | O_DIRECTORY },
};

/* stat and statm are much shorter; status has a line of all groups. */
#define PROCINFO_TEXT_MAX 8192

static void
procinfo_close(int *fds, size_t nfds)
{
	size_t i;
	int saved = errno;

	for (i = 0; i < nfds; i++)
		close(fds[i]);
	errno = saved;
}

size_t
procinfo_open(int fds[PROCINFO_FDS])
{
	char path[32];
	size_t i;

	for (i = 0; i < PROCINFO_FDS; i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i].name);
		fds[i] = open(path, files[i].flags | O_CLOEXEC);
		if (fds[i] == -1) {
			procinfo_close(fds, i);
			return 0;
		}
	}
	return PROCINFO_FDS;
}

/*
 * Is fd that file of that process?  The name comes from the kernel without a
 * question to the file system; only then is the file system asked.
 */
static bool
procinfo_genuine(int fd, pid_t pid, enum procinfo_file file)
{
	struct statfs fs;
	char link[64], want[64], have[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(
	    want, sizeof(want), "/proc/%ld/%s", (long)pid, files[file].name);
	n = readlink(link, have, sizeof(have) - 1);
	if (n == -1)
		return false;
	have[n] = '\0';
	return strcmp(have, want) == 0 && fstatfs(fd, &fs) == 0 &&
	       fs.f_type == PROC_SUPER_MAGIC;
}

/* The text of a file, or an empty one. */
static void
procinfo_text(
    int fd, pid_t pid, enum procinfo_file file, char text[PROCINFO_TEXT_MAX])
{
	ssize_t n = 0;

	if (procinfo_genuine(fd, pid, file))
		n = pread(fd, text, PROCINFO_TEXT_MAX - 1, 0);
	text[n > 0 ? n : 0] = '\0';
}

/* The number in the field of that index, counted from 0; -1 when none. */
static int64_t
procinfo_field(const char *text, unsigned index)
{
	char *end;
	unsigned long long value;

	text += strspn(text, " \t");
	while (index-- > 0) {
		text += strcspn(text, " \t\n");
		text += strspn(text, " \t");
	}
	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || value > INT64_MAX || strchr(" \t\n", *end) == NULL)
		return -1;
	return (int64_t)value;
}

/* The number after a line's name, which begins with a newline; or 0. */
static uint8_t
procinfo_line(const char *text, const char *name)
{
	const char *p;
	int64_t value;

	if ((p = strstr(text, name)) == NULL)
		return 0;
	value = procinfo_field(p + strlen(name), 0);
	return value < 0 || value > UINT8_MAX ? 0 : (uint8_t)value;
}

/* User and system time in microseconds, from stat. */
static int64_t
procinfo_cpu(const char *text)
{
	const char *p;
	int64_t user, sys, hz;

	/* The name, in parentheses, may itself hold spaces and parentheses. */
	if ((p = strrchr(text, ')')) == NULL)
		return -1;
	user = procinfo_field(p + 1, 11);
	sys = procinfo_field(p + 1, 12);
	hz = sysconf(_SC_CLK_TCK);
	if (user < 0 || sys < 0 || hz <= 0)
		return -1;
	/* Beyond this no clock has ever ticked. */
	if (user > INT64_MAX / 2000000 || sys > INT64_MAX / 2000000)
		return -1;
	return (user + sys) * 1000000 / hz;
}

/* Resident memory in bytes, from statm. */
static int64_t
procinfo_resident(const char *text)
{
	int64_t pages, size;

	pages = procinfo_field(text, 1);
	size = sysconf(_SC_PAGESIZE);
	if (pages < 0 || size <= 0 || pages > INT64_MAX / size)
		return -1;
	return pages * size;
}

/* Open descriptors: the size of the directory, from Linux 6.2 on. */
static int64_t
procinfo_descriptors(int fd, pid_t pid)
{
	struct stat st;

	if (!procinfo_genuine(fd, pid, FILE_FD) || fstat(fd, &st) == -1)
		return -1;
	return st.st_size > 0 ? (int64_t)st.st_size : -1;
}

void
procinfo_read(pid_t pid, const int *fds, size_t nfds, struct msg_process *out)
{
	char text[PROCINFO_TEXT_MAX];
	int own[PROCINFO_FDS];
	size_t nown = 0;

	out->cpu_us = out->resident_bytes = out->descriptors = -1;
	out->seccomp = out->no_new_privs = 0;

	if (nfds == 0 && pid == getpid()) {
		nown = nfds = procinfo_open(own);
		fds = own;
	}
	if (nfds != PROCINFO_FDS)
		return;

	procinfo_text(fds[FILE_STAT], pid, FILE_STAT, text);
	out->cpu_us = procinfo_cpu(text);
	procinfo_text(fds[FILE_STATM], pid, FILE_STATM, text);
	out->resident_bytes = procinfo_resident(text);
	procinfo_text(fds[FILE_STATUS], pid, FILE_STATUS, text);
	out->seccomp = procinfo_line(text, "\nSeccomp:");
	out->no_new_privs = procinfo_line(text, "\nNoNewPrivs:");
	out->descriptors = procinfo_descriptors(fds[FILE_FD], pid);
	if (out->descriptors > (int64_t)nown)
		out->descriptors -= (int64_t)nown;
	procinfo_close(own, nown);
}
