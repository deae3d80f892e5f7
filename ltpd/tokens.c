/*
 * Tokens.  A token is in memory while it is read; what stays is its digest.
 * Errors name the setting and the file, never a token.
 */
#include "tokens.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "secretfile.h"

static int tokens_error(char *error, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

/* Always -1. */
static int
tokens_error(char *error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, TOKENS_ERROR_MAX, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- sets ---- */

void
tokens_free(struct tokens *t)
{
	if (t == NULL)
		return;
	freezero(t->token, t->count * sizeof(*t->token));
	free(t->variable);
	free(t);
}

static int
tokens_add(struct tokens *t, const struct token *new)
{
	struct token *token;
	size_t i;

	for (i = 0; i < t->count; i++) {
		if (memcmp(t->token[i].digest, new->digest, DIGEST_SIZE) == 0)
			return 0;
	}
	token =
	    recallocarray(t->token, t->count, t->count + 1, sizeof(*t->token));
	if (token == NULL)
		return -1;
	t->token = token;
	t->token[t->count++] = *new;
	return 0;
}

struct tokens *
tokens_copy(const struct tokens *from)
{
	struct tokens *t;
	size_t i;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->shut = from->shut;
	if (from->variable != NULL &&
	    (t->variable = strdup(from->variable)) == NULL)
		goto fail;
	for (i = 0; i < from->count; i++) {
		if (tokens_add(t, &from->token[i]) == -1)
			goto fail;
	}
	return t;
fail:
	tokens_free(t);
	return NULL;
}

/* Both are ours, so this need not take constant time. */
bool
tokens_equal(const struct tokens *a, const struct tokens *b)
{
	size_t i;

	if (a->count != b->count || a->shut != b->shut)
		return false;
	for (i = 0; i < a->count; i++) {
		if (memcmp(a->token[i].digest, b->token[i].digest,
			DIGEST_SIZE) != 0)
			return false;
	}
	return true;
}

void
tokens_keep_times(struct tokens *t, const struct tokens *old)
{
	size_t i, j;

	for (i = 0; i < t->count; i++) {
		for (j = 0; j < old->count; j++) {
			if (memcmp(t->token[i].digest, old->token[j].digest,
				DIGEST_SIZE) == 0)
				t->token[i].loaded = old->token[j].loaded;
		}
	}
}

int
tokens_send(const struct tokens *t, struct chan *ch, uint32_t *records)
{
	struct msg_conf_key m;
	size_t i;
	int rv = 0;

	memset(&m, 0, sizeof(m));
	for (i = 0; i < t->count && !t->shut && rv == 0; i++) {
		memcpy(m.digest, t->token[i].digest, sizeof(m.digest));
		m.id_len = t->token[i].id_len;
		rv = chan_send(ch, MSG_CONF_TOKEN, &m, sizeof(m),
		    t->token[i].id, m.id_len);
		++*records;
	}
	explicit_bzero(&m, sizeof(m));
	return rv;
}

/* ---- their text ---- */

/* What is wrong with it, or NULL. */
static const char *
token_check(const char *text, size_t len, const char *colon)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return "is not of printable ASCII without blanks";
	}
	if (len > AUTH_KEY_MAX)
		return "is too long";
	if (colon == NULL)
		return NULL;
	if (colon == text)
		return "has an empty id";
	if (colon - text > LTP_ID_MAX)
		return "has an id that is too long";
	return colon + 1 == text + len ? "has an empty secret" : NULL;
}

static int
token_parse(
    struct tokens *t, const char *text, size_t len, enum key_source source)
{
	const char *colon = memchr(text, ':', len);
	struct token token;
	int rv;

	memset(&token, 0, sizeof(token));
	digest_sha256(token.digest, text, len);
	token.source = source;
	token.loaded = time(NULL);
	if (colon != NULL) {
		token.id_len = (uint16_t)(colon - text);
		memcpy(token.id, text, token.id_len);
	}
	rv = tokens_add(t, &token);
	explicit_bzero(&token, sizeof(token));
	return rv;
}

int
tokens_parse(struct tokens *t, const char *text, size_t len,
    enum key_source source, char error[TOKENS_ERROR_MAX])
{
	const char *end = text + len, *why;
	unsigned number = 0;
	size_t n;

	while (text < end) {
		for (n = 0; text + n < end; n++) {
			if (memchr(TOKENS_SEPARATORS, text[n], 3) != NULL)
				break;
		}
		if (n > 0) {
			number++;
			why = token_check(text, n, memchr(text, ':', n));
			if (why != NULL)
				return tokens_error(
				    error, "token %u %s", number, why);
			if (token_parse(t, text, n, source) == -1)
				return tokens_error(
				    error, "%s", strerror(errno));
		}
		text += n + 1;
	}
	if (number == 0)
		return tokens_error(error, "no token");
	return 0;
}

