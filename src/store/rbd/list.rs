//! What lies in the pool, whoever put it there. The trash is not looked at: what is ours in it is
//! removed without being asked, and the rest is none of our business.

use std::sync::Arc;

use fresnel_ceph::Pool;
use tokio::sync::mpsc;

use super::{Entry, Intent, Result, SNAPSHOT, Shared, Stat, address, draft::Names};

/// Tells every image of the pool. Their names are in memory at once, as librbd gives them.
pub(super) async fn list(shared: &Arc<Shared>, found: &mpsc::Sender<Entry>) -> Result<()> {
    let fsid = shared.fsid().await?;
    let pool = &shared.config.pool;
    let names = shared.read.call(shared.read.patience, Pool::images);
    let names = names
        .await
        .map_err(|failure| shared.outcome(pool, failure))?;
    for name in names {
        let entry = match Intent::of_draft(&name, &name) {
            Some(intent) => Entry::Draft(intent),
            None => Entry::Object(address::write(&fsid, pool, &name, SNAPSHOT)),
        };
        if found.send(entry).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Of the image, whether it has its snapshot or not.
pub(super) async fn stat(shared: &Arc<Shared>, entry: &Entry) -> Result<Stat> {
    let name = match entry {
        Entry::Object(url) => shared.address(url).await?.image,
        Entry::Draft(intent) => Names::of(intent)?.draft,
    };
    let stat = {
        let name = name.clone();
        move |pool: &Pool| {
            let image = pool.open_read_only(&name, None)?;
            Ok(Stat {
                size_bytes: image.size_bytes()?,
                modified: Some(image.modified()?),
            })
        }
    };
    let stat = shared.read.call(shared.read.patience, stat).await;
    stat.map_err(|failure| shared.outcome(&name, failure))
}
