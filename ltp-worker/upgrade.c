/*
 * The upgrade request.  Two readers look at each byte: a scanner of our own,
 * which knows the strict grammar of lines and nothing of their meaning, and
 * http-parser, which takes fields apart and forgives much.  The parser sees
 * only what the scanner passed, and both must agree on where the request
 * ends.  Only then is it judged as a whole.  Values that matter are copied, and
 * wiped with the rest at the end; the whole is bounded by the size of a
 * request.
 */
#include <sys/types.h>

#include <http_parser.h>
#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "digest.h"
#include "text.h"
#include "upgrade.h"

#define UPGRADE_GUID       "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define UPGRADE_KEY_SIZE   16 /* bytes of Sec-WebSocket-Key, decoded */
#define ACCEPT_SIZE        TEXT_BASE64_SIZE(SHA1_DIGEST_LENGTH)
#define UPGRADE_NAME_MAX   32 /* longer names are of no interest */
#define UPGRADE_BODY_MAX   512
#define SUBPROTOCOL_PREFIX "ltp.v0."
#define SUBPROTOCOL_DIGITS 9 /* at most */

/* The parts of a request that are kept. */
enum value {
	VALUE_NONE = 0, /* a field of no interest */
	VALUE_TARGET,
	VALUE_HOST,
	VALUE_UPGRADE,
	VALUE_CONNECTION,
	VALUE_KEY,
	VALUE_VERSION,
	VALUE_PROTOCOL,
	VALUE_ORIGIN,
	VALUE_API_KEY,
	VALUE_AUTHORIZATION,
	VALUE_FORWARDED_FOR,
	VALUE_LENGTH,
	VALUE_ENCODING,
	VALUE__MAX
};

static const struct {
	const char *name;
	const char *twice; /* what a second one is; NULL: they are joined */
} value_rules[VALUE__MAX] = {
	[VALUE_HOST] = { "Host", "duplicate Host header" },
	[VALUE_UPGRADE] = { "Upgrade", NULL },
	[VALUE_CONNECTION] = { "Connection", NULL },
	[VALUE_KEY] = { "Sec-WebSocket-Key",
	    "duplicate Sec-WebSocket-Key header" },
	[VALUE_VERSION] = { "Sec-WebSocket-Version",
	    "duplicate Sec-WebSocket-Version header" },
	[VALUE_PROTOCOL] = { "Sec-WebSocket-Protocol", NULL },
	[VALUE_ORIGIN] = { "Origin", "duplicate Origin header" },
	[VALUE_API_KEY] = { "X-API-Key", "duplicate X-API-Key header" },
	[VALUE_AUTHORIZATION] = { "Authorization",
	    "duplicate Authorization header" },
	[VALUE_FORWARDED_FOR] = { "X-Forwarded-For", NULL },
	[VALUE_LENGTH] = { "Content-Length",
	    "duplicate Content-Length header" },
	[VALUE_ENCODING] = { "Transfer-Encoding", NULL },
};

/* Where the scanner is. */
enum scan {
	SCAN_REQUEST = 0, /* in the request line */
	SCAN_LF, /* a CR was seen, its LF is due */
	SCAN_LINE, /* at the beginning of a line */
	SCAN_NAME,
	SCAN_FIELD, /* in a field's value */
	SCAN_LAST, /* the last LF is due */
	SCAN_END,
};

struct upgrade {
	enum upgrade_state state;
	unsigned status; /* of a refusal */
	const char *reason;

	enum scan scan;
	unsigned spaces; /* in the request line */
	unsigned fields;
	size_t bytes;

	struct http_parser parser;
	bool in_headers;
	bool in_value;
	bool complete; /* the parser saw the end of the header section */
	bool http_1_1;
	bool get;
	char name[UPGRADE_NAME_MAX];
	size_t name_len; /* sizeof(name): too long */
	enum value field; /* whose value is being read */
	size_t start; /* where it begins, after those joined before it */
	struct text values[VALUE__MAX];
};

static const char with_encoding[] = "Transfer-Encoding on GET";
/* The two reasons that are not 400 but 431. */
static const char too_large[] = "request header too large";
static const char too_many[] = "too many header fields";

