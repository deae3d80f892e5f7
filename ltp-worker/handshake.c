/*
 * The handshake.
 */
#include "handshake.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "client.h"
#include "remote.h"
#include "shared.h"
#include "upgrade.h"
#include "worker.h"

#define HANDSHAKE_RETRY_AFTER_SECS 5

static enum counter
handshake_status_counter(unsigned status)
{
	switch (status) {
	case 401:
		return COUNT_UPGRADE_401;
	case 403:
		return COUNT_UPGRADE_403;
	case 405:
		return COUNT_UPGRADE_405;
	case 408:
		return COUNT_UPGRADE_408;
	case 426:
		return COUNT_UPGRADE_426;
	case 429:
		return COUNT_UPGRADE_429;
	case 431:
		return COUNT_UPGRADE_431;
	case 503:
		return COUNT_UPGRADE_503;
	default:
		return COUNT_UPGRADE_400;
	}
}

void
handshake_refuse_as(struct client *c, unsigned status,
    enum log_category category, const char *what, const char *body,
    const char *reason)
{
	char buf[UPGRADE_RESPONSE_MAX];
	size_t n;

	++*client_counter(c, handshake_status_counter(status));
	c->passage->close_code = status;
	c->passage->close_reason = reason;
	client_warn(c, category, what, reason);
	n = upgrade_print_refusal(
	    buf, status, body, HANDSHAKE_RETRY_AFTER_SECS);
	if (output_put(&c->worker->output, buf, n) == -1)
		client_no_memory(c);
	upgrade_free(c->passage->upgrade);
	c->passage->upgrade = NULL;
	client_forget_login(c);
	c->state = CLIENT_CLOSING;
}

void
handshake_refuse(struct client *c, unsigned status, enum log_category category,
    const char *body, const char *reason)
{
	handshake_refuse_as(
	    c, status, category, "upgrade refused", body, reason);
}

void
handshake_refuse_address(struct client *c)
{
	++*client_counter(c, COUNT_CAPACITY_REJECTIONS);
	if (c->remote != NULL) {
		remote_refuse(c, DIST_CONNECTION_LIMIT, 429,
		    "too many connections from this address");
		return;
	}
	handshake_refuse(c, 429, CATEGORY_IP_RATE_LIMIT,
	    "too many connections from this address",
	    "too many connections from this address");
}

void
handshake_count_failure(struct client *c)
{
	struct worker *w = c->worker;
	uint8_t key[16];

	++*client_counter(c, COUNT_AUTH_FAILURES);
	addr_limit_key(&c->addr, key);
	shared_ip_allow(w->shared, key, &w->settings->failures, w->now);
}

bool
handshake_too_many_failures(struct client *c)
{
	struct worker *w = c->worker;
	uint8_t key[16];

	addr_limit_key(&c->addr, key);
	return !shared_ip_would_allow(
	    w->shared, key, &w->settings->failures, w->now);
}

void
handshake_refuse_guesses(struct client *c)
{
	const char *why = "too many failed sign-ins";

	if (c->remote != NULL)
		remote_refuse(c, DIST_AUTH_FAILED, 429, why);
	else
		handshake_refuse(c, 429, CATEGORY_AUTH, why, why);
}

static void
handshake_unauthorized(struct client *c, const char *body)
{
	handshake_count_failure(c);
	handshake_refuse(c, 401, CATEGORY_AUTH, body, body);
}

void
handshake_accept(struct client *c)
{
	char buf[UPGRADE_RESPONSE_MAX];
	size_t n = upgrade_print_accept(c->passage->upgrade, buf);

	if (n == 0 || output_put(&c->worker->output, buf, n) == -1)
		client_no_memory(c);
	++*client_counter(c, COUNT_UPGRADE_101);
	upgrade_free(c->passage->upgrade);
	c->passage->upgrade = NULL;
	c->state = CLIENT_OPEN;
	client_log(c, LEVEL_DEBUG, "open", NULL);
}

