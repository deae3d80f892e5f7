/*
 * doctor: the files of keys and tokens, and the audit log.  Secrets are read
 * by the rules of ltpd, compared with what the node has loaded by their
 * digests, judged by how hard they are to guess, and wiped.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "conf_keyword.h"
#include "conf_parse.h"
#include "conf_state.h"
#include "doctor.h"
#include "secretfile.h"
#include "tokens.h"
#include "trace.h"

#define SEED_MAX 256 /* bytes of a file with a signing key */
/*
 * What looks like fewer bits than that may be guessed; 128 random bits in hex
 * or base64 look like more.
 */
#define BITS_MIN     80
#define NAMES_MAX    256
#define STALE        "stale, reload needed"
#define ADVISE_STALE "ltpctl reload, and see the log if that does not help"
#define ADVISE_SEED  "openssl rand -hex 32 makes one"
#define ADVISE_WEAK  "make another: ltpctl token generate, ltpctl key rotate"

/* ---- chance ---- */

/*
 * Bits of chance that a text looks like: each character one of as many as
 * there are kinds of them, but for those that go on with a run: "aaa", "345",
 * "cba".  An estimate: words and dates are not known here.
 */
static unsigned
entropy_of(const char *text, size_t len)
{
	bool seen[256] = { false };
	unsigned kinds = 0, quarters = 0, count = 0;
	int step, last = INT_MAX;
	uint64_t power;
	size_t i;

	for (i = 0; i < len; i++) {
		if (!seen[(unsigned char)text[i]])
			kinds++;
		seen[(unsigned char)text[i]] = true;
		step = i == 0 ? INT_MAX : text[i] - text[i - 1];
		if (step != last || step < -1 || step > 1)
			count++;
		last = step;
	}
	explicit_bzero(seen, sizeof(seen));
	power = (uint64_t)kinds * kinds;
	for (power *= power; power > 1; power >>= 1)
		quarters++;
	return quarters * count / 4;
}

/* Of text, "[id:]secret" each; only the secret counts. */
static bool
a_secret_is_weak(const char *text, size_t len)
{
	const char *end = text + len, *colon;
	size_t n;

	for (; text < end; text += n + 1) {
		for (n = 0; text + n < end; n++) {
			if (strchr(TOKENS_SEPARATORS, text[n]) != NULL)
				break;
		}
		colon = memchr(text, ':', n);
		if (n > 0 &&
		    (colon == NULL
			    ? entropy_of(text, n)
			    : entropy_of(colon + 1,
				  (size_t)(text + n - colon - 1))) < BITS_MIN)
			return true;
	}
	return false;
}

/* ---- API keys ---- */

static const struct key *
keyset_find(const struct keyset *set, const char *id)
{
	const struct key *k;

	TAILQ_FOREACH(k, &set->keys, entry) {
		if (strcmp(k->id, id) == 0)
			return k;
	}
	return NULL;
}

/* Are the keys that the node has from files those that are there? */
static bool
keys_are_loaded(const struct doctor *d, const struct keyset *set)
{
	const struct nodeview_key *l;
	const struct key *k;
	size_t n = 0;

	TAILQ_FOREACH(l, &d->node.keys, entry) {
		if (l->k.realm != REALM_KEYS ||
		    l->k.source == KEY_SOURCE_ENVIRONMENT)
			continue;
		k = keyset_find(set, l->id);
		if (k == NULL || memcmp(k->digest, l->k.digest_prefix,
				     sizeof(l->k.digest_prefix)) != 0)
			return false;
		n++;
	}
	return n == set->count;
}

static void
judge_keys(const char *path, const char *text, size_t len, struct finding *f)
{
	char weak[NAMES_MAX] = "";
	json_t *keys = conf_json(text, len, NULL), *value;
	const char *id;

	json_object_foreach(keys, id, value)
	{
		if (entropy_of(json_string_value(value),
			json_string_length(value)) >= BITS_MIN)
			continue;
		if (weak[0] != '\0')
			strlcat(weak, ", ", sizeof(weak));
		strlcat(weak, id, sizeof(weak));
	}
	json_decref(keys);
	if (weak[0] != '\0')
		finding_warn(f, ADVISE_WEAK,
		    "%s: can be guessed: the key of %s", path, weak);
}

/* The key file.  NULL when it is of no use, or cannot be read. */
static struct keyset *
read_keys(const struct doctor *d, struct finding *f, const char *path)
{
	char error[KEYFILE_ERROR_MAX];
	struct keyset *set;
	size_t len;
	char *text;

	text =
	    doctor_read(d, f, path, secretfile_check, KEYFILE_MAX_BYTES, &len);
	if (text == NULL)
		return NULL;
	if ((set = keyfile_parse(path, text, len, error)) == NULL)
		finding_error(f, "correct the file", "%s", error);
	else
		judge_keys(path, text, len, f);
	freezero(text, len);
	return set;
}

