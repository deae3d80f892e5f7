/*
 * Clients whose connection begins with a TLS handshake, up to its end.
 */
#ifndef SECURE_H
#define SECURE_H

struct client;

/* Begin; 0, or -1 when there is no memory. */
int secure_new(struct client *);
/* Its time is up. */
void secure_expired(struct client *);

#endif /* SECURE_H */
