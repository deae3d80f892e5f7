/* queue(3): lists and tail queues. */
#ifndef OPENBSD_SYS_QUEUE_H
#define OPENBSD_SYS_QUEUE_H

#include <stddef.h>

#define SLIST_HEAD(name, type)          \
	struct name {                   \
		struct type *slh_first; \
	}
#define SLIST_ENTRY(type)              \
	struct {                       \
		struct type *sle_next; \
	}
#define SLIST_FIRST(head)      ((head)->slh_first)
#define SLIST_NEXT(elm, field) ((elm)->field.sle_next)
#define SLIST_FOREACH(var, head, field)                \
	for ((var) = SLIST_FIRST(head); (var) != NULL; \
	     (var) = SLIST_NEXT(var, field))
#define SLIST_INIT(head)                  \
	do {                              \
		SLIST_FIRST(head) = NULL; \
	} while (0)
#define SLIST_INSERT_HEAD(head, elm, field)                \
	do {                                               \
		(elm)->field.sle_next = (head)->slh_first; \
		(head)->slh_first = (elm);                 \
	} while (0)
#define SLIST_REMOVE_HEAD(head, field)                                 \
	do {                                                           \
		(head)->slh_first = (head)->slh_first->field.sle_next; \
	} while (0)

#define LIST_HEAD(name, type)          \
	struct name {                  \
		struct type *lh_first; \
	}
#define LIST_ENTRY(type)               \
	struct {                       \
		struct type *le_next;  \
		struct type **le_prev; \
	}
#define LIST_FIRST(head)      ((head)->lh_first)
#define LIST_NEXT(elm, field) ((elm)->field.le_next)
#define LIST_FOREACH(var, head, field)                \
	for ((var) = LIST_FIRST(head); (var) != NULL; \
	     (var) = LIST_NEXT(var, field))
#define LIST_FOREACH_SAFE(var, head, field, tvar)                  \
	for ((var) = LIST_FIRST(head);                             \
	     (var) != NULL && ((tvar) = LIST_NEXT(var, field), 1); \
	     (var) = (tvar))
#define LIST_INIT(head)                  \
	do {                             \
		LIST_FIRST(head) = NULL; \
	} while (0)
#define LIST_INSERT_HEAD(head, elm, field)                             \
	do {                                                           \
		if (((elm)->field.le_next = (head)->lh_first) != NULL) \
			(head)->lh_first->field.le_prev =              \
			    &(elm)->field.le_next;                     \
		(head)->lh_first = (elm);                              \
		(elm)->field.le_prev = &(head)->lh_first;              \
	} while (0)
#define LIST_REMOVE(elm, field)                               \
	do {                                                  \
		if ((elm)->field.le_next != NULL)             \
			(elm)->field.le_next->field.le_prev = \
			    (elm)->field.le_prev;             \
		*(elm)->field.le_prev = (elm)->field.le_next; \
	} while (0)

#define TAILQ_HEAD(name, type)          \
	struct name {                   \
		struct type *tqh_first; \
		struct type **tqh_last; \
	}
#define TAILQ_ENTRY(type)               \
	struct {                        \
		struct type *tqe_next;  \
		struct type **tqe_prev; \
	}
#define TAILQ_FIRST(head)      ((head)->tqh_first)
#define TAILQ_NEXT(elm, field) ((elm)->field.tqe_next)
#define TAILQ_LAST(head, headname) \
	(*(((struct headname *)((head)->tqh_last))->tqh_last))
#define TAILQ_PREV(elm, headname, field) \
	(*(((struct headname *)((elm)->field.tqe_prev))->tqh_last))
#define TAILQ_EMPTY(head) (TAILQ_FIRST(head) == NULL)
#define TAILQ_FOREACH(var, head, field)                \
	for ((var) = TAILQ_FIRST(head); (var) != NULL; \
	     (var) = TAILQ_NEXT(var, field))
#define TAILQ_FOREACH_REVERSE(var, head, headname, field)       \
	for ((var) = TAILQ_LAST(head, headname); (var) != NULL; \
	     (var) = TAILQ_PREV(var, headname, field))
#define TAILQ_FOREACH_SAFE(var, head, field, tvar)                  \
	for ((var) = TAILQ_FIRST(head);                             \
	     (var) != NULL && ((tvar) = TAILQ_NEXT(var, field), 1); \
	     (var) = (tvar))
#define TAILQ_INIT(head)                               \
	do {                                           \
		(head)->tqh_first = NULL;              \
		(head)->tqh_last = &(head)->tqh_first; \
	} while (0)
#define TAILQ_INSERT_HEAD(head, elm, field)                              \
	do {                                                             \
		if (((elm)->field.tqe_next = (head)->tqh_first) != NULL) \
			(head)->tqh_first->field.tqe_prev =              \
			    &(elm)->field.tqe_next;                      \
		else                                                     \
			(head)->tqh_last = &(elm)->field.tqe_next;       \
		(head)->tqh_first = (elm);                               \
		(elm)->field.tqe_prev = &(head)->tqh_first;              \
	} while (0)
#define TAILQ_INSERT_AFTER(head, listelm, elm, field)                      \
	do {                                                               \
		if (((elm)->field.tqe_next = (listelm)->field.tqe_next) != \
		    NULL)                                                  \
			(elm)->field.tqe_next->field.tqe_prev =            \
			    &(elm)->field.tqe_next;                        \
		else                                                       \
			(head)->tqh_last = &(elm)->field.tqe_next;         \
		(listelm)->field.tqe_next = (elm);                         \
		(elm)->field.tqe_prev = &(listelm)->field.tqe_next;        \
	} while (0)
#define TAILQ_INSERT_TAIL(head, elm, field)                \
	do {                                               \
		(elm)->field.tqe_next = NULL;              \
		(elm)->field.tqe_prev = (head)->tqh_last;  \
		*(head)->tqh_last = (elm);                 \
		(head)->tqh_last = &(elm)->field.tqe_next; \
	} while (0)
#define TAILQ_REMOVE(head, elm, field)                            \
	do {                                                      \
		if ((elm)->field.tqe_next != NULL)                \
			(elm)->field.tqe_next->field.tqe_prev =   \
			    (elm)->field.tqe_prev;                \
		else                                              \
			(head)->tqh_last = (elm)->field.tqe_prev; \
		*(elm)->field.tqe_prev = (elm)->field.tqe_next;   \
	} while (0)

#endif /* OPENBSD_SYS_QUEUE_H */
