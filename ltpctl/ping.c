/*
 * ping: a real client of the node, of its plain and of its remote listener.
 * It upgrades, says hello, sends heartbeats and times the answers, asks for a
 * route, closes, and takes nothing for granted: whatever comes back must
 * answer what was sent.
 */
#include <sys/stat.h>

#include <jansson.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "ltpctl.h"
#include "monotime.h"
#include "output_json.h"
#include "ping.h"
#include "show.h"
#include "tlsclient.h"
#include "wsclient.h"

#define PING_URL         "ws://127.0.0.1:7070"
#define PING_URL_MAX     2048
#define PING_COUNT       3
#define PING_INTERVAL_MS 200 /* below the node's 10 messages a second */
#define PING_TIMEOUT_MS  5000 /* for each step */
#define PING_TEXT_MAX    1536
#define PING_SAID_MAX    512 /* of a text that the node chose, encoded */
#define PING_SESSION_MAX 128 /* bytes of a session_id */

struct ping {
	struct ltpctl *ctl;
	char url[PING_URL_MAX];
	struct wsurl at;
	struct wsclient ws;
	struct tlsclient tls;
	char key[AUTH_KEY_MAX + 2]; /* wiped once it was sent */
	char token[LTP_ID_MAX + 1 + AUTH_KEY_MAX + 2]; /* the same */
	char client_id[LTP_ID_MAX + 1]; /* what we call ourselves */
	char session_id[PING_SESSION_MAX]; /* empty: the node has said none */
	json_int_t seq; /* of the last message with a session_id */
	char *identity; /* what the node calls us, or NULL */
	json_t *node_id; /* a string, or NULL until the node says it */
	json_t *sector; /* the same */
	unsigned sent;
	unsigned received;
	int64_t min_us;
	int64_t max_us;
	int64_t sum_us;
	char text[PING_TEXT_MAX]; /* printable: what failed */
};

static volatile sig_atomic_t ping_interrupted;

static int ping_fail(struct ping *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static int
ping_fail(struct ping *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	return -1;
}

static void
ping_signal(int sig)
{
	(void)sig;
	ping_interrupted = 1;
}

static struct monotime
ping_deadline(void)
{
	return monotime_add_ms(monotime_now(), PING_TIMEOUT_MS);
}

/* ---- where to ---- */

/* A listener on every address is reached by the loopback address. */
static void
ping_localize(struct ping *p, const struct bytes *url)
{
	static const char *const any[][2] = {
		{ "ws://0.0.0.0:", "ws://127.0.0.1:" },
		{ "ws://[::]:", "ws://[::1]:" },
	};
	size_t i, n;

	for (i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
		n = strlen(any[i][0]);
		if (url->len < n || memcmp(url->p, any[i][0], n) != 0)
			continue;
		snprintf(p->url, sizeof(p->url), "%s%.*s", any[i][1],
		    (int)(url->len - n), url->p + n);
		return;
	}
	snprintf(p->url, sizeof(p->url), "%.*s", (int)url->len, url->p);
}

/* The first ws:// listener of the node that runs here, if one does. */
static void
ping_ask_url(struct ping *p)
{
	struct msg_ctl_show show = { .what = SHOW_SUMMARY };
	struct show_listener l;
	struct ask_msg m;
	struct ask a;

	strlcpy(p->url, PING_URL, sizeof(p->url));
	if (ask_open(&a, p->ctl->socket) == -1)
		return;
	if (ask_send(&a, MSG_CTL_SHOW, &show, sizeof(show)) == -1)
		goto done;
	while (ask_next(&a, &m) == ASK_RECORD) {
		if (m.type != MSG_CTL_LISTENER ||
		    show_parse_listener(&l, &m) == -1 || l.kind.len != 3 ||
		    memcmp(l.kind.p, "ltp", 3) != 0 || l.url.len < 5 ||
		    memcmp(l.url.p, "ws://", 5) != 0)
			continue;
		ping_localize(p, &l.url);
		break;
	}
done:
	ask_close(&a);
}

/* ---- key and token ---- */

/*
 * The first line of n bytes in buf, a key of at most max as a header may
 * carry it.  NULL, or why it is none.
 */
static const char *
key_check(char *buf, size_t n, size_t max)
{
	size_t i, len;

	buf[n] = '\0';
	if (strlen(buf) != n)
		return "not a text file";
	len = strcspn(buf, "\r\n");
	buf[len] = '\0';
	if (len == 0)
		return "the first line is empty";
	if (len > max)
		return "the key is too long";
	for (i = 0; i < len; i++) {
		if (!isgraph((unsigned char)buf[i]))
			return "a key is printable and has no blanks";
	}
	return NULL;
}

/* The first line of a file into buf. */
static int
ping_read_key(struct ping *p, const char *path, char *buf, size_t size)
{
	const char *why;
	struct stat st;
	ssize_t n;
	int fd, ret = -1;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1 || fstat(fd, &st) == -1) {
		ping_fail(p, "%s: %s", path, strerror(errno));
		goto done;
	}
	if (!S_ISREG(st.st_mode)) {
		ping_fail(p, "%s: not a regular file", path);
		goto done;
	}
	if (st.st_mode & S_IRWXO) {
		ping_fail(p, "%s: mode %04o is too open", path,
		    (unsigned)st.st_mode & 07777);
		goto done;
	}
	if ((n = read(fd, buf, size - 1)) == -1) {
		ping_fail(p, "%s: %s", path, strerror(errno));
		goto done;
	}
	if ((why = key_check(buf, (size_t)n, size - 2)) != NULL) {
		ping_fail(p, "%s: %s", path, why);
		goto done;
	}
	ret = 0;
done:
	if (fd != -1)
		close(fd);
	return ret;
}

