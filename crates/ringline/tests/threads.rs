//! What must stay on its worker's thread and what may leave it, checked by the compiler.

use ringline::{
    ConnCtx, ConnToken, ConnectFuture, Deadline, DriverCtx, Error, RecvReadyFuture, SendFuture, ShutdownHandle,
    SleepFuture, TaskId, WithBytesFuture, WithDataFuture,
};

/// Compiles only if the type is not `Send`: otherwise both implementations apply, and the call is ambiguous.
macro_rules! assert_not_send {
    ($($type:ty),* $(,)?) => {
        $(const _: fn() = || {
            trait AmbiguousIfSend<Which> {
                fn check() {}
            }
            struct IsSend;
            impl<T: ?Sized> AmbiguousIfSend<()> for T {}
            impl<T: ?Sized + Send> AmbiguousIfSend<IsSend> for T {}
            <$type as AmbiguousIfSend<_>>::check();
        };)*
    };
}

assert_not_send!(
    ConnCtx,
    DriverCtx<'static>,
    TaskId,
    SendFuture,
    ConnectFuture,
    RecvReadyFuture,
    SleepFuture,
    WithDataFuture<fn(&[u8]) -> ringline::ParseResult>,
    WithBytesFuture<fn(bytes::Bytes) -> ringline::ParseResult>,
);

const fn assert_send_and_sync<T: Send + Sync>() {}

const _: () = {
    assert_send_and_sync::<ShutdownHandle>();
    assert_send_and_sync::<ConnToken>();
    assert_send_and_sync::<Deadline>();
    assert_send_and_sync::<Error>();
};

#[test]
fn a_connection_stays_on_its_workers_thread() {
    // The checks above are made by the compiler; this test says so in the list of tests.
    assert_eq!(size_of::<ConnCtx>(), size_of::<ConnToken>());
}
