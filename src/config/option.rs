//! How an option is declared: once, with its type, default and documentation.

/// An option, as the reference page shows it.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// The section that it is documented under; a store's options also sit in the store's own.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Older places that are read too: section and name.
    pub was: &'static [(&'static str, &'static str)],
    /// What it holds.
    pub kind: &'static str,
    /// The default as one would write it; none where the option is not set.
    pub default: Option<&'static str>,
    /// The least value of a number.
    pub min: Option<i128>,
    /// The greatest value of a number.
    pub max: Option<i128>,
    /// How its value is shown.
    pub show: fn(&str) -> String,
    /// What it does, with its unit. Lines of Markdown.
    pub doc: &'static str,
}

/// The options that one `section!` declares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// The section, without brackets.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference page"))]
    pub(crate) section: &'static str,
    /// What they are about. Lines of Markdown.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference page"))]
    pub(crate) about: &'static str,
    /// The options.
    pub(crate) options: &'static [Opt],
}

impl Opt {
    pub(super) const fn was(mut self, was: &'static [(&'static str, &'static str)]) -> Self {
        self.was = was;
        self
    }

    pub(super) const fn min(mut self, min: i128) -> Self {
        self.min = Some(min);
        self
    }

    pub(super) const fn max(mut self, max: i128) -> Self {
        self.max = Some(max);
        self
    }
}

/// Declares the options of a section as the fields of a struct:
///
/// ```text
/// section! {
///     /// What the section is about.
///     Name in "section" {
///         /// The option's documentation.
///         option_name: Type = "default as text", was &[("DEFAULT", "old_name")], min 1;
///     }
/// }
/// ```
///
/// The struct gets `TABLE`, which documents them, and `read`, which looks the values up.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty $(= $default:literal)? $(, $limit:ident $bound:expr)*;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $field: $type,)+
        }

        impl $name {
            /// The options of the section.
            pub(crate) const TABLE: $crate::config::option::Table = $crate::config::option::Table {
                section: $section,
                about: concat!($($about, "\n"),+),
                options: Self::OPTIONS,
            };

            const OPTIONS: &'static [$crate::config::option::Opt] = &[$(
                $crate::config::option::Opt {
                    section: $section,
                    name: stringify!($field),
                    was: &[],
                    kind: <$type as $crate::config::value::Value>::KIND,
                    default: $crate::config::option::section!(@default $($default)?),
                    min: None,
                    max: None,
                    show: <$type as $crate::config::value::Value>::SHOW,
                    doc: concat!($($doc, "\n"),+),
                }$(.$limit($bound))*,
            )+];

            /// Looks every option up, in the first of `sections` that has it.
            pub(crate) fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
                sections: &[&str],
            ) -> Self {
                let mut options = Self::OPTIONS.iter();
                $(let $field = reader.value(options.next().expect("one each"), sections);)+
                Self { $($field),+ }
            }
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(crate) use section;
