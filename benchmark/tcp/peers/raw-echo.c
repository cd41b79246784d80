/*
 * The limit: the least an io_uring echo server can do, on the raw system calls. One ring, one thread, multishot accept
 * and receive into provided buffers, fixed files, and one io_uring_enter per batch. A received buffer is sent as it lies
 * and returned to the kernel when the send has completed: no byte is copied in user space.
 *
 * It may take no short cut that a correct server cannot: bytes leave in order (one send in flight per connection, the rest
 * queued behind it), short sends go on where they stopped, a connection whose peer does not read stops receiving, and a
 * descriptor is closed only when no operation names it any more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "listener.h"

#ifndef IORING_SETUP_NO_SQARRAY /* Linux 6.6; older headers lack it */
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

enum {
	SUBMISSIONS = 4096,
	COMPLETIONS = 16384,
	CONNECTIONS_MAX = 16384,
	BUFFER_BYTES = 64 * 1024,
	BUFFERS_MAX = 1024, /* a power of two: the size of the buffer ring */
	BUFFERS_AT_START = 16,
	QUEUE_HIGH_WATER = 8, /* buffers queued at one connection before it stops receiving */
	BUFFER_GROUP = 0,
	NONE = 0xffff,
};

/*
 * Buffers lie one odd number of cache lines more than 64 KiB apart. At exactly 64 KiB the first lines of all of them would
 * fall into the same few sets of every cache, and small messages use nothing but first lines.
 */
#define BUFFER_STRIDE (BUFFER_BYTES + 5 * 64)

enum kind { ACCEPT, RECEIVE, SEND, CANCEL, CLOSE };

struct connection {
	uint16_t head, tail; /* received buffers not yet echoed; the head is the one being sent */
	uint16_t queued;
	bool receiving; /* a multishot receive is armed */
	bool cancelling;
	bool starved; /* waits in `starved_connections` for a buffer */
	bool ended;   /* nothing more will be received: end of stream, or an error */
	bool failed;  /* nothing more can be sent */
};

struct buffer {
	uint32_t offset, length; /* what is still to be sent of it */
	uint16_t next;
};

static struct connection connections[CONNECTIONS_MAX];
static struct buffer buffers[BUFFERS_MAX];
static char *buffer_memory;
static struct io_uring_buf_ring *buffer_ring;
static uint16_t buffer_ring_tail;

/*
 * The kernel takes provided buffers in turn, so all that are in its ring take part in the rotation and in the cache's
 * working set. Only as many are handed out as the traffic was seen to need.
 */
static uint16_t buffers_in_use;
static uint16_t buffers_in_ring;

static uint16_t starved_connections[CONNECTIONS_MAX];
static uint16_t starved_count;

static int listener;
static int ring_fd;
static unsigned enter_flags;
static unsigned *sq_head, *sq_tail, sq_tail_local, sq_tail_submitted;
static struct io_uring_sqe *sqes;
static unsigned *cq_head, *cq_tail;
static struct io_uring_cqe *cqes;

static int enter(unsigned wait_for, unsigned flags)
{
	unsigned count = sq_tail_local - sq_tail_submitted;
	__atomic_store_n(sq_tail, sq_tail_local, __ATOMIC_RELEASE);
	int taken = (int)syscall(__NR_io_uring_enter, ring_fd, count, wait_for, enter_flags | flags, NULL, 0);
	if (taken >= 0)
		sq_tail_submitted += (unsigned)taken;
	else if (errno != EINTR && errno != EBUSY && errno != EAGAIN)
		die("io_uring_enter");
	return taken;
}

static inline struct io_uring_sqe *submission(enum kind kind, unsigned slot)
{
	while (sq_tail_local - __atomic_load_n(sq_head, __ATOMIC_ACQUIRE) == SUBMISSIONS)
		enter(0, 0);
	struct io_uring_sqe *sqe = &sqes[sq_tail_local++ & (SUBMISSIONS - 1)];
	memset(sqe, 0, sizeof *sqe);
	sqe->user_data = (uint64_t)kind << 32 | slot;
	return sqe;
}

static void submit_accept(void)
{
	struct io_uring_sqe *sqe = submission(ACCEPT, 0);
	sqe->opcode = IORING_OP_ACCEPT;
	sqe->fd = listener;
	sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	sqe->file_index = IORING_FILE_INDEX_ALLOC;
}

static void submit_receive(unsigned slot)
{
	struct io_uring_sqe *sqe = submission(RECEIVE, slot);
	sqe->opcode = IORING_OP_RECV;
	sqe->fd = (int)slot;
	sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
	sqe->ioprio = IORING_RECV_MULTISHOT;
	sqe->buf_group = BUFFER_GROUP;
	connections[slot].receiving = true;
}

