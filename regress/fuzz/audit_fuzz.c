/*
 * The audit log: lines taken apart, a file taken over, a chain verified, and
 * records of a worker made into lines.  Nobody guesses a hash, so on demand
 * the lines of the input are mended first: index, hashes, "env".
 */
#include <sys/resource.h>

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "ledger.h"

#include "ltpctl/canon.h"
#include "ltpctl/ltpctl.h"
#include "ltpctl/trace.h"

enum flag {
	FLAG_RECORD = 1 << 0, /* the input is a record, not a file */
	FLAG_MEND = 1 << 1,
	FLAG_KEY = 1 << 2, /* sign, and verify with the public key */
	FLAG_JSON = 1 << 3,
	FLAG_KEEP = 1 << 4, /* mended lines keep their index */
	FLAG_WRONG_KEY = 1 << 5,
	FLAG_KEY_FILE = 1 << 6, /* the first line names the keys */
	FLAG_FULL = 1 << 7, /* the disk, after half a line */
};

static const uint8_t seed[CHAIN_SEED_SIZE] = { 1, 2, 3 };
static char failure[1024];

int
ltpctl_fail(struct ltpctl *ctl, const char *fmt, ...)
{
	va_list ap;

	(void)ctl;
	va_start(ap, fmt);
	vsnprintf(failure, sizeof(failure), fmt, ap);
	va_end(ap);
	FUZZ_ASSERT(failure[0] != '\0');
	return LTPCTL_FAILED;
}

/* ---- lines ---- */

/* What is taken apart is what was there. */
static bool
check_line(const char *text, size_t len, struct chain_line *l)
{
	char out[CHAIN_LINE_MAX], env[CHAIN_ENV_MAX];
	size_t at, n;

	if (!chain_parse(text, len, l))
		return false;
	FUZZ_ASSERT(chain_print(out, l) == len + 1);
	FUZZ_ASSERT(memcmp(out, text, len) == 0 && out[len] == '\n');
	FUZZ_ASSERT(chain_print_env(env, l) <= sizeof(env));
	if (canon_check(l->frame, l->frame_len, &at, &n) == NULL)
		FUZZ_ASSERT(at + n <= l->frame_len);
	return true;
}

/*
 * The line as a record, appended to the chain.  What its frame had as "env"
 * makes room for the right one, if that is canonical; else it goes in front.
 */
static size_t
mend_line(struct chain *ch, const struct chain_line *l, char *out)
{
	struct msg_audit_record r = { .timestamp_ms = l->timestamp_ms,
		.direction = l->direction,
		.session_id_len = (uint8_t)l->session_id_len };
	size_t at, n;

	if (canon_check(l->frame, l->frame_len, &at, &n) != NULL || n == 0) {
		at = 1;
		n = 0;
	}
	r.before_len = (uint16_t)at;
	r.after_len = (uint16_t)(l->frame_len - at - n);
	if (!chain_accepts(&r, l->session_id, l->frame, l->frame + at + n))
		return 0;
	return chain_append(
	    ch, out, &r, l->session_id, l->frame, l->frame + at + n);
}

/* Every line of the text, mended where it can be, into *out. */
static size_t
mend(const char *text, size_t len, unsigned flags, char **out)
{
	const char *end = text + len, *nl;
	struct chain_line l;
	struct chain chain;
	size_t n = 0, made, used;

	FUZZ_ASSERT(chain_init(&chain) == 0);
	if ((flags & FLAG_KEY) != 0) {
		FUZZ_ASSERT(chain_set_key(&chain, seed) == 0);
		chain.sign_every = 2;
	}
	/* No line is shorter, nor grows by more. */
	*out = malloc(2 * len + (len / 128 + 2) * (CHAIN_ENV_MAX + 512));
	FUZZ_ASSERT(*out != NULL);
	for (; text < end; text += used) {
		nl = memchr(text, '\n', (size_t)(end - text));
		used = (size_t)((nl == NULL ? end : nl + 1) - text);
		made = 0;
		if (nl != NULL && check_line(text, used - 1, &l)) {
			if ((flags & FLAG_KEEP) != 0)
				chain.next = l.i;
			made = mend_line(&chain, &l, *out + n);
		}
		if (made == 0 && used < CHAIN_LINE_MAX)
			memcpy(*out + n, text, made = used);
		n += made;
	}
	chain_free(&chain);
	return n;
}

/* ---- files ---- */

/* A file of public keys, to be unlinked.  Returns its name. */
static const char *
write_keys(char *template, const char *text)
{
	int fd = mkstemp(template);

	FUZZ_ASSERT(fd != -1);
	FUZZ_ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	return template;
}

