/* RAND_bytes(3) of LibreSSL. */
#ifndef OPENBSD_OPENSSL_RAND_H
#define OPENBSD_OPENSSL_RAND_H

int RAND_bytes(unsigned char *, int);

#endif /* OPENBSD_OPENSSL_RAND_H */