/* MSG_WAITALL lets the kernel go on by itself after a short send. */
static inline void submit_send(unsigned slot)
{
	unsigned id = connections[slot].head;
	struct io_uring_sqe *sqe = submission(SEND, slot);
	sqe->opcode = IORING_OP_SEND;
	sqe->fd = (int)slot;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->addr = (uintptr_t)(buffer_memory + (size_t)id * BUFFER_STRIDE + buffers[id].offset);
	sqe->len = buffers[id].length;
	sqe->msg_flags = MSG_WAITALL;
}

static void submit_cancel(unsigned slot)
{
	struct io_uring_sqe *sqe = submission(CANCEL, slot);
	sqe->opcode = IORING_OP_ASYNC_CANCEL;
	sqe->addr = (uint64_t)RECEIVE << 32 | slot;
	connections[slot].cancelling = true;
}

static void submit_close(unsigned slot)
{
	struct io_uring_sqe *sqe = submission(CLOSE, slot);
	sqe->opcode = IORING_OP_CLOSE;
	sqe->file_index = slot + 1;
}

/* Visible to the kernel only when `publish_buffers` has run. */
static inline void return_buffer(unsigned id)
{
	struct io_uring_buf *entry = &buffer_ring->bufs[buffer_ring_tail++ & (BUFFERS_MAX - 1)];
	entry->addr = (uintptr_t)(buffer_memory + (size_t)id * BUFFER_STRIDE);
	entry->len = BUFFER_BYTES;
	entry->bid = (uint16_t)id;
	buffers_in_ring++;
}

static inline void publish_buffers(void)
{
	__atomic_store_n(&buffer_ring->tail, buffer_ring_tail, __ATOMIC_RELEASE);
}

static void bring_in_buffers(unsigned wanted)
{
	while (buffers_in_use < BUFFERS_MAX && wanted-- > 0)
		return_buffer(buffers_in_use++);
}

/* Brings the connection to what it should be doing now; called whenever something about it has changed. */
static void settle(unsigned slot)
{
	struct connection *connection = &connections[slot];
	if (connection->failed || connection->queued >= QUEUE_HIGH_WATER) {
		if (connection->receiving && !connection->cancelling)
			submit_cancel(slot);
	}
	if (connection->receiving || connection->cancelling || connection->queued > 0)
		return;
	if (connection->ended || connection->failed) {
		if (!connection->starved) {
			*connection = (struct connection){0};
			submit_close(slot);
		}
	} else if (!connection->starved) {
		if (buffers_in_ring > 0) {
			submit_receive(slot);
		} else {
			connection->starved = true;
			starved_connections[starved_count++] = (uint16_t)slot;
		}
	}
}

static void wake_starved(void)
{
	while (starved_count > 0 && buffers_in_ring > 0) {
		unsigned slot = starved_connections[--starved_count];
		connections[slot].starved = false;
		settle(slot);
	}
}

static void on_accept(const struct io_uring_cqe *cqe)
{
	if (!(cqe->flags & IORING_CQE_F_MORE))
		submit_accept();
	if (cqe->res >= 0)
		submit_receive((unsigned)cqe->res);
}

static inline void on_receive(unsigned slot, const struct io_uring_cqe *cqe)
{
	struct connection *connection = &connections[slot];
	bool more = cqe->flags & IORING_CQE_F_MORE;
	connection->receiving = more;
	if (cqe->flags & IORING_CQE_F_BUFFER) {
		uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		buffers_in_ring--;
		if (cqe->res <= 0 || connection->failed) {
			return_buffer(id);
		} else {
			buffers[id] = (struct buffer){.length = (uint32_t)cqe->res, .next = NONE};
			if (connection->queued++ == 0) {
				connection->head = connection->tail = id;
				submit_send(slot);
			} else {
				buffers[connection->tail].next = id;
				connection->tail = id;
			}
		}
	}
	if (cqe->res == -ENOBUFS)
		bring_in_buffers(buffers_in_use); /* twice as many */
	else if (cqe->res == 0 || (cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -EINTR && cqe->res != -EAGAIN))
		connection->ended = true;
	if (!more || connection->queued >= QUEUE_HIGH_WATER)
		settle(slot);
}

static void drop_queue(struct connection *connection)
{
	while (connection->queued > 0) {
		uint16_t id = connection->head;
		connection->head = buffers[id].next;
		connection->queued--;
		return_buffer(id);
	}
}

static inline void on_send(unsigned slot, int result)
{
	struct connection *connection = &connections[slot];
	uint16_t id = connection->head;
	if (result <= 0 && result != -EINTR && result != -EAGAIN) {
		connection->failed = true;
		drop_queue(connection);
		settle(slot);
		return;
	}
	if (result > 0) {
		buffers[id].offset += (uint32_t)result;
		buffers[id].length -= (uint32_t)result;
	}
	if (buffers[id].length > 0) {
		submit_send(slot);
		return;
	}
	connection->head = buffers[id].next;
	return_buffer(id);
	if (--connection->queued > 0)
		submit_send(slot);
	else if (!connection->receiving)
		settle(slot);
}

