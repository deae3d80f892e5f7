/* inet_ntop(3). */
#ifndef OPENBSD_ARPA_INET_H
#define OPENBSD_ARPA_INET_H

#include <netinet/in.h>
#include <sys/socket.h>

const char *inet_ntop(int, const void *, char *, socklen_t);
int inet_pton(int, const char *, void *);

#endif /* OPENBSD_ARPA_INET_H */
