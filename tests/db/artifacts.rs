//! Artifacts and their blobs.

use fresnel::{
    control::db::{
        ArtifactColumn, ArtifactFilter, ArtifactLimit, ArtifactQuery, ArtifactSort, Claim,
        Compared, Db, Direction, Error, Indexed, NewBlob, NewWrite, NodeId, Operand, Operator,
        Result,
    },
    model::{
        Attempt, Digests, HashAlgorithm, ProjectId, StoreId,
        artifact::{Artifact, Blob, Status, Visibility},
    },
};
use serde_json::{Map, json};
use std::time::Duration;

use super::{admin, claims, image, location, project};

claims!(
    a_list_is_as_many_statements_however_long_it_is,
    values_are_found_and_sorted,
    names_differ_by_case,
    of_two_changes_one_succeeds,
    an_upload_becomes_a_blob_and_replaces_another,
    a_dead_upload_leaves_nothing,
    an_object_is_one_artifacts_or_one_images,
    no_letters_are_a_failure,
    as_many_conditions_as_may_be_asked,
);

pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) fn artifact(name: &str, version_key: &str) -> Artifact {
    Artifact {
        id: uuid::Uuid::new_v4().to_string(),
        type_name: "sample".to_owned(),
        display_type_name: None,
        name: name.to_owned(),
        version: version_key.to_owned(),
        version_key: version_key.to_owned(),
        owner: ProjectId::new("owner"),
        visibility: Visibility::Private,
        status: Status::Drafted,
        description: Some("Ünï".to_owned()),
        fields: Map::from_iter([("text".to_owned(), json!("it's \"so\" Ünïcödé ?"))]),
        created_at_us: 1_700_000_000_123_456,
        updated_at_us: 1_700_000_000_123_456,
        activated_at_us: None,
        revision: 0,
        blobs: Vec::new(),
    }
}

pub(super) async fn create(db: &Db, artifact: &Artifact, number: i64) {
    let values = [
        Indexed {
            name: "count".to_owned(),
            key: None,
            value: Operand::Number(number),
        },
        Indexed {
            name: "labels".to_owned(),
            key: Some(format!("k{number}")),
            value: Operand::Text("v".to_owned()),
        },
    ];
    db.artifact_create(artifact, &values, &[]).await.unwrap();
}

fn query() -> ArtifactQuery {
    let column = |column, direction| (ArtifactSort::Column(column), direction);
    ArtifactQuery {
        type_name: Some("sample".to_owned()),
        all: Vec::new(),
        any: Vec::new(),
        latest: false,
        sort: vec![
            column(ArtifactColumn::Name, Direction::Ascending),
            column(ArtifactColumn::Id, Direction::Ascending),
        ],
        marker: None,
        limit: 100,
    }
}

async fn names(db: &Db, query: &ArtifactQuery) -> Vec<String> {
    let (page, _) = db.artifacts(query, &project("owner")).await.unwrap();
    page.into_iter().map(|one| one.name).collect()
}

async fn a_list_is_as_many_statements_however_long_it_is(db: Db) {
    let mut sent = Vec::new();
    for round in 0..3 {
        for index in 0..20 {
            create(&db, &artifact(&format!("n{round}-{index:02}"), "1"), index).await;
        }
        let before = db.statements_sent();
        let (page, total) = db.artifacts(&query(), &admin()).await.unwrap();
        sent.push(db.statements_sent() - before);
        assert_eq!(
            (page.len() as u64, total),
            (20 * (round + 1), 20 * (round + 1))
        );
    }
    assert_eq!(sent, [3, 3, 3]);
}

