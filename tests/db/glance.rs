//! Glance's own code on our rows, and ours on Glance's.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use fresnel::{
    control::db::{Column, Error, Filter, ListQuery, SortKey},
    model::{Image, LocationStatus, MemberStatus, ProjectId, Status},
};
use serde_json::{Value, json};

use super::{
    admin,
    engine::{Scratch, lab},
    full, image, location, on_each_engine, project,
};

on_each_engine!(crate::db::engine::given:
    each_reads_what_the_other_wrote,
    each_changes_what_the_other_made,
    a_move_of_either_is_a_loss_of_the_other,
    each_shares_what_the_other_unshared,
    glance_purges_what_we_deleted,
    both_sum_up_the_same_usage,
);

async fn each_reads_what_the_other_wrote(scratch: Arc<Scratch>) {
    let (db, mut glance) = (scratch.synced().await, Glance::new(&scratch));
    let mut image = full("one");
    db.image_create(&image).await.unwrap();
    db.member_add(&image.id, &ProjectId::new("friend"))
        .await
        .unwrap();
    let ours = glance.ok(json!(["read", image.id.as_str()]));
    assert_eq!(sorted(ours), sorted(as_glance_reads(&image, &["friend"])));

    image.id = fresnel::model::ImageId::random();
    glance.ok(json!([
        "create",
        as_glance_writes(&image),
        image.tags,
        ["friend", "other"]
    ]));
    let mut read = db.image(&image.id, &admin()).await.unwrap().image;
    assert!(read.locations[0].id.take().is_some());
    read.tags.sort();
    image.tags.sort();
    // Glance took the time itself.
    (image.created_at, image.updated_at) = (read.created_at, read.updated_at);
    assert_eq!(read, image);
    assert_eq!(db.members(&image.id, &admin()).await.unwrap().len(), 2);

    let query = ListQuery {
        filters: vec![Filter::Equals(Column::Status, "active".to_owned())],
        sort: vec![(SortKey::Id, fresnel::control::db::Direction::Ascending)],
        ..ListQuery::default()
    };
    let listed = db.images(&query, &admin()).await.unwrap().into_iter();
    let listed: Vec<_> = listed
        .map(|found| found.image.id.as_str().to_owned())
        .collect();
    let filters = json!({"status": "active", "deleted": false, "os_hidden": false});
    let theirs = glance.ok(json!(["list_ids", filters, null]));
    let mut theirs: Vec<String> = serde_json::from_value(theirs).unwrap();
    theirs.sort();
    assert_eq!(listed, theirs);
}

async fn each_changes_what_the_other_made(scratch: Arc<Scratch>) {
    let (db, mut glance) = (scratch.synced().await, Glance::new(&scratch));
    let first = full("one");
    db.image_create(&first).await.unwrap();
    let before = db.image(&first.id, &admin()).await.unwrap().image;
    // We remove a property and a location, Glance brings them back; then the other way round.
    let mut bare = before.clone();
    bare.properties.clear();
    bare.locations.clear();
    bare.name = None;
    for _ in 0..2 {
        let now = db.image(&first.id, &admin()).await.unwrap().image;
        db.image_save(
            &now,
            &Image {
                tags: now.tags.clone(),
                ..bare.clone()
            },
        )
        .await
        .unwrap();
        let theirs = glance.ok(json!(["read", first.id.as_str()]));
        assert_eq!(
            (&theirs["properties"], &theirs["locations"]),
            (&json!({}), &json!([]))
        );
        let values = as_glance_writes(&first);
        glance.ok(json!(["update", first.id.as_str(), values, "active"]));
        let read = db.image(&first.id, &admin()).await.unwrap().image;
        assert_eq!(
            (&read.properties, &read.name),
            (&first.properties, &first.name)
        );
        assert_eq!(read.locations[0].url, first.locations[0].url);
    }
    // Glance's import lock: seen by us, and kept through our changes.
    glance.ok(json!(["lock", first.id.as_str(), "task"]));
    let locked = db.image(&first.id, &admin()).await.unwrap().image;
    assert_eq!(
        locked.properties["os_glance_import_task"].as_deref(),
        Some("task")
    );
    let mut cleared = locked.clone();
    cleared.properties.clear();
    db.image_save(&locked, &cleared).await.unwrap();
    let taken = glance.call(json!(["lock", first.id.as_str(), "task 2"]));
    assert!(taken["error"].to_string().contains("Duplicate"), "{taken}");
    glance.ok(json!(["unlock", first.id.as_str(), "task"]));
    glance.ok(json!(["delete", first.id.as_str()]));
    let gone = db.image(&first.id, &admin()).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}

