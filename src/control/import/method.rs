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
    /// From another image service of the catalog.
    GlanceDownload,
    /// From a store that has them into others.
    CopyImage,
}

/// What a download from the web is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    /// The address.
    pub uri: String,
}

/// What a download from another image service is about: the method's `glance_*` members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `glance_region`; must be there.
    pub region: Option<String>,
    /// `glance_image_id`; must be there, and a UUID.
    pub image: Option<String>,
    /// `glance_service_interface`.
    pub interface: String,
}

impl Method {
    /// Every method: in the order of Glance's default, and then what that does not have.
    pub const ALL: [Self; 4] = [
        Self::GlanceDirect,
        Self::WebDownload,
        Self::CopyImage,
        Self::GlanceDownload,
    ];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GlanceDirect => "glance-direct",
            Self::WebDownload => "web-download",
            Self::GlanceDownload => "glance-download",
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
