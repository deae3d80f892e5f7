/*
 * The chain: index, hash, signature, and the text of a line.
 */
#include "chain.h"

#include <string.h>

#include "digest.h"
#include "number.h"
#include "word.h"

#define LITERAL(s) s, sizeof(s) - 1

/* What stands around the values of a line. */
#define HEAD_I         "{\"i\":"
#define HEAD_TIMESTAMP ",\"timestamp_ms\":"
#define HEAD_DIRECTION ",\"direction\":\""
#define HEAD_SESSION   "\",\"session_id\":\""
#define HEAD_FRAME     "\",\"frame\":"
#define TAIL_PREV      ",\"prev_hash\":\""
#define TAIL_HASH      "\",\"hash\":\""
#define TAIL_SIGNATURE "\",\"signature\":\""
#define TAIL_KEY_ID    "\",\"alg\":\"ed25519\",\"key_id\":\""
#define TAIL_END       "\"}"

/* Integers that every reader of JSON can hold. */
#define TIMESTAMP_MAX (INT64_C(1) << 53)

/* Bytes of the part after the frame. */
#define UNSIGNED_TAIL \
	(sizeof(TAIL_PREV TAIL_HASH TAIL_END) - 1 + 2 * CHAIN_HASH_LEN)
#define SIGNED_TAIL                                               \
	(UNSIGNED_TAIL + sizeof(TAIL_SIGNATURE TAIL_KEY_ID) - 1 + \
	    CHAIN_SIGNATURE_LEN + CHAIN_KEY_ID_LEN)

_Static_assert(
    sizeof(HEAD_I HEAD_TIMESTAMP HEAD_DIRECTION HEAD_SESSION HEAD_FRAME) + 20 +
	    20 + 3 + AUDIT_SESSION_MAX + CHAIN_FRAME_MAX + SIGNED_TAIL + 1 <=
	CHAIN_LINE_MAX,
    "the longest line");

const char chain_genesis[CHAIN_HASH_LEN + 1] =
    "0000000000000000000000000000000000000000000000000000000000000000";

static const char *
direction_text(enum audit_direction direction)
{
	return direction == AUDIT_IN ? "in" : "out";
}

/* ---- writing pieces ---- */

static char *
put(char *out, const char *p, size_t len)
{
	memcpy(out, p, len);
	return out + len;
}

static char *
put_hex(char *out, const uint8_t *p, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (; len > 0; p++, len--) {
		*out++ = digits[*p >> 4];
		*out++ = digits[*p & 15];
	}
	return out;
}

