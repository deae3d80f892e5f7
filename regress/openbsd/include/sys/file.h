/* flock(2) as its manual includes it elsewhere; the rest is the kernel's. */
#ifndef OPENBSD_SYS_FILE_H
#define OPENBSD_SYS_FILE_H

#include <fcntl.h>

#endif /* OPENBSD_SYS_FILE_H */
