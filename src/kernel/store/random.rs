//! The only place that asks for randomness; a test gives a seed and gets the same run again.

/// Where random bytes come from.
#[derive(Debug, Clone)]
pub enum Random {
    /// The operating system: fit for keys and tokens.
    Os,
    /// SplitMix64 from this state: repeatable, and therefore only for tests.
    Seeded(u64),
}

impl Random {
    /// From a seed when there is one, else from the operating system.
    pub fn new(seed: Option<u64>) -> Random {
        seed.map_or(Random::Os, Random::Seeded)
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// # Panics
    /// When the operating system has no randomness to give: nothing could be done safely without.
    pub fn fill(&mut self, out: &mut [u8]) {
        match self {
            #[allow(clippy::disallowed_methods, reason = "this is the one place")]
            Random::Os => getrandom::fill(out).expect("the operating system gives random bytes"),
            Random::Seeded(state) => {
                for chunk in out.chunks_mut(8) {
                    chunk.copy_from_slice(&split_mix(state).to_le_bytes()[..chunk.len()]);
                }
            }
        }
    }
}

/// <https://prng.di.unimi.it/splitmix64.c>
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut a, mut b) = (Random::new(Some(7)), Random::new(Some(7)));
        assert_eq!(a.bytes::<13>(), b.bytes::<13>());
        assert_ne!(a.bytes::<13>(), Random::new(Some(8)).bytes::<13>());
        assert_eq!(split_mix(&mut 1234567), 6457827717110365317, "the first number of the reference");
    }

    #[test]
    fn the_operating_system_does_not_repeat_itself() {
        assert_ne!(Random::Os.bytes::<16>(), Random::Os.bytes::<16>());
    }
}
