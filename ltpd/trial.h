/*
 * Certificates and keys, judged without a node: ltpd -n.
 */
#ifndef TRIAL_H
#define TRIAL_H

struct conf;
struct tlsfiles;

#define TRIAL_ERROR_MAX 512

/*
 * Start an ltp-sign, have it look at them, and end it.  0, or -1 with the error
 * that a start of the node would give.
 */
int trial_of_tls(
    const struct conf *, struct tlsfiles *, char error[TRIAL_ERROR_MAX]);

#endif /* TRIAL_H */
