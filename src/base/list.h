/* list.h - a doubly linked list whose links lie inside its members.
 *
 * A head names its link: `struct list idle; (worker.link)`. A member is in one
 * list per link, and leaves it in O(1) without knowing the head. */
#pragma once
#include "base/base.h"
#include <stdbool.h>

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_push_back(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void list_push_front(struct list *head, struct list *link)
{
	list_push_back(head->next, link);
}

/* Leaves the link initialised, so that removing twice is harmless. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

static inline struct list *list_pop_front(struct list *head)
{
	if (list_is_empty(head))
		return NULL;
	struct list *link = head->next;
	list_remove(link);
	return link;
}

/* The current member may leave the list in the body. */
#define list_each(it, head)                                         \
	for (struct list *it = (head)->next, *it##_next = it->next; \
	     it != (head); it = it##_next, it##_next = it->next)
