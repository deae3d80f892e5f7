/*
 * For a worker of a node without TLS: the library is not in its memory, where
 * it would take more than half a mebibyte of each.  There is no desk, so none
 * of the rest is called.
 */
#include "tls.h"

#include <errno.h>

#include "secure.h"

struct tls_desk *
tls_desk_new(struct event_base *base, struct chan *parent)
{
	(void)base;
	(void)parent;
	errno = EPROTONOSUPPORT;
	return NULL;
}

void
tls_desk_free(struct tls_desk *desk)
{
	(void)desk;
}

int
tls_desk_set_signer(struct tls_desk *desk, int fd, const struct msg_peer *peer)
{
	(void)desk;
	(void)fd;
	(void)peer;
	return -1;
}

void
tls_desk_begin(struct tls_desk *desk)
{
	(void)desk;
}

int
tls_desk_conf(struct tls_desk *desk, int fd, const struct msg_conf_tls *conf,
    bool mtls, const char **why)
{
	(void)desk;
	(void)fd;
	(void)conf;
	(void)mtls;
	*why = "this program has no TLS";
	return -1;
}

void
tls_desk_commit(struct tls_desk *desk)
{
	(void)desk;
}

void
tls_free(struct tls *t)
{
	(void)t;
}

void
tls_wake(struct tls *t)
{
	(void)t;
}

void
tls_sleep(struct tls *t)
{
	(void)t;
}

ssize_t
tls_read(struct tls *t, void *buf, size_t size)
{
	(void)t;
	(void)buf;
	(void)size;
	errno = EPROTONOSUPPORT;
	return -1;
}

ssize_t
tls_write(struct tls *t, const void *data, size_t len)
{
	(void)t;
	(void)data;
	(void)len;
	errno = EPROTONOSUPPORT;
	return -1;
}

bool
tls_pending(const struct tls *t)
{
	(void)t;
	return false;
}

void
tls_close(struct tls *t)
{
	(void)t;
}

int
secure_new(struct client *c)
{
	(void)c;
	errno = EPROTONOSUPPORT;
	return -1;
}

void
secure_expired(struct client *c)
{
	(void)c;
}
