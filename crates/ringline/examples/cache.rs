//! A cache that speaks enough of the Redis protocol for GET and SET, on one worker. Values lie in registered memory and
//! are sent from there. `cargo run --release --example cache -- 127.0.0.1:6380`, then `redis-cli -p 6380`

use std::{cell::RefCell, collections::HashMap, future::Future, rc::Rc, sync::LazyLock};

use ringline::{
    AsyncEventHandler, Config, ConnCtx, Error, GuardBox, MemoryRegion, ParseResult, RegionId, RinglineBuilder,
};

const VALUE_BYTES_MAX: usize = 64 * 1024;
const VALUES_MAX: usize = 1024;
pub(crate) static ARENA: LazyLock<MemoryRegion> =
    LazyLock::new(|| MemoryRegion::allocate(VALUES_MAX * VALUE_BYTES_MAX).unwrap());

/// A place in the arena, and how many bytes it holds.
#[derive(Clone)]
struct Value(Rc<usize>, u32);

// SAFETY: a place is written before its value is shared, and again only when no value names it any more.
unsafe impl ringline::SendGuard for Value {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (ARENA.as_ptr().wrapping_add(*self.0), self.1)
    }
    fn region(&self) -> RegionId {
        RegionId::new(0)
    }
}

pub(crate) struct Cache(Rc<Store>);

struct Store {
    values: RefCell<HashMap<Vec<u8>, Value>>,
    /// A place is free when neither a key nor a send names it: when only this list does.
    places: Vec<Rc<usize>>,
}

impl Store {
    fn answer(&self, conn: ConnCtx, request: &[&[u8]]) -> Result<(), Error> {
        match request {
            [b"GET", key] => {
                let Some(value) = self.values.borrow().get(*key).cloned() else { return conn.send_nowait(b"$-1\r\n") };
                let (head, value) = (format!("${}\r\n", value.1), GuardBox::new(value));
                conn.send_parts().build(|parts| parts.copy(head.as_bytes()).guard(value).copy(b"\r\n"))
            }
            [b"SET", key, bytes] if bytes.len() <= VALUE_BYTES_MAX => {
                let free = self.places.iter().find(|place| Rc::strong_count(place) == 1).cloned();
                let Some(place) = free else { return conn.send_nowait(b"-ERR the cache is full\r\n") };
                // SAFETY: the place is free, so nobody reads or writes it, and it is long enough.
                unsafe { ARENA.as_ptr().add(*place).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
                self.values.borrow_mut().insert(key.to_vec(), Value(place, bytes.len() as u32));
                conn.send_nowait(b"+OK\r\n")
            }
            _ => conn.send_nowait(b"-ERR neither GET nor SET, or a value of more than 65536 bytes\r\n"),
        }
    }
}

/// The words of the first request, and what follows it; none when it is not complete.
fn parse(data: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, rest) = number(data)?;
    (0..count).try_fold((Vec::new(), rest), |(mut words, rest), _| {
        let (len, body) = number(rest)?;
        words.push(body.get(..len)?);
        Some((words, body.get(len + 2..)?))
    })
}

fn number(data: &[u8]) -> Option<(usize, &[u8])> {
    let end = data.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(data.get(1..end)?).ok()?.parse().ok()?, &data[end + 2..]))
}

impl AsyncEventHandler for Cache {
    fn create_for_worker(_worker: usize) -> Self {
        let places = (0..VALUES_MAX).map(|place| Rc::new(place * VALUE_BYTES_MAX)).collect();
        Cache(Rc::new(Store { values: RefCell::default(), places }))
    }

    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
        let store = Rc::clone(&self.0);
        async move {
            let serve = |data: &[u8]| {
                let Some((request, rest)) = parse(data) else { return ParseResult::NeedMore };
                store.answer(conn, &request).unwrap_or_else(|_| conn.close());
                ParseResult::Consumed(data.len() - rest.len())
            };
            while conn.with_data(serve).await > 0 {}
        }
    }
}

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).expect("an address to listen on").parse().expect("an address and a port");
    let config = Config::builder().workers(1).registered_regions(vec![ARENA.clone()]).build()?;
    let (_cache, workers) = RinglineBuilder::new(config).bind(address).launch::<Cache>()?;
    workers.into_iter().try_for_each(|worker| worker.join().expect("the worker does not panic"))
}
