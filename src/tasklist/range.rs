//! Ranges of numbers: `1..10`, `0..1..0.25`, `001..100`.
//!
//! Numbers are decimals, counted in whole steps of their last digit, so no error ever adds up: `0..1..0.1` has eleven
//! values, and the fourth is 0.3.

/// Digits of a number, at most: products of them fit into 128 bits.
const DIGITS_MAX: usize = 18;

/// First value, step and count; [`Range::value`] turns them into text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Range {
    first: i128,
    step: i128,
    /// How many values there are: at least one.
    pub(super) count: u64,
    /// Digits after the point.
    decimals: usize,
    /// Minimum number of digits before the point: `001..100` keeps its zeros.
    width: usize,
}

#[derive(Clone, Copy)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

fn decimal(text: &str) -> Option<Decimal<'_>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() && are_digits(whole) && are_digits(fraction)).then_some(Decimal { negative, whole, fraction })
}

impl Decimal<'_> {
    /// In units of the last of `decimals` digits after the point.
    fn scaled(self, decimals: usize) -> i128 {
        let digits = self.whole.bytes().chain(self.fraction.bytes());
        let number = digits.fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
        let number = number * 10_i128.pow((decimals - self.fraction.len()).try_into().unwrap_or(0));
        if self.negative { -number } else { number }
    }

    fn has_leading_zeros(self) -> bool {
        self.whole.len() > 1 && self.whole.starts_with('0')
    }
}

/// Reads a range. `None`: this is an ordinary word.
pub(super) fn parse(text: &str) -> Option<Result<Range, String>> {
    let parts = text.split("..").map(decimal).collect::<Option<Vec<_>>>()?;
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, None),
        [first, last, step] => (first, last, Some(step)),
        _ => return None,
    };
    let bad = |what: &str| Some(Err(format!("the range {text} {what}")));
    if parts.iter().any(|part| part.whole.len() + part.fraction.len() > DIGITS_MAX) {
        return bad(&format!("has a number of more than {DIGITS_MAX} digits"));
    }
    let shown = first.fraction.len().max(step.map_or(0, |step| step.fraction.len()));
    let decimals = shown.max(last.fraction.len());
    let (begin, end) = (first.scaled(decimals), last.scaled(decimals));
    let one = 10_i128.pow(u32::try_from(decimals).unwrap_or(0));
    let step = step.map_or(if end < begin { -one } else { one }, |step| step.scaled(decimals));
    if step == 0 {
        return bad("has a step of 0");
    }
    if (end - begin).signum() * step.signum() < 0 {
        return bad("never reaches its end: its step has the wrong sign");
    }
    let Ok(count) = u64::try_from((end - begin) / step + 1) else { return bad("has too many values") };
    let padded = first.has_leading_zeros() || last.has_leading_zeros();
    let width = if padded { first.whole.len().max(last.whole.len()) } else { 1 };
    // Digits that only the end has are never in a value.
    let unit = 10_i128.pow(u32::try_from(decimals - shown).unwrap_or(0));
    Some(Ok(Range { first: begin / unit, step: step / unit, count, decimals: shown, width }))
}

impl Range {
    /// The value of this number, from 0.
    pub(super) fn value(&self, index: u64) -> String {
        let value = self.first + self.step * i128::from(index);
        let one = 10_u128.pow(u32::try_from(self.decimals).unwrap_or(0));
        let (whole, fraction) = (value.unsigned_abs() / one, value.unsigned_abs() % one);
        let sign = if value < 0 { "-" } else { "" };
        let (width, decimals) = (self.width, self.decimals);
        if decimals == 0 {
            format!("{sign}{whole:0width$}")
        } else {
            format!("{sign}{whole:0width$}.{fraction:0decimals$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<String> {
        let range = parse(text).unwrap().unwrap();
        (0..range.count).map(|index| range.value(index)).collect()
    }

    /// Both ends belong to a range, and values look like its first number and its step.
    #[test]
    fn ranges_have_both_ends() {
        assert_eq!(values("1..4"), ["1", "2", "3", "4"]);
        assert_eq!(values("4..1"), ["4", "3", "2", "1"]);
        assert_eq!(values("-1..1"), ["-1", "0", "1"]);
        assert_eq!(values("08..11"), ["08", "09", "10", "11"]);
        assert_eq!(values("1..10..4"), ["1", "5", "9"]);
        assert_eq!(values("1..0..-0.5"), ["1.0", "0.5", "0.0"]);
        assert_eq!(values("-0.5..0.5..0.25"), ["-0.50", "-0.25", "0.00", "0.25", "0.50"]);
        assert_eq!(values("0..1.05..0.5"), ["0.0", "0.5", "1.0"]);
        assert_eq!(values("0..2.5"), ["0", "1", "2"]);
        assert_eq!(values("7..7"), ["7"]);
    }

    /// No error adds up: the last of ten million steps of 0.1 is exact.
    #[test]
    fn steps_are_exact() {
        assert_eq!(values("0..1..0.1")[3], "0.3");
        let range = parse("0..1000000..0.1").unwrap().unwrap();
        assert_eq!((range.count, range.value(10_000_000)), (10_000_001, "1000000.0".to_owned()));
    }

    /// Other words stay words; invalid ranges are refused.
    #[test]
    fn words_that_are_not_ranges() {
        for word in ["1", "a..b", "1..", "..2", "1...2", "1..2..3..4", "1.", "../x", "1.5", "1e3..2", ""] {
            assert_eq!(parse(word), None, "{word}");
        }
        for bad in ["1..5..0", "1..5..-1", "5..1..1", "1..9999999999999999999"] {
            assert!(parse(bad).unwrap().is_err(), "{bad}");
        }
        let big = parse("-999999999999999999..999999999999999999..0.000000000000000001");
        assert!(big.unwrap().is_err());
    }

    proptest! {
        /// Promise 5: any text is a range, a word, or refused.
        #[test]
        fn any_text_is_a_range_a_word_or_refused(texts in ["[0-9.-]{0,60}", "-?[0-9]{1,18}\\.\\.-?[0-9]{1,18}(\\.[0-9]{0,18})?", "\\PC*"]) {
            for text in texts {
                if let Some(Ok(range)) = parse(&text) {
                    prop_assert!(range.count > 0);
                    let _ = (range.value(0), range.value(range.count - 1));
                }
            }
        }

        /// … and a range's values lie between its ends.
        #[test]
        fn any_range_stays_within_its_ends(text in "-?[0-9]{1,4}(\\.[0-9]{1,3})?(\\.\\.-?[0-9]{1,4}(\\.[0-9]{1,3})?){1,2}") {
            if let Some(Ok(range)) = parse(&text) {
                let number = |text: &str| text.parse::<f64>().unwrap();
                let ends: Vec<f64> = text.split("..").take(2).map(number).collect();
                let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
                for index in [0, range.count / 2, range.count - 1] {
                    let value = number(&range.value(index));
                    prop_assert!(value >= low - 1e-9 && value <= high + 1e-9, "{value}");
                }
                prop_assert_eq!(number(&range.value(0)), ends[0]);
            }
        }
    }
}
