/*
 * key: make keys, and look after the files that hold them.  A key is shown
 * once, to whom it was made for, and never to anybody again; what is listed
 * are ids and the beginnings of digests.  The work on the file is done in
 * keyedit.c.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "keyedit.h"
#include "ltpctl.h"
#include "output_json.h"

#define DIGEST_SHOWN 4 /* bytes, as "show keys" has them */

/* ---- saying a key ---- */

/* {"ok":true,"id":..,"key":..} and a newline, to be freed with freezero(3). */
static char *
key_json(const char *id, const char *key, size_t *len)
{
	const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII;
	json_t *o = output_json_object();
	char *text;

	output_json_bool(o, "ok", true);
	output_json_str(o, "id", id);
	output_json_str(o, "key", key);
	*len = json_dumpb(o, NULL, 0, flags) + 1;
	if ((text = malloc(*len)) != NULL) {
		json_dumpb(o, text, *len, flags);
		text[*len - 1] = '\n';
	}
	json_decref(o);
	return text;
}

static char *
key_line(const char *key, size_t *len)
{
	char *text;

	*len = strlen(key) + 1;
	if ((text = malloc(*len)) != NULL) {
		memcpy(text, key, *len - 1);
		text[*len - 1] = '\n';
	}
	return text;
}

/* Past stdio's buffer, which nobody wipes.  0 or -1 with errno. */
static int
key_print(struct ltpctl *ctl, const char *id, const char *key)
{
	FILE *fp = ctl->to.fp;
	char *text;
	size_t len;
	int r = 0;

	setvbuf(fp, NULL, _IONBF, 0);
	text = ctl->json ? key_json(id, key, &len) : key_line(key, &len);
	if (text == NULL || fwrite(text, 1, len, fp) != len)
		r = -1;
	freezero(text, len);
	return r;
}

/* ---- the verbs ---- */

static int
key_change(struct ltpctl *ctl, const char *path, const struct keyedit *k)
{
	char error[KEYFILE_ERROR_MAX];

	/* A limit on the size of files is an error like any other. */
	signal(SIGXFSZ, SIG_IGN);
	if (keyedit_apply(path, k, error) == -1)
		return ltpctl_fail(ctl, "%s", error);
	return LTPCTL_OK;
}

/* A fresh key, put into the file if there is one, then shown. */
static int
key_make(
    struct ltpctl *ctl, enum keyedit_op op, const char *path, const char *id)
{
	char key[KEYEDIT_KEY_SIZE], error[KEYFILE_ERROR_MAX];
	const struct keyedit k = { op, id, key };
	int status = LTPCTL_OK;

	if (keyfile_check_id(id, error) == -1)
		return ltpctl_fail(ctl, "%s", error);
	if (keyedit_generate(key) == -1)
		return ltpctl_fail(ctl, "no random bytes: %s", strerror(errno));
	if (path != NULL)
		status = key_change(ctl, path, &k);
	ltpctl_connected(ctl);
	if (status == LTPCTL_OK && key_print(ctl, id, key) == -1) {
		/* With -j, too: an error on stdout would be lost as well. */
		warn("the key%s%s cannot be printed",
		    path == NULL ? "" : ", which is in ",
		    path == NULL ? "" : path);
		clearerr(ctl->to.fp);
		status = LTPCTL_FAILED;
	}
	explicit_bzero(key, sizeof(key));
	return status;
}

int
key_generate_run(struct ltpctl *ctl)
{
	return key_make(ctl, KEYEDIT_ADD, ctl->key_output, ctl->args[0]);
}

int
key_edit_run(struct ltpctl *ctl)
{
	const char *path = ctl->args[0], *id = ctl->args[1];
	const struct keyedit k = { KEYEDIT_REMOVE, id, NULL };
	int status;

	if (ctl->verb->what != KEYEDIT_REMOVE)
		return key_make(
		    ctl, (enum keyedit_op)ctl->verb->what, path, id);
	status = key_change(ctl, path, &k);
	ltpctl_connected(ctl);
	if (status == LTPCTL_OK)
		ctl->to.ops->done(&ctl->to, "");
	return status;
}

/* ---- list ---- */

static void
key_list_text(const struct keyset *set, FILE *fp)
{
	char hex[DIGEST_HEX_SIZE], id[OUTPUT_ID_MAX];
	const struct key *k;

	fprintf(fp, "%-24s %s\n", "ID", "SHA-256");
	TAILQ_FOREACH(k, &set->keys, entry) {
		const struct bytes b = { k->id, strlen(k->id) };

		fprintf(fp, "%-24s %.*s\n", output_id(id, &b), 2 * DIGEST_SHOWN,
		    digest_hex(hex, k->digest));
	}
}

/* One object to the line, as "show keys" does it. */
static void
key_list_json(const struct keyset *set, FILE *fp)
{
	char hex[DIGEST_HEX_SIZE];
	const char *before = "\n";
	const struct key *k;
	json_t *o;

	fputc('[', fp);
	TAILQ_FOREACH(k, &set->keys, entry) {
		digest_hex(hex, k->digest)[2 * DIGEST_SHOWN] = '\0';
		o = output_json_object();
		output_json_str(o, "id", k->id);
		output_json_str(o, "digest_prefix", hex);
		fputs(before, fp);
		output_json_print(fp, o);
		json_decref(o);
		before = ",\n";
	}
	fputs(set->count == 0 ? "]\n" : "\n]\n", fp);
}

int
key_list_run(struct ltpctl *ctl)
{
	char error[KEYFILE_ERROR_MAX];
	struct keyset *set;

	if ((set = keyedit_list(ctl->args[0], error)) == NULL)
		return ltpctl_fail(ctl, "%s", error);
	ltpctl_connected(ctl);
	if (ctl->json)
		key_list_json(set, ctl->to.fp);
	else
		key_list_text(set, ctl->to.fp);
	keyset_free(set);
	return LTPCTL_OK;
}
