//! One image: what is written is read, by whom it may be.

use fresnel::{
    control::db::{Db, Error, Viewer},
    model::{Image, ImageId, LocationStatus, ProjectId, Status, Visibility},
};

use super::{admin, claims, full, image, location, now, project};

claims!(
    everything_is_read_back,
    a_get_is_one_statement,
    gets_at_once_share_statements,
    a_bare_create_is_one_statement,
    an_id_is_taken_for_ever,
    no_id_of_the_wrong_shape_is_found,
    a_change_writes_what_differs,
    a_change_that_changes_nothing_succeeds,
    a_removed_property_is_revived,
    no_property_is_another_in_other_letters,
    a_property_gives_way_to_one_in_other_letters,
    tags_differ_by_every_letter,
    locations_come_and_go,
    credentials_of_old_locations_are_read_over,
    the_import_lock_is_not_ours,
    a_lost_move_changes_nothing,
    one_of_many_moves_wins,
    deleted_is_gone,
    a_location_that_came_meanwhile_is_not_lost,
    what_is_protected_meanwhile_stays,
    who_may_get_what,
    what_does_not_fit_is_refused,
);

async fn everything_is_read_back(db: Db) {
    let image = full("one");
    db.image_create(&image).await.unwrap();
    assert_eq!(without_ids(get(&db, &image).await), image);
}

async fn a_get_is_one_statement(db: Db) {
    let image = full("one");
    db.image_create(&image).await.unwrap();
    let before = db.statements_sent();
    get(&db, &image).await;
    assert_eq!(db.statements_sent() - before, 1);
}

async fn gets_at_once_share_statements(db: Db) {
    let mut images = Vec::new();
    for n in 0..8 {
        images.push(full(&format!("image {n}")));
        db.image_create(&images[n]).await.unwrap();
    }
    let missing = image("never created");
    let before = db.statements_sent();
    let asked: Vec<_> = images.iter().chain([&missing]).cycle().take(63).collect();
    let reads = asked.iter().map(|image| {
        let db = &db;
        async move { db.image(&image.id, &admin()).await }
    });
    let read = futures_util::future::join_all(reads).await;
    for (image, read) in asked.into_iter().zip(read) {
        match read {
            Ok(found) => assert_eq!(without_ids(found.image), *image),
            Err(error) => assert!(matches!(error, Error::NotFound) && image.id == missing.id),
        }
    }
    assert!(db.statements_sent() - before < 63);
}

async fn a_bare_create_is_one_statement(db: Db) {
    let before = db.statements_sent();
    db.image_create(&image("one")).await.unwrap();
    assert_eq!(db.statements_sent() - before, 1);
}

async fn an_id_is_taken_for_ever(db: Db) {
    let image = full("one");
    db.image_create(&image).await.unwrap();
    let twice = db.image_create(&image).await;
    assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
    db.image_delete(&image).await.unwrap();
    let again = db.image_create(&image).await;
    assert!(matches!(again, Err(Error::Duplicate(_))), "{again:?}");
}

async fn no_id_of_the_wrong_shape_is_found(db: Db) {
    for id in ["", "x", "a'; --", "nul\0", &"long".repeat(10)] {
        let found = db.image(&ImageId::new(id), &admin()).await;
        assert!(matches!(found, Err(Error::NotFound)), "{id}: {found:?}");
    }
}

async fn a_change_writes_what_differs(db: Db) {
    let before = full("one");
    db.image_create(&before).await.unwrap();
    let before = get(&db, &before).await;
    let mut after = before.clone();
    after.name = None;
    after.owner = Some(ProjectId::new("heir"));
    after.visibility = Visibility::Community;
    after.size_bytes = None;
    after.os_hidden = true;
    after.tags = vec!["ape".to_owned(), "new".to_owned()];
    after.properties.remove("kernel_id");
    after.properties.insert("quote".to_owned(), None);
    after
        .properties
        .insert("added".to_owned(), Some(String::new()));
    db.image_save(&before, &after).await.unwrap();
    assert_eq!(get(&db, &after).await, after);
}

async fn a_change_that_changes_nothing_succeeds(db: Db) {
    let image = image("one");
    db.image_create(&image).await.unwrap();
    db.image_save(&image, &image).await.unwrap();
    assert_eq!(get(&db, &image).await, image);
}

async fn a_removed_property_is_revived(db: Db) {
    let with = full("one");
    let mut without = with.clone();
    without.properties.clear();
    db.image_create(&with).await.unwrap();
    for _ in 0..2 {
        db.image_save(&with, &without).await.unwrap();
        assert!(get(&db, &with).await.properties.is_empty());
        db.image_save(&without, &with).await.unwrap();
        assert_eq!(get(&db, &with).await.properties, with.properties);
    }
}

