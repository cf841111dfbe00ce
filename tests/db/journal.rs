//! Writes, leases and fences (ADR 9).

use std::time::Duration;

use fresnel::{
    control::db::{Beat, Db, Error, NewWrite, NodeId},
    model::{Attempt, Image, Status, StoreId},
};

use super::{admin, claims, image, location};

claims!(
    a_write_begins_and_finishes,
    of_two_nodes_that_begin_one_writes,
    a_lost_begin_leaves_no_write,
    a_write_may_learn_its_object,
    a_fenced_write_publishes_nothing,
    a_write_past_its_lease_is_its_nodes_until_it_is_fenced,
    a_deleted_image_takes_no_bytes,
    a_live_write_is_not_dead,
    a_lease_runs_out_by_the_databases_clock,
    an_image_has_its_dead_writes_however_many_others_have,
    one_node_fences,
    a_dead_fencer_is_followed,
    an_abandoned_image_is_queued_again,
    an_abandoned_target_leaves_the_others,
    a_released_image_takes_another_upload,
    a_released_image_that_glance_writes_stays_its,
    a_foreign_upload_is_not_ours_to_requeue,
    a_node_that_left_leaves_dead_writes,
);

/// Long enough for any claim here.
const LEASE: Duration = Duration::from_secs(600);

async fn a_write_begins_and_finishes(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    assert_eq!(upload.status(&db).await, Status::Saving);
    upload.finish(&db).await.unwrap();
    let active = db.image(&upload.queued.id, &admin()).await.unwrap().image;
    assert_eq!(active.status, Status::Active);
    assert_eq!(active.size_bytes, Some(7));
    assert_eq!(active.locations[0].url, "file:///one");
    let again = upload.finish(&db).await;
    assert!(matches!(again, Err(Error::Lost)), "{again:?}");
}

async fn of_two_nodes_that_begin_one_writes(db: Db) {
    for _ in 0..5 {
        let one = Upload::new(&db, LEASE).await;
        let other = one.by_another_node(&db).await;
        let (first, second) = tokio::join!(one.begin(&db), other.begin(&db));
        let (winner, loser) = match (first, second) {
            (Ok(()), Err(Error::Conflict)) => (one, other),
            (Err(Error::Conflict), Ok(())) => (other, one),
            both => panic!("{both:?}"),
        };
        let late = loser.finish(&db).await;
        assert!(matches!(late, Err(Error::Lost)), "{late:?}");
        winner.finish(&db).await.unwrap();
    }
}

async fn a_lost_begin_leaves_no_write(db: Db) {
    let upload = Upload::new(&db, Duration::ZERO).await;
    db.image_delete(&upload.queued).await.unwrap();
    let begun = upload.begin(&db).await;
    assert!(matches!(begun, Err(Error::NotFound)), "{begun:?}");
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
}

/// What the sweep finds is what the writer came to know, and after a fence it may know nothing more.
async fn a_write_may_learn_its_object(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    let (attempt, owner) = (upload.attempts[0], upload.node);
    db.write_object(attempt, owner, "bucket/key?upload=é")
        .await
        .unwrap();
    let stranger = node(&db, LEASE).await;
    let stolen = db.write_object(attempt, stranger, "other").await;
    assert!(matches!(stolen, Err(Error::Lost)), "{stolen:?}");
    assert!(db.write_fence(attempt, owner).await.unwrap());
    let late = db.write_object(attempt, owner, "other").await;
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    db.node_leave(owner).await.unwrap();
    let dead = db.writes_dead(NodeId::random(), 10).await.unwrap();
    let found = dead.iter().find(|dead| dead.attempt == attempt).unwrap();
    assert_eq!(found.object, "bucket/key?upload=é");
}

async fn a_fenced_write_publishes_nothing(db: Db) {
    let upload = Upload::new(&db, Duration::ZERO).await;
    upload.begin(&db).await.unwrap();
    let sweeper = node(&db, LEASE).await;
    assert!(db.write_fence(upload.attempts[0], sweeper).await.unwrap());
    let beat = db.node_beat(upload.node, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Late);
    assert_eq!(db.writes_unfenced(upload.node).await.unwrap(), []);
    let late = upload.finish(&db).await;
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    let image = db.image(&upload.queued.id, &admin()).await.unwrap().image;
    assert_eq!((image.status, image.locations.len()), (Status::Saving, 0));
}