/* ---- the scanner: lines, whatever they mean; NULL or what is wrong ---- */

static const char *
scan_request(struct upgrade *u, uint8_t c)
{
	if (c == '\r')
		u->scan = SCAN_LF;
	else if (c == ' ')
		u->spaces++;
	else if (c < ' ' || c > '~')
		return "bad request line";
	if (u->spaces > 2 || (c == '\r' && u->spaces < 2))
		return "bad request line";
	return NULL;
}

static const char *
scan_line(struct upgrade *u, uint8_t c)
{
	if (c == ' ' || c == '\t')
		return "folded header line";
	if (c == '\r') {
		u->scan = SCAN_LAST;
		return NULL;
	}
	if (!text_is_token(c))
		return "bad header name";
	u->scan = SCAN_NAME;
	return ++u->fields > UPGRADE_MAX_HEADERS ? too_many : NULL;
}

static const char *
scan_name(struct upgrade *u, uint8_t c)
{
	if (c == ':')
		u->scan = SCAN_FIELD;
	else if (!text_is_token(c))
		return "bad header name";
	return NULL;
}

static const char *
scan_field(struct upgrade *u, uint8_t c)
{
	if (c == '\r')
		u->scan = SCAN_LF;
	else if ((c < ' ' && c != '\t') || c == 0x7f)
		return "control character in header";
	return NULL;
}

static const char *
scan_byte(struct upgrade *u, uint8_t c)
{
	if (++u->bytes > UPGRADE_MAX_BYTES)
		return too_large;
	if (c == '\n' && u->scan != SCAN_LF && u->scan != SCAN_LAST)
		return "bare LF in header";
	switch (u->scan) {
	case SCAN_REQUEST:
		return scan_request(u, c);
	case SCAN_LINE:
		return scan_line(u, c);
	case SCAN_NAME:
		return scan_name(u, c);
	case SCAN_FIELD:
		return scan_field(u, c);
	case SCAN_LF:
	case SCAN_LAST:
		if (c != '\n')
			return "bare CR in header";
		u->scan = u->scan == SCAN_LF ? SCAN_LINE : SCAN_END;
		break;
	case SCAN_END:
		break;
	}
	return NULL;
}

/* How many bytes may go to the parser; *wrong is said of what follows. */
static size_t
scan_input(struct upgrade *u, const uint8_t *in, size_t len, const char **wrong)
{
	size_t n;

	*wrong = NULL;
	for (n = 0; n < len && u->scan != SCAN_END; n++)
		if ((*wrong = scan_byte(u, in[n])) != NULL)
			break;
	return n;
}

/* ---- what the parser found ---- */

/* Returns -1, which stops the parser. */
static int
upgrade_bad(struct upgrade *u, unsigned status, const char *reason)
{
	u->state = UPGRADE_BAD;
	u->status = status;
	u->reason = reason;
	return -1;
}

static int
upgrade_keep(struct upgrade *u, enum value v, const char *p, size_t len)
{
	if (text_append(&u->values[v], p, len) == -1)
		return upgrade_bad(u, 503, "out of memory");
	return 0;
}

static enum value
upgrade_value_find(const char *name, size_t len)
{
	unsigned v;

	for (v = 0; v < VALUE__MAX; v++)
		if (value_rules[v].name != NULL &&
		    strlen(value_rules[v].name) == len &&
		    strncasecmp(value_rules[v].name, name, len) == 0)
			return v;
	return VALUE_NONE;
}

static void
upgrade_value_end(struct upgrade *u)
{
	struct text *t = &u->values[u->field];

	u->in_value = false;
	u->name_len = 0;
	if (u->field == VALUE_NONE)
		return;
	while (t->len > u->start &&
	       (t->p[t->len - 1] == ' ' || t->p[t->len - 1] == '\t'))
		t->p[--t->len] = '\0';
}

static int
upgrade_name_part(struct upgrade *u, const char *p, size_t len)
{
	u->in_headers = true;
	if (u->in_value)
		upgrade_value_end(u);
	if (len > sizeof(u->name) - u->name_len)
		len = sizeof(u->name) - u->name_len;
	memcpy(u->name + u->name_len, p, len);
	u->name_len += len;
	return 0;
}

