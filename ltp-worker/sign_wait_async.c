/*
 * Waiting for a signature by leaving the handshake, where the library runs it
 * in a job of its own: SSL_do_handshake() returns, and the next call goes on
 * where it was.
 */
#include "signer.h"

#include <openssl/async.h>

/*
 * Signatures that a worker waits for at once; each is a stack of 32 KiB.  More
 * of them wait for their turn.
 */
#define SIGN_JOBS_MAX 64

int
sign_wait_init(void)
{
	return ASYNC_is_capable() && ASYNC_init_thread(SIGN_JOBS_MAX, 0) ? 0
									 : -1;
}

void
sign_wait_allow(SSL *ssl, bool allow)
{
	if (allow)
		SSL_set_mode(ssl, SSL_MODE_ASYNC);
	else
		SSL_clear_mode(ssl, SSL_MODE_ASYNC);
}

bool
sign_wait_no_job(int error)
{
	return error == SSL_ERROR_WANT_ASYNC_JOB;
}

void
sign_wait(struct signer *s, struct question *q)
{
	(void)s;
	while (q->state == QUESTION_OPEN) {
		if (ASYNC_get_current_job() == NULL || ASYNC_pause_job() == 0)
			return;
	}
}
