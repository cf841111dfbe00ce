//! What Glance's schema cannot hold: text beyond the Basic Multilingual Plane, on every database
//! (MySQL's `utf8` has three bytes a letter), and integers beyond 32 bits.

use crate::{
    control::{Error, Result},
    model::Image,
};

/// The longest value of a property in bytes: what MySQL's TEXT holds, and so enough on every database.
const VALUE_BYTES_MAX: usize = 65_535;

/// Refuses a value of a property that is too long.
pub(super) fn check_value(name: &str, value: Option<&str>) -> Result<()> {
    match value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
        true => Err(Error::LongValue {
            name: name.to_owned(),
            bytes_max: VALUE_BYTES_MAX,
        }),
        false => Ok(()),
    }
}

/// Refuses what the columns of an image, its properties and tags cannot hold.
pub(super) fn check(image: &Image) -> Result<()> {
    let owner = image.owner.as_ref().map(|owner| owner.as_str());
    let columns = [("Name", image.name.as_deref()), ("Owner", owner)];
    for (column, text) in columns {
        if text.is_some_and(is_wide) {
            return Err(Error::WideText(column.to_owned()));
        }
    }
    for (name, value) in &image.properties {
        if is_wide(name) {
            return Err(Error::WideName);
        }
        if value.as_deref().is_some_and(is_wide) {
            return Err(Error::WideText(title(name)));
        }
    }
    if image.tags.iter().any(|tag| is_wide(tag)) {
        return Err(Error::WideParameter);
    }
    Ok(())
}

/// Whether a text has letters of four bytes.
pub(in crate::control) fn is_wide(text: &str) -> bool {
    text.chars().any(|letter| letter as u32 > 0xffff)
}

/// Python's `str.title`: a capital after whatever is no letter.
fn title(name: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if inside {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
        inside = letter.is_alphabetic();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_python_titles_them() {
        assert_eq!(title("os_distro2x"), "Os_Distro2X");
    }

    #[test]
    fn four_bytes_are_wide_and_three_are_not() {
        assert!(is_wide("a😀"));
        assert!(!is_wide("añ漢"));
    }
}
