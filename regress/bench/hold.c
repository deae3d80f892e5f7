/*
 * Hold: greet all connections, say so on standard output, and be silent until
 * standard input ends.  Whoever started it looks at the server meanwhile.
 */
#include <sys/epoll.h>

#include <err.h>
#include <stdio.h>
#include <unistd.h>

#include "conn.h"

void
hold_run(struct load *l)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };

	load_open_all(l);
	printf("held %u\n", l->connections);
	fflush(stdout);
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) == -1)
		err(1, "standard input");
	load_measure(l);
	while (!l->stopping)
		conn_wait(l, -1);
	load_measured(l);
}
