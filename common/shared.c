/*
 * The node-wide table in shared memory.  One object of just under 64 MiB,
 * sparse: memory is used where addresses fall.
 *
 * Shares.  Each slot holds a number per kind, in a cache line of its own; a
 * total is their sum and is stored nowhere, so no process can die between two
 * numbers that belong together, and reclaiming a slot is writing zeroes.  A
 * taker adds to its share first and then sums up: of two takers the one that
 * was later sees the other, so the cap is never passed.  Two that meet at the
 * last place may both step back; they try again.
 *
 * Addresses.  GCRA needs one number per address, its theoretical arrival time
 * (TAT).  An entry is an atomic of 64 bits:
 *
 *	63 .. 42  fingerprint of the address, 22 bits, never 0
 *	41 ..  0  TAT in 1/8 microseconds of monotonic time, modulo 2^42
 *
 * 2^22 entries in 2^19 sets of 8, a set to a cache line.  SipHash-1-3 of the
 * address under a random key gives the set (19 bits) and the fingerprint.
 * Failed sign-ins have 2^17 sets of their own: how far a TAT can lie ahead,
 * and so whether an entry is over, can be told of entries of one rate alone.
 *
 * Unit: the interval at 100000 messages a second is 80 units, so rounding it
 * changes the rate by at most 0.6 %, and by 0.01 % up to 1000 a second.
 *
 * Wrap-around: 2^42 units are 6.4 days.  A TAT counts only when it lies ahead,
 * and by no more than a burst takes to come back, plus ten seconds for clocks
 * read at different moments; any other is over, whatever its age.  So an
 * address that was quiet for just 6.4 days less that time, or a multiple, may
 * be held back for up to that time.  What is over is a full burst again, and
 * that is all a longer memory (IP_RATE_LIMIT_TTL_SECS) could tell.
 *
 * Collision: in a full set an address finds the fingerprint of another with
 * odds of 8 in 2^22 (1 in 524288), and then shares its limit.  Among a million
 * addresses at once, 0.23 such pairs are to be expected.  Without the key
 * nobody can choose them.
 *
 * Eviction: an entry that is over is taken first; a full set gives up the
 * entry with the smallest TAT, whose address has most of its burst left and is
 * given the rest.  When a million addresses send within the time of one burst,
 * a set has 1.9 of them, and one address in 1200 finds its set full of others.
 *
 * Exactness: otherwise exact, by compare and exchange.  Two processes that
 * meet the same new address while a third takes an entry of that set may make
 * two entries; the second is never found again, one message was too many.
 *
 * Holdings.  How many connections an address holds is the sum over the slots;
 * each has a table that only its worker writes, so a dead worker's share is
 * wiped as a whole.  An entry of 32 bits is a fingerprint of 20 and a count of
 * 12; 2^12 sets of 16, a set to a cache line.  As with shares, a taker adds
 * first and sums up then.  Two of 10000 addresses share an entry with odds of
 * 1 in 86; one that finds its set full of others is not counted, which needs
 * 17 addresses in a set where 2.4 are to be expected.
 *
 * Everything here is bounded, against a process that keeps writing: after
 * SHARED_TRIES attempts the answer is no.
 */
#include <sys/mman.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memfd.h"
#include "msg.h"
#include "shared.h"
#include "siphash.h"

#define SHARED_VERSION 5

#define SHARED_TRIES   1000

#define LINE_SIZE      64 /* bytes of a cache line */

#define SET_BITS       19
#define FAIL_SET_BITS  17
#define SET_SIZE       8 /* entries */
#define TIME_BITS      42
#define HOLD_SET_BITS  12
#define HOLD_SET_SIZE  16 /* entries */
#define HOLD_BITS      12
#define HOLD_MASK      ((UINT32_C(1) << HOLD_BITS) - 1)
#define TIME_MASK      ((UINT64_C(1) << TIME_BITS) - 1)

#define UNITS_PER_US   8
#define UNITS_PER_SEC  (UINT64_C(1000000) * UNITS_PER_US)
#define SKEW           (10 * UNITS_PER_SEC)
#define BURST_MAX      (UINT64_C(1) << (TIME_BITS - 1)) /* 76 hours */

struct slot {
	_Alignas(LINE_SIZE) _Atomic uint32_t held[SHARED__KINDS];
};

struct set {
	_Alignas(LINE_SIZE) _Atomic uint64_t entries[SET_SIZE];
};

struct hold_set {
	_Alignas(LINE_SIZE) _Atomic uint32_t entries[HOLD_SET_SIZE];
};

