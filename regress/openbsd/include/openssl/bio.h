/* Streams of LibreSSL. */
#ifndef OPENBSD_OPENSSL_BIO_H
#define OPENBSD_OPENSSL_BIO_H

typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;

#define BIO_CLOSE            1
#define BIO_CTRL_FLUSH       11
#define BIO_TYPE_SOURCE_SINK 0x0400

BIO *BIO_new(const BIO_METHOD *);
BIO *BIO_new_fd(int, int);
BIO *BIO_new_file(const char *, const char *);
BIO *BIO_new_mem_buf(const void *, int);
const BIO_METHOD *BIO_s_mem(void);
int BIO_read(BIO *, void *, int);
int BIO_free(BIO *);
void *BIO_get_data(BIO *);
void BIO_set_data(BIO *, void *);
void BIO_set_init(BIO *, int);
void BIO_set_flags(BIO *, int);
void BIO_clear_flags(BIO *, int);

#define BIO_FLAGS_READ         0x01
#define BIO_FLAGS_WRITE        0x02
#define BIO_FLAGS_RWS          0x07
#define BIO_FLAGS_SHOULD_RETRY 0x08
#define BIO_set_retry_read(b) \
	BIO_set_flags(b, (BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY))
#define BIO_set_retry_write(b) \
	BIO_set_flags(b, (BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY))
#define BIO_clear_retry_flags(b) \
	BIO_clear_flags(b, (BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY))

int BIO_get_new_index(void);
BIO_METHOD *BIO_meth_new(int, const char *);
void BIO_meth_free(BIO_METHOD *);
int BIO_meth_set_write(BIO_METHOD *, int (*)(BIO *, const char *, int));
int BIO_meth_set_read(BIO_METHOD *, int (*)(BIO *, char *, int));
int BIO_meth_set_ctrl(BIO_METHOD *, long (*)(BIO *, int, long, void *));
int BIO_meth_set_create(BIO_METHOD *, int (*)(BIO *));

#endif /* OPENBSD_OPENSSL_BIO_H */
