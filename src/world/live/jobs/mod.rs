//! Jobs under way: what they print, how they are stopped, and the processes that outlive a cockpit: the shim that keeps a
//! command running, and the keeper that ends what only the cockpit waited for.

use tokio::sync::watch;

pub mod keeper;
pub(in crate::world::live) mod outbox;
mod report;
pub mod shim;
pub(in crate::world::live) mod spool;
pub(in crate::world::live) mod tail;
pub(in crate::world::live) mod unwatched;

pub(in crate::world::live) use report::Reporter;

/// Ends when the job is asked to stop; never ends when nobody can ask any more.
pub(in crate::world::live) async fn wait_for_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|asked| *asked).await.is_err() {
        std::future::pending::<()>().await;
    }
}
