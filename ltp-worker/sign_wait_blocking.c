/*
 * Waiting for a signature on the spot, where the library cannot leave a
 * handshake in the middle.  ltp-sign answers within a millisecond or so, or
 * is not there.
 */
#include "signer.h"

#include <poll.h>

#include "chan.h"

#define SIGN_BLOCK_MS 100

int
sign_wait_init(void)
{
	return 0;
}

void
sign_wait_allow(SSL *ssl, bool allow)
{
	(void)ssl;
	(void)allow;
}

bool
sign_wait_no_job(int error)
{
	(void)error;
	return false;
}

static void
sign_wait_ignore(void *arg)
{
	(void)arg;
}

void
sign_wait(struct signer *s, struct question *q)
{
	struct monotime end = monotime_add_ms(monotime_now(), SIGN_BLOCK_MS);
	void (*resume)(void *) = q->turn->resume;
	struct pollfd pfd = { .events = POLLIN };
	int64_t left;

	/* Nobody left, so nobody comes back. */
	q->turn->resume = sign_wait_ignore;
	while (q->state == QUESTION_OPEN && s->ch != NULL && q->sent) {
		left = monotime_diff_ms(end, monotime_now());
		if (left <= 0 || chan_flush(s->ch, (int)left) == -1)
			break;
		pfd.fd = s->fd;
		if (poll(&pfd, 1, (int)left) > 0)
			chan_drain(s->ch);
	}
	q->turn->resume = resume;
}
