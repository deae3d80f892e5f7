/*
 * key: keys and key files.  No node is asked.
 */
#ifndef KEY_H
#define KEY_H

struct ltpctl;

/* The verbs.  Each returns the exit status. */
int key_generate_run(struct ltpctl *);
int key_list_run(struct ltpctl *);
/* what of the verb is the enum keyedit_op. */
int key_edit_run(struct ltpctl *);

#endif /* KEY_H */
