//! `%%` and `%(name)s` in values, as in Python's BasicInterpolation.
//!
//! Bounded: otherwise, a few lines whose values refer to each other several times would grow without end, and so would
//! many lines that each refer to one long value.

/// References into references, at most: Python's limit.
const DEPTH_MAX: u32 = 10;

/// Longest value, in bytes, once every reference is filled in.
const VALUE_LEN_MAX: usize = 1 << 20;

/// The maximum number of references in one value, including nested ones.
const REFERENCES_MAX: u32 = 10_000;

/// The maximum cost of all values of a section, or of all that are listed, together: their bytes, and [`PIECE_COST`]
/// for each key and reference.
const COST_MAX: usize = 64 << 20;

/// Approximate memory of a key, and time of a reference.
const PIECE_COST: usize = 100;

/// The remainder of [`COST_MAX`].
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: COST_MAX }
    }
}

impl Budget {
    /// Pays for a key or a reference, and for this many bytes.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(PIECE_COST + bytes).ok_or_else(|| {
            self.left = 0;
            format!("the values come to more than {} MiB once every reference is filled in", COST_MAX >> 20)
        })?;
        Ok(())
    }
}

struct Expansion<'b, L> {
    lookup: L,
    out: String,
    references: u32,
    budget: &'b mut Budget,
}

/// The value that `raw` stands for; `lookup` returns the raw values of the section, including defaults.
pub(super) fn expand<'a>(
    raw: &'a str,
    lookup: impl Fn(&str) -> Option<&'a str>,
    budget: &mut Budget,
) -> Result<String, String> {
    let mut expansion = Expansion { lookup, out: String::new(), references: 0, budget };
    expansion.add(raw, 1)?;
    let Expansion { out, budget, .. } = expansion;
    budget.spend(out.len())?;
    Ok(out)
}

impl<'a, L: Fn(&str) -> Option<&'a str>> Expansion<'_, L> {
    fn add(&mut self, mut rest: &'a str, depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} values refer to each other: is there a circle?"));
        }
        while let Some(percent) = rest.find('%') {
            self.push(&rest[..percent])?;
            rest = &rest[percent..];
            if let Some(tail) = rest.strip_prefix("%%") {
                self.push("%")?;
                rest = tail;
                continue;
            }
            let Some((name, tail)) = rest.strip_prefix("%(").and_then(reference) else {
                return Err("a lone '%': write '%%' for a percent sign, '%(key)s' for another key's value".to_owned());
            };
            let value = (self.lookup)(name).ok_or_else(|| format!("'%({name})s' refers to a key that is not there"))?;
            self.budget.spend(0)?;
            self.references += 1;
            if self.references > REFERENCES_MAX {
                return Err(format!("more than {REFERENCES_MAX} references have to be filled in"));
            }
            if value.contains('%') {
                self.add(value, depth + 1)?;
            } else {
                self.push(value)?;
            }
            rest = tail;
        }
        self.push(rest)
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > VALUE_LEN_MAX {
            return Err(format!("the value becomes longer than {VALUE_LEN_MAX} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }
}

/// The name in `name)s…`, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, tail) = text.split_once(')')?;
    Some((name, tail.strip_prefix('s')?)).filter(|_| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with<'a>(keys: &'a [(&'a str, &'a str)], raw: &'a str) -> Result<String, String> {
        expand(raw, |name| keys.iter().find(|(key, _)| *key == name).map(|(_, value)| *value), &mut Budget::default())
    }

    /// Percent signs are written twice, and keys can be referred to.
    #[test]
    fn references_are_filled_in() {
        let keys = [("base", "/opt"), ("lib", "%(base)s/lib"), ("empty", "")];
        assert_eq!(with(&keys, "100%% %(lib)s:%(empty)s").unwrap(), "100% /opt/lib:");
        for bad in ["50%", "%x", "%(base)", "%(base)d", "%()s", "%(base", "%(none)s"] {
            assert!(with(&keys, bad).is_err(), "{bad}");
        }
    }

    /// Values that grow without end are refused before memory or time is exhausted.
    #[test]
    fn bombs_are_refused() {
        assert!(with(&[("a", "%(a)s")], "%(a)s").is_err());
        let wide = |of: &str| format!("%({of})s").repeat(100);
        let values: Vec<(String, String)> =
            (0..8).map(|level| (level.to_string(), wide(&(level + 1).to_string()))).collect();
        for last in ["", "x", "%%"] {
            let mut keys: Vec<(&str, &str)> = values.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            keys.push(("8", last));
            assert!(with(&keys, "%(0)s").is_err());
        }
        let long = "x".repeat(1 << 19);
        assert!(with(&[("a", &long)], "%(a)s%(a)s%(a)s").is_err());
    }

    proptest! {
        /// Promise 5: any value is filled in or refused.
        #[test]
        fn any_value_is_filled_in_or_refused(a in "[%()sabé]{0,12}", b in "[%()sabé]{0,12}", raw in "[%()sabé]{0,20}") {
            let _ = with(&[("a", &a), ("b", &b)], &raw).is_ok();
        }
    }
}
