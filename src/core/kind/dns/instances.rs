//! Which instance of a server answers (NSID, RFC 5001), and whether another one has taken its place.

use crate::core::moves::TurnWatch;
use crate::core::time::At;

/// The instances that gave the newest answers of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct Instances(TurnWatch);

impl Instances {
    /// The instance that gave the newest answer of an earlier driver of the run; empty when it was not told.
    pub(super) fn after(instance: &str) -> Self {
        let mut of = Self::default();
        if !instance.is_empty() {
            // Since when does not matter: it is forgotten by when it ended.
            of.take(instance, At(0));
        }
        of
    }

    /// Takes in an answer of that instance, empty when it does not tell, to a question of that moment. Says in words when another one has taken the place
    /// of the one before. Where several take turns, one of them is no other.
    pub(super) fn take(&mut self, instance: &str, asked: At) -> Option<String> {
        let before = self.0.take(instance, asked)?;
        Some(match (before.as_str(), instance) {
            ("", now) => format!("instance {now}, which was not told before"),
            (before, "") => format!("its instance is not told any more; it was {before}"),
            (before, now) => format!("instance {now} instead of {before}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_instance_is_told_and_the_same_is_not() {
        let mut of = Instances::default();
        assert!((0..100).all(|at| of.take("a", At(at)).is_none()));
        assert_eq!(of.take("b", At(200)).as_deref(), Some("instance b instead of a"));
        assert_eq!(of.take("b", At(200)), None);
        assert_eq!(of.take("", At(300)).as_deref(), Some("its instance is not told any more; it was b"));
        assert!(Instances::after("a").take("b", At(1)).is_some(), "somebody else has seen it");
        assert!(Instances::after("").take("b", At(1)).is_none(), "it was not known");
    }
}
