/*
 * The control protocol as the supervisor has it: hostile ltpctls ask, and
 * hostile children answer.  The input is a script of what they do, over real
 * sockets.  The supervisor lives on, forgets who has gone, leaks no
 * descriptor, and what it says keeps the rules.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auditlog.h"
#include "caller.h"
#include "chan.h"
#include "counters.h"
#include "fuzz.h"
#include "keyfile.h"
#include "listener.h"
#include "parent.h"
#include "pool.h"
#include "reload.h"

#define OPERATORS 20 /* more than may be connected */
#define CHILDREN  3 /* two workers and auth */

enum op {
	OP_CONNECT,
	OP_ASK, /* with a header that tells the truth */
	OP_GREET,
	OP_RAW,
	OP_HANG_UP,
	OP_READ, /* everybody reads what there is */
	OP_PAGE, /* a child answers what it was asked last */
	OP_KILLED,
	OP_KEYS,
	OP_CHILD, /* a child says anything */
	OP_DIE, /* or is born */
	OP_DONE, /* a reload, or a new file of the audit log */
	OP__MAX
};

typedef void done_fn(const char *error, void *arg);

static struct {
	struct parent parent;
	struct conf conf;
	struct pool pool;
	struct child child[CHILDREN];
	struct callers callers;
	int operator[OPERATORS]; /* their ends, -1: none */
	int sibling[CHILDREN]; /* the children's ends */
	uint32_t request[CHILDREN]; /* the last that each was asked */
	done_fn *done; /* of whom something is waited for */
	void *waiting;
	bool reload; /* it is one, not a new file */
	unsigned mood; /* how the next reload or rotation goes */
} world;

/* ---- what caller.c calls ---- */

static int
wait_for(bool reload, done_fn *done, void *arg, char *error, size_t size)
{
	if (world.mood++ % 3 == 0 || world.done != NULL) {
		snprintf(error, size, "no");
		return -1;
	}
	world.done = done;
	world.waiting = arg;
	world.reload = reload;
	return 1;
}

static void
forget(bool reload, void *arg)
{
	if (world.waiting == arg && world.reload == reload)
		world.done = NULL;
}

int
reload_start(
    struct parent *p, done_fn *done, void *arg, char error[RELOAD_ERROR_MAX])
{
	(void)p;
	return wait_for(true, done, arg, error, RELOAD_ERROR_MAX) == -1 ? -1
									: 0;
}

void
reload_forget(struct parent *p, void *arg)
{
	(void)p;
	forget(true, arg);
}

int
parent_rotate(
    struct parent *p, done_fn *done, void *arg, char error[PARENT_ERROR_MAX])
{
	(void)p;
	if (world.mood % 3 == 1)
		return 0;
	return wait_for(false, done, arg, error, PARENT_ERROR_MAX);
}

void
auditlog_forget(struct auditlog *al, void *arg)
{
	(void)al;
	forget(false, arg);
}

void
parent_log_level(struct parent *p, enum log_level level)
{
	(void)p;
	(void)level;
}

void
parent_stop(struct parent *p)
{
	p->stopping = true;
}

void
counters_snapshot(const struct parent *p, struct msg_stat *st)
{
	(void)p;
	memset(st, 0, sizeof(*st));
}

void
pool_describe(
    const struct parent *p, const struct child *c, struct msg_process *m)
{
	(void)p;
	(void)c;
	memset(m, 0, sizeof(*m));
}

const char *
listener_text(const struct listener *l, size_t i)
{
	(void)l;
	return i < 2 ? "ltp ws://127.0.0.1:7070" : NULL;
}

void
conf_each(const struct conf *conf, conf_each_fn *fn, void *arg)
{
	static char large[MSG_MAX_PAYLOAD + 1];

	(void)conf;
	memset(large, 'x', sizeof(large) - 1);
	fn("addr", "\"127.0.0.1:7070\"", "default", arg);
	fn("allowed_origins", large, "ltpd.conf:1", arg);
}

/* ---- children ---- */

static void
child_message(struct chan *ch, struct msg *m, void *arg)
{
	bool good = true;

	switch (m->type) {
	case MSG_SESSIONS_PAGE:
		good = callers_sessions_page(&world.callers, arg, m);
		break;
	case MSG_SESSION_KILLED:
		good = callers_session_killed(&world.callers, arg, m);
		break;
	case MSG_KEYS_PAGE:
		good = callers_keys_page(&world.callers, arg, m);
		break;
	default:
		break;
	}
	if (!good)
		chan_reject(ch, "a lie");
}