/* ---- messages ---- */

/* A string of JSON as printable text; NULL when it is no string. */
static char *
ping_text(const json_t *j, char buf[PING_SAID_MAX])
{
	struct bytes b;

	if (!json_is_string(j))
		return NULL;
	b.p = json_string_value(j);
	b.len = json_string_length(j);
	return output_line(buf, PING_SAID_MAX, &b);
}

/* Parse a message and see that it is the reply that was waited for. */
static json_t *
ping_parse(struct ping *p, const struct ws_frame *f, const char *type)
{
	char got[PING_SAID_MAX], said[PING_SAID_MAX];
	json_t *o;

	if (f->opcode != WS_OP_TEXT) {
		ping_fail(p, "a binary message in place of %s", type);
		return NULL;
	}
	o = json_loadb(
	    (const char *)f->data, f->len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o) ||
	    ping_text(json_object_get(o, "type"), got) == NULL) {
		ping_fail(p, "%s: not an LTP message", type);
		goto fail;
	}
	if (strcmp(got, type) == 0)
		return o;
	if (strcmp(got, "error") == 0 &&
	    ping_text(json_object_get(o, "message"), said) != NULL)
		ping_fail(p, "the node answered with an error: %s", said);
	else
		ping_fail(p, "%s in place of %s", got, type);
fail:
	json_decref(o);
	return NULL;
}

/* Wait for a reply.  NULL with text. */
static json_t *
ping_reply(struct ping *p, const char *type)
{
	struct monotime deadline = ping_deadline();
	struct ws_frame f;

	for (;;) {
		switch (wsclient_next(&p->ws, &f, deadline)) {
		case WSCLIENT_MESSAGE:
			return ping_parse(p, &f, type);
		case WSCLIENT_SIGNAL:
			if (!ping_interrupted)
				break;
			ping_fail(p, "interrupted");
			return NULL;
		case WSCLIENT_TIMEOUT:
			ping_fail(p, "no %s within %d s", type,
			    PING_TIMEOUT_MS / 1000);
			return NULL;
		case WSCLIENT_CLOSED:
		case WSCLIENT_FAILED:
			ping_fail(p, "%s", p->ws.text);
			return NULL;
		}
	}
}

/*
 * A message, which is taken; NULL: there was no memory.  Once the node has
 * named a session, each one belongs to it and has its number.
 */
static int
ping_say(struct ping *p, json_t *o)
{
	char *text = NULL;
	int ret = -1;

	if (o != NULL && p->session_id[0] != '\0') {
		output_json_str(o, "session_id", p->session_id);
		output_json_int(o, "seq", ++p->seq);
	}
	if (o != NULL)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		return ping_fail(p, "%s", strerror(ENOMEM));
	ret = wsclient_send(
	    &p->ws, WS_OP_TEXT, text, strlen(text), ping_deadline());
	free(text);
	return ret == 0 ? 0 : ping_fail(p, "%s", p->ws.text);
}

/*
 * The client_id of a reply: our own, or, when a key was shown, the key's id,
 * which must then stay the same.
 */