/* The request is good; may this client come in? */
static void
handshake_check_credential(struct client *c)
{
	const struct settings *conf = c->worker->settings;
	struct credential *cred;

	if (!conf->node.auth) {
		handshake_accept(c);
		return;
	}
	if ((cred = calloc(1, sizeof(*cred))) == NULL) {
		client_no_memory(c);
		return;
	}
	upgrade_credential(c->passage->upgrade, cred);
	if (handshake_too_many_failures(c)) {
		handshake_refuse_guesses(c);
	} else if (cred->kind == CREDENTIAL_NONE && conf->node.auth_in_hello) {
		handshake_accept(c);
	} else {
		/*
		 * A missing or impossible key is asked about too, for a node
		 * without usable keys answers everybody alike.
		 */
		if (cred->kind != CREDENTIAL_KEY)
			cred->key_len = cred->id_len = 0;
		c->state = CLIENT_SIGN_IN;
		c->passage->login = login_ask(c->worker, c, cred);
		c->passage->keyless = cred->kind == CREDENTIAL_NONE;
		if (c->passage->login == NULL)
			client_no_memory(c);
	}
	freezero(cred, sizeof(*cred));
}

/* Who is behind the proxy?  False: it was refused. */
static bool
handshake_look_behind_proxy(struct client *c)
{
	struct addr ip;
	bool missing;

	if (settings_client_ip(c->worker->settings, client_peer(c),
		upgrade_forwarded_for(c->passage->upgrade), &ip,
		&missing) == -1) {
		handshake_refuse(c, 400, CATEGORY_HANDSHAKE,
		    "bad X-Forwarded-For", "bad X-Forwarded-For");
		return false;
	}
	if (missing)
		client_warn(c, CATEGORY_HANDSHAKE, "trusted proxy",
		    "no X-Forwarded-For");
	if (!address_hold(c, &ip)) {
		handshake_refuse_address(c);
		return false;
	}
	return true;
}

static void
handshake_check_request(struct client *c)
{
	const char *origin = upgrade_origin(c->passage->upgrade);

	if (c->proxied && !handshake_look_behind_proxy(c))
		return;
	if (origin != NULL &&
	    !settings_allows_origin(c->worker->settings, origin)) {
		handshake_refuse(c, 403, CATEGORY_ORIGIN, "origin not allowed",
		    "origin_not_allowed");
		return;
	}
	if (c->remote != NULL)
		remote_check_request(c);
	else
		handshake_check_credential(c);
}

size_t
handshake_input(struct client *c, const uint8_t *data, size_t len)
{
	struct passage *p = c->passage;
	enum upgrade_state state;
	size_t used = len;

	if (p->upgrade == NULL && (p->upgrade = upgrade_new()) == NULL) {
		client_no_memory(c);
		return len;
	}
	state = upgrade_input(p->upgrade, data, len, &used);
	if (state == UPGRADE_BAD)
		handshake_refuse(c, upgrade_status(p->upgrade),
		    CATEGORY_HANDSHAKE, upgrade_reason(p->upgrade),
		    upgrade_reason(p->upgrade));
	else if (state == UPGRADE_DONE)
		handshake_check_request(c);
	return used;
}

void
handshake_signed_in(struct client *c, enum login_result result)
{
	switch (result) {
	case LOGIN_GRANTED:
		handshake_accept(c);
		break;
	case LOGIN_REFUSED:
		if (c->remote != NULL) {
			remote_unauthorized(c, "invalid token");
			break;
		}
		handshake_unauthorized(c, c->passage->keyless
					      ? "missing api key"
					      : "invalid api key");
		break;
	case LOGIN_UNAVAILABLE:
		if (c->remote != NULL) {
			remote_unauthorized(c, "no token is known");
			break;
		}
		handshake_unauthorized(c, "authentication is not available");
		break;
	case LOGIN_GONE:
		handshake_refuse(c, 503, CATEGORY_AUTH,
		    "authentication is not available", "auth is away");
		break;
	case LOGIN_LIMITED:
		handshake_refuse_guesses(c);
		break;
	}
}
