//! A simulated kernel.
//!
//! [`SimKernel`] stands where the real ring stands, behind [`Kernel`](ringline_ring::Kernel), and behaves as Linux does:
//! completions come late, in an order that nobody promised, for past owners of a slot; sends are short; receives run out
//! of buffers; a close with a receive armed sends no FIN. The test plays the peers through a [`Network`], whose clock
//! moves only when the runtime waits.
//!
//! One seed names a run. The same seed and the same calls give the same run, so a failed property is replayed by its
//! seed, which every failed check of the simulator prints.
//!
//! The checks are for rules whose breach a real kernel would answer with silent damage: memory that is written while it
//! is lent, a buffer that is provided twice, a wait that nothing can end.
//!
//! ```
//! use ringline_ring::{Completion, FileIndex, Kernel, Op, SocketOptions, Tag, Wait};
//! use ringline_sim::{Network, RingOptions, SimKernel, loopback};
//!
//! let network = Network::new(1);
//! let mut kernel = SimKernel::new(&network, RingOptions::default());
//! let options = SocketOptions { nodelay: true, backlog: 16, reuse_port: false };
//! let address = kernel.listen(FileIndex(0), loopback(0), &options).unwrap().1;
//! kernel.push(Op::AcceptMultishot { listener: FileIndex(0) }, Tag::new(1, 0, 0)).unwrap();
//!
//! let peer = network.connect(address).unwrap();
//! kernel.enter(Wait::Forever).unwrap();
//! let mut completions = [Completion { tag: Tag::from_bits(0), result: 0, flags: 0 }; 8];
//! assert_eq!(kernel.reap(&mut completions), 1);
//! let socket = kernel.accepted(completions[0].result as u32);
//! kernel.adopt(FileIndex(1), &socket).unwrap();
//! assert_eq!(kernel.local_address(&socket), Some(address));
//! # drop(peer);
//! ```

mod buffers;
mod descriptor;
mod faults;
mod files;
mod issue;
mod kernel;
mod memory;
mod network;
mod peer;
mod perform;
mod queue;
mod random;
mod stream;
mod trace;
mod wait;
mod world;

pub use descriptor::SimSocket;
pub use faults::{Chance, Fault, Faults};
pub use kernel::{RingOptions, SimKernel};
pub use memory::POISON;
pub use network::{Network, NetworkOptions, Remote, loopback};
pub use peer::Peer;