static int
ping_check_identity(struct ping *p, const json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "client_id"));
	const char *expected = p->identity;

	/* With a key, the node may know us by another name than ours. */
	if (expected == NULL && p->ctl->key_file == NULL)
		expected = p->client_id;
	if (id == NULL || id[0] == '\0')
		return ping_fail(p, "a reply without a client_id");
	if (expected != NULL && strcmp(id, expected) != 0)
		return ping_fail(p, "a reply for another client_id");
	if (p->identity == NULL && (p->identity = strdup(id)) == NULL)
		return ping_fail(p, "%s", strerror(errno));
	return 0;
}

/* ---- the steps ---- */

static int
ping_open(struct ping *p)
{
	const struct wsclient_login login = {
		.key = p->ctl->key_file != NULL ? p->key : NULL,
		.token = p->ctl->token_file != NULL ? p->token : NULL,
	};
	int ret = -1;

	if (wsclient_connect(&p->ws, &p->at, ping_deadline()) == -1)
		goto done;
	/* Certificates of the system are looked up as they are needed. */
	if (p->at.tls &&
	    wsclient_secure(&p->ws, &p->at, &p->tls, ping_deadline()) == -1)
		goto done;
	ltpctl_connected(p->ctl);
	ret = wsclient_upgrade(&p->ws, &p->at, &login, ping_deadline());
done:
	explicit_bzero(p->key, sizeof(p->key));
	explicit_bzero(p->token, sizeof(p->token));
	return ret == 0 ? 0 : ping_fail(p, "%s", p->ws.text);
}

/* A session that the node has named: from now on it is in each message. */
static int
ping_take_session(struct ping *p, const json_t *o)
{
	const json_t *id = json_object_get(o, "session_id");

	if (id == NULL)
		return 0;
	if (!json_is_string(id) || json_string_length(id) == 0 ||
	    json_string_length(id) >= sizeof(p->session_id))
		return ping_fail(p, "hello_ack with a bad session_id");
	strlcpy(p->session_id, json_string_value(id), sizeof(p->session_id));
	return 0;
}

static int
ping_hello(struct ping *p)
{
	char node[PING_SAID_MAX];
	json_t *o;
	int ret = -1;

	if (ping_say(p, json_pack("{s:s,s:s}", "type", "hello", "client_id",
			    p->client_id)) == -1)
		return -1;
	if ((o = ping_reply(p, "hello_ack")) == NULL)
		return -1;
	p->node_id = json_incref(json_object_get(o, "node_id"));
	if (ping_text(p->node_id, node) == NULL)
		ping_fail(p, "hello_ack without a node_id");
	else if (!json_is_true(json_object_get(o, "accepted")))
		ping_fail(p, "the node did not accept the hello");
	else
		ret = ping_take_session(p, o);
	json_decref(o);
	if (ret == 0 && !p->ctl->json)
		printf("PING %s (%s): node %s\n", p->url, p->ws.peer, node);
	return ret;
}

static void
ping_count(struct ping *p, int64_t us)
{
	p->received++;
	p->sum_us += us;
	if (p->received == 1 || us < p->min_us)
		p->min_us = us;
	if (us > p->max_us)
		p->max_us = us;
	if (p->ctl->json)
		return;
	printf("heartbeat_ack from %s: seq=%u time=%.3f ms\n", p->ws.peer,
	    p->received, (double)us / 1000);
	fflush(stdout);
}

static int
ping_heartbeat(struct ping *p)
{
	struct monotime begin;
	struct timespec ts;
	json_t *o, *echo;
	int64_t ms, us;
	int ret = -1;

	clock_gettime(CLOCK_REALTIME, &ts);
	ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	begin = monotime_now();
	if (ping_say(
		p, json_pack("{s:s,s:s,s:I}", "type", "heartbeat", "client_id",
		       p->client_id, "timestamp_ms", (json_int_t)ms)) == -1)
		return -1;
	p->sent++;
	if ((o = ping_reply(p, "heartbeat_ack")) == NULL)
		return -1;
	us = monotime_diff_us(monotime_now(), begin);
	echo = json_object_get(o, "timestamp_ms");
	if (!json_is_integer(echo) || json_integer_value(echo) != ms)
		ping_fail(p, "heartbeat_ack with another timestamp_ms");
	else
		ret = ping_check_identity(p, o);
	json_decref(o);
	if (ret == 0)
		ping_count(p, us);
	return ret;
}

