/*
 * Conversations of tls.c with OpenSSL.
 */
#include "tls_talk.h"

#include "unit.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "chan.h"
#include "child.h"
#include "log.h"
#include "pair.h"
#include "tls_context.h"
#include "vault.h"

static const struct msg_peer sibling = { .role = ROLE_SIGN };

/* Nobody is there to be told. */
void
child_accuse(struct chan *parent, const struct msg_peer *peer)
{
	(void)parent;
	(void)peer;
	fail_msg("%s", "accused");
}

static void
ignore_line(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)arg;
	assert_non_null(text);
}

int
stage_set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_set_sink(ignore_line, NULL);
	return vault_open();
}

/* ---- who signs ---- */

struct notary {
	struct pair *pair;
	enum manner manner;
};

static void
notary_message(struct chan *ch, struct msg *m, void *arg)
{
	struct notary *n = arg;
	uint8_t out[SIGN_OUTPUT_MAX];
	struct msg_sign_ask ask;
	struct msg_sign_reply reply;
	size_t len = 0;

	memcpy(&ask, m->data, sizeof(ask));
	reply.serial = ask.serial;
	if (n->manner == DIES)
		_exit(0);
	if (n->manner == SAYS_NOTHING)
		return;
	if (n->manner == SIGNS && ask.pair == pair_id(n->pair))
		len = pair_sign(n->pair, ask.scheme, m->data + sizeof(ask),
		    m->len - sizeof(ask), out);
	chan_send(ch, MSG_SIGN_REPLY, &reply, sizeof(reply), out, len);
}

static void
notary_gone(struct chan *ch, enum chan_end end, void *arg)
{
	(void)ch;
	(void)arg;
	_exit(end == CHAN_EOF ? 0 : 1);
}

static const struct chan_ops notary_ops = {
	.message = notary_message,
	.gone = notary_gone,
};

static struct pair *
load_pair(const struct cert *c, struct msg_conf_tls *conf)
{
	char *chain = cert_pem(c->x), *key = cert_key_pem(c->key, NULL);
	char why[SIGN_WHY_MAX];
	int fd = cert_bundle(conf, chain, NULL, NULL), key_fd = cert_file(key);
	struct pair *p = pair_load(conf, fd, key_fd, why);

	assert_non_null(p);
	close(fd);
	close(key_fd);
	free(chain);
	free(key);
	return p;
}

/* A new one, in place of the one before. */
void
notary_start(struct stage *st, const struct cert *c, enum manner manner)
{
	struct msg_conf_tls conf = { .pair = PAIR };
	struct notary n = { .manner = manner };
	struct event_base *base;
	int sv[2];

	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
	n.pair = load_pair(c, &conf);
	fflush(NULL);
	if ((st->pid = fork()) == 0) {
		close(sv[0]);
		if (st->desk->signer.fd != -1)
			close(st->desk->signer.fd);
		if ((base = event_base_new()) == NULL ||
		    chan_new(base, sv[1], ROLE_SIGN, ROLE_WORKER, &notary_ops,
			&n) == NULL)
			_exit(1);
		event_base_dispatch(base);
		_exit(1);
	}
	assert_int_not_equal(st->pid, -1);
	close(sv[1]);
	pair_free(n.pair);
	assert_int_equal(signer_set(&st->desk->signer, sv[0], &sibling), 0);
}

void
notary_stop(struct stage *st)
{
	if (st->pid == 0)
		return;
	kill(st->pid, SIGKILL);
	waitpid(st->pid, NULL, 0);
	st->pid = 0;
}

/* ---- a worker ---- */

/* The descriptor that the supervisor would pass. */
int
stage_bundle(
    const struct stage *st, const struct node *node, struct msg_conf_tls *conf)
{
	char *chain = cert_pem(st->server.x), *ca = cert_pem(st->ca.x);
	int fd;

	memset(conf, 0, sizeof(*conf));
	conf->pair = PAIR;
	conf->min_version = node->min_version;
	fd = cert_bundle(conf, chain, node->mtls ? ca : NULL, node->crl);
	free(chain);
	free(ca);
	return fd;
}

void
stage_take(struct stage *st, const struct node *node, int fd,
    const struct msg_conf_tls *conf)
{
	const char *why = NULL;

	tls_desk_begin(st->desk);
	if (tls_desk_conf(st->desk, fd, conf, node->mtls, &why) == -1)
		fail_msg("%s", why);
	tls_desk_commit(st->desk);
}

void
stage_conf(struct stage *st, const struct node *node)
{
	struct msg_conf_tls conf;
	int fd = stage_bundle(st, node, &conf);

	stage_take(st, node, fd, &conf);
	close(fd);
}

