//! A download: which image, which bytes, and where they may be had.

use super::{Caller, Control, Error, Result, Rule, cache, encryption::PlainRead, notify::Sent};
use crate::{
    base::secret::Secret,
    cache::{Cache, Key},
    data::ReadPlan,
    model::{ByteRange, Image, ImageId, LocationStatus, RangeError, RangeRequest, Status, StoreId},
};

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct DownloadRequest {
    /// The image.
    pub image: ImageId,
    /// Its bytes; a range that could not be read fails in its turn.
    pub range: Result<RangeRequest, RangeError>,
    /// `?prefer=`: the stores to try first.
    pub prefer: Vec<String>,
    /// What is in an encrypted image, and not its container.
    pub is_plain: bool,
    /// In whose name the key manager is asked for its key.
    pub token: Option<Secret>,
}

/// A download that may start.
#[derive(Clone, Debug)]
pub struct Download {
    /// What the data plane is to do.
    pub plan: ReadPlan,
    /// The whole image's bytes.
    pub size_bytes: u64,
    /// The whole image's MD5.
    pub checksum: Option<String>,
    /// What is in the image is to be sent: the plan's range is all of its container.
    pub plain: Option<PlainRead>,
    /// What the image is in a cache; none where it is for none.
    pub key: Option<Key>,
    /// Its store encrypts: nobody else may let it rest.
    pub rests_encrypted: bool,
    /// The cache that it goes through.
    pub cache: Option<Cache>,
    /// For [`Control::image_sent`].
    pub sent: Sent,
}

impl Control {
    /// Decides on a download; `None` when the image has no data yet.
    ///
    /// # Errors
    /// [`Error::ImageNotFound`], [`Error::DataDeactivated`], [`Error::Denied`],
    /// [`Error::PreferUnavailable`], [`Error::PreferUnknown`], [`Error::Encryption`],
    /// [`Error::Range`], and the store's and the database's.
    pub async fn download_plan(
        &self,
        caller: &Caller,
        request: DownloadRequest,
    ) -> Result<Option<Download>> {
        let id = request.image;
        let image = self.load(caller, &id, Error::ImageNotFound).await?;
        if image.status == Status::Deactivated && !caller.is_admin {
            return Err(Error::DataDeactivated);
        }
        self.allow(Rule::DownloadImage, caller, &image)?;
        if request.is_plain {
            self.allow(Rule::DownloadImagePlain, caller, &image)?;
        }
        if !request.prefer.is_empty() {
            self.allow(Rule::DownloadFromStore, caller, &image)?;
        }
        let preferred = self.preferred(&request.prefer)?;
        let range = request.range?;
        let locations = self.locations(&image, &preferred);
        let Some((store, url)) = locations.first() else {
            return Ok(None);
        };
        let size_bytes = match image.size_bytes {
            Some(bytes) => bytes,
            None => {
                self.stores
                    .get(store)
                    .expect("only known stores are chosen")
                    .size(url)
                    .await?
            }
        };
        let plain = match request.is_plain {
            true => {
                let token = request.token.as_ref();
                self.decryption(&image, range, token).await?
            }
            false => None,
        };
        let range = match plain {
            Some(_) => ByteRange::whole(size_bytes),
            None => range.resolve(size_bytes)?,
        };
        // What rests encrypted has no other rest.
        let rests_encrypted = self.settings.encrypts(store);
        let key = match rests_encrypted {
            true => None,
            false => cache::key(&image),
        };
        let sent = Sent::new(&image, caller);
        Ok(Some(Download {
            key,
            rests_encrypted,
            cache: self.cache_of_downloads(),
            sent,
            plan: ReadPlan {
                image: id,
                range,
                locations,
            },
            size_bytes,
            // Of the container, which is not what is sent.
            checksum: image.checksum.filter(|_| plain.is_none()),
            plain,
        }))
    }

    /// Where an image can be read, for whoever does not choose.
    pub(super) fn sources(&self, image: &Image) -> Vec<(StoreId, String)> {
        self.locations(image, &[])
    }

    fn preferred(&self, names: &[String]) -> Result<Vec<StoreId>> {
        if !names.is_empty() && !self.settings.multistore {
            return Err(Error::PreferUnavailable);
        }
        let known = |name: &String| {
            let id = StoreId::new(name);
            match self.stores.get(&id) {
                Some(_) => Ok(id),
                None => Err(Error::PreferUnknown(id)),
            }
        };
        names.iter().map(known).collect()
    }

    /// The readable locations: preferred stores first, then by the stores' weight, then in the
    /// order in which they were added.
    fn locations(&self, image: &Image, preferred: &[StoreId]) -> Vec<(StoreId, String)> {
        let readable = image
            .locations
            .iter()
            .filter(|location| location.status == LocationStatus::Active);
        let mut found: Vec<(StoreId, String)> = readable
            .filter_map(|location| {
                Some((self.store_of(location)?.id().clone(), location.url.clone()))
            })
            .collect();
        if self.settings.multistore {
            found.sort_by_key(|(store, _)| {
                let weight = self.settings.weight(store);
                (!preferred.contains(store), std::cmp::Reverse(weight))
            });
        }
        found
    }
}
