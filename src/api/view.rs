//! Images and members as the API shows them (reference A.3.1, A.7), written straight into bytes.

mod task;

use std::{cmp::Reverse, fmt};

use bytes::Bytes;
use chrono::{Datelike, NaiveDateTime, Timelike};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::schema::Schemas;
use crate::{
    control::{Caller, Settings},
    model::{Image, Location, LocationStatus, Member, Status},
};

pub use task::{image_tasks, task, tasks};

/// The attributes of every image that a client may set.
pub(super) const SETTABLE: [&str; 10] = [
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "name",
    "os_hidden",
    "owner",
    "protected",
    "tags",
    "visibility",
];

/// The attributes that only we set. A custom property of such a name is stored and not shown.
const OURS: [&str; 13] = [
    "checksum",
    "created_at",
    "file",
    "id",
    "os_hash_algo",
    "os_hash_value",
    "schema",
    "self",
    "size",
    "status",
    "updated_at",
    "virtual_size",
    "direct_url",
];

/// Bookkeeping between Glance's workers that no client sees.
const HIDDEN: [&str; 2] = ["os_glance_stage_host", "os_glance_hash_op_host"];

/// What a view depends on beside the image.
#[derive(Clone, Copy, Debug)]
pub struct Views<'a> {
    /// Which addresses are shown.
    pub settings: &'a Settings,
    /// Which properties may be null.
    pub schemas: &'a Schemas,
    /// Who looks.
    pub caller: &'a Caller,
}

impl<'a> Views<'a> {
    /// An image document.
    pub fn image(self, image: &Image) -> Bytes {
        to_bytes(&ImageView { image, views: self }, 1024)
    }

    /// A page of images.
    pub fn images(self, images: &'a [Image], first: &'a str, next: Option<&'a str>) -> Bytes {
        let page = Page {
            images: Each {
                images,
                views: self,
            },
            first,
            schema: "/v2/schemas/images",
            next,
        };
        to_bytes(&page, 1024 * images.len())
    }
}

/// A member document.
pub fn member(member: &Member) -> Bytes {
    to_bytes(&MemberView(member), 256)
}

/// All members of an image.
pub fn members(members: &[Member]) -> Bytes {
    #[derive(Serialize)]
    struct Members<'a> {
        members: Vec<MemberView<'a>>,
        schema: &'static str,
    }
    let document = Members {
        members: members.iter().map(MemberView).collect(),
        schema: "/v2/schemas/members",
    };
    to_bytes(&document, 256 * members.len())
}

/// The locations of an image alone.
pub fn locations(locations: &[Location]) -> Bytes {
    let shown: Vec<&Location> = locations.iter().collect();
    to_bytes(&Locations(&shown), 256 * shown.len())
}

fn to_bytes(document: &impl Serialize, capacity: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(capacity);
    serde_json::to_writer(&mut bytes, document).expect("a view has only text keys");
    bytes.into()
}

#[derive(Serialize)]
struct Page<'a> {
    images: Each<'a>,
    first: &'a str,
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

struct Each<'a> {
    images: &'a [Image],
    views: Views<'a>,
}

impl Serialize for Each<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let views = self.views;
        serializer.collect_seq(self.images.iter().map(|image| ImageView { image, views }))
    }
}

struct ImageView<'a> {
    image: &'a Image,
    views: Views<'a>,
}

