//! Static quotas of one image (reference C.7.1) and the numbers that its columns hold; what a
//! project may have in all is in `project`.

mod project;

use super::{Error, Result, Settings};
use crate::model::Image;

pub use project::Used;

pub(super) use project::Growth;

/// Properties with this beginning are Glance's own: clients cannot set them, quotas do not count
/// them.
pub const RESERVED_PREFIX: &str = "os_glance";

/// Each tag once, in the order given. Refuses more than `image_tag_quota`, repetitions counted.
pub(super) fn tags(settings: &Settings, given: &[String]) -> Result<Vec<String>> {
    if let Some((attempted, maximum)) = over(settings.image_tag_quota, given.len()) {
        return Err(Error::TooManyTags { attempted, maximum });
    }
    let mut tags = Vec::with_capacity(given.len());
    for tag in given {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    Ok(tags)
}

/// Refuses more properties than `image_property_quota`.
pub(super) fn properties(settings: &Settings, image: &Image) -> Result<()> {
    let names = image.properties.keys();
    let count = names
        .filter(|name| !name.starts_with(RESERVED_PREFIX))
        .count();
    match over(settings.image_property_quota, count) {
        None => Ok(()),
        Some((attempted, maximum)) => Err(Error::TooManyProperties { attempted, maximum }),
    }
}

/// What was attempted and the most there may be, where that is more.
pub(super) fn over(quota: Option<u64>, count: usize) -> Option<(u64, u64)> {
    let attempted = count as u64;
    quota
        .filter(|maximum| attempted > *maximum)
        .map(|maximum| (attempted, maximum))
}

/// A number of `min_disk` or `min_ram`.
pub(super) fn number(name: &'static str, value: i64) -> Result<i32> {
    if value < 0 {
        return Err(Error::NegativeNumber { name, value });
    }
    i32::try_from(value).map_err(|_| Error::NumberTooLarge { name })
}
