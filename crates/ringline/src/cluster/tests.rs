//! Clusters of workers that have no ring: who gets which socket, and who goes on when one ends.

use std::io;
use std::sync::Arc;

use super::{Cluster, Message};
use crate::Error;

#[test]
fn sockets_go_round() {
    let cluster = Cluster::new(3);
    let members: Vec<_> = (0..3).map(|index| cluster.member(index)).collect();
    let kept: Vec<u32> = (0..9).filter_map(|socket| members[0].route(socket)).collect();
    assert_eq!(kept, [0, 3, 6]);
    for (member, expected) in [(&members[1], [1, 4, 7]), (&members[2], [2, 5, 8])] {
        let mut messages = Vec::new();
        member.take(&mut messages);
        let sockets = messages.iter().map(|message| match message {
            Message::Socket(socket) => *socket,
            other => panic!("{other:?}"),
        });
        assert_eq!(sockets.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_worker_that_left_is_passed_over() {
    let cluster = Cluster::new(2);
    let first = cluster.member(0);
    drop(cluster.member(1));
    let kept: Vec<u32> = (0..4).filter_map(|socket| first.route(socket)).collect();
    assert_eq!(kept, [0, 1, 2, 3]);
}

#[test]
fn waiting_for_the_start_ends_when_a_worker_vanishes() {
    let cluster = Cluster::<u32>::new(2);
    let mut first = cluster.member(0);
    let second = cluster.member(1);
    first.ready();
    let waiter = std::thread::spawn({
        let cluster = Arc::clone(&cluster);
        move || cluster.wait_ready()
    });
    drop(second);
    assert!(matches!(waiter.join().unwrap(), Err(Error::HandlerPanicked { worker: 1 })));
}

#[test]
fn waiting_for_the_listener_ends_when_its_worker_vanishes() {
    let cluster = Cluster::<u32>::new(1);
    let member = cluster.member(0);
    let waiter = std::thread::spawn({
        let cluster = Arc::clone(&cluster);
        move || cluster.listen("127.0.0.1:0".parse().unwrap(), &|| {})
    });
    drop(member);
    assert_eq!(waiter.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
}

/// What a worker is told.
fn told(member: &super::Member<Arc<str>>) -> Vec<String> {
    let mut messages = Vec::new();
    member.take(&mut messages);
    messages.iter().map(|message| format!("{message:?}")).collect()
}

/// The members of a cluster whose first one listens, and the listener.
fn listening(workers: usize) -> (Vec<super::Member<Arc<str>>>, Arc<str>) {
    let cluster = Cluster::new(workers);
    let members: Vec<_> = (0..workers).map(|index| cluster.member(index)).collect();
    let (socket, address) = (Arc::<str>::from("listener"), "127.0.0.1:1".parse().unwrap());
    let waiter = std::thread::spawn({
        let cluster = Arc::clone(&cluster);
        move || cluster.listen(address, &|| {})
    });
    while !told(&members[0]).iter().any(|message| message.starts_with("Listen")) {
        std::thread::yield_now();
    }
    members[0].listening(Ok((Arc::clone(&socket), address)));
    assert_eq!(waiter.join().unwrap().unwrap(), address);
    (members, socket)
}

#[test]
fn the_listener_goes_to_the_next_worker_that_lives() {
    let (mut members, socket) = listening(4);
    members.remove(1);
    assert!(members.iter().all(|member| told(member).is_empty()), "who does not accept has nothing to hand on");
    members.remove(0);
    assert_eq!(told(&members[0]), ["TakeOver"]);
    let mut taken = Vec::new();
    members[1].take_over(|_| panic!("it is the other one's"));
    members[0].take_over(|listener| {
        taken.push(Arc::clone(listener));
        Ok(())
    });
    assert_eq!(taken, [Arc::clone(&socket)]);
    members.remove(0);
    assert_eq!(told(&members[0]), ["TakeOver"]);
    drop((members, taken));
    assert_eq!(Arc::strong_count(&socket), 1, "nobody is left, and the listener is closed");
}

#[test]
fn a_shutdown_closes_the_listener_and_nobody_takes_it_over() {
    let (mut members, socket) = listening(2);
    members[0].cluster().shutdown();
    assert_eq!(Arc::strong_count(&socket), 1);
    members.remove(0);
    assert!(told(&members[0]).is_empty());
    members[0].take_over(|_| panic!("there is no listener any more"));
    // An answer that comes too late keeps nothing open.
    members[0].listening(Ok((Arc::clone(&socket), "127.0.0.1:1".parse().unwrap())));
    assert_eq!(Arc::strong_count(&socket), 1);
}

#[test]
fn a_listener_that_cannot_be_taken_over_ends_the_cluster() {
    let (mut members, socket) = listening(2);
    members.remove(0);
    members[0].take_over(|_| Err(io::ErrorKind::OutOfMemory.into()));
    assert!(members[0].cluster().is_stopping());
    assert_eq!(Arc::strong_count(&socket), 1);
}