static int
upgrade_value_begin(struct upgrade *u)
{
	bool again;

	u->in_value = true;
	u->field = upgrade_value_find(u->name, u->name_len);
	if (u->field == VALUE_NONE)
		return 0;
	again = u->values[u->field].p != NULL;
	if (again && value_rules[u->field].twice != NULL)
		return upgrade_bad(u, 400, value_rules[u->field].twice);
	if (upgrade_keep(u, u->field, ", ", again ? 2 : 0) == -1)
		return -1;
	u->start = u->values[u->field].len;
	return 0;
}

static int
upgrade_value_part(struct upgrade *u, const char *p, size_t len)
{
	if (!u->in_value && upgrade_value_begin(u) == -1)
		return -1;
	if (u->field == VALUE_NONE)
		return 0;
	return upgrade_keep(u, u->field, p, len);
}

static void
upgrade_head_end(struct upgrade *u)
{
	if (u->in_value)
		upgrade_value_end(u);
	u->complete = true;
}

/* ---- http-parser ---- */

static int
parser_on_url(struct http_parser *hp, const char *p, size_t len)
{
	return upgrade_keep(hp->data, VALUE_TARGET, p, len);
}

static int
parser_on_name(struct http_parser *hp, const char *p, size_t len)
{
	return upgrade_name_part(hp->data, p, len);
}

static int
parser_on_value(struct http_parser *hp, const char *p, size_t len)
{
	return upgrade_value_part(hp->data, p, len);
}

static int
parser_on_complete(struct http_parser *hp)
{
	struct upgrade *u = hp->data;

	u->get = hp->method == HTTP_GET;
	u->http_1_1 = hp->http_major == 1 && hp->http_minor == 1;
	upgrade_head_end(u);
	return 0;
}

static const struct http_parser_settings parser_settings = {
	.on_url = parser_on_url,
	.on_header_field = parser_on_name,
	.on_header_value = parser_on_value,
	.on_headers_complete = parser_on_complete,
};

static void
parser_start(struct upgrade *u)
{
	http_parser_init(&u->parser, HTTP_REQUEST);
	u->parser.data = u;
}

static int
parser_input(struct upgrade *u, const uint8_t *in, size_t len)
{
	const char *p = (const char *)in, *reason;
	enum http_errno wrong;
	size_t n;

	if (len == 0) /* would mean the end of the stream */
		return 0;
	n = http_parser_execute(&u->parser, &parser_settings, p, len);
	if (u->state == UPGRADE_BAD)
		return -1;
	wrong = HTTP_PARSER_ERRNO(&u->parser);
	if (wrong == HPE_OK && n == len)
		return 0;
	if (wrong == HPE_INVALID_CONTENT_LENGTH)
		reason = "bad Content-Length header";
	else if (wrong == HPE_UNEXPECTED_CONTENT_LENGTH &&
		 u->values[VALUE_ENCODING].p != NULL)
		reason = with_encoding;
	else if (wrong == HPE_UNEXPECTED_CONTENT_LENGTH)
		reason = value_rules[VALUE_LENGTH].twice;
	else
		reason = u->in_headers ? "bad header" : "bad request line";
	return upgrade_bad(u, 400, reason);
}

/* ---- is it the request that we want? ---- */

/* origin-form, or absolute-form with a scheme that makes sense here. */
static bool
target_legal(const struct text *target)
{
	static const char *const bases[] = { "http://", "https://", "ws://",
		"wss://", NULL };
	const char *p = target->p;
	struct slice host;
	size_t i;
	int port;

	if (p == NULL || strchr(p, '#') != NULL)
		return false;
	if (*p == '/')
		return true;
	for (i = 0; bases[i] != NULL; i++)
		if (strncasecmp(p, bases[i], strlen(bases[i])) == 0) {
			p += strlen(bases[i]);
			return text_host(p, strcspn(p, "/?"), &host, &port);
		}
	return false;
}

static bool
host_legal(const struct text *t)
{
	struct slice host;
	int port;

	return text_host(t->p, t->len, &host, &port);
}

