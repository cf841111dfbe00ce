//! Blobs: bytes of artifacts, in our stores or elsewhere, on the way that images take.
//!
//! Stores know a blob by an id of its own, as they know an image.

use std::collections::HashSet;

use tracing::warn;

use super::{
    Refusal,
    create::changeable,
    now_us,
    types::{Field, Kind, Type},
    value,
};
use crate::{
    cache::{Cache, Key, Owner},
    control::{
        Caller, Control, Result, Rule,
        db::{self, Viewer},
        location::Object,
        policy::Target,
    },
    data::{self, ReadPlan},
    model::{
        HashAlgorithm, RangeRequest, StoreId,
        artifact::{Artifact, Blob, BlobStatus},
    },
    store,
};

/// Blobs whose bytes are removed in one sweep.
const ROWS_MAX: u32 = 100;
/// Schemes of addresses that no client may give for bytes in our stores, in Glare's words.
const RESTRICTED: [&str; 4] = ["file", "filesystem", "swift+config", "sql"];

/// Where in an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPlace {
    /// The artifact's type.
    pub type_name: String,
    /// The artifact.
    pub id: String,
    /// The field.
    pub field: String,
    /// In a folder.
    pub key: Option<String>,
}

/// Bytes that are somewhere already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLocation {
    /// Where.
    pub url: String,
    /// As the client says.
    pub md5: Option<String>,
    /// As the client says.
    pub sha1: Option<String>,
    /// As the client says.
    pub sha256: Option<String>,
    /// In one of our stores: they belong to the artifact from now on.
    pub internal: bool,
}

/// Where a blob's bytes are to be had.
#[derive(Debug)]
pub enum BlobSource {
    /// Somewhere else: the client is sent there.
    Elsewhere(Box<Blob>),
    /// In our stores.
    Here(Box<StoredBlob>),
}

/// A download that may start.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    /// The blob.
    pub blob: Blob,
    /// What the data plane is to do.
    pub plan: ReadPlan,
    /// All of its bytes.
    pub size_bytes: u64,
    /// What it is in a cache; none where it is for none.
    pub key: Option<Key>,
    /// The cache that it goes through.
    pub cache: Option<Cache>,
}

impl Control {
    /// Where a blob's bytes are to be had.
    ///
    /// # Errors
    /// [`Refusal`]s for what is asked, [`Refusal::NoBlob`], [`Refusal::NotReady`], [`Refusal::Denied`],
    /// [`Error::Range`], and the store's.
    pub async fn blob_source(
        &self,
        caller: &Caller,
        place: &BlobPlace,
        range: Result<RangeRequest>,
    ) -> Result<BlobSource> {
        let kind = self.artifact_type(&place.type_name)?;
        let any = Rule::ArtifactDownloadAny;
        let artifact = self.artifact_seen(any, caller, kind, &place.id).await?;
        if !self.policy.holds(any, caller, Target::Service) {
            let target = Target::Artifact(&artifact);
            self.allow_artifact(Rule::ArtifactDownload, caller, target)?;
        }
        field_of(kind, place)?;
        let blob = artifact.blob(&place.field, place.key.as_deref()).cloned();
        let blob = blob.ok_or_else(|| Refusal::NoBlob(place.name()))?;
        if blob.status != BlobStatus::Active {
            return Err(Refusal::NotReady(place.name()).into());
        }
        match blob.external {
            true => Ok(BlobSource::Elsewhere(Box::new(blob))),
            false => self
                .stored(blob, range?)
                .await
                .map(|b| BlobSource::Here(Box::new(b))),
        }
    }

