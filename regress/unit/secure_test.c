/*
 * Clients that speak TLS: all of the worker is here but its main file.
 * OpenSSL is the client, and a process of its own signs.
 */
#include "unit.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certs.h"
#include "chan.h"
#include "client.h"
#include "log.h"
#include "pair.h"
#include "remote.h"
#include "shared.h"
#include "tls.h"
#include "vault.h"
#include "worker.h"
#include "ws.h"

#define PAIR    7
#define TURNS   3000 /* of a conversation that should have gone on */
#define PINGS   150
#define PAYLOAD 100

struct stage {
	struct worker w;
	struct cert server;
	struct cert ca;
	pid_t pid;
	int fd; /* the client's */
	SSL *ssl;
	int handshake; /* 1: done, -1: failed */
	bool eof; /* and what was read before */
	bool closed; /* by close_notify */
	char seen[65536];
	size_t seen_len;
};

static const struct msg_peer sibling = { .role = ROLE_SIGN };

/* ---- what worker.c would do ---- */

void
worker_wake(struct worker *w)
{
	w->now = monotime_now();
}

void
worker_set_deadline(struct worker *w)
{
	(void)w;
}

void
worker_client_gone(struct worker *w)
{
	(void)w;
}

static void
ignore_line(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)arg;
	assert_non_null(text);
}

/* ---- who signs ---- */

static void
notary_message(struct chan *ch, struct msg *m, void *arg)
{
	const struct pair *p = arg;
	uint8_t out[SIGN_OUTPUT_MAX];
	struct msg_sign_reply reply;
	struct msg_sign_ask ask;
	size_t len;

	memcpy(&ask, m->data, sizeof(ask));
	reply.serial = ask.serial;
	len = pair_sign(
	    p, ask.scheme, m->data + sizeof(ask), m->len - sizeof(ask), out);
	chan_send(ch, MSG_SIGN_REPLY, &reply, sizeof(reply), out, len);
}

static void
notary_gone(struct chan *ch, enum chan_end end, void *arg)
{
	(void)ch;
	(void)end;
	(void)arg;
	_exit(0);
}

static const struct chan_ops notary_ops = {
	.message = notary_message,
	.gone = notary_gone,
};

static void
notary_start(struct stage *st, const struct msg_conf_tls *conf, int bundle)
{
	char *key = cert_key_pem(st->server.key, NULL), why[SIGN_WHY_MAX];
	int sv[2], key_fd = cert_file(key);
	struct event_base *base;
	struct pair *p = pair_load(conf, bundle, key_fd, why);

	assert_non_null(p);
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
	if ((st->pid = fork()) == 0) {
		close(sv[0]);
		base = event_base_new();
		chan_new(base, sv[1], ROLE_SIGN, ROLE_WORKER, &notary_ops, p);
		event_base_dispatch(base);
		_exit(1);
	}
	close(sv[1]);
	close(key_fd);
	free(key);
	pair_free(p);
	assert_int_equal(tls_desk_set_signer(st->w.tls, sv[0], &sibling), 0);
}

/* ---- a worker ---- */

static struct settings *
stage_settings(bool mtls)
{
	struct msg_conf_worker node = { .max_message_bytes = 65536,
		.max_sessions = 10,
		.handshake_timeout_ms = 600000,
		.max_connections_per_ip = 2,
		.max_half_open_per_ip = 2 };
	struct msg_conf_remote remote = { .max_message_bytes = 65536,
		.rate_limit = 8000,
		.handshake_timeout_ms = 600000,
		.message_timeout_ms = 30000,
		.idle_timeout_ms = 90000,
		.session_ttl_secs = 3600,
		.token = !mtls,
		.mtls = mtls,
		.tls = 1 };
	struct settings *s = settings_new(1);

	assert_non_null(s);
	assert_int_equal(
	    settings_node(s, (const uint8_t *)&node, sizeof(node)), 0);
	assert_int_equal(
	    settings_remote(s, (const uint8_t *)&remote, sizeof(remote)), 0);
	return s;
}

