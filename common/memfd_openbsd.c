/*
 * Anonymous shared memory on OpenBSD: shm_mkstemp(3), unlinked at once.  There
 * are no seals: whoever holds the descriptor can shrink the object, and the
 * others then die of SIGBUS.  That is a worker spoiling what it may spoil.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "memfd.h"

/* *readable (NULL: not wanted) gets a second descriptor, for reading alone. */
static int
memfd_open(const char *name, size_t size, int *readable)
{
	char template[64];
	int fd, len, saved;

	len = snprintf(template, sizeof(template), "/%s.XXXXXXXXXX", name);
	if (len < 0 || (size_t)len >= sizeof(template)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = shm_mkstemp(template)) == -1)
		return -1;
	if (readable != NULL)
		*readable = shm_open(template, O_RDONLY, 0);
	if (shm_unlink(template) == -1 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    ftruncate(fd, (off_t)size) == -1) {
		saved = errno;
		close(fd);
		if (readable != NULL && *readable != -1)
			close(*readable);
		errno = saved;
		return -1;
	}
	return fd;
}

int
memfd_new(const char *name, size_t size)
{
	return memfd_open(name, size, NULL);
}

int
memfd_text(const char *name, const void *text, size_t size)
{
	int fd, readable, saved;

	if ((fd = memfd_open(name, size, &readable)) == -1)
		return -1;
	if (readable != -1 && (fcntl(readable, F_SETFD, FD_CLOEXEC) == -1 ||
				  pwrite(fd, text, size, 0) != (ssize_t)size)) {
		saved = errno;
		close(readable);
		errno = saved;
		readable = -1;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return readable;
}

bool
memfd_check(int fd, size_t size)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == (off_t)size;
}
