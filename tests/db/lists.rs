//! Lists: who sees what, filters, order, pages (reference A.4.3).

use chrono::TimeDelta;
use fresnel::{
    control::db::{
        Column, Comparison, Db, Direction, Error, Filter, ListQuery, Listed, SortKey, TimeColumn,
        Viewer,
    },
    model::{Image, ImageId, MemberStatus, ProjectId, Status, Visibility},
};

use super::{admin, claims, full, image, now, project};

claims!(
    a_list_is_two_statements,
    children_belong_to_their_images,
    each_lists_what_is_its_own,
    answers_to_an_offer_decide,
    hidden_killed_and_deleted_are_not_listed,
    columns_filter,
    numbers_and_times_filter,
    tags_and_properties_must_all_be_there,
    pages_hold_every_image_once,
    keys_sort_in_their_own_directions,
    a_marker_must_be_there_and_visible,
    a_limit_of_nothing_is_nothing,
    the_longest_list_is_answered,
);

async fn a_list_is_two_statements(db: Db) {
    for count in [1, 30] {
        for index in 0..count {
            db.image_create(&full(&format!("{index}"))).await.unwrap();
        }
        let before = db.statements_sent();
        let listed = db.images(&ListQuery::default(), &admin()).await.unwrap();
        assert_eq!(db.statements_sent() - before, 2);
        let page = ListQuery {
            limit: Some(1),
            ..ListQuery::default()
        };
        assert_eq!(db.images(&page, &admin()).await.unwrap(), listed[..1]);
        let paged = ListQuery {
            marker: Some(listed[0].image.id.clone()),
            ..ListQuery::default()
        };
        let before = db.statements_sent();
        db.images(&paged, &admin()).await.unwrap();
        assert!(db.statements_sent() - before <= 3);
    }
}

async fn the_longest_list_is_answered(db: Db) {
    let mut image = image("one");
    image.tags = (0..128).map(|number| number.to_string()).collect();
    db.image_create(&image).await.unwrap();
    let ids = (1..1024).map(|_| ImageId::random().as_str().to_owned());
    let ids = ids.chain([image.id.as_str().to_owned()]).collect();
    let query = ListQuery {
        tags: image.tags.clone(),
        filters: vec![Filter::OneOf(Column::Id, ids)],
        ..ListQuery::default()
    };
    for _ in 0..2 {
        let listed = db.images(&query, &admin()).await.unwrap();
        assert_eq!(listed[0].image.id, image.id);
    }
}

async fn children_belong_to_their_images(db: Db) {
    let mut images = Vec::new();
    for index in 0..5 {
        let mut image = full(&format!("{index}"));
        image.tags = vec![format!("tag {index}")];
        image.properties = [("index".to_owned(), Some(format!("{index}")))].into();
        db.image_create(&image).await.unwrap();
        images.push(image);
    }
    for found in db.images(&ListQuery::default(), &admin()).await.unwrap() {
        let image = images
            .iter()
            .find(|image| image.id == found.image.id)
            .unwrap();
        assert_eq!(found.image.tags, image.tags);
        assert_eq!(found.image.properties, image.properties);
        assert_eq!(found.image.locations[0].url, image.locations[0].url);
    }
}

async fn each_lists_what_is_its_own(db: Db) {
    one_of_each_visibility(&db).await;
    let admin_of_mine = Viewer {
        is_admin: true,
        ..project("mine")
    };
    let nobody = Viewer {
        is_admin: false,
        ..admin()
    };
    let (mine, only) = (project("mine"), Listed::Only);
    for (viewer, listed, names) in [
        (
            &mine,
            Listed::Unasked,
            "mine community, mine private, mine public, mine shared, yours public, yours shared",
        ),
        (
            &mine,
            Listed::All,
            "mine community, mine private, mine public, mine shared, yours community, \
             yours public, yours shared",
        ),
        (&mine, only(Visibility::Shared), "mine shared, yours shared"),
        (&mine, only(Visibility::Private), "mine private"),
        (
            &mine,
            only(Visibility::Community),
            "mine community, yours community",
        ),
        (
            &project("guest"),
            Listed::Unasked,
            "mine public, mine shared, yours public, yours shared",
        ),
        (&nobody, Listed::Unasked, "mine public, yours public"),
        (
            &admin(),
            Listed::Unasked,
            "mine private, mine public, mine shared, yours private, yours public, yours shared",
        ),
        (
            &admin_of_mine,
            Listed::Unasked,
            "mine community, mine private, mine public, mine shared, yours private, \
             yours public, yours shared",
        ),
        (
            &admin(),
            only(Visibility::Community),
            "mine community, yours community",
        ),
        (
            &admin(),
            Listed::All,
            "mine community, mine private, mine public, mine shared, yours community, \
             yours private, yours public, yours shared",
        ),
    ] {
        let query = ListQuery {
            visibility: listed,
            ..ListQuery::default()
        };
        let mut found = names_of(&db, &query, viewer).await;
        found.sort();
        assert_eq!(found.join(", "), names, "{viewer:?} {listed:?}");
    }
}