impl Serialize for ImageView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = self.image;
        let settings = self.views.settings;
        let locations = self.locations();
        let stores = if settings.multistore {
            Stores::of(&locations)
        } else {
            Stores(Vec::new())
        };
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &image.properties {
            if self.shows(name, &stores) {
                self.property(&mut map, name, value.as_deref())?;
            }
        }
        map.serialize_entry("name", &image.name)?;
        map.serialize_entry("disk_format", &image.disk_format)?;
        map.serialize_entry("container_format", &image.container_format)?;
        map.serialize_entry("visibility", image.visibility.as_str())?;
        map.serialize_entry("size", &image.size_bytes)?;
        map.serialize_entry("virtual_size", &image.virtual_size_bytes)?;
        map.serialize_entry("status", image.status.as_str())?;
        map.serialize_entry("checksum", &image.checksum)?;
        map.serialize_entry("protected", &image.protected)?;
        map.serialize_entry("min_ram", &image.min_ram_mib)?;
        map.serialize_entry("min_disk", &image.min_disk_gib)?;
        map.serialize_entry("owner", &image.owner.as_ref().map(|owner| owner.as_str()))?;
        map.serialize_entry("os_hidden", &image.os_hidden)?;
        map.serialize_entry("os_hash_algo", &image.os_hash_algo)?;
        map.serialize_entry("os_hash_value", &image.os_hash_value)?;
        let id = image.id.as_str();
        map.serialize_entry("id", id)?;
        map.serialize_entry("created_at", &Time(image.created_at))?;
        map.serialize_entry("updated_at", &Time(image.updated_at))?;
        if settings.show_multiple_locations {
            map.serialize_entry("locations", &Locations(&locations))?;
        }
        if settings.show_image_direct_url
            && let Some(location) = locations.first()
        {
            map.serialize_entry("direct_url", &location.url)?;
        }
        map.serialize_entry("tags", &image.tags)?;
        map.serialize_entry("self", &Text(format_args!("/v2/images/{id}")))?;
        map.serialize_entry("file", &Text(format_args!("/v2/images/{id}/file")))?;
        map.serialize_entry("schema", "/v2/schemas/image")?;
        if !stores.0.is_empty() {
            map.serialize_entry("stores", &stores)?;
        }
        map.end()
    }
}

impl ImageView<'_> {
    /// What the caller may know of where the bytes are, the heaviest store first: nothing of a deactivated image, unless
    /// it is an administrator.
    fn locations(&self) -> Vec<&Location> {
        if self.image.status == Status::Deactivated && !self.views.caller.is_admin {
            return Vec::new();
        }
        let locations = self.image.locations.iter();
        let mut locations: Vec<&Location> = locations
            .filter(|location| location.status == LocationStatus::Active)
            .collect();
        // Single-store mode knows no weights.
        let settings = self.views.settings;
        let weight = |location: &&Location| match location.store() {
            Some(store) if settings.multistore => settings.weight(&store),
            _ => 0,
        };
        locations.sort_by_key(|location| Reverse(weight(location)));
        locations
    }

    fn shows(&self, name: &str, stores: &Stores<'_>) -> bool {
        let ours = SETTABLE.contains(&name) || OURS.contains(&name) || HIDDEN.contains(&name);
        let overwritten = match name {
            "locations" => self.views.settings.show_multiple_locations,
            "stores" => !stores.0.is_empty(),
            _ => false,
        };
        !(ours || overwritten)
    }

    /// Rows of the v1 API have NULL where only text may be: shown as empty.
    fn property<M: SerializeMap>(
        &self,
        map: &mut M,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), M::Error> {
        match value {
            None if !self.views.schemas.declares(name) => map.serialize_entry(name, ""),
            value => map.serialize_entry(name, &value),
        }
    }
}

struct Locations<'a>(&'a [&'a Location]);

impl Serialize for Locations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            url: &'a str,
            metadata: &'a serde_json::Map<String, serde_json::Value>,
        }
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for location in self.0 {
            seq.serialize_element(&Shown {
                url: &location.url,
                metadata: &location.metadata,
            })?;
        }
        seq.end()
    }
}

/// Store ids, joined with commas.
struct Stores<'a>(Vec<&'a str>);

impl<'a> Stores<'a> {
    fn of(locations: &[&'a Location]) -> Self {
        let named = locations.iter();
        Self(
            named
                .filter_map(|location| location.metadata.get("store")?.as_str())
                .collect(),
        )
    }
}

impl Serialize for Stores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.join(","))
    }
}

