//! stub
use super::Shared;
use crate::core::probe::Replication;
use crate::core::reading::Failure;
use crate::core::value::Value;
#[derive(Default)]
pub(super) struct Memory;
pub(super) async fn measure(_: &Shared, _: &Replication, _: &mut Memory) -> Result<Value, Failure> {
    Err(Failure::new("stub"))
}