static bool
key_legal(const struct text *t)
{
	uint8_t key[UPGRADE_KEY_SIZE];

	return text_base64(t, key, sizeof(key)) == UPGRADE_KEY_SIZE;
}

/* The request is complete: first what it says of itself, then what of us. */
static int
upgrade_judge(struct upgrade *u)
{
	const struct text *v = u->values;

	if (!u->http_1_1)
		return upgrade_bad(u, 400, "HTTP version is not 1.1");
	if (!u->get)
		return upgrade_bad(u, 405, "method is not GET");
	if (!target_legal(&v[VALUE_TARGET]))
		return upgrade_bad(u, 400, "bad request target");
	if (v[VALUE_HOST].p == NULL)
		return upgrade_bad(u, 400, "no Host header");
	if (!host_legal(&v[VALUE_HOST]))
		return upgrade_bad(u, 400, "bad Host header");
	if (v[VALUE_LENGTH].p != NULL && strcmp(v[VALUE_LENGTH].p, "0") != 0)
		return upgrade_bad(u, 400, "Content-Length on GET");
	if (v[VALUE_ENCODING].p != NULL)
		return upgrade_bad(u, 400, with_encoding);
	if (!text_list_has(v[VALUE_UPGRADE].p, "websocket"))
		return upgrade_bad(u, 426, "no upgrade to websocket");
	if (v[VALUE_VERSION].p == NULL || strcmp(v[VALUE_VERSION].p, "13") != 0)
		return upgrade_bad(u, 426, "Sec-WebSocket-Version is not 13");
	if (!text_list_has(v[VALUE_CONNECTION].p, "upgrade"))
		return upgrade_bad(u, 400, "no upgrade in Connection header");
	if (v[VALUE_KEY].p == NULL)
		return upgrade_bad(u, 400, "no Sec-WebSocket-Key header");
	if (!key_legal(&v[VALUE_KEY]))
		return upgrade_bad(u, 400, "bad Sec-WebSocket-Key header");
	return 0;
}

struct upgrade *
upgrade_new(void)
{
	struct upgrade *u;

	if ((u = calloc(1, sizeof(*u))) == NULL)
		return NULL;
	parser_start(u);
	return u;
}

void
upgrade_free(struct upgrade *u)
{
	unsigned v;

	if (u == NULL)
		return;
	for (v = 0; v < VALUE__MAX; v++)
		freezero(u->values[v].p, u->values[v].size);
	freezero(u, sizeof(*u));
}

enum upgrade_state
upgrade_input(struct upgrade *u, const uint8_t *in, size_t len, size_t *used)
{
	const char *wrong;

	*used = 0;
	if (u->state != UPGRADE_MORE)
		return u->state;
	*used = scan_input(u, in, len, &wrong);
	/* What the parser rejects came before what the scanner did. */
	if (parser_input(u, in, *used) == -1)
		return UPGRADE_BAD;
	if (wrong != NULL) {
		upgrade_bad(u,
		    wrong == too_large || wrong == too_many ? 431 : 400, wrong);
		return UPGRADE_BAD;
	}
	if (u->complete != (u->scan == SCAN_END))
		upgrade_bad(u, 400, "bad header");
	else if (u->complete && upgrade_judge(u) == 0)
		u->state = UPGRADE_DONE;
	return u->state;
}

unsigned
upgrade_status(const struct upgrade *u)
{
	return u->status;
}

const char *
upgrade_reason(const struct upgrade *u)
{
	return u->reason;
}

const char *
upgrade_origin(const struct upgrade *u)
{
	return u->values[VALUE_ORIGIN].p;
}

const char *
upgrade_forwarded_for(const struct upgrade *u)
{
	return u->values[VALUE_FORWARDED_FOR].p;
}

/* ---- credentials ---- */

enum scheme {
	SCHEME_NONE = 0, /* absent, or of no concern */
	SCHEME_KEY,
	SCHEME_BASIC,
};

static const struct {
	const char *name;
	enum scheme scheme;
} schemes[] = {
	{ "Bearer", SCHEME_KEY },
	{ "ApiKey", SCHEME_KEY },
	{ "Basic", SCHEME_BASIC },
};

