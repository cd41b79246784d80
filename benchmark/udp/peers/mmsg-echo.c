// The UDP echo in C: up to 64 datagrams per system call in each direction. It is the limit of what readiness without
// io_uring can do.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, DATAGRAM_BYTES = 65536, SOCKET_BUFFER_BYTES = 4 << 20 };

static char bytes[BATCH][DATAGRAM_BYTES];
static struct sockaddr_in peers[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int bind_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  int room = SOCKET_BUFFER_BYTES;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, length) < 0) fail("bind");
  if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) fail("getsockname");
  printf("{\"port\":%d,\"pid\":%d}\n", ntohs(address.sin_port), getpid());
  fflush(stdout);
  return fd;
}

int main(void) {
  int fd = bind_loopback();
  for (int i = 0; i < BATCH; i++) {
    vectors[i].iov_base = bytes[i];
    messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
  }
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      vectors[i].iov_len = DATAGRAM_BYTES;
      messages[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0) {
      if (errno == EINTR || errno == ECONNREFUSED) continue;
      fail("recvmmsg");
    }
    for (int i = 0; i < count; i++) vectors[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < count;) {
      int taken = sendmmsg(fd, messages + sent, count - sent, 0);
      if (taken > 0) sent += taken;
      else if (errno == ECONNREFUSED) sent++;
      else if (errno != EINTR) fail("sendmmsg");
    }
  }
}
