/*
 * The file of the audit log: where it ends, what is to be written to it, and
 * what is done when it cannot be.  The file holds whole lines, whatever
 * happens: part of a line that a full disk or a kill left is cut off.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain.h"

#define LEDGER_ERROR_MAX 128

struct ledger {
	struct chain chain;
	int fd; /* -1: none yet */
	char *buf; /* whole lines that are not written yet */
	size_t len;
	size_t size;
	size_t torn; /* bytes of half a line at the end of the file */
	bool writable;
	bool dirty; /* written, not yet synced */
	uint64_t lines; /* written since the start */
	uint64_t errors;
};

/* 0 or -1. */
int ledger_init(struct ledger *);
/*
 * Take a file over, and the descriptor; the chain goes on after its last
 * line.  A torn last line is cut off and logged.  -1 with a text in why: the
 * descriptor is still the caller's.
 */
int ledger_open(struct ledger *, int fd, char why[LEDGER_ERROR_MAX]);
/*
 * Go on in another file, which is empty, or ends where this chain does.  It
 * gets a first line of our own, so that the chain can be taken up from it
 * whatever happens next.  What waits is written to the old file, or, if that
 * cannot be, to this one.
 */
int ledger_continue(struct ledger *, int fd, char why[LEDGER_ERROR_MAX]);

/*
 * Make a line of a record that chain_accepts(), to be written by the next
 * ledger_write().  0, or -1 with errno.
 */
int ledger_add(struct ledger *, const struct msg_audit_record *,
    const char *session_id, const char *before, const char *after);
/*
 * Write what waits.  -1 with errno when it cannot all be written: the file
 * is not writable, the rest waits for the next call.
 */
int ledger_write(struct ledger *);
/* Bring what was written to the disk.  0, or -1 with errno. */
int ledger_sync(struct ledger *);

#endif /* LEDGER_H */
