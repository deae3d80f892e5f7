/*
 * The worker's configuration, as the supervisor sends it: collected between
 * CONF_BEGIN and CONF_END, put in force by CONF_COMMIT.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "json.h"
#include "msg.h"
#include "shared.h"

#define SETTINGS_LIST_MAX 256 /* origins, proxies, and agents */

struct settings {
	uint32_t generation;
	uint32_t records; /* received so far */
	bool complete; /* the node's record was among them */
	struct msg_conf_worker node;
	struct shared_rate ip_rate; /* messages of an address */
	struct shared_rate failures; /* its sign-ins that fail */
	struct str node_id; /* points into node_id_text */
	char node_id_text[LTP_ID_MAX];
	char *origins[SETTINGS_LIST_MAX];
	size_t norigins;
	struct cidr proxies[SETTINGS_LIST_MAX];
	size_t nproxies;
	bool has_remote; /* there is a remote listener */
	struct msg_conf_remote remote;
	char *agents[SETTINGS_LIST_MAX]; /* allowed ids, in lower case */
	size_t nagents;
};

/* Empty; NULL with errno. */
struct settings *settings_new(uint32_t generation);
/* NULL is allowed. */
void settings_free(struct settings *);

/* The records; -1 when one cannot be. */
int settings_node(struct settings *, const uint8_t *, size_t len);
int settings_origin(struct settings *, const uint8_t *, size_t len);
int settings_proxy(struct settings *, const uint8_t *, size_t len);
int settings_remote(struct settings *, const uint8_t *, size_t len);
int settings_agent(struct settings *, const uint8_t *, size_t len);

bool settings_allows_origin(const struct settings *, const char *origin);
/* Without a list, every agent is allowed.  Compared without case. */
bool settings_allows_agent(const struct settings *, const struct str *id);
/* Does this peer speak for others? */
bool settings_is_proxy(const struct settings *, const struct addr *peer);
/*
 * Whose connection is it?  peer, unless peer is a trusted proxy: then the
 * rightmost address of X-Forwarded-For that is not one itself (all of them
 * are: the leftmost).  forwarded_for may be NULL.  Returns -1 when a trusted
 * proxy sent what is no list of addresses, else 0; *missing tells that a
 * trusted proxy sent none.
 */
int settings_client_ip(const struct settings *, const struct addr *peer,
    const char *forwarded_for, struct addr *client, bool *missing);

#endif /* SETTINGS_H */