async fn a_write_past_its_lease_is_its_nodes_until_it_is_fenced(db: Db) {
    let upload = Upload::new(&db, Duration::ZERO).await;
    upload.begin(&db).await.unwrap();
    assert_eq!(db.writes_dead(upload.node, 10).await.unwrap(), []);
    let beat = db.node_beat(upload.node, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Late);
    let unfenced = db.writes_unfenced(upload.node).await.unwrap();
    let unfenced: Vec<Attempt> = unfenced.iter().map(|write| write.attempt).collect();
    assert_eq!(unfenced, upload.attempts);
    let sweeper = node(&db, LEASE).await;
    assert!(!db.write_fence(upload.attempts[0], sweeper).await.unwrap());
    upload.finish(&db).await.unwrap();
}

async fn an_image_has_its_dead_writes_however_many_others_have(db: Db) {
    let older = Upload::new(&db, Duration::ZERO).await;
    older.begin(&db).await.unwrap();
    let upload = Upload::new(&db, Duration::ZERO).await;
    upload.begin(&db).await.unwrap();
    let sweeper = NodeId::random();
    let one = db.writes_dead(sweeper, 1).await.unwrap();
    assert_eq!((one.len(), one[0].attempt), (1, older.attempts[0]));
    let found = db.writes_dead_at(sweeper, &upload.queued.id).await.unwrap();
    let found: Vec<Attempt> = found.iter().map(|write| write.attempt).collect();
    assert_eq!(found, upload.attempts);
}

async fn a_deleted_image_takes_no_bytes(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    db.image_delete(&upload.saving).await.unwrap();
    let late = upload.finish(&db).await;
    assert!(matches!(late, Err(Error::NotFound)), "{late:?}");
    // What did not happen did not take the write away either: somebody must clean up.
    db.node_leave(upload.node).await.unwrap();
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap().len(), 1);
    db.write_abandon(&upload.attempts, &upload.queued.id)
        .await
        .unwrap();
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
}

async fn a_live_write_is_not_dead(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
    let sweeper = node(&db, LEASE).await;
    assert!(!db.write_fence(upload.attempts[0], sweeper).await.unwrap());
    upload.finish(&db).await.unwrap();
}

async fn a_lease_runs_out_by_the_databases_clock(db: Db) {
    let lease = Duration::from_millis(300);
    let joined = db.clock().await.unwrap();
    let upload = Upload::new(&db, lease).await;
    upload.begin(&db).await.unwrap();
    let beat = db.node_beat(upload.node, lease).await.unwrap();
    assert_eq!(beat, Beat::InTime);
    while db
        .writes_dead(NodeId::random(), 10)
        .await
        .unwrap()
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    assert!(db.clock().await.unwrap() - joined >= lease);
    let dead = db
        .writes_dead(NodeId::random(), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((dead.attempt, dead.node), (upload.attempts[0], upload.node));
    assert_eq!(
        (dead.image, dead.object.as_str()),
        (upload.queued.id, "object")
    );
    assert_eq!(dead.store, StoreId::new("fast"));
    let beat = db.node_beat(upload.node, lease).await.unwrap();
    assert_eq!(beat, Beat::Late);
}

async fn one_node_fences(db: Db) {
    let upload = Upload::new(&db, Duration::ZERO).await;
    upload.begin(&db).await.unwrap();
    let mut sweepers = Vec::new();
    for _ in 0..8 {
        let (db, by, attempt) = (db.clone(), node(&db, LEASE).await, upload.attempts[0]);
        sweepers.push(tokio::spawn(
            async move { db.write_fence(attempt, by).await },
        ));
    }
    let mut fenced = 0;
    for sweeper in sweepers {
        fenced += usize::from(sweeper.await.unwrap().unwrap());
    }
    assert_eq!(fenced, 1);
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
}

async fn a_dead_fencer_is_followed(db: Db) {
    let upload = Upload::new(&db, Duration::ZERO).await;
    upload.begin(&db).await.unwrap();
    let dies = node(&db, Duration::ZERO).await;
    assert!(db.write_fence(upload.attempts[0], dies).await.unwrap());
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap().len(), 1);
    let follows = node(&db, LEASE).await;
    assert!(db.write_fence(upload.attempts[0], follows).await.unwrap());
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
}

async fn an_abandoned_image_is_queued_again(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    db.write_abandon(&upload.attempts, &upload.queued.id)
        .await
        .unwrap();
    let image = db.image(&upload.queued.id, &admin()).await.unwrap().image;
    assert_eq!((image.status, image.size_bytes), (Status::Queued, None));
    // Twice does no harm, and a retry works.
    let retry = upload.again(&db).await;
    retry.begin(&db).await.unwrap();
    db.write_abandon(&upload.attempts, &upload.queued.id)
        .await
        .unwrap();
    retry.finish(&db).await.unwrap();
}

