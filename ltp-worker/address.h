/*
 * What a client's address holds while the client is here: a connection, and
 * a half-open one until the first valid message.  The counting is shared.h's.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>

struct addr;
struct client;

/*
 * From now on the connection counts for this address, and no more for the
 * one before.  False when the address has too many of them.
 */
bool address_hold(struct client *, const struct addr *);
/* It is half-open no more. */
void address_release_half_open(struct client *);
/* The address holds nothing for this client any more. */
void address_release(struct client *);

#endif /* ADDRESS_H */
