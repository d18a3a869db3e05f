//! Random numbers that are the same on every device and for every number of threads.

/// Ten rounds of Philox 4x32 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
/// four random words that depend on `key` and `counter` only, so that any thread of any device can compute its own.
pub fn philox(key: u64, counter: u64) -> [u32; 4] {
    let mut words = [[0; 4]];
    philox_fill(key, counter, &mut words);
    words[0]
}

/// The words of [`philox`] for neighbouring counters, of which `first` is the first: over many of them this becomes vector
/// instructions, for whichever set the caller is compiled for.
///
/// The words are held in the lower halves of 64 bits, whose upper halves may hold anything: that is how vector
/// instructions multiply 32 bits by 32 bits, so no word has to change its place between two rounds.
#[inline(always)]
pub fn philox_fill(key: u64, first: u64, words: &mut [[u32; 4]]) {
    const ROUNDS: usize = 10;
    const M: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    const LOW: u64 = u32::MAX as u64;
    let mut key = [key as u32, (key >> 32) as u32];
    let keys: [[u64; 2]; ROUNDS] = std::array::from_fn(|_| {
        let now = key.map(u64::from);
        key = [key[0].wrapping_add(W[0]), key[1].wrapping_add(W[1])];
        now
    });
    for (i, words) in words.iter_mut().enumerate() {
        let counter = first.wrapping_add(i as u64);
        let [mut c0, mut c1, mut c2, mut c3] = [counter, counter >> 32, 0, 0];
        for [k0, k1] in keys {
            let (a, b) = ((c0 & LOW) * M[0], (c2 & LOW) * M[1]);
            [c0, c1, c2, c3] = [(b >> 32) ^ c1 ^ k0, b, (a >> 32) ^ c3 ^ k1, a];
        }
        *words = [c0 as u32, c1 as u32, c2 as u32, c3 as u32];
    }
}

/// A stream of random numbers. Its whole state is a seed and a position, which can be stored and restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    seed: u64,
    position: u64,
}

impl Rng {
    /// The stream of this seed, from its start.
    pub fn new(seed: u64) -> Self {
        Rng { seed, position: 0 }
    }

    /// The stream of this seed after `position` words have been drawn.
    pub fn at(seed: u64, position: u64) -> Self {
        Rng { seed, position }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many words have been drawn.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// A stream of its own that depends on this one's seed and on `name` only, not on what was drawn.
    pub fn stream(&self, name: u64) -> Rng {
        // Counters from the top are far from all that `next_u32` uses.
        let [a, b, ..] = philox(self.seed, u64::MAX - name);
        Rng::new(u64::from(b) << 32 | u64::from(a))
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let word = philox(self.seed, self.position / 4)[(self.position % 4) as usize];
        self.position = self.position.wrapping_add(1);
        word
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// A number from `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of the normal distribution with mean 0 and variance 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A whole number from `0..n`, each as likely as the others to within `n` in 2^64; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_test_vectors() {
        // From the known-answer file of the Random123 distribution, philox4x32 10.
        assert_eq!(philox(0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    }

    #[test]
    fn many_counters_at_once_give_the_words_of_each() {
        let first = u64::from(u32::MAX) - 20;
        let mut words = [[0; 4]; 64];
        philox_fill(7, first, &mut words);
        assert!(words.iter().enumerate().all(|(l, words)| *words == philox(7, first + l as u64)));
    }

    #[test]
    fn a_stream_continues_from_its_position() {
        let mut a = Rng::new(7);
        let first: Vec<u32> = (0..11).map(|_| a.next_u32()).collect();
        let mut b = Rng::at(7, 5);
        assert_eq!((5..11).map(|_| b.next_u32()).collect::<Vec<_>>(), first[5..]);
        assert_ne!(Rng::new(7).stream(1), Rng::new(7).stream(2));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::new(1);
        let n = 40_000;
        let mean = |f: &mut dyn FnMut() -> f64| (0..n).map(|_| f()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || rng.uniform()) - 0.5).abs() < 0.01);
        assert!(mean(&mut || rng.normal()).abs() < 0.02);
        assert!((mean(&mut || rng.normal().powi(2)) - 1.0).abs() < 0.03);
        assert!((mean(&mut || rng.below(10) as f64) - 4.5).abs() < 0.06);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
    }
}