static bool
text_printable(const struct text *t)
{
	size_t i;

	for (i = 0; i < t->len; i++)
		if (t->p[i] < ' ' || t->p[i] > '~')
			return false;
	return true;
}

/*
 * Take an Authorization field apart; *rest is what follows the scheme, and
 * empty when that is no credential.
 */
static enum scheme
scheme_parse(const struct text *auth, struct text *rest)
{
	struct slice name = { auth->p, 0 };
	size_t i;

	if (auth->p == NULL)
		return SCHEME_NONE;
	while (text_is_token((uint8_t)auth->p[name.len]))
		name.len++;
	*rest = (struct text){ .p = auth->p + name.len };
	if (*rest->p == ' ') {
		rest->p += strspn(rest->p, " ");
		rest->len = strlen(rest->p);
	}
	if (!text_printable(rest))
		rest->len = 0;
	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (text_slice_is(&name, schemes[i].name))
			return schemes[i].scheme;
	return SCHEME_NONE;
}

static void
credential_conflict(struct credential *c)
{
	explicit_bzero(c, sizeof(*c));
	c->kind = CREDENTIAL_CONFLICT;
}

static void
credential_set(struct credential *c, const void *id, size_t id_len,
    const void *key, size_t key_len)
{
	if (id_len > sizeof(c->id) || key_len == 0 ||
	    key_len > sizeof(c->key)) {
		credential_conflict(c);
		return;
	}
	c->kind = CREDENTIAL_KEY;
	c->id_len = id_len;
	c->key_len = key_len;
	memcpy(c->id, id, id_len);
	memcpy(c->key, key, key_len);
}

/* RFC 7617: id and key, neither empty, no control characters. */
static void
credential_basic(struct credential *c, const struct text *t)
{
	uint8_t pair[LTP_ID_MAX + 1 + AUTH_KEY_MAX], *colon = NULL;
	ssize_t i, len;

	if ((len = text_base64(t, pair, sizeof(pair))) > 0)
		colon = memchr(pair, ':', (size_t)len);
	for (i = 0; i < len; i++)
		if (pair[i] < ' ' || pair[i] == 0x7f)
			colon = NULL;
	if (colon == NULL || colon == pair)
		credential_conflict(c);
	else
		credential_set(c, pair, (size_t)(colon - pair), colon + 1,
		    (size_t)(pair + len - (colon + 1)));
	explicit_bzero(pair, sizeof(pair));
}

void
upgrade_credential(const struct upgrade *u, struct credential *out)
{
	const struct text *key = &u->values[VALUE_API_KEY];
	struct text rest;
	enum scheme scheme;

	memset(out, 0, sizeof(*out));
	scheme = scheme_parse(&u->values[VALUE_AUTHORIZATION], &rest);
	if (key->len > 0 && text_printable(key)) {
		credential_set(out, "", 0, key->p, key->len);
		if (scheme == SCHEME_KEY &&
		    (rest.len != key->len ||
			!digest_same(rest.p, key->p, key->len)))
			credential_conflict(out);
	} else if (scheme == SCHEME_BASIC)
		credential_basic(out, &rest);
	else if (scheme == SCHEME_KEY)
		credential_set(out, "", 0, rest.p, rest.len);
}

/* ---- responses ---- */

/* "ltp.v0." and a number without leading zeros. */
static bool
subprotocol_known(const struct slice *s)
{
	size_t n = strlen(SUBPROTOCOL_PREFIX);

	if (s->len <= n || s->len > n + SUBPROTOCOL_DIGITS ||
	    memcmp(s->p, SUBPROTOCOL_PREFIX, n) != 0 ||
	    strspn(s->p + n, "0123456789") != s->len - n)
		return false;
	return s->p[n] != '0' || s->len == n + 1;
}

/* RFC 6455, section 4.2.2. */
static void
accept_digest(const struct text *key, char out[ACCEPT_SIZE])
{
	uint8_t digest[SHA1_DIGEST_LENGTH];
	SHA1_CTX ctx;

	SHA1Init(&ctx);
	SHA1Update(&ctx, (const uint8_t *)key->p, key->len);
	SHA1Update(&ctx, (const uint8_t *)UPGRADE_GUID, strlen(UPGRADE_GUID));
	SHA1Final(digest, &ctx);
	text_base64_print(out, digest, sizeof(digest));
}