    async fn stored(&self, blob: Blob, range: RangeRequest) -> Result<StoredBlob> {
        let lost = || data::Error::Lost(blob.id.clone());
        let (Some(id), Some(url)) = (blob.store.clone(), blob.url.clone()) else {
            return Err(lost().into());
        };
        let store = self.stores.get(&id).ok_or_else(lost)?;
        let size_bytes = match blob.size_bytes {
            Some(bytes) => bytes,
            None => store.size(&url).await?,
        };
        let sha256 = blob.sha256.as_deref().unwrap_or_default();
        let key = Key::new(blob.id.clone(), HashAlgorithm::Sha256, sha256);
        Ok(StoredBlob {
            // What rests encrypted has no other rest.
            key: key
                .filter(|_| !self.settings.encrypts(&id))
                .map(|key| key.owned_by(Owner::Artifact)),
            cache: self.cache_of_downloads(),
            plan: ReadPlan {
                image: blob.id.clone(),
                range: range.resolve(size_bytes)?,
                locations: vec![(id, url)],
            },
            size_bytes,
            blob,
        })
    }

    /// Gives an artifact bytes that are somewhere already.
    ///
    /// # Errors
    /// [`Refusal`]s for what is asked, [`Refusal::Taken`], [`Refusal::Denied`], [`Refusal::Overtaken`].
    pub async fn blob_locate(
        &self,
        caller: &Caller,
        place: &BlobPlace,
        location: NewLocation,
    ) -> Result<Artifact> {
        let (rule, store) = match location.internal {
            true => (
                Rule::ArtifactSetInternalLocation,
                Some(self.store_at(&location.url)?),
            ),
            false => (Rule::ArtifactSetLocation, None),
        };
        let kind = self.artifact_type(&place.type_name)?;
        let artifact = self.artifact_to_change(caller, kind, &place.id).await?;
        self.allow_artifact(rule, caller, Target::Artifact(&artifact))?;
        let field = field_of(kind, place)?;
        if artifact.blob(&place.field, place.key.as_deref()).is_some() {
            let (field, id) = (&place.field, &artifact.id);
            let text = format!("Blob {field} already exists for artifact {id}");
            return Err(Refusal::Taken(text).into());
        }
        changeable(&artifact, &place.field, field)?;
        folder_takes(&artifact, field, place)?;
        let object = match location.internal {
            true => self.object(&location.url),
            false => None,
        };
        let claims: Vec<_> = object.iter().map(Object::claim).collect();
        let mut blob = place.blob(None);
        blob.url = Some(location.url);
        blob.store = store;
        blob.md5 = location.md5;
        blob.sha1 = location.sha1;
        blob.sha256 = location.sha256;
        blob.external = !location.internal;
        blob.status = BlobStatus::Active;
        let added = self.db.blob_add(&artifact, &blob, &claims, now_us()).await;
        added.map_err(super::changed)?;
        self.artifact_as_it_is(&artifact.id).await
    }

    /// Takes bytes that are elsewhere from an artifact.
    ///
    /// # Errors
    /// [`Refusal`]s for what is asked, [`Refusal::NoBlob`], [`Refusal::State`] of bytes in our stores,
    /// [`Refusal::Denied`], [`Refusal::Overtaken`].
    pub async fn blob_unlocate(&self, caller: &Caller, place: &BlobPlace) -> Result<Artifact> {
        let kind = self.artifact_type(&place.type_name)?;
        let artifact = self.artifact_to_change(caller, kind, &place.id).await?;
        let target = Target::Artifact(&artifact);
        self.allow_artifact(Rule::ArtifactDeleteBlob, caller, target)?;
        field_of(kind, place)?;
        let blob = artifact.blob(&place.field, place.key.as_deref());
        let blob = blob.ok_or_else(|| Refusal::NoBlob(place.name()))?;
        if !blob.external {
            let text = format!("Blob {} is not external", place.name());
            return Err(Refusal::state(text).into());
        }
        let removed = self.db.blob_remove(&artifact, blob, now_us()).await;
        removed.map_err(super::changed)?;
        self.artifact_as_it_is(&artifact.id).await
    }