/// An image with a property of that name.
fn with_property(name: &str, value: &str) -> Image {
    let mut image = image("one");
    image.properties = [(name.to_owned(), Some(value.to_owned()))].into();
    image
}

/// To MySQL's key they are one name.
async fn no_property_is_another_in_other_letters(db: Db) {
    for other in ["X_code", "x_códe", "x_code "] {
        let before = with_property("x_code", "protected");
        db.image_create(&before).await.unwrap();
        let mut with = before.clone();
        let value = Some("stolen".to_owned());
        with.properties.insert(other.to_owned(), value);
        let expected = match db.image_save(&before, &with).await {
            Ok(()) => &with,
            Err(Error::Alike) => &before,
            Err(error) => panic!("{error:?}"),
        };
        let found = get(&db, &before).await;
        assert_eq!(found.properties, expected.properties);
        // Nor does what is removed under one name go under the other.
        db.image_save(&with, &before).await.unwrap();
        let found = get(&db, &before).await;
        assert_eq!(found.properties, before.properties, "{other:?}");
    }
}

async fn a_property_gives_way_to_one_in_other_letters(db: Db) {
    let before = with_property("kernel", "1");
    db.image_create(&before).await.unwrap();
    let mut after = before.clone();
    after.properties = with_property("Kernel", "2").properties;
    db.image_save(&before, &after).await.unwrap();
    assert_eq!(get(&db, &before).await.properties, after.properties);
    db.image_save(&after, &before).await.unwrap();
    assert_eq!(get(&db, &before).await.properties, before.properties);
}

async fn tags_differ_by_every_letter(db: Db) {
    let mut before = image("one");
    before.tags = vec!["prod".to_owned(), "b".to_owned()];
    db.image_create(&before).await.unwrap();
    let mut after = before.clone();
    after.tags = vec!["b".to_owned(), "Prod".to_owned()];
    db.image_save(&before, &after).await.unwrap();
    assert_eq!(get(&db, &before).await.tags, after.tags);
}

/// Older Glances wrote an S3 server's keys into addresses.
async fn credentials_of_old_locations_are_read_over(db: Db) {
    let mut image = image("one");
    image.locations = vec![location("s3://KEY:sec/ret@host/bucket/one")];
    db.image_create(&image).await.unwrap();
    let read = db.image(&image.id, &admin()).await.unwrap().image;
    assert_eq!(read.locations[0].url, "s3://host/bucket/one");
}

async fn locations_come_and_go(db: Db) {
    let mut first = image("one");
    first.locations = vec![location("file:///a"), location("file:///b")];
    db.image_create(&first).await.unwrap();
    let first = get(&db, &first).await;
    let mut second = first.clone();
    second.locations.remove(0);
    second.locations[0].metadata.clear();
    second.locations.push(location("file:///c"));
    db.image_save(&first, &second).await.unwrap();
    let read = get(&db, &second).await;
    let urls = read
        .locations
        .iter()
        .map(|l| (l.url.as_str(), l.metadata.len()));
    assert_eq!(
        urls.collect::<Vec<_>>(),
        [("file:///b", 0), ("file:///c", 1)]
    );
    let mut third = read.clone();
    third.locations[0].status = LocationStatus::PendingDelete;
    db.image_save(&read, &third).await.unwrap();
    assert_eq!(get(&db, &third).await.locations.len(), 1);
}

async fn the_import_lock_is_not_ours(db: Db) {
    let lock = "os_glance_import_task".to_owned();
    let before = image("one");
    db.image_create(&before).await.unwrap();
    let mut locking = before.clone();
    locking.properties.insert(lock, Some("task".to_owned()));
    db.image_save(&before, &locking).await.unwrap();
    assert!(get(&db, &before).await.properties.is_empty());
}

async fn a_lost_move_changes_nothing(db: Db) {
    let queued = full("one");
    db.image_create(&queued).await.unwrap();
    let mut stale = queued.clone();
    stale.status = Status::Queued;
    let mut after = stale.clone();
    after.tags.push("late".to_owned());
    after.properties.clear();
    let lost = db.image_save(&stale, &after).await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    let lost = db.image_delete(&stale).await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    assert_eq!(without_ids(get(&db, &queued).await), queued);
    let unknown = image("never created");
    let gone = db.image_save(&unknown, &unknown).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}