/* Between two heartbeats the node has nothing to say but may close. */
static int
ping_pause(struct ping *p, unsigned ms)
{
	struct monotime until = monotime_add_ms(monotime_now(), ms);
	struct ws_frame f;

	while (!ping_interrupted) {
		switch (wsclient_next(&p->ws, &f, until)) {
		case WSCLIENT_TIMEOUT:
			return 0;
		case WSCLIENT_SIGNAL:
			break;
		case WSCLIENT_MESSAGE:
			return ping_fail(p, "a message that answers nothing");
		case WSCLIENT_CLOSED:
		case WSCLIENT_FAILED:
			return ping_fail(p, "%s", p->ws.text);
		}
	}
	return 0;
}

static int
ping_heartbeats(struct ping *p)
{
	unsigned count = p->ctl->count, interval = p->ctl->interval_ms;
	unsigned i;

	if (count == 0)
		count = PING_COUNT;
	if (interval == 0)
		interval = PING_INTERVAL_MS;
	for (i = 0; i < count && !ping_interrupted; i++) {
		if (i > 0 && ping_pause(p, interval) == -1)
			return -1;
		if (!ping_interrupted && ping_heartbeat(p) == -1)
			return -1;
	}
	return 0;
}

static int
ping_route(struct ping *p)
{
	char sector[PING_SAID_MAX], reason[PING_SAID_MAX];
	json_t *o;
	int ret = -1;

	if (ping_say(p, json_pack("{s:s,s:s}", "type", "route_request",
			    "client_id", p->client_id)) == -1)
		return -1;
	if ((o = ping_reply(p, "route_suggestion")) == NULL)
		return -1;
	p->sector = json_incref(json_object_get(o, "suggested_sector"));
	if (ping_text(p->sector, sector) == NULL ||
	    ping_text(json_object_get(o, "reason"), reason) == NULL)
		ping_fail(p, "route_suggestion without a sector");
	else
		ret = ping_check_identity(p, o);
	json_decref(o);
	if (ret == 0 && !p->ctl->json)
		printf("route_suggestion from %s: %s (%s)\n", p->ws.peer,
		    sector, reason);
	return ret;
}

static int
ping_close(struct ping *p)
{
	struct monotime deadline = ping_deadline();
	uint8_t payload[WS_CONTROL_MAX];
	struct ws_frame f;
	size_t len;

	len = ws_close_payload(payload, WS_NORMAL, "");
	if (wsclient_send(&p->ws, WS_OP_CLOSE, payload, len, deadline) == -1)
		return ping_fail(p, "%s", p->ws.text);
	for (;;) {
		switch (wsclient_next(&p->ws, &f, deadline)) {
		case WSCLIENT_SIGNAL:
			break;
		case WSCLIENT_CLOSED:
			if (f.code == WS_NORMAL)
				return 0;
			return ping_fail(p, "%s", p->ws.text);
		case WSCLIENT_FAILED:
			return ping_fail(p, "%s", p->ws.text);
		case WSCLIENT_TIMEOUT:
			return ping_fail(p, "no answer to the close in time");
		case WSCLIENT_MESSAGE:
			return ping_fail(p, "a message that answers nothing");
		}
	}
}

static int
ping_converse(struct ping *p)
{
	struct sigaction sa = { .sa_handler = ping_signal };

	if (ping_open(p) == -1 || ping_hello(p) == -1)
		return -1;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	if (ping_heartbeats(p) == -1 || ping_route(p) == -1)
		return -1;
	return ping_close(p);
}

/* ---- the result ---- */

static void
ping_print(const struct ping *p)
{
	if (p->sent == 0)
		return;
	printf("\n--- %s ping statistics ---\n"
	       "%u heartbeats sent, %u answered, %.0f%% lost\n",
	    p->url, p->sent, p->received,
	    100.0 * (p->sent - p->received) / p->sent);
	if (p->received > 0)
		printf("round trip min/avg/max = %.3f/%.3f/%.3f ms\n",
		    (double)p->min_us / 1000,
		    (double)p->sum_us / p->received / 1000,
		    (double)p->max_us / 1000);
}

static void
ping_print_json(const struct ping *p, bool ok)
{
	json_t *o = output_json_object(), *rtt;

	output_json_bool(o, "ok", ok);
	if (!ok)
		output_json_str(o, "error", p->text);
	output_json_str(o, "url", p->url);
	output_json_int(o, "sent", p->sent);
	output_json_int(o, "received", p->received);
	if (p->received > 0) {
		rtt = output_json_object();
		output_json_real(rtt, "min", (double)p->min_us / 1000);
		output_json_real(
		    rtt, "avg", (double)p->sum_us / p->received / 1000);
		output_json_real(rtt, "max", (double)p->max_us / 1000);
		output_json_set(o, "rtt_ms", rtt);
	}
	if (p->node_id != NULL)
		output_json_set(o, "node_id", json_incref(p->node_id));
	if (p->identity != NULL)
		output_json_str(o, "client_id", p->identity);
	if (p->sector != NULL)
		output_json_set(o, "suggested_sector", json_incref(p->sector));
	output_json_print(stdout, o);
	putchar('\n');
	json_decref(o);
}

