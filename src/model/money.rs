//! Money: US dollars, exact to the nano-dollar.
//!
//! Section 1 of the protocol: one amount is at most nine billion dollars either way; sums are
//! exact whatever their history, because they are integers.

use std::fmt;

use super::decimal::{Spelling, scaled};

/// Nano-dollars are dollars scaled by this power of ten.
pub(super) const NANO: u32 = 9;
/// Nine billion dollars.
const MAX_NANOS: i64 = 9_000_000_000_000_000_000;

/// One amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// The amount spelt `spelling`, a JSON number; `None` beyond nine billion dollars.
    #[must_use]
    pub fn from_spelling(spelling: &str) -> Option<Self> {
        scaled(spelling, NANO).and_then(Self::from_nanos)
    }

    /// So many nano-dollars; `None` beyond nine billion dollars.
    #[must_use]
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        (-MAX_NANOS..=MAX_NANOS)
            .contains(&nanos)
            .then_some(Self(nanos))
    }

    /// In nano-dollars.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.0
    }
}

impl Money {
    /// The shortest decimal, in dollars.
    #[must_use]
    pub fn spelling(self) -> Spelling {
        Spelling::of(self.0.into(), NANO)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling().as_str())
    }
}

/// A sum of amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CostSum(i128);

impl CostSum {
    /// Adds an amount.
    pub fn add(&mut self, amount: Money) {
        self.0 += i128::from(amount.0);
    }

    /// Adds another sum.
    pub fn join(&mut self, other: Self) {
        self.0 += other.0;
    }

    /// Takes an amount out again.
    pub fn sub(&mut self, amount: Money) {
        self.0 -= i128::from(amount.0);
    }
}

impl CostSum {
    /// The shortest decimal, in dollars.
    #[must_use]
    pub fn spelling(self) -> Spelling {
        Spelling::of(self.0, NANO)
    }
}

impl fmt::Display for CostSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_printed_shortest() {
        let mut sum = CostSum::default();
        for spelling in ["0.01", "0.02", "0.005", "0.001"] {
            sum.add(Money::from_spelling(spelling).unwrap());
        }
        assert_eq!(sum.to_string(), "0.036");
        sum.sub(Money::from_spelling("0.036").unwrap());
        assert_eq!(sum, CostSum::default());
        assert_eq!(
            Money::from_spelling("9000000000")
                .map(|money| money.to_string())
                .as_deref(),
            Some("9000000000")
        );
        assert_eq!(Money::from_spelling("9000000000.000000001"), None);
    }
}
