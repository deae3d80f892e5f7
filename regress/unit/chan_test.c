/*
 * Channels, with an honest and with a lying peer on the other end.
 */
#include "unit.h"

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"

/* A channel of a supervisor to a worker; the worker's end is a raw socket. */
struct fixture {
	struct event_base *base;
	struct chan *ch;
	int peer;
	uint8_t line[sizeof(struct msg_hdr) + sizeof(struct msg_conf_ack)];
	unsigned talk; /* the peer does, as long as there are less messages */
	unsigned messages;
	unsigned gone;
	enum chan_end end;
	char why[64];
	enum msg_type type;
	size_t len;
	size_t nfds;
	int kept; /* a descriptor that the handler kept, -1: none */
	bool keep_fd;
	bool free_in_message;
	const char *reject;
	unsigned writable;
};

static void
on_message(struct chan *ch, struct msg *m, void *arg)
{
	struct fixture *f = arg;

	f->messages++;
	if (f->messages < f->talk)
		send(f->peer, f->line, sizeof(f->line), 0);
	f->type = m->type;
	f->len = m->len;
	f->nfds = m->nfds;
	if (f->keep_fd && m->nfds > 0) {
		f->kept = m->fds[0];
		m->fds[0] = -1;
	}
	if (f->reject != NULL)
		chan_reject(ch, f->reject);
	if (f->free_in_message) {
		chan_free(ch);
		f->ch = NULL;
	}
}

static void
on_gone(struct chan *ch, enum chan_end end, void *arg)
{
	struct fixture *f = arg;

	f->gone++;
	f->end = end;
	snprintf(f->why, sizeof(f->why), "%s", chan_violation(ch));
	chan_free(ch);
	f->ch = NULL;
}

static void
on_writable(struct chan *ch, void *arg)
{
	struct fixture *f = arg;

	(void)ch;
	f->writable++;
}

static const struct chan_ops ops = {
	.message = on_message,
	.gone = on_gone,
	.writable = on_writable,
};

static int
setup_as(void **state, enum role peer)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int sv[2];

	assert_non_null(f);
	f->kept = -1;
	f->base = event_base_new();
	assert_non_null(f->base);
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
	f->peer = sv[1];
	f->ch = chan_new(f->base, sv[0], ROLE_PARENT, peer, &ops, f);
	assert_non_null(f->ch);
	*state = f;
	return 0;
}

static int
setup(void **state)
{
	return setup_as(state, ROLE_WORKER);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	chan_free(f->ch);
	if (f->peer != -1)
		close(f->peer);
	if (f->kept != -1)
		close(f->kept);
	event_base_free(f->base);
	free(f);
	return 0;
}

