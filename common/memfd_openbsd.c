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

int
memfd_new(const char *name, size_t size)
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
	if (shm_unlink(template) == -1 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    ftruncate(fd, (off_t)size) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool
memfd_check(int fd, size_t size)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == (off_t)size;
}
