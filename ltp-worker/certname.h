/*
 * The one name that a client's certificate proves.
 */
#ifndef CERTNAME_H
#define CERTNAME_H

#include <openssl/x509.h>

/*
 * The first of these that there is: alternative name that is a URI, a DNS name,
 * a mail address, an IP address; common name.  At most LTP_ID_MAX bytes of
 * UTF-8 without control characters, allocated; NULL when there is none, when
 * it cannot be a name of ours, or without memory: what comes after a bad one
 * is not tried.
 */
char *certname(X509 *);

#endif /* CERTNAME_H */
