/*
 * The worker's configuration.
 */
#include "settings.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "upgrade.h"

struct settings *
settings_new(uint32_t generation)
{
	struct settings *s;

	if ((s = calloc(1, sizeof(*s))) != NULL)
		s->generation = generation;
	return s;
}

void
settings_free(struct settings *s)
{
	size_t i;

	if (s == NULL)
		return;
	for (i = 0; i < s->norigins; i++)
		free(s->origins[i]);
	for (i = 0; i < s->nagents; i++)
		free(s->agents[i]);
	free(s);
}

int
settings_node(struct settings *s, const uint8_t *data, size_t len)
{
	memcpy(&s->node, data, sizeof(s->node));
	len -= sizeof(s->node);
	if (s->node.node_id_len != len || len > sizeof(s->node_id_text))
		return -1;
	memcpy(s->node_id_text, data + sizeof(s->node), len);
	s->node_id.p = s->node_id_text;
	s->node_id.len = len;
	s->ip_rate.count = s->node.ip_rate_limit_rps;
	s->ip_rate.burst = s->node.ip_rate_limit_burst;
	s->failures.kind = SHARED_RATE_FAILURES;
	s->failures.count = s->failures.burst = s->node.auth_failure_limit;
	s->failures.period_ms = 60 * 1000;
	s->complete = true;
	s->records++;
	return 0;
}

int
settings_origin(struct settings *s, const uint8_t *data, size_t len)
{
	char *origin;

	if (s->norigins == SETTINGS_LIST_MAX ||
	    (origin = strndup((const char *)data, len)) == NULL)
		return -1;
	s->origins[s->norigins++] = origin;
	s->records++;
	return 0;
}

int
settings_proxy(struct settings *s, const uint8_t *data, size_t len)
{
	struct msg_conf_proxy m;
	struct cidr *c;

	(void)len;
	memcpy(&m, data, sizeof(m));
	if (s->nproxies == SETTINGS_LIST_MAX || m.bits > 128)
		return -1;
	c = &s->proxies[s->nproxies++];
	memcpy(c->ip, m.ip, sizeof(c->ip));
	c->bits = m.bits;
	s->records++;
	return 0;
}

int
settings_remote(struct settings *s, const uint8_t *data, size_t len)
{
	(void)len;
	if (s->has_remote)
		return -1;
	memcpy(&s->remote, data, sizeof(s->remote));
	s->has_remote = true;
	s->records++;
	return 0;
}

int
settings_agent(struct settings *s, const uint8_t *data, size_t len)
{
	char *id;

	if (s->nagents == SETTINGS_LIST_MAX ||
	    memchr(data, '\0', len) != NULL ||
	    (id = strndup((const char *)data, len)) == NULL)
		return -1;
	s->agents[s->nagents++] = id;
	s->records++;
	return 0;
}

bool
settings_allows_agent(const struct settings *s, const struct str *id)
{
	size_t i;

	for (i = 0; i < s->nagents; i++) {
		if (strlen(s->agents[i]) == id->len &&
		    strncasecmp(s->agents[i], id->p, id->len) == 0)
			return true;
	}
	return s->nagents == 0;
}

bool
settings_allows_origin(const struct settings *s, const char *origin)
{
	size_t i;

	for (i = 0; i < s->norigins; i++) {
		if (upgrade_origin_matches(s->origins[i], origin))
			return true;
	}
	return false;
}

bool
settings_is_proxy(const struct settings *s, const struct addr *addr)
{
	size_t i;

	if (!s->node.trust_proxy)
		return false;
	for (i = 0; i < s->nproxies; i++) {
		if (cidr_contains(&s->proxies[i], addr))
			return true;
	}
	return false;
}

/* One element of the list: an address, maybe with a port. */
static int
settings_parse_hop(const char *p, size_t len, struct addr *out)
{
	char text[ADDR_TEXT_MAX];

	while (len > 0 && (p[0] == ' ' || p[0] == '\t')) {
		p++;
		len--;
	}
	while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
		len--;
	if (len == 0 || len >= sizeof(text))
		return -1;
	memcpy(text, p, len);
	text[len] = '\0';
	if (addr_parse_ip(out, text) == 0)
		return 0;
	if (addr_parse(out, text) == 0)
		return 0;
	/* "[::1]" without a port */
	if (text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		return addr_parse_ip(out, text + 1);
	}
	return -1;
}

int
settings_client_ip(const struct settings *s, const struct addr *peer,
    const char *forwarded_for, struct addr *client, bool *missing)
{
	const char *end, *start;

	*client = *peer;
	*missing = false;
	if (!settings_is_proxy(s, peer))
		return 0;
	if (forwarded_for == NULL || forwarded_for[0] == '\0') {
		*missing = true;
		return 0;
	}
	end = forwarded_for + strlen(forwarded_for);
	for (;;) {
		for (start = end; start > forwarded_for && start[-1] != ',';)
			start--;
		if (settings_parse_hop(start, end - start, client) == -1)
			return -1;
		if (start == forwarded_for || !settings_is_proxy(s, client))
			break;
		end = start - 1;
	}
	client->port = 0;
	return 0;
}
