/*
 * Network addresses: one type for IPv4 and IPv6, text on both ways, and the
 * questions that policy asks.  What is decided about an address is decided
 * on the parsed form, never on its text.
 */
#ifndef ADDR_H
#define ADDR_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDR_TEXT_MAX 64 /* "[v6%scope]:port" and a NUL */

struct addr {
	uint8_t ip[16]; /* IPv6; IPv4 as ::ffff:a.b.c.d, printed as IPv4 */
	uint16_t port; /* host byte order, 0 when there is none */
};

struct cidr {
	uint8_t ip[16];
	unsigned bits; /* 0 to 128, of the mapped form */
};

/* "1.2.3.4:80" or "[::1]:80"; the port must be there.  0 or -1. */
int addr_parse(struct addr *, const char *text);
/* "1.2.3.4" or "::1", without port or brackets.  0 or -1. */
int addr_parse_ip(struct addr *, const char *text);
/* "10.0.0.0/8", "fd00::/8", or a plain address.  0 or -1. */
int cidr_parse(struct cidr *, const char *text);
bool cidr_contains(const struct cidr *, const struct addr *);

/* From a socket address; -1 when it is neither IPv4 nor IPv6. */
int addr_from_sockaddr(struct addr *, const struct sockaddr *);
/* Returns the length that bind(2) and connect(2) want. */
socklen_t addr_to_sockaddr(const struct addr *, struct sockaddr_storage *);

/* With the port, brackets for IPv6.  Returns buf. */
const char *addr_print(const struct addr *, char buf[ADDR_TEXT_MAX]);
/* Without the port.  Returns buf. */
const char *addr_print_ip(const struct addr *, char buf[ADDR_TEXT_MAX]);

/* 127.0.0.0/8 or ::1. */
bool addr_is_loopback(const struct addr *);
/*
 * The part of the address that limits count by: the whole of an IPv4
 * address, the first 64 bits of an IPv6 one; the rest is zero.
 */
void addr_limit_key(const struct addr *, uint8_t key[16]);

#endif /* ADDR_H */
