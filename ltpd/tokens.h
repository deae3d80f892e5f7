/*
 * The tokens of the remote listener, as digests: of a setting, a variable or
 * a file, and of the file with those that are still good during a rollover.
 */
#ifndef TOKENS_H
#define TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "conf.h"
#include "digest.h"
#include "msg.h"

struct chan;

struct token {
	uint8_t digest[DIGEST_SIZE]; /* of the whole of it, "[id:]secret" */
	enum key_source source;
	time_t loaded;
	uint16_t id_len; /* 0: it has no id */
	char id[LTP_ID_MAX];
};

struct tokens {
	bool shut; /* the file is bad, and nobody is let in */
	char *variable; /* that some of them came from, or NULL */
	size_t count;
	struct token *token;
};

#define TOKENS_ERROR_MAX  512
#define TOKENS_FILE_MAX   (64 * 1024) /* bytes */
#define TOKENS_SEPARATORS ",\r\n"

/*
 * Those that the configuration asks for; none when it asks for none.  What
 * was in a variable or in a text that is wiped now comes from old (may be
 * NULL).  NULL with a text in error that quotes none.
 */
struct tokens *tokens_read(const struct conf *, const struct tokens *old,
    char error[TOKENS_ERROR_MAX]);
/*
 * These are in force: what is in the environment of a variable that they came
 * from is wiped.  It stays as long as a reload may fail.
 */
void tokens_forget_variable(const struct tokens *);
void tokens_free(struct tokens *); /* NULL is allowed */
/* NULL with errno. */
struct tokens *tokens_copy(const struct tokens *);
/* The same tokens in the same order. */
bool tokens_equal(const struct tokens *, const struct tokens *);
/* A token that was in old already keeps the time when it was loaded. */
void tokens_keep_times(struct tokens *, const struct tokens *old);
/* MSG_CONF_TOKEN of each, unless they are shut.  0 or -1. */
int tokens_send(const struct tokens *, struct chan *, uint32_t *records);

/*
 * Add those of a text: separated by commas or ends of lines, each of
 * printable characters without blanks.  0, or -1 with a text in error.
 */
int tokens_parse(struct tokens *, const char *text, size_t len, enum key_source,
    char error[TOKENS_ERROR_MAX]);

#endif /* TOKENS_H */