static int
unhex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
chain_unhex(uint8_t *out, size_t size, const char *text, size_t len)
{
	size_t i;
	int high, low;

	if (len != 2 * size)
		return false;
	for (i = 0; i < size; i++) {
		high = unhex_digit(text[2 * i]);
		low = unhex_digit(text[2 * i + 1]);
		if (high == -1 || low == -1)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* All that comes before the frame. */
static char *
put_head(char *out, const struct chain_line *l)
{
	const char *direction = direction_text(l->direction);

	out = put(out, LITERAL(HEAD_I));
	out = number_put_uint64(out, l->i);
	out = put(out, LITERAL(HEAD_TIMESTAMP));
	out = number_put_int64(out, l->timestamp_ms);
	out = put(out, LITERAL(HEAD_DIRECTION));
	out = put(out, direction, strlen(direction));
	out = put(out, LITERAL(HEAD_SESSION));
	out = put(out, l->session_id, l->session_id_len);
	return put(out, LITERAL(HEAD_FRAME));
}

/* All that comes after it. */
static char *
put_tail(char *out, const struct chain_line *l)
{
	out = put(out, LITERAL(TAIL_PREV));
	out = put(out, l->prev_hash, CHAIN_HASH_LEN);
	out = put(out, LITERAL(TAIL_HASH));
	out = put(out, l->hash, CHAIN_HASH_LEN);
	if (l->signature != NULL) {
		out = put(out, LITERAL(TAIL_SIGNATURE));
		out = put(out, l->signature, CHAIN_SIGNATURE_LEN);
		out = put(out, LITERAL(TAIL_KEY_ID));
		out = put(out, l->key_id, CHAIN_KEY_ID_LEN);
	}
	out = put(out, LITERAL(TAIL_END));
	*out++ = '\n';
	return out;
}

size_t
chain_print(char out[CHAIN_LINE_MAX], const struct chain_line *l)
{
	char *p = put_head(out, l);

	p = put(p, l->frame, l->frame_len);
	return (size_t)(put_tail(p, l) - out);
}

size_t
chain_print_env(char out[CHAIN_ENV_MAX], const struct chain_line *l)
{
	const char *direction = direction_text(l->direction);
	char *p;

	p = put(out, LITERAL("\"env\":\""));
	p = number_put_uint64(p, l->i);
	*p++ = '|';
	p = number_put_int64(p, l->timestamp_ms);
	*p++ = '|';
	p = put(p, direction, strlen(direction));
	*p++ = '|';
	p = put(p, l->session_id, l->session_id_len);
	p = put(p, LITERAL("\","));
	return (size_t)(p - out);
}

/* ---- hashes and signatures ---- */

int
chain_init(struct chain *ch)
{
	char hash[CHAIN_HASH_LEN + 1];
	struct chain_line empty = {
		.frame = "", .prev_hash = chain_genesis, .hash = hash
	};

	memset(ch, 0, sizeof(*ch));
	memset(hash, '0', sizeof(hash));
	memcpy(ch->hash, chain_genesis, sizeof(ch->hash));
	ch->sha256 = EVP_MD_CTX_new();
	ch->signer = EVP_MD_CTX_new();
	if (ch->sha256 == NULL || ch->signer == NULL ||
	    EVP_DigestInit_ex(ch->sha256, EVP_sha256(), NULL) != 1 ||
	    chain_check_hash(ch, &empty) == -1) {
		chain_free(ch);
		return -1;
	}
	return 0;
}

void
chain_free(struct chain *ch)
{
	EVP_PKEY_free(ch->key);
	EVP_MD_CTX_free(ch->sha256);
	EVP_MD_CTX_free(ch->signer);
	memset(ch, 0, sizeof(*ch));
}

/* SHA-256 of a previous hash and a frame, in hex. */
static int
chain_hash(struct chain *ch, char hex[CHAIN_HASH_LEN], const char *prev,
    const char *frame, size_t len)
{
	uint8_t digest[DIGEST_SIZE];
	unsigned n;

	/* Without a type the context keeps the one that it was made with. */
	if (EVP_DigestInit_ex(ch->sha256, NULL, NULL) != 1 ||
	    EVP_DigestUpdate(ch->sha256, prev, CHAIN_HASH_LEN) != 1 ||
	    EVP_DigestUpdate(ch->sha256, frame, len) != 1 ||
	    EVP_DigestFinal_ex(ch->sha256, digest, &n) != 1)
		return -1;
	put_hex(hex, digest, sizeof(digest));
	return 0;
}

int
chain_check_hash(struct chain *ch, const struct chain_line *l)
{
	char hex[CHAIN_HASH_LEN];

	if (chain_hash(ch, hex, l->prev_hash, l->frame, l->frame_len) == -1)
		return -1;
	return memcmp(hex, l->hash, CHAIN_HASH_LEN) == 0;
}

/* Takes the key, which may be NULL. */
static int
chain_take_key(struct chain *ch, EVP_PKEY *key)
{
	uint8_t public[CHAIN_SEED_SIZE], digest[DIGEST_SIZE];
	size_t len = sizeof(public);

	EVP_PKEY_free(ch->key);
	ch->key = NULL;
	if (key == NULL ||
	    EVP_PKEY_get_raw_public_key(key, public, &len) != 1) {
		EVP_PKEY_free(key);
		return -1;
	}
	digest_sha256(digest, public, len);
	ch->key = key;
	*put_hex(ch->public_key, public, sizeof(public)) = '\0';
	*put_hex(ch->key_id, digest, CHAIN_KEY_ID_LEN / 2) = '\0';
	return 0;
}

static int
chain_sign(struct chain *ch, char hex[CHAIN_SIGNATURE_LEN], const char *hash)
{
	uint8_t signature[CHAIN_SIGNATURE_LEN / 2];
	size_t len = sizeof(signature);

	EVP_MD_CTX_reset(ch->signer);
	if (EVP_DigestSignInit(ch->signer, NULL, NULL, NULL, ch->key) != 1 ||
	    EVP_DigestSign(ch->signer, signature, &len, (const uint8_t *)hash,
		CHAIN_HASH_LEN) != 1 ||
	    len != sizeof(signature))
		return -1;
	put_hex(hex, signature, sizeof(signature));
	return 0;
}

int
chain_set_key(struct chain *ch, const uint8_t seed[CHAIN_SEED_SIZE])
{
	char trial[CHAIN_SIGNATURE_LEN];

	if (chain_take_key(ch, EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519,
				   NULL, seed, CHAIN_SEED_SIZE)) == -1)
		return -1;
	/* The library loads what it needs at the first signature. */
	return chain_sign(ch, trial, chain_genesis);
}

/* The signer holds it, too. */
void
chain_forget_key(struct chain *ch)
{
	EVP_MD_CTX_reset(ch->signer);
	EVP_PKEY_free(ch->key);
	ch->key = NULL;
	ch->key_id[0] = ch->public_key[0] = '\0';
}

int
chain_set_public(struct chain *ch, const uint8_t key[CHAIN_SEED_SIZE])
{
	return chain_take_key(ch, EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519,
				      NULL, key, CHAIN_SEED_SIZE));
}

