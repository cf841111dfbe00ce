//! What the scrubber and the mending of images ask and record.

use std::time::Duration;

use chrono::TimeDelta;
use fresnel::{
    control::db::{Claim, Db, Error},
    model::{Image, ImageId, Location, LocationStatus, Status},
};

use super::{admin, claims, full, image, location, now};

claims!(
    a_location_is_pending_until_its_data_is_gone,
    the_last_location_stays,
    a_delayed_deletion_ends_when_its_data_is_gone,
    a_delayed_deletion_is_taken_back,
    a_stuck_image_is_seized_once,
    who_has_an_object_is_known,
);

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);

async fn read(db: &Db, id: &ImageId) -> Image {
    db.image(id, &admin()).await.unwrap().image
}

async fn pending(db: &Db, wait: Duration) -> Vec<(ImageId, Location)> {
    db.locations_pending(wait, 0, 10).await.unwrap()
}

/// Its first location is given up.
fn without_first(image: &Image) -> Image {
    let mut after = image.clone();
    after.locations[0].status = LocationStatus::PendingDelete;
    after
}

async fn in_two_places(db: &Db) -> Image {
    let mut image = full("twice");
    image.locations.push(location("file:///images/two"));
    db.image_create(&image).await.unwrap();
    read(db, &image.id).await
}

async fn a_location_is_pending_until_its_data_is_gone(db: Db) {
    let image = in_two_places(&db).await;
    db.image_save(&image, &without_first(&image)).await.unwrap();
    assert_eq!(read(&db, &image.id).await.locations, image.locations[1..]);
    assert_eq!(pending(&db, HOUR).await, []);
    let found = pending(&db, NOW).await;
    let expected = Location {
        status: LocationStatus::PendingDelete,
        ..image.locations[0].clone()
    };
    assert_eq!(found, [(image.id.clone(), expected)]);
    assert_eq!(db.addresses(0, 10).await.unwrap().len(), 2);
    let row = image.locations[0].id.unwrap();
    assert_eq!(db.locations_pending(NOW, row, 10).await.unwrap(), []);
    db.location_forget(&image.id, row).await.unwrap();
    assert_eq!(pending(&db, NOW).await, []);
    let left = db.addresses(0, 10).await.unwrap();
    assert_eq!(
        left,
        [(
            image.locations[1].id.unwrap(),
            "file:///images/two".to_owned()
        )]
    );
}

async fn the_last_location_stays(db: Db) {
    let image = in_two_places(&db).await;
    let mut other = image.clone();
    other.locations[1].status = LocationStatus::PendingDelete;
    let first = without_first(&image);
    let (one, two) = tokio::join!(db.image_save(&image, &first), db.image_save(&image, &other));
    let lost = [one, two]
        .into_iter()
        .filter(Result::is_err)
        .collect::<Vec<_>>();
    assert!(matches!(lost[..], [Err(Error::Conflict)]), "{lost:?}");
    assert_eq!(read(&db, &image.id).await.locations.len(), 1);
}

async fn a_delayed_deletion_ends_when_its_data_is_gone(db: Db) {
    let image = in_two_places(&db).await;
    db.image_delete_later(&image, None).await.unwrap();
    let fate = db.image_fate(&image.id).await.unwrap().unwrap();
    assert_eq!(fate.status, Status::PendingDelete);
    assert!(fate.deleted_at.is_some());
    for (id, location) in pending(&db, NOW).await {
        assert_eq!(db.images_scrubbed(NOW).await.unwrap(), 0);
        db.location_forget(&id, location.id.unwrap()).await.unwrap();
    }
    assert_eq!(db.images_scrubbed(HOUR).await.unwrap(), 0);
    assert_eq!(db.images_scrubbed(NOW).await.unwrap(), 1);
    let fate = db.image_fate(&image.id).await.unwrap().unwrap();
    assert_eq!(fate.status, Status::Deleted);
    assert!(!db.image_restore(&image.id).await.unwrap());
    assert_eq!(db.image_fate(&ImageId::random()).await.unwrap(), None);
}

async fn a_delayed_deletion_is_taken_back(db: Db) {
    let image = in_two_places(&db).await;
    assert!(!db.image_restore(&image.id).await.unwrap());
    db.image_delete_later(&image, None).await.unwrap();
    assert!(db.image_restore(&image.id).await.unwrap());
    let restored = read(&db, &image.id).await;
    assert_eq!(restored.status, Status::Active);
    assert_eq!(restored.locations, image.locations);
    assert_eq!(pending(&db, NOW).await, []);
}

async fn a_stuck_image_is_seized_once(db: Db) {
    let old = now() - TimeDelta::days(3);
    let mut stuck = Image {
        status: Status::Saving,
        updated_at: old,
        ..image("stuck")
    };
    stuck.properties.insert("os_distro".to_owned(), None);
    db.image_create(&stuck).await.unwrap();
    db.image_create(&image("queued")).await.unwrap();
    let found = db.images_stuck(HOUR, "", 10).await.unwrap();
    assert_eq!(found, [stuck.id.clone()]);
    assert_eq!(
        db.images_stuck(HOUR, stuck.id.as_str(), 10).await.unwrap(),
        []
    );
    assert_eq!(db.images_stuck(100 * 24 * HOUR, "", 10).await.unwrap(), []);
    let read_back = read(&db, &stuck.id).await;
    let seized = tokio::join!(
        db.image_seize(&read_back, Some("t")),
        db.image_seize(&read_back, None)
    );
    assert!(seized.0.unwrap() != seized.1.unwrap());
    let mut late = read_back.clone();
    late.status = Status::Active;
    let lost = db.image_save(&read_back, &late).await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    assert_eq!(db.task_moved_at("none").await.unwrap(), None);
}

async fn who_has_an_object_is_known(db: Db) {
    let image = in_two_places(&db).await;
    let named = async |name: &str| {
        let url = format!("file:///images/{name}");
        let claim = Claim {
            name,
            is_same: &|other| other == url,
        };
        db.object_is_named(&claim).await.unwrap()
    };
    assert!(named("one").await && named("two").await);
    assert!(!named("on").await && !named("three").await);
    assert_eq!(db.addresses_of(&image.id).await.unwrap().len(), 2);
    assert_eq!(db.writes_of(&image.id).await.unwrap(), []);
}
