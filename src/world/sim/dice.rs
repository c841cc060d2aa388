//! Random numbers from a seed: the same seed gives the same world, on every machine and in every version.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of random numbers. Every thing in the world has its own, by its name, so that one more probe does not
/// change what happens to the others.
#[derive(Clone, Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of that name under that seed.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, a fixed hash, since the standard library's hashers may change.
        let mixed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(ChaCha8Rng::seed_from_u64(mixed ^ seed.rotate_left(32)))
    }

    /// A number from 0 up to, but not including, 1.
    #[allow(clippy::cast_precision_loss)] // 53 bits are exact
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.random::<u64>() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between the two.
    pub(super) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// True with that probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A position in a list of that length; 0 for an empty one.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // short lists
    pub(super) fn pick(&mut self, length: usize) -> usize {
        ((self.unit() * length as f64) as usize).min(length.saturating_sub(1))
    }

    /// A random value around `median`, skewed to the right as durations are; about two thirds lie within a factor of
    /// e^sigma.
    pub(super) fn around(&mut self, median: f64, sigma: f64) -> f64 {
        // Box–Muller transform; the logarithm of zero is avoided.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_name_make_the_stream() {
        let draw = |seed, name| {
            let mut dice = Dice::new(seed, name);
            [dice.unit().to_bits(), dice.unit().to_bits()]
        };
        assert!(draw(1, "a") == draw(1, "a"));
        assert!(draw(1, "a") != draw(1, "b") && draw(1, "a") != draw(2, "a"));
    }

    #[test]
    fn durations_lie_around_their_median() {
        let mut dice = Dice::new(7, "x");
        let mut drawn: Vec<f64> = (0..2_001).map(|_| dice.around(100.0, 0.3)).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((90.0..110.0).contains(&drawn[1_000]), "{}", drawn[1_000]);
        assert!(drawn[0] > 20.0 && drawn[2_000] < 400.0);
    }
}
