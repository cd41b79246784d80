//! The rules whose breach fails the test, each broken once.

mod rig;

use rig::*;
use ringline_ring::{FileIndex, Kernel, Op, PinnedBytes, ProvidedBuffer, Wait};
use ringline_sim::loopback;

#[test]
#[should_panic(expected = "seed 77")]
fn a_failed_check_names_the_seed() {
    Rig::new(77).wait();
}

#[test]
#[should_panic(expected = "hang: a wait for ever that nothing can end; in flight: [receive Tag(1:0#2)]")]
fn a_wait_that_nothing_can_end_is_a_hang() {
    let mut rig = Rig::new(1);
    let _peer = rig.receiving(1, 8, false);
    rig.wait();
}

#[test]
#[should_panic(expected = "buffer 0 of group 7 was provided while the kernel owns it")]
fn a_buffer_has_one_owner() {
    let mut rig = Rig::new(1);
    rig.kernel.create_buffer_group(GROUP, 2, false).unwrap();
    let mut memory = [0; 16];
    for half in 0..2 {
        let address = memory.as_mut_ptr().wrapping_add(half * 8);
        // SAFETY: the memory outlives the kernel's use: the second call panics.
        unsafe { rig.kernel.provide_buffers(GROUP, &[ProvidedBuffer { id: 0, address, len: 8 }]) };
    }
}

#[test]
#[should_panic(expected = "was provided before its completion was reaped")]
fn a_buffer_in_a_completion_is_not_the_runtimes_yet() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 8, false);
    peer.write(b"x");
    rig.kernel.enter(Wait::Poll).unwrap();
    rig.provide(0);
}

#[test]
#[should_panic(expected = "buffer 2 is one more than the 2 entries of group 7")]
fn a_group_takes_no_more_buffers_than_it_has_entries() {
    let mut rig = Rig::new(1);
    rig.buffers(2, 8, false);
    rig.provide(2);
}

#[test]
#[should_panic(expected = "shares bytes with a buffer that the kernel owns")]
fn two_buffers_do_not_share_bytes() {
    let mut rig = Rig::new(1);
    let memory = Box::leak(Box::new([0_u8; 12]));
    rig.kernel.create_buffer_group(1, 1, false).unwrap();
    rig.kernel.create_buffer_group(2, 1, false).unwrap();
    for (group, from) in [(1, 0), (2, 4)] {
        let buffer = ProvidedBuffer { id: 0, address: memory.as_mut_ptr().wrapping_add(from), len: 8 };
        // SAFETY: the memory lives for ever.
        unsafe { rig.kernel.provide_buffers(group, &[buffer]) };
    }
}

#[test]
#[should_panic(expected = "provided to group 7, which does not exist")]
fn buffers_need_a_group() {
    Rig::new(1).provide(0);
}

#[test]
#[should_panic(expected = "buffer 1 of group 7 was written while the kernel owned it")]
fn a_lent_buffer_is_not_written() {
    let mut rig = Rig::new(1);
    rig.buffers(2, 8, false);
    rig.scribble(1, 5, 0);
    rig.kernel.check_buffers();
}

#[test]
#[should_panic(expected = "buffer 0 of group 7 was written while the kernel owned it")]
fn the_rest_of_an_incremental_buffer_is_not_written() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 8, true);
    peer.write(b"abc");
    rig.wait();
    rig.scribble(0, 3, b'd');
    peer.write(b"def");
    rig.wait();
}

#[test]
fn the_filled_part_of_an_incremental_buffer_is_the_runtimes() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 8, true);
    peer.write(b"abc");
    rig.wait();
    rig.scribble(0, 0, b'A');
    rig.kernel.check_buffers();
    peer.write(b"def");
    rig.wait();
    assert_eq!(rig.buffer(0, 0, 6), b"Abcdef");
}

#[test]
#[should_panic(expected = "changed before it was submitted")]
fn bytes_of_a_queued_send_are_not_written() {
    let mut rig = Rig::new(1);
    let _peer = rig.connection();
    let mut bytes = *b"hello";
    let address = bytes.as_mut_ptr();
    // SAFETY: the bytes are allocated until the call that panics.
    let pinned = unsafe { PinnedBytes::new(address, 5) };
    rig.push(Op::Send { file: CONNECTION, bytes: pinned }, SEND);
    // SAFETY: the array is alive; that it is lent is what the test is about.
    unsafe { address.write(b'J') };
    rig.poll();
}

#[test]
#[should_panic(expected = "which was never opened")]
fn a_file_is_opened_before_it_is_used() {
    Rig::new(1).submit(Op::PollWritable { file: FileIndex(9) }, POLL);
}

#[test]
#[should_panic(expected = "beyond the table")]
fn a_file_is_within_the_table() {
    Rig::new(1).submit(Op::PollWritable { file: FileIndex(1 << 20) }, POLL);
}

#[test]
#[should_panic(expected = "was opened while it is in use")]
fn a_file_is_closed_before_its_place_is_used_again() {
    let mut rig = Rig::new(1);
    rig.listen();
    let _ = rig.kernel.listen(LISTENER, loopback(0), &OPTIONS);
}

#[test]
#[should_panic(expected = "is a second receive on one stream")]
fn a_stream_has_one_receive() {
    let mut rig = Rig::new(1);
    let _peer = rig.receiving(1, 8, false);
    rig.submit(receive(), tag(60));
}

#[test]
#[should_panic(expected = "is the tag of another operation in flight")]
fn operations_in_flight_have_tags_of_their_own() {
    let mut rig = Rig::new(1);
    let _peer = rig.receiving(1, 8, false);
    rig.submit(Op::PollDoorbell, RECEIVE);
}

#[test]
#[should_panic(expected = "is no accepted socket, or was taken before")]
fn an_accepted_socket_is_taken_once() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.network.connect(address).unwrap();
    let accepted = rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT)[0].result as u32;
    let _first = rig.kernel.accepted(accepted);
    rig.kernel.accepted(accepted);
}

#[test]
fn buffer_groups_have_the_limits_of_the_kernel() {
    let mut rig = Rig::new(1);
    let errno = |result: std::io::Result<()>| result.unwrap_err().raw_os_error().unwrap();
    assert_eq!(errno(rig.kernel.create_buffer_group(1, 3, false)), libc::EINVAL);
    rig.kernel.create_buffer_group(1, 4, false).unwrap();
    assert_eq!(errno(rig.kernel.create_buffer_group(1, 4, false)), libc::EEXIST);
    let plain = ringline_sim::RingOptions { incremental_buffers: false, ..Default::default() };
    let mut old = ringline_sim::SimKernel::new(&rig.network, plain);
    assert!(!old.incremental_buffers());
    assert_eq!(errno(old.create_buffer_group(1, 4, true)), libc::EINVAL);
}
