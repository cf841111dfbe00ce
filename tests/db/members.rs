//! With whom an image is shared.

use fresnel::{
    control::db::{Db, Error},
    model::{ImageId, MemberStatus, ProjectId},
};

use super::{admin, claims, image, project};

claims!(
    a_member_is_added_once,
    of_many_that_add_one_member_one_succeeds,
    an_ended_membership_is_revived,
    members_see_themselves,
    an_answer_is_kept,
    nothing_is_shared_of_no_image,
);

async fn a_member_is_added_once(db: Db) {
    let (image, friend) = shared(&db).await;
    let member = db.member_add(&image, &friend).await.unwrap();
    assert_eq!((&member.image_id, &member.member), (&image, &friend));
    assert_eq!(member.status, MemberStatus::Pending);
    let twice = db.member_add(&image, &friend).await;
    assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
    assert_eq!(db.members(&image, &admin()).await.unwrap(), [member]);
}

async fn of_many_that_add_one_member_one_succeeds(db: Db) {
    let (image, friend) = shared(&db).await;
    let adders = (0..12).map(|_| {
        let (db, image, friend) = (db.clone(), image.clone(), friend.clone());
        tokio::spawn(async move { db.member_add(&image, &friend).await })
    });
    let mut added = 0;
    for adder in adders.collect::<Vec<_>>() {
        match adder.await.unwrap() {
            Ok(_) => added += 1,
            Err(Error::Duplicate(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(added, 1);
    assert_eq!(db.members(&image, &admin()).await.unwrap().len(), 1);
}

async fn an_ended_membership_is_revived(db: Db) {
    let (image, friend) = shared(&db).await;
    db.member_add(&image, &friend).await.unwrap();
    for _ in 0..2 {
        let accepted = MemberStatus::Accepted;
        db.member_update(&image, &friend, accepted).await.unwrap();
        db.member_delete(&image, &friend).await.unwrap();
        assert_eq!(db.members(&image, &admin()).await.unwrap(), []);
        let again = db.member_delete(&image, &friend).await;
        assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
        let revived = db.member_add(&image, &friend).await.unwrap();
        assert_eq!(revived.status, MemberStatus::Pending);
    }
}

async fn members_see_themselves(db: Db) {
    let (image, friend) = shared(&db).await;
    let other = ProjectId::new("other");
    db.member_add(&image, &friend).await.unwrap();
    db.member_add(&image, &other).await.unwrap();
    for (viewer, seen) in [
        (admin(), &["friend", "other"][..]),
        (project("owner"), &["friend", "other"]),
        (project("friend"), &["friend"]),
        (project("stranger"), &[]),
    ] {
        let members = db.members(&image, &viewer).await.unwrap();
        let names: Vec<_> = members.iter().map(|m| m.member.as_str()).collect();
        assert_eq!(names, seen, "{viewer:?}");
        let one = db.member(&image, &other, &viewer).await;
        assert_eq!(one.is_ok(), seen.contains(&"other"), "{viewer:?}: {one:?}");
    }
}

async fn an_answer_is_kept(db: Db) {
    let (image, friend) = shared(&db).await;
    db.member_add(&image, &friend).await.unwrap();
    let rejected = MemberStatus::Rejected;
    let said = db.member_update(&image, &friend, rejected).await.unwrap();
    assert_eq!(said.status, rejected);
    assert_eq!(db.member(&image, &friend, &admin()).await.unwrap(), said);
}

async fn nothing_is_shared_of_no_image(db: Db) {
    let friend = ProjectId::new("friend");
    let none = ImageId::random();
    let added = db.member_add(&none, &friend).await;
    assert!(matches!(added, Err(Error::NotFound)), "{added:?}");
    let said = db
        .member_update(&none, &friend, MemberStatus::Accepted)
        .await;
    assert!(matches!(said, Err(Error::NotFound)), "{said:?}");
}

async fn shared(db: &Db) -> (ImageId, ProjectId) {
    let image = image("one");
    db.image_create(&image).await.unwrap();
    (image.id, ProjectId::new("friend"))
}
