//! What a measurement or an action waits for on this machine before it asks anybody: a secret, a file.
//!
//! When it is given up meanwhile, that is to blame and not the other side, which was never asked.

use std::cell::RefCell;

use tokio::time::{Instant, timeout_at};

tokio::task_local! {
    /// What the work of this task waits for, in words.
    static WAITED_FOR: RefCell<Option<String>>;
}

/// Work that was given up at its limit.
#[derive(Debug)]
pub(super) struct LimitPassed {
    /// What it waited for on this machine: the command of a secret, a file. `None` when it waited for the other side.
    pub(super) on: Option<String>,
}

/// Does `work` until `until` at the latest.
///
/// # Errors
///
/// It was given up, and says what it waited for.
pub(super) async fn within<T>(until: Instant, work: impl Future<Output = T>) -> Result<T, LimitPassed> {
    // Exchanges are large, and each layer of futures would hold a copy.
    let work = Box::pin(work);
    let waited = async {
        let done = timeout_at(until, work).await;
        done.map_err(|_| LimitPassed { on: WAITED_FOR.with(|what| what.borrow().clone()) })
    };
    WAITED_FOR.scope(RefCell::default(), waited).await
}

/// Does `work`, for which whoever called [`within`] waits under this name. A name that was given before is more to the point.
pub(super) async fn waiting_for<T>(what: impl FnOnce() -> String, work: impl Future<Output = T>) -> T {
    let is = |new: Option<String>| WAITED_FOR.try_with(|what| what.replace(new)).ok().flatten();
    let before = is(None);
    let named = before.is_none();
    is(before.or_else(|| Some(what())));
    let done = work.await;
    if named {
        is(None);
    }
    done
}
