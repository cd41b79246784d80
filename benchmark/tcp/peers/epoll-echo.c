/*
 * The classic epoll echo server: one thread, level-triggered, one read and one write per event. It is the readiness
 * baseline of the benchmark. It may hold bytes only for a connection whose peer does not take them; such a connection
 * is not read from until its bytes are out, so memory is bounded by one buffer per connection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "listener.h"

#define BUFFER_BYTES (64 * 1024)
#define EVENTS_MAX 512
#define CONNECTIONS_MAX 65536

/* Bytes that a short write left behind; NULL for nearly every connection nearly always. */
struct backlog {
	char *bytes;
	size_t offset;
	size_t length;
};

static struct backlog backlogs[CONNECTIONS_MAX]; /* by descriptor */
static char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));
static int epoll_fd;

static void watch(int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	if (epoll_ctl(epoll_fd, operation, fd, &event) < 0)
		die("epoll_ctl");
}

static void close_connection(int fd)
{
	free(backlogs[fd].bytes);
	backlogs[fd] = (struct backlog){0};
	close(fd);
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
		if (fd >= CONNECTIONS_MAX)
			close(fd);
		else
			watch(EPOLL_CTL_ADD, fd, EPOLLIN);
	}
}

/* Returns how many bytes the kernel took, or -1 after the connection was closed. */
static ssize_t write_some(int fd, const char *bytes, size_t length)
{
	ssize_t sent;
	do
		sent = send(fd, bytes, length, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return 0;
	close_connection(fd);
	return -1;
}

static void hold_back(int fd, const char *bytes, size_t length)
{
	char *copy = malloc(length);
	if (!copy)
		die("malloc");
	memcpy(copy, bytes, length);
	backlogs[fd] = (struct backlog){.bytes = copy, .length = length};
	watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void write_backlog(int fd)
{
	struct backlog *backlog = &backlogs[fd];
	ssize_t sent = write_some(fd, backlog->bytes + backlog->offset, backlog->length - backlog->offset);
	if (sent < 0)
		return;
	backlog->offset += (size_t)sent;
	if (backlog->offset < backlog->length)
		return;
	free(backlog->bytes);
	*backlog = (struct backlog){0};
	watch(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void echo(int fd)
{
	ssize_t got = recv(fd, buffer, sizeof buffer, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		close_connection(fd);
		return;
	}
	ssize_t sent = write_some(fd, buffer, (size_t)got);
	if (sent >= 0 && sent < got)
		hold_back(fd, buffer + sent, (size_t)(got - sent));
}

int main(void)
{
	struct rlimit limit = {CONNECTIONS_MAX, CONNECTIONS_MAX};
	setrlimit(RLIMIT_NOFILE, &limit); /* Refused without privilege; the default limit then holds. */
	end_on_sigterm();
	int listener = listen_on_loopback(SOCK_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1");
	watch(EPOLL_CTL_ADD, listener, EPOLLIN);
	announce(listener);

	static struct epoll_event events[EVENTS_MAX];
	for (;;) {
		int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == listener)
				accept_all(listener);
			else if (backlogs[fd].bytes)
				write_backlog(fd);
			else
				echo(fd);
		}
	}
}