struct MemberView<'a>(&'a Member);

impl Serialize for MemberView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(6))?;
        map.serialize_entry("member_id", self.0.member.as_str())?;
        map.serialize_entry("image_id", self.0.image_id.as_str())?;
        map.serialize_entry("status", self.0.status.as_str())?;
        map.serialize_entry("created_at", &Time(self.0.created_at))?;
        map.serialize_entry("updated_at", &Time(self.0.updated_at))?;
        map.serialize_entry("schema", "/v2/schemas/member")?;
        map.end()
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
struct Time(NaiveDateTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = &self.0;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }
}

/// Text that is written without being put together first.
struct Text<'a>(fmt::Arguments<'a>);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{
        control::StoreSettings,
        model::{ImageId, StoreId},
    };

    fn image() -> Image {
        let time = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();
        let time = time.and_hms_micro_opt(3, 4, 5, 999_999).unwrap();
        Image {
            status: Status::Active,
            size_bytes: Some(1),
            ..Image::queued(ImageId::new("i"), time)
        }
    }

    fn location(store: &str, status: LocationStatus) -> Location {
        Location {
            id: None,
            url: format!("{store}://x"),
            metadata: Map::from_iter([("store".to_owned(), store.into())]),
            status,
        }
    }

    fn shown(image: &Image, settings: &Settings, is_admin: bool) -> Value {
        let schemas = Schemas::new(&[], &[], None).unwrap();
        let mut caller = Caller::unauthenticated(String::new());
        caller.is_admin = is_admin;
        let views = Views {
            settings,
            schemas: &schemas,
            caller: &caller,
        };
        serde_json::from_slice(&views.image(image)).unwrap()
    }

    fn everything() -> Settings {
        let store = |id: &str, weight| StoreSettings {
            id: StoreId::new(id),
            description: None,
            weight,
            read_only: false,
            properties: Map::new(),
            encryption_key: None,
        };
        Settings {
            multistore: true,
            show_image_direct_url: true,
            show_multiple_locations: true,
            stores: vec![store("light", 1), store("heavy", 2)],
            ..Settings::default()
        }
    }

    #[test]
    fn times_have_no_fraction() {
        let view = shown(&image(), &Settings::default(), true);
        assert_eq!(view["created_at"], "2026-01-02T03:04:05Z");
    }

    #[test]
    fn a_property_hides_no_attribute_and_null_is_empty_unless_declared() {
        let mut image = image();
        for name in ["size", "old", "kernel_id", "os_glance_stage_host"] {
            image.properties.insert(name.into(), None);
        }
        let view = shown(&image, &Settings::default(), true);
        assert_eq!((&view["size"], &view["old"]), (&json!(1), &json!("")));
        assert_eq!(view.get("kernel_id"), Some(&Value::Null));
        assert_eq!(view.get("os_glance_stage_host"), None);
    }

    #[test]
    fn the_heaviest_store_comes_first_and_only_readable_locations_are_shown() {
        let mut image = image();
        image.locations = vec![
            location("light", LocationStatus::Active),
            location("heavy", LocationStatus::Active),
            location("heavy", LocationStatus::Pending),
        ];
        let view = shown(&image, &everything(), true);
        assert_eq!(view["direct_url"], "heavy://x");
        assert_eq!(view["stores"], "heavy,light");
        assert_eq!(view["locations"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn where_a_deactivated_image_is_only_administrators_know() {
        let mut image = image();
        image.locations = vec![location("light", LocationStatus::Active)];
        image.status = Status::Deactivated;
        let view = shown(&image, &everything(), false);
        assert_eq!(view["locations"], json!([]));
        assert_eq!((view.get("direct_url"), view.get("stores")), (None, None));
        assert_eq!(shown(&image, &everything(), true)["stores"], "light");
    }
}
