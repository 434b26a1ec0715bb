//! Decimal numbers as integers of a small unit, exactly.
//!
//! Section 1 of the protocol: the spelling counts, never a float, and is rounded half to even. A
//! spelling of any length is folded digit by digit, so that its length costs no memory.

use super::json::{NumberSink, Slice, Walk};

/// As many digits as a `u128` surely holds. What comes after them can only decide whether a
/// remainder is exactly one half.
const DIGITS_MAX: u32 = 38;

/// A number on its way from digits to an integer.
#[derive(Debug, Default)]
pub(super) struct Fold {
    negative: bool,
    /// The first digits that count.
    mantissa: u128,
    digits: u32,
    /// Whether any digit after those was not zero.
    sticky: bool,
    /// The value is mantissa × 10^shift.
    shift: i64,
    exponent: i64,
    exponent_negative: bool,
}

impl NumberSink for Fold {
    fn negative(&mut self) {
        self.negative = true;
    }

    fn digit(&mut self, digit: u8, fraction: bool) {
        if self.digits < DIGITS_MAX {
            self.mantissa = self.mantissa * 10 + u128::from(digit);
            self.digits += u32::from(self.mantissa > 0);
            self.shift -= i64::from(fraction);
        } else {
            self.sticky |= digit > 0;
            self.shift += i64::from(!fraction);
        }
    }

    fn exponent(&mut self, digit: u8, negative: bool) {
        self.exponent_negative = negative;
        self.exponent = self
            .exponent
            .saturating_mul(10)
            .saturating_add(i64::from(digit));
    }
}

impl Fold {
    /// The number in units of 10^-scale, rounded half to even; `None` beyond `i64`.
    pub(super) fn scaled(&self, scale: u32) -> Option<i64> {
        if self.mantissa == 0 {
            return Some(0);
        }
        let exponent = if self.exponent_negative {
            -self.exponent
        } else {
            self.exponent
        };
        let shift = self
            .shift
            .saturating_add(exponent)
            .saturating_add(i64::from(scale));
        let magnitude = if shift < 0 {
            self.divided(shift.unsigned_abs())
        } else {
            self.mantissa
                .checked_mul(10u128.checked_pow(u32::try_from(shift).ok()?)?)?
        };
        let magnitude = i128::try_from(magnitude).ok()?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    fn divided(&self, places: u64) -> u128 {
        let divisor = u32::try_from(places)
            .ok()
            .and_then(|places| 10u128.checked_pow(places));
        // beyond u128 the value is far below one half
        let Some(divisor) = divisor else { return 0 };
        let (quotient, rest) = (self.mantissa / divisor, self.mantissa % divisor);
        let half = divisor / 2;
        let up = rest > half || rest == half && (self.sticky || quotient % 2 == 1);
        quotient + u128::from(up)
    }
}

/// The number spelt `spelling` in units of 10^-`scale`, rounded half to even. `None` if it is not
/// a JSON number or does not fit.
#[must_use]
pub fn scaled(spelling: &str, scale: u32) -> Option<i64> {
    let mut fold = Fold::default();
    let mut walk = Walk::new(Slice::new(spelling), 0);
    walk.number(&mut fold).ok()?;
    (walk.offset() == spelling.len() as u64).then(|| fold.scaled(scale))?
}

/// How many places after the point an exact number has at most.
const EXACT_PLACES_MAX: i64 = 30;

/// A number that is exactly what its spelling says: at most 38 digits, 30 of them after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exact {
    /// In units of 10^-scale.
    units: i128,
    scale: u32,
}

impl Exact {
    /// The number spelt `spelling`; `None` if that is not a JSON number, or longer.
    #[must_use]
    pub fn parse(spelling: &str) -> Option<Self> {
        let mut fold = Fold::default();
        let mut walk = Walk::new(Slice::new(spelling), 0);
        walk.number(&mut fold).ok()?;
        if walk.offset() != spelling.len() as u64 || fold.sticky {
            return None;
        }
        if fold.mantissa == 0 {
            return Some(Self::default());
        }
        let exponent = if fold.exponent_negative {
            -fold.exponent
        } else {
            fold.exponent
        };
        let (mut mantissa, mut shift) = (fold.mantissa, fold.shift.saturating_add(exponent));
        while shift < 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            shift += 1;
        }
        if shift < -EXACT_PLACES_MAX {
            return None;
        }
        if shift > 0 {
            mantissa = mantissa.checked_mul(10u128.checked_pow(u32::try_from(shift).ok()?)?)?;
        }
        let units = i128::try_from(mantissa).ok()?;
        Some(Self {
            units: if fold.negative { -units } else { units },
            scale: u32::try_from(-shift.min(0)).ok()?,
        })
    }

    /// The sum; `None` if it is longer.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let at = |number: Self| {
            let factor = 10i128.checked_pow(scale - number.scale)?;
            number.units.checked_mul(factor)
        };
        Some(Self {
            units: at(self)?.checked_add(at(other)?)?,
            scale,
        })
    }

    /// `factor` times the number; `None` if it is longer.
    #[must_use]
    pub fn times(self, factor: i64) -> Option<Self> {
        let mut product = Self {
            units: self.units.checked_mul(factor.into())?,
            scale: self.scale,
        };
        while product.scale > 0 && product.units % 10 == 0 {
            product.units /= 10;
            product.scale -= 1;
        }
        Some(product)
    }

    /// The number if nothing stands after its point and it fits.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        self.is_whole().then(|| i64::try_from(self.units).ok())?
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.units < 0
    }

    /// Whether nothing stands after its point.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.scale == 0
    }
}

