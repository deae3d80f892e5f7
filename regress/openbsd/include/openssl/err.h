/* The errors of LibreSSL. */
#ifndef OPENBSD_OPENSSL_ERR_H
#define OPENBSD_OPENSSL_ERR_H

unsigned long ERR_peek_error(void);
unsigned long ERR_peek_last_error(void);
const char *ERR_reason_error_string(unsigned long);
void ERR_clear_error(void);

#endif /* OPENBSD_OPENSSL_ERR_H */
