/*
 * TLS connections.  The library reads and writes through a BIO of ours, which
 * makes the same system calls as the plain listener and takes one piece of
 * input per wake-up, so that nobody keeps a worker busy with records that say
 * nothing.
 */
#include "tls.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "certname.h"
#include "limit.h"
#include "monotime.h"
#include "tls_context.h"

#define TLS_INPUT_MAX (32 * 1024) /* bytes taken from a socket at once */

/*
 * Changes of keys that the peer wants, and alerts that it makes us send, of
 * which a few bytes each cost us much work.  Nobody needs more than a few in
 * hours.
 */
#define TLS_NOISE_RPS   1
#define TLS_NOISE_BURST 32
/* Of a message, RFC 8446, section 4; not in all libraries' headers. */
#define TLS_KEY_UPDATE 24

struct tls {
	struct tls_desk *desk;
	SSL *ssl;
	int fd;
	bool may_read; /* the socket, in this wake-up */
	bool paused; /* in the middle of the handshake, in a job */
	bool holds; /* the library's buffer, for records */
	bool over; /* closed by us, or the handshake failed */
	bool broken;
	bool mtls;
	bool certificate_bad;
	struct monotime noise; /* GCRA */
	struct turn turn;
	const char *reason;
	char *identity;
	const uint8_t *in; /* of the socket's; in desk->input or kept */
	size_t in_len;
	uint8_t *kept; /* owned */
};

/* ---- the BIO ---- */

static ssize_t
tls_fill(struct tls *t)
{
	ssize_t n;

	free(t->kept);
	t->kept = NULL;
	if (!t->may_read) {
		errno = EAGAIN;
		return -1;
	}
	t->may_read = false;
	n = recv(t->fd, t->desk->input, TLS_INPUT_MAX, 0);
	t->in = t->desk->input;
	t->in_len = n > 0 ? (size_t)n : 0;
	return n;
}

static int
tls_bio_read(BIO *bio, char *buf, int size)
{
	struct tls *t = BIO_get_data(bio);
	size_t n = (size_t)size;
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (t->broken)
		return -1;
	if (t->in_len == 0 && (got = tls_fill(t)) <= 0) {
		if (got == -1 && (errno == EAGAIN || errno == EINTR))
			BIO_set_retry_read(bio);
		return (int)got;
	}
	if (n > t->in_len)
		n = t->in_len;
	memcpy(buf, t->in, n);
	t->in += n;
	t->in_len -= n;
	return (int)n;
}

static int
tls_bio_write(BIO *bio, const char *buf, int len)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (t->over || t->broken)
		return -1;
	n = send(t->fd, buf, (size_t)len, MSG_NOSIGNAL);
	if (n == -1 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		BIO_set_retry_write(bio);
	return (int)n;
}

static long
tls_bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static int
tls_bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *
tls_bio_method(void)
{
	BIO_METHOD *m =
	    BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "client");

	if (m == NULL)
		return NULL;
	if (BIO_meth_set_read(m, tls_bio_read) == 1 &&
	    BIO_meth_set_write(m, tls_bio_write) == 1 &&
	    BIO_meth_set_ctrl(m, tls_bio_ctrl) == 1 &&
	    BIO_meth_set_create(m, tls_bio_create) == 1)
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- contexts ---- */

void
tls_desk_free(struct tls_desk *desk)
{
	if (desk == NULL)
		return;
	tls_context_free(desk->now);
	tls_context_free(desk->next);
	BIO_meth_free(desk->bio);
	signer_clear(&desk->signer);
	free(desk->input);
	free(desk);
}

struct tls_desk *
tls_desk_new(struct event_base *base, struct chan *parent)
{
	struct tls_desk *desk;

	if ((desk = calloc(1, sizeof(*desk))) == NULL)
		return NULL;
	if (signer_init(&desk->signer, base, parent) == -1 ||
	    tls_library_init() == -1 ||
	    (desk->bio = tls_bio_method()) == NULL ||
	    (desk->input = malloc(TLS_INPUT_MAX)) == NULL) {
		tls_desk_free(desk);
		return NULL;
	}
	return desk;
}

int
tls_desk_set_signer(struct tls_desk *desk, int fd, const struct msg_peer *peer)
{
	return signer_set(&desk->signer, fd, peer);
}

void
tls_desk_begin(struct tls_desk *desk)
{
	if (desk == NULL)
		return;
	tls_context_free(desk->next);
	desk->next = NULL;
}

int
tls_desk_conf(struct tls_desk *desk, int fd, const struct msg_conf_tls *conf,
    bool mtls, const char **why)
{
	tls_desk_begin(desk);
	desk->next = tls_context_new(&desk->signer, fd, conf, mtls, why);
	return desk->next == NULL ? -1 : 0;
}