impl std::fmt::Display for Exact {
    /// The shortest decimal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Spelling::of(self.units, self.scale).as_str())
    }
}

/// As many bytes as the longest spelling has: 39 digits of an `i128`, a sign and a point, or a
/// zero, a point and as many places.
const SPELLING_MAX: usize = 48;

/// A number's shortest decimal spelling, without an allocation: lists are full of them.
pub struct Spelling {
    bytes: [u8; SPELLING_MAX],
    start: usize,
}

impl Spelling {
    /// The spelling of `value` units of 10^-`scale`, `scale` being at most 39.
    #[must_use]
    pub fn of(value: i128, scale: u32) -> Self {
        let mut spelling = Self {
            bytes: [b'0'; SPELLING_MAX],
            start: SPELLING_MAX,
        };
        let rest = value.unsigned_abs();
        // most values fit into a word, which is divided far more quickly
        match u64::try_from(rest) {
            Ok(rest) => spelling.digits(rest, scale, |rest| (rest / 10, (rest % 10) as u8)),
            Err(_) => spelling.digits(rest, scale, |rest| (rest / 10, (rest % 10) as u8)),
        }
        if value < 0 {
            spelling.put(b'-');
        }
        spelling
    }

    /// Puts the digits of `rest`, of which `split` takes the last one off.
    fn digits<T>(&mut self, mut rest: T, scale: u32, split: impl Fn(T) -> (T, u8))
    where
        T: Copy + PartialOrd + Default,
    {
        let mut take = || {
            let (others, digit) = split(rest);
            rest = others;
            (digit, rest > T::default())
        };
        for _ in 0..scale {
            let (digit, _) = take();
            // zeros at the end are not spelt
            if digit > 0 || self.start < SPELLING_MAX {
                self.put(b'0' + digit);
            }
        }
        if self.start < SPELLING_MAX {
            self.put(b'.');
        }
        loop {
            let (digit, more) = take();
            self.put(b'0' + digit);
            if !more {
                return;
            }
        }
    }

