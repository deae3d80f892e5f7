/*
 * The upgrade request of a stranger.  However it is cut into pieces, the
 * verdict is the same, and its limits hold.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "upgrade.h"

/* All that can be asked of a request. */
struct verdict {
	enum upgrade_state state;
	unsigned status;
	const char *reason;
	size_t used; /* when it is good */
	struct credential credential;
	char *origin;
	char *forwarded_for;
	char response[UPGRADE_RESPONSE_MAX];
	size_t response_len;
};

static char *
copy(const char *text)
{
	return text == NULL ? NULL : strdup(text);
}

static void
check_credential(const struct credential *c)
{
	size_t i;

	FUZZ_ASSERT(c->kind <= CREDENTIAL_CONFLICT);
	FUZZ_ASSERT(c->id_len <= LTP_ID_MAX && c->key_len <= AUTH_KEY_MAX);
	FUZZ_ASSERT((c->kind == CREDENTIAL_KEY) == (c->key_len > 0));
	for (i = 0; i < c->key_len; i++)
		FUZZ_ASSERT((uint8_t)c->key[i] >= ' ' && c->key[i] != 0x7f);
}

/* The strictness that matters most, found in the plainest way. */
static void
check_good(const uint8_t *data, size_t used)
{
	size_t i, hosts = 0;

	FUZZ_ASSERT(used > 4 && used <= UPGRADE_MAX_BYTES);
	FUZZ_ASSERT(memcmp(data, "GET ", 4) == 0);
	FUZZ_ASSERT(memcmp(data + used - 4, "\r\n\r\n", 4) == 0);
	for (i = 0; i < used; i++) {
		FUZZ_ASSERT(data[i] != '\0' && data[i] != 0x7f);
		if (data[i] == '\n')
			FUZZ_ASSERT(i > 0 && data[i - 1] == '\r');
		if (data[i] == '\r')
			FUZZ_ASSERT(i + 1 < used && data[i + 1] == '\n');
		if (data[i] == '\n' && used - i > 5 &&
		    strncasecmp((const char *)data + i + 1, "host:", 5) == 0)
			hosts++;
	}
	FUZZ_ASSERT(hosts == 1);
}

static void
judge(const struct upgrade *u, struct verdict *v)
{
	upgrade_credential(u, &v->credential);
	check_credential(&v->credential);
	v->origin = copy(upgrade_origin(u));
	v->forwarded_for = copy(upgrade_forwarded_for(u));
	if (v->state == UPGRADE_DONE) {
		v->response_len = upgrade_print_accept(u, v->response);
	} else {
		v->status = upgrade_status(u);
		v->reason = upgrade_reason(u);
		FUZZ_ASSERT(v->status == 400 || v->status == 405 ||
			    v->status == 426 || v->status == 431);
		v->response_len =
		    upgrade_print_refusal(v->response, v->status, v->reason, 1);
	}
	FUZZ_ASSERT(
	    v->response_len > 0 && v->response_len < sizeof(v->response));
}

/* seed as fuzz_piece() has it; UINT32_MAX: all at once. */
static void
feed(const uint8_t *data, size_t len, uint32_t seed, struct verdict *v)
{
	struct upgrade *u = upgrade_new();
	size_t done = 0, n, used;
	uint8_t *piece;

	FUZZ_ASSERT(u != NULL);
	memset(v, 0, sizeof(*v));
	while (done < len && v->state == UPGRADE_MORE) {
		n = seed == UINT32_MAX ? len - done
				       : fuzz_piece(&seed, len - done);
		/* Alone in its memory, so that a byte beyond is seen. */
		FUZZ_ASSERT((piece = malloc(n)) != NULL);
		memcpy(piece, data + done, n);
		v->state = upgrade_input(u, piece, n, &used);
		free(piece);
		FUZZ_ASSERT(used <= n);
		FUZZ_ASSERT(v->state != UPGRADE_MORE || used == n);
		done += used;
	}
	FUZZ_ASSERT(v->state != UPGRADE_MORE || done <= UPGRADE_MAX_BYTES);
	if (v->state != UPGRADE_MORE) {
		judge(u, v);
		/* It is over. */
		FUZZ_ASSERT(upgrade_input(u, data, len, &used) == v->state);
		FUZZ_ASSERT(used == 0);
	}
	if (v->state == UPGRADE_DONE) {
		v->used = done;
		check_good(data, done);
	}
	upgrade_free(u);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_credential(const struct credential *a, const struct credential *b)
{
	return a->kind == b->kind && a->id_len == b->id_len &&
	       a->key_len == b->key_len &&
	       memcmp(a->id, b->id, sizeof(a->id)) == 0 &&
	       memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

static void
compare(const struct verdict *a, const struct verdict *b)
{
	FUZZ_ASSERT(a->state == b->state);
	FUZZ_ASSERT(a->status == b->status);
	FUZZ_ASSERT(same_text(a->reason, b->reason));
	FUZZ_ASSERT(a->used == b->used);
	FUZZ_ASSERT(a->response_len == b->response_len);
	FUZZ_ASSERT(memcmp(a->response, b->response, a->response_len) == 0);
	if (a->state != UPGRADE_DONE)
		return;
	FUZZ_ASSERT(same_credential(&a->credential, &b->credential));
	FUZZ_ASSERT(same_text(a->origin, b->origin));
	FUZZ_ASSERT(same_text(a->forwarded_for, b->forwarded_for));
}

static bool
is_pattern(const char *entry)
{
	size_t len = strlen(entry);

	return strcmp(entry, "*") == 0 ||
	       (len > 2 && strcmp(entry + len - 2, ":*") == 0);
}

static void
check_origin(const char *origin)
{
	static const char *const entries[] = { "http://localhost:*",
		"https://example.org", "http://[::1]:80", "null" };
	size_t i;

	FUZZ_ASSERT(upgrade_origin_matches("*", origin));
	upgrade_origin_matches(origin, "https://example.org");
	for (i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		if (!is_pattern(entries[i]) && !is_pattern(origin))
			FUZZ_ASSERT(
			    upgrade_origin_matches(entries[i], origin) ==
			    upgrade_origin_matches(origin, entries[i]));
		else
			upgrade_origin_matches(entries[i], origin);
	}
}

static void
verdict_free(struct verdict *v)
{
	free(v->origin);
	free(v->forwarded_for);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	struct verdict whole, bytes, split;
	uint32_t seed = fuzz_u8(&f);

	if (f.left > 2 * UPGRADE_MAX_BYTES)
		return 0;
	feed(f.p, f.left, UINT32_MAX, &whole);
	feed(f.p, f.left, 0, &bytes);
	feed(f.p, f.left, seed + 1, &split);
	compare(&whole, &bytes);
	compare(&whole, &split);
	if (whole.origin != NULL)
		check_origin(whole.origin);
	verdict_free(&whole);
	verdict_free(&bytes);
	verdict_free(&split);
	return 0;
}