/*
 * Who to be: as was asked for, or as the token or the certificate says, which
 * the node would not let us deny.
 */
static int
ping_name(struct ping *p)
{
	size_t len = strcspn(p->token, ":");

	if (p->ctl->id != NULL) {
		if (p->ctl->id[0] == '\0' ||
		    strlcpy(p->client_id, p->ctl->id, sizeof(p->client_id)) >=
			sizeof(p->client_id))
			return ping_fail(
			    p, "--id: of 1 to %d bytes", LTP_ID_MAX);
		return 0;
	}
	if (p->ctl->cert_file != NULL) {
		tlsclient_identity(&p->tls, p->client_id);
	} else if (len <= LTP_ID_MAX && p->token[len] == ':') {
		memcpy(p->client_id, p->token, len);
		p->client_id[len] = '\0';
	}
	if (p->client_id[0] == '\0')
		snprintf(p->client_id, sizeof(p->client_id), "ltpctl-%ld",
		    (long)getpid());
	return 0;
}

/* What only a wss:// address has a use for. */
static int
ping_prepare_tls(struct ping *p)
{
	const struct ltpctl *ctl = p->ctl;
	const struct tlsclient_files files = { .ca = ctl->ca_file,
		.cert = ctl->cert_file,
		.key = ctl->cert_key_file };

	if ((ctl->cert_file == NULL) != (ctl->cert_key_file == NULL))
		return ping_fail(p, "--cert and --cert-key go together");
	if (!p->at.tls && (ctl->ca_file != NULL || ctl->cert_file != NULL))
		return ping_fail(p, "certificates are for wss:// addresses");
	if (!p->at.tls)
		return 0;
	/* OpenSSL writes to the socket as if it were a file. */
	signal(SIGPIPE, SIG_IGN);
	if (tlsclient_init(&p->tls, &files) == -1)
		return ping_fail(p, "%s", p->tls.text);
	return 0;
}

/* What is before the host may be a password, which is not to be repeated. */
static void
ping_forget_credential(char *url)
{
	char *start = strstr(url, "://"), *at = strrchr(url, '@');

	start = start == NULL ? url : start + strlen("://");
	if (at != NULL && at >= start)
		memmove(start, at + 1, strlen(at + 1) + 1);
}

/* Everything up to the connection. */
static int
ping_prepare(struct ping *p)
{
	struct ltpctl *ctl = p->ctl;
	const char *why;

	if (ctl->nargs == 0)
		ping_ask_url(p);
	else if (strlcpy(p->url, ctl->args[0], sizeof(p->url)) >=
		 sizeof(p->url)) {
		p->url[0] = '\0';
		return ping_fail(p, "the address is too long");
	}
	if ((why = wsurl_parse(&p->at, p->url)) != NULL) {
		ping_forget_credential(p->url);
		return ping_fail(p, "%s: %s", p->url, why);
	}
	if (ctl->key_file != NULL &&
	    ping_read_key(p, ctl->key_file, p->key, sizeof(p->key)) == -1)
		return -1;
	if (ctl->token_file != NULL &&
	    ping_read_key(p, ctl->token_file, p->token, sizeof(p->token)) == -1)
		return -1;
	if (ping_prepare_tls(p) == -1)
		return -1;
	return ping_name(p);
}

int
ping_run(struct ltpctl *ctl)
{
	struct ping p = { .ctl = ctl, .ws.fd = -1 };
	int ret;

	ret = ping_prepare(&p);
	if (ret == 0)
		ret = ping_converse(&p);
	explicit_bzero(p.key, sizeof(p.key));
	explicit_bzero(p.token, sizeof(p.token));
	wsclient_free(&p.ws);
	tlsclient_free(&p.tls);
	if (ctl->json)
		ping_print_json(&p, ret == 0);
	else
		ping_print(&p);
	json_decref(p.node_id);
	json_decref(p.sector);
	free(p.identity);
	if (ret == -1 && !ctl->json)
		ltpctl_fail(ctl, "ping: %s", p.text);
	return ret == 0 ? LTPCTL_OK : LTPCTL_FAILED;
}
