/*
 * From an orientation to a sector: the whole of what the node suggests.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>

#include "msg.h"

enum direction {
	DIRECTION_NONE = 0,
	DIRECTION_PAST,
	DIRECTION_PRESENT,
	DIRECTION_FUTURE,
	DIRECTION_MULTI,
};

/* What a session last said of itself. */
struct orientation {
	bool has_momentum;
	double momentum;
	enum direction direction; /* NONE: no time_orientation so far */
	double strength;
};

/* "past", ..; NULL for DIRECTION_NONE. */
const char *direction_name(enum direction);
/* DIRECTION_NONE when the text is none of them. */
enum direction direction_parse(const char *p, unsigned long len);

#define ROUTE_SECTOR_MAX 64

/* The suggested sector, NUL-terminated.  Returns out. */
char *route_sector(
    char out[ROUTE_SECTOR_MAX], enum conf_dialect, const struct orientation *);
const char *route_reason(const struct orientation *);

#endif /* ROUTE_H */
