//! A look at a store, for the operator: what works, and in plain words what does not.

use std::sync::Arc;

use fresnel_ceph::{Error, Outcome, Pool};

use super::{
    Finding, SNAPSHOT, Shared, address::Address, connection::Failure, delete, draft, draft::Names,
    write::RbdWriter,
};
use crate::{
    buf::Chunk,
    model::{Attempt, ImageId},
    store::Writer as _,
};

/// Connects, looks at the pool, and writes, reads and deletes a small image.
pub(super) async fn check(shared: &Arc<Shared>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match shared.read.pool().await {
        Ok(_) => connected(shared, &mut findings).await,
        Err(failure) => {
            findings.push(Finding::wrong(why_not_connected(shared, failure)));
            return findings;
        }
    }
    match round_trip(shared).await {
        Ok(()) => findings.push(Finding::good(
            "an image was written, snapshot, read and deleted",
        )),
        Err((step, error)) => {
            findings.push(Finding::wrong(format!(
                "cannot {step}: {}",
                plainly(shared, &error)
            )));
        }
    }
    findings
}

async fn connected(shared: &Arc<Shared>, findings: &mut Vec<Finding>) {
    let name = &shared.config.pool;
    match shared.fsid().await {
        Ok(fsid) => findings.push(Finding::good(format!(
            "connected as {} to the cluster {fsid}, pool {name}",
            user(shared)
        ))),
        Err(error) => findings.push(Finding::wrong(error.to_string())),
    }
    match shared
        .read
        .call(shared.read.patience, Pool::is_prepared)
        .await
    {
        Ok(true) => {}
        Ok(false) => findings.push(Finding::doubtful(format!(
            "pool {name} was not prepared for images: run 'rbd pool init {name}'"
        ))),
        Err(Failure::Failed(error)) => findings.push(Finding::wrong(format!(
            "cannot read in pool {name} ({error}): {}",
            capabilities(shared)
        ))),
        Err(_) => findings.push(Finding::wrong("the pool does not answer: is an OSD up?")),
    }
    let features = |pool: &Pool| pool.setting("rbd_default_features");
    let features = shared.read.call(shared.read.patience, features).await;
    if features.is_ok_and(|text| !draft::has_object_map(&text)) {
        findings.push(Finding::doubtful(
            "rbd_default_features is without object-map: uploads of unknown size are resized as \
             they grow, and downloads read holes",
        ));
    }
}

/// Why there is no connection, or no pool.
fn why_not_connected(shared: &Shared, failure: Failure) -> String {
    let config = &shared.config;
    let file = config.ceph_conf.as_deref().unwrap_or("/etc/ceph/ceph.conf");
    let (user, pool) = (user(shared), &config.pool);
    let error = match failure {
        Failure::TooLong => return "the cluster does not answer".to_owned(),
        Failure::NotConnected(error) | Failure::Failed(error) => error,
    };
    let Error::Failed { operation, outcome } = &error else {
        return format!("librados2 and librbd1 are not installed: {error}");
    };
    match (*operation, *outcome) {
        ("rados_conf_read_file", Outcome::NotFound) => {
            format!("there is no {file} (rbd_store_ceph_conf)")
        }
        ("rados_conf_read_file", _) => format!("cannot read {file} (rbd_store_ceph_conf): {error}"),
        ("rados_connect", Outcome::NotFound) => format!(
            "there is no keyring for {user}, or the cluster does not know that user: look for \
             'keyring' in {file}, and at 'ceph auth get {user}'"
        ),
        ("rados_connect", Outcome::Denied) => {
            format!("the cluster refuses the key of {user}: compare 'ceph auth get {user}'")
        }
        ("rados_connect", Outcome::Unreachable) => {
            format!("no monitor answers: look at 'mon_host' in {file}, and at the network")
        }
        ("rados_ioctx_create", Outcome::NotFound) => {
            format!("there is no pool {pool} (rbd_store_pool)")
        }
        _ => format!("cannot connect as {user}: {error}"),
    }
}

/// The step that failed, and how.
type Broken = (&'static str, crate::store::Error);

async fn round_trip(shared: &Arc<Shared>) -> Result<(), Broken> {
    let image = ImageId::new(format!("fresnel-check-{}", Attempt::random()));
    let names = Names::new(&image, Attempt::random()).map_err(|error| ("name an image", error))?;
    let done = write_and_delete(shared, &names).await;
    if done.is_err() {
        // As far as that is possible where something else was not.
        drop(delete::discard(shared, names).await);
    }
    done
}

async fn write_and_delete(shared: &Arc<Shared>, names: &Names) -> Result<(), Broken> {
    const BYTES: &[u8] = b"written by fresnel store check";
    let writer = RbdWriter::open(shared.clone(), names.clone(), Some(BYTES.len() as u64)).await;
    let mut writer = Box::new(writer.map_err(|error| ("create an image", error))?);
    let written = writer.write(Chunk::new(BYTES.into())).await;
    written.map_err(|error| ("write to an image", error))?;
    let published = writer.commit().await;
    let url = published.map_err(|error| ("publish an image", error))?.url;
    let address = Address {
        place: None,
        image: names.published.clone(),
        snapshot: Some(SNAPSHOT.to_owned()),
    };
    let name = names.published.clone();
    let size = shared.read.call(shared.read.patience, move |pool| {
        pool.open_read_only(&name, Some(SNAPSHOT))?.size_bytes()
    });
    size.await
        .map_err(|failure| ("read an image", shared.outcome(&url, failure)))?;
    let deleted = delete::delete(shared, &url, address).await;
    deleted.map_err(|error| ("delete an image", error))
}

fn plainly(shared: &Shared, error: &crate::store::Error) -> String {
    use crate::store::Error;
    match error {
        Error::Denied(_) => capabilities(shared),
        Error::Full(_) => "the cluster is full, or the pool's quota is reached".to_owned(),
        Error::Unavailable(_) => "the cluster does not answer: are OSDs up?".to_owned(),
        Error::Backend { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn capabilities(shared: &Shared) -> String {
    let pool = &shared.config.pool;
    format!(
        "{} may not; it needs: mon 'profile rbd' osd 'profile rbd pool={pool}'{}",
        user(shared),
        shared
            .config
            .data_pool
            .as_ref()
            .map(|data| format!(", and the same for pool={data}"))
            .unwrap_or_default()
    )
}

fn user(shared: &Shared) -> String {
    format!(
        "client.{}",
        shared.config.user.as_deref().unwrap_or("admin")
    )
}
