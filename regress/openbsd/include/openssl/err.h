/* The errors of LibreSSL. */
#ifndef OPENBSD_OPENSSL_ERR_H
#define OPENBSD_OPENSSL_ERR_H

#define ERR_LIB_PEM       9
#define ERR_LIB_SSL       20

#define ERR_GET_LIB(l)    ((int)((((unsigned long)(l)) >> 24L) & 0xffL))
#define ERR_GET_REASON(l) ((int)((l)&0xfffL))

unsigned long ERR_peek_error(void);
unsigned long ERR_peek_last_error(void);
const char *ERR_reason_error_string(unsigned long);
void ERR_clear_error(void);

#endif /* OPENBSD_OPENSSL_ERR_H */
