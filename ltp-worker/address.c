/*
 * Connections of an address.
 */
#include "address.h"

#include "client.h"
#include "shared.h"
#include "worker.h"

void
address_release_half_open(struct client *c)
{
	struct worker *w = c->worker;

	if (c->ip_half_open)
		shared_ip_give(
		    w->shared, SHARED_HOLD_HALF_OPEN, w->slot, c->limit_key);
	c->ip_half_open = false;
}

void
address_release(struct client *c)
{
	struct worker *w = c->worker;

	address_release_half_open(c);
	if (c->ip_conn)
		shared_ip_give(
		    w->shared, SHARED_HOLD_CONNS, w->slot, c->limit_key);
	c->ip_conn = false;
}

/* False when the address has as many as it may; *held tells what to release. */
static bool
address_hold_one(
    struct client *c, enum shared_hold hold, uint32_t cap, bool *held)
{
	struct worker *w = c->worker;
	enum shared_held_result result;

	if (cap == 0)
		return true;
	result = shared_ip_take(w->shared, hold, w->slot, c->limit_key, cap);
	*held = result == SHARED_HELD;
	return result != SHARED_REFUSED;
}

bool
address_hold(struct client *c, const struct addr *addr)
{
	const struct msg_conf_worker *conf = &c->worker->settings->node;

	address_release(c);
	c->client_ip = *addr;
	addr_limit_key(addr, c->limit_key);
	if (address_hold_one(c, SHARED_HOLD_CONNS, conf->max_connections_per_ip,
		&c->ip_conn) &&
	    address_hold_one(c, SHARED_HOLD_HALF_OPEN,
		conf->max_half_open_per_ip, &c->ip_half_open))
		return true;
	address_release(c);
	return false;
}
