//! The repository's claims, each held on SQLite, PostgreSQL and MariaDB. The servers are started by
//! `tests/lab`; one that cannot be started fails the test.

mod artifact_limits;
mod artifacts;
mod engine;
mod glance;
mod images;
mod jobs;
mod journal;
mod lists;
mod members;
mod purge;
mod quota;
mod schema;
mod scrub;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use fresnel::{
    control::db::Viewer,
    model::{Image, ImageId, Location, LocationStatus, ProjectId, Status, Visibility},
};

/// Each claim becomes a test on each engine, in a database of its own.
macro_rules! on_each_engine {
    ($runner:path: $($claim:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $claim() {
                $runner($crate::db::engine::Engine::Sqlite, super::$claim).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $claim() {
                $runner($crate::db::engine::Engine::Postgres, super::$claim).await;
            })+
        }
        mod mariadb {
            $(#[tokio::test]
            async fn $claim() {
                $runner($crate::db::engine::Engine::MariaDb, super::$claim).await;
            })+
        }
    };
}
use on_each_engine;

/// The same, with the schema in place.
macro_rules! claims {
    ($($claim:ident),+ $(,)?) => {
        $crate::db::on_each_engine!($crate::db::engine::synced: $($claim),+);
    };
}
use claims;

/// Sees everything, has no project.
fn admin() -> Viewer {
    Viewer {
        project: None,
        is_admin: true,
    }
}

/// A member of the project.
fn project(name: &str) -> Viewer {
    Viewer {
        project: Some(ProjectId::new(name)),
        is_admin: false,
    }
}

/// Now, in whole seconds: what every engine keeps.
fn now() -> NaiveDateTime {
    let now = Utc::now().naive_utc();
    now - TimeDelta::nanoseconds(now.and_utc().timestamp_subsec_nanos().into())
}

/// A queued, shared image of project `owner`, without children.
fn image(name: &str) -> Image {
    Image {
        name: Some(name.to_owned()),
        container_format: Some("bare".to_owned()),
        disk_format: Some("raw".to_owned()),
        owner: Some(ProjectId::new("owner")),
        ..Image::queued(ImageId::random(), now())
    }
}

/// An active image with one of everything.
fn full(name: &str) -> Image {
    Image {
        status: Status::Active,
        visibility: Visibility::Public,
        protected: true,
        size_bytes: Some(5_000_000_000),
        virtual_size_bytes: Some(10_000_000_000),
        checksum: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        os_hash_algo: Some("sha512".to_owned()),
        os_hash_value: Some("ab".repeat(64)),
        min_disk_gib: 10,
        min_ram_mib: 2048,
        properties: [
            ("architecture".to_owned(), Some("x86_64".to_owned())),
            ("kernel_id".to_owned(), None),
            (
                "quote".to_owned(),
                Some("it's \"so\" \\ Ünïcödé ?".to_owned()),
            ),
        ]
        .into(),
        tags: vec!["zebra".to_owned(), "ape".to_owned(), "Ünï".to_owned()],
        locations: vec![location("file:///images/one")],
        ..image(name)
    }
}

fn location(url: &str) -> Location {
    let mut metadata = serde_json::Map::new();
    metadata.insert("store".to_owned(), "fast".into());
    Location {
        id: None,
        url: url.to_owned(),
        metadata,
        status: LocationStatus::Active,
    }
}