static void
stage_tls(struct stage *st, bool mtls)
{
	struct cert_wish ca = { .cn = "CA", .ca = true };
	struct cert_wish server = { .cn = "node" };
	struct msg_conf_tls conf = { .pair = PAIR };
	char *chain, *ca_text;
	const char *why;
	int fd;

	st->ca = cert_make(&ca, NULL);
	st->server = cert_make(&server, NULL);
	chain = cert_pem(st->server.x);
	ca_text = cert_pem(st->ca.x);
	fd = cert_bundle(&conf, chain, ca_text, NULL);
	assert_non_null(st->w.tls = tls_desk_new(st->w.base, NULL));
	assert_int_equal(tls_desk_conf(st->w.tls, fd, &conf, mtls, &why), 0);
	tls_desk_commit(st->w.tls);
	notary_start(st, &conf, fd);
	close(fd);
	free(chain);
	free(ca_text);
}

static void
stage_open(struct stage *st, bool mtls)
{
	struct worker *w = &st->w;
	int fd;

	memset(st, 0, sizeof(*st));
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->greeting);
	TAILQ_INIT(&w->entering);
	TAILQ_INIT(&w->lingering);
	remote_init(&w->remotes);
	login_init(&w->logins);
	assert_non_null(w->base = event_base_new());
	assert_non_null(w->json = json_new());
	assert_int_equal(journal_init(w), 0);
	w->settings = stage_settings(mtls);
	assert_non_null(w->shared = shared_new(1, &fd));
	close(fd);
	worker_wake(w);
	stage_tls(st, mtls);
}

static void
stage_close(struct stage *st)
{
	struct worker *w = &st->w;
	struct client *c;

	while ((c = TAILQ_FIRST(&w->clients)) != NULL)
		client_free(c);
	if (st->ssl != NULL) {
		SSL_free(st->ssl);
		close(st->fd);
	}
	kill(st->pid, SIGKILL);
	waitpid(st->pid, NULL, 0);
	tls_desk_free(w->tls);
	event_free(w->journal.flush);
	event_free(w->journal.away);
	free(w->journal.buf);
	free(w->output.data);
	json_free(w->json);
	settings_free(w->settings);
	shared_free(w->shared);
	event_base_free(w->base);
	cert_free(&st->server);
	cert_free(&st->ca);
}

/* ---- a client ---- */