/* ---- where they come from ---- */

/* What old has of this source. */
static int
tokens_inherit(struct tokens *t, const struct tokens *old,
    enum key_source source, char error[TOKENS_ERROR_MAX])
{
	size_t i;

	for (i = 0; old != NULL && i < old->count; i++) {
		if (old->token[i].source == source &&
		    tokens_add(t, &old->token[i]) == -1)
			return tokens_error(error, "%s", strerror(errno));
	}
	return 0;
}

static int
tokens_read_variable(struct tokens *t, const char *name,
    const struct tokens *old, char error[TOKENS_ERROR_MAX])
{
	char why[TOKENS_ERROR_MAX], *text;
	int rv;

	if ((t->variable = strdup(name)) == NULL)
		return tokens_error(error, "%s", strerror(errno));
	if (old != NULL && old->variable != NULL &&
	    strcmp(old->variable, name) == 0)
		return tokens_inherit(t, old, KEY_SOURCE_ENVIRONMENT, error);
	if ((text = conf_env_copy_secret(name)) == NULL)
		return tokens_error(error,
		    "distributed.token_env: %s is not set in the environment "
		    "of ltpd",
		    name);
	rv = tokens_parse(t, text, strlen(text), KEY_SOURCE_ENVIRONMENT, why);
	freezero(text, strlen(text));
	if (rv == -1)
		return tokens_error(error, "distributed.token_env: %s: %.*s",
		    name, TOKENS_ERROR_MAX / 2, why);
	return 0;
}

void
tokens_forget_variable(const struct tokens *t)
{
	if (t->variable != NULL)
		conf_env_wipe_secret(t->variable);
}

static int
tokens_read_file(struct tokens *t, const char *keyword, const char *path,
    enum key_source source, char error[TOKENS_ERROR_MAX])
{
	char why[TOKENS_ERROR_MAX], *text;
	size_t len;
	int rv = -1;

	text = secretfile_read(path, TOKENS_FILE_MAX, &len, why);
	if (text != NULL) {
		rv = tokens_parse(t, text, len, source, why);
		freezero(text, TOKENS_FILE_MAX + 1);
	}
	if (rv == -1)
		tokens_error(error, "distributed.%s: %.*s: %.*s", keyword,
		    TOKENS_ERROR_MAX / 3, path, TOKENS_ERROR_MAX / 2, why);
	return rv;
}

/* There is no such file but during a rollover. */
static bool
is_there(const char *path)
{
	return path != NULL && (access(path, F_OK) == 0 || errno != ENOENT);
}

static int
tokens_read_text(struct tokens *t, const struct conf_distributed *d,
    const struct tokens *old, char error[TOKENS_ERROR_MAX])
{
	char why[TOKENS_ERROR_MAX];

	if (d->token == NULL)
		return tokens_inherit(t, old, KEY_SOURCE_CONFIG, error);
	if (tokens_parse(
		t, d->token, strlen(d->token), KEY_SOURCE_CONFIG, why) == 0)
		return 0;
	return tokens_error(
	    error, "distributed.token: %.*s", TOKENS_ERROR_MAX / 2, why);
}

/* It may be removed while we look: then the rollover is over. */
static int
tokens_read_previous(
    struct tokens *t, const char *path, char error[TOKENS_ERROR_MAX])
{
	if (!is_there(path) || tokens_read_file(t, "token_prev_path", path,
				   KEY_SOURCE_PREVIOUS, error) == 0)
		return 0;
	return is_there(path) ? -1 : 0;
}

struct tokens *
tokens_read(const struct conf *conf, const struct tokens *old,
    char error[TOKENS_ERROR_MAX])
{
	const struct conf_distributed *d = &conf->distributed;
	struct tokens *t;
	int rv;

	if ((t = calloc(1, sizeof(*t))) == NULL) {
		tokens_error(error, "%s", strerror(errno));
		return NULL;
	}
	if (!d->enabled || !(d->auth_mode & DISTRIBUTED_AUTH_TOKEN))
		return t;
	if (d->token_path != NULL)
		rv = tokens_read_file(
		    t, "token_path", d->token_path, KEY_SOURCE_FILE, error);
	else if (d->token_env != NULL)
		rv = tokens_read_variable(t, d->token_env, old, error);
	else
		rv = tokens_read_text(t, d, old, error);
	if (rv == 0)
		rv = tokens_read_previous(t, d->token_prev_path, error);
	if (rv == -1) {
		tokens_free(t);
		return NULL;
	}
	return t;
}
