//! The `cloudwatch` probe.

#[cfg(feature = "aws")]
mod probe;
#[cfg(not(feature = "aws"))]
mod without;
