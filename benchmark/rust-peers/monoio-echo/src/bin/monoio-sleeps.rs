//! Sleepers on monoio's io_uring driver.

use std::sync::Arc;

use monoio::time::sleep;
use sleeps::Round;

#[monoio::main(driver = "uring", timer_enabled = true)]
async fn main() {
    Round::announce();
    while let Some(round) = Round::next() {
        for _ in 0..round.sleepers() {
            monoio::spawn(Arc::clone(&round).sleeper(sleep));
        }
        round.end(sleep).await;
    }
}
