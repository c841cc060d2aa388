//! The `cloudwatch` probe and the `cloudwatch.silence` action.

#[cfg(feature = "aws")]
mod probe;
#[cfg(feature = "aws")]
mod silence;
#[cfg(feature = "aws")]
mod silenced;
#[cfg(not(feature = "aws"))]
mod without;