static void
child_dies(struct child *c)
{
	size_t i = (size_t)(c - world.child);

	chan_free(c->ch);
	c->ch = NULL;
	c->state = CHILD_DOWN;
	if (world.sibling[i] != -1)
		close(world.sibling[i]);
	world.sibling[i] = -1;
	callers_child_gone(&world.callers, c);
}

static void
child_gone(struct chan *ch, enum chan_end end, void *arg)
{
	(void)ch;
	(void)end;
	child_dies(arg);
}

static const struct chan_ops child_ops = { child_message, child_gone, NULL };

static void
child_is_born(struct child *c)
{
	size_t i = (size_t)(c - world.child);
	int pair[2];

	FUZZ_ASSERT(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, pair) == 0);
	c->ch = chan_new(
	    world.parent.base, pair[0], ROLE_PARENT, c->role, &child_ops, c);
	FUZZ_ASSERT(c->ch != NULL);
	c->state = CHILD_READY;
	world.sibling[i] = pair[1];
}

/* ---- what is said over the sockets ---- */

static void
send_message(int fd, unsigned type, const void *payload, size_t len)
{
	static uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	struct msg_hdr hdr = { .type = (uint16_t)type, .len = (uint32_t)len };

	memcpy(buf, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(buf + sizeof(hdr), payload, len);
	if (fd != -1)
		(void)!send(fd, buf, sizeof(hdr) + len, MSG_NOSIGNAL);
}

/* Reads all; the rules hold.  Returns the request of the last message. */
static uint32_t
read_all(int fd, enum role role, uint32_t request)
{
	static uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
	struct msg_hdr hdr;
	ssize_t n;

	while (fd != -1 && (n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		FUZZ_ASSERT((size_t)n >= sizeof(hdr));
		memcpy(&hdr, buf, sizeof(hdr));
		FUZZ_ASSERT(hdr.len == (size_t)n - sizeof(hdr));
		FUZZ_ASSERT(msg_check(hdr.type, ROLE_PARENT, role, hdr.len,
				hdr.nfds) == NULL);
		if (hdr.len >= sizeof(request))
			memcpy(&request, buf + sizeof(hdr), sizeof(request));
	}
	return request;
}

static void
read_everything(void)
{
	size_t i;

	for (i = 0; i < OPERATORS; i++)
		read_all(world.operator[i], ROLE_CTL, 0);
	for (i = 0; i < CHILDREN; i++)
		world.request[i] = read_all(
		    world.sibling[i], world.child[i].role, world.request[i]);
}

static void
operator_connects(size_t i)
{
	int pair[2];

	if (world.operator[i] != - 1)
		return;
	FUZZ_ASSERT(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, pair) == 0);
	world.operator[i] = pair[1];
	caller_new(&world.callers, pair[0], 1000);
}

static void
operator_hangs_up(size_t i)
{
	if (world.operator[i] != - 1)
		close(world.operator[i]);
	world.operator[i] = - 1;
}

/* A page of so many sessions that is right but for what the input says. */
static void
send_page(size_t child, struct fuzz *f)
{
	uint8_t flags = fuzz_u8(f);
	struct msg_sessions_page page = { .request = world.request[child],
		.count = flags & 3,
		.last = (flags & 4) != 0 };
	struct msg_session s;
	uint8_t buf[sizeof(page) + 3 * (sizeof(s) + 4)];
	size_t len = sizeof(page), i;

	page.request += (flags & 8) != 0;
	for (i = 0; i < page.count; i++) {
		memset(&s, 0, sizeof(s));
		s.conn = fuzz_u8(f);
		s.client_id_len = (flags & 16) != 0 ? 5 : 4;
		memcpy(buf + len, &s, sizeof(s));
		memset(buf + len + sizeof(s), 'c', 4);
		len += sizeof(s) + 4;
	}
	page.count += (flags & 32) != 0;
	memcpy(buf, &page, sizeof(page));
	send_message(world.sibling[child], MSG_SESSIONS_PAGE, buf, len);
}

static void
send_keys(struct fuzz *f)
{
	static uint8_t buf[sizeof(struct msg_keys_page) +
			   KEYS_PAGE_MAX * sizeof(struct msg_key_use)];
	uint8_t flags = fuzz_u8(f);
	struct msg_keys_page page = { .request = world.request[CHILDREN - 1],
		.generation = flags >> 6,
		.first = fuzz_u8(f) & 3,
		.count = flags & 7 };
	size_t n = page.count;

	page.request += (flags & 8) != 0;
	page.count += (flags & 16) != 0 ? 600 : 0;
	memcpy(buf, &page, sizeof(page));
	send_message(world.sibling[CHILDREN - 1], MSG_KEYS_PAGE, buf,
	    sizeof(page) + n * sizeof(struct msg_key_use));
}

static void
send_killed(size_t child, struct fuzz *f)
{
	uint8_t flags = fuzz_u8(f);
	struct msg_session_killed m = { .request = world.request[child],
		.found = flags & 1 };

	m.request += (flags & 2) != 0;
	send_message(world.sibling[child], MSG_SESSION_KILLED, &m, sizeof(m));
}

static void
be_done(bool good)
{
	done_fn *done = world.done;

	world.done = NULL;
	if (done != NULL)
		done(good ? NULL : "the file is no good", world.waiting);
}

static void
act(struct fuzz *f)
{
	struct msg_ctl_hello hello = { .version = CTL_VERSION };
	unsigned op = fuzz_u8(f) % OP__MAX, type;
	uint8_t who = fuzz_u8(f);
	size_t i = who % OPERATORS, c = who % CHILDREN, n;
	const uint8_t *p;

	switch (op) {
	case OP_CONNECT:
		operator_connects(i);
		break;
	case OP_ASK:
		type = MSG_CTL_HELLO + fuzz_u8(f) % 8;
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		send_message(world.operator[i], type, p, n);
		break;
	case OP_GREET:
		operator_connects(i);
		send_message(
		    world.operator[i], MSG_CTL_HELLO, &hello, sizeof(hello));
		break;
	case OP_RAW:
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		if (world.operator[i] != - 1 && n> 0)
			(void)!send(world.operator[i], p, n, MSG_NOSIGNAL);
		break;
	case OP_HANG_UP:
		operator_hangs_up(i);
		break;
	case OP_READ:
		read_everything();
		break;
	case OP_PAGE:
		send_page(c, f);
		break;
	case OP_KILLED:
		send_killed(c, f);
		break;
	case OP_KEYS:
		send_keys(f);
		break;
	case OP_CHILD:
		type = fuzz_u8(f) % MSG__MAX;
		p = fuzz_bytes(f, fuzz_u8(f), &n);
		send_message(world.sibling[c], type, p, n);
		break;
	case OP_DIE:
		if (world.child[c].ch != NULL)
			child_dies(&world.child[c]);
		else
			child_is_born(&world.child[c]);
		break;
	case OP_DONE:
		be_done((who & 1) != 0);
		break;
	}
}

/* ---- the world ---- */

static void
begin(uint8_t flags)
{
	static char id[] = "node";
	char error[KEYFILE_ERROR_MAX];
	struct parent *p = &world.parent;
	size_t i;

	memset(&world.conf, 0, sizeof(world.conf));
	world.conf.id = id;
	world.pool = (struct pool){ .child = world.child,
		.count = CHILDREN,
		.nworkers = CHILDREN - 1 };
	p->conf = &world.conf;
	p->pool = &world.pool;
	p->keys = NULL;
	if ((flags & 1) != 0)
		p->keys = keyset_parse("a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9",
		    KEY_SOURCE_ENVIRONMENT, error);
	world.mood = flags >> 1;
	world.done = NULL;
	world.callers = (struct callers){ .parent = p };
	callers_init(&world.callers);
	memset(world.child, 0, sizeof(world.child));
	memset(world.request, 0, sizeof(world.request));
	for (i = 0; i < OPERATORS; i++)
		world.operator[i] = - 1;
	for (i = 0; i < CHILDREN; i++) {
		world.child[i].parent = p;
		world.child[i].role = ROLE_WORKER;
		world.child[i].slot = (unsigned)i;
		if (i + 1 == CHILDREN) {
			world.child[i].role = ROLE_AUTH;
			world.child[i].slot = 0;
			world.pool.auth = &world.child[i];
		}
		child_is_born(&world.child[i]);
	}
}

static void
end(void)
{
	size_t i;

	callers_free(&world.callers);
	FUZZ_ASSERT(world.callers.count == 0 && world.done == NULL);
	for (i = 0; i < OPERATORS; i++)
		operator_hangs_up(i);
	for (i = 0; i < CHILDREN; i++) {
		if (world.child[i].ch != NULL)
			child_dies(&world.child[i]);
	}
	keyset_free(world.parent.keys);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	int before;

	fuzz_quiet();
	if (world.parent.base == NULL)
		FUZZ_ASSERT((world.parent.base = event_base_new()) != NULL);
	before = fuzz_next_fd();
	begin(fuzz_u8(&f));
	while (f.left > 0) {
		act(&f);
		event_base_loop(world.parent.base, EVLOOP_NONBLOCK);
		FUZZ_ASSERT(world.callers.count <= 16);
	}
	end();
	FUZZ_ASSERT(fuzz_next_fd() == before);
	return 0;
}
