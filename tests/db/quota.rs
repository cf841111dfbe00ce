//! Quotas of projects: what any number of writers at once may have (reference C.7).

use std::time::Duration;

use fresnel::{
    control::db::{Bounds, Db, Error, NewWrite, NodeId, Over, Reservation, Stored, Usage},
    model::{Attempt, Image, ProjectId, Status, StoreId},
};
use futures_util::future::join_all;

use super::{claims, full, image, location};

claims!(
    of_many_images_at_once_a_project_gets_its_number,
    of_many_uploads_at_once_a_project_gets_its_bytes,
    a_project_without_a_name_has_a_quota_of_its_own,
    what_is_recorded_is_used_and_what_is_given_up_returns,
    a_dead_nodes_reservations_return,
    an_upload_of_unknown_size_reserves_as_it_grows,
    an_upload_in_the_way_is_told_what_is_left,
);

const LEASE: Duration = Duration::from_secs(600);

async fn of_many_images_at_once_a_project_gets_its_number(db: Db) {
    let bounds = Bounds {
        images_max: Some(10),
        ..nothing_else(Some("owner"))
    };
    let images: Vec<Image> = (0..40).map(|n| image(&n.to_string())).collect();
    let created = images
        .iter()
        .map(|image| db.image_create_within(image, &bounds));
    let created = join_all(created).await;
    assert_eq!(created.iter().filter(|one| one.is_ok()).count(), 10);
    let refused = Over::Limit {
        resource: "image_count_total",
        limit: 10,
        usage: 10,
        delta: 1,
    };
    for outcome in created.into_iter().filter_map(Result::err) {
        assert!(
            matches!(outcome, Error::OverQuota(over) if over == refused),
            "{outcome:?}"
        );
    }
    assert_eq!(db.usage(Some(&owner())).await.unwrap().images, 10);
}

async fn of_many_uploads_at_once_a_project_gets_its_bytes(db: Db) {
    let node = joined(&db, LEASE).await;
    let claim = sized(100, 7);
    let uploads = join_all((0..40).map(|_| Upload::queued(&db, node))).await;
    let begun = join_all(uploads.iter().map(|upload| upload.begin(&db, &claim))).await;
    let won: Vec<&Upload> = uploads
        .iter()
        .zip(&begun)
        .filter_map(|(u, b)| b.is_ok().then_some(u))
        .collect();
    assert_eq!(won.len(), 14);
    assert_eq!(db.usage(Some(&owner())).await.unwrap().reserved_bytes, 98);
    // While some of them end, no moment shows room that there is not.
    let ended = join_all(won.iter().map(|upload| upload.finish(&db, 7)));
    let late: Vec<Upload> = join_all((0..20).map(|_| Upload::queued(&db, node))).await;
    let late = join_all(late.iter().map(|upload| upload.begin(&db, &claim)));
    let (ended, late) = tokio::join!(ended, late);
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert!(
        late.iter().all(|l| matches!(l, Err(Error::OverQuota(_)))),
        "{late:?}"
    );
    let usage = db.usage(Some(&owner())).await.unwrap();
    assert_eq!((usage.stored_bytes, usage.reserved_bytes), (98, 0));
}

async fn a_project_without_a_name_has_a_quota_of_its_own(db: Db) {
    let node = joined(&db, LEASE).await;
    let mut nobody = sized(100, 60);
    nobody.bounds.project = None;
    let first = Upload::queued(&db, node).await;
    first.begin(&db, &nobody).await.unwrap();
    let second = Upload::queued(&db, node).await;
    let refused = second.begin(&db, &nobody).await;
    assert!(matches!(refused, Err(Error::OverQuota(_))), "{refused:?}");
    second.begin(&db, &sized(100, 60)).await.unwrap();
    assert_eq!(db.usage(None).await.unwrap().reserved_bytes, 60);
}

async fn what_is_recorded_is_used_and_what_is_given_up_returns(db: Db) {
    let node = joined(&db, LEASE).await;
    let (one, other) = (
        Upload::queued(&db, node).await,
        Upload::queued(&db, node).await,
    );
    one.begin(&db, &sized(100, 30)).await.unwrap();
    other.begin(&db, &sized(100, 40)).await.unwrap();
    let usage = db.usage(Some(&owner())).await.unwrap();
    let expected = Usage {
        reserved_bytes: 70,
        images: 2,
        uploading: 2,
        ..Usage::default()
    };
    assert_eq!(usage, expected);
    one.finish(&db, 30).await.unwrap();
    db.write_abandon(&[other.attempt], &other.queued.id)
        .await
        .unwrap();
    let expected = Usage {
        stored_bytes: 30,
        images: 2,
        ..Usage::default()
    };
    assert_eq!(db.usage(Some(&owner())).await.unwrap(), expected);
    db.image_create(&Image {
        status: Status::Deleted,
        ..full("gone")
    })
    .await
    .unwrap();
    assert_eq!(db.usage(Some(&owner())).await.unwrap(), expected);
}

