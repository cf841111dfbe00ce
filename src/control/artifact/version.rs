//! Versions of artifacts: semantic versions, read as leniently as Glare reads them (`1` is `1.0.0`).

/// Glare keeps 16 bits of each number.
const NUMBER_MAX: u32 = 65_535;
/// The most digits of a number in a prerelease.
const DIGITS_MAX: usize = 6;
/// The most bytes of the whole text, which is a column's.
const TEXT_BYTES_MAX: usize = 255;

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// In full.
    pub(super) text: String,
    /// Bytes that order as versions do. What stands after `+` has no part in that.
    pub(super) key: String,
}

impl Version {
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (numbers, rest) = numbers(text)?;
        let (prerelease, build) = labels(rest);
        let core: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let mut full = core.join(".");
        for (mark, label) in [('-', &prerelease), ('+', &build)] {
            if !label.is_empty() {
                full.push(mark);
                full.push_str(label);
            }
        }
        let empty = |label: &str| !label.is_empty() && label.split('.').any(str::is_empty);
        if empty(&prerelease) || empty(&build) || full.len() > TEXT_BYTES_MAX {
            return Err(format!("Invalid version string: '{text}'"));
        }
        Ok(Self {
            key: key(numbers, &prerelease)?,
            text: full,
        })
    }
}

/// Major, minor and patch, as far as they are there, and what follows.
fn numbers(text: &str) -> Result<([u32; 3], &str), String> {
    let mut numbers = [0; 3];
    let mut rest = text;
    for (place, number) in numbers.iter_mut().enumerate() {
        let Some(after) = (match place {
            0 => Some(rest),
            _ => rest.strip_prefix('.'),
        }) else {
            break;
        };
        let end = after.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = after.split_at(end.unwrap_or(after.len()));
        match (digits.is_empty(), place) {
            (true, 0) => {
                return Err(format!(
                    "Version string lacks a numerical component: '{text}'"
                ));
            }
            (true, _) => break,
            (false, _) => {}
        }
        let parsed = digits.parse().ok().filter(|number| *number <= NUMBER_MAX);
        *number =
            parsed.ok_or_else(|| format!("Version component is too large ({NUMBER_MAX} max)"))?;
        rest = after;
    }
    Ok((numbers, rest))
}

/// Prerelease and build of what stands behind the numbers.
fn labels(rest: &str) -> (String, String) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    let rest: String = rest
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    let (prerelease, build) = match rest.chars().next() {
        Some('+' | '.') => ("", &rest[1..]),
        Some('-') => rest[1..].split_once('+').unwrap_or((&rest[1..], "")),
        _ => rest.split_once('+').unwrap_or((&rest, "")),
    };
    (prerelease.to_owned(), build.replace('+', "."))
}

/// A prerelease comes before its release, numbers before words, and the shorter before the longer.
fn key([major, minor, patch]: [u32; 3], prerelease: &str) -> Result<String, String> {
    let mut key = format!("{major:05}.{minor:05}.{patch:05}");
    if prerelease.is_empty() {
        key.push('~');
        return Ok(key);
    }
    for part in prerelease.split('.') {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && (part.len() > DIGITS_MAX || (part.len() > 1 && part.starts_with('0'))) {
            return Err(format!(
                "Invalid number '{part}' in the prerelease of a version"
            ));
        }
        // `!` is less than whatever a part may hold.
        match is_number {
            true => key.push_str(&format!("!0{part:0>DIGITS_MAX$}")),
            false => key.push_str(&format!("!1{part}")),
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added() {
        for (given, full) in [
            ("1", "1.0.0"),
            ("1.0", "1.0.0"),
            ("0.0", "0.0.0"),
            ("01.2.3", "1.2.3"),
            ("2.0.1-beta", "2.0.1-beta"),
            ("2.0.1beta", "2.0.1-beta"),
            ("1.2.3+a+b", "1.2.3+a.b"),
            ("1.2.3.4", "1.2.3+4"),
            ("1.2 x", "1.2.0-x"),
        ] {
            assert_eq!(Version::parse(given).unwrap().text, full, "{given}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        let long = "t".repeat(256);
        for text in ["", "dummy", &long, "65536", "1.2.3-a..b", "1.2.3-1234567"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_order_as_versions_do() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.0.1",
            "1.1",
            "2",
            "20.0",
            "1000.0.1-alpha",
            "1000.0.1",
        ];
        let keys: Vec<String> = order.map(|text| Version::parse(text).unwrap().key).into();
        assert!(keys.is_sorted(), "{keys:?}");
        let build = ["1.0.0+a", "1.0.0+b"].map(|text| Version::parse(text).unwrap().key);
        assert_eq!(build[0], build[1]);
    }
}
