//! stub
use super::{Reporter, Shared};
use crate::core::action::DnsUpdate;
use crate::core::job::Outcome;
pub(super) async fn run(_: &Shared, _: &DnsUpdate, _: &Reporter, _: tokio::sync::watch::Receiver<bool>) -> Outcome {
    Outcome::Failed { what: String::new() }
}