async fn one_of_many_moves_wins(db: Db) {
    let queued = image("one");
    db.image_create(&queued).await.unwrap();
    let racers = (0..16).map(|racer| {
        let (db, before) = (db.clone(), queued.clone());
        let mut after = before.clone();
        after.status = Status::Saving;
        after.tags = vec![format!("racer {racer}")];
        tokio::spawn(async move { db.image_save(&before, &after).await })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(()) => won += 1,
            Err(Error::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won, get(&db, &queued).await.tags.len()), (1, 1));
}

async fn what_is_protected_meanwhile_stays(db: Db) {
    let before = image("one");
    db.image_create(&before).await.unwrap();
    let mut after = before.clone();
    after.protected = true;
    db.image_save(&before, &after).await.unwrap();
    let lost = db.image_delete(&before).await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    let lost = db.image_delete_later(&before, None).await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    assert_eq!(get(&db, &before).await, after);
}

async fn deleted_is_gone(db: Db) {
    let image = full("one");
    db.image_create(&image).await.unwrap();
    db.member_add(&image.id, &ProjectId::new("friend"))
        .await
        .unwrap();
    db.image_delete(&image).await.unwrap();
    let gone = db.image(&image.id, &admin()).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
    assert_eq!(db.members(&image.id, &admin()).await.unwrap(), []);
    let twice = db.image_delete(&image).await;
    assert!(matches!(twice, Err(Error::NotFound)), "{twice:?}");
}

/// The data at the others was removed before, and nobody would remove its.
async fn a_location_that_came_meanwhile_is_not_lost(db: Db) {
    let created = full("one");
    db.image_create(&created).await.unwrap();
    let read = get(&db, &created).await;
    let mut copied = read.clone();
    copied.locations.push(location("file:///images/two"));
    db.image_save(&read, &copied).await.unwrap();
    let late = db.image_delete(&read).await;
    assert!(matches!(late, Err(Error::Conflict)), "{late:?}");
    let read = get(&db, &created).await;
    assert_eq!(read.locations.len(), 2);
    db.image_delete(&read).await.unwrap();
}

async fn who_may_get_what(db: Db) {
    let nobody = Viewer {
        project: None,
        is_admin: false,
    };
    for (visibility, sharers, seen_by) in [
        (
            Visibility::Public,
            &[][..],
            "admin owner friend stranger nobody",
        ),
        (
            Visibility::Community,
            &[],
            "admin owner friend stranger nobody",
        ),
        (Visibility::Shared, &["friend"], "admin owner friend"),
        (Visibility::Private, &["friend"], "admin owner"),
    ] {
        let image = Image {
            visibility,
            ..image("one")
        };
        db.image_create(&image).await.unwrap();
        for sharer in sharers {
            db.member_add(&image.id, &ProjectId::new(*sharer))
                .await
                .unwrap();
        }
        let mut seen = Vec::new();
        for (name, viewer) in [
            ("admin", admin()),
            ("owner", project("owner")),
            ("friend", project("friend")),
            ("stranger", project("stranger")),
            ("nobody", nobody.clone()),
        ] {
            match db.image(&image.id, &viewer).await {
                Ok(found) => {
                    let through = found.member.as_ref().map(ProjectId::as_str);
                    let shared = visibility == Visibility::Shared && name == "friend";
                    assert_eq!(through, shared.then_some("friend"), "{name} {visibility}");
                    seen.push(name);
                }
                Err(Error::NotFound) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(seen.join(" "), seen_by, "{visibility}");
    }
    // An image that nobody owns is everybody's to see.
    let mut orphan = image("orphan");
    orphan.owner = None;
    orphan.visibility = Visibility::Private;
    db.image_create(&orphan).await.unwrap();
    db.image(&orphan.id, &nobody).await.unwrap();
}

/// SQLite holds anything; the others name no row that they could not hold.
async fn what_does_not_fit_is_refused(db: Db) {
    let mut image = image(&"x".repeat(256));
    image.updated_at = now();
    match db.image_create(&image).await {
        Ok(()) => assert_eq!(get(&db, &image).await, image),
        Err(Error::Refused(_)) => {
            let found = db.image(&image.id, &admin()).await;
            assert!(matches!(found, Err(Error::NotFound)), "{found:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
}

async fn get(db: &Db, image: &Image) -> Image {
    db.image(&image.id, &admin()).await.unwrap().image
}

fn without_ids(mut image: Image) -> Image {
    for location in &mut image.locations {
        assert!(
            location.id.take().is_some(),
            "a row that was read has its id"
        );
    }
    image
}
