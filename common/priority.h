/*
 * When a process runs beside the others.  priority_linux.c says it to the
 * scheduler, priority_none.c has nobody to say it to.
 */
#ifndef PRIORITY_H
#define PRIORITY_H

/*
 * The work of this process can wait: to be woken is no reason to take the
 * processor from the one that does the waking.  It is not slower for that,
 * and finds more to do at once.
 */
void priority_batch(void);

#endif /* PRIORITY_H */