/* ltpctl trace verify, or head.  Returns its status. */
static int
verify(const char *path, unsigned flags, const char *keys,
    int (*run)(struct ltpctl *))
{
	char *args[] = { NULL, NULL }, *text, wrong[CHAIN_PUBLIC_LEN + 1];
	char key_file[] = "/tmp/ltpd-fuzz.XXXXXXXXXX";
	struct ltpctl ctl = {
		.args = args, .nargs = 1, .json = (flags & FLAG_JSON) != 0
	};
	static struct chain chain; /* of which only the key is of use */
	size_t len;
	int rv;

	if (chain.key == NULL)
		FUZZ_ASSERT(chain_init(&chain) == 0 &&
			    chain_set_key(&chain, seed) == 0);
	FUZZ_ASSERT((args[0] = strdup(path)) != NULL);
	memset(wrong, '5', sizeof(wrong));
	if (keys != NULL)
		ctl.public_key = write_keys(key_file, keys);
	else if ((flags & FLAG_WRONG_KEY) != 0)
		ctl.public_key = wrong;
	else if ((flags & FLAG_KEY) != 0)
		ctl.public_key = chain.public_key;
	wrong[CHAIN_PUBLIC_LEN] = '\0';
	FUZZ_ASSERT((ctl.to.fp = open_memstream(&text, &len)) != NULL);
	rv = run(&ctl);
	if (keys != NULL)
		unlink(key_file);
	fclose(ctl.to.fp);
	FUZZ_ASSERT(fuzz_is_printable(text, len, true));
	free(args[0]);
	free(text);
	return rv;
}

/*
 * The disk is full in the middle of a line: it is cut off, and written again
 * when there is room.
 */
static void
fill_disk(struct ledger *l, const struct msg_audit_record *r,
    const char *before, const char *after)
{
	off_t end = lseek(l->fd, 0, SEEK_END);
	struct rlimit was, full;
	size_t waiting;

	FUZZ_ASSERT(getrlimit(RLIMIT_FSIZE, &was) == 0);
	FUZZ_ASSERT(ledger_add(l, r, "9", before, after) == 0);
	waiting = l->len;
	FUZZ_ASSERT(ledger_add(l, r, "9", before, after) == 0);
	full = was;
	full.rlim_cur = (rlim_t)end + waiting + 5;
	signal(SIGXFSZ, SIG_IGN);
	FUZZ_ASSERT(setrlimit(RLIMIT_FSIZE, &full) == 0);
	FUZZ_ASSERT(ledger_write(l) == -1 && !l->writable);
	FUZZ_ASSERT(setrlimit(RLIMIT_FSIZE, &was) == 0);
	FUZZ_ASSERT(lseek(l->fd, 0, SEEK_END) == end + (off_t)waiting);
	FUZZ_ASSERT(ledger_write(l) == 0 && l->writable && l->lines == 2);
}

/* The file was renamed: the chain goes on in another one. */
static void
go_on(struct ledger *l, const struct msg_audit_record *r, const char *before,
    const char *after)
{
	char why[LEDGER_ERROR_MAX], path[] = "/tmp/ltpd-fuzz.XXXXXXXXXX";
	int fd = mkstemp(path), again;

	FUZZ_ASSERT(fd != -1 && (again = dup(l->fd)) != -1);
	unlink(path);
	/* The same file again ends where the chain does. */
	FUZZ_ASSERT(ledger_continue(l, again, why) == 0);
	FUZZ_ASSERT(ledger_add(l, r, "9", before, after) == 0);
	FUZZ_ASSERT((again = dup(l->fd)) != -1);
	FUZZ_ASSERT(ledger_continue(l, fd, why) == 0);
	FUZZ_ASSERT(ledger_write(l) == 0);
	/* The old one does so no more. */
	FUZZ_ASSERT(ledger_continue(l, again, why) == -1);
	close(again);
}

/* Taken over by ltp-audit, which adds a line. */
static void
take_over(int fd, unsigned flags)
{
	static const char before[] = "{", after[] = "\"v\":\"0.1\"}";
	struct msg_audit_record r = { .timestamp_ms = 1,
		.direction = AUDIT_OUT,
		.session_id_len = 1,
		.before_len = sizeof(before) - 1,
		.after_len = sizeof(after) - 1 };
	char why[LEDGER_ERROR_MAX];
	struct ledger l;
	int own = dup(fd);

	FUZZ_ASSERT(own != -1 && ledger_init(&l) == 0);
	if (ledger_open(&l, own, why) == -1) {
		FUZZ_ASSERT(why[0] != '\0');
		close(own);
	} else {
		/* As if it were open for appending. */
		FUZZ_ASSERT(lseek(own, 0, SEEK_END) != -1);
		if ((flags & FLAG_FULL) != 0)
			fill_disk(&l, &r, before, after);
		if ((flags & FLAG_KEY) != 0) {
			FUZZ_ASSERT(chain_set_key(&l.chain, seed) == 0);
			l.chain.sign_every = 1;
		}
		FUZZ_ASSERT(ledger_add(&l, &r, "9", before, after) == 0);
		FUZZ_ASSERT(ledger_write(&l) == 0 && ledger_sync(&l) == 0);
		FUZZ_ASSERT(l.lines > 0 && l.len == 0);
		go_on(&l, &r, before, after);
		close(l.fd);
	}
	free(l.buf);
	chain_free(&l.chain);
}

