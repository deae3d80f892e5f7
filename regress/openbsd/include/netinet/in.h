/* inet(4), inet6(4). */
#ifndef OPENBSD_NETINET_IN_H
#define OPENBSD_NETINET_IN_H

#include <sys/types.h>

typedef uint32_t in_addr_t;
typedef uint16_t in_port_t;
struct in_addr {
	in_addr_t s_addr;
};
struct in6_addr {
	union {
		uint8_t openbsd_addr8[16];
		uint32_t openbsd_addr32[4];
	} openbsd_u;
};
#define s6_addr openbsd_u.openbsd_addr8
struct sockaddr_in {
	uint8_t sin_len;
	unsigned char sin_family;
	in_port_t sin_port;
	struct in_addr sin_addr;
	int8_t sin_zero[8];
};
struct sockaddr_in6 {
	uint8_t sin6_len;
	unsigned char sin6_family;
	in_port_t sin6_port;
	uint32_t sin6_flowinfo;
	struct in6_addr sin6_addr;
	uint32_t sin6_scope_id;
};
#define INADDR_ANY               ((in_addr_t)0)
#define INADDR_LOOPBACK          ((in_addr_t)0x7f000001)
#define INET_ADDRSTRLEN          16
#define INET6_ADDRSTRLEN         46
#define IPPROTO_TCP              6
#define IPPROTO_IPV6             41
#define IPV6_V6ONLY              27
#define IN6_IS_ADDR_V4MAPPED(a)  ((a)->s6_addr[10] == 0xff)
#define IN6_IS_ADDR_LINKLOCAL(a) ((a)->s6_addr[0] == 0xfe)
extern const struct in6_addr in6addr_any, in6addr_loopback;

uint16_t htons(uint16_t);
uint16_t ntohs(uint16_t);
uint32_t htonl(uint32_t);
uint32_t ntohl(uint32_t);

#endif /* OPENBSD_NETINET_IN_H */
