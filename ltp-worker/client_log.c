/*
 * What the log says of clients.
 */
#include "client.h"

#include <stdio.h>

#include "session.h"
#include "worker.h"

static void
client_describe(const struct client *c, char *buf, size_t size)
{
	char peer[ADDR_TEXT_MAX], ip[ADDR_TEXT_MAX], vis[LTP_ID_MAX];
	struct str id = c->session != NULL ? session_client_id(c->session)
					   : client_identity(c);

	log_vis(vis, sizeof(vis), id.p, id.len);
	snprintf(buf, size, "remote_addr=%s client_ip=%s%s%s",
	    addr_print(client_peer(c), peer), addr_print_ip(&c->addr, ip),
	    id.len > 0 ? " client_id=" : "", vis);
}

void
client_log(const struct client *c, enum log_level level, const char *what,
    const char *reason)
{
	char who[512];

	if (level > log_get_level())
		return;
	client_describe(c, who, sizeof(who));
	if (reason == NULL)
		log_at(level, "client %llu: %s %s", (unsigned long long)c->id,
		    what, who);
	else
		log_at(level, "client %llu: %s %s reason=\"%s\"",
		    (unsigned long long)c->id, what, who, reason);
}

bool
client_warn(struct client *c, enum log_category category, const char *what,
    const char *reason)
{
	if (!count_may_log(&c->worker->count, category, c->worker->now))
		return false;
	client_log(c, LEVEL_WARN, what, reason);
	return true;
}

static const char *
client_end_reason(const struct client *c)
{
	if (c->passage != NULL && c->passage->close_reason != NULL)
		return c->passage->close_reason;
	return c->starved ? "out of memory" : "connection lost";
}

void
client_log_end(const struct client *c)
{
	char who[512];

	if (log_get_level() < LEVEL_INFO)
		return;
	client_describe(c, who, sizeof(who));
	log_info("client %llu: closed %s duration_ms=%lld messages_in=%llu "
		 "messages_out=%llu bytes_in=%llu bytes_out=%llu code=%u "
		 "reason=\"%s\"",
	    (unsigned long long)c->id, who,
	    (long long)monotime_diff_ms(c->worker->now, c->accepted),
	    (unsigned long long)c->messages_in,
	    (unsigned long long)c->messages_out,
	    (unsigned long long)c->bytes_in, (unsigned long long)c->bytes_out,
	    c->passage == NULL ? 0 : c->passage->close_code,
	    client_end_reason(c));
}
