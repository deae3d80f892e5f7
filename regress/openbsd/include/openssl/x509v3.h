/* Extensions of certificates of LibreSSL. */
#ifndef OPENBSD_OPENSSL_X509V3_H
#define OPENBSD_OPENSSL_X509V3_H

#include <openssl/x509.h>

typedef struct GENERAL_NAME_st {
	int type;
	union {
		ASN1_IA5STRING *ia5;
		ASN1_OCTET_STRING *iPAddress;
	} d;
} GENERAL_NAME;
typedef struct stack_st_GENERAL_NAME GENERAL_NAMES;

#define GEN_EMAIL               1
#define GEN_DNS                 2
#define GEN_URI                 6
#define GEN_IPADD               7

#define X509_PURPOSE_SSL_CLIENT 1
#define X509_PURPOSE_SSL_SERVER 2

#define EXFLAG_SS               0x0020

void GENERAL_NAMES_free(GENERAL_NAMES *);
void *GENERAL_NAME_get0_value(const GENERAL_NAME *, int *);
int sk_GENERAL_NAME_num(const GENERAL_NAMES *);
GENERAL_NAME *sk_GENERAL_NAME_value(const GENERAL_NAMES *, int);
int X509_check_ca(X509 *);
int X509_check_purpose(X509 *, int, int);

#endif /* OPENBSD_OPENSSL_X509V3_H */