async fn values_are_found_and_sorted(db: Db) {
    for (index, key) in ["1", "2", "3"].into_iter().enumerate() {
        create(&db, &artifact("n", key), index as i64).await;
    }
    let value = |keys, compared| ArtifactFilter::Value {
        name: if keys { "labels" } else { "count" }.to_owned(),
        keys: keys.then(|| vec!["k1".to_owned(), "k2".to_owned()]),
        compared,
    };
    let less = Compared {
        operator: Operator::Lt,
        with: vec![Operand::Number(2)],
    };
    let versions = async |query: &ArtifactQuery| {
        let (page, _) = db.artifacts(query, &admin()).await.unwrap();
        page.into_iter().map(|one| one.version).collect::<Vec<_>>()
    };
    let count = ArtifactSort::Value {
        name: "count".to_owned(),
        number: true,
    };
    let mut asked = query();
    asked.sort.insert(0, (count, Direction::Descending));
    assert_eq!(versions(&asked).await, ["3", "2", "1"]);
    asked.all = vec![value(false, Some(less.clone()))];
    assert_eq!(versions(&asked).await, ["2", "1"]);
    asked.all.push(value(true, None));
    assert_eq!(versions(&asked).await, ["2"]);
    asked.all.clear();
    asked.any = vec![
        vec![value(false, Some(less.clone()))],
        vec![value(true, None)],
    ];
    assert_eq!(versions(&asked).await, ["3", "2", "1"]);
    asked.latest = true;
    assert_eq!(versions(&asked).await, ["3"]);
    asked.any.clear();
    asked.all = vec![value(false, Some(less))];
    assert_eq!(versions(&asked).await, ["2"]);
    let (latest, _) = db.artifacts(&asked, &admin()).await.unwrap();
    asked = query();
    asked.sort.insert(
        0,
        (
            ArtifactSort::Column(ArtifactColumn::VersionKey),
            Direction::Ascending,
        ),
    );
    asked.marker = Some(latest[0].id.clone());
    assert_eq!(versions(&asked).await, ["3"]);
    assert_eq!(latest[0].fields["text"], "it's \"so\" Ünïcödé ?");
}

async fn names_differ_by_case(db: Db) {
    for name in ["b", "B", "a"] {
        create(&db, &artifact(name, "1"), 0).await;
    }
    let twice = db.artifact_create(&artifact("b", "1"), &[], &[]).await;
    assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
    assert_eq!(names(&db, &query()).await, ["B", "a", "b"]);
    let others = db.artifacts(&query(), &project("other")).await.unwrap();
    assert_eq!(others.1, 0);
}

async fn of_two_changes_one_succeeds(db: Db) {
    let mut one = artifact("a", "1");
    create(&db, &one, 0).await;
    one.revision = 1;
    one.name = "b".to_owned();
    db.artifact_update(&one, &[], false).await.unwrap();
    let late = db.artifact_update(&one, &[], false).await;
    assert!(matches!(late, Err(Error::Conflict)), "{late:?}");
    let read = db
        .artifact(&one.id, Some("sample"), &admin())
        .await
        .unwrap();
    assert_eq!(read, one);
}

fn blob() -> Blob {
    Blob::saving(
        "blob".to_owned(),
        Some("k".repeat(900)),
        Some("a/b".to_owned()),
    )
}

/// Begins an upload of 7 bytes.
async fn begin(db: &Db, id: &str, node: NodeId) -> (Blob, Attempt) {
    let (blob, attempt, begun) = begin_within(db, id, node, &[]).await;
    assert_eq!(begun.unwrap(), 7);
    (blob, attempt)
}

/// The same within limits.
pub(super) async fn begin_within(
    db: &Db,
    id: &str,
    node: NodeId,
    limits: &[ArtifactLimit],
) -> (Blob, Attempt, Result<u64>) {
    let artifact = db.artifact(id, None, &admin()).await.unwrap();
    let (blob, attempt) = (blob(), Attempt::random());
    let write = NewWrite {
        attempt,
        node,
        store: StoreId::new("memory"),
        object: "o".to_owned(),
    };
    let new = NewBlob {
        artifact: &artifact,
        blob: &blob,
        wanted: Some(7),
        most: 10,
        limits,
    };
    let begun = db.blob_begin(&new, &write).await;
    (blob, attempt, begun)
}

