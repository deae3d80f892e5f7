/*
 * A process of the node in the hands of somebody who knows all of it: what
 * the lies of lies.c, the plays of plays.c and the rest in hostile.c share.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define LIES_MAX 1024
#define CHANNEL  3 /* to the supervisor */

/* What of it is descriptors. */
enum thing {
	THING_NONE = 0,
	THING_PIPE,
	THING_PIPE_IN, /* the end to write to */
	THING_RANDOM, /* /dev/urandom */
	THING_NULL,
	THING_DIRECTORY,
	THING_PATH, /* O_PATH */
	THING_LISTENER, /* a socket that listens */
	THING_PAIR, /* one that is connected, with data on its way */
	THING_MEMORY, /* a memfd without seals */
	THING_CHANNEL, /* the very channel that it is sent on */
	THING_EPOLL,
	THING_EVENT,
	THING_PROC, /* /proc/self/status: real, but one for all */
	THING_OTHER_PROC, /* /proc/1/stat */
	THING__MAX,
	THING_CLIENT, /* what is open already, by its number */
};

extern const char *const thing_names[THING__MAX];

/* One datagram, true but for what it lies about. */
struct shot {
	bool bare; /* size bytes without a header */
	uint16_t type;
	uint16_t said_fds;
	uint32_t said_len;
	size_t size; /* of the payload, really */
	uint8_t fill; /* its bytes, but for the patch */
	size_t at; /* of the patch */
	size_t width; /* 0: none */
	uint64_t value;
	enum thing thing;
	unsigned nfds; /* descriptors, really */
};

struct lie {
	char name[80];
	/*
	 * What the other side says when it ends the channel; NULL when it
	 * does not mind, which a message of no type after it then proves.
	 */
	const char *expect;
	bool early; /* before READY */
	struct shot shot;
};

struct lies {
	size_t count;
	struct lie lie[LIES_MAX];
};

/* All that one role can say wrong to another. */
void lies_fill(struct lies *, enum role from, enum role to);

/* What is true, with so many bytes and descriptors. */
struct shot shot_true(unsigned type, size_t size, unsigned nfds);
/* 0 or -1 with errno. */
int shot_fire(int fd, const struct shot *);

/*
 * Shared with the test, which made it and wrote its number into the program:
 * the only way from one to the other that no sandbox of the node is in.
 */
struct control {
	_Atomic uint64_t go; /* 0: behave */
	_Atomic uint64_t turn; /* the next lie, by number */
	_Atomic uint64_t count; /* of lies or messages to send */
	_Atomic uint64_t sent; /* messages */
	_Atomic uint64_t lives;
	_Atomic uint64_t seed;
	_Atomic uint64_t slots; /* of workers that are hostile, a bit each */
	_Atomic uint64_t word; /* for whatever a play needs */
	_Atomic uint64_t scene; /* rises with each play */
	_Atomic uint64_t players; /* that are in it */
	char play[64];
	_Atomic uint32_t pid[LIES_MAX]; /* who told which lie */
	_Atomic uint32_t seen[LIES_MAX]; /* 1: the peer ended the channel */
};

struct hostile {
	enum role role;
	unsigned slot;
	struct control *control;
	uint32_t generation;
	bool ready; /* said so */
	bool well; /* and that as it should be */
	int shared; /* descriptor of the table, -1: none */
	int client; /* the first connection that was passed, -1: none */
	int peers[64]; /* channels to siblings */
	enum role peer_role[64];
	size_t npeers;
	uint32_t asked; /* the last request of the supervisor */
	uint64_t random;
	uint64_t scene; /* the last one we were in */
	struct lies lies;
	uint8_t buf[sizeof(struct msg_hdr) + MSG_MAX_PAYLOAD];
};

/* The same for the same seed. */
uint64_t next_random(struct hostile *);
/* Milliseconds. */
void pause_ms(long);
/* A message without descriptors, heard or not. */
void say(int fd, unsigned type, const void *payload, size_t size);

/* The test has not ended the play. */
bool going_on(const struct hostile *);
/* The number of the next lie to tell, -1 when all are told. */
int my_turn(struct hostile *);

/* Take one message, and do as told; false when none came in that time. */
bool behave(struct hostile *, int timeout_ms);
/* Answer the question of that type as if nothing were there. */
void behave_asked(struct hostile *, unsigned type, uint32_t first);

/* What the test asks for now. */
void perform(struct hostile *);
/*
 * Claim so many refusals for our own slot.  With many of them the supervisor
 * gives new clients to others.
 */
void claim_refusals(struct hostile *, uint32_t count);
/* For the test: the names of the pages, and what is expected. */
void page_lies_print(void);

#endif /* HOSTILE_H */
