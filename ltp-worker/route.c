/*
 * Where a client is sent: the sectors and reasons of section 2 of the LTP
 * node protocol.  The newer node, whose dialect begins with a session, knows
 * nothing of momentum.
 */
#include <stddef.h>
#include <string.h>

#include "route.h"

/* Strictly above or below these, in the client dialect. */
#define MOMENTUM_HIGH 0.7
#define MOMENTUM_LOW  0.3

static const struct {
	const char *name;
	const char *sector;
	const char *reason;
} directions[] = {
	[DIRECTION_NONE] = { NULL, "neutral", "default" },
	[DIRECTION_PAST] = { "past", "retrospective_safe",
	    "client leaning towards past" },
	[DIRECTION_PRESENT] = { "present", "present_focus",
	    "client is present-oriented" },
	[DIRECTION_FUTURE] = { "future", "future_planning",
	    "client oriented to future" },
	[DIRECTION_MULTI] = { "multi", "multi_bridge",
	    "client in multi-temporal state" },
};

#define NDIRECTIONS (sizeof(directions) / sizeof(directions[0]))

const char *
direction_name(enum direction direction)
{
	return directions[direction].name;
}

enum direction
direction_parse(const char *p, unsigned long len)
{
	size_t i;

	for (i = DIRECTION_NONE + 1; i < NDIRECTIONS; i++) {
		if (strlen(directions[i].name) == len &&
		    memcmp(directions[i].name, p, len) == 0)
			return (enum direction)i;
	}
	return DIRECTION_NONE;
}

static const char *
route_suffix(const struct orientation *o)
{
	if (o->has_momentum && o->momentum > MOMENTUM_HIGH)
		return "_high_momentum";
	if (o->has_momentum && o->momentum < MOMENTUM_LOW)
		return "_low_momentum";
	return "";
}

char *
route_sector(char out[ROUTE_SECTOR_MAX], enum conf_dialect dialect,
    const struct orientation *o)
{
	out[0] = '\0';
	if (dialect == DIALECT_SESSION && o->direction == DIRECTION_NONE)
		strlcat(out, "base_", ROUTE_SECTOR_MAX);
	strlcat(out, directions[o->direction].sector, ROUTE_SECTOR_MAX);
	if (dialect != DIALECT_SESSION)
		strlcat(out, route_suffix(o), ROUTE_SECTOR_MAX);
	return out;
}

const char *
route_reason(const struct orientation *o)
{
	return directions[o->direction].reason;
}
