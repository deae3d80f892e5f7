/*
 * The small grammar of HTTP header fields: tokens, lists, hosts, base64.
 * Strict, since leniency is how requests are smuggled.
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

#define TEXT_SIZE_MIN 64 /* first allocation */

bool
text_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
text_is_hex(uint8_t c)
{
	return text_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool
text_is_alnum(uint8_t c)
{
	return text_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

bool
text_is_token(uint8_t c)
{
	return text_is_alnum(c) ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

int
text_append(struct text *t, const char *p, size_t len)
{
	size_t need = t->len + len + 1, size;
	char *grown;

	if (need > t->size) {
		size = t->size == 0 ? TEXT_SIZE_MIN : 2 * t->size;
		if (size < need)
			size = need;
		if ((grown = recallocarray(t->p, t->size, size, 1)) == NULL)
			return -1;
		t->p = grown;
		t->size = size;
	}
	memcpy(t->p + t->len, p, len);
	t->len += len;
	t->p[t->len] = '\0';
	return 0;
}

bool
text_list_next(const char **list, struct slice *out)
{
	const char *p = *list;

	if (p == NULL)
		return false;
	p += strspn(p, " \t,");
	if (*p == '\0')
		return false;
	out->p = p;
	out->len = strcspn(p, ",");
	*list = p + out->len;
	while (p[out->len - 1] == ' ' || p[out->len - 1] == '\t')
		out->len--;
	return true;
}

bool
text_slice_is(const struct slice *s, const char *text)
{
	return s->len == strlen(text) && strncasecmp(s->p, text, s->len) == 0;
}

bool
text_list_has(const char *list, const char *token)
{
	struct slice s;

	while (text_list_next(&list, &s))
		if (text_slice_is(&s, token))
			return true;
	return false;
}

/* RFC 3986, section 3.2.2; IPv4 addresses look like names. */
static bool
text_name_legal(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] == '%') {
			if (len - i < 3 || !text_is_hex((uint8_t)p[i + 1]) ||
			    !text_is_hex((uint8_t)p[i + 2]))
				return false;
			i += 2;
		} else if (!text_is_alnum((uint8_t)p[i]) &&
			   (p[i] == '\0' ||
			       strchr("-._~!$&'()*+,;=", p[i]) == NULL))
			return false;
	}
	return len > 0;
}

static bool
text_literal_legal(const char *p, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ip;

	if (len < 2 || len - 2 >= sizeof(text) || p[len - 1] != ']')
		return false;
	memcpy(text, p + 1, len - 2);
	text[len - 2] = '\0';
	return inet_pton(AF_INET6, text, &ip) == 1;
}

bool
text_host(const char *p, size_t len, struct slice *host, int *port)
{
	const char *end = p + len, *q = p;

	if (len > 0 && *p == '[') {
		while (q < end && *q != ']')
			q++;
		if (q < end)
			q++;
	} else
		while (q < end && *q != ':')
			q++;
	host->p = p;
	host->len = (size_t)(q - p);
	*port = TEXT_PORT_NONE;
	if (q < end && *q++ != ':')
		return false;
	for (; q < end; q++) {
		if (!text_is_digit((uint8_t)*q))
			return false;
		*port = (*port == TEXT_PORT_NONE ? 0 : *port * 10) + (*q - '0');
		if (*port > UINT16_MAX)
			return false;
	}
	if (host->len > 0 && *p == '[')
		return text_literal_legal(host->p, host->len);
	return text_name_legal(host->p, host->len);
}

/* The value of a base64 digit, or -1. */
static int
text_base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (text_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t
text_base64(const struct text *t, uint8_t *out, size_t size)
{
	size_t i, n = 0, digits = t->len;
	uint32_t bits = 0;
	int d;

	while (digits > 0 && t->len - digits < 2 && t->p[digits - 1] == '=')
		digits--;
	if (t->len % 4 != 0 || digits * 3 / 4 > size)
		return -1;
	for (i = 0; i < digits; i++) {
		if ((d = text_base64_digit((uint8_t)t->p[i])) == -1)
			return -1;
		bits = bits << 6 | (uint32_t)d;
		if (i % 4 != 0)
			out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	bits &= (1U << (t->len - digits) * 2) - 1;
	return bits == 0 ? (ssize_t)n : -1;
}

void
text_base64_print(char *out, const uint8_t *in, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits;
	size_t i;

	for (i = 0; i < len; i += 3) {
		bits = (uint32_t)in[i] << 16;
		bits |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
		bits |= i + 2 < len ? in[i + 2] : 0;
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = digits[bits >> 6 & 63];
		*out++ = digits[bits & 63];
	}
	/* The last group may be short of one byte or two. */
	if (i > len)
		out[-1] = '=';
	if (i > len + 1)
		out[-2] = '=';
	*out = '\0';
}

bool
text_slice_same(const struct slice *a, const struct slice *b)
{
	return a->len == b->len && strncasecmp(a->p, b->p, a->len) == 0;
}
