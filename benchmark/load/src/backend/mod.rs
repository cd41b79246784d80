//! Moves the bytes: one thread, one ring, multishot receive into provided buffers, one `io_uring_enter` per batch. It does
//! what [`Connection`] and [`Measurement`] say and decides nothing about content or timing.

mod buffers;

use std::error::Error;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

use io_uring::squeue::Flags;
use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use crate::arrivals::Arrivals;
use crate::connection::Connection;
use crate::measurement::Measurement;
use crate::options::Options;
use crate::stream::CHUNK_BYTES_MAX;
use buffers::Buffers;

const SUBMISSIONS: u32 = 4096;
const COMPLETIONS: u32 = 16384;
/// How often a loop that waits for completions looks at the clock all the same.
const TICK_NS: u32 = 20_000_000;
static TICK: Timespec = Timespec::new().nsec(TICK_NS);
const STALL_NS_MAX: u64 = 10_000_000_000;

const RECEIVE: u64 = 0;
const SEND: u64 = 1 << 32;
const TICKED: u64 = 2 << 32;

/// Runs the load to its end: warm-up, window, and drain until every response has come.
pub(crate) fn run(
    options: &Options,
    sockets: &[TcpStream],
    connections: Vec<Connection>,
    measurement: &mut Measurement,
) -> Result<(), Box<dyn Error>> {
    // Declared before the ring, so that they are freed after it.
    let mut buffers = Buffers::new();
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .build(SUBMISSIONS)
        .map_err(|error| format!("io_uring is not available to the load generator: {error}"))?;
    let (mut submitter, submissions, completions) = ring.split();
    let descriptors: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    submitter.register_files(&descriptors)?;
    // Only saves the kernel a look-up per call; kernels without it work as well.
    let _ = submitter.register_ring_fd();
    // SAFETY: `buffers` is declared before `ring`, so it is dropped after it.
    unsafe { buffers.register(&submitter)? };

    let unsettled = if options.rate.is_some() { 0 } else { connections.len() };
    let mut load = Load {
        options,
        submitter,
        submissions,
        buffers: &mut buffers,
        sends: vec![Send { in_flight: 0, due: false }; connections.len()],
        due: Vec::with_capacity(connections.len()),
        unsettled,
        connections,
        measurement,
        arrivals: None,
        began: Instant::now(),
        last_progress_ns: 0,
        // With one message in flight, the response proves that the send has ended: its completion can be spared.
        send_ends_with_response: options.rate.is_none()
            && !options.verify_random
            && options.pipeline == 1
            && options.size_bytes <= CHUNK_BYTES_MAX as u64,
    };
    load.start()?;
    load.turn_until_settled(completions)
}

#[derive(Clone, Copy)]
struct Send {
    /// Bytes named by the send that the kernel is working on; 0 when there is none. One at a time keeps them in order.
    in_flight: u32,
    /// Whether the connection is in the list of those that have something to send.
    due: bool,
}

struct Load<'a> {
    options: &'a Options,
    submitter: Submitter<'a>,
    submissions: SubmissionQueue<'a>,
    buffers: &'a mut Buffers,
    connections: Vec<Connection>,
    sends: Vec<Send>,
    due: Vec<usize>,
    /// Connections that still wait for responses; the run is over when the drain has brought this to 0.
    unsettled: usize,
    measurement: &'a mut Measurement,
    arrivals: Option<Arrivals>,
    began: Instant,
    last_progress_ns: u64,
    send_ends_with_response: bool,
}

