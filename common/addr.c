/*
 * Network addresses, as text and as socket addresses.  inet_pton(3) reads
 * them, so nothing is looked up and nothing has two meanings: no names, no
 * octal, no short forms.
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdio.h>
#include <string.h>

#include "addr.h"

#define V4_BITS      32
#define V6_BITS      128
#define V4_OFFSET    12 /* where IPv4 begins in the mapped form */
#define LIMIT_PREFIX 8 /* bytes of an IPv6 address that limits count by */

static const uint8_t mapped_prefix[V4_OFFSET] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0xff, 0xff };

/* Decimal digits only, from 0 to max; -1 otherwise. */
static long
number_parse(const char *text, long max)
{
	const char *p;
	long n = 0;

	if (*text == '\0')
		return -1;
	for (p = text; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return -1;
		n = n * 10 + (*p - '0');
		if (n > max)
			return -1;
	}
	return n;
}

/* The part of text before end as a string, in buf; -1 when it is too long. */
static int
text_cut(char *buf, size_t size, const char *text, const char *end)
{
	size_t len = (size_t)(end - text);

	if (len >= size)
		return -1;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return 0;
}

static void
addr_set_v4(struct addr *addr, const void *ip)
{
	memcpy(addr->ip, mapped_prefix, V4_OFFSET);
	memcpy(addr->ip + V4_OFFSET, ip, 4);
}

static bool
addr_is_v4(const struct addr *addr)
{
	return memcmp(addr->ip, mapped_prefix, V4_OFFSET) == 0;
}

int
addr_parse_ip(struct addr *addr, const char *text)
{
	uint8_t ip[16];

	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, text, ip) == 1)
		addr_set_v4(addr, ip);
	else if (inet_pton(AF_INET6, text, ip) == 1)
		memcpy(addr->ip, ip, sizeof(addr->ip));
	else
		return -1;
	return 0;
}

int
addr_parse(struct addr *addr, const char *text)
{
	char ip[INET6_ADDRSTRLEN];
	const char *colon, *end;
	long port;

	colon = strrchr(text, ':');
	if (colon == NULL)
		return -1;
	end = colon;
	if (*text == '[') {
		text++;
		end--;
		if (end < text || *end != ']')
			return -1;
	}
	if (text_cut(ip, sizeof(ip), text, end) == -1 ||
	    (strchr(ip, ':') != NULL) != (end != colon) ||
	    addr_parse_ip(addr, ip) == -1)
		return -1;
	port = number_parse(colon + 1, UINT16_MAX);
	if (port <= 0)
		return -1;
	addr->port = (uint16_t)port;
	return 0;
}

/* Zero what the prefix does not cover. */
static void
ip_mask(uint8_t ip[16], unsigned bits)
{
	unsigned i;

	for (i = 0; i < 16; i++) {
		if (bits >= 8) {
			bits -= 8;
			continue;
		}
		ip[i] &= (uint8_t)(0xff00 >> bits);
		bits = 0;
	}
}

int
cidr_parse(struct cidr *cidr, const char *text)
{
	char ip[INET6_ADDRSTRLEN];
	struct addr addr;
	const char *slash;
	long bits, max;

	slash = strchr(text, '/');
	if (text_cut(ip, sizeof(ip), text,
		slash == NULL ? text + strlen(text) : slash) == -1 ||
	    addr_parse_ip(&addr, ip) == -1)
		return -1;
	/* "::ffff:10.0.0.0/104" counts as it is written. */
	max = strchr(ip, ':') == NULL ? V4_BITS : V6_BITS;
	bits = slash == NULL ? max : number_parse(slash + 1, max);
	if (bits == -1)
		return -1;
	memcpy(cidr->ip, addr.ip, sizeof(cidr->ip));
	cidr->bits = (unsigned)(bits + V6_BITS - max);
	ip_mask(cidr->ip, cidr->bits);
	return 0;
}

bool
cidr_contains(const struct cidr *cidr, const struct addr *addr)
{
	uint8_t ip[16];

	memcpy(ip, addr->ip, sizeof(ip));
	ip_mask(ip, cidr->bits);
	return memcmp(ip, cidr->ip, sizeof(ip)) == 0;
}

int
addr_from_sockaddr(struct addr *addr, const struct sockaddr *sa)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	memset(addr, 0, sizeof(*addr));
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&sin, sa, sizeof(sin));
		addr_set_v4(addr, &sin.sin_addr);
		addr->port = ntohs(sin.sin_port);
		return 0;
	case AF_INET6:
		memcpy(&sin6, sa, sizeof(sin6));
		memcpy(addr->ip, &sin6.sin6_addr, sizeof(addr->ip));
		addr->port = ntohs(sin6.sin6_port);
		return 0;
	default:
		return -1;
	}
}

socklen_t
addr_to_sockaddr(const struct addr *addr, struct sockaddr_storage *ss)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	memset(ss, 0, sizeof(*ss));
	if (addr_is_v4(addr)) {
		memset(&sin, 0, sizeof(sin));
		sin.sin_family = AF_INET;
		sin.sin_port = htons(addr->port);
		memcpy(&sin.sin_addr, addr->ip + V4_OFFSET, 4);
#ifdef __OpenBSD__
		sin.sin_len = sizeof(sin);
#endif
		memcpy(ss, &sin, sizeof(sin));
		return sizeof(sin);
	}
	memset(&sin6, 0, sizeof(sin6));
	sin6.sin6_family = AF_INET6;
	sin6.sin6_port = htons(addr->port);
	memcpy(&sin6.sin6_addr, addr->ip, sizeof(addr->ip));
#ifdef __OpenBSD__
	sin6.sin6_len = sizeof(sin6);
#endif
	memcpy(ss, &sin6, sizeof(sin6));
	return sizeof(sin6);
}

const char *
addr_print_ip(const struct addr *addr, char buf[ADDR_TEXT_MAX])
{
	if (addr_is_v4(addr))
		inet_ntop(AF_INET, addr->ip + V4_OFFSET, buf, ADDR_TEXT_MAX);
	else
		inet_ntop(AF_INET6, addr->ip, buf, ADDR_TEXT_MAX);
	return buf;
}

const char *
addr_print(const struct addr *addr, char buf[ADDR_TEXT_MAX])
{
	char ip[ADDR_TEXT_MAX];

	snprintf(buf, ADDR_TEXT_MAX, addr_is_v4(addr) ? "%s:%u" : "[%s]:%u",
	    addr_print_ip(addr, ip), addr->port);
	return buf;
}

bool
addr_is_loopback(const struct addr *addr)
{
	if (addr_is_v4(addr))
		return addr->ip[V4_OFFSET] == 127;
	return memcmp(addr->ip, &in6addr_loopback, sizeof(addr->ip)) == 0;
}

void
addr_limit_key(const struct addr *addr, uint8_t key[16])
{
	memcpy(key, addr->ip, 16);
	if (!addr_is_v4(addr))
		memset(key + LIMIT_PREFIX, 0, 16 - LIMIT_PREFIX);
}