async fn a_move_of_either_is_a_loss_of_the_other(scratch: Arc<Scratch>) {
    let (db, mut glance) = (scratch.synced().await, Glance::new(&scratch));
    let queued = image("one");
    let saving = Image {
        status: Status::Saving,
        ..queued.clone()
    };
    db.image_create(&queued).await.unwrap();
    db.image_save(&queued, &saving).await.unwrap();
    let id = queued.id.as_str();
    let lost = glance.call(json!(["update", id, {"status": "saving"}, "queued"]));
    assert!(lost["error"].to_string().contains("Conflict"), "{lost}");
    glance.ok(json!(["update", id, {"status": "queued"}, "saving"]));
    let mut active = saving.clone();
    active.status = Status::Active;
    active.locations = vec![location("file:///late")];
    let lost = db.image_save(&saving, &active).await;
    assert!(matches!(lost, Err(Error::Conflict)), "{lost:?}");
    let read = db.image(&queued.id, &admin()).await.unwrap().image;
    assert_eq!((read.status, read.locations.len()), (Status::Queued, 0));
}

async fn each_shares_what_the_other_unshared(scratch: Arc<Scratch>) {
    let (db, mut glance) = (scratch.synced().await, Glance::new(&scratch));
    let (image, friend) = (image("one"), ProjectId::new("friend"));
    db.image_create(&image).await.unwrap();
    let id = image.id.as_str();
    for _ in 0..2 {
        db.member_add(&image.id, &friend).await.unwrap();
        let accepted = MemberStatus::Accepted;
        db.member_update(&image.id, &friend, accepted)
            .await
            .unwrap();
        assert_eq!(glance.ok(json!(["read", id]))["members"], json!(["friend"]));
        glance.ok(json!(["delete_member", id, "friend"]));
        let unseen = db.image(&image.id, &project("friend")).await;
        assert!(matches!(unseen, Err(Error::NotFound)), "{unseen:?}");
        glance.ok(json!(["add_member", id, "friend"]));
        db.image(&image.id, &project("friend")).await.unwrap();
        let twice = db.member_add(&image.id, &friend).await;
        assert!(matches!(twice, Err(Error::Duplicate(_))), "{twice:?}");
        db.member_delete(&image.id, &friend).await.unwrap();
        assert_eq!(glance.ok(json!(["read", id]))["members"], json!([]));
    }
}

async fn both_sum_up_the_same_usage(scratch: Arc<Scratch>) {
    let (db, mut glance) = (scratch.synced().await, Glance::new(&scratch));
    let copying = (
        "os_glance_importing_to_stores".to_owned(),
        Some("slow".to_owned()),
    );
    let mut pending = location("file:///pending");
    pending.status = LocationStatus::PendingDelete;
    let mut gone = location("file:///gone");
    gone.status = LocationStatus::Deleted;
    let statuses =
        "queued saving uploading importing active deactivated killed pending_delete deleted";
    for status in statuses.split(' ') {
        let mut one = full("one");
        one.status = status.parse().unwrap();
        db.image_create(&one).await.unwrap();
        one.id = fresnel::model::ImageId::random();
        one.locations
            .extend([location("file:///two"), pending.clone(), gone.clone()]);
        one.properties.extend([copying.clone()]);
        db.image_create(&one).await.unwrap();
        one.id = fresnel::model::ImageId::random();
        one.owner = None;
        db.image_create(&one).await.unwrap();
    }
    for project in [Some("owner"), None, Some("nobody")] {
        let ours = db
            .usage(project.map(ProjectId::new).as_ref())
            .await
            .unwrap();
        let ours = json!([
            ours.stored_bytes,
            ours.staged_bytes,
            ours.images,
            ours.uploading
        ]);
        assert_eq!(glance.ok(json!(["usage", project])), ours, "{project:?}");
    }
}

