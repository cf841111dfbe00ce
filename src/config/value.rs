//! What a value's text means (oslo.config's `types`).

use crate::model::HashAlgorithm;

/// A type that an option can have.
pub(crate) trait Value: Sized {
    /// What the reference page calls it.
    const KIND: &'static str;
    /// How `fresnel config show` writes the value.
    const SHOW: fn(&str) -> String = str::to_owned;

    /// Whether all values that are given count, over all files, and not only the last one.
    const MANY: bool = false;

    /// Reads one value. The error says what was expected and does not repeat a secret.
    fn parse(text: &str) -> Result<Self, String>;

    /// Reads the values that count.
    fn parse_all(texts: &[String]) -> Result<Self, String> {
        let last = texts.last().expect("an option that was found has a value");
        Self::parse(last)
    }

    /// The value of an option that has no default and is not set, where there is such a value.
    fn unset() -> Option<Self> {
        None
    }

    /// The value as a number, for options with bounds.
    fn as_number(&self) -> Option<i128> {
        None
    }
}

/// `name:value` pairs, in the operator's order, each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs(pub Vec<(String, String)>);

/// A list in brackets (oslo.config's `bounds`), of items that may be quoted. We take one without
/// brackets too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bracketed(pub Vec<String>);

/// The values of an option that may be given more than once, over all files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Many(pub Vec<String>);

impl Value for bool {
    const KIND: &'static str = "boolean";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Ok(true),
            "false" | "0" | "off" | "no" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const KIND: &'static str = "integer";

            fn parse(text: &str) -> Result<Self, String> {
                let number = text.trim();
                number.parse().map_err(|_| format!(
                    "{text:?} is not an integer from {} to {}", <$type>::MIN, <$type>::MAX
                ))
            }

            fn as_number(&self) -> Option<i128> {
                Some(i128::from(*self))
            }
        }
    )*};
}

integers!(u16, u32, u64, i64);

impl Value for String {
    const KIND: &'static str = "string";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

/// An empty value is an unset one.
impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const SHOW: fn(&str) -> String = T::SHOW;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::parse(text).map(Some)
    }

    fn unset() -> Option<Self> {
        Some(None)
    }

    fn as_number(&self) -> Option<i128> {
        self.as_ref().and_then(T::as_number)
    }
}

impl Value for Vec<String> {
    const KIND: &'static str = "list";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(items(text.trim().trim_end_matches(',')))
    }
}

impl Value for Bracketed {
    const KIND: &'static str = "list";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = match text.strip_prefix('[') {
            None => text,
            Some(rest) => rest
                .strip_suffix(']')
                .ok_or_else(|| format!("{text:?} does not end with a bracket"))?,
        };
        let items = Vec::<String>::parse(inner)?.into_iter().map(|item| {
            let unquoted = |quote: char| item.strip_prefix(quote)?.strip_suffix(quote);
            let unquoted = unquoted('"').or(unquoted('\''));
            unquoted.map_or_else(|| item.clone(), str::to_owned)
        });
        Ok(Self(items.collect()))
    }
}

impl Value for Pairs {
    const KIND: &'static str = "dictionary";

    fn parse(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for item in items(text.trim()) {
            let Some((name, value)) = item.split_once(':') else {
                return Err(format!("{item:?} is not of the form name:value"));
            };
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() {
                return Err(format!("{item:?} has no name before the colon"));
            }
            if pairs.iter().any(|(known, _)| known == name) {
                return Err(format!("{name:?} is there twice"));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(pairs))
    }
}

impl Value for Many {
    const KIND: &'static str = "string, may be given more than once";
    const MANY: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(vec![text.to_owned()]))
    }

    fn parse_all(texts: &[String]) -> Result<Self, String> {
        Ok(Self(texts.to_vec()))
    }

    fn unset() -> Option<Self> {
        Some(Self(Vec::new()))
    }
}

impl Value for HashAlgorithm {
    const KIND: &'static str = "hash algorithm";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!("{text:?} is not one of md5, sha1, sha2, sha3 or blake2 as hashlib names them")
        })
    }
}

fn items(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let items = text.split(',').map(|item| item.trim().to_owned());
    items.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn booleans_are_spelled_in_four_ways() {
        for text in ["true", "1", "On", "YES"] {
            assert_eq!(bool::parse(text), Ok(true));
        }
        for text in ["False", "0", "off", "no"] {
            assert_eq!(bool::parse(text), Ok(false));
        }
        assert!(bool::parse("enabled").is_err());
        assert!(bool::parse("").is_err());
    }

    #[test]
    fn integers_say_what_they_take() {
        assert_eq!(i64::parse(" -1 "), Ok(-1));
        let error = u16::parse("70000").unwrap_err();
        assert_eq!(error, "\"70000\" is not an integer from 0 to 65535");
    }

    #[test]
    fn lists() {
        assert_eq!(
            Vec::parse("a, b ,c,,"),
            Ok(vec!["a".into(), "b".into(), "c".into()])
        );
        assert_eq!(Vec::<String>::parse(" "), Ok(vec![]));
    }

    #[test]
    fn lists_in_brackets() {
        let parse = |text| Bracketed::parse(text).map(|list| list.0);
        for text in ["[a, b]", "a,b", " [ 'a' , \"b\" ] "] {
            assert_eq!(parse(text), Ok(vec!["a".into(), "b".into()]), "{text}");
        }
        assert_eq!(parse("[]"), Ok(vec![]));
        assert!(parse("[a").is_err());
    }

    #[test]
    fn dictionaries() {
        let pairs = Pairs::parse("fast:rbd, cheap: file:x").unwrap().0;
        let expected = [("fast", "rbd"), ("cheap", "file:x")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        for bad in ["a", "a:b,c", ":b", "a:b,a:c"] {
            assert!(Pairs::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn lists_read_back(items in proptest::collection::vec("[!-+\\--~]{1,9}", 0..9)) {
            prop_assert_eq!(Vec::parse(&items.join(",")), Ok(items));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in "(?s).{0,60}") {
            let _ = Pairs::parse(&text);
            let _ = Vec::<String>::parse(&text);
            let _ = Option::<i64>::parse(&text);
        }
    }
}
