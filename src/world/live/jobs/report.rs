//! What a job reports while it runs.

use std::sync::{Arc, Mutex, PoisonError};

use crate::core::ids::TargetId;
use crate::core::job::{JobKey, Stream};
use crate::core::server::ServerIdentity;
use crate::world::WorldEvent;
use crate::world::live::secrets::mask::Masker;
use crate::world::live::{Shared, foreign};

/// Where a job's lines go.
pub(in crate::world::live) struct Reporter {
    shared: Option<Arc<Shared>>,
    key: Option<JobKey>,
    masker: Masker,
    last_words: Mutex<String>,
}

impl Reporter {
    pub(in crate::world::live) fn new(shared: &Arc<Shared>, key: &JobKey) -> Self {
        Self {
            shared: Some(Arc::clone(shared)),
            key: Some(key.clone()),
            masker: Masker::default(),
            last_words: Mutex::default(),
        }
    }

    /// One that only listens.
    pub(in crate::world::live) fn silent(shared: &Shared) -> Self {
        Self { shared: None, key: None, masker: shared.secrets.masker(), last_words: Mutex::default() }
    }

    /// Foreign text made harmless.
    pub(in crate::world::live) fn tell(&self, text: &str) -> String {
        match &self.shared {
            Some(shared) => shared.secrets.tell(text),
            None => foreign::clean(&self.masker.mask(text)),
        }
    }

    /// A line of the action itself.
    pub(in crate::world::live) fn line(&self, text: &str) {
        let told = self.tell(text);
        self.told(Stream::Out, told);
    }

    /// Reports a line that is clean already.
    pub(in crate::world::live) fn told(&self, stream: Stream, line: String) {
        if let (Some(shared), Some(key)) = (&self.shared, &self.key) {
            shared.outbox.line(key, stream, line);
        }
    }

    /// Reports the server that this action has met first behind a target.
    pub(in crate::world::live) fn met(&self, target: &TargetId, identity: &ServerIdentity) {
        if let Some(shared) = &self.shared {
            shared.outbox.verdict(WorldEvent::Met { target: target.clone(), identity: identity.clone() });
        }
    }

    pub(in crate::world::live) fn dropped(&self, lines: u64) {
        if let (Some(shared), Some(key)) = (&self.shared, &self.key) {
            shared.outbox.dropped(key, lines);
        }
    }

    pub(in crate::world::live) fn keep_last_words(&self, words: String) {
        *self.last_words.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    pub(in crate::world::live) fn last_words(&self) -> String {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
