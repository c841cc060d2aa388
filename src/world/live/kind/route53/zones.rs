//! What this cockpit knows of hosted zones: who asks for them, and what it does to them itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::own::OwnChanges;
use crate::core::ids::TargetId;

/// All hosted zones of the plan.
#[derive(Default)]
pub(in crate::world::live) struct HostedZones {
    own: Mutex<BTreeMap<TargetId, Arc<OwnChanges>>>,
}

impl HostedZones {
    /// What this cockpit does to a zone.
    pub(super) fn own(&self, target: &TargetId) -> Arc<OwnChanges> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(own.entry(target.clone()).or_default())
    }
}
