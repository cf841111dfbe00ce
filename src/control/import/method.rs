//! How the bytes of an import come.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::image::UnknownWord;

/// An import method, as the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// From staging.
    GlanceDirect,
    /// From an address on the web.
    WebDownload,
    /// From a store that has them into others.
    CopyImage,
}

/// What a download from the web is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    /// The address.
    pub uri: String,
}

impl Method {
    /// Every method that works, in the order of Glance's default.
    pub const ALL: [Self; 2] = [Self::GlanceDirect, Self::CopyImage];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GlanceDirect => "glance-direct",
            Self::WebDownload => "web-download",
            Self::CopyImage => "copy-image",
        }
    }
}

impl FromStr for Method {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|method| method.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.to_owned()))
    }
}