async fn an_abandoned_target_leaves_the_others(db: Db) {
    let mut upload = Upload::new(&db, LEASE).await;
    upload.attempts.push(Attempt::random());
    upload.begin(&db).await.unwrap();
    let dropped = upload.attempts.pop().unwrap();
    db.write_abandon(&[dropped], &upload.queued.id)
        .await
        .unwrap();
    assert_eq!(upload.status(&db).await, Status::Saving);
    upload.finish(&db).await.unwrap();
}

/// Its bytes wait for their store, and the image for nobody.
async fn a_released_image_takes_another_upload(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    upload.release(&db).await;
    assert_eq!(upload.status(&db).await, Status::Queued);
    let retry = upload.again(&db).await;
    retry.begin(&db).await.unwrap();
    // The sweep fails once more, and then does not.
    upload.release(&db).await;
    db.write_abandon(&upload.attempts, &upload.queued.id)
        .await
        .unwrap();
    assert_eq!(upload.status(&db).await, Status::Saving);
    retry.finish(&db).await.unwrap();
    db.node_leave(upload.node).await.unwrap();
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap(), []);
}

async fn a_released_image_that_glance_writes_stays_its(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    upload.release(&db).await;
    let retry = upload.again(&db).await;
    db.image_save(&retry.queued, &retry.saving).await.unwrap();
    upload.release(&db).await;
    db.write_abandon(&upload.attempts, &upload.queued.id)
        .await
        .unwrap();
    assert_eq!(upload.status(&db).await, Status::Saving);
}

/// Glance beside us uploads too: an image in `saving` without a write of ours is Glance's.
async fn a_foreign_upload_is_not_ours_to_requeue(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    db.image_save(&upload.queued, &upload.saving).await.unwrap();
    db.write_abandon(&upload.attempts, &upload.queued.id)
        .await
        .unwrap();
    assert_eq!(upload.status(&db).await, Status::Saving);
}

async fn a_node_that_left_leaves_dead_writes(db: Db) {
    let upload = Upload::new(&db, LEASE).await;
    upload.begin(&db).await.unwrap();
    db.node_leave(upload.node).await.unwrap();
    assert_eq!(db.writes_dead(NodeId::random(), 10).await.unwrap().len(), 1);
    let beat = db.node_beat(upload.node, LEASE).await.unwrap();
    assert_eq!(beat, Beat::Gone);
    let joined = db.node_join(upload.node, LEASE).await;
    joined.unwrap();
    let twice = db.node_join(upload.node, LEASE).await;
    assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
}

/// One upload by one node.
struct Upload {
    node: NodeId,
    attempts: Vec<Attempt>,
    queued: Image,
    saving: Image,
    active: Image,
}

impl Upload {
    async fn new(db: &Db, lease: Duration) -> Self {
        let queued = image("one");
        db.image_create(&queued).await.unwrap();
        let mut saving = queued.clone();
        saving.status = Status::Saving;
        let mut active = saving.clone();
        active.status = Status::Active;
        active.size_bytes = Some(7);
        active.locations = vec![location("file:///one")];
        Self {
            node: node(db, lease).await,
            attempts: vec![Attempt::random()],
            queued,
            saving,
            active,
        }
    }

    async fn by_another_node(&self, db: &Db) -> Self {
        Self {
            node: node(db, LEASE).await,
            ..self.again(db).await
        }
    }

    /// The same by the same node, as another attempt.
    async fn again(&self, db: &Db) -> Self {
        let queued = db.image(&self.queued.id, &admin()).await.unwrap().image;
        Self {
            node: self.node,
            attempts: vec![Attempt::random()],
            queued,
            saving: self.saving.clone(),
            active: self.active.clone(),
        }
    }

    async fn begin(&self, db: &Db) -> Result<(), Error> {
        let writes = self.attempts.iter().map(|attempt| NewWrite {
            attempt: *attempt,
            node: self.node,
            store: StoreId::new("fast"),
            object: "object".to_owned(),
        });
        let writes: Vec<_> = writes.collect();
        db.write_begin(&self.queued, &self.saving, &writes, None)
            .await
    }

    async fn finish(&self, db: &Db) -> Result<(), Error> {
        db.write_finish(&self.attempts, self.node, &self.saving, &self.active)
            .await
    }

    async fn release(&self, db: &Db) {
        let released = db.write_release(&self.attempts, &self.queued.id);
        released.await.unwrap();
    }

    async fn status(&self, db: &Db) -> Status {
        db.image(&self.queued.id, &admin())
            .await
            .unwrap()
            .image
            .status
    }
}

async fn node(db: &Db, lease: Duration) -> NodeId {
    let node = NodeId::random();
    db.node_join(node, lease).await.unwrap();
    node
}