    /// Removes the bytes of blobs that nobody has any more. What fails is tried again at the next sweep; a
    /// store that is away is asked once, and keeps no other's waiting.
    pub(in crate::control) async fn sweep_blobs(&self) {
        if !self.settings.artifacts.enabled {
            return;
        }
        let (mut after, mut away) = (String::new(), HashSet::new());
        loop {
            let blobs = match self.db.blobs_given_up(&after, ROWS_MAX).await {
                Ok(blobs) => blobs,
                Err(error) => return warn!(%error, "Could not look for blobs that nobody has"),
            };
            let Some(last) = blobs.last() else {
                return;
            };
            after = last.id.as_str().to_owned();
            for blob in blobs {
                if !away.contains(&blob.store) && !self.forget_blob(&blob).await {
                    away.insert(blob.store);
                }
            }
        }
    }

    /// Removes the bytes of a blob that was given up, and then its record. What fails, the sweep does.
    /// False when its store is away.
    pub(super) async fn forget_blob(&self, blob: &Blob) -> bool {
        if let (Some(store), Some(url)) = (&blob.store, &blob.url) {
            let Some(store) = self.stores.get(store) else {
                warn!(blob.id = %blob.id, store.id = %store, "A blob is left to a node that has its store");
                return false;
            };
            match store.delete(url).await {
                Ok(())
                | Err(
                    store::Error::NotFound(_)
                    | store::Error::ReadOnly(_)
                    | store::Error::BadAddress(_),
                ) => {}
                Err(error) => {
                    warn!(blob.id = %blob.id, store.id = %store.id(), %error, "Could not remove a blob's bytes yet");
                    return !matches!(error, store::Error::Unavailable(_));
                }
            }
        }
        self.uncache(&blob.id).await;
        if let Err(error) = self.db.blob_forget(&blob.id).await {
            warn!(blob.id = %blob.id, %error, "Could not forget a blob yet");
        }
        true
    }

    /// The store whose address it is.
    fn store_at(&self, url: &str) -> Result<StoreId, Refusal> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        if RESTRICTED.contains(&scheme.to_ascii_lowercase().as_str()) {
            let text = format!("Forbidden to set internal locations with scheme '{scheme}'");
            return Err(Refusal::state(text));
        }
        let store = self.nameable(url).map(|store| store.id().clone());
        store.ok_or_else(|| Refusal::invalid(format!("Unknown scheme '{scheme}'")))
    }

    /// After a change of its caller's, whatever became of it in between.
    pub(super) async fn artifact_as_it_is(&self, id: &str) -> Result<Artifact> {
        match self.db.artifact(id, None, &Viewer::everything()).await {
            Err(db::Error::NotFound) => Err(Refusal::NotFound(id.to_owned()).into()),
            found => Ok(found?),
        }
    }
}

impl BlobPlace {
    /// For people.
    pub(super) fn name(&self) -> String {
        match &self.key {
            Some(key) => format!("{}[{key}]", self.field),
            None => self.field.clone(),
        }
    }

    /// A new blob for it.
    pub(super) fn blob(&self, content_type: Option<String>) -> Blob {
        Blob::saving(self.field.clone(), self.key.clone(), content_type)
    }
}

/// The field, which must be a folder where there is a key, and else bytes.
pub(super) fn field_of<'a>(kind: &'a Type, place: &BlobPlace) -> Result<&'a Field, Refusal> {
    let field = kind.fields.get(&place.field);
    let (wanted, word) = match place.key {
        Some(_) => (Kind::Folder, "a blob dict"),
        None => (Kind::Blob, "a blob"),
    };
    field
        .filter(|field| field.kind == wanted)
        .ok_or_else(|| Refusal::invalid(format!("{} is not {word}", place.field)))
}

/// Whether a folder takes another key.
pub(super) fn folder_takes(
    artifact: &Artifact,
    field: &Field,
    place: &BlobPlace,
) -> Result<(), Refusal> {
    let Some(key) = &place.key else {
        return Ok(());
    };
    let there = artifact
        .blobs
        .iter()
        .filter(|blob| blob.field == place.field);
    let others = there.filter(|blob| blob.key.as_ref() != Some(key));
    let mut keys: Vec<_> = others.map(|blob| blob.key.as_deref()).collect();
    keys.sort_unstable();
    keys.dedup();
    value::folder_takes(field, key, keys.len()).map_err(Refusal::invalid)
}
