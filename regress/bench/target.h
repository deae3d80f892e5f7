#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What is said to a server, and what must come back.  A connection has a
 * number; its messages are numbered from 0, and both stand in the message, so
 * that no reply can be taken for another one.
 */
enum target_kind {
	TARGET_NONE,
	TARGET_FLOOR, /* the very bytes that were sent, upgrade included */
	TARGET_ECHO, /* WebSocket: the payload that was sent */
	TARGET_LTP, /* hello, then heartbeats */
	TARGET_REMOTE, /* the same, as the remote listener wants them */
	TARGET_NATS /* NATS over WebSocket: CONNECT, then PING */
};

/* Either is answered before the next thing is sent. */
enum target_step {
	TARGET_UPGRADE,
	TARGET_HELLO
};

#define TARGET_BYTES_MAX 1024 /* of a message, a reply or a step */
#define TARGET_REPLY_MAX 4096 /* of what a server may say at once */
#define TARGET_CLIENTS   100000000 /* connections, by number */
#define TARGET_SESSION   36 /* bytes of a session id */

/* Whose bytes they are. */
struct target_client {
	unsigned number;
	char session[TARGET_SESSION]; /* what the server called it, remote */
};

/*
 * Bytes with the number of a connection and of a message in them, the latter
 * up to twice, and the id of a session.
 */
struct target_text {
	uint8_t bytes[TARGET_BYTES_MAX];
	size_t len;
	size_t client_at; /* 0: no number of a connection */
	size_t seq_at[2]; /* 0: no number of a message */
	size_t session_at; /* 0: no id of a session */
	size_t mask_from; /* what follows is masked; 0: nothing is */
};

struct target {
	enum target_kind kind;
	struct target_text say[2]; /* by enum target_step */
	struct target_text answer[2]; /* of these steps, if known bytes */
	struct target_text message;
	struct target_text reply;
};

/*
 * Prepare.  api_key, which is a token for the remote listener, may be NULL;
 * key_id, which then stands in replies instead of the client's, too.  -1 if there is no such kind, or a text is too long.
 */
int target_init(struct target *, const char *kind, const char *node_id,
    const char *api_key, const char *key_id);

/* Print into TARGET_BYTES_MAX bytes; returns the length. */
size_t target_say(const struct target *, enum target_step,
    const struct target_client *, uint8_t *);
size_t target_message(const struct target *, const struct target_client *,
    uint64_t seq, uint8_t *);

/*
 * Look at what came: returns how many bytes of it were the whole answer to a
 * step, 0 if more must come, and -1 if it is wrong.  Of the answer to a hello
 * the id of the session is kept.
 */
ssize_t target_check_step(const struct target *, enum target_step,
    struct target_client *, const uint8_t *, size_t len);

/* Likewise for the reply to a message; *replies says how many they were. */
ssize_t target_check_reply(const struct target *, const struct target_client *,
    uint64_t seq, const uint8_t *, size_t len, unsigned *replies);

/* What should have come, for an error message. */
size_t target_expected(const struct target *, const struct target_client *,
    uint64_t seq, uint8_t *);

#endif