void
tls_desk_commit(struct tls_desk *desk)
{
	if (desk == NULL)
		return;
	tls_context_free(desk->now);
	desk->now = desk->next;
	desk->next = NULL;
}

/* ---- what costs much ---- */

static void
tls_hear(int sent, int version, int type, const void *data, size_t len,
    SSL *ssl, void *arg)
{
	const uint8_t *p = data;
	struct tls *t = arg;

	(void)version;
	(void)ssl;
	if (sent != 0 ? type != SSL3_RT_ALERT
		      : type != SSL3_RT_HANDSHAKE || len == 0 ||
			    p[0] != TLS_KEY_UPDATE)
		return;
	/* The next record will not be read. */
	if (!limit_allow(
		&t->noise, TLS_NOISE_RPS, TLS_NOISE_BURST, monotime_now()))
		t->broken = true;
}

/* ---- the beginning and the end ---- */

static int
tls_attach(struct tls *t, const struct tls_context *ctx)
{
	BIO *bio;

	if ((t->ssl = SSL_new(ctx->ssl)) == NULL)
		return -1;
	if ((bio = BIO_new(t->desk->bio)) == NULL)
		return -1;
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_msg_callback(t->ssl, tls_hear);
	SSL_set_msg_callback_arg(t->ssl, t);
	SSL_set_accept_state(t->ssl);
	sign_wait_allow(t->ssl, true);
	return 0;
}

struct tls *
tls_new(struct tls_desk *desk, int fd)
{
	struct tls *t;

	if (desk->now == NULL || (t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->desk = desk;
	t->fd = fd;
	t->mtls = desk->now->mtls;
	if (tls_attach(t, desk->now) == -1) {
		tls_free(t);
		t = NULL;
	}
	ERR_clear_error();
	return t;
}

void
tls_set_resume(struct tls *t, void (*resume)(void *), void *arg)
{
	t->turn.resume = resume;
	t->turn.arg = arg;
}

/*
 * A handshake that was left in the middle is brought to its end, since the
 * library would never free it.
 */
void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	t->over = true;
	signer_abandon(&t->desk->signer, &t->turn);
	if (t->paused)
		SSL_do_handshake(t->ssl);
	SSL_free(t->ssl);
	ERR_clear_error();
	free(t->identity);
	free(t->kept);
	free(t);
}

/* ---- the handshake ---- */

/* An unknown failure is the peer's end of the connection. */
static const char *
tls_error_text(unsigned long e)
{
	const char *text = e == 0 ? NULL : ERR_reason_error_string(e);

	return text == NULL ? "connection lost" : text;
}

static enum tls_result
tls_fail(struct tls *t, unsigned long e)
{
	long verified = SSL_get_verify_result(t->ssl);

	t->over = true;
	t->reason = tls_error_text(e);
	if (verified != X509_V_OK) {
		t->certificate_bad = true;
		t->reason = X509_verify_cert_error_string(verified);
	} else if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
		   ERR_GET_REASON(e) ==
		       SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
		t->certificate_bad = true;
	}
	return TLS_FAILED;
}

static enum tls_result
tls_finish(struct tls *t)
{
	X509 *x;

	sign_wait_allow(t->ssl, false);
	if (!t->mtls)
		return TLS_DONE;
	if ((x = SSL_get_peer_certificate(t->ssl)) != NULL)
		t->identity = certname(x);
	X509_free(x);
	if (t->identity != NULL)
		return TLS_DONE;
	t->certificate_bad = true;
	t->reason = "the certificate names nobody";
	tls_close(t);
	return TLS_FAILED;
}

static enum tls_result
tls_queue(struct tls *t)
{
	signer_queue(&t->desk->signer, &t->turn);
	return TLS_SIGN;
}

enum tls_result
tls_handshake(struct tls *t)
{
	enum tls_result result;
	unsigned long e;
	int rv, error;

	/* What is in a job has to come to its end. */
	if (t->over || (t->broken && !t->paused))
		return tls_fail(t, 0);
	if (!t->paused && signer_is_awaited(&t->desk->signer))
		return tls_queue(t);
	ERR_clear_error();
	tls_wake(t);
	signer_attend(&t->desk->signer, &t->turn);
	rv = SSL_do_handshake(t->ssl);
	signer_attend(&t->desk->signer, NULL);
	t->paused = t->turn.question != NULL;
	error = SSL_get_error(t->ssl, rv);
	e = ERR_peek_error();
	if (rv == 1)
		result = tls_finish(t);
	else if (error == SSL_ERROR_WANT_READ)
		result = TLS_READ;
	else if (error == SSL_ERROR_WANT_WRITE)
		result = TLS_WRITE;
	else if (t->paused)
		result = TLS_SIGN;
	else if (sign_wait_no_job(error))
		result = tls_queue(t);
	else
		result = tls_fail(t, e);
	tls_sleep(t);
	ERR_clear_error();
	return result;
}

