//! What a worker has done, as its environment sees it. The worker stores its counters once per round; JavaScript may read them at any
//! time, on its own thread, and gets each as it was at the end of some round.

use std::sync::atomic::{AtomicU64, Ordering};

use napi_derive::napi;
use ringline::driver::Metrics;

/// Declares the counters: those of the driver, under their own names, and how often JavaScript was called.
macro_rules! counters {
    ($($name:ident),*) => {
        /// What a worker has done since it started. Each of these numbers is exact up to 2^53.
        #[napi(object)]
        pub struct WorkerMetrics { $(pub $name: f64,)* pub batches: f64 }

        /// The counters of one worker, beyond its thread.
        #[derive(Default)]
        pub(crate) struct SharedMetrics { $($name: AtomicU64,)* batches: AtomicU64 }

        impl SharedMetrics {
            /// Shows what the driver has done. Only its own thread calls this.
            #[inline]
            pub(crate) fn store(&self, driver: &Metrics) {
                $(self.$name.store(driver.$name, Ordering::Relaxed);)*
            }

            /// JavaScript is called. As above.
            #[inline]
            pub(crate) fn count_batch(&self) {
                self.batches.store(self.batches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }

            /// What was shown last.
            pub(crate) fn load(&self) -> WorkerMetrics {
                WorkerMetrics {
                    $($name: self.$name.load(Ordering::Relaxed) as f64,)*
                    batches: self.batches.load(Ordering::Relaxed) as f64,
                }
            }
        }
    };
}

counters! {
    enters, completions, doorbells, chunks, bytes_received, sends, zero_copy_sends, zero_copy_copied, bytes_sent, buffer_shortages,
    accepted, refused, accept_errors, datagrams_received, datagrams_sent, datagram_errors, fixed_transfers, stale_completions
}