static void
run(struct fixture *f)
{
	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

/* Send a datagram as a peer that may lie about everything. */
static void
peer_send(struct fixture *f, uint16_t type, uint32_t len, uint16_t nfds,
    size_t really_len, size_t really_fds)
{
	struct msg_hdr hdr = { .type = type, .nfds = nfds, .len = len };
	union {
		struct cmsghdr align;
		uint8_t buf[CMSG_SPACE(sizeof(int) * 100)];
	} control;
	uint8_t *data = calloc(1, sizeof(hdr) + really_len);
	struct iovec iov = { data, sizeof(hdr) + really_len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;
	int fds[100];
	size_t i;

	assert_non_null(data);
	memcpy(data, &hdr, sizeof(hdr));
	if (really_fds > 0) {
		for (i = 0; i < really_fds; i++)
			fds[i] = f->peer;
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * really_fds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * really_fds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * really_fds);
	}
	assert_int_equal(sendmsg(f->peer, &mh, 0), sizeof(hdr) + really_len);
	free(data);
}

static unsigned
open_descriptors(void)
{
	unsigned n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
a_message_that_keeps_the_rules_arrives(void **state)
{
	struct fixture *f = *state;

	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->type, MSG_CONF_ACK);
	assert_int_equal(f->len, 4);
	assert_int_equal(f->gone, 0);
}

static void
every_lie_ends_the_channel(void **state)
{
	static const struct {
		uint16_t type;
		uint32_t len;
		uint16_t nfds;
		size_t really_len;
		size_t really_fds;
		const char *why;
	} lies[] = {
		{ 0, 0, 0, 0, 0, "unknown message type" },
		{ MSG__MAX, 0, 0, 0, 0, "unknown message type" },
		{ 0xffff, 4, 0, 4, 0, "unknown message type" },
		{ MSG_CONF_ACK, 4, 0, 5, 0, "message too short" },
		{ MSG_CONF_ACK, 4, 0, 12, 0, "unknown message type" },
		{ MSG_CONF_ACK, 4, 1, 5, 1, "length is a lie" },
		{ MSG_CONF_ACK, 5, 0, 4, 0, "length is a lie" },
		{ MSG_CONF_ACK, 0xffffffff, 0, 4, 0, "length is a lie" },
		{ MSG_CONF_ACK, 3, 0, 3, 0, "payload too short" },
		{ MSG_CONF_ACK, 5, 0, 5, 0, "payload too long" },
		{ MSG_CONF_ACK, 4, 1, 4, 0, "descriptor count is a lie" },
		{ MSG_CONF_ACK, 4, 0, 4, 1, "descriptor count is a lie" },
		{ MSG_CONF_ACK, 4, 1, 4, 1, "unexpected descriptor" },
		{ MSG_READY, 16, 5, 16, 5, "unexpected descriptor" },
		{ MSG_READY, 16, 100, 16, 100, "too many descriptors" },
		{ MSG_SESSIONS_PAGE, MSG_MAX_PAYLOAD + 1, 0,
		    MSG_MAX_PAYLOAD + 1, 0, "message too long" },
		{ MSG_CONN_NEW, 40, 1, 40, 1, "not a message of this sender" },
		{ MSG_CTL_STOP, 0, 0, 0, 0, "not a message of this sender" },
		{ MSG_AUTH_ASK, 16, 0, 16, 0,
		    "not a message for this receiver" },
	};
	unsigned before;
	size_t i;

	for (i = 0; i < COUNT_OF(lies); i++) {
		struct fixture *f;

		teardown(state);
		setup(state);
		f = *state;
		before = open_descriptors();
		peer_send(f, lies[i].type, lies[i].len, lies[i].nfds,
		    lies[i].really_len, lies[i].really_fds);
		run(f);
		assert_int_equal(f->messages, 0);
		assert_int_equal(f->gone, 1);
		assert_int_equal(f->end, CHAN_VIOLATION);
		assert_string_equal(f->why, lies[i].why);
		/* the channel's own is closed, and none that was passed stays */
		assert_int_equal(open_descriptors(), before - 1);
	}
}

static void
a_datagram_without_a_header_ends_the_channel(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(send(f->peer, "xyz", 3, 0), 3);
	run(f);
	assert_int_equal(f->end, CHAN_VIOLATION);
	assert_string_equal(f->why, "message too short");
}

static void
nothing_is_dispatched_after_a_lie(void **state)
{
	struct fixture *f = *state;

	peer_send(f, MSG_CONF_ACK, 3, 0, 3, 0);
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	run(f);
	run(f);
	assert_int_equal(f->messages, 0);
	assert_int_equal(f->gone, 1);
}

/* So many good messages in one datagram. */
static void
peer_send_many(struct fixture *f, size_t count)
{
	struct {
		struct msg_hdr hdr;
		struct msg_conf_ack ack;
	} messages[16] = { 0 };
	size_t i;

	for (i = 0; i < count; i++) {
		messages[i].hdr.type = MSG_CONF_ACK;
		messages[i].hdr.len = sizeof(messages[i].ack);
	}
	assert_int_equal(
	    send(f->peer, messages, count * sizeof(messages[0]), 0),
	    count * sizeof(messages[0]));
}

static void
a_datagram_may_carry_many_messages(void **state)
{
	struct fixture *f = *state;

	peer_send_many(f, 16);
	run(f);
	assert_int_equal(f->messages, 16);
	assert_int_equal(f->gone, 0);
}

static void
a_rejected_message_is_the_last_of_its_datagram(void **state)
{
	struct fixture *f = *state;

	f->reject = "a lie inside";
	peer_send_many(f, 16);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->end, CHAN_VIOLATION);
}

static void
a_channel_may_be_freed_in_the_middle_of_a_datagram(void **state)
{
	struct fixture *f = *state;

	f->free_in_message = true;
	peer_send_many(f, 16);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_null(f->ch);
}

/* What the peer has got in one datagram; 0: nothing. */
static size_t
peer_take(const struct fixture *f, uint8_t *buf, size_t size)
{
	ssize_t n = recv(f->peer, buf, size, 0);

	return n == -1 ? 0 : (size_t)n;
}

