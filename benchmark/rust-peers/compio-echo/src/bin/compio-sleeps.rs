//! Sleepers on compio's io_uring driver.

use std::sync::Arc;

use compio::time::sleep;
use sleeps::Round;

#[compio::main]
async fn main() {
    Round::announce();
    while let Some(round) = Round::next() {
        for _ in 0..round.sleepers() {
            compio::runtime::spawn(Arc::clone(&round).sleeper(sleep)).detach();
        }
        round.end(sleep).await;
    }
}