int
chain_check_signature(struct chain *ch, const struct chain_line *l)
{
	uint8_t signature[CHAIN_SIGNATURE_LEN / 2];

	if (!chain_unhex(signature, sizeof(signature), l->signature,
		CHAIN_SIGNATURE_LEN))
		return 0;
	EVP_MD_CTX_reset(ch->signer);
	if (EVP_DigestVerifyInit(ch->signer, NULL, NULL, NULL, ch->key) != 1)
		return -1;
	return EVP_DigestVerify(ch->signer, signature, sizeof(signature),
		   (const uint8_t *)l->hash, CHAIN_HASH_LEN) == 1;
}

/* ---- making lines ---- */

static bool
is_session_id(const char *p, size_t len)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789-_.";
	size_t i;

	if (len == 0 || len > AUDIT_SESSION_MAX)
		return false;
	for (i = 0; i < len; i++) {
		if (p[i] == '\0' || strchr(allowed, p[i]) == NULL)
			return false;
	}
	return true;
}

/* Of a word: one below ' ' borrows, and had no top bit itself. */
static bool
has_control(const char *p, size_t len)
{
	uint64_t w;

	for (; len >= WORD; p += WORD, len -= WORD) {
		w = word_read(p);
		if (((w - WORD_OF(' ')) & ~w & WORD_TOP_BITS) != 0)
			return true;
	}
	for (; len > 0; p++, len--) {
		if ((unsigned char)*p < ' ')
			return true;
	}
	return false;
}

bool
chain_accepts(const struct msg_audit_record *r, const char *session_id,
    const char *before, const char *after)
{
	size_t nb = r->before_len, na = r->after_len;

	return (r->direction == AUDIT_IN || r->direction == AUDIT_OUT) &&
	       r->timestamp_ms >= 0 && r->timestamp_ms < TIMESTAMP_MAX &&
	       is_session_id(session_id, r->session_id_len) &&
	       nb + na <= AUDIT_FRAME_MAX && nb > 0 && na > 1 &&
	       before[0] == '{' && (nb == 1 || before[nb - 1] == ',') &&
	       after[0] == '"' && after[na - 1] == '}' &&
	       !has_control(before, nb) && !has_control(after, na);
}

size_t
chain_append(struct chain *ch, char out[CHAIN_LINE_MAX],
    const struct msg_audit_record *r, const char *session_id,
    const char *before, const char *after)
{
	char hash[CHAIN_HASH_LEN + 1], signature[CHAIN_SIGNATURE_LEN], *p;
	struct chain_line l = { .i = ch->next,
		.timestamp_ms = r->timestamp_ms,
		.direction = r->direction,
		.session_id = session_id,
		.session_id_len = r->session_id_len,
		.prev_hash = ch->hash,
		.hash = hash,
		.key_id = ch->key_id };

	l.frame = p = put_head(out, &l);
	p = put(p, before, r->before_len);
	p += chain_print_env(p, &l);
	p = put(p, after, r->after_len);
	l.frame_len = (size_t)(p - l.frame);
	if (chain_hash(ch, hash, ch->hash, l.frame, l.frame_len) == -1)
		return 0;
	hash[CHAIN_HASH_LEN] = '\0';
	if (ch->key != NULL && ch->sign_every != 0 &&
	    ch->next % ch->sign_every == 0) {
		if (chain_sign(ch, signature, hash) == -1)
			return 0;
		l.signature = signature;
	}
	p = put_tail(p, &l);
	chain_resume(ch, &l);
	return (size_t)(p - out);
}

void
chain_resume(struct chain *ch, const struct chain_line *l)
{
	ch->next = l->i + 1;
	memcpy(ch->hash, l->hash, CHAIN_HASH_LEN);
}

