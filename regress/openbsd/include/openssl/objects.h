/* Names of LibreSSL. */
#ifndef OPENBSD_OPENSSL_OBJECTS_H
#define OPENBSD_OPENSSL_OBJECTS_H

#define NID_X9_62_prime256v1 415
#define NID_secp384r1        715
#define NID_secp521r1        716

#endif /* OPENBSD_OPENSSL_OBJECTS_H */
