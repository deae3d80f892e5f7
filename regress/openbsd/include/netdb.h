/* getaddrinfo(3), getnameinfo(3). */
#ifndef OPENBSD_NETDB_H
#define OPENBSD_NETDB_H

#include <sys/types.h>
#include <sys/socket.h>

struct addrinfo {
	int ai_flags, ai_family, ai_socktype, ai_protocol;
	socklen_t ai_addrlen;
	struct sockaddr *ai_addr;
	char *ai_canonname;
	struct addrinfo *ai_next;
};
#define AI_PASSIVE     1
#define AI_CANONNAME   2
#define AI_NUMERICHOST 4
#define AI_NUMERICSERV 16
#define NI_NUMERICHOST 1
#define NI_NUMERICSERV 2
#define NI_MAXHOST     256
#define NI_MAXSERV     32
#define EAI_SYSTEM     (-11)
#define EAI_NONAME     (-2)
#define EAI_AGAIN      (-3)
#define EAI_FAIL       (-4)
#define EAI_FAMILY     (-6)
#define EAI_MEMORY     (-10)
#define EAI_SERVICE    (-8)
#define EAI_SOCKTYPE   (-7)
#define EAI_BADFLAGS   (-1)

int getaddrinfo(
    const char *, const char *, const struct addrinfo *, struct addrinfo **);
void freeaddrinfo(struct addrinfo *);
const char *gai_strerror(int);
int getnameinfo(const struct sockaddr *, socklen_t, char *, openbsd_size_t,
    char *, openbsd_size_t, int);

#endif /* OPENBSD_NETDB_H */
