//! Limits of artifacts: what any number of nodes at once may have.

use std::sync::Arc;

use fresnel::control::db::{ArtifactLimit, Db, Error, NodeId};
use futures_util::future::join_all;

use super::{
    artifacts::{LEASE, artifact, begin_within, create},
    engine::Scratch,
    on_each_engine,
};

on_each_engine!(crate::db::engine::given:
    of_many_uploads_at_some_nodes_a_project_gets_its_bytes,
    of_many_artifacts_at_some_nodes_a_project_gets_its_number,
);

/// As many as work side by side on one database.
async fn nodes(scratch: &Scratch) -> [Db; 4] {
    let connect = async || Db::connect(&scratch.config()).await.unwrap();
    let first = scratch.synced().await;
    [first, connect().await, connect().await, connect().await]
}

fn most(most: u64) -> [ArtifactLimit; 1] {
    [ArtifactLimit {
        type_name: None,
        most,
    }]
}

async fn of_many_uploads_at_some_nodes_a_project_gets_its_bytes(scratch: Arc<Scratch>) {
    let nodes = nodes(&scratch).await;
    let node = NodeId::random();
    nodes[0].node_join(node, LEASE).await.unwrap();
    let artifacts: Vec<_> = (0..20).map(|n| artifact(&format!("n{n}"), "1")).collect();
    for one in &artifacts {
        create(&nodes[0], one, 0).await;
    }
    let limits = most(50);
    let begun = artifacts.iter().zip(nodes.iter().cycle());
    let begun = begun.map(|(artifact, db)| begin_within(db, &artifact.id, node, &limits));
    let begun: Vec<_> = join_all(begun).await.into_iter().map(|(.., b)| b).collect();
    // Of seven bytes each.
    assert_eq!(begun.iter().filter(|one| one.is_ok()).count(), 7);
    for refused in begun.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, Error::OverArtifacts(_)), "{refused:?}");
    }
}

async fn of_many_artifacts_at_some_nodes_a_project_gets_its_number(scratch: Arc<Scratch>) {
    let nodes = nodes(&scratch).await;
    let artifacts: Vec<_> = (0..20).map(|n| artifact(&format!("n{n}"), "1")).collect();
    let limits = most(7);
    let made = artifacts.iter().zip(nodes.iter().cycle());
    let made = made.map(|(artifact, db)| db.artifact_create(artifact, &[], &limits));
    let made = join_all(made).await;
    assert_eq!(made.iter().filter(|one| one.is_ok()).count(), 7);
    for refused in made.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, Error::OverArtifacts(_)), "{refused:?}");
    }
}