async fn a_dead_nodes_reservations_return(db: Db) {
    let dead = joined(&db, Duration::ZERO).await;
    let upload = Upload::queued(&db, dead).await;
    upload.begin(&db, &sized(100, 100)).await.unwrap();
    let sweeper = joined(&db, LEASE).await;
    let found = db.writes_dead(NodeId::random(), 10).await.unwrap();
    assert!(db.write_fence(found[0].attempt, sweeper).await.unwrap());
    let grown = db
        .write_grow(&[upload.attempt], &within(200), 100, 150)
        .await;
    assert!(matches!(grown, Err(Error::Lost)), "{grown:?}");
    db.write_abandon(&[found[0].attempt], &found[0].image)
        .await
        .unwrap();
    assert_eq!(db.usage(Some(&owner())).await.unwrap().reserved_bytes, 0);
}

async fn an_upload_of_unknown_size_reserves_as_it_grows(db: Db) {
    let node = joined(&db, LEASE).await;
    let unknown = Reservation {
        bounds: within(100),
        size_bytes: None,
    };
    let (one, other) = (
        Upload::queued(&db, node).await,
        Upload::queued(&db, node).await,
    );
    one.begin(&db, &unknown).await.unwrap();
    other.begin(&db, &unknown).await.unwrap();
    db.write_grow(&[one.attempt], &unknown.bounds, 0, 60)
        .await
        .unwrap();
    let (grow, beyond) = (40, 41);
    let refused = db
        .write_grow(&[other.attempt], &unknown.bounds, 0, beyond)
        .await;
    let left = Over::Storage {
        size_bytes: Some(41),
        remaining_bytes: 40,
    };
    assert!(
        matches!(refused, Err(Error::OverQuota(over)) if over == left),
        "{refused:?}"
    );
    db.write_grow(&[other.attempt], &unknown.bounds, 0, grow)
        .await
        .unwrap();
    let full = db.write_grow(&[one.attempt], &unknown.bounds, 60, 61).await;
    assert!(matches!(full, Err(Error::OverQuota(_))), "{full:?}");
    one.finish(&db, 60).await.unwrap();
    let usage = db.usage(Some(&owner())).await.unwrap();
    assert_eq!((usage.stored_bytes, usage.reserved_bytes), (60, 40));
}

async fn an_upload_in_the_way_is_told_what_is_left(db: Db) {
    db.image_create(&Image {
        size_bytes: Some(50),
        locations: vec![location("file:///one"), location("file:///two")],
        ..full("two copies")
    })
    .await
    .unwrap();
    let node = joined(&db, LEASE).await;
    let upload = Upload::queued(&db, node).await;
    let refused = upload.begin(&db, &sized(90, 1)).await;
    let left = Over::Storage {
        size_bytes: Some(1),
        remaining_bytes: -10,
    };
    assert!(
        matches!(refused, Err(Error::OverQuota(over)) if over == left),
        "{refused:?}"
    );
    // It left nothing behind.
    assert_eq!(db.usage(Some(&owner())).await.unwrap().uploading, 0);
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
}

fn owner() -> ProjectId {
    ProjectId::new("owner")
}

fn nothing_else(project: Option<&str>) -> Bounds {
    Bounds {
        project: project.map(ProjectId::new),
        stored: None,
        images_max: None,
        uploading_max: None,
        staged_max_mib: None,
    }
}

fn within(limit_bytes: u64) -> Bounds {
    Bounds {
        stored: Some(Stored::UserStorageQuota { limit_bytes }),
        ..nothing_else(Some("owner"))
    }
}

fn sized(limit_bytes: u64, size_bytes: u64) -> Reservation {
    Reservation {
        bounds: within(limit_bytes),
        size_bytes: Some(size_bytes),
    }
}

async fn joined(db: &Db, lease: Duration) -> NodeId {
    let node = NodeId::random();
    db.node_join(node, lease).await.unwrap();
    node
}

/// One upload to an image of project `owner`.
struct Upload {
    node: NodeId,
    attempt: Attempt,
    queued: Image,
    saving: Image,
}

impl Upload {
    async fn queued(db: &Db, node: NodeId) -> Self {
        let queued = image("one");
        db.image_create(&queued).await.unwrap();
        Self {
            node,
            attempt: Attempt::random(),
            saving: Image {
                status: Status::Saving,
                ..queued.clone()
            },
            queued,
        }
    }

    async fn begin(&self, db: &Db, claim: &Reservation) -> Result<(), Error> {
        let write = NewWrite {
            attempt: self.attempt,
            node: self.node,
            store: StoreId::new("fast"),
            object: "object".to_owned(),
        };
        db.write_begin(&self.queued, &self.saving, &[write], Some(claim))
            .await
    }

    async fn finish(&self, db: &Db, size_bytes: u64) -> Result<(), Error> {
        let active = Image {
            status: Status::Active,
            size_bytes: Some(size_bytes),
            locations: vec![location("file:///one")],
            ..self.saving.clone()
        };
        db.write_finish(&[self.attempt], self.node, &self.saving, &active)
            .await
    }
}
