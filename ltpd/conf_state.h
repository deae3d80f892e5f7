/*
 * What conf.c and conf_load.c share: where each setting of a configuration
 * comes from.
 */
#ifndef CONF_STATE_H
#define CONF_STATE_H

#include <stdbool.h>

#include "conf.h"
#include "conf_keyword.h"

enum conf_source {
	SOURCE_DEFAULT = 0,
	SOURCE_FILE,
	SOURCE_ENVIRONMENT,
	SOURCE_DEFINITION, /* -D */
};

/* Of one keyword. */
struct conf_origin {
	enum conf_source source;
	char *text; /* as conf_each() has it; NULL: "default" */
	const char *variable; /* when it is from the environment */
	unsigned line; /* when it is from the file */
	bool given; /* a value was given; if secret, perhaps wiped since */
};

struct conf_state {
	struct conf_origin *origin; /* as many as there are keywords */
};

/* All members zero, no defaults.  NULL with errno. */
struct conf *conf_new(void);
struct conf_origin *conf_origin(const struct conf *, const struct keyword *);

#endif /* CONF_STATE_H */
