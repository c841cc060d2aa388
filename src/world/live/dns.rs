//! stub
use super::Shared;
use crate::core::probe::DnsProbe;
use crate::core::reading::Failure;
use crate::core::value::Value;
pub(super) async fn measure(_: &Shared, _: &DnsProbe, _: std::time::Duration) -> Result<Value, Failure> {
    Err(Failure::new("stub"))
}
