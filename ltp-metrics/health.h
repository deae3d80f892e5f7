/*
 * Is the node fit to take clients?
 */
#ifndef HEALTH_H
#define HEALTH_H

#include "exposition.h"
#include "monotime.h"

#define HEALTH_TYPE "application/json"

/* A snapshot older than this says nothing about the node of now. */
#define HEALTH_STALE_MS 5000

/* What keeps the node from being healthy (static text), or NULL. */
const char *health_reason(const struct snapshot *, struct monotime now);

/*
 * Append the JSON of /health to out.  Returns the HTTP status, 200 or 503, or
 * -1 when memory ran out.
 */
int health_print(struct evbuffer *out, const struct snapshot *,
    struct monotime now, const char *version);

#endif /* HEALTH_H */