static void on_cancel(unsigned slot)
{
	connections[slot].cancelling = false;
	settle(slot);
}

static void reap(void)
{
	unsigned head = *cq_head;
	unsigned tail = __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE);
	for (; head != tail; head++) {
		const struct io_uring_cqe *cqe = &cqes[head & (COMPLETIONS - 1)];
		unsigned slot = (unsigned)cqe->user_data;
		switch ((enum kind)(cqe->user_data >> 32)) {
		case ACCEPT: on_accept(cqe); break;
		case RECEIVE: on_receive(slot, cqe); break;
		case SEND: on_send(slot, cqe->res); break;
		case CANCEL: on_cancel(slot); break;
		case CLOSE: break;
		}
	}
	__atomic_store_n(cq_head, head, __ATOMIC_RELEASE);
}

static int set_up_ring(struct io_uring_params *params, unsigned optional_flags)
{
	*params = (struct io_uring_params){
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
			 IORING_SETUP_CQSIZE | optional_flags,
		.cq_entries = COMPLETIONS,
	};
	return (int)syscall(__NR_io_uring_setup, SUBMISSIONS, params);
}

static int register_with_ring(unsigned opcode, void *argument, unsigned count)
{
	return (int)syscall(__NR_io_uring_register, ring_fd, opcode, argument, count);
}

static void map_ring(const struct io_uring_params *params)
{
	size_t sq_bytes = params->sq_off.array + SUBMISSIONS * sizeof(unsigned);
	size_t cq_bytes = params->cq_off.cqes + COMPLETIONS * sizeof(struct io_uring_cqe);
	size_t bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
	int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
	char *rings = mmap(NULL, bytes, protection, flags, ring_fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, SUBMISSIONS * sizeof *sqes, protection, flags, ring_fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || sqes == MAP_FAILED)
		die("mmap of the ring");
	sq_head = (unsigned *)(rings + params->sq_off.head);
	sq_tail = (unsigned *)(rings + params->sq_off.tail);
	cq_head = (unsigned *)(rings + params->cq_off.head);
	cq_tail = (unsigned *)(rings + params->cq_off.tail);
	cqes = (struct io_uring_cqe *)(rings + params->cq_off.cqes);
	if (!(params->flags & IORING_SETUP_NO_SQARRAY)) {
		unsigned *array = (unsigned *)(rings + params->sq_off.array);
		for (unsigned i = 0; i < SUBMISSIONS; i++)
			array[i] = i;
	}
}

static void create_ring(void)
{
	struct io_uring_params params;
	ring_fd = set_up_ring(&params, IORING_SETUP_NO_SQARRAY);
	if (ring_fd < 0 && errno == EINVAL)
		ring_fd = set_up_ring(&params, 0);
	if (ring_fd < 0)
		die("io_uring_setup");
	map_ring(&params);
	struct io_uring_rsrc_register files = {.nr = CONNECTIONS_MAX, .flags = IORING_RSRC_REGISTER_SPARSE};
	if (register_with_ring(IORING_REGISTER_FILES2, &files, sizeof files) < 0)
		die("IORING_REGISTER_FILES2");
}

static void create_buffers(void)
{
	int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	size_t bytes = (size_t)BUFFERS_MAX * BUFFER_STRIDE;
	buffer_memory = mmap(NULL, bytes, protection, flags, -1, 0);
	buffer_ring = mmap(NULL, BUFFERS_MAX * sizeof(struct io_uring_buf), protection, flags, -1, 0);
	if (buffer_memory == MAP_FAILED || buffer_ring == MAP_FAILED)
		die("mmap of the buffers");
	madvise(buffer_memory, bytes, MADV_HUGEPAGE); /* only a hint */
	struct io_uring_buf_reg registration = {
		.ring_addr = (uintptr_t)buffer_ring, .ring_entries = BUFFERS_MAX, .bgid = BUFFER_GROUP};
	if (register_with_ring(IORING_REGISTER_PBUF_RING, &registration, 1) < 0)
		die("IORING_REGISTER_PBUF_RING");
	bring_in_buffers(BUFFERS_AT_START);
	publish_buffers();
}

/* Entering through a registered descriptor spares the kernel a look-up per call. */
static void register_ring_descriptor(void)
{
	struct io_uring_rsrc_update update = {.offset = -1U, .data = (uint64_t)ring_fd};
	if (register_with_ring(IORING_REGISTER_RING_FDS, &update, 1) == 1) {
		ring_fd = (int)update.offset;
		enter_flags = IORING_ENTER_REGISTERED_RING;
	}
}

int main(void)
{
	end_on_sigterm();
	listener = listen_on_loopback(0);
	create_ring();
	create_buffers();
	register_ring_descriptor();
	submit_accept();
	announce(listener);
	for (;;) {
		enter(1, IORING_ENTER_GETEVENTS);
		reap();
		wake_starved();
		publish_buffers();
	}
}
