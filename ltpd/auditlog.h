/*
 * The supervisor's part of the audit log: it opens the file and reads the
 * signing key, passes both to ltp-audit, tells workers whether the log can
 * be written, and opens the next file when asked to.
 */
#ifndef AUDITLOG_H
#define AUDITLOG_H

#include "conf.h"
#include "msg.h"

struct auditlog;
struct chan;
struct child;
struct msg;
struct parent;

#define AUDITLOG_ERROR_MAX 512

/*
 * For a configuration with audit_log_file that is not wiped yet.  A key that
 * is in it is kept for when ltp-audit has to be started again; one in a file
 * is read each time.  NULL with a text in error.
 */
struct auditlog *
auditlog_new(const struct conf *, char error[AUDITLOG_ERROR_MAX]);
/* The key is wiped.  NULL is allowed. */
void auditlog_free(struct auditlog *);

/* Is the key file, if there is one, of use?  0, or -1 with a text. */
int auditlog_check_key(const struct conf *, char error[AUDITLOG_ERROR_MAX]);

/* Open the file (at first) and pass it to ltp-audit.  0 or -1, logged. */
int auditlog_equip(struct auditlog *, struct child *, const struct conf *);
/* The records of a configuration.  0, or -1, which is logged. */
int auditlog_send_conf(
    struct auditlog *, struct chan *, const struct conf *, uint32_t *records);

/* MSG_AUDIT_STATE; false when it cannot be true. */
bool auditlog_state(struct parent *, const struct msg *);
/* A worker was introduced to ltp-audit: may it make sessions? */
void auditlog_allow(struct parent *, struct child *worker);
/* ltp-audit is ready. */
void auditlog_ready(struct parent *);
/* ltp-audit has died. */
void auditlog_child_gone(struct auditlog *);
bool auditlog_writable(const struct auditlog *);
uint64_t auditlog_next(const struct auditlog *);

/*
 * The file was renamed: open a new one and have the chain carried on.  done
 * (NULL is allowed) is called when ltp-audit uses it, or does not.  Returns
 * 1 when that is to be waited for, 0 when the file is still the same, -1
 * with a text in error.
 */
int auditlog_reopen(struct parent *, void (*done)(const char *error, void *arg),
    void *arg, char error[AUDITLOG_ERROR_MAX]);
/* Forget who asked. */
void auditlog_forget(struct auditlog *, void *arg);

#endif /* AUDITLOG_H */
