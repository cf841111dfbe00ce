//! A look at a store, for the operator: what works, and in plain words what does not.

use std::sync::Arc;

use super::{Finding, Shared, delete, draft::Names, write::SwiftWriter};
use crate::{
    buf::Chunk,
    client::swift,
    model::{Attempt, ImageId},
    store::{Error, Writer as _},
};

/// Asks for the account, looks for the container, and writes, reads and deletes a small image.
pub(super) async fn check(shared: &Arc<Shared>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match shared.account().address().await {
        Ok(address) => findings.push(Finding::good(format!("the account is {address}"))),
        Err(error) => {
            findings.push(Finding::wrong(why_no_account(&error)));
            return findings;
        }
    }
    match round_trip(shared).await {
        Ok(()) => findings.push(Finding::good("an image was written, read and deleted")),
        Err((step, error)) => {
            findings.push(Finding::wrong(format!(
                "cannot {step}: {}",
                plainly(&error)
            )));
        }
    }
    findings
}

fn why_no_account(error: &swift::Error) -> String {
    match error {
        swift::Error::Denied(text) => format!("not let in: {text} (user, key)"),
        swift::Error::Unavailable(text) => {
            format!("{text} (auth_address; swift_store_config_file has it, or the section)")
        }
        other => {
            format!("{other} (swift_store_endpoint, swift_store_region, swift_store_endpoint_type)")
        }
    }
}

/// The step that failed, and how.
type Broken = (&'static str, Error);

async fn round_trip(shared: &Arc<Shared>) -> Result<(), Broken> {
    let image = ImageId::new(format!("fresnel-check-{}", Attempt::random()));
    let container = shared.config.container_of(&image);
    let names = Names::new(container, &image, Attempt::random());
    let names = names.map_err(|error| ("name an object", error))?;
    let done = write_and_delete(shared, &names).await;
    if done.is_err() {
        // As far as that is possible where something else was not.
        drop(delete::discard(shared, &names).await);
    }
    done
}

async fn write_and_delete(shared: &Arc<Shared>, names: &Names) -> Result<(), Broken> {
    const BYTES: &[u8] = b"written by fresnel store check";
    let writer = SwiftWriter::open(shared.clone(), names.clone(), BYTES.len()).await;
    let mut writer = Box::new(writer.map_err(|error| ("use the container", error))?);
    let written = writer.write(Chunk::new(BYTES.into())).await;
    written.map_err(|error| ("write a segment", error))?;
    let published = writer.commit().await;
    let url = published
        .map_err(|error| ("write segments and a manifest", error))?
        .url;
    let address = shared.address(&url);
    let address = address.map_err(|error| ("read our own address", error))?;
    let size = shared.size(&address).await;
    match size.map_err(|error| ("read an object", error))? {
        size if size == BYTES.len() as u64 => {}
        _ => {
            return Err((
                "read a manifest's segments",
                Error::Corrupt(names.segments()),
            ));
        }
    }
    let deleted = delete::delete(shared, &address).await;
    deleted.map_err(|error| ("delete an object", error))
}

fn plainly(error: &Error) -> String {
    match error {
        Error::Denied(_) => {
            "the user may not: it needs a role that may write there (operator_roles)".to_owned()
        }
        Error::Full(_) => "there is no room, or a quota is reached".to_owned(),
        Error::Unavailable(_) => "Swift does not answer".to_owned(),
        Error::Backend { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
