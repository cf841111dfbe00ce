//! Rows that are deleted in name only go when they are old, and nothing else.

use std::time::Duration;

use fresnel::{
    control::{
        Db,
        db::{Purged, TaskQuery},
        purge::{self, Options},
    },
    model::{Image, ProjectId, Task, TaskStatus, task::API_IMAGE_IMPORT},
};
use serde_json::json;

use super::{admin, claims, full, now, project};

claims!(
    old_rows_go_and_no_others,
    no_more_rows_go_than_were_asked_for,
    what_is_still_to_be_removed_is_not_forgotten,
    a_task_goes_with_what_it_said,
);

/// Everything that is deleted.
fn all() -> Options {
    Options {
        older_than: Duration::ZERO,
        rows_max: None,
        dry_run: false,
    }
}

/// How many rows of each table went.
async fn purged(db: &Db, tables: &[Purged], options: &Options) -> Vec<(u64, u64)> {
    // A second is the least that every engine keeps.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let outcomes = purge::run(db, tables, options, &mut |_, _| {}).await;
    let outcomes = outcomes.unwrap().into_iter();
    outcomes.map(|one| (one.removed, one.kept)).collect()
}

async fn rows(db: &Db, options: &Options) -> Vec<(u64, u64)> {
    purged(db, &Purged::WITHOUT_IMAGES, options).await
}

/// An image with one of everything but a member.
async fn made(db: &Db, name: &str) -> Image {
    let image = full(name);
    db.image_create(&image).await.unwrap();
    db.image(&image.id, &admin()).await.unwrap().image
}

/// The same, deleted.
async fn gone(db: &Db, name: &str) {
    let image = made(db, name).await;
    db.image_delete(&image).await.unwrap();
}

async fn old_rows_go_and_no_others(db: Db) {
    let kept = made(&db, "kept").await;
    gone(&db, "gone").await;
    let young = Options {
        older_than: Duration::from_secs(3600),
        ..all()
    };
    assert_eq!(rows(&db, &young).await, [(0, 0); 5]);
    let dry = Options {
        dry_run: true,
        ..all()
    };
    let counts = [(3, 0), (3, 0), (1, 0), (0, 0), (0, 0)];
    assert_eq!(rows(&db, &dry).await, counts);
    // The image's row has others that need it.
    assert_eq!(purged(&db, &[Purged::Images], &all()).await, [(0, 1)]);
    assert_eq!(rows(&db, &all()).await, counts);
    assert_eq!(rows(&db, &all()).await, [(0, 0); 5]);
    assert_eq!(purged(&db, &[Purged::Images], &all()).await, [(1, 0)]);
    let after = db.image(&kept.id, &admin()).await.unwrap().image;
    assert_eq!(after, kept);
}

async fn no_more_rows_go_than_were_asked_for(db: Db) {
    for name in ["one", "two"] {
        gone(&db, name).await;
    }
    let four = Options {
        rows_max: Some(4),
        ..all()
    };
    let counts = [(4, 0), (4, 0), (2, 0), (0, 0), (0, 0)];
    assert_eq!(rows(&db, &four).await, counts);
    let rest = [(2, 0), (2, 0), (0, 0), (0, 0), (0, 0)];
    assert_eq!(rows(&db, &four).await, rest);
}

async fn what_is_still_to_be_removed_is_not_forgotten(db: Db) {
    let image = made(&db, "delayed").await;
    db.image_delete_later(&image, None).await.unwrap();
    let counts = [(3, 0), (3, 0), (0, 1), (0, 0), (0, 0)];
    assert_eq!(rows(&db, &all()).await, counts);
    assert_eq!(purged(&db, &[Purged::Images], &all()).await, [(0, 1)]);
}

async fn a_task_goes_with_what_it_said(db: Db) {
    let image = made(&db, "imported").await;
    let task = Task {
        id: uuid::Uuid::new_v4(),
        kind: API_IMAGE_IMPORT.to_owned(),
        status: TaskStatus::Failure,
        owner: ProjectId::new("owner"),
        image: Some(image.id.clone()),
        request_id: None,
        user_id: None,
        expires_at: Some(now()),
        created_at: now(),
        updated_at: now(),
        input: json!({"image_id": image.id.as_str()}),
        result: json!(null),
        message: Some("why".to_owned()),
    };
    db.import_refused(&task, &image, &image).await.unwrap();
    assert_eq!(rows(&db, &all()).await[4], (0, 0));
    // Whoever lists tasks forgets those that have expired.
    let query = TaskQuery {
        kind: None,
        status: None,
        sort_key: "created_at",
        descending: true,
        marker: None,
        limit: 10,
    };
    assert_eq!(db.tasks(&query, &project("owner")).await.unwrap(), []);
    assert_eq!(rows(&db, &all()).await[4], (1, 0));
    assert!(db.task(task.id).await.is_err());
}