    fn put(&mut self, byte: u8) {
        if let Some(start) = self.start.checked_sub(1) {
            self.start = start;
            self.bytes[start] = byte;
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("0")
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_spelling_counts_and_halves_go_to_even() {
        for (spelling, scale, expected) in [
            ("0.1", 9, Some(100_000_000)),
            ("1e-7", 9, Some(100)),
            ("-0", 9, Some(0)),
            ("-0.0000000005", 9, Some(0)),
            ("0.0000000005", 9, Some(0)),
            ("0.0000000015", 9, Some(2)),
            ("0.0000000025", 9, Some(2)),
            ("-0.0000000035", 9, Some(-4)),
            ("9e9", 9, Some(9_000_000_000_000_000_000)),
            ("1e21", 9, None),
            ("1e400", 0, None),
            ("0e400", 9, Some(0)),
            ("1e-999999999999999999999", 9, Some(0)),
            ("1e999999999999999999999", 9, None),
            ("12345678901234567890", 0, None),
            ("-9223372036854775808", 0, Some(i64::MIN)),
            ("1E+3", 0, Some(1000)),
            (
                "1000000000000000000000000000000000000000000000e-45",
                0,
                Some(1),
            ),
        ] {
            assert_eq!(scaled(spelling, scale), expected, "{spelling}");
        }
        for text in [
            "", "-", "01", "1.", ".5", "1e", "+1", "0x1", "NaN", "1 ", "\"1\"",
        ] {
            assert_eq!(scaled(text, 9), None, "{text}");
        }
        let long = |end: &str| {
            format!(
                "0.00000000{}{end}",
                "0".repeat(0) + "05" + &"0".repeat(5000)
            )
        };
        assert_eq!(scaled(&long(""), 9), Some(0));
        assert_eq!(scaled(&long("1"), 9), Some(1));
    }

    #[test]
    fn exact_numbers_are_exact_or_none() {
        for (spelling, expected) in [
            ("0", Some("0")),
            ("-0.0", Some("0")),
            ("1.50e3", Some("1500")),
            ("1e-30", Some("0.000000000000000000000000000001")),
            ("1e-31", None),
            ("0.30000000000000004", Some("0.30000000000000004")),
            (
                "12345678901234567890123456789012345678",
                Some("12345678901234567890123456789012345678"),
            ),
            ("123456789012345678901234567890123456789", None),
            ("1e37", Some("10000000000000000000000000000000000000")),
            ("1e400", None),
            ("1e-999999999999999999999", None),
            ("\"1\"", None),
            ("1 ", None),
        ] {
            let exact = Exact::parse(spelling).map(|exact| exact.to_string());
            assert_eq!(exact.as_deref(), expected, "{spelling}");
        }
        let times = |spelling, factor| Exact::parse(spelling).unwrap().times(factor).unwrap();
        assert_eq!(times("1.5", 1024).whole(), Some(1536));
        assert_eq!(times("0.3", 1024).whole(), None);
        assert_eq!(times("0.3", 1024).to_string(), "307.2");
        assert_eq!(times("1e30", 1).whole(), None);
        assert!(Exact::parse("-0.1").unwrap().is_negative());
        assert!(!Exact::parse("1.5").unwrap().is_whole());
        assert!(Exact::parse("1.50e1").unwrap().is_whole());
        let most = Exact::parse("99999999999999999999999999999999999999").unwrap();
        assert_eq!(most.plus(most).and_then(|sum| sum.plus(most)), None);
    }

    proptest! {
        #[test]
        fn exact_sums_are_those_of_integers(
            numbers in proptest::collection::vec((-1_000_000_000i64..1_000_000_000, 0u32..9), 0..20)
        ) {
            let mut sum = Exact::default();
            let mut units = 0i128;
            for (number, places) in numbers {
                let spelling = format!("{number}e-{places}");
                sum = sum.plus(Exact::parse(&spelling).unwrap()).unwrap();
                units += i128::from(number) * 10i128.pow(9 - places);
            }
            let expected = Spelling::of(units, 9);
            prop_assert_eq!(sum.to_string(), expected.as_str());
        }

        /// Against long division on the digits themselves.
        #[test]
        fn equals_rounding_by_hand(
            whole in 0u64..9_000_000_000, fraction in "[0-9]{0,60}", negative: bool, shift in -30i32..30
        ) {
            let point = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
            let sign = if negative { "-" } else { "" };
            let spelling = format!("{sign}{whole}{point}e{shift}");
            let mut digits: Vec<u8> = format!("{whole}{fraction}").bytes().map(|b| b - b'0').collect();
            // units of 10^-9 end so many digits from the left
            let end = i64::try_from(whole.to_string().len()).unwrap() + i64::from(shift) + 9;
            let expected = if end < 0 {
                Some(0)
            } else {
                let end = usize::try_from(end).unwrap();
                digits.resize(digits.len().max(end + 1), 0);
                let kept = digits[..end].iter().try_fold(0i128, |value, digit| {
                    value.checked_mul(10)?.checked_add(i128::from(*digit))
                });
                let rest = &digits[end..];
                kept.map(|kept| {
                    let half = rest[0] == 5 && rest[1..].iter().all(|digit| *digit == 0);
                    kept + i128::from(if half { kept % 2 == 1 } else { rest[0] >= 5 })
                })
            };
            let expected = expected
                .and_then(|value| i64::try_from(if negative { -value } else { value }).ok());
            prop_assert_eq!(scaled(&spelling, 9), expected, "{}", spelling);
        }

        /// Against the same done with the standard library's printing.
        #[test]
        fn is_printed_shortest(value: i128, small in -5_000_000_000i128..5_000_000_000, scale in 0u32..12) {
            for value in [value, small, i128::from(small as i64), i128::MIN, i128::MAX, 0] {
                let places = scale as usize;
                let digits = format!("{:0>width$}", value.unsigned_abs(), width = places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                let fraction = fraction.trim_end_matches('0');
                let point = if fraction.is_empty() { "" } else { "." };
                let sign = if value < 0 { "-" } else { "" };
                let expected = format!("{sign}{whole}{point}{fraction}");
                let spelling = Spelling::of(value, scale);
                prop_assert_eq!(spelling.as_str(), expected);
            }
        }

        #[test]
        fn what_is_printed_reads_back(value: i64, scale in 0u32..12) {
            let spelling = Spelling::of(value.into(), scale);
            let spelling = spelling.as_str();
            prop_assert_eq!(scaled(spelling, scale), Some(value));
            prop_assert!(!spelling.contains('.') || !spelling.ends_with('0'));
        }
    }
}
