/*
 * Anonymous shared memory on Linux: memfd_create(2) and its seals.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "memfd.h"

/* Linux 6.3; older headers lack it, older kernels refuse it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define MEMFD_FLAGS (MFD_CLOEXEC | MFD_ALLOW_SEALING)
#define MEMFD_SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static int
memfd_open(const char *name)
{
	int fd;

	fd = memfd_create(name, MEMFD_FLAGS | MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL)
		fd = memfd_create(name, MEMFD_FLAGS);
	return fd;
}

static int
memfd_failed(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

int
memfd_new(const char *name, size_t size)
{
	int fd;

	if ((fd = memfd_open(name)) == -1)
		return -1;
	if (ftruncate(fd, (off_t)size) == -1 ||
	    fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) == -1)
		return memfd_failed(fd);
	return fd;
}

int
memfd_text(const char *name, const void *text, size_t size)
{
	int fd;

	if ((fd = memfd_open(name)) == -1)
		return -1;
	if (ftruncate(fd, (off_t)size) == -1 ||
	    pwrite(fd, text, size, 0) != (ssize_t)size ||
	    fcntl(fd, F_ADD_SEALS, MEMFD_SEALS | F_SEAL_WRITE) == -1)
		return memfd_failed(fd);
	return fd;
}

/*
 * The size comes from lseek(2): glibc's fstat(2) is a call that also takes
 * path names, which the workers' filter refuses.  Only shared memory has
 * seals, so nothing else gets as far as that.
 */
bool
memfd_check(int fd, size_t size)
{
	int seals;

	if ((seals = fcntl(fd, F_GET_SEALS)) == -1)
		return false;
	if ((seals & MEMFD_SEALS) != MEMFD_SEALS)
		return false;
	return lseek(fd, 0, SEEK_END) == (off_t)size;
}