void
stage_open(struct stage *st, const struct node *node, enum manner manner)
{
	struct cert_wish ca = { .cn = "CA", .ca = true };
	struct cert_wish server = { .cn = "node", .key = node->key };

	memset(st, 0, sizeof(*st));
	st->ca = cert_make(&ca, NULL);
	st->server = cert_make(&server, NULL);
	assert_non_null(st->base = event_base_new());
	assert_non_null(st->desk = tls_desk_new(st->base, NULL));
	notary_start(st, &st->server, manner);
	stage_conf(st, node);
}

void
stage_close(struct stage *st)
{
	notary_stop(st);
	tls_desk_free(st->desk);
	event_base_free(st->base);
	cert_free(&st->server);
	cert_free(&st->ca);
}

/* ---- a client ---- */

SSL *
guest_ssl(const struct guest *g, int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char sigalgs[64];
	unsigned i;
	SSL *ssl;

	assert_non_null(ctx);
	SSL_CTX_set_security_level(ctx, 0);
	if (g->version != 0) {
		SSL_CTX_set_min_proto_version(ctx, (int)g->version);
		SSL_CTX_set_max_proto_version(ctx, (int)g->version);
	}
	if (g->cert != NULL) {
		assert_int_equal(SSL_CTX_use_certificate(ctx, g->cert->x), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, g->cert->key), 1);
	}
	for (i = 0; g->cert != NULL && i < g->extra; i++) {
		X509_up_ref(g->cert->x);
		assert_int_equal(
		    SSL_CTX_add_extra_chain_cert(ctx, g->cert->x), 1);
	}
	if (g->sigalgs != NULL) {
		strlcpy(sigalgs, g->sigalgs, sizeof(sigalgs));
		assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, sigalgs), 1);
	}
	if (g->ciphers != NULL)
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, g->ciphers), 1);
	if (g->alpn != NULL)
		assert_int_equal(
		    SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)g->alpn,
			(unsigned)strlen(g->alpn)),
		    0);
	ssl = SSL_new(ctx);
	assert_non_null(ssl);
	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	SSL_set_connect_state(ssl);
	SSL_CTX_free(ctx);
	return ssl;
}

/* ---- conversations ---- */

void
talk_resume(void *arg)
{
	struct talk *t = arg;

	t->waits = false;
	talk_server(t);
}

void
talk_open(struct talk *t, struct stage *st)
{
	memset(t, 0, sizeof(*t));
	t->st = st;
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t->fd),
	    0);
}

void
talk_start(struct talk *t, const struct guest *g)
{
	assert_non_null(t->tls = tls_new(t->st->desk, t->fd[0]));
	tls_set_resume(t->tls, talk_resume, t);
	t->ssl = guest_ssl(g, t->fd[1]);
}

void
talk_begin(struct talk *t, struct stage *st, const struct guest *g)
{
	talk_open(t, st);
	talk_start(t, g);
}

void
talk_end(struct talk *t)
{
	tls_free(t->tls);
	/* Or it would forget its session. */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN);
	SSL_free(t->ssl);
	close(t->fd[0]);
	close(t->fd[1]);
	ERR_clear_error();
}

bool
talk_is_settled(const struct talk *t)
{
	return t->result == TLS_DONE || t->result == TLS_FAILED;
}

void
talk_client(struct talk *t)
{
	int rv, error;

	if (t->connected != 0)
		return;
	ERR_clear_error();
	rv = SSL_do_handshake(t->ssl);
	error = SSL_get_error(t->ssl, rv);
	if (rv == 1)
		t->connected = 1;
	else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		t->connected = -1;
	ERR_clear_error();
}

void
talk_server(struct talk *t)
{
	if (talk_is_settled(t) || t->waits)
		return;
	/* Before the call: the answer may be there when it returns. */
	t->waits = true;
	t->result = tls_handshake(t->tls);
	if (t->result != TLS_SIGN)
		t->waits = false;
	else
		t->waited++;
}

/* Until the server has made up its mind. */
void
talk_handshake(struct talk *t)
{
	int i;

	for (i = 0; i < TURNS && !talk_is_settled(t); i++) {
		talk_client(t);
		event_base_loop(
		    t->st->base, t->waits ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
		talk_server(t);
	}
	assert_true(talk_is_settled(t));
	talk_client(t);
}

enum tls_result
talk_once(struct stage *st, const struct guest *g)
{
	struct talk t;

	talk_begin(&t, st, g);
	talk_handshake(&t);
	talk_end(&t);
	return t.result;
}

/* What one side writes the other reads. */
void
talk_check_bytes(struct talk *t)
{
	char buf[64];

	assert_int_equal(SSL_write(t->ssl, "hello", 5), 5);
	tls_wake(t->tls);
	assert_int_equal(tls_read(t->tls, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
	errno = 0;
	assert_int_equal(tls_read(t->tls, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	tls_sleep(t->tls);
	assert_int_equal(tls_write(t->tls, "world", 5), 5);
	assert_int_equal(SSL_read(t->ssl, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "world", 5);
}
