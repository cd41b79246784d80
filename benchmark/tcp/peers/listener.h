/*
 * The listening socket of the C peers, and the one line they say when it is open. It owns nothing
 * after that, and knows nothing of how a peer serves its connections.
 */
#ifndef RINGLINE_PEER_LISTENER_H
#define RINGLINE_PEER_LISTENER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_BACKLOG 4096

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Nothing a peer holds outlives its process, so ending at once is a clean end, and cannot race with a blocking call. */
static void end_process(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void end_on_sigterm(void)
{
	struct sigaction action = {.sa_handler = end_process};
	if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0)
		die("sigaction");
}

/* Accepted sockets inherit TCP_NODELAY from the listener, which saves a system call per connection. */
static int listen_on_loopback(int socket_flags)
{
	int one = 1;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | socket_flags, 0);
	if (fd < 0)
		die("socket");
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
		die("setsockopt TCP_NODELAY");
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("bind 127.0.0.1:0");
	if (listen(fd, LISTEN_BACKLOG) < 0)
		die("listen");
	return fd;
}

static void announce(int listener)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	if (getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		die("getsockname");
	printf("{\"port\":%d,\"pid\":%d}\n", ntohs(address.sin_port), (int)getpid());
	fflush(stdout);
}

#endif
