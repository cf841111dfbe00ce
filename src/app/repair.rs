//! `fresnel scrub`, `fresnel image recover` and `fresnel image restore`: what an operator does to
//! images and stores, with the control plane of the service and a lease of its own.

use std::{sync::Arc, time::Duration};

use anyhow::bail;

use super::service::open_stores;
use crate::{
    config::Config,
    control::{Control, Db, Leases, recover, scrub},
    model::{ImageId, StoreId},
};

pub use crate::control::{
    recover::{Mended, Outcome as Mending},
    scrub::{Found, Outcome, Summary, Told, Why, age},
};

/// What `fresnel scrub` is asked.
#[derive(Clone, Debug, Default)]
pub struct Scrub {
    /// Only this store.
    pub store: Option<String>,
    /// Also remove what no image has, if it is older than this.
    pub adopt: Option<Duration>,
    /// Remove nothing.
    pub dry_run: bool,
}

/// Scrubs the stores once; `tell` hears of everything that is found, and how far it is.
///
/// # Errors
/// When a store cannot be opened, or there is none of that name; the database's.
pub async fn scrub(config: Config, asked: Scrub, tell: scrub::Tell<'_>) -> anyhow::Result<Summary> {
    let store = asked.store.as_deref().map(StoreId::new);
    let repair = Repair::begin(config).await?;
    if let Some(store) = &store
        && repair.control.stores.get(store).is_none()
    {
        bail!("there is no store {store}");
    }
    let options = scrub::Options {
        store,
        adopt: asked.adopt,
        dry_run: asked.dry_run,
    };
    let scrubbed = repair.under_lease(Box::pin(scrub::run(&repair.control, &options, tell)));
    Ok(scrubbed.await?)
}

/// Mends images that somebody left under way, untouched for `older_than`.
///
/// # Errors
/// When a store cannot be opened; the database's.
pub async fn recover(
    config: Config,
    older_than: Duration,
    dry_run: bool,
    tell: &mut (dyn FnMut(&Mended) + Send),
) -> anyhow::Result<()> {
    let local = config.control.import.staging.local.as_ref();
    let staging = local.map_or_else(
        || config.data_dir.join("staging"),
        |local| local.path.clone(),
    );
    let repair = Repair::begin(config).await?;
    let options = recover::Options {
        older_than,
        dry_run,
        staging,
    };
    let recovered = repair.under_lease(Box::pin(recover::run(&repair.control, &options, tell)));
    Ok(recovered.await?)
}

/// Makes an image of `pending_delete` active again.
///
/// # Errors
/// When it is not in that status; the database's.
pub async fn restore(config: Config, image: &ImageId) -> anyhow::Result<()> {
    let db = Db::connect(&config.db).await?;
    match db.image_restore(image).await? {
        true => Ok(()),
        false => bail!("image {image} is not in pending_delete"),
    }
}

struct Repair {
    control: Control,
    leases: Arc<Leases>,
}

impl Repair {
    async fn begin(config: Config) -> anyhow::Result<Self> {
        let stores = open_stores(&config, &[])?;
        let db = Db::connect(&config.db).await?;
        let leases = Leases::join(db.clone(), config.lease).await?;
        Ok(Self {
            control: Control::new(db, stores, config.control, leases.clone()),
            leases,
        })
    }

    /// Does the work while the lease is renewed, then gives it up.
    async fn under_lease<T>(&self, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            done = work => done,
            () = self.leases.keep() => unreachable!("a lease is kept for ever"),
        };
        self.leases.drain(Duration::ZERO).await;
        self.leases.leave().await;
        done
    }
}