/* ---- taking lines apart ---- */

struct scan {
	const char *p;
	const char *end;
};

static bool
scan_literal(struct scan *s, const char *text, size_t len)
{
	if ((size_t)(s->end - s->p) < len || memcmp(s->p, text, len) != 0)
		return false;
	s->p += len;
	return true;
}

/* A number as number_put_uint64() prints it, below max. */
static bool
scan_number(struct scan *s, uint64_t *out, uint64_t max)
{
	const char *start = s->p;
	uint64_t n = 0;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
		if (n > (max - 9) / 10)
			return false;
		n = n * 10 + (uint64_t)(*s->p - '0');
	}
	*out = n;
	return s->p > start && (*start != '0' || s->p == start + 1);
}

static bool
scan_hex(struct scan *s, const char **out, size_t len)
{
	size_t i;

	if ((size_t)(s->end - s->p) < len)
		return false;
	for (i = 0; i < len; i++) {
		if ((s->p[i] < '0' || s->p[i] > '9') &&
		    (s->p[i] < 'a' || s->p[i] > 'f'))
			return false;
	}
	*out = s->p;
	s->p += len;
	return true;
}

static bool
scan_head(struct scan *s, struct chain_line *l)
{
	const char *quote;
	uint64_t timestamp;

	if (!scan_literal(s, LITERAL(HEAD_I)) ||
	    !scan_number(s, &l->i, UINT64_MAX) ||
	    !scan_literal(s, LITERAL(HEAD_TIMESTAMP)) ||
	    !scan_number(s, &timestamp, TIMESTAMP_MAX) ||
	    !scan_literal(s, LITERAL(HEAD_DIRECTION)))
		return false;
	l->timestamp_ms = (int64_t)timestamp;
	if (scan_literal(s, LITERAL("in" HEAD_SESSION)))
		l->direction = AUDIT_IN;
	else if (scan_literal(s, LITERAL("out" HEAD_SESSION)))
		l->direction = AUDIT_OUT;
	else
		return false;
	if ((quote = memchr(s->p, '"', (size_t)(s->end - s->p))) == NULL)
		return false;
	l->session_id = s->p;
	l->session_id_len = (size_t)(quote - s->p);
	s->p = quote;
	return is_session_id(l->session_id, l->session_id_len) &&
	       scan_literal(s, LITERAL(HEAD_FRAME));
}

static bool
scan_tail(struct scan *s, struct chain_line *l, bool is_signed)
{
	if (!scan_literal(s, LITERAL(TAIL_PREV)) ||
	    !scan_hex(s, &l->prev_hash, CHAIN_HASH_LEN) ||
	    !scan_literal(s, LITERAL(TAIL_HASH)) ||
	    !scan_hex(s, &l->hash, CHAIN_HASH_LEN))
		return false;
	if (is_signed && (!scan_literal(s, LITERAL(TAIL_SIGNATURE)) ||
			     !scan_hex(s, &l->signature, CHAIN_SIGNATURE_LEN) ||
			     !scan_literal(s, LITERAL(TAIL_KEY_ID)) ||
			     !scan_hex(s, &l->key_id, CHAIN_KEY_ID_LEN)))
		return false;
	return scan_literal(s, LITERAL(TAIL_END)) && s->p == s->end;
}

/*
 * What follows the frame has one of two lengths; which one, a quote tells
 * that stands where an unsigned line has a digit of its hash.
 */
bool
chain_parse(const char *text, size_t len, struct chain_line *l)
{
	struct scan s = { text, text + len };
	size_t left, tail = UNSIGNED_TAIL;

	memset(l, 0, sizeof(*l));
	if (len >= CHAIN_LINE_MAX || !scan_head(&s, l))
		return false;
	left = (size_t)(s.end - s.p);
	if (left > UNSIGNED_TAIL &&
	    s.end[-(ptrdiff_t)(sizeof(TAIL_END) - 1) - CHAIN_KEY_ID_LEN - 1] ==
		'"')
		tail = SIGNED_TAIL;
	if (left < tail + 2 || left - tail > CHAIN_FRAME_MAX)
		return false;
	l->frame = s.p;
	l->frame_len = left - tail;
	s.p += l->frame_len;
	return l->frame[0] == '{' && l->frame[l->frame_len - 1] == '}' &&
	       scan_tail(&s, l, tail == SIGNED_TAIL);
}
