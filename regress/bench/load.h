#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"
#include "histogram.h"
#include "target.h"

#define LOAD_SECOND 1000000000ull /* nanoseconds */
#define LOAD_READ   65536

struct conn;
struct load;
struct tlsclient;

/* What a mode of load does.  One row each in load.c. */
struct mode {
	const char *name;
	void (*run)(struct load *);
	/* A connection was greeted. */
	void (*greeted)(struct load *, struct conn *);
	/* So many replies came, each of which was right. */
	void (*replied)(struct load *, struct conn *, unsigned);
};

struct load {
	/* what was asked for */
	const struct mode *mode;
	struct target target;
	const char *target_name;
	struct sockaddr_in server;
	struct tlsclient *tls; /* NULL: plaintext */
	unsigned connections;
	unsigned depth;
	unsigned in_flight; /* at most so many are being greeted at a time */
	unsigned sources; /* loopback addresses to connect from */
	unsigned rate; /* messages a second, of all connections */
	double seconds, warm_up;
	bool behind; /* measure what is done behind the replies as well */

	/* what there is */
	int epoll;
	struct conn **conns;
	unsigned opened, greeted; /* connections, ever */
	uint64_t sent, received; /* messages */
	uint64_t now; /* when the last wake-up was */
	bool stopping; /* send nothing more */
	uint8_t in[LOAD_READ + TARGET_REPLY_MAX];

	/* what was measured */
	bool measuring;
	struct cpu cpu;
	struct histogram latency;
	struct histogram lag; /* open loop: how late we were ourselves */
	uint64_t begin, elapsed;
	uint64_t schedule; /* open loop: when message 0 is due */
	uint64_t messages;
};

/* Nanoseconds of the monotonic clock. */
uint64_t load_now(void);

/* Begin and end what is measured. */
void load_measure(struct load *);
void load_measured(struct load *);

/* Open all connections, at most in_flight at a time, and greet them. */
void load_open_all(struct load *);

/* Wait until every message that was sent has its reply. */
void load_drain(struct load *);

/* Wait until the server has done what is left to do. */
void load_settle(struct load *);

/* The modes, a file each. */
void closed_run(struct load *);
void closed_replied(struct load *, struct conn *, unsigned);
void open_run(struct load *);
void open_replied(struct load *, struct conn *, unsigned);
void connect_run(struct load *);
void connect_greeted(struct load *, struct conn *);
void hold_run(struct load *);

#endif