struct holdings {
	struct hold_set sets[1 << HOLD_SET_BITS];
};

struct table {
	struct slot slots[SHARED_SLOTS];
	struct set sets[1 << SET_BITS]; /* of messages */
	struct set fail_sets[1 << FAIL_SET_BITS];
	struct holdings holdings[SHARED_SLOTS];
};

_Static_assert(sizeof(struct slot) == LINE_SIZE, "a slot is a line");
_Static_assert(sizeof(struct set) == LINE_SIZE, "a set is a line");
_Static_assert(sizeof(struct table) <= 64 * 1024 * 1024, "table size");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
    "atomics work between processes");

/* An address, what is counted of it, and the hash of both. */
struct hashed {
	uint8_t text[17];
	uint64_t hash;
};

/*
 * Of this process alone.  The slots and the key are not in the table: anybody
 * could change them.
 */
struct shared {
	struct table *table;
	uint32_t nslots;
	uint64_t key[2];
	struct hashed last;
};

/* There is always a last address, if only that of zeroes. */
static void
shared_set_key(struct shared *s, const void *key)
{
	memcpy(s->key, key, sizeof(s->key));
	s->last.hash = siphash(s->key, s->last.text, sizeof(s->last.text));
}

static struct shared *
shared_attach(int fd)
{
	struct shared *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->table = mmap(
	    NULL, sizeof(*s->table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->table == MAP_FAILED) {
		free(s);
		return NULL;
	}
	return s;
}

struct shared *
shared_new(unsigned slots, int *fd)
{
	uint64_t key[2];
	struct shared *s;
	int saved;

	if (slots > SHARED_SLOTS) {
		errno = EINVAL;
		return NULL;
	}
	if ((*fd = memfd_new("ltpd-shared", sizeof(struct table))) == -1)
		return NULL;
	if ((s = shared_attach(*fd)) == NULL) {
		saved = errno;
		close(*fd);
		*fd = -1;
		errno = saved;
		return NULL;
	}
	arc4random_buf(key, sizeof(key));
	shared_set_key(s, key);
	s->nslots = slots;
	return s;
}

void
shared_describe(const struct shared *s, struct msg_shared *m)
{
	memcpy(m->key, s->key, sizeof(m->key));
	m->version = SHARED_VERSION;
	m->slots = s->nslots;
}

struct shared *
shared_map(int fd, const struct msg_shared *m)
{
	struct shared *s;

	if (m->version != SHARED_VERSION || m->slots > SHARED_SLOTS ||
	    !memfd_check(fd, sizeof(struct table))) {
		errno = EINVAL;
		return NULL;
	}
	if ((s = shared_attach(fd)) == NULL)
		return NULL;
	s->nslots = m->slots;
	shared_set_key(s, m->key);
	return s;
}

void
shared_free(struct shared *s)
{
	if (s == NULL)
		return;
	munmap(s->table, sizeof(*s->table));
	free(s);
}

/* ---- shares ---- */

/* One more or one less; false at either end of the range. */
static bool
share_change(_Atomic uint32_t *share, bool more)
{
	uint32_t value;
	int i;

	value = atomic_load(share);
	for (i = 0; i < SHARED_TRIES; i++) {
		if (value == (more ? UINT32_MAX : 0))
			return false;
		if (atomic_compare_exchange_weak(
			share, &value, more ? value + 1 : value - 1))
			return true;
	}
	return false;
}

bool
shared_take(
    struct shared *s, enum shared_kind kind, unsigned slot, uint32_t cap)
{
	_Atomic uint32_t *share;
	int i;

	if (slot >= SHARED_SLOTS)
		return false;
	share = &s->table->slots[slot].held[kind];
	for (i = 0; i < SHARED_TRIES; i++) {
		if (!share_change(share, true))
			return false;
		if (shared_total(s, kind) <= cap)
			return true;
		share_change(share, false);
		if (shared_total(s, kind) >= cap)
			return false;
	}
	return false;
}

void
shared_give(struct shared *s, enum shared_kind kind, unsigned slot)
{
	if (slot < SHARED_SLOTS)
		share_change(&s->table->slots[slot].held[kind], false);
}

static void
holdings_clear(struct holdings *h)
{
	size_t i;
	int j;

	for (i = 0; i < 1 << HOLD_SET_BITS; i++) {
		for (j = 0; j < HOLD_SET_SIZE; j++) {
			if (atomic_load(&h->sets[i].entries[j]) != 0)
				atomic_store(&h->sets[i].entries[j], 0);
		}
	}
}

void
shared_give_conn(struct shared *s, unsigned slot, bool refused, bool remote)
{
	if (refused) {
		shared_give(s, SHARED_REFUSALS, slot);
		return;
	}
	shared_give(s, SHARED_CONNS, slot);
	if (remote)
		shared_give(s, SHARED_REMOTE, slot);
}

void
shared_reclaim(struct shared *s, unsigned slot)
{
	int kind;

	if (slot >= SHARED_SLOTS)
		return;
	for (kind = 0; kind < SHARED__KINDS; kind++)
		atomic_store(&s->table->slots[slot].held[kind], 0);
	holdings_clear(&s->table->holdings[slot]);
}

uint32_t
shared_total(const struct shared *s, enum shared_kind kind)
{
	uint64_t sum = 0;
	unsigned slot;

	/* Nobody would give back what lies in a slot that has no worker. */
	for (slot = 0; slot < s->nslots; slot++)
		sum += shared_held(s, kind, slot);
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

uint32_t
shared_held(const struct shared *s, enum shared_kind kind, unsigned slot)
{
	if (slot >= SHARED_SLOTS)
		return 0;
	return atomic_load(&s->table->slots[slot].held[kind]);
}

/* ---- addresses ---- */

/*
 * The hash of an address and of what is counted.  A client's messages come in
 * batches, and each asks for the same one.
 */
static uint64_t
address_hash(struct shared *s, const uint8_t address[16], uint8_t what)
{
	struct hashed *last = &s->last;

	if (last->text[16] != what || memcmp(last->text, address, 16) != 0) {
		memcpy(last->text, address, 16);
		last->text[16] = what;
		last->hash = siphash(s->key, last->text, sizeof(last->text));
	}
	return last->hash;
}

/* How far the TAT of an entry lies ahead; 0 when it is over. */
static uint64_t
entry_ahead(uint64_t entry, uint64_t now, uint64_t farthest)
{
	uint64_t ahead = (entry - now) & TIME_MASK;

	return ahead > farthest ? 0 : ahead;
}

/*
 * The entry of that fingerprint, or the one to replace.  *entry gets its
 * value, *ahead its TAT, 0 when it is another's.
 */
static _Atomic uint64_t *
set_find(struct set *set, uint64_t print, uint64_t now, uint64_t farthest,
    uint64_t *entry, uint64_t *ahead)
{
	_Atomic uint64_t *victim = NULL;
	uint64_t value, a, least = 0;
	int i;

	for (i = 0; i < SET_SIZE; i++) {
		value = atomic_load(&set->entries[i]);
		a = entry_ahead(value, now, farthest);
		if (value >> TIME_BITS == print) {
			*entry = value;
			*ahead = a;
			return &set->entries[i];
		}
		if (victim == NULL || a < least) {
			victim = &set->entries[i];
			least = a;
			*entry = value;
		}
	}
	*ahead = 0;
	return victim;
}

/* Where an address is counted, and what of time its limit needs. */
struct arrival {
	struct set *set;
	uint64_t print;
	uint64_t now; /* all in units */
	uint64_t interval;
	uint64_t tolerance;
	uint64_t farthest;
};

static void
arrival_init(struct arrival *a, struct shared *s, const uint8_t key[16],
    const struct shared_rate *rate, struct monotime mt)
{
	uint64_t period = rate->period_ms == 0 ? 1000 : rate->period_ms;
	uint64_t hash;

	a->interval =
	    (UNITS_PER_SEC / 1000 * period + rate->count / 2) / rate->count;
	if (a->interval == 0)
		a->interval = 1;
	a->tolerance = rate->burst > 1 ? (rate->burst - 1) * a->interval : 0;
	if (a->tolerance > BURST_MAX)
		a->tolerance = BURST_MAX;
	a->farthest = a->tolerance + a->interval + SKEW;
	a->now = (uint64_t)mt.us * UNITS_PER_US & TIME_MASK;
	hash = address_hash(s, key, (uint8_t)rate->kind);
	a->set = rate->kind == SHARED_RATE_FAILURES
		     ? &s->table->fail_sets[hash >> (64 - FAIL_SET_BITS)]
		     : &s->table->sets[hash >> (64 - SET_BITS)];
	a->print = hash & (UINT64_MAX >> TIME_BITS);
	if (a->print == 0)
		a->print = 1;
}

bool
shared_ip_allow(struct shared *s, const uint8_t key[16],
    const struct shared_rate *rate, struct monotime now)
{
	_Atomic uint64_t *place;
	uint64_t entry, ahead, next;
	struct arrival a;
	int i;

	if (rate->count == 0)
		return true;
	arrival_init(&a, s, key, rate, now);
	for (i = 0; i < SHARED_TRIES; i++) {
		place =
		    set_find(a.set, a.print, a.now, a.farthest, &entry, &ahead);
		if (ahead > a.tolerance)
			return false;
		next = (a.now + ahead + a.interval) & TIME_MASK;
		next |= a.print << TIME_BITS;
		if (atomic_compare_exchange_weak(place, &entry, next))
			return true;
	}
	return false;
}

bool
shared_ip_would_allow(struct shared *s, const uint8_t key[16],
    const struct shared_rate *rate, struct monotime now)
{
	uint64_t entry, ahead;
	struct arrival a;

	if (rate->count == 0)
		return true;
	arrival_init(&a, s, key, rate, now);
	set_find(a.set, a.print, a.now, a.farthest, &entry, &ahead);
	return ahead <= a.tolerance;
}

/* ---- what addresses hold ---- */

/* Hashes for holdings must not meet those for rates. */
#define HOLD_WHAT(hold) (0x80 | (uint8_t)(hold))

struct holding {
	uint32_t set;
	uint32_t print; /* shifted to its place, never 0 */
};

static void
holding_init(struct holding *h, struct shared *s, enum shared_hold hold,
    const uint8_t key[16])
{
	uint64_t hash = address_hash(s, key, HOLD_WHAT(hold));

	h->set = hash >> (64 - HOLD_SET_BITS);
	h->print = (uint32_t)hash & ~HOLD_MASK;
	if (h->print == 0)
		h->print = HOLD_MASK + 1;
}

/*
 * The entry of the address in a slot's table, or NULL; free_entry, unless it
 * is NULL, gets one that is free.
 */
static _Atomic uint32_t *
holding_find(struct shared *s, const struct holding *h, unsigned slot,
    _Atomic uint32_t **free_entry)
{
	struct hold_set *set = &s->table->holdings[slot].sets[h->set];
	uint32_t value;
	int i;

	for (i = 0; i < HOLD_SET_SIZE; i++) {
		value = atomic_load(&set->entries[i]);
		if ((value & HOLD_MASK) == 0) {
			if (free_entry != NULL)
				*free_entry = &set->entries[i];
		} else if ((value & ~HOLD_MASK) == h->print) {
			return &set->entries[i];
		}
	}
	return NULL;
}

static uint32_t
holding_total(struct shared *s, const struct holding *h)
{
	const _Atomic uint32_t *entry;
	uint32_t sum = 0;
	unsigned slot;

	for (slot = 0; slot < s->nslots; slot++) {
		if ((entry = holding_find(s, h, slot, NULL)) != NULL)
			sum += atomic_load(entry) & HOLD_MASK;
	}
	return sum;
}

/*
 * Add one to an entry of ours.  Nobody else writes there, so this needs no
 * compare and exchange.  False when it cannot count so many.
 */
static bool
holding_add(_Atomic uint32_t *entry, const struct holding *h)
{
	uint32_t value = atomic_load(entry);

	if ((value & HOLD_MASK) == HOLD_MASK)
		return false;
	if ((value & HOLD_MASK) == 0)
		atomic_store(entry, h->print | 1);
	else
		atomic_fetch_add(entry, 1);
	return true;
}

enum shared_held_result
shared_ip_take(struct shared *s, enum shared_hold hold, unsigned slot,
    const uint8_t key[16], uint32_t cap)
{
	_Atomic uint32_t *entry, *unused = NULL;
	struct holding h;
	int i;

	if (slot >= s->nslots)
		return SHARED_UNCOUNTED;
	holding_init(&h, s, hold, key);
	if ((entry = holding_find(s, &h, slot, &unused)) == NULL)
		entry = unused;
	if (entry == NULL)
		return SHARED_UNCOUNTED;
	/* Two that meet at the last place both step back, and try again. */
	for (i = 0; i < SHARED_TRIES; i++) {
		if (!holding_add(entry, &h))
			return SHARED_REFUSED;
		if (holding_total(s, &h) <= cap)
			return SHARED_HELD;
		atomic_fetch_sub(entry, 1);
		if (holding_total(s, &h) >= cap)
			return SHARED_REFUSED;
	}
	return SHARED_REFUSED;
}

void
shared_ip_give(struct shared *s, enum shared_hold hold, unsigned slot,
    const uint8_t key[16])
{
	_Atomic uint32_t *entry;
	struct holding h;

	if (slot >= s->nslots)
		return;
	holding_init(&h, s, hold, key);
	if ((entry = holding_find(s, &h, slot, NULL)) != NULL)
		atomic_fetch_sub(entry, 1);
}
