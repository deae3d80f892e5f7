/* unix(4). */
#ifndef OPENBSD_SYS_UN_H
#define OPENBSD_SYS_UN_H

#include <sys/types.h>

struct sockaddr_un {
	unsigned char sun_len;
	unsigned char sun_family;
	char sun_path[104];
};

#endif /* OPENBSD_SYS_UN_H */
