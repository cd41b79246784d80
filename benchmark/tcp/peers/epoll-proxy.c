/*
 * The classic epoll proxy: one thread, level-triggered, one read and one write per event, no splice. It is what `pipe` is
 * measured against. Every accepted connection is joined with one to the upstream, whose port is the argument; both
 * directions pass bytes and half-closes. It may hold bytes only for a connection that does not take them; its source is
 * then not read from until they are out, so memory is bounded by one buffer per direction.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "listener.h"

#define BUFFER_BYTES (64 * 1024)
#define EVENTS_MAX 512
#define CONNECTIONS_MAX 65536

/* One end of a proxied connection. What is read from its other end and finds no room here waits in `bytes`. */
struct end {
	struct end *other;
	int fd;
	uint32_t watched;
	bool finished; /* the peer's FIN has come */
	bool closed;   /* waits to be freed with the other end */
	char *bytes;
	size_t offset, length;
};

static char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));
static int epoll_fd;
static struct sockaddr_in upstream = {.sin_family = AF_INET};
/* Pairs that were closed: events of this batch may still name them. */
static struct end *closed_pairs[EVENTS_MAX];
static int closed_count;

static void watch(struct end *end)
{
	uint32_t wanted = (end->bytes ? EPOLLOUT : 0) | (end->finished || end->other->bytes ? 0 : EPOLLIN);
	if (wanted == end->watched)
		return;
	struct epoll_event event = {.events = wanted, .data.ptr = end};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, end->fd, &event) < 0)
		die("epoll_ctl");
	end->watched = wanted;
}

static void close_pair(struct end *end)
{
	if (end->closed)
		return;
	struct end *ends[] = {end, end->other};
	for (int i = 0; i < 2; i++) {
		ends[i]->closed = true;
		close(ends[i]->fd);
		free(ends[i]->bytes);
	}
	closed_pairs[closed_count++] = end;
}

static struct end *new_end(int fd)
{
	struct end *end = calloc(1, sizeof *end);
	if (!end)
		die("calloc");
	end->fd = fd;
	end->watched = EPOLLIN;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	return end;
}

static int connect_upstream(void)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (struct sockaddr *)&upstream, sizeof upstream) < 0)
		die("connect to the upstream");
	return fd;
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			if (errno != EAGAIN)
				perror("accept4");
			return;
		}
		struct end *client = new_end(fd), *server = new_end(connect_upstream());
		client->other = server;
		server->other = client;
	}
}

/* Returns how many bytes the kernel took, or -1 after the pair was closed. */
static ssize_t write_some(struct end *end, const char *bytes, size_t length)
{
	ssize_t sent;
	do
		sent = send(end->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return 0;
	close_pair(end);
	return -1;
}

/* The source of what goes to `end` has finished, and everything before is out. */
static void pass_end(struct end *end)
{
	shutdown(end->fd, SHUT_WR);
	if (end->finished && !end->other->bytes)
		close_pair(end);
}

static void write_held(struct end *end)
{
	ssize_t sent = write_some(end, end->bytes + end->offset, end->length - end->offset);
	if (sent < 0)
		return;
	end->offset += (size_t)sent;
	if (end->offset < end->length)
		return;
	free(end->bytes);
	end->bytes = NULL;
	watch(end);
	watch(end->other);
	if (end->other->finished)
		pass_end(end);
}

static void pass(struct end *from)
{
	struct end *to = from->other;
	ssize_t got = recv(from->fd, buffer, sizeof buffer, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		close_pair(from);
		return;
	}
	if (got == 0) {
		from->finished = true;
		watch(from);
		pass_end(to);
		return;
	}
	ssize_t sent = write_some(to, buffer, (size_t)got);
	if (sent < 0 || sent == got)
		return;
	to->length = (size_t)(got - sent);
	to->offset = 0;
	to->bytes = malloc(to->length);
	if (!to->bytes)
		die("malloc");
	memcpy(to->bytes, buffer + sent, to->length);
	watch(to);
	watch(from);
}

int main(int count, char **arguments)
{
	if (count != 2) {
		fprintf(stderr, "usage: epoll-proxy PORT, of the upstream on 127.0.0.1\n");
		return 2;
	}
	upstream.sin_port = htons((uint16_t)atoi(arguments[1]));
	upstream.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	struct rlimit limit = {CONNECTIONS_MAX, CONNECTIONS_MAX};
	setrlimit(RLIMIT_NOFILE, &limit); /* Refused without privilege; the default limit then holds. */
	end_on_sigterm();
	int listener = listen_on_loopback(SOCK_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1");
	struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &accepting) < 0)
		die("epoll_ctl");
	announce(listener);

	static struct epoll_event events[EVENTS_MAX];
	for (;;) {
		int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
		if (ready < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < ready; i++) {
			struct end *end = events[i].data.ptr;
			if (!end)
				accept_all(listener);
			else if (end->closed)
				continue;
			else if (events[i].events & EPOLLOUT)
				write_held(end);
			else
				pass(end);
		}
		while (closed_count > 0) {
			struct end *end = closed_pairs[--closed_count];
			free(end->other);
			free(end);
		}
	}
}
