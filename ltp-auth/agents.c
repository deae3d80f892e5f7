/*
 * Agents.  Each is in two tables, by id and by connection, and on its
 * owner's list.  The tables have a bucket for each agent that there may be.
 */
#include "agents.h"

#include <stdlib.h>
#include <string.h>

#include "siphash.h"

#define BUCKETS_MIN 16
#define BUCKETS_MAX (1U << 20)

struct agent {
	LIST_ENTRY(agent) by_id;
	LIST_ENTRY(agent) by_conn;
	LIST_ENTRY(agent) seats; /* of its owner */
	struct agent_owner *owner;
	uint64_t conn;
	uint64_t hash; /* of its id */
	bool proven;
	uint16_t id_len;
	char id[];
};

struct agents {
	uint64_t key[2]; /* of the hashes */
	size_t count;
	size_t max;
	size_t mask; /* buckets of a table, less one */
	struct agent_list *by_id;
	struct agent_list *by_conn;
};

struct agents *
agents_new(void)
{
	struct agents *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	arc4random_buf(a->key, sizeof(a->key));
	if (agents_bound(a, 0) == -1) {
		free(a);
		return NULL;
	}
	return a;
}

static void
agent_free(struct agents *a, struct agent *g)
{
	LIST_REMOVE(g, by_id);
	LIST_REMOVE(g, by_conn);
	LIST_REMOVE(g, seats);
	a->count--;
	free(g);
}

void
agents_free(struct agents *a)
{
	struct agent *g, *next;
	size_t i;

	if (a == NULL)
		return;
	for (i = 0; i <= a->mask; i++) {
		LIST_FOREACH_SAFE(g, &a->by_id[i], by_id, next)
			agent_free(a, g);
	}
	free(a->by_id);
	free(a->by_conn);
	free(a);
}

size_t
agents_count(const struct agents *a)
{
	return a->count;
}

/* ---- the tables ---- */

static uint64_t
hash_of_id(const struct agents *a, const struct agent_id *id)
{
	return siphash(a->key, id->p, id->len);
}

static struct agent_list *
bucket_of_conn(const struct agents *a, uint64_t conn)
{
	return &a->by_conn[siphash(a->key, &conn, sizeof(conn)) & a->mask];
}

static void
agents_insert(struct agents *a, struct agent *g)
{
	LIST_INSERT_HEAD(&a->by_id[g->hash & a->mask], g, by_id);
	LIST_INSERT_HEAD(bucket_of_conn(a, g->conn), g, by_conn);
}

/* Those of the old table go to the new one. */
static void
agents_move(struct agents *a, struct agent_list *old, size_t n)
{
	struct agent *g;
	size_t i;

	for (i = 0; i < n; i++) {
		while ((g = LIST_FIRST(&old[i])) != NULL) {
			LIST_REMOVE(g, by_id);
			LIST_REMOVE(g, by_conn);
			agents_insert(a, g);
		}
	}
}

int
agents_bound(struct agents *a, uint32_t max)
{
	struct agent_list *by_id = a->by_id, *by_conn = a->by_conn;
	struct agent_list *new_id, *new_conn;
	size_t n = BUCKETS_MIN, old = by_id == NULL ? 0 : a->mask + 1;

	while (n < max && n < BUCKETS_MAX)
		n *= 2;
	if (n != old) {
		/* All zero is an empty list. */
		new_id = calloc(n, sizeof(*new_id));
		new_conn = calloc(n, sizeof(*new_conn));
		if (new_id == NULL || new_conn == NULL) {
			free(new_id);
			free(new_conn);
			return -1;
		}
		a->by_id = new_id;
		a->by_conn = new_conn;
		a->mask = n - 1;
		agents_move(a, by_id, old);
		free(by_id);
		free(by_conn);
	}
	a->max = max;
	return 0;
}

static struct agent *
agents_by_id(const struct agents *a, uint64_t hash, const struct agent_id *id)
{
	struct agent *g;

	LIST_FOREACH(g, &a->by_id[hash & a->mask], by_id) {
		if (g->hash == hash && g->proven == id->proven &&
		    g->id_len == id->len && memcmp(g->id, id->p, id->len) == 0)
			return g;
	}
	return NULL;
}

/* No worker speaks for another one's connections. */
static struct agent *
agents_by_conn(
    const struct agents *a, const struct agent_owner *o, uint64_t conn)
{
	struct agent *g;

	LIST_FOREACH(g, bucket_of_conn(a, conn), by_conn) {
		if (g->conn == conn && g->owner == o)
			return g;
	}
	return NULL;
}

/* ---- who comes and goes ---- */

void
agent_owner_init(struct agent_owner *o)
{
	LIST_INIT(&o->seats);
}

static enum agents_result
agents_add(struct agents *a, struct agent_owner *o, uint64_t conn,
    const struct agent_id *id, uint64_t hash)
{
	struct agent *g;

	if (a->count >= a->max || (g = calloc(1, sizeof(*g) + id->len)) == NULL)
		return AGENTS_FULL;
	g->owner = o;
	g->conn = conn;
	g->hash = hash;
	g->proven = id->proven;
	g->id_len = id->len;
	memcpy(g->id, id->p, id->len);
	agents_insert(a, g);
	LIST_INSERT_HEAD(&o->seats, g, seats);
	a->count++;
	return AGENTS_ENTERED;
}

/* Its place goes to another connection. */
static void
agent_replace(struct agents *a, struct agent *g, struct agent_owner *o,
    uint64_t conn, struct agent_seat *replaced)
{
	replaced->owner = g->owner;
	replaced->conn = g->conn;
	LIST_REMOVE(g, by_id);
	LIST_REMOVE(g, by_conn);
	LIST_REMOVE(g, seats);
	g->owner = o;
	g->conn = conn;
	agents_insert(a, g);
	LIST_INSERT_HEAD(&o->seats, g, seats);
}

enum agents_result
agents_enter(struct agents *a, struct agent_owner *o, uint64_t conn,
    const struct agent_id *id, struct agent_seat *replaced)
{
	uint64_t hash = hash_of_id(a, id);
	struct agent *g;

	replaced->owner = NULL;
	if (agents_by_conn(a, o, conn) != NULL)
		return AGENTS_TWICE;
	if ((g = agents_by_id(a, hash, id)) == NULL)
		return agents_add(a, o, conn, id, hash);
	agent_replace(a, g, o, conn, replaced);
	return AGENTS_ENTERED;
}

enum agents_result
agents_enter_again(struct agents *a, struct agent_owner *o, uint64_t conn,
    const struct agent_id *id, struct agent_seat *replaced)
{
	const struct agent *g = agents_by_id(a, hash_of_id(a, id), id);

	if (g == NULL || g->conn <= conn || agents_by_conn(a, o, conn) != NULL)
		return agents_enter(a, o, conn, id, replaced);
	replaced->owner = o;
	replaced->conn = conn;
	return AGENTS_ENTERED;
}

void
agents_left(struct agents *a, struct agent_owner *o, uint64_t conn)
{
	struct agent *g = agents_by_conn(a, o, conn);

	if (g != NULL)
		agent_free(a, g);
}

void
agents_left_all(struct agents *a, struct agent_owner *o)
{
	struct agent *g, *next;

	LIST_FOREACH_SAFE(g, &o->seats, seats, next)
		agent_free(a, g);
}
