//! A look at a store, for the operator: what works, and in plain words what does not.

use std::sync::Arc;

use super::{Finding, Shared, delete, names, write::CinderWriter};
use crate::{
    buf::Chunk,
    client::cinder,
    model::{Attempt, ImageId},
    store::{Error, Intent, Writer as _},
};

/// Asks for Cinder, looks for the type of volumes, and writes, looks at and deletes a small image.
pub(super) async fn check(shared: &Arc<Shared>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match shared.cinder.address().await {
        Ok(address) => findings.push(Finding::good(format!("Cinder is at {address}"))),
        Err(error) => {
            findings.push(Finding::wrong(why_no_address(&error)));
            return findings;
        }
    }
    if let Some(kind) = &shared.config.volume_type {
        match shared.cinder.has_type(kind).await {
            Ok(true) => {}
            Ok(false) => findings.push(Finding::wrong(format!(
                "Cinder has no volume type {kind:?} (cinder_volume_type)"
            ))),
            Err(error) => {
                findings.push(Finding::wrong(format!("cannot ask for types: {error}")));
                return findings;
            }
        }
    }
    match round_trip(shared).await {
        Ok(()) => findings.push(Finding::good(
            "a volume was made, attached, written and deleted",
        )),
        Err((step, error)) => findings.push(Finding::wrong(format!(
            "cannot {step}: {}",
            plainly(&error)
        ))),
    }
    findings
}

fn why_no_address(error: &cinder::Error) -> String {
    match error {
        cinder::Error::Unavailable(text) => format!(
            "{text} (cinder_store_auth_address, cinder_store_user_name, cinder_store_password, \
             cinder_store_project_name)"
        ),
        other => format!("{other} (cinder_catalog_info, cinder_os_region_name)"),
    }
}

/// The step that failed, and how.
type Broken = (&'static str, Error);

async fn round_trip(shared: &Arc<Shared>) -> Result<(), Broken> {
    let image = ImageId::new(format!("fresnel-check-{}", Attempt::random()));
    let attempt = Attempt::random();
    let names = names(&image, attempt).map_err(|error| ("name a volume", error))?;
    let intent = Intent::new(image, attempt, names.draft.clone());
    let done = write_and_delete(shared, &intent).await;
    if done.is_err() {
        // As far as that is possible where something else was not.
        drop(delete::discard(shared, names).await);
    }
    done
}

async fn write_and_delete(shared: &Arc<Shared>, intent: &Intent) -> Result<(), Broken> {
    const BYTES: &[u8] = b"written by fresnel store check";
    let names = super::names_of(intent).map_err(|error| ("name a volume", error))?;
    let writer = CinderWriter::open(shared.clone(), intent, names, Some(BYTES.len() as u64));
    let writer = writer.await;
    let mut writer = Box::new(writer.map_err(|error| ("make and attach a volume", error))?);
    let written = writer.write(Chunk::new(BYTES.into())).await;
    written.map_err(|error| ("write to a volume", error))?;
    let published = writer.commit().await;
    let url = published.map_err(|error| ("publish a volume", error))?.url;
    let deleted = delete::delete(shared, &url).await;
    deleted.map_err(|error| ("delete a volume", error))
}

fn plainly(error: &Error) -> String {
    match error {
        Error::Denied(_) => "Cinder's policy does not let us".to_owned(),
        Error::Full(_) => "a quota of the project is reached".to_owned(),
        Error::Unavailable(_) => "Cinder or the cluster does not answer".to_owned(),
        Error::Backend { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