/// Ends it well.
async fn finish(
    db: &Db,
    id: &str,
    (blob, attempt): (&mut Blob, Attempt),
    node: NodeId,
) -> Result<Option<Blob>> {
    let digests = Digests {
        checksum: "m".to_owned(),
        os_hash_algo: HashAlgorithm::Sha256,
        os_hash_value: "s".to_owned(),
    };
    blob.store = Some(StoreId::new("memory"));
    blob.complete("memory://o".to_owned(), 7, digests, "1".to_owned());
    db.blob_finish(id, blob, attempt, node, 5).await
}

async fn an_upload_becomes_a_blob_and_replaces_another(db: Db) {
    let node = NodeId::random();
    db.node_join(node, LEASE).await.unwrap();
    let one = artifact("a", "1");
    create(&db, &one, 0).await;
    let mut before: Option<Blob> = None;
    for _ in 0..2 {
        let (mut blob, attempt) = begin(&db, &one.id, node).await;
        assert_eq!(db.writes_unwanted(node).await.unwrap(), []);
        let locked = db.artifact(&one.id, None, &admin()).await.unwrap();
        let locked = db.artifact_delete(&locked).await;
        assert!(matches!(locked, Err(Error::Locked)), "{locked:?}");
        let replaced = finish(&db, &one.id, (&mut blob, attempt), node).await;
        let replaced = replaced.unwrap();
        assert_eq!(replaced.map(|old| old.id), before.map(|old| old.id));
        let read = db.artifact(&one.id, None, &admin()).await.unwrap();
        assert_eq!(read.blobs, [blob.clone()]);
        let late = db.blob_finish(&one.id, &blob, attempt, node, 5).await;
        assert!(matches!(late, Err(Error::Lost)), "{late:?}");
        before = Some(blob);
    }
    let given_up = db.blobs_given_up("", 10).await.unwrap();
    assert_eq!(given_up.len(), 1);
    let further = db.blobs_given_up(given_up[0].id.as_str(), 10).await;
    assert_eq!(further.unwrap(), []);
    db.blob_forget(&given_up[0].id).await.unwrap();
    let whole = db.artifact(&one.id, None, &admin()).await.unwrap();
    let left = db.artifact_delete(&whole).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(db.blobs_given_up("", 10).await.unwrap().len(), 1);
}

async fn a_dead_upload_leaves_nothing(db: Db) {
    let (dead, alive) = (NodeId::random(), NodeId::random());
    for node in [dead, alive] {
        db.node_join(node, LEASE).await.unwrap();
    }
    let one = artifact("a", "1");
    create(&db, &one, 0).await;
    let (blob, attempt) = begin(&db, &one.id, dead).await;
    db.node_leave(dead).await.unwrap();
    let found = db.writes_dead(alive, 10).await.unwrap();
    assert_eq!(found[0].image, blob.id);
    assert!(db.write_fence(attempt, alive).await.unwrap());
    let late = db.blob_finish(&one.id, &blob, attempt, dead, 5).await;
    assert!(matches!(late, Err(Error::Lost)), "{late:?}");
    db.write_abandon(&[attempt], &blob.id).await.unwrap();
    let read = db.artifact(&one.id, None, &admin()).await.unwrap();
    assert_eq!(read.blobs, []);
}