void
doctor_check_keys(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->auth_keys_file;
	const struct keyset *base = d->config_keys;
	struct keyset *set = NULL, *all;
	char error[KEYFILE_ERROR_MAX];

	if (d->conf->auth_mode != AUTH_MODE_API_KEY) {
		finding_ok(f, "not used");
		return;
	}
	if (path != NULL && (set = read_keys(d, f, path)) == NULL)
		return;
	/* What the environment of the node says is over the file. */
	if (conf_keys_from_environment(d->conf))
		base = NULL;
	if (base != NULL &&
	    a_secret_is_weak(d->file->auth_keys, strlen(d->file->auth_keys)))
		finding_warn(f, ADVISE_WEAK, "auth_keys: can be guessed");
	all = keyset_merge(base, set, error);
	if (all == NULL)
		finding_error(f, "correct the keys", "%s", error);
	else if (d->node.up && !keys_are_loaded(d, all))
		finding_error(f, ADVISE_STALE, "%s: " STALE,
		    path != NULL ? path : "auth_keys");
	else if (path != NULL)
		finding_ok(f, "%s: %zu keys%s", path, set->count,
		    d->node.up ? ", as loaded" : "");
	else
		finding_ok(f, "from auth_keys%s", d->node.up ? ", loaded" : "");
	keyset_free(all);
	keyset_free(set);
}

/* ---- tokens ---- */

/* Has the node this one, from anywhere? */
static bool
token_is_loaded(const struct doctor *d, const struct token *t)
{
	const struct nodeview_key *l;

	TAILQ_FOREACH(l, &d->node.keys, entry) {
		if (l->k.realm == REALM_TOKENS &&
		    memcmp(t->digest, l->k.digest_prefix,
			sizeof(l->k.digest_prefix)) == 0)
			return true;
	}
	return false;
}

static bool
tokens_have(const struct tokens *t, const struct msg_ctl_key *k)
{
	size_t i;

	for (i = 0; i < t->count; i++) {
		if (memcmp(t->token[i].digest, k->digest_prefix,
			sizeof(k->digest_prefix)) == 0)
			return true;
	}
	return false;
}

/* Has the node all of them, and no others from there? */
static bool
tokens_are_loaded(
    const struct doctor *d, const struct tokens *t, enum key_source source)
{
	const struct nodeview_key *l;
	size_t i;

	for (i = 0; i < t->count; i++) {
		if (!token_is_loaded(d, &t->token[i]))
			return false;
	}
	TAILQ_FOREACH(l, &d->node.keys, entry) {
		if (l->k.realm == REALM_TOKENS && l->k.source == source &&
		    !tokens_have(t, &l->k))
			return false;
	}
	return true;
}

/* Whether it has any from there. */
static bool
tokens_come_from(const struct doctor *d, enum key_source source)
{
	static const struct tokens none;

	return !tokens_are_loaded(d, &none, source);
}

/* Tokens as ltpd reads them; where they are from. */
static void
judge_tokens(const struct doctor *d, struct finding *f, const char *where,
    const char *text, size_t len, enum key_source source)
{
	char why[TOKENS_ERROR_MAX] = "out of memory";
	struct tokens *t = calloc(1, sizeof(*t));

	if (t == NULL || tokens_parse(t, text, len, source, why) == -1)
		finding_error(f, "ltpctl token generate makes a good one",
		    "%s: %s", where, why);
	else if (d->node.up && !tokens_are_loaded(d, t, source))
		finding_error(f, ADVISE_STALE, "%s: " STALE, where);
	else if (a_secret_is_weak(text, len))
		finding_warn(f, ADVISE_WEAK, "%s: can be guessed", where);
	else
		finding_ok(f, "%s%s", where, d->node.up ? ", as loaded" : "");
	tokens_free(t);
}

/* False: nobody knows. */
static bool
judge_token_file(const struct doctor *d, struct finding *f, const char *path,
    enum key_source source)
{
	size_t len;
	char *text;

	text = doctor_read(d, f, path, secretfile_check, TOKENS_FILE_MAX, &len);
	if (text == NULL)
		return f->status == FINDING_ERROR;
	judge_tokens(d, f, path, text, len, source);
	freezero(text, len);
	return true;
}

/*
 * The environment is the node's, and ours only tells if there is no node.
 * False: nobody knows.
 */
static bool
judge_token_env(const struct doctor *d, struct finding *f, const char *name)
{
	const char *value = getenv(name);

	if (d->node.up && !tokens_come_from(d, KEY_SOURCE_ENVIRONMENT)) {
		finding_error(f, ADVISE_STALE, "%s: " STALE, name);
	} else if (d->node.up) {
		finding_ok(f, "%s in the environment of the node", name);
	} else if (value == NULL || value[0] == '\0') {
		finding_warn(f, "set it where ltpd is started",
		    "%s is not in the environment of doctor", name);
		return false;
	} else {
		judge_tokens(
		    d, f, name, value, strlen(value), KEY_SOURCE_ENVIRONMENT);
	}
	return true;
}

