//! A ring that has lost a completion: nobody knows what became of some operation, so nothing goes on as if it had ended well.

use std::io;

use ringline::driver::ConnToken;
use ringline_ring::Wait;
use ringline_sim::{Fault, Network, Peer};

use crate::rig::Rig;
use crate::setup::settings;

/// Two connections, and what is sent to them is told late or at once.
fn rig(awaits_sent: bool) -> (Rig, [(Peer, ConnToken); 2]) {
    let mut rig = Rig::new(settings(4));
    rig.ledger.awaits_sent = awaits_sent;
    let connections = [rig.accept(), rig.accept()];
    (rig, connections)
}

fn errno(outcome: io::Result<ringline::driver::Turn>) -> Option<i32> {
    outcome.map(|turn| turn.more).unwrap_err().raw_os_error()
}

#[test]
fn d10_a_lost_completion_ends_the_turn_with_ebadr_and_every_later_one() {
    let (mut rig, [(peer, _), _]) = rig(true);
    rig.network.inject(Fault::LostCompletion);
    peer.write(b"the completion of this is lost");
    for wait in [Wait::Forever, Wait::AtMost(1_000_000), Wait::Poll, Wait::Forever] {
        assert_eq!(errno(rig.driver.turn(&mut rig.ledger, wait)), Some(libc::EBADR), "{wait:?}");
    }
    assert!(rig.ledger.take_events().is_empty(), "nothing is told of what nobody knows");
}

#[test]
fn d10_a_silent_send_that_may_have_failed_is_not_told_as_sent_when_completions_are_lost() {
    for awaits_sent in [false, true] {
        let (mut rig, [(peer, first), (_, second)]) = rig(awaits_sent);
        // What tells that it was short is what is lost.
        rig.network.inject(Fault::ShortSend(3));
        rig.network.inject(Fault::LostCompletion);
        rig.send(first, b"0123456789");
        rig.send(second, b"whole");
        assert_eq!(errno(rig.driver.turn(&mut rig.ledger, Wait::Forever)), Some(libc::EBADR));
        assert_eq!((peer.unread(), rig.ledger.slots_out()), (3, 2));
        assert!(rig.ledger.take_events().is_empty());
    }
}

#[test]
fn d10_dropping_a_driver_whose_ring_has_lost_a_completion_closes_everything() {
    let (mut rig, [(peer, conn), (other, _)]) = rig(true);
    rig.network.inject(Fault::LostCompletion);
    rig.send(conn, b"out");
    peer.write(b"in");
    assert_eq!(errno(rig.driver.turn(&mut rig.ledger, Wait::Forever)), Some(libc::EBADR));
    let network: Network = rig.network.clone();
    drop(rig);
    assert_eq!(network.open_files(), Vec::<String>::new());
    for peer in [peer, other] {
        peer.read();
        assert!(peer.sees_end() || peer.sees_reset(), "the peer hears of the end");
    }
}