async fn an_object_is_one_artifacts_or_one_images(db: Db) {
    let node = NodeId::random();
    db.node_join(node, LEASE).await.unwrap();
    let (one, two) = (artifact("a", "1"), artifact("b", "1"));
    create(&db, &one, 0).await;
    create(&db, &two, 0).await;
    let before = image("i");
    db.image_create(&before).await.unwrap();
    let mut after = before.clone();
    after.locations = vec![location("memory://p")];
    // Of the image, and of another artifact.
    let taken = async |claim: Claim<'_>| {
        let of_image = db.location_save(&before, &after, &[claim], None).await;
        let of_blob = db.blob_add(&two, &blob(), &[claim], 5).await;
        let is_taken = [of_image, of_blob].map(|done| matches!(done, Err(Error::Taken)));
        is_taken == [true, true]
    };
    let (mut filled, attempt) = begin(&db, &one.id, node).await;
    let named = Claim {
        name: filled.id.as_str(),
        is_same: &|_| false,
    };
    assert!(taken(named).await, "it is published before it is recorded");
    let mut whole = filled.clone();
    let finished = finish(&db, &one.id, (&mut whole, attempt), node).await;
    assert_eq!(finished.unwrap(), None);
    filled = whole;
    let object = Claim {
        name: "o",
        is_same: &|url| url == "memory://o",
    };
    assert!(taken(object).await && db.object_is_named(&object).await.unwrap());
    assert_eq!(filled.url.as_deref(), Some("memory://o"));
    let other = Claim {
        name: "p",
        is_same: &|url| url == "memory://p",
    };
    db.location_save(&before, &after, &[other], None)
        .await
        .unwrap();
    let of_blob = db.blob_add(&two, &blob(), &[other], 5).await;
    assert!(matches!(of_blob, Err(Error::Taken)), "{of_blob:?}");
    let own = Claim {
        name: "q",
        is_same: &|url| url == "memory://q",
    };
    db.blob_add(&two, &blob(), &[own], 5).await.unwrap();
}

/// What clients may send in an address, a filter or a field: there or not, or refused as their fault.
async fn no_letters_are_a_failure(db: Db) {
    create(&db, &artifact("a\\b", "1"), 0).await;
    for id in ["\0", "😀", "it's", &"x".repeat(300)] {
        let found = db.artifact(id, Some("sample"), &admin()).await;
        assert!(matches!(found, Err(Error::NotFound)), "{id:?}: {found:?}");
        let mut asked = query();
        asked.marker = Some(id.to_owned());
        let listed = db.artifacts(&asked, &admin()).await;
        assert!(matches!(listed, Err(Error::NotFound)), "{id:?}: {listed:?}");
    }
    let like = async |pattern: &str| {
        let mut asked = query();
        asked.all = vec![ArtifactFilter::Column(
            ArtifactColumn::Name,
            Compared {
                operator: Operator::Like,
                with: vec![Operand::Text(pattern.to_owned())],
            },
        )];
        names(&db, &asked).await
    };
    for (pattern, found) in [
        ("a\\%", true),
        ("%\\b", true),
        ("a_b", true),
        ("a\\", false),
        ("%!%", false),
        ("!%", false),
    ] {
        assert_eq!(!like(pattern).await.is_empty(), found, "{pattern}");
    }
    for column in [
        ArtifactColumn::Id,
        ArtifactColumn::Name,
        ArtifactColumn::Owner,
        ArtifactColumn::Version,
        ArtifactColumn::Visibility,
        ArtifactColumn::TypeName,
    ] {
        for text in ["😀", "\0"] {
            let mut asked = query();
            let with = vec![Operand::Text(text.to_owned())];
            let operator = Operator::Eq;
            asked.all = vec![ArtifactFilter::Column(column, Compared { operator, with })];
            match db.artifacts(&asked, &admin()).await {
                Ok((page, _)) => assert_eq!(page, []),
                Err(error) => assert!(matches!(error, Error::Refused(_)), "{error:?}"),
            }
        }
    }
    for name in ["😀", "\0"] {
        let made = db.artifact_create(&artifact(name, "1"), &[], &[]).await;
        assert!(matches!(made, Ok(()) | Err(Error::Refused(_))), "{made:?}");
    }
}

async fn as_many_conditions_as_may_be_asked(db: Db) {
    create(&db, &artifact("a", "1"), 0).await;
    let value = |number| ArtifactFilter::Value {
        name: "count".to_owned(),
        keys: None,
        compared: Some(Compared::one_of(
            (number..number + 10).map(Operand::Number).collect(),
        )),
    };
    let mut asked = query();
    asked.latest = true;
    asked.any = (0..20).map(|number| vec![value(number)]).collect();
    assert_eq!(names(&db, &asked).await, ["a"]);
    asked.all = (0..20).map(|_| value(0)).collect();
    asked.any.clear();
    assert_eq!(names(&db, &asked).await, ["a"]);
}
