/*
 * X-Forwarded-For, and the networks that it is judged by.  The input is
 * lines: trusted networks with commas between them, the address of the peer,
 * and the rest is the value of the field.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "fuzz.h"
#include "settings.h"

static struct settings *
read_settings(char *list)
{
	struct settings *s = settings_new(1);
	struct msg_conf_worker node = { .trust_proxy = 1, .node_id_len = 1 };
	uint8_t record[sizeof(node) + 1] = { 0 };
	struct msg_conf_proxy m;
	struct cidr c;
	char *item;

	FUZZ_ASSERT(s != NULL);
	memcpy(record, &node, sizeof(node));
	FUZZ_ASSERT(settings_node(s, record, sizeof(record)) == 0);
	FUZZ_ASSERT(settings_node(s, record, sizeof(record) - 1) == -1);
	while ((item = strsep(&list, ",")) != NULL) {
		settings_origin(s, (const uint8_t *)item, strlen(item));
		if (cidr_parse(&c, item) == -1)
			continue;
		FUZZ_ASSERT(c.bits <= 128);
		memcpy(m.ip, c.ip, sizeof(m.ip));
		m.bits = c.bits;
		settings_proxy(s, (const uint8_t *)&m, sizeof(m));
		m.bits = 129;
		FUZZ_ASSERT(
		    settings_proxy(s, (const uint8_t *)&m, sizeof(m)) == -1);
	}
	return s;
}

/* Printed and read again it is the same. */
static void
check_address(const struct addr *a)
{
	char text[ADDR_TEXT_MAX];
	struct sockaddr_storage ss;
	struct addr back;
	struct cidr whole;
	uint8_t key[16];

	FUZZ_ASSERT(addr_parse_ip(&back, addr_print_ip(a, text)) == 0);
	FUZZ_ASSERT(memcmp(back.ip, a->ip, sizeof(back.ip)) == 0);
	FUZZ_ASSERT(cidr_parse(&whole, text) == 0 && whole.bits == 128);
	FUZZ_ASSERT(cidr_contains(&whole, a));
	if (a->port != 0) {
		FUZZ_ASSERT(addr_parse(&back, addr_print(a, text)) == 0);
		FUZZ_ASSERT(back.port == a->port);
	}
	FUZZ_ASSERT(addr_to_sockaddr(a, &ss) > 0);
	FUZZ_ASSERT(
	    addr_from_sockaddr(&back, (const struct sockaddr *)&ss) == 0);
	FUZZ_ASSERT(memcmp(back.ip, a->ip, sizeof(back.ip)) == 0);
	addr_limit_key(a, key);
	FUZZ_ASSERT(memcmp(key, a->ip, 8) == 0);
	addr_is_loopback(a);
}

/* One hop the plain way.  0 or -1. */
static int
read_hop(char *text, struct addr *a)
{
	char *end = text + strlen(text);

	while (*text == ' ' || *text == '\t')
		text++;
	while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	if (addr_parse_ip(a, text) == 0 || addr_parse(a, text) == 0)
		return 0;
	if (*text != '[' || end[-1] != ']')
		return -1;
	end[-1] = '\0';
	return addr_parse_ip(a, text + 1);
}

/*
 * Whose connection it is, in other words: read the hops from the right until
 * one is not a trusted proxy.  0 or -1.
 */
static int
expect(const struct settings *s, const char *value, struct addr *out)
{
	char *copy = strdup(value), *comma;
	int rv = -1;

	FUZZ_ASSERT(copy != NULL);
	for (;;) {
		comma = strrchr(copy, ',');
		if (read_hop(comma == NULL ? copy : comma + 1, out) == -1)
			break;
		if (comma == NULL || !settings_is_proxy(s, out)) {
			rv = 0;
			break;
		}
		*comma = '\0';
	}
	free(copy);
	return rv;
}

static void
check_client(
    const struct settings *s, const struct addr *peer, const char *value)
{
	struct addr client, want;
	bool missing;
	int rv;

	rv = settings_client_ip(s, peer, value, &client, &missing);
	if (!settings_is_proxy(s, peer) || *value == '\0') {
		FUZZ_ASSERT(rv == 0);
		FUZZ_ASSERT(memcmp(client.ip, peer->ip, sizeof(peer->ip)) == 0);
		FUZZ_ASSERT(client.port == peer->port);
		FUZZ_ASSERT(missing == (settings_is_proxy(s, peer) != 0));
		return;
	}
	FUZZ_ASSERT(!missing && rv == expect(s, value, &want));
	if (rv == -1)
		return;
	FUZZ_ASSERT(memcmp(client.ip, want.ip, sizeof(want.ip)) == 0);
	FUZZ_ASSERT(client.port == 0);
	check_address(&client);
	FUZZ_ASSERT(settings_client_ip(s, peer, NULL, &client, &missing) == 0);
	FUZZ_ASSERT(missing);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	char *list = fuzz_text_until(&f, '\n');
	char *from = fuzz_text_until(&f, '\n');
	char *value = fuzz_text(&f);
	struct settings *s = read_settings(list);
	struct addr peer;

	if (addr_parse(&peer, from) == 0 || addr_parse_ip(&peer, from) == 0) {
		check_address(&peer);
		check_client(s, &peer, value);
	}
	settings_allows_origin(s, value);
	settings_free(s);
	free(list);
	free(from);
	free(value);
	return 0;
}
