/* Streams of LibreSSL. */
#ifndef OPENBSD_OPENSSL_BIO_H
#define OPENBSD_OPENSSL_BIO_H

typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;

#define BIO_CLOSE 1

BIO *BIO_new(const BIO_METHOD *);
BIO *BIO_new_fd(int, int);
BIO *BIO_new_file(const char *, const char *);
BIO *BIO_new_mem_buf(const void *, int);
const BIO_METHOD *BIO_s_mem(void);
int BIO_read(BIO *, void *, int);
int BIO_free(BIO *);

#endif /* OPENBSD_OPENSSL_BIO_H */
