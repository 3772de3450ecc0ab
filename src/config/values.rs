//! Values of options that are more than a number or a name.
//!
//! Owns how they are written. What is wrong is `None`; the message is [`super::ConfigError`]'s.

use crate::farmer::ExitCodes;

/// Exit codes of failures and ranges of them, between commas: `75,100-110`.
pub(super) fn exit_codes(text: &str) -> Option<ExitCodes> {
    let code = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u8>().ok()).flatten().filter(|&code| code > 0)
    };
    let mut codes = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (code(first)?, code(last)?);
        if first > last {
            return None;
        }
        codes.extend(first..=last);
    }
    Some(codes.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes and ranges; 0 is no failure, and nonsense is refused.
    #[test]
    fn exit_codes_are_read() {
        let held = |text| exit_codes(text).map(|set| (0..=255).filter(|&code| set.contains(code)).collect::<Vec<u8>>());
        assert_eq!(held("75"), Some(vec![75]));
        assert_eq!(held("75,100-102,1"), Some(vec![1, 75, 100, 101, 102]));
        assert_eq!(held("255-255"), Some(vec![255]));
        for bad in ["", ",", "0", "0-3", "256", "-1", "3-1", "1-", "1-2-3", "a", "1, 2", "+1"] {
            assert_eq!(held(bad), None, "{bad:?}");
        }
    }
}
