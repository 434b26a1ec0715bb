//! Numbers that are the same on every machine (xorshift64*, Vigna 2016).

pub struct Random(u64);

impl Random {
    /// The sequence named `seed`.
    pub fn of(seed: u64) -> Self {
        let mut random = Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // the first of neighbouring seeds are alike
        random.next();
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// A number below `end`.
    #[allow(clippy::cast_possible_truncation)] // below `end`, which fits
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of the standard normal distribution, near enough: twelve even ones added up.
    #[allow(clippy::cast_precision_loss)]
    pub fn normal(&mut self) -> f64 {
        let even = |random: &mut Self| random.below(1 << 20) as f64 / f64::from(1 << 20);
        (0..12).map(|_| even(self)).sum::<f64>() - 6.0
    }
}
