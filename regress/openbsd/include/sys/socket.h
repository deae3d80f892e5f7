/*
 * socket(2) and its family.  Addresses begin with their length, and an
 * address family has eight bits.
 */
#ifndef OPENBSD_SYS_SOCKET_H
#define OPENBSD_SYS_SOCKET_H

#include <sys/types.h>
#include <sys/uio.h>

typedef openbsd_socklen_t socklen_t;
typedef unsigned char sa_family_t;

struct sockaddr {
	unsigned char sa_len;
	sa_family_t sa_family;
	char sa_data[14];
};
struct sockaddr_storage {
	unsigned char ss_len;
	sa_family_t ss_family;
	unsigned char openbsd_pad[6];
	unsigned long long openbsd_align;
	unsigned char openbsd_more[240];
};
struct linger {
	int l_onoff;
	int l_linger;
};
/* What SO_PEERCRED is asked for; there is no struct ucred. */
struct sockpeercred {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};
struct msghdr {
	void *msg_name;
	socklen_t msg_namelen;
	struct iovec *msg_iov;
	unsigned int msg_iovlen;
	void *msg_control;
	socklen_t msg_controllen;
	int msg_flags;
};
struct cmsghdr {
	socklen_t cmsg_len;
	int cmsg_level;
	int cmsg_type;
};
#define OPENBSD_ALIGN(n) (((unsigned long)(n) + 15) & ~15UL)
#define CMSG_DATA(cmsg) \
	((unsigned char *)(cmsg) + OPENBSD_ALIGN(sizeof(struct cmsghdr)))
#define CMSG_LEN(n)   (OPENBSD_ALIGN(sizeof(struct cmsghdr)) + (n))
#define CMSG_SPACE(n) (OPENBSD_ALIGN(sizeof(struct cmsghdr)) + OPENBSD_ALIGN(n))
#define CMSG_FIRSTHDR(mhdr)                               \
	((mhdr)->msg_controllen >= sizeof(struct cmsghdr) \
		? (struct cmsghdr *)(mhdr)->msg_control   \
		: (struct cmsghdr *)0)
struct cmsghdr *openbsd_cmsg_next(struct msghdr *, struct cmsghdr *);
#define CMSG_NXTHDR(mhdr, cmsg) openbsd_cmsg_next(mhdr, cmsg)

#define AF_UNSPEC               0
#define AF_UNIX                 1
#define AF_INET                 2
#define AF_INET6                24
#define PF_UNIX                 AF_UNIX
#define SOCK_STREAM             1
#define SOCK_DGRAM              2
#define SOCK_SEQPACKET          5
#define SOCK_CLOEXEC            0x8000
#define SOCK_NONBLOCK           0x4000
#define SOL_SOCKET              0xffff
#define SO_ACCEPTCONN           0x0002
#define SO_REUSEADDR            0x0004
#define SO_KEEPALIVE            0x0008
#define SO_LINGER               0x0080
#define SO_REUSEPORT            0x0200
#define SO_SNDBUF               0x1001
#define SO_RCVBUF               0x1002
#define SO_ERROR                0x1007
#define SO_TYPE                 0x1008
#define SO_PEERCRED             0x1022
#define SO_PROTOCOL             0x1025
#define SO_DOMAIN               0x1024
#define SOMAXCONN               128
#define SCM_RIGHTS              0x01
#define MSG_PEEK                0x2
#define MSG_TRUNC               0x10
#define MSG_CTRUNC              0x20
#define MSG_DONTWAIT            0x80
#define MSG_NOSIGNAL            0x400
#define MSG_CMSG_CLOEXEC        0x800
#define MSG_WAITALL             0x40
#define SHUT_RD                 0
#define SHUT_WR                 1
#define SHUT_RDWR               2

int accept(int, struct sockaddr *, socklen_t *);
int accept4(int, struct sockaddr *, socklen_t *, int);
int bind(int, const struct sockaddr *, socklen_t);
int connect(int, const struct sockaddr *, socklen_t);
int getpeername(int, struct sockaddr *, socklen_t *);
int getsockname(int, struct sockaddr *, socklen_t *);
int getsockopt(int, int, int, void *, socklen_t *);
int listen(int, int);
ssize_t recv(int, void *, size_t, int);
ssize_t recvmsg(int, struct msghdr *, int);
ssize_t send(int, const void *, size_t, int);
ssize_t sendmsg(int, const struct msghdr *, int);
ssize_t
sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
int setsockopt(int, int, int, const void *, socklen_t);
int shutdown(int, int);
int socket(int, int, int);
int socketpair(int, int, int, int[2]);

#endif /* OPENBSD_SYS_SOCKET_H */
