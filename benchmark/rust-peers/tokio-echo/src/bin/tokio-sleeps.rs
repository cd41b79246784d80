//! Sleepers on tokio's current-thread runtime.

use std::sync::Arc;

use sleeps::Round;
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    Round::announce();
    while let Some(round) = Round::next() {
        for _ in 0..round.sleepers() {
            tokio::spawn(Arc::clone(&round).sleeper(sleep));
        }
        round.end(sleep).await;
    }
}
