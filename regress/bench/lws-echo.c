/*
 * A peer: an echo server with libwebsockets, as its documentation writes one.
 * No extension, one thread, 127.0.0.1; the port is the argument.  With a
 * certificate and its key after it, it speaks TLS.
 */
#include <libwebsockets.h>

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Messages that were read and not yet written; a ring, per connection. */
#define ECHO_QUEUE 64
#define ECHO_BYTES 256

struct message {
	size_t len;
	uint8_t bytes[LWS_PRE + ECHO_BYTES];
};

struct echo {
	struct message *queue; /* NULL while there are none */
	unsigned head, count;
	bool partial; /* one more is being read */
};

/* A message may come in pieces. */
static int
echo_receive(struct lws *wsi, struct echo *e, const void *in, size_t len)
{
	struct message *m;

	if (e->queue == NULL &&
	    (e->queue = calloc(ECHO_QUEUE, sizeof(*e->queue))) == NULL)
		return -1;
	m = &e->queue[(e->head + e->count) % ECHO_QUEUE];
	if (!e->partial)
		m->len = 0;
	if (e->count == ECHO_QUEUE - 1 || len > ECHO_BYTES - m->len)
		return -1;
	memcpy(m->bytes + LWS_PRE + m->len, in, len);
	m->len += len;
	e->partial = !lws_is_final_fragment(wsi);
	if (!e->partial) {
		e->count++;
		lws_callback_on_writable(wsi);
	}
	return 0;
}

static int
echo_writable(struct lws *wsi, struct echo *e)
{
	struct message *m;

	if (e->count == 0)
		return 0;
	m = &e->queue[e->head % ECHO_QUEUE];
	if (lws_write(wsi, m->bytes + LWS_PRE, m->len, LWS_WRITE_TEXT) <
	    (int)m->len)
		return -1;
	e->head++;
	e->count--;
	if (e->count > 0)
		lws_callback_on_writable(wsi);
	else if (!e->partial) {
		free(e->queue);
		e->queue = NULL;
	}
	return 0;
}

static int
echo_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
    void *in, size_t len)
{
	struct echo *e = user;

	switch (reason) {
	case LWS_CALLBACK_RECEIVE:
		return echo_receive(wsi, e, in, len);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return echo_writable(wsi, e);
	case LWS_CALLBACK_CLOSED:
		free(e->queue);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "echo",
	    .callback = echo_callback,
	    .per_session_data_size = sizeof(struct echo),
	    .rx_buffer_size = 1024 },
	{ 0 },
};

int
main(int argc, char **argv)
{
	struct lws_context_creation_info info = { 0 };
	struct lws_context *ctx;
	const char *wrong;

	if (argc != 2 && argc != 4)
		errx(2, "usage: lws-echo port [certificate key]");
	lws_set_log_level(LLL_ERR, NULL);
	info.port = (int)strtonum(argv[1], 1, UINT16_MAX, &wrong);
	if (wrong != NULL)
		errx(2, "port %s: %s", argv[1], wrong);
	info.iface = "127.0.0.1";
	info.protocols = protocols;
	if (argc == 4) {
		info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = argv[2];
		info.ssl_private_key_filepath = argv[3];
	}
	info.gid = -1;
	info.uid = -1;
	ctx = lws_create_context(&info);
	if (ctx == NULL)
		errx(1, "cannot start");
	while (lws_service(ctx, 0) >= 0)
		;
	lws_context_destroy(ctx);
	return 0;
}