static void
judge_token_inline(const struct doctor *d, struct finding *f)
{
	const char *token = NULL;

	if (d->file != NULL)
		token = d->file->distributed.token;
	if (token != NULL)
		judge_tokens(d, f, "distributed.token", token, strlen(token),
		    KEY_SOURCE_CONFIG);
	else
		finding_ok(f, "distributed.token");
}

bool
doctor_judge_token(const struct doctor *d, struct finding *f)
{
	const struct conf_distributed *c = &d->conf->distributed;
	bool given =
	    conf_origin(d->conf, keyword_find("distributed.token"))->given;

	if (given + (c->token_env != NULL) + (c->token_path != NULL) > 1)
		finding_error(f,
		    "set exactly one of distributed.token, "
		    "distributed.token_env, distributed.token_path",
		    "the source is ambiguous");
	else if (given)
		judge_token_inline(d, f);
	else if (c->token_env != NULL)
		return judge_token_env(d, f, c->token_env);
	else if (c->token_path != NULL)
		return judge_token_file(d, f, c->token_path, KEY_SOURCE_FILE);
	else
		finding_error(f, "set distributed.token_path", "there is none");
	return true;
}

void
doctor_check_token(const struct doctor *d, struct finding *f)
{
	if (doctor_wants_token(d->conf))
		doctor_judge_token(d, f);
	else
		finding_ok(f, "not used");
}

void
doctor_check_prev_token(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->distributed.token_prev_path;

	if (!doctor_wants_token(d->conf) || path == NULL)
		finding_ok(f, "not used");
	else if (access(path, F_OK) == 0 || errno != ENOENT)
		judge_token_file(d, f, path, KEY_SOURCE_PREVIOUS);
	else if (d->node.up && tokens_come_from(d, KEY_SOURCE_PREVIOUS))
		finding_error(f, ADVISE_STALE, "%s: " STALE, path);
	else
		finding_ok(f, "%s: there is none", path);
}

/* ---- the audit log ---- */

static void
judge_seed(struct finding *f, const char *path, const char *text, size_t len)
{
	uint8_t seed[AUDIT_SEED_SIZE];

	if (!chain_unhex(seed, sizeof(seed), text, len))
		finding_error(
		    f, ADVISE_SEED, "%s: not 64 hexadecimal digits", path);
	else if (entropy_of(text, len) < BITS_MIN)
		finding_warn(f, ADVISE_SEED, "%s: can be guessed", path);
	else
		finding_ok(f, "%s", path);
	explicit_bzero(seed, sizeof(seed));
}

void
doctor_check_signing_key(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->node_signing_key_file;
	size_t len, used;
	char *text;

	if (d->conf->audit_log_file == NULL || path == NULL) {
		finding_ok(f, "not used");
		return;
	}
	text = doctor_read(d, f, path, secretfile_check, SEED_MAX, &len);
	if (text == NULL)
		return;
	for (used = len; used > 0 && isspace((unsigned char)text[used - 1]);)
		used--;
	for (size_t i = 0; i < used; i++)
		text[i] = (char)tolower((unsigned char)text[i]);
	judge_seed(f, path, text, used);
	freezero(text, len);
}

static void
judge_head(const struct doctor *d, struct finding *f, const char *path)
{
	uint64_t written = d->node.summary.stat.gauges[GAUGE_AUDIT_NEXT];
	char why[FINDING_DETAIL_MAX / 2];
	uint64_t next = 0;
	int lines = trace_head(path, &next, why, sizeof(why));

	if (lines == -1)
		finding_error(f, "see ltpctl trace verify", "%s", why);
	else if (d->node.up && next < written)
		finding_error(f, "see ltpctl trace verify",
		    "%s: ends at line %" PRIu64 ", but %" PRIu64
		    " were written",
		    path, next, written);
	else
		finding_ok(f, "%s: writable, %s", path,
		    lines == 0 ? "no lines" : "the head is intact");
}

void
doctor_check_audit(const struct doctor *d, struct finding *f)
{
	const char *path = d->conf->audit_log_file;

	if (path == NULL) {
		finding_ok(f, "not used");
		return;
	}
	if (d->node.up &&
	    d->node.summary.stat.gauges[GAUGE_AUDIT_WRITABLE] == 0)
		finding_error(
		    f, "make room, see the log", "%s: not writable", path);
	else if (!d->node.up && access(path, F_OK) == -1 && errno == ENOENT)
		finding_ok(f, "%s: begins with the next start", path);
	else if (access(path, R_OK) == -1)
		doctor_cannot_open(d, f, path, errno);
	else if (geteuid() == d->us && access(path, W_OK) == -1)
		finding_error(
		    f, DOCTOR_ADVISE_OPEN, "%s: %s", path, strerror(errno));
	else
		judge_head(d, f, path);
}