/// Two projects' images of every visibility; the shared ones with everybody, who accepted.
async fn one_of_each_visibility(db: &Db) {
    for owner in ["mine", "yours"] {
        for visibility in [
            Visibility::Public,
            Visibility::Community,
            Visibility::Shared,
            Visibility::Private,
        ] {
            let mut image = image(&format!("{owner} {visibility}"));
            image.owner = Some(ProjectId::new(owner));
            image.visibility = visibility;
            db.image_create(&image).await.unwrap();
            if image.visibility == Visibility::Shared {
                for other in ["mine", "yours", "guest"] {
                    let other = ProjectId::new(other);
                    db.member_add(&image.id, &other).await.unwrap();
                    let accepted = MemberStatus::Accepted;
                    db.member_update(&image.id, &other, accepted).await.unwrap();
                }
            }
        }
    }
}

async fn answers_to_an_offer_decide(db: Db) {
    let offered = image("offered");
    db.image_create(&offered).await.unwrap();
    let friend = ProjectId::new("friend");
    db.member_add(&offered.id, &friend).await.unwrap();
    for said in [
        MemberStatus::Pending,
        MemberStatus::Accepted,
        MemberStatus::Rejected,
    ] {
        db.member_update(&offered.id, &friend, said).await.unwrap();
        for asked in [
            None,
            Some(MemberStatus::Pending),
            Some(MemberStatus::Accepted),
            Some(MemberStatus::Rejected),
        ] {
            let query = ListQuery {
                member_status: asked,
                ..ListQuery::default()
            };
            let listed = db.images(&query, &project("friend")).await.unwrap();
            let wanted = asked.is_none() || asked == Some(said);
            assert_eq!(listed.len(), usize::from(wanted), "{said:?} {asked:?}");
        }
    }
    let query = ListQuery {
        member_status: None,
        ..ListQuery::default()
    };
    let listed = db.images(&query, &project("friend")).await.unwrap();
    assert_eq!(listed[0].member, Some(friend.clone()));
    db.member_delete(&offered.id, &friend).await.unwrap();
    assert_eq!(db.images(&query, &project("friend")).await.unwrap(), []);
}

async fn hidden_killed_and_deleted_are_not_listed(db: Db) {
    let (shown, mut hidden, mut killed, deleted) = (
        image("shown"),
        image("hidden"),
        image("killed"),
        image("deleted"),
    );
    hidden.os_hidden = true;
    killed.status = Status::Killed;
    for image in [&shown, &hidden, &killed, &deleted] {
        db.image_create(image).await.unwrap();
    }
    db.image_delete(&deleted).await.unwrap();
    assert_eq!(
        names_of(&db, &ListQuery::default(), &admin()).await,
        ["shown"]
    );
    let query = ListQuery {
        os_hidden: true,
        ..ListQuery::default()
    };
    assert_eq!(names_of(&db, &query, &admin()).await, ["hidden"]);
}

