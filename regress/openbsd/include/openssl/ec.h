/* Elliptic curves of LibreSSL. */
#ifndef OPENBSD_OPENSSL_EC_H
#define OPENBSD_OPENSSL_EC_H

#include <openssl/crypto.h>
#include <openssl/evp.h>

typedef struct bignum_st BIGNUM;
typedef struct ec_group_st EC_GROUP;
typedef struct ec_key_method_st EC_KEY_METHOD;
typedef struct ECDSA_SIG_st ECDSA_SIG;

int EC_GROUP_get_curve_name(const EC_GROUP *);
const EC_GROUP *EC_KEY_get0_group(const EC_KEY *);
EC_KEY *EC_KEY_dup(const EC_KEY *);
void EC_KEY_free(EC_KEY *);
int EC_KEY_set_method(EC_KEY *, const EC_KEY_METHOD *);
int EC_KEY_set_ex_data(EC_KEY *, int, void *);
void *EC_KEY_get_ex_data(const EC_KEY *, int);
int EC_KEY_get_ex_new_index(
    long, void *, CRYPTO_EX_new *, CRYPTO_EX_dup *, CRYPTO_EX_free *);
const EC_KEY_METHOD *EC_KEY_OpenSSL(void);
EC_KEY_METHOD *EC_KEY_METHOD_new(const EC_KEY_METHOD *);
void EC_KEY_METHOD_free(EC_KEY_METHOD *);
void EC_KEY_METHOD_set_sign(EC_KEY_METHOD *,
    int (*)(int, const unsigned char *, int, unsigned char *, unsigned int *,
	const BIGNUM *, const BIGNUM *, EC_KEY *),
    int (*)(EC_KEY *, void *, BIGNUM **, BIGNUM **),
    ECDSA_SIG *(*)(const unsigned char *, int, const BIGNUM *, const BIGNUM *,
	EC_KEY *));
int ECDSA_size(const EC_KEY *);

#endif /* OPENBSD_OPENSSL_EC_H */
