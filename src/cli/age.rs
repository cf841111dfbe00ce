//! Ages, as people write them: `90s`, `15m`, `12h`, `7d`.

use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];
/// A century: what is older is a mistake.
const DAYS_MAX: u64 = 36500;

/// Reads an age.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last();
    let found = UNITS.iter().find(|(letter, _)| Some(*letter) == unit);
    let seconds = found.and_then(|(letter, seconds)| {
        let number: u64 = text.strip_suffix(*letter)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    let seconds = seconds.filter(|seconds| *seconds <= DAYS_MAX * 86400);
    let seconds = seconds.ok_or("an age is a number with s, m, h or d, as 7d")?;
    Ok(Duration::from_secs(seconds))
}

/// In the greatest unit of which it has one.
pub(super) fn show(age: Duration) -> String {
    let seconds = age.as_secs();
    let found = UNITS.iter().find(|(_, unit)| seconds >= *unit);
    let (letter, unit) = found.unwrap_or(&('s', 1));
    format!("{}{letter}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("15m", 900), ("12h", 43200), ("7d", 604_800)] {
            let age = Duration::from_secs(seconds);
            assert_eq!(parse(text), Ok(age));
            assert_eq!(show(age), text);
        }
        for text in [
            "",
            "7",
            "d",
            "-1d",
            "1w",
            "36501d",
            "99999999999999999999d",
            "1ä",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