impl Load<'_> {
    fn start(&mut self) -> io::Result<()> {
        for id in 0..self.connections.len() {
            self.push(receive(id))?;
        }
        let now_ns = self.now_ns();
        match self.options.rate {
            Some(rate) => self.arrivals = Some(Arrivals::new(rate, self.connections.len(), now_ns)),
            None => {
                self.push(tick())?;
                for id in 0..self.connections.len() {
                    (0..self.options.pipeline).for_each(|_| self.connections[id].request(now_ns));
                    self.mark_due(id);
                }
            }
        }
        Ok(())
    }

    fn turn_until_settled(&mut self, mut completions: CompletionQueue<'_>) -> Result<(), Box<dyn Error>> {
        loop {
            self.push_sends()?;
            self.submissions.sync();
            self.wait()?;
            let now_ns = self.now_ns();
            let may_request = self.measurement.advance(now_ns);
            completions.sync();
            for completion in &mut completions {
                self.on_completion(&completion, now_ns, may_request)?;
            }
            self.buffers.publish();
            if may_request {
                self.request_arrivals();
            } else if self.unsettled == 0 {
                return Ok(());
            }
            if now_ns > self.last_progress_ns + STALL_NS_MAX && self.unsettled > 0 {
                return Err(format!("{} connections had no response for 10 s", self.unsettled).into());
            }
        }
    }

    /// Submits what was pushed and blocks until something completes or, at a rate, until the next request is due.
    fn wait(&self) -> io::Result<()> {
        let result = match &self.arrivals {
            None => self.submitter.submit_and_wait(1),
            Some(arrivals) => {
                let wait_ns = arrivals.next_ns().saturating_sub(self.now_ns()).min(u64::from(TICK_NS));
                let timeout = Timespec::new().nsec(wait_ns as u32);
                self.submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Time is up, a signal came, or completions must be reaped first: all of them end the wait.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    #[inline]
    fn on_completion(&mut self, entry: &cqueue::Entry, now_ns: u64, may_request: bool) -> Result<(), Box<dyn Error>> {
        let id = (entry.user_data() & u64::from(u32::MAX)) as usize;
        match entry.user_data() & !u64::from(u32::MAX) {
            RECEIVE => self.on_receive(id, entry, now_ns, may_request),
            SEND => self.on_send(id, entry.result()),
            _ => Ok(self.push(tick())?),
        }
    }

    #[inline]
    fn on_receive(
        &mut self,
        id: usize,
        entry: &cqueue::Entry,
        now_ns: u64,
        may_request: bool,
    ) -> Result<(), Box<dyn Error>> {
        let result = entry.result();
        if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
            // SAFETY: both come from this completion, and the buffer is given back only below.
            let bytes = unsafe { self.buffers.filled(buffer, result.max(0) as usize) };
            let completed = self.connections[id].receive(bytes, now_ns, &mut self.measurement.tally)?;
            self.buffers.give_back(buffer);
            self.last_progress_ns = now_ns;
            self.on_responses(id, completed, now_ns, may_request);
        }
        match result {
            0 => return Err(format!("the server closed connection {id}").into()),
            _ if result < 0 && ![-libc::ENOBUFS, -libc::EINTR, -libc::EAGAIN].contains(&result) => {
                return Err(format!("connection {id}: {}", io::Error::from_raw_os_error(-result)).into());
            }
            _ => {}
        }
        if !cqueue::more(entry.flags()) {
            self.push(receive(id))?;
        }
        Ok(())
    }

    #[inline]
    fn on_responses(&mut self, id: usize, completed: usize, now_ns: u64, may_request: bool) {
        if completed == 0 {
            return;
        }
        if may_request && self.arrivals.is_none() {
            (0..completed).for_each(|_| self.connections[id].request(now_ns));
            self.mark_due(id);
        } else if self.connections[id].is_settled() {
            self.unsettled -= 1;
        }
    }

    fn on_send(&mut self, id: usize, result: i32) -> Result<(), Box<dyn Error>> {
        if result <= 0 && ![-libc::EINTR, -libc::EAGAIN].contains(&result) {
            return Err(format!("connection {id}: {}", io::Error::from_raw_os_error(-result)).into());
        }
        if self.send_ends_with_response {
            return Err(format!("connection {id}: only {result} bytes were sent").into());
        }
        self.sends[id].in_flight = 0;
        self.connections[id].sent(result.max(0) as usize);
        self.mark_due(id);
        Ok(())
    }

    /// At a rate: makes the requests whose time has come.
    fn request_arrivals(&mut self) {
        if self.arrivals.is_none() {
            return;
        }
        let now_ns = self.now_ns();
        while let Some((id, intended_ns)) = self.arrivals.as_mut().and_then(|arrivals| arrivals.take_due(now_ns)) {
            if self.connections[id].is_settled() {
                if self.unsettled == 0 {
                    self.last_progress_ns = now_ns;
                }
                self.unsettled += 1;
            }
            self.connections[id].request(intended_ns);
            self.mark_due(id);
        }
    }

    fn mark_due(&mut self, id: usize) {
        if !self.sends[id].due {
            self.sends[id].due = true;
            self.due.push(id);
        }
    }

    fn push_sends(&mut self) -> io::Result<()> {
        while let Some(id) = self.due.pop() {
            self.sends[id].due = false;
            let bytes = self.connections[id].unsent();
            if bytes.is_empty() || self.sends[id].in_flight > 0 {
                continue;
            }
            let send = opcode::Send::new(Fixed(id as u32), bytes.as_ptr(), bytes.len() as u32)
                .flags(libc::MSG_WAITALL)
                .build()
                .user_data(SEND | id as u64);
            if self.send_ends_with_response {
                self.connections[id].sent(bytes.len());
                self.push(send.flags(Flags::SKIP_SUCCESS))?;
            } else {
                self.sends[id].in_flight = bytes.len() as u32;
                self.push(send)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: the entries name fixed files, the registered buffer group, and bytes of the stream or a constant, all of
        // which live as long as the ring.
        while unsafe { self.submissions.push(&entry) }.is_err() {
            self.submissions.sync();
            self.submitter.submit()?;
            self.submissions.sync();
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

fn receive(id: usize) -> squeue::Entry {
    opcode::RecvMulti::new(Fixed(id as u32), buffers::GROUP).build().user_data(RECEIVE | id as u64)
}

fn tick() -> squeue::Entry {
    opcode::Timeout::new(&TICK).build().user_data(TICKED)
}
