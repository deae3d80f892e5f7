/*
 * Certificates and the key file.  Certificates are public, but who may write
 * them decides who is let in, so that they are as guarded as a secret is, up
 * to reading.  The key is never read here: its open file goes to ltp-sign.
 */
#include "tlsfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memfd.h"

struct text {
	const char *keyword;
	const char *path; /* NULL: it is not set */
	char *p;
	size_t len;
};

enum {
	CHAIN = 0,
	CA,
	CRL,
	TEXTS
};

static int
text_error(const struct text *t, const char *why, char *error)
{
	snprintf(error, TLSFILES_ERROR_MAX, "distributed.tls.%s: %s: %s",
	    t->keyword, t->path, why);
	return -1;
}

int
tlsfiles_check(int fd, size_t max, uid_t us, char why[SECRETFILE_ERROR_MAX])
{
	struct stat st;

	why[0] = '\0';
	if (fstat(fd, &st) == -1)
		strlcpy(why, strerror(errno), SECRETFILE_ERROR_MAX);
	else if (!S_ISREG(st.st_mode))
		strlcpy(why, "not a regular file", SECRETFILE_ERROR_MAX);
	else if (st.st_size > (off_t)max)
		snprintf(
		    why, SECRETFILE_ERROR_MAX, "larger than %zu bytes", max);
	else if (st.st_uid != 0 && st.st_uid != us)
		snprintf(why, SECRETFILE_ERROR_MAX,
		    "belongs to uid %lu, must be root's or ours",
		    (unsigned long)st.st_uid);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		snprintf(why, SECRETFILE_ERROR_MAX,
		    "mode %04o lets others write it",
		    (unsigned)(st.st_mode & 07777));
	return why[0] == '\0' ? 0 : -1;
}

/* 0, or -1 with the error. */
static int
text_read(struct text *t, char error[TLSFILES_ERROR_MAX])
{
	char real[PATH_MAX], why[SECRETFILE_ERROR_MAX];
	int fd;

	if (t->path == NULL)
		return 0;
	if ((fd = secretfile_open(t->path)) == -1)
		return text_error(t, strerror(errno), error);
	if (tlsfiles_check(fd, TLSFILES_TEXT_MAX, geteuid(), why) == 0 &&
	    secretfile_way(t->path, geteuid(), real, why) == 0)
		t->p = secretfile_take(fd, TLSFILES_TEXT_MAX, &t->len, why);
	close(fd);
	if (t->p == NULL)
		return text_error(t, why, error);
	/* Its length would say that there is none. */
	if (t->len == 0)
		return text_error(t, "empty", error);
	return 0;
}

static int
key_open(struct tlsfiles *f, const char *path, char error[TLSFILES_ERROR_MAX])
{
	const struct text key = { .keyword = "key_path", .path = path };
	char real[PATH_MAX], why[SECRETFILE_ERROR_MAX];

	if ((f->key_fd = secretfile_open(path)) == -1)
		return text_error(&key, strerror(errno), error);
	if (secretfile_check(f->key_fd, TLSFILES_KEY_MAX, geteuid(), why) ==
		-1 ||
	    secretfile_way(path, geteuid(), real, why) == -1)
		return text_error(&key, why, error);
	if (fstat(f->key_fd, &f->key) == -1)
		return text_error(&key, strerror(errno), error);
	return 0;
}

/* Put the texts into memory that nobody can change any more. */
static int
texts_seal(struct tlsfiles *f, const struct text *text)
{
	size_t i, len = 0;
	char *all;

	for (i = 0; i < TEXTS; i++)
		len += text[i].len;
	if ((all = malloc(len + 1)) == NULL)
		return -1;
	for (len = 0, i = 0; i < TEXTS; i++) {
		if (text[i].len > 0)
			memcpy(all + len, text[i].p, text[i].len);
		len += text[i].len;
	}
	f->chain_len = (uint32_t)text[CHAIN].len;
	f->ca_len = (uint32_t)text[CA].len;
	f->crl_len = (uint32_t)text[CRL].len;
	digest_sha256(f->digest, all, len);
	f->fd = memfd_text("certificates", all, len);
	freezero(all, len);
	return f->fd == -1 ? -1 : 0;
}

struct tlsfiles *
tlsfiles_read(const struct conf *conf, char error[TLSFILES_ERROR_MAX])
{
	const struct conf_tls *tls = &conf->distributed.tls;
	struct text text[TEXTS] = {
		[CHAIN] = { "cert_path", tls->cert_path, NULL, 0 },
		[CA] = { "client_ca_path", tls->client_ca_path, NULL, 0 },
		[CRL] = { "client_crl_path", tls->client_crl_path, NULL, 0 },
	};
	struct tlsfiles *f;
	size_t i;
	int rv = 0;

	if ((f = calloc(1, sizeof(*f))) == NULL) {
		strlcpy(error, strerror(errno), TLSFILES_ERROR_MAX);
		return NULL;
	}
	f->refs = 1;
	f->fd = f->key_fd = -1;
	for (i = 0; i < TEXTS && rv == 0; i++)
		rv = text_read(&text[i], error);
	if (rv == 0)
		rv = key_open(f, tls->key_path, error);
	if (rv == 0 && (rv = texts_seal(f, text)) == -1)
		snprintf(error, TLSFILES_ERROR_MAX, "distributed.tls: %s",
		    strerror(errno));
	/* Some keep their key there, too, which ltp-sign will refuse. */
	for (i = 0; i < TEXTS; i++)
		freezero(text[i].p, text[i].len);
	if (rv == 0)
		return f;
	tlsfiles_unref(f);
	return NULL;
}

struct tlsfiles *
tlsfiles_ref(struct tlsfiles *f)
{
	f->refs++;
	return f;
}

void
tlsfiles_unref(struct tlsfiles *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	if (f->fd != -1)
		close(f->fd);
	if (f->key_fd != -1)
		close(f->key_fd);
	free(f);
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool
tlsfiles_equal(const struct tlsfiles *a, const struct tlsfiles *b)
{
	return a->chain_len == b->chain_len && a->ca_len == b->ca_len &&
	       a->crl_len == b->crl_len &&
	       memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 &&
	       a->key.st_dev == b->key.st_dev &&
	       a->key.st_ino == b->key.st_ino &&
	       a->key.st_size == b->key.st_size &&
	       same_time(&a->key.st_mtim, &b->key.st_mtim);
}

void
tlsfiles_describe(
    const struct tlsfiles *f, const struct conf *conf, struct msg_conf_tls *m)
{
	memset(m, 0, sizeof(*m));
	m->pair = f->pair;
	m->min_version = (uint32_t)conf->distributed.tls.min_tls_version;
	m->chain_len = f->chain_len;
	m->ca_len = f->ca_len;
	m->crl_len = f->crl_len;
}
