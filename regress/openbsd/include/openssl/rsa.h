/* RSA of LibreSSL. */
#ifndef OPENBSD_OPENSSL_RSA_H
#define OPENBSD_OPENSSL_RSA_H

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define RSA_PKCS1_PADDING 1
#define RSA_NO_PADDING    3

typedef struct rsa_meth_st RSA_METHOD;

void RSA_free(RSA *);
int RSA_size(const RSA *);
RSA *RSAPublicKey_dup(RSA *);
int RSA_set_method(RSA *, const RSA_METHOD *);
int RSA_set_ex_data(RSA *, int, void *);
void *RSA_get_ex_data(const RSA *, int);
int RSA_get_ex_new_index(
    long, void *, CRYPTO_EX_new *, CRYPTO_EX_dup *, CRYPTO_EX_free *);
int
RSA_padding_add_PKCS1_type_1(unsigned char *, int, const unsigned char *, int);
const RSA_METHOD *RSA_PKCS1_OpenSSL(void);
RSA_METHOD *RSA_meth_dup(const RSA_METHOD *);
void RSA_meth_free(RSA_METHOD *);
int RSA_meth_set1_name(RSA_METHOD *, const char *);
int RSA_meth_set_priv_enc(RSA_METHOD *,
    int (*)(int, const unsigned char *, unsigned char *, RSA *, int));
int RSA_meth_set_priv_dec(RSA_METHOD *,
    int (*)(int, const unsigned char *, unsigned char *, RSA *, int));
int EVP_PKEY_CTX_set_rsa_padding(EVP_PKEY_CTX *, int);

#endif /* OPENBSD_OPENSSL_RSA_H */
