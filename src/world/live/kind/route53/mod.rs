//! The `route53` probe and the `route53.change` action.

#[cfg(feature = "aws")]
mod action;
#[cfg(feature = "aws")]
mod own;
#[cfg(feature = "aws")]
mod probe;
#[cfg(feature = "aws")]
mod sets;
#[cfg(not(feature = "aws"))]
mod without;
#[cfg(feature = "aws")]
mod zones;

#[cfg(feature = "aws")]
pub(in crate::world::live) use zones::HostedZones;