const char *
tls_reason(const struct tls *t)
{
	return t->reason;
}

bool
tls_blames_certificate(const struct tls *t)
{
	return t->certificate_bad;
}

const char *
tls_identity(const struct tls *t)
{
	return t->identity;
}

/* ---- bytes ---- */

/* Neither the socket nor the library has anything for this wake-up. */
static bool
tls_is_empty(const struct tls *t)
{
	return !t->may_read && t->in_len == 0 && SSL_pending(t->ssl) == 0;
}

/*
 * The library wipes what it hands out, and once more all 17 KiB of the buffer
 * that it was in when it gives that back, which costs more than AES.  So it
 * keeps the buffer till there is nothing to find, and does not wipe then.
 */
static int
tls_take(struct tls *t, void *buf, size_t size)
{
#ifdef SSL_OP_CLEANSE_PLAINTEXT
	int n;

	t->holds = !tls_is_empty(t);
	if (t->holds)
		SSL_clear_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	else
		SSL_clear_options(t->ssl, SSL_OP_CLEANSE_PLAINTEXT);
	n = SSL_read(t->ssl, buf, (int)size);
	SSL_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_set_options(t->ssl, SSL_OP_CLEANSE_PLAINTEXT);
	return n;
#else
	return SSL_read(t->ssl, buf, (int)size);
#endif
}

/* Who stopped reading before the end has not found that there is nothing. */
static void
tls_give_back(struct tls *t)
{
	uint8_t byte;

	if (t->holds && tls_is_empty(t) && !t->over && !t->broken)
		tls_take(t, &byte, sizeof(byte));
}

void
tls_wake(struct tls *t)
{
	t->may_read = true;
}

void
tls_sleep(struct tls *t)
{
	t->may_read = false;
	tls_give_back(t);
	if (t->in_len == 0 || t->kept != NULL)
		return;
	if ((t->kept = malloc(t->in_len)) == NULL) {
		t->broken = true;
		t->in_len = 0;
		return;
	}
	memcpy(t->kept, t->in, t->in_len);
	t->in = t->kept;
}

/* What goes wrong once goes wrong for ever. */
static ssize_t
tls_broken(struct tls *t)
{
	t->broken = true;
	errno = ECONNRESET;
	return -1;
}

static bool
tls_is_end(int error, unsigned long e)
{
	if (error == SSL_ERROR_ZERO_RETURN ||
	    (error == SSL_ERROR_SYSCALL && e == 0))
		return true;
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	return ERR_GET_LIB(e) == ERR_LIB_SSL &&
	       ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
	return false;
#endif
}

/* Once in a wake-up, too: the peer may send faster than we throw away. */
static ssize_t
tls_read_raw(struct tls *t, void *buf, size_t size)
{
	if (!t->may_read) {
		errno = EAGAIN;
		return -1;
	}
	t->may_read = false;
	return recv(t->fd, buf, size, 0);
}

/*
 * That the library has to write is taken for an error.  It is so when the peer
 * has asked for a change of keys and the socket is full, although it took all
 * that there was to say; for who is stuck is not read from.  To wait for room
 * would take a state of clients that read nothing and have nothing to write,
 * for what costs its peer, once in a lifetime, a new connection.
 */
ssize_t
tls_read(struct tls *t, void *buf, size_t size)
{
	int n, error;

	if (t->broken)
		return tls_broken(t);
	if (t->over)
		return tls_read_raw(t, buf, size);
	ERR_clear_error();
	errno = 0;
	if ((n = tls_take(t, buf, size)) > 0)
		return n;
	error = SSL_get_error(t->ssl, n);
	if (error == SSL_ERROR_WANT_READ) {
		errno = EAGAIN;
		return -1;
	}
	if (!t->broken && errno == 0 && tls_is_end(error, ERR_peek_error())) {
		ERR_clear_error();
		return 0;
	}
	ERR_clear_error();
	return tls_broken(t);
}

ssize_t
tls_write(struct tls *t, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t done = 0;
	int n = 0, error;

	if (t->over || t->broken)
		return tls_broken(t);
	ERR_clear_error();
	while (done < len &&
	       (n = SSL_write(t->ssl, p + done, (int)(len - done))) > 0)
		done += (size_t)n;
	if (done > 0 || len == 0)
		return (ssize_t)done;
	error = SSL_get_error(t->ssl, n);
	ERR_clear_error();
	if (error != SSL_ERROR_WANT_WRITE)
		return tls_broken(t);
	errno = EAGAIN;
	return -1;
}

bool
tls_pending(const struct tls *t)
{
	return !t->over && !t->broken &&
	       (t->in_len > 0 || SSL_pending(t->ssl) > 0);
}

void
tls_close(struct tls *t)
{
	if (t->over)
		return;
	if (!t->broken && SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
	t->over = true;
}