static int
post_level(struct fixture *f, uint32_t level)
{
	struct msg_log_level m = { level };

	return chan_post(f->ch, MSG_LOG_LEVEL, &m, sizeof(m), NULL, 0);
}

static void
what_is_posted_leaves_together_when_the_turn_ends(void **state)
{
	const size_t size =
	    sizeof(struct msg_hdr) + sizeof(struct msg_log_level);
	struct fixture *f = *state;
	uint8_t buf[256];
	uint32_t level;
	size_t i;

	for (i = 0; i < 3; i++)
		assert_int_equal(post_level(f, i), 0);
	assert_int_equal(peer_take(f, buf, sizeof(buf)), 0);
	run(f);
	assert_int_equal(peer_take(f, buf, sizeof(buf)), 3 * size);
	for (i = 0; i < 3; i++) {
		memcpy(&level, buf + i * size + sizeof(struct msg_hdr),
		    sizeof(level));
		assert_int_equal(level, i);
	}
	run(f);
	assert_int_equal(peer_take(f, buf, sizeof(buf)), 0);
}

static void
what_is_sent_does_not_overtake_what_is_posted(void **state)
{
	struct fixture *f = *state;
	struct msg_hdr hdr;
	uint8_t buf[256];

	assert_int_equal(post_level(f, 1), 0);
	assert_int_equal(
	    chan_send(f->ch, MSG_CONF_COMMIT, NULL, 0, NULL, 0), 0);
	assert_int_not_equal(peer_take(f, buf, sizeof(buf)), 0);
	memcpy(&hdr, buf, sizeof(hdr));
	assert_int_equal(hdr.type, MSG_LOG_LEVEL);
	assert_int_equal(peer_take(f, buf, sizeof(buf)), sizeof(hdr));
	memcpy(&hdr, buf, sizeof(hdr));
	assert_int_equal(hdr.type, MSG_CONF_COMMIT);
}

static void
more_than_fits_is_posted_in_several_datagrams(void **state)
{
	const size_t size =
	    sizeof(struct msg_hdr) + sizeof(struct msg_log_level);
	struct fixture *f = *state;
	uint8_t buf[16384];
	size_t i, n, total = 0;

	for (i = 0; i < 1000; i++)
		assert_int_equal(post_level(f, i), 0);
	run(f);
	while ((n = peer_take(f, buf, sizeof(buf))) > 0)
		total += n;
	assert_int_equal(total, 1000 * size);
}

static void
a_flush_takes_what_is_posted_along(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[256];

	assert_int_equal(post_level(f, 1), 0);
	assert_int_equal(chan_flush(f->ch, 100), 0);
	assert_int_not_equal(peer_take(f, buf, sizeof(buf)), 0);
}

static void
a_handler_may_reject_what_it_finds(void **state)
{
	struct fixture *f = *state;

	f->reject = "a lie inside";
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->end, CHAN_VIOLATION);
	assert_string_equal(f->why, "a lie inside");
}

static void
the_end_of_the_peer_is_told_once_after_its_last_message(void **state)
{
	struct fixture *f = *state;

	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	close(f->peer);
	f->peer = -1;
	run(f);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->end, CHAN_EOF);
}

/* The kernel tells of the reset before it gives what was said. */
static void
a_peer_that_left_things_unread_is_heard_to_the_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    chan_send(f->ch, MSG_CONF_COMMIT, NULL, 0, NULL, 0), 0);
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	close(f->peer);
	f->peer = -1;
	run(f);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->end, CHAN_EOF);
}

static void
a_handler_may_free_the_channel(void **state)
{
	struct fixture *f = *state;

	f->free_in_message = true;
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->gone, 0);
}

