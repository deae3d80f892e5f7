/*
 * Connections of an address.
 */
#include "address.h"

#include "client.h"
#include "shared.h"
#include "worker.h"

static void
address_give(struct client *c, enum shared_hold hold)
{
	struct worker *w = c->worker;
	uint8_t key[16];

	addr_limit_key(&c->addr, key);
	shared_ip_give(w->shared, hold, w->slot, key);
}

void
address_release_half_open(struct client *c)
{
	if (c->ip_half_open)
		address_give(c, SHARED_HOLD_HALF_OPEN);
	c->ip_half_open = false;
}

void
address_release(struct client *c)
{
	address_release_half_open(c);
	if (c->ip_conn)
		address_give(c, SHARED_HOLD_CONNS);
	c->ip_conn = false;
}

/* SHARED_REFUSED when the address has as many as it may. */
static enum shared_held_result
address_take(struct client *c, enum shared_hold hold, uint32_t cap)
{
	struct worker *w = c->worker;
	uint8_t key[16];

	if (cap == 0)
		return SHARED_UNCOUNTED;
	addr_limit_key(&c->addr, key);
	return shared_ip_take(w->shared, hold, w->slot, key, cap);
}

bool
address_hold(struct client *c, const struct addr *addr)
{
	const struct msg_conf_worker *conf = &c->worker->settings->node;
	enum shared_held_result result;

	address_release(c);
	c->addr = *addr;
	result =
	    address_take(c, SHARED_HOLD_CONNS, conf->max_connections_per_ip);
	c->ip_conn = result == SHARED_HELD;
	if (result == SHARED_REFUSED)
		return false;
	result =
	    address_take(c, SHARED_HOLD_HALF_OPEN, conf->max_half_open_per_ip);
	c->ip_half_open = result == SHARED_HELD;
	if (result == SHARED_REFUSED)
		address_release(c);
	return result != SHARED_REFUSED;
}