size_t
upgrade_print_accept(const struct upgrade *u, char out[UPGRADE_RESPONSE_MAX])
{
	char digest[ACCEPT_SIZE];
	const char *offered = u->values[VALUE_PROTOCOL].p;
	struct slice s;
	bool known = false;
	int n;

	accept_digest(&u->values[VALUE_KEY], digest);
	while (!known && text_list_next(&offered, &s))
		known = subprotocol_known(&s);
	n = snprintf(out, UPGRADE_RESPONSE_MAX,
	    "HTTP/1.1 101 Switching Protocols\r\n"
	    "Upgrade: websocket\r\n"
	    "Connection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n"
	    "%s%.*s%s\r\n",
	    digest, known ? "Sec-WebSocket-Protocol: " : "",
	    known ? (int)s.len : 0, known ? s.p : "", known ? "\r\n" : "");
	return n < 0 ? 0 : (size_t)n;
}

static const struct refusal {
	unsigned status;
	const char *phrase;
	const char *fields;
	bool retry; /* has a Retry-After */
} refusals[] = {
	{ 400, "Bad Request", "", false },
	{ 401, "Unauthorized", "WWW-Authenticate: Bearer\r\n", false },
	{ 403, "Forbidden", "", false },
	{ 405, "Method Not Allowed", "Allow: GET\r\n", false },
	{ 408, "Request Timeout", "", false },
	{ 426, "Upgrade Required",
	    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Version: 13\r\n",
	    false },
	{ 429, "Too Many Requests", "", true },
	{ 431, "Request Header Fields Too Large", "", false },
	{ 500, "Internal Server Error", "", false },
	{ 503, "Service Unavailable", "", true },
	{ 0, "Error", "", false }, /* any other */
};

static const struct refusal *
refusal_find(unsigned status)
{
	const struct refusal *r = refusals;

	while (r->status != status && r->status != 0)
		r++;
	return r;
}

size_t
upgrade_print_refusal(char out[UPGRADE_RESPONSE_MAX], unsigned status,
    const char *body, unsigned after)
{
	const struct refusal *r = refusal_find(status);
	size_t len = strnlen(body, UPGRADE_BODY_MAX);
	char retry[48] = "";
	int n;

	if (r->retry)
		snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", after);
	n = snprintf(out, UPGRADE_RESPONSE_MAX,
	    "HTTP/1.1 %u %s\r\n"
	    "%s%s"
	    "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: %zu\r\n"
	    "Connection: close\r\n"
	    "\r\n"
	    "%.*s",
	    status, r->phrase, r->fields, retry, len, (int)len, body);
	return n < 0 ? 0 : (size_t)n;
}

/* ---- origins ---- */

struct origin {
	struct slice scheme;
	struct slice host;
	int port; /* TEXT_PORT_NONE also for the scheme's default */
};

/* scheme "://" host [":" port], and nothing else. */
static bool
origin_parse(const char *p, size_t len, struct origin *o)
{
	const char *mark = strstr(p, "://"), *end = p + len;

	if (mark == NULL || mark == p)
		return false;
	o->scheme = (struct slice){ p, (size_t)(mark - p) };
	p = mark + strlen("://");
	if (!text_host(p, (size_t)(end - p), &o->host, &o->port))
		return false;
	if ((o->port == 80 && text_slice_is(&o->scheme, "http")) ||
	    (o->port == 443 && text_slice_is(&o->scheme, "https")))
		o->port = TEXT_PORT_NONE;
	return true;
}

bool
upgrade_origin_matches(const char *entry, const char *origin)
{
	struct origin want, have;
	size_t len = strlen(entry);
	bool any_port;

	if (strcmp(entry, "*") == 0)
		return true;
	any_port = len > 2 && strcmp(entry + len - 2, ":*") == 0;
	if (any_port)
		len -= 2;
	return origin_parse(entry, len, &want) &&
	       origin_parse(origin, strlen(origin), &have) &&
	       text_slice_same(&want.scheme, &have.scheme) &&
	       text_slice_same(&want.host, &have.host) &&
	       (any_port || want.port == have.port);
}
