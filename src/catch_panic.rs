//! Panics that end no more than the work they happen in.
//!
//! A bug of ours in a probe makes that probe fail instead of ending the cockpit. What runs here is guarded poll by
//! poll; the terminal's panic hook asks [`noted`] and then leaves the terminal alone.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Once;

use tracing::error;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Some work panicked. The text is the panic's own and may hold foreign bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

/// While this lives, a panic on this thread will be caught.
struct Catching;

impl Catching {
    fn begin() -> Self {
        DEPTH.set(DEPTH.get().saturating_add(1));
        Self
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// Runs `work`; its panic is an error.
///
/// # Errors
///
/// When it panicked. What it had changed meanwhile is half done and should be thrown away.
pub fn catch_panic_now<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let catching = Catching::begin();
    let done = catch_unwind(AssertUnwindSafe(work));
    drop(catching);
    done.map_err(|payload| panicked(payload.as_ref()))
}

/// Waits for `work`; its panic is an error, as with [`catch_panic_now`].
///
/// # Errors
///
/// When it panicked.
pub async fn catch_panic<F: Future>(work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_panic_now(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => std::task::Poll::Ready(Err(panicked)),
    })
    .await
}

/// From here on caught panics print nothing: their text may hold a secret, and whoever catches them reports them.
pub fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !noted(info) {
                // The panic's text may hold anything; the place in the source is harmless.
                error!(place = info.location().map(ToString::to_string), "a panic");
                previous(info);
            }
        }));
    });
}

/// For panic hooks: whether this panic will be caught here, in which case its place is remembered for the error.
pub fn noted(info: &PanicHookInfo<'_>) -> bool {
    if DEPTH.get() == 0 {
        return false;
    }
    PLACE.replace(info.location().map(ToString::to_string));
    true
}

fn panicked(payload: &(dyn Any + Send)) -> Panicked {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = PLACE.take().map_or_else(String::new, |place| format!(" at {place}"));
    Panicked(format!("{}{place}", text.unwrap_or("a panic without a message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_wherever_in_the_work_it_happens() {
        assert_eq!(catch_panic(async { 7 }).await, Ok(7));
        let late = catch_panic(async {
            tokio::task::yield_now().await;
            panic!("after {} yield", 1)
        });
        let Err(Panicked(text)) = late.await.map(|(): ()| ()) else { panic!("it was not caught") };
        assert!(text.starts_with("after 1 yield"), "{text}");
        assert_eq!(DEPTH.get(), 0, "other work on this thread is not covered");
    }

    #[tokio::test]
    async fn work_beside_contained_work_is_not_covered() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let waiting = tokio::spawn(catch_panic(receiver));
        tokio::task::yield_now().await;
        assert_eq!(DEPTH.get(), 0, "between its polls the thread belongs to others");
        sender.send(()).unwrap();
        assert!(matches!(waiting.await.unwrap(), Ok(Ok(()))));
    }
}
