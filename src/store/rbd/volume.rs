//! Images that another service makes, names, grows and removes: Cinder's volumes. It says where they are, and here
//! they are opened, read and written, by librbd, as os-brick does without a kernel device.

use std::sync::Arc;

use bytes::Bytes;
use fresnel_ceph::{Outcome, Pool};
use parking_lot::Mutex;

use super::{
    Config, Connections, Failure, Link, Purpose, Result,
    connection::addresses,
    delete::shut_out,
    draft::{Draft, Mark, Names},
    flow::Flow,
    needs_libraries,
    read::RbdReader,
    write::close,
};
use crate::{
    base::limits::MIB,
    buf::Claim,
    model::{ByteRange, StoreId},
    store::Error,
};

/// Bytes of an object, as Cinder makes volumes (`rbd_store_chunk_size`, 4): others are read and written all the
/// same.
const OBJECT_BYTES: u64 = 4 * MIB as u64;
/// What stands for no configuration file: all that is needed is in the settings.
const NO_FILE: &str = "/dev/null";

/// Where a volume is, and as whom it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Volume {
    /// `address:port` of each monitor.
    pub(in crate::store) monitors: Vec<String>,
    /// Without `client.`.
    pub(in crate::store) user: String,
    /// File with the user's key.
    pub(in crate::store) keyring: String,
    pub(in crate::store) pool: String,
    pub(in crate::store) image: String,
}

/// Opens a store's volumes, in whatever pools and clusters they are.
#[derive(Debug)]
pub(in crate::store) struct Volumes {
    store: StoreId,
    connections: Arc<Connections>,
    /// A pool each: there are as many as Cinder has back ends.
    known: Mutex<Vec<(Config, Links)>>,
}

#[derive(Clone, Debug)]
struct Links {
    write: Arc<Link>,
    read: Arc<Link>,
}

/// Writes to one volume, in order.
pub(in crate::store) struct VolumeWriter {
    link: Arc<Link>,
    image: String,
    draft: Arc<Draft>,
    flow: Flow,
}

impl Volume {
    fn config(&self) -> Config {
        let settings = [
            ("mon_host", self.monitors.join(",")),
            ("keyring", self.keyring.clone()),
        ];
        Config {
            ceph_conf: Some(NO_FILE.to_owned()),
            user: Some(self.user.clone()),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ..Config::in_pool(&self.pool)
        }
    }
}

impl Volumes {
    /// Fails with [`Error::Backend`] where librados and librbd are missing.
    pub(in crate::store) fn new(store: StoreId, connections: Arc<Connections>) -> Result<Self> {
        needs_libraries(&store, "cinder")?;
        Ok(Self {
            store,
            connections,
            known: Mutex::default(),
        })
    }

    pub(in crate::store) async fn reader(
        &self,
        volume: &Volume,
        url: &str,
        range: ByteRange,
        memory: Claim,
    ) -> Result<RbdReader> {
        let (link, place) = (self.links(volume).read, (volume.image.clone(), None));
        RbdReader::open(link, url, place, OBJECT_BYTES, range, memory).await
    }

    /// A writer that has nothing open yet.
    pub(in crate::store) fn writer(&self, volume: &Volume, draft: Arc<Draft>) -> VolumeWriter {
        let link = self.links(volume).write;
        let window = self.connections.window.clone();
        VolumeWriter {
            flow: Flow::new(link.clone(), window, OBJECT_BYTES, true),
            link,
            image: volume.image.clone(),
            draft,
        }
    }

    /// Shuts out the writer of an attempt at a volume, if that is another process.
    pub(in crate::store) async fn fence(&self, volume: &Volume, names: &Names) -> Result<()> {
        let Links { write, read } = self.links(volume);
        let link = read.clone();
        let ours = addresses([&write, &read]);
        let ours =
            ours.map_err(|error| link.outcome(&names.draft, Failure::NotConnected(error)))?;
        let (name, attempt) = (volume.image.clone(), names.attempt.to_string());
        let fence = move |pool: &Pool| {
            let image = match pool.open_read_only(&name, None) {
                Err(error) if error.outcome() == Some(Outcome::NotFound) => return Ok(()),
                image => image?,
            };
            match Mark::read(&image)?.filter(|mark| mark.attempt == attempt) {
                Some(mark) => shut_out(pool, &image, Some(mark), &ours),
                None => Ok(()),
            }
        };
        let fenced = link.call(link.patience, fence).await;
        fenced.map_err(|failure| link.outcome(&names.draft, failure))
    }

    fn links(&self, volume: &Volume) -> Links {
        let config = volume.config();
        let mut known = self.known.lock();
        if let Some((_, links)) = known.iter().find(|(known, _)| *known == config) {
            return links.clone();
        }
        let link = |purpose| self.connections.link(&self.store, &config, purpose);
        let links = Links {
            write: link(Purpose::Write),
            read: link(Purpose::Read),
        };
        known.push((config, links.clone()));
        links
    }
}

impl VolumeWriter {
    /// Opens the volume and marks it as the attempt's; returns its bytes. The gate is held.
    pub(in crate::store) async fn open(&mut self) -> Result<u64> {
        let (name, attempt) = (self.image.clone(), self.draft.names.attempt.to_string());
        let open = move |pool: &Pool| {
            let image = pool.open_image(&name)?;
            let mark = Mark {
                attempt,
                writer: pool.cluster().address()?,
            };
            mark.write(&image)?;
            let size = image.size_bytes()?;
            Ok((image, size))
        };
        let mut opened = self.link.call(self.link.patience, open.clone()).await;
        if let Err(Failure::Failed(error)) = &opened
            && error.outcome() == Some(Outcome::Blocklisted)
        {
            // By whoever took an earlier upload over. The next connection is not.
            opened = self.link.call(self.link.patience, open).await;
        }
        let (image, size) = opened.map_err(|failure| self.failed(failure))?;
        self.draft.set_image(image);
        Ok(size)
    }

    /// Bytes accepted.
    pub(in crate::store) fn end(&self) -> u64 {
        self.flow.end()
    }

    /// Whether something waits to be sent off.
    pub(in crate::store) fn holds(&self) -> bool {
        self.flow.holds()
    }

    /// Takes in from `bytes`, and says whether it must [`VolumeWriter::send`] before it can take more.
    pub(in crate::store) fn gather(&mut self, bytes: &mut Bytes) -> bool {
        self.flow.gather(bytes)
    }

    /// Sends off what is gathered. The volume reaches to [`VolumeWriter::end`].
    pub(in crate::store) async fn send(&mut self) -> Result<()> {
        let pool = self.draft.image()?.pool().clone();
        let looked = self.flow.look(&pool).await;
        looked.map_err(|failure| self.failed(failure))?;
        let place = self.flow.place(&pool).await;
        let place = place.map_err(|failure| self.failed(failure))?;
        // Looked up after the last wait: an image that is closed meanwhile gets no more writes.
        self.flow.send(&self.draft.image()?, place);
        Ok(())
    }

    /// Makes durable what was written, and closes the volume. The gate is held.
    pub(in crate::store) async fn close(&mut self) -> Result<()> {
        let image = self.draft.image()?;
        let finished = self.flow.finish(&image).await;
        drop(image);
        if !finished.map_err(|failure| self.failed(failure))? {
            return Err(Error::Corrupt(self.draft.names.draft.clone()));
        }
        close(&self.draft, self.link.patience).await;
        Ok(())
    }

    fn failed(&self, failure: Failure) -> Error {
        self.draft.names.outcome(&self.link, failure)
    }
}
