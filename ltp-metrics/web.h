/*
 * A small HTTP server for a few pages that are made at each request: evhttp
 * with a limit on connections and a deadline for each.
 */
#ifndef WEB_H
#define WEB_H

#define WEB_CONNS_MAX   64
#define WEB_DEADLINE_MS 2000 /* from accept to the last byte of the reply */

struct event_base;
struct evbuffer;
struct web;

struct web_page {
	const char *path; /* NULL ends a table */
	const char *type; /* Content-Type */
	/*
	 * Append the body.  Returns the HTTP status, or -1 when that failed;
	 * the client then gets 500.
	 */
	int (*print)(struct evbuffer *, void *arg);
};

/*
 * The table must outlive the server; arg is for its print functions.  NULL
 * with errno.
 */
struct web *web_new(struct event_base *, const struct web_page *, void *arg);

/*
 * Serve what comes to a listening, non-blocking socket; once.  Takes fd.
 * Opens nothing.  0, or -1 with errno; fd is then still the caller's.
 */
int web_listen(struct web *, int fd);

#endif /* WEB_H */