async fn glance_purges_what_we_deleted(scratch: Arc<Scratch>) {
    let (db, mut glance) = (scratch.synced().await, Glance::new(&scratch));
    let (deleted, kept) = (full("deleted"), full("kept"));
    for image in [&deleted, &kept] {
        db.image_create(image).await.unwrap();
        db.member_add(&image.id, &ProjectId::new("friend"))
            .await
            .unwrap();
    }
    db.image_delete(&deleted).await.unwrap();
    // Glance purges what was deleted before today's second began.
    for table in [
        "images",
        "image_properties",
        "image_tags",
        "image_locations",
        "image_members",
    ] {
        let sql = format!(
            "UPDATE {table} SET deleted_at = '2020-01-01 00:00:00.000000' WHERE deleted = true"
        );
        scratch.texts(&sql).await;
    }
    glance.ok(json!(["purge"]));
    for (table, left) in [
        ("image_properties", 3),
        ("image_tags", 3),
        ("image_locations", 1),
        ("image_members", 1),
    ] {
        let rows = scratch
            .texts(&format!("SELECT image_id FROM {table}"))
            .await;
        assert_eq!(rows, vec![kept.id.as_str(); left], "{table}");
    }
}

/// Glance's code in a process of its own.
struct Glance {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Glance {
    fn new(scratch: &Scratch) -> Self {
        let mut process = Command::new(Path::new(&lab("venv", &[])).join("bin/python"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/db/ask_glance.py"))
            .arg(scratch.glance_conf())
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            questions: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn call(&mut self, question: Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn ok(&mut self, question: Value) -> Value {
        let asked = question.to_string();
        let mut answer = self.call(question);
        assert!(answer.get("error").is_none(), "{asked}: {answer}");
        answer["ok"].take()
    }
}

impl Drop for Glance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The values of `image_create`.
fn as_glance_writes(image: &Image) -> Value {
    let locations = image.locations.iter().map(
        |location| json!({"url": location.url, "metadata": location.metadata, "status": "active"}),
    );
    json!({
        "id": image.id.as_str(),
        "name": image.name,
        "status": image.status.as_str(),
        "visibility": image.visibility.as_str(),
        "protected": image.protected,
        "os_hidden": image.os_hidden,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "size": image.size_bytes,
        "virtual_size": image.virtual_size_bytes,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "min_disk": image.min_disk_gib,
        "min_ram": image.min_ram_mib,
        "owner": image.owner.as_ref().map(ProjectId::as_str),
        "properties": image.properties,
        "locations": locations.collect::<Vec<_>>(),
    })
}

/// The answer of `read`.
fn as_glance_reads(image: &Image, members: &[&str]) -> Value {
    let mut read = as_glance_writes(image);
    let time = image.created_at.format("%Y-%m-%dT%H:%M:%S").to_string();
    read["created_at"] = json!(time);
    read["updated_at"] = json!(time);
    read["deleted"] = json!(false);
    read["tags"] = json!(image.tags);
    read["members"] = json!(members);
    read
}

/// Without the ids of rows; fields and tags, which have no order, in one.
fn sorted(mut image: Value) -> Vec<(String, Value)> {
    for location in image["locations"].as_array_mut().unwrap() {
        location.as_object_mut().unwrap().remove("id");
    }
    let tags = image["tags"].as_array_mut().unwrap();
    tags.sort_by_key(Value::to_string);
    let mut fields: Vec<_> = image.as_object().unwrap().clone().into_iter().collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}