async fn columns_filter(db: Db) {
    let one = full("one");
    let mut two = image("two, \"2\"");
    two.disk_format = None;
    db.image_create(&one).await.unwrap();
    db.image_create(&two).await.unwrap();
    let equals = |column, text: &str| Filter::Equals(column, text.to_owned());
    let one_of = |column, texts: &[&str]| {
        Filter::OneOf(column, texts.iter().map(|&text| text.to_owned()).collect())
    };
    let id = |image: &Image| image.id.as_str().to_owned();
    for (filter, names) in [
        (equals(Column::Id, one.id.as_str()), &["one"][..]),
        (
            one_of(Column::Id, &[&id(&one), &id(&two), "x"]),
            &["one", "two, \"2\""],
        ),
        (equals(Column::Name, "two, \"2\""), &["two, \"2\""]),
        (one_of(Column::Status, &["active", "saving"]), &["one"]),
        (equals(Column::Status, "killed"), &[]),
        (equals(Column::DiskFormat, "raw"), &["one"]),
        (
            equals(Column::ContainerFormat, "bare"),
            &["one", "two, \"2\""],
        ),
        (
            equals(Column::Checksum, "d41d8cd98f00b204e9800998ecf8427e"),
            &["one"],
        ),
        (equals(Column::OsHashAlgo, "sha512"), &["one"]),
        (equals(Column::OsHashValue, &"ab".repeat(64)), &["one"]),
        (equals(Column::Owner, "owner"), &["one", "two, \"2\""]),
        (equals(Column::Owner, "somebody"), &[]),
        (equals(Column::Size, "5000000000"), &["one"]),
        (equals(Column::Size, "big"), &[]),
        (equals(Column::VirtualSize, "10000000000"), &["one"]),
        (equals(Column::MinDisk, "10"), &["one"]),
        (equals(Column::MinRam, "0"), &["two, \"2\""]),
        (equals(Column::Protected, "True"), &["one"]),
        (equals(Column::Protected, "false"), &["two, \"2\""]),
        (equals(Column::Name, "nul\0"), &[]),
    ] {
        let query = by_name(vec![filter.clone()]);
        assert_eq!(names_of(&db, &query, &admin()).await, names, "{filter:?}");
    }
}

async fn numbers_and_times_filter(db: Db) {
    let start = now();
    for index in 0..3_i32 {
        let mut image = image(&format!("{index}"));
        image.min_ram_mib = index;
        image.size_bytes = Some(u64::try_from(index).unwrap() << 32);
        image.created_at = start + TimeDelta::seconds(index.into());
        image.updated_at = image.created_at;
        db.image_create(&image).await.unwrap();
    }
    let middle = start + TimeDelta::seconds(1);
    let time = |comparison| Filter::Time(TimeColumn::CreatedAt, comparison, middle);
    for (filters, names) in [
        (vec![Filter::AtLeast(Column::MinRam, 1)], "12"),
        (vec![Filter::AtMost(Column::Size, 1 << 32)], "01"),
        (
            vec![
                Filter::AtLeast(Column::Size, 1),
                Filter::AtMost(Column::MinRam, 1),
            ],
            "1",
        ),
        (vec![time(Comparison::Gt)], "2"),
        (vec![time(Comparison::Gte)], "12"),
        (vec![time(Comparison::Lt)], "0"),
        (vec![time(Comparison::Lte)], "01"),
        (vec![time(Comparison::Eq)], "1"),
        (vec![time(Comparison::Neq)], "02"),
        (
            vec![Filter::Time(TimeColumn::UpdatedAt, Comparison::Gt, middle)],
            "2",
        ),
    ] {
        let query = by_name(filters.clone());
        assert_eq!(
            names_of(&db, &query, &admin()).await.concat(),
            names,
            "{filters:?}"
        );
    }
}

async fn tags_and_properties_must_all_be_there(db: Db) {
    let pairs = |pairs: &[&str]| -> Vec<(String, String)> {
        let pair = |p: &&str| p.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        pairs.iter().filter_map(pair).collect()
    };
    for (name, tags, properties) in [
        ("a", "x", &["os=debian"][..]),
        ("b", "x y", &["os=debian", "arch=arm"]),
        ("c", "y", &["os=alpine"]),
    ] {
        let mut image = image(name);
        image.tags = tags.split(' ').map(str::to_owned).collect();
        let properties = pairs(properties).into_iter();
        image.properties = properties.map(|(k, v)| (k, Some(v))).collect();
        db.image_create(&image).await.unwrap();
        // What is removed does not count.
        let mut without = image.clone();
        without.tags.push("gone".to_owned());
        without
            .properties
            .insert("gone".to_owned(), Some("1".to_owned()));
        db.image_save(&image, &without).await.unwrap();
        db.image_save(&without, &image).await.unwrap();
    }
    for (tags, properties, names) in [
        ("x", &[][..], "ab"),
        ("y x", &[], "b"),
        ("z", &[], ""),
        ("gone", &[], ""),
        ("", &["os=debian"], "ab"),
        ("", &["os=debian", "arch=arm"], "b"),
        ("y", &["os=alpine"], "c"),
        ("", &["gone=1"], ""),
    ] {
        let mut query = by_name(Vec::new());
        query.tags = tags.split_whitespace().map(str::to_owned).collect();
        query.properties = pairs(properties);
        let found = names_of(&db, &query, &admin()).await.concat();
        assert_eq!(found, names, "{tags} {properties:?}");
    }
}