/* What is no file, or cannot be changed. */
static void
no_file(unsigned flags)
{
	static const char *const paths[] = { "/nonexistent", "/" };
	char why[LEDGER_ERROR_MAX];
	struct ledger l;
	const char *path;
	size_t i;
	int fd;

	FUZZ_ASSERT(ledger_init(&l) == 0);
	for (i = 0; i < 2; i++) {
		FUZZ_ASSERT(verify(paths[i], flags, NULL, trace_verify_run) ==
			    LTPCTL_FAILED);
		FUZZ_ASSERT(verify(paths[i], flags, NULL, trace_head_run) ==
			    LTPCTL_FAILED);
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		FUZZ_ASSERT(ledger_open(&l, fd, why) == -1);
		if (fd != -1)
			close(fd);
	}
	fuzz_file("torn", 4, &path);
	FUZZ_ASSERT((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1);
	FUZZ_ASSERT(ledger_open(&l, fd, why) == -1);
	close(fd);
	chain_free(&l.chain);
}

static void
file_input(const char *text, size_t len, unsigned flags, const char *keys)
{
	const char *path;
	int fd, good, head;

	if (len == 0)
		no_file(flags);
	fd = fuzz_file(text, len, &path);
	good = verify(path, flags, keys, trace_verify_run);
	head = verify(path, flags, keys, trace_head_run);
	if (good == LTPCTL_OK && len > 0)
		FUZZ_ASSERT(head == LTPCTL_OK);
	take_over(fd, flags);
	/* What was whole is whole with a line more. */
	if (good == LTPCTL_OK && (flags & FLAG_WRONG_KEY) == 0 && keys == NULL)
		FUZZ_ASSERT(
		    verify(path, flags, NULL, trace_verify_run) == LTPCTL_OK);
}

/* ---- records ---- */

/* A record that a worker sends: what is accepted makes a line. */
static void
record_input(struct fuzz *f, unsigned flags)
{
	static const char none[] = "";
	struct msg_audit_record r;
	const char *id, *before, *after;
	char out[CHAIN_LINE_MAX];
	struct chain chain;
	struct chain_line l;
	size_t n[3], len;

	if (fuzz_read(f, &r, sizeof(r)) < sizeof(r))
		return;
	id = (const char *)fuzz_bytes(f, r.session_id_len, &n[0]);
	before = (const char *)fuzz_bytes(f, r.before_len, &n[1]);
	after = (const char *)fuzz_bytes(f, r.after_len, &n[2]);
	r.session_id_len = (uint8_t)n[0];
	r.before_len = (uint16_t)n[1];
	r.after_len = (uint16_t)n[2];
	if (!chain_accepts(&r, id != NULL ? id : none, before, after))
		return;
	FUZZ_ASSERT(chain_init(&chain) == 0);
	if ((flags & FLAG_KEY) != 0) {
		FUZZ_ASSERT(chain_set_key(&chain, seed) == 0);
		chain.sign_every = 1;
	}
	len = chain_append(&chain, out, &r, id, before, after);
	FUZZ_ASSERT(len > 0 && len <= sizeof(out));
	FUZZ_ASSERT(memchr(out, '\n', len) == out + len - 1);
	FUZZ_ASSERT(check_line(out, len - 1, &l));
	FUZZ_ASSERT(l.i == 0 && l.timestamp_ms == r.timestamp_ms);
	FUZZ_ASSERT(l.direction == r.direction);
	FUZZ_ASSERT(chain_check_hash(&chain, &l) == 1);
	if (l.signature != NULL)
		FUZZ_ASSERT(chain_check_signature(&chain, &l) == 1);
	FUZZ_ASSERT((l.signature != NULL) == ((flags & FLAG_KEY) != 0));
	chain_free(&chain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz f = { data, len };
	unsigned flags = fuzz_u8(&f);
	char *mended, *keys = NULL;
	size_t n;

	fuzz_quiet();
	if ((flags & FLAG_RECORD) == 0 && (flags & FLAG_KEY_FILE) != 0)
		keys = fuzz_text_until(&f, '\n');
	if ((flags & FLAG_RECORD) != 0) {
		record_input(&f, flags);
	} else if ((flags & FLAG_MEND) != 0) {
		n = mend((const char *)f.p, f.left, flags, &mended);
		file_input(mended, n, flags, keys);
		free(mended);
	} else {
		file_input((const char *)f.p, f.left, flags, keys);
	}
	free(keys);
	return 0;
}
