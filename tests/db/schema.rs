//! The schema that we make is the one that Glance makes, and Glance's is served as it is.

use std::{path::Path, process::Command, sync::Arc};

use fresnel::control::db::{Check, Db, Error};

use super::{
    engine::{Engine, Scratch, lab},
    on_each_engine,
};

on_each_engine!(crate::db::engine::given:
    ours_is_glances,
    a_database_of_glances_is_served,
    an_older_head_is_refused,
    a_newer_fresnel_is_refused,
    an_empty_database_names_the_command,
    several_syncs_at_once_do_no_harm,
);

async fn ours_is_glances(ours: Arc<Scratch>) {
    let theirs = Scratch::new(ours.engine).await;
    manage(&theirs, &["db", "sync"]);
    let wanted = described(&theirs).await;
    theirs.drop_database().await;
    assert_eq!(ours.open().sync().await.unwrap(), Check::Empty);
    assert_same(&described(&ours).await, &wanted);
    assert!(manage(&ours, &["db", "sync"]).contains("No migrations needed"));
    assert!(manage(&ours, &["db", "version"]).contains("2024_1_contract01"));
    manage(&ours, &["db", "purge", "--age_in_days", "0"]);
    if ours.engine != Engine::Postgres {
        // Glance has no rolling upgrades on PostgreSQL, hence no check.
        assert!(manage(&ours, &["db", "check"]).contains("up to date"));
    }
}

async fn a_database_of_glances_is_served(scratch: Arc<Scratch>) {
    manage(&scratch, &["db", "sync"]);
    let before = described(&scratch).await;
    let db = scratch.open();
    assert_eq!(db.check().await.unwrap(), Check::Behind);
    assert_eq!(
        db.version().await.unwrap().to_string(),
        "glance: 2024_1_contract01; fresnel: none"
    );
    assert_eq!(db.sync().await.unwrap(), Check::Behind);
    assert_eq!(db.check().await.unwrap(), Check::Ready);
    assert_same(&described(&scratch).await, &before);
    Db::connect(&scratch.config()).await.unwrap();
}

async fn an_older_head_is_refused(scratch: Arc<Scratch>) {
    scratch.synced().await;
    scratch
        .texts("UPDATE alembic_version SET version_num = '2023_1_contract01'")
        .await;
    let refused = [
        scratch.open().sync().await.map(drop),
        Db::connect(&scratch.config()).await.map(drop),
    ];
    for refused in refused {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("at 2023_1_contract01"), "{text}");
        assert!(text.contains("glance-manage db sync"), "{text}");
    }
    scratch.texts("DELETE FROM alembic_version").await;
    let refused = scratch.open().sync().await;
    assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
}

async fn a_newer_fresnel_is_refused(scratch: Arc<Scratch>) {
    scratch.synced().await;
    scratch
        .texts("INSERT INTO fresnel_version (version) VALUES (99)")
        .await;
    let refused = scratch.open().sync().await;
    assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
    let refused = Db::connect(&scratch.config()).await;
    assert!(matches!(refused, Err(Error::Schema(_))), "{refused:?}");
}

async fn an_empty_database_names_the_command(scratch: Arc<Scratch>) {
    let connected = Db::connect(&scratch.config()).await;
    match scratch.engine {
        Engine::Sqlite => assert_eq!(connected.unwrap().check().await.unwrap(), Check::Ready),
        Engine::Postgres | Engine::MariaDb => {
            let text = connected.unwrap_err().to_string();
            assert!(text.contains("`fresnel db sync`"), "{text}");
        }
    }
}

async fn several_syncs_at_once_do_no_harm(scratch: Arc<Scratch>) {
    let syncs = (0..4).map(|_| {
        let db = scratch.open();
        tokio::spawn(async move { db.sync().await })
    });
    let mut created = 0;
    for sync in syncs.collect::<Vec<_>>() {
        created += usize::from(sync.await.unwrap().unwrap() == Check::Empty);
    }
    assert_eq!(created, 1);
}

/// Runs `glance-manage` on the database; returns what it said.
fn manage(scratch: &Scratch, arguments: &[&str]) -> String {
    let program = Path::new(&lab("venv", &[])).join("bin/glance-manage");
    let output = Command::new(program)
        .arg("--config-file")
        .arg(scratch.glance_conf())
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

fn assert_same(ours: &[String], theirs: &[String]) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).cloned().collect()
    };
    assert_eq!(only(ours, theirs), only(theirs, ours));
    assert_eq!(ours.len(), theirs.len());
}

/// Everything that the database says of Glance's tables.
async fn described(scratch: &Scratch) -> Vec<String> {
    let mut lines = match scratch.engine {
        Engine::Sqlite => {
            let sql = "SELECT replace(sql, '\"', '') FROM sqlite_master WHERE sql IS NOT NULL \
                       AND tbl_name NOT LIKE 'fresnel%'";
            let texts = scratch.texts(sql).await.into_iter();
            texts
                .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        }
        Engine::Postgres => described_by_postgres(scratch).await,
        Engine::MariaDb => {
            let tables = "SELECT table_name FROM information_schema.tables \
                          WHERE table_schema = database() AND table_name NOT LIKE 'fresnel%'";
            let mut lines = Vec::new();
            for table in scratch.texts(tables).await {
                lines.extend(scratch.texts(&format!("SHOW CREATE TABLE {table}")).await);
            }
            lines
        }
    };
    lines.extend(
        scratch
            .texts("SELECT version_num FROM alembic_version")
            .await,
    );
    lines.sort();
    assert!(lines.len() > 16, "{lines:?}");
    lines
}

async fn described_by_postgres(scratch: &Scratch) -> Vec<String> {
    let mut lines = Vec::new();
    for sql in [
        // The place among the columns that are: Glance's migrations have dropped some.
        "SELECT concat_ws(' ', table_name, column_name, rank() OVER (PARTITION BY table_name \
         ORDER BY ordinal_position), data_type, udt_name, is_nullable, column_default, \
         character_maximum_length) FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE 'fresnel%'",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
         AND tablename NOT LIKE 'fresnel%'",
        "SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) \
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
         AND conrelid::regclass::text NOT LIKE 'fresnel%'",
        "SELECT concat_ws(' ', sequencename, data_type, start_value, max_value, increment_by) \
         FROM pg_sequences WHERE schemaname = 'public' AND sequencename NOT LIKE 'fresnel%'",
        "SELECT concat_ws(' ', typname, enumlabel, enumsortorder) FROM pg_enum \
         JOIN pg_type ON pg_type.oid = enumtypid",
    ] {
        lines.extend(scratch.texts(sql).await);
    }
    lines
}