/// With each key, in each direction, over values that are equal, empty and NULL.
async fn pages_hold_every_image_once(db: Db) {
    let mut ids = Vec::new();
    for index in 0..9 {
        let mut image = image("same");
        image.name = [None, Some(String::new()), Some("n".to_owned())][index % 3].clone();
        image.size_bytes = [None, Some(0), Some(7)][index / 3];
        image.disk_format = [None, Some("raw".to_owned())][index % 2].clone();
        image.container_format = [Some("bare".to_owned()), None][index % 2].clone();
        image.created_at = now() - TimeDelta::seconds(i64::try_from(index / 2).unwrap());
        db.image_create(&image).await.unwrap();
        ids.push(image.id);
    }
    ids.sort();
    for key in [
        SortKey::Name,
        SortKey::Status,
        SortKey::ContainerFormat,
        SortKey::DiskFormat,
        SortKey::Size,
        SortKey::Id,
        SortKey::CreatedAt,
        SortKey::UpdatedAt,
    ] {
        for direction in [Direction::Ascending, Direction::Descending] {
            let mut query = ListQuery {
                sort: vec![(key, direction)],
                tie_break: direction,
                limit: Some(2),
                ..ListQuery::default()
            };
            let mut seen: Vec<ImageId> = Vec::new();
            loop {
                let page = db.images(&query, &admin()).await.unwrap();
                let Some(last) = page.last() else { break };
                query.marker = Some(last.image.id.clone());
                seen.extend(page.into_iter().map(|found| found.image.id));
            }
            seen.sort();
            assert_eq!(seen, ids, "{key:?} {direction:?}");
        }
    }
}

async fn keys_sort_in_their_own_directions(db: Db) {
    for (name, ram) in [("a", 1), ("a", 2), ("b", 1), ("b", 2)] {
        let mut image = image(name);
        image.size_bytes = Some(ram);
        db.image_create(&image).await.unwrap();
    }
    let query = ListQuery {
        sort: vec![
            (SortKey::Name, Direction::Descending),
            (SortKey::Size, Direction::Ascending),
        ],
        ..ListQuery::default()
    };
    let listed = db.images(&query, &admin()).await.unwrap().into_iter();
    let order: Vec<_> = listed
        .map(|found| {
            format!(
                "{}{}",
                found.image.name.unwrap(),
                found.image.size_bytes.unwrap()
            )
        })
        .collect();
    assert_eq!(order, ["b1", "b2", "a1", "a2"]);
}

async fn a_marker_must_be_there_and_visible(db: Db) {
    let mut private = image("private");
    private.visibility = Visibility::Private;
    let deleted = image("deleted");
    db.image_create(&private).await.unwrap();
    db.image_create(&deleted).await.unwrap();
    db.image_delete(&deleted).await.unwrap();
    let after = |marker: &ImageId| ListQuery {
        marker: Some(marker.clone()),
        ..ListQuery::default()
    };
    for marker in [
        &deleted.id,
        &ImageId::random(),
        &ImageId::new("x".repeat(37)),
        &ImageId::new("nul\0"),
    ] {
        let listed = db.images(&after(marker), &project("owner")).await;
        assert!(matches!(listed, Err(Error::MarkerUnknown)), "{listed:?}");
    }
    // An administrator's page goes on behind an image that was deleted meanwhile.
    db.images(&after(&deleted.id), &admin()).await.unwrap();
    let listed = db.images(&after(&private.id), &project("stranger")).await;
    assert!(matches!(listed, Err(Error::MarkerHidden)), "{listed:?}");
    let listed = db.images(&after(&private.id), &project("owner")).await;
    assert_eq!(listed.unwrap(), []);
}

async fn a_limit_of_nothing_is_nothing(db: Db) {
    db.image_create(&image("one")).await.unwrap();
    let query = ListQuery {
        limit: Some(0),
        ..ListQuery::default()
    };
    assert_eq!(db.images(&query, &admin()).await.unwrap(), []);
}

fn by_name(filters: Vec<Filter>) -> ListQuery {
    ListQuery {
        filters,
        sort: vec![(SortKey::Name, Direction::Ascending)],
        ..ListQuery::default()
    }
}

async fn names_of(db: &Db, query: &ListQuery, viewer: &Viewer) -> Vec<String> {
    let listed = db.images(query, viewer).await.unwrap().into_iter();
    listed.map(|found| found.image.name.unwrap()).collect()
}