static void
descriptors_are_the_handlers_or_closed(void **state)
{
	struct fixture *f = *state;
	unsigned before = open_descriptors();

	f->keep_fd = true;
	peer_send(f, MSG_READY, 16, 4, 16, 4);
	run(f);
	assert_int_equal(f->messages, 1);
	assert_int_equal(f->nfds, 4);
	assert_int_equal(open_descriptors(), before + 1);
	assert_int_equal(fcntl(f->kept, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void
what_the_peer_does_not_take_waits_up_to_the_high_water_mark(void **state)
{
	static uint8_t payload[MSG_MAX_PAYLOAD - 64];
	struct msg_sessions_page page = { .count = 0 };
	struct fixture *f;
	char buf[MSG_MAX_PAYLOAD + 64];
	unsigned sent = 0, received = 0;

	/* To a worker nothing large may go, to an operator it may. */
	teardown(state);
	setup_as(state, ROLE_CTL);
	f = *state;
	while (chan_send(f->ch, MSG_CTL_SESSIONS, &page, sizeof(page), payload,
		   sizeof(payload)) == 0)
		sent++;
	assert_int_equal(errno, ENOBUFS);
	assert_true(chan_queued(f->ch) <= CHAN_HIGH_WATER);
	assert_true(chan_queued(f->ch) > CHAN_HIGH_WATER - MSG_MAX_PAYLOAD);
	assert_int_equal(f->writable, 0);
	while (received < sent) {
		ssize_t n = recv(f->peer, buf, sizeof(buf), 0);

		if (n > 0)
			received++;
		else
			run(f);
	}
	run(f);
	assert_int_equal(chan_queued(f->ch), 0);
	assert_int_equal(f->writable, 1);
	assert_int_equal(recv(f->peer, buf, sizeof(buf), 0), -1);
}

static void
what_is_too_long_is_not_sent(void **state)
{
	static uint8_t payload[MSG_MAX_PAYLOAD + 1];
	struct fixture *f = *state;

	assert_int_equal(
	    chan_send(f->ch, MSG_CONN_NEW, payload, sizeof(payload), NULL, 0),
	    -1);
	assert_int_equal(errno, EMSGSIZE);
}

static void
descriptors_are_taken_even_when_sending_fails(void **state)
{
	static uint8_t payload[MSG_MAX_PAYLOAD + 1];
	struct fixture *f = *state;
	int fd = dup(f->peer);

	assert_int_equal(chan_send_fds(f->ch, MSG_CONN_NEW, &fd, 1, payload,
			     sizeof(payload)),
	    -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void
a_paused_channel_reads_nothing(void **state)
{
	struct fixture *f = *state;

	chan_pause(f->ch, true);
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	run(f);
	assert_int_equal(f->messages, 0);
	chan_pause(f->ch, false);
	run(f);
	assert_int_equal(f->messages, 1);
}

static void
draining_dispatches_what_a_dead_peer_said(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 10; i++)
		peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	close(f->peer);
	f->peer = -1;
	chan_drain(f->ch);
	assert_int_equal(f->messages, 10);
	assert_int_equal(f->end, CHAN_EOF);
}

/* A dead peer's descendant may still have the channel. */
static void
draining_does_not_wait_for_a_peer_that_talks_on(void **state)
{
	struct msg_hdr hdr = { .type = MSG_CONF_ACK,
		.len = sizeof(struct msg_conf_ack) };
	struct fixture *f = *state;

	memcpy(f->line, &hdr, sizeof(hdr));
	f->talk = 1000000;
	peer_send(f, MSG_CONF_ACK, 4, 0, 4, 0);
	chan_drain(f->ch);
	assert_true(f->messages > 1000);
	assert_true(f->messages < 100000);
	assert_int_equal(f->gone, 0);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_that_keeps_the_rules_arrives),
		TEST(every_lie_ends_the_channel),
		TEST(a_datagram_without_a_header_ends_the_channel),
		TEST(nothing_is_dispatched_after_a_lie),
		TEST(a_datagram_may_carry_many_messages),
		TEST(a_rejected_message_is_the_last_of_its_datagram),
		TEST(a_channel_may_be_freed_in_the_middle_of_a_datagram),
		TEST(what_is_posted_leaves_together_when_the_turn_ends),
		TEST(what_is_sent_does_not_overtake_what_is_posted),
		TEST(more_than_fits_is_posted_in_several_datagrams),
		TEST(a_flush_takes_what_is_posted_along),
		TEST(a_handler_may_reject_what_it_finds),
		TEST(the_end_of_the_peer_is_told_once_after_its_last_message),
		TEST(a_peer_that_left_things_unread_is_heard_to_the_end),
		TEST(a_handler_may_free_the_channel),
		TEST(descriptors_are_the_handlers_or_closed),
		TEST(
		    what_the_peer_does_not_take_waits_up_to_the_high_water_mark),
		TEST(what_is_too_long_is_not_sent),
		TEST(descriptors_are_taken_even_when_sending_fails),
		TEST(a_paused_channel_reads_nothing),
		TEST(draining_dispatches_what_a_dead_peer_said),
		TEST(draining_does_not_wait_for_a_peer_that_talks_on),
	};

	return cmocka_run_group_tests_name("chan", tests, NULL, NULL);
}
