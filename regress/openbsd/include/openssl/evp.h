/* Digests and Ed25519 signatures of LibreSSL. */
#ifndef OPENBSD_OPENSSL_EVP_H
#define OPENBSD_OPENSSL_EVP_H

#include <stddef.h>
#include <stdint.h>

typedef struct evp_md_st EVP_MD;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct engine_st ENGINE;
typedef struct ec_key_st EC_KEY;
typedef struct rsa_st RSA;

#define EVP_PKEY_RSA     6
#define EVP_PKEY_EC      408
#define EVP_PKEY_ED25519 952

const EVP_MD *EVP_sha256(void);
const EVP_MD *EVP_sha384(void);
const EVP_MD *EVP_sha512(void);
int EVP_Digest(const void *, size_t, unsigned char *, unsigned int *,
    const EVP_MD *, ENGINE *);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *);
int EVP_MD_CTX_reset(EVP_MD_CTX *);
int EVP_DigestInit_ex(EVP_MD_CTX *, const EVP_MD *, ENGINE *);
int EVP_DigestUpdate(EVP_MD_CTX *, const void *, size_t);
int EVP_DigestFinal_ex(EVP_MD_CTX *, unsigned char *, unsigned int *);
int EVP_DigestSignInit(
    EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, ENGINE *, EVP_PKEY *);
int EVP_DigestSign(
    EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
int EVP_DigestVerifyInit(
    EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, ENGINE *, EVP_PKEY *);
int EVP_DigestVerify(
    EVP_MD_CTX *, const unsigned char *, size_t, const unsigned char *, size_t);
EVP_PKEY *
EVP_PKEY_new_raw_private_key(int, ENGINE *, const unsigned char *, size_t);
EVP_PKEY *
EVP_PKEY_new_raw_public_key(int, ENGINE *, const unsigned char *, size_t);
int EVP_PKEY_get_raw_public_key(const EVP_PKEY *, unsigned char *, size_t *);
int EVP_PKEY_base_id(const EVP_PKEY *);
int EVP_PKEY_bits(const EVP_PKEY *);
int EVP_PKEY_security_bits(const EVP_PKEY *);
EVP_PKEY *EVP_PKEY_new(void);
void EVP_PKEY_free(EVP_PKEY *);
int EVP_PKEY_assign(EVP_PKEY *, int, void *);
#define EVP_PKEY_assign_RSA(pkey, rsa)   EVP_PKEY_assign(pkey, EVP_PKEY_RSA, rsa)
#define EVP_PKEY_assign_EC_KEY(pkey, ec) EVP_PKEY_assign(pkey, EVP_PKEY_EC, ec)
RSA *EVP_PKEY_get1_RSA(EVP_PKEY *);
EC_KEY *EVP_PKEY_get0_EC_KEY(EVP_PKEY *);
EC_KEY *EVP_PKEY_get1_EC_KEY(EVP_PKEY *);
EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *, ENGINE *);
void EVP_PKEY_CTX_free(EVP_PKEY_CTX *);
int EVP_PKEY_sign_init(EVP_PKEY_CTX *);
int EVP_PKEY_sign(
    EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);

#endif /* OPENBSD_OPENSSL_EVP_H */
