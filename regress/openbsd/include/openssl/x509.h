/* Certificates of LibreSSL. */
#ifndef OPENBSD_OPENSSL_X509_H
#define OPENBSD_OPENSSL_X509_H

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef struct X509_crl_st X509_CRL;
typedef struct X509_name_entry_st X509_NAME_ENTRY;
typedef struct X509_name_st X509_NAME;
typedef struct X509_VERIFY_PARAM_st X509_VERIFY_PARAM;
typedef struct asn1_string_st ASN1_IA5STRING;
typedef struct asn1_string_st ASN1_OCTET_STRING;
typedef struct asn1_string_st ASN1_STRING;
typedef struct asn1_string_st ASN1_TIME;
typedef struct x509_st X509;
typedef struct x509_store_st X509_STORE;

#define NID_commonName                       13
#define NID_subject_alt_name                 85

#define X509_V_OK                            0
#define X509_V_FLAG_CRL_CHECK                0x4
#define X509_V_FLAG_CRL_CHECK_ALL            0x8
#define X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS 0x4
#define XN_FLAG_RFC2253                      0x1110317UL

void X509_free(X509 *);
int X509_up_ref(X509 *);
void X509_CRL_free(X509_CRL *);
EVP_PKEY *X509_get_pubkey(X509 *);
uint32_t X509_get_extension_flags(X509 *);
int X509_get_signature_info(X509 *, int *, int *, int *, uint32_t *);
int X509_cmp_current_time(const ASN1_TIME *);
int X509_STORE_add_cert(X509_STORE *, X509 *);
int X509_STORE_add_crl(X509_STORE *, X509_CRL *);
int X509_STORE_set_flags(X509_STORE *, unsigned long);
int ASN1_STRING_to_UTF8(unsigned char **, const ASN1_STRING *);
const ASN1_TIME *X509_get0_notBefore(const X509 *);
const ASN1_TIME *X509_get0_notAfter(const X509 *);
const ASN1_TIME *X509_CRL_get0_nextUpdate(const X509_CRL *);
const ASN1_TIME *X509_CRL_get0_lastUpdate(const X509_CRL *);
X509_NAME *X509_CRL_get_issuer(const X509_CRL *);
int X509_CRL_verify(X509_CRL *, EVP_PKEY *);
int X509_NAME_cmp(const X509_NAME *, const X509_NAME *);
int ASN1_TIME_diff(int *, int *, const ASN1_TIME *, const ASN1_TIME *);
EVP_PKEY *X509_get0_pubkey(const X509 *);
int X509_cmp(const X509 *, const X509 *);
int X509_check_private_key(const X509 *, const EVP_PKEY *);
int X509_cmp_time(const ASN1_TIME *, time_t *);
void *X509_get_ext_d2i(const X509 *, int, int *, int *);
X509_NAME *X509_get_subject_name(const X509 *);
X509_NAME_ENTRY *X509_NAME_get_entry(const X509_NAME *, int);
int X509_NAME_get_index_by_NID(X509_NAME *, int, int);
ASN1_STRING *X509_NAME_ENTRY_get_data(const X509_NAME_ENTRY *);
int X509_NAME_print_ex(BIO *, const X509_NAME *, int, unsigned long);
const char *X509_verify_cert_error_string(long);
int X509_VERIFY_PARAM_set1_host(X509_VERIFY_PARAM *, const char *, size_t);
int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM *, const char *);
void X509_VERIFY_PARAM_set_hostflags(X509_VERIFY_PARAM *, unsigned int);
int ASN1_TIME_print(BIO *, const ASN1_TIME *);
int ASN1_STRING_length(const ASN1_STRING *);
const unsigned char *ASN1_STRING_get0_data(const ASN1_STRING *);

#endif /* OPENBSD_OPENSSL_X509_H */