/* Somebody connects; refused: one too many. */
static struct client *
guest_come(struct stage *st, const struct cert *cert, bool refused)
{
	struct msg_conn conn = { .id = 1, .remote = 1, .refuse = refused };
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int sv[2], size = 4096;

	conn.accepted_us = monotime_now().us;
	assert_int_equal(socketpair(AF_UNIX,
			     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	st->fd = sv[1];
	if (cert != NULL) {
		SSL_CTX_use_certificate(ctx, cert->x);
		SSL_CTX_use_PrivateKey(ctx, cert->key);
	}
	assert_non_null(st->ssl = SSL_new(ctx));
	SSL_CTX_free(ctx);
	SSL_set_fd(st->ssl, st->fd);
	SSL_set_connect_state(st->ssl);
	shared_take(
	    st->w.shared, refused ? SHARED_REFUSALS : SHARED_CONNS, 0, 10);
	client_new(&st->w, sv[0], &conn);
	return TAILQ_FIRST(&st->w.clients);
}

static void
guest_turn(struct stage *st, bool reads)
{
	int n, error;

	event_base_loop(st->w.base, EVLOOP_NONBLOCK);
	ERR_clear_error();
	if (st->handshake == 0) {
		n = SSL_do_handshake(st->ssl);
		error = SSL_get_error(st->ssl, n);
		if (n == 1)
			st->handshake = 1;
		else if (error != SSL_ERROR_WANT_READ)
			st->handshake = -1;
	}
	if (st->handshake != 1 || !reads || st->eof)
		return;
	n = SSL_read(st->ssl, st->seen + st->seen_len,
	    (int)(sizeof(st->seen) - st->seen_len - 1));
	error = SSL_get_error(st->ssl, n);
	if (n > 0)
		st->seen_len += (size_t)n;
	else if (error != SSL_ERROR_WANT_READ)
		st->eof = true;
	st->closed = st->closed || error == SSL_ERROR_ZERO_RETURN;
}

/* Until so much has been read, or the end. */
static void
guest_wait(struct stage *st, size_t len)
{
	int i;

	for (i = 0;
	     i < TURNS && st->seen_len < len && !st->eof && st->handshake != -1;
	     i++) {
		guest_turn(st, true);
		if (st->handshake == 0)
			usleep(100);
	}
}

static void
guest_say(struct stage *st, const void *data, size_t len)
{
	assert_int_equal(SSL_write(st->ssl, data, (int)len), len);
}

static void
guest_ask_upgrade(struct stage *st)
{
	static const char request[] =
	    "GET / HTTP/1.1\r\nHost: localhost\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

	guest_say(st, request, sizeof(request) - 1);
}

static size_t
guest_ping(uint8_t *buf, size_t len)
{
	static const uint8_t mask[4] = { 0, 0, 0, 0 };
	size_t n = ws_header(buf, WS_OP_PING, len, mask);

	memset(buf + n, 'p', len);
	return n + len;
}

/* A client of the agent's certificate, past the upgrade. */
static struct client *
guest_open(struct stage *st)
{
	struct cert_wish wish = { .cn = "agent-a" };
	struct cert c = cert_make(&wish, &st->ca);
	struct client *client = guest_come(st, &c, false);

	assert_int_equal(client->state, CLIENT_TLS);
	while (st->handshake == 0)
		guest_turn(st, false);
	assert_int_equal(st->handshake, 1);
	guest_ask_upgrade(st);
	guest_wait(st, 1);
	st->seen[st->seen_len] = '\0';
	assert_non_null(strstr(st->seen, "HTTP/1.1 101"));
	assert_string_equal(client->remote->certified, "agent-a");
	assert_int_equal(client->state, CLIENT_OPEN);
	st->seen_len = 0;
	cert_free(&c);
	return client;
}

static uint64_t
counted(const struct stage *st, enum counter n)
{
	return st->w.count.now.n[n];
}

/* ---- tests ---- */

static void
an_upgrade_and_frames_go_over_tls(void **state)
{
	uint8_t buf[256];
	struct stage st;

	(void)state;
	stage_open(&st, true);
	guest_open(&st);
	guest_say(&st, buf, guest_ping(buf, 5));
	guest_wait(&st, 7);
	assert_memory_equal(st.seen, "\x8a\x05ppppp", 7);
	assert_int_equal(counted(&st, COUNT_TLS_HANDSHAKES), 1);
	assert_int_equal(counted(&st, COUNT_TLS_HANDSHAKE_FAILURES), 0);
	stage_close(&st);
}

/* It writes and does not read: what it is answered waits, whole. */
static void
a_client_that_reads_late_gets_every_answer(void **state)
{
	uint8_t buf[256];
	struct client *c;
	struct stage st;
	size_t n, i;

	(void)state;
	stage_open(&st, true);
	c = guest_open(&st);
	for (i = 0; i < PINGS; i++) {
		n = guest_ping(buf, PAYLOAD);
		guest_say(&st, buf, n);
		guest_turn(&st, false);
	}
	assert_non_null(c->passage);
	assert_non_null(c->passage->out);
	guest_wait(&st, PINGS * (PAYLOAD + 2));
	assert_int_equal(st.seen_len, PINGS * (PAYLOAD + 2));
	for (i = 0; i < PINGS; i++)
		assert_memory_equal(
		    st.seen + i * (PAYLOAD + 2), "\x8a\x64pp", 4);
	/* An idle session has none of this. */
	guest_turn(&st, true);
	assert_false(passage_is_stuck(c));
	stage_close(&st);
}

static void
one_too_many_is_told_so_behind_the_handshake(void **state)
{
	struct stage st;

	(void)state;
	stage_open(&st, false);
	guest_come(&st, NULL, true);
	guest_wait(&st, 1);
	st.seen[st.seen_len] = '\0';
	assert_non_null(strstr(st.seen, "HTTP/1.1 503"));
	assert_non_null(strstr(st.seen, "dist.connection_limit"));
	guest_wait(&st, SIZE_MAX);
	assert_true(st.closed);
	assert_int_equal(counted(&st, COUNT_DIST_CONNECTION_LIMIT), 1);
	stage_close(&st);
}

static void
a_bad_certificate_is_counted_and_told_by_an_alert(void **state)
{
	struct cert_wish wish = { .cn = "agent-a" };
	struct cert c = cert_make(&wish, NULL);
	struct stage st;

	(void)state;
	stage_open(&st, true);
	guest_come(&st, &c, false);
	guest_wait(&st, SIZE_MAX);
	assert_true(st.eof || st.handshake == -1);
	assert_int_equal(counted(&st, COUNT_TLS_HANDSHAKE_FAILURES), 1);
	assert_int_equal(counted(&st, COUNT_DIST_AUTH_FAILED), 1);
	assert_int_equal(counted(&st, COUNT_AUTH_FAILURES), 1);
	assert_int_equal(counted(&st, COUNT_TLS_HANDSHAKES), 0);
	stage_close(&st);
	cert_free(&c);
}

static void
a_handshake_that_takes_too_long_is_cut_off(void **state)
{
	struct client *c;
	struct stage st;

	(void)state;
	stage_open(&st, false);
	c = guest_come(&st, NULL, false);
	event_base_loop(st.w.base, EVLOOP_NONBLOCK);
	assert_int_equal(c->state, CLIENT_TLS);
	client_expired(c);
	assert_true(TAILQ_EMPTY(&st.w.clients));
	assert_int_equal(counted(&st, COUNT_DIST_HANDSHAKE_TIMEOUT), 1);
	assert_int_equal(shared_total(st.w.shared, SHARED_CONNS), 0);
	stage_close(&st);
}

static void
noise_in_place_of_a_handshake_is_refused(void **state)
{
	struct stage st;
	int i;

	(void)state;
	stage_open(&st, false);
	guest_come(&st, NULL, false);
	assert_int_equal(write(st.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	for (i = 0; i < 10; i++)
		event_base_loop(st.w.base, EVLOOP_NONBLOCK);
	assert_int_equal(counted(&st, COUNT_TLS_HANDSHAKE_FAILURES), 1);
	assert_int_equal(counted(&st, COUNT_DIST_AUTH_FAILED), 0);
	shutdown(st.fd, SHUT_RDWR);
	for (i = 0; i < 10; i++)
		event_base_loop(st.w.base, EVLOOP_NONBLOCK);
	assert_true(TAILQ_EMPTY(&st.w.clients));
	stage_close(&st);
}

static void
a_drain_closes_sessions_and_handshakes(void **state)
{
	struct client *c;
	struct stage st;

	(void)state;
	stage_open(&st, true);
	c = guest_open(&st);
	worker_wake(&st.w);
	client_shutdown(c);
	guest_wait(&st, SIZE_MAX);
	assert_true(st.closed);
	assert_memory_equal(st.seen, "\x88", 1);
	stage_close(&st);
	stage_open(&st, false);
	c = guest_come(&st, NULL, false);
	client_shutdown(c);
	assert_true(TAILQ_EMPTY(&st.w.clients));
	stage_close(&st);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_upgrade_and_frames_go_over_tls),
		cmocka_unit_test(a_client_that_reads_late_gets_every_answer),
		cmocka_unit_test(one_too_many_is_told_so_behind_the_handshake),
		cmocka_unit_test(
		    a_bad_certificate_is_counted_and_told_by_an_alert),
		cmocka_unit_test(a_handshake_that_takes_too_long_is_cut_off),
		cmocka_unit_test(noise_in_place_of_a_handshake_is_refused),
		cmocka_unit_test(a_drain_closes_sessions_and_handshakes),
	};

	signal(SIGPIPE, SIG_IGN);
	if (vault_open() == -1)
		return 1;
	log_set_sink(ignore_line, NULL);
	return cmocka_run_group_tests_name("secure", tests, NULL, NULL);
}
