//! Background jobs, and the objects that locations claim (ADR 9).

use std::time::Duration;

use fresnel::{
    control::db::{Back, Claim, Db, Ended, Error, Job, JobKind, NewJob, NodeId},
    model::{Image, ImageId, Status, TaskStatus},
};

use super::{admin, claims, full, image, location};

claims!(
    of_two_nodes_one_takes_a_job,
    a_dead_nodes_job_is_taken_over,
    a_node_without_a_lease_takes_nothing,
    a_job_waits_since_its_node_died,
    a_job_and_its_image_end_together,
    a_sleeper_records_nothing,
    a_job_that_is_given_back_rests,
    a_job_that_was_begun_for_nothing_counts_no_attempt,
    a_node_that_leaves_gives_its_jobs_back,
    a_deleted_image_has_no_jobs,
    of_two_images_one_gets_an_object,
    an_object_of_another_image_is_taken,
    a_name_that_only_looks_alike_is_free,
    a_trust_is_over_with_its_job,
);

const LEASE: Duration = Duration::from_secs(600);

async fn node(db: &Db, lease: Duration) -> NodeId {
    let node = NodeId::random();
    db.node_join(node, lease).await.unwrap();
    node
}

/// An active image and a job for it.
async fn with_job(db: &Db) -> (Image, NewJob) {
    let image = full("digested");
    db.image_create(&image).await.unwrap();
    let job = NewJob {
        id: uuid::Uuid::new_v4(),
        kind: JobKind::Digest,
        image: image.id.clone(),
        input: r#"{"note": "Ünïcödé ?"}"#.to_owned(),
    };
    db.job_add(&job).await.unwrap();
    (read(db, &image.id).await, job)
}

fn ended() -> Ended {
    Ended {
        status: TaskStatus::Success,
        result: serde_json::Value::Null,
        message: None,
        expires_at: chrono::DateTime::UNIX_EPOCH.naive_utc(),
    }
}

async fn read(db: &Db, id: &ImageId) -> Image {
    db.image(id, &admin()).await.unwrap().image
}

/// The one job that waits.
async fn waiting(db: &Db) -> Option<Job> {
    let mut jobs = db.jobs_waiting(&JobKind::ALL, 10).await.unwrap();
    assert!(jobs.len() <= 1);
    jobs.pop()
}

async fn of_two_nodes_one_takes_a_job(db: Db) {
    let (image, job) = with_job(&db).await;
    let (one, other) = (node(&db, LEASE).await, node(&db, LEASE).await);
    let found = waiting(&db).await.unwrap();
    assert_eq!(
        (found.id, &found.image, found.attempts),
        (job.id, &image.id, 0)
    );
    assert_eq!(found.input, job.input);
    let (first, second) = tokio::join!(db.job_claim(job.id, one), db.job_claim(job.id, other));
    let taken = [first.unwrap(), second.unwrap()];
    assert!(taken[0] != taken[1]);
    assert_eq!(waiting(&db).await, None);
    assert_eq!(db.job_holds(job.id, one).await.unwrap(), taken[0]);
    assert_eq!(db.job_holds(job.id, other).await.unwrap(), taken[1]);
}

/// Its lease is over.
async fn dies(db: &Db, node: NodeId) {
    db.node_beat(node, Duration::ZERO).await.unwrap();
}

async fn a_dead_nodes_job_is_taken_over(db: Db) {
    let (_, job) = with_job(&db).await;
    let (dead, heir) = (node(&db, LEASE).await, node(&db, LEASE).await);
    assert!(db.job_claim(job.id, dead).await.unwrap());
    dies(&db, dead).await;
    assert!(!db.job_holds(job.id, dead).await.unwrap());
    assert_eq!(waiting(&db).await.unwrap().attempts, 1);
    assert!(db.job_claim(job.id, heir).await.unwrap());
    assert!(db.job_holds(job.id, heir).await.unwrap());
}

/// What it took would be free at once, and it would take it again, without an end.
async fn a_node_without_a_lease_takes_nothing(db: Db) {
    let (_, job) = with_job(&db).await;
    let dead = node(&db, Duration::ZERO).await;
    assert!(!db.job_claim(job.id, dead).await.unwrap());
    assert!(!db.job_claim(job.id, NodeId::random()).await.unwrap());
    assert_eq!(waiting(&db).await.unwrap().attempts, 0);
}

/// Neither while a node works on it, nor while one lives that will.
async fn a_job_waits_since_its_node_died(db: Db) {
    let (_, job) = with_job(&db).await;
    let holder = node(&db, LEASE).await;
    db.job_claim(job.id, holder).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let since = db.clock().await.unwrap();
    dies(&db, holder).await;
    let waits = waiting(&db).await.unwrap().waits;
    assert!(waits <= db.clock().await.unwrap() - since, "{waits:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let since = db.clock().await.unwrap();
    db.jobs_await(&[job.id]).await.unwrap();
    let waits = waiting(&db).await.unwrap().waits;
    assert!(waits <= db.clock().await.unwrap() - since, "{waits:?}");
}

async fn a_job_and_its_image_end_together(db: Db) {
    let (before, job) = with_job(&db).await;
    let node = node(&db, LEASE).await;
    db.job_claim(job.id, node).await.unwrap();
    let mut after = before.clone();
    after.os_hash_value = Some("cd".repeat(64));
    let mut moved = before.clone();
    moved.status = Status::Deactivated;
    let lost = db
        .job_finish(job.id, node, (&moved, &after), &ended())
        .await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    assert!(db.job_holds(job.id, node).await.unwrap());
    db.job_finish(job.id, node, (&before, &after), &ended())
        .await
        .unwrap();
    assert_eq!(
        read(&db, &before.id).await.os_hash_value,
        after.os_hash_value
    );
    let again = db
        .job_finish(job.id, node, (&before, &after), &ended())
        .await;
    assert!(matches!(again, Err(Error::Lost)), "{again:?}");
}

async fn a_sleeper_records_nothing(db: Db) {
    let (before, job) = with_job(&db).await;
    let sleeper = node(&db, LEASE).await;
    db.job_claim(job.id, sleeper).await.unwrap();
    dies(&db, sleeper).await;
    let mut after = before.clone();
    after.os_hash_value = None;
    let late = db
        .job_finish(job.id, sleeper, (&before, &after), &ended())
        .await;
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    assert_eq!(read(&db, &before.id).await, before);
    assert!(waiting(&db).await.is_some());
}

async fn a_job_that_is_given_back_rests(db: Db) {
    let (_, job) = with_job(&db).await;
    let node = node(&db, LEASE).await;
    db.job_claim(job.id, node).await.unwrap();
    let released = db.job_release(job.id, node, Back::Failed, LEASE);
    assert!(released.await.unwrap());
    assert_eq!(waiting(&db).await, None);
    assert!(!db.job_claim(job.id, node).await.unwrap());
    assert!(!db.job_holds(job.id, node).await.unwrap());
}

/// Also when the node's lease was over meanwhile; and only once.
async fn a_job_that_was_begun_for_nothing_counts_no_attempt(db: Db) {
    let (_, job) = with_job(&db).await;
    let node = node(&db, LEASE).await;
    db.job_claim(job.id, node).await.unwrap();
    dies(&db, node).await;
    let release = || db.job_release(job.id, node, Back::Unfinished, Duration::ZERO);
    assert!(release().await.unwrap());
    assert!(!release().await.unwrap());
    assert_eq!(waiting(&db).await.unwrap().attempts, 0);
}

async fn a_node_that_leaves_gives_its_jobs_back(db: Db) {
    let (_, job) = with_job(&db).await;
    let node = node(&db, LEASE).await;
    db.job_claim(job.id, node).await.unwrap();
    db.node_leave(node).await.unwrap();
    assert_eq!(waiting(&db).await.unwrap().attempts, 0);
}

async fn a_deleted_image_has_no_jobs(db: Db) {
    let (image, job) = with_job(&db).await;
    let node = node(&db, LEASE).await;
    db.job_claim(job.id, node).await.unwrap();
    db.image_delete(&image).await.unwrap();
    assert!(!db.job_holds(job.id, node).await.unwrap());
    assert_eq!(waiting(&db).await, None);
}

/// Queues an image and lets it claim the object `name`, by the address that says so.
async fn claim(db: &Db, name: &str, url: &str) -> Result<Image, Error> {
    let before = image("claims");
    db.image_create(&before).await?;
    let mut after = before.clone();
    after.status = Status::Active;
    after.locations = vec![location(url)];
    let is_same = |other: &str| {
        other
            .replace("%6f", "o")
            .split('/')
            .any(|part| part == name)
    };
    let claim = Claim {
        name,
        is_same: &is_same,
    };
    db.location_save(&before, &after, &[claim], None).await?;
    Ok(after)
}

async fn of_two_images_one_gets_an_object(db: Db) {
    for name in ["one", "two", "three"] {
        let url = format!("rbd://f/p/{name}/snap");
        let (first, second) = tokio::join!(claim(&db, name, &url), claim(&db, name, &url));
        match (first, second) {
            (Ok(_), Err(Error::Taken)) | (Err(Error::Taken), Ok(_)) => {}
            both => panic!("{both:?}"),
        }
    }
}

async fn an_object_of_another_image_is_taken(db: Db) {
    claim(&db, "object", "rbd://f/p/%6fbject/snap")
        .await
        .unwrap();
    let again = claim(&db, "object", "rbd://object").await;
    assert!(matches!(again, Err(Error::Taken)), "{again:?}");
    // Its object is published before its row says so.
    let uploads = image("uploads");
    db.image_create(&uploads).await.unwrap();
    let name = uploads.id.as_str();
    let before = claim(&db, name, &format!("rbd://f/p/{name}/snap")).await;
    assert!(matches!(before, Err(Error::Taken)), "{before:?}");
    db.image_delete(&uploads).await.unwrap();
    claim(&db, name, &format!("rbd://f/p/{name}/snap"))
        .await
        .unwrap();
}

async fn a_name_that_only_looks_alike_is_free(db: Db) {
    claim(&db, "a_c", "rbd://f/p/a_c/snap").await.unwrap();
    claim(&db, "abc", "rbd://f/p/abc/snap").await.unwrap();
    claim(&db, "a%c", "rbd://f/p/a%c/snap").await.unwrap();
    let own = claim(&db, "own", "rbd://f/p/own/snap").await.unwrap();
    let before = read(&db, &own.id).await;
    let mut after = before.clone();
    after.name = Some("renamed".to_owned());
    let is_same = |url: &str| url.contains("/own/");
    let claims = [Claim {
        name: "own",
        is_same: &is_same,
    }];
    db.location_save(&before, &after, &claims, None)
        .await
        .unwrap();
}

async fn a_trust_is_over_with_its_job(db: Db) {
    let (_, job) = with_job(&db).await;
    let unbegun = uuid::Uuid::new_v4();
    let (living, dead) = (node(&db, LEASE).await, node(&db, Duration::ZERO).await);
    db.trust_add("begun", job.id, dead).await.unwrap();
    db.trust_add("unbegun", unbegun, living).await.unwrap();
    assert_eq!(db.trust_of(job.id).await.unwrap().as_deref(), Some("begun"));
    let over = async |age| db.trusts_over(age, 10).await.unwrap();
    assert_eq!(over(LEASE).await, [""; 0]);
    assert_eq!(over(Duration::ZERO).await, ["unbegun"]);
    db.trust_forget("unbegun").await.unwrap();
    assert_eq!(db.trust_of(unbegun).await.unwrap(), None);
    assert!(db.job_claim(job.id, living).await.unwrap());
    db.job_drop(job.id, living).await.unwrap();
    // A node that is dead ends nothing itself.
    assert_eq!(over(LEASE).await, ["begun"]);
}
