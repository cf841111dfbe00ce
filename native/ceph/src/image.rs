//! An open image.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fmt,
    future::Future,
    ptr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use libc::{iovec, size_t, timespec};
use tokio::sync::watch;

use crate::{
    Completion, Outcome, Pool, Result,
    aio::{new_completion, submit},
    cluster::read_text,
    error::{check, text},
    sys::{self, Api, ImageWatcher, RbdCompletion, RbdImage, SnapInfo},
};

/// `RBD_FEATURE_LAYERING`: snapshots can be cloned.
pub const FEATURE_LAYERING: u64 = 1 << 0;
/// `RBD_FEATURE_OBJECT_MAP`: it is known which objects there are.
pub const FEATURE_OBJECT_MAP: u64 = 1 << 3;
/// `RBD_FEATURE_JOURNALING`: changes are mirrored to another cluster.
pub const FEATURE_JOURNALING: u64 = 1 << 6;
/// `RBD_FEATURE_FAST_DIFF`
const FEATURE_FAST_DIFF: u64 = 1 << 4;
/// `RBD_FLAG_FAST_DIFF_INVALID`
const FLAG_FAST_DIFF_INVALID: u64 = 1 << 1;

/// An image, or a snapshot of one. Cheap to clone. It is closed after the last clone and the last
/// operation.
#[derive(Clone, Debug)]
pub struct Image {
    handle: Arc<Handle>,
}

struct Handle {
    pool: Pool,
    image: RbdImage,
    closed: watch::Sender<bool>,
}

// SAFETY: librbd's images may be used by any number of threads at once.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// A snapshot of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The image's size then.
    pub size_bytes: u64,
    /// Whether it was removed while it had clones, and waits for their end.
    pub is_trash: bool,
}

/// Pointers into buffers that the same payload owns.
struct Pointers(Vec<iovec>);

// SAFETY: what they point to is owned by the payload that they are part of, and may be sent.
unsafe impl Send for Pointers {}

impl Image {
    pub(crate) fn new(pool: Pool, image: RbdImage) -> Self {
        Self {
            handle: Arc::new(Handle {
                pool,
                image,
                closed: watch::Sender::new(false),
            }),
        }
    }

    /// Ready when the image is closed, which is after its last clone and its last operation:
    /// nothing of this process holds it any more. Does not keep it open.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.handle.closed.subscribe();
        async move {
            // Without a sender there is no handle either.
            drop(closed.wait_for(|closed| *closed).await);
        }
    }

    /// Writes all that is in `pieces` at `offset`, which must lie within the image: to begin beyond its
    /// end is never answered (a fault of librbd 16), and what reaches over it is cut off. The bytes are
    /// not copied; the payload is dropped when the library needs them no more, on a thread of
    /// the library.
    pub fn write_at<P>(&self, offset: u64, pieces: P) -> Completion<()>
    where
        P: AsRef<[Bytes]> + Send + 'static,
    {
        let pointers = pieces.as_ref().iter().map(|piece| iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        });
        // The bytes lie on the heap: they stay where they are when the payload moves.
        let payload = (Pointers(pointers.collect()), pieces);
        let image = self.handle.image;
        let point = |payload: &mut (Pointers, P)| payload.0.parts();
        let start = |api: &Api, (pointers, count), completion| {
            // SAFETY: the image is open; the array and the bytes that it points to are in the
            // operation's payload, where they are not changed until the library calls back. The
            // library only reads them.
            unsafe { (api.rbd_aio_writev)(image, pointers, count, offset, completion) }
        };
        let finish = |_, _| ();
        submit(self, "rbd_aio_writev", payload, point, start, finish)
    }

    /// Reads at `offset` into `buffers`, one after the other, and gives them back with the number
    /// of bytes that were read: fewer than they hold only at the image's end.
    pub fn read_at<B>(&self, offset: u64, buffers: Vec<B>) -> Completion<(Vec<B>, usize)>
    where
        B: AsMut<[u8]> + Send + 'static,
    {
        let payload = (Pointers(Vec::with_capacity(buffers.len())), buffers);
        let image = self.handle.image;
        let point = |(pointers, buffers): &mut (Pointers, Vec<B>)| {
            pointers.0.extend(buffers.iter_mut().map(|buffer| {
                let buffer = buffer.as_mut();
                iovec {
                    iov_base: buffer.as_mut_ptr().cast(),
                    iov_len: buffer.len(),
                }
            }));
            pointers.parts()
        };
        let start = |api: &Api, (pointers, count), completion| {
            // SAFETY: the image is open; the array and the buffers are in the operation's payload,
            // where nobody touches or moves them until the library calls back.
            unsafe { (api.rbd_aio_readv)(image, pointers, count, offset, completion) }
        };
        let finish = |(_, buffers), len| (buffers, len);
        submit(self, "rbd_aio_readv", payload, point, start, finish)
    }

    /// Makes durable what was written.
    pub fn flush(&self) -> Completion<()> {
        let image = self.handle.image;
        let start = |api: &Api, (), completion| {
            // SAFETY: the image is open.
            unsafe { (api.rbd_aio_flush)(image, completion) }
        };
        submit(self, "rbd_aio_flush", (), |()| (), start, |(), _| ())
    }

    /// Changes the size. Blocks; without an object map a smaller size costs time for each object
    /// that there could have been.
    ///
    /// # Errors
    /// The library's.
    pub fn resize(&self, size_bytes: u64) -> Result<()> {
        // SAFETY: the image is open.
        let resized = unsafe { (self.api().rbd_resize)(self.handle.image, size_bytes) };
        check("rbd_resize", resized).map(drop)
    }

    /// The size, of the snapshot if that was opened.
    ///
    /// # Errors
    /// The library's.
    pub fn size_bytes(&self) -> Result<u64> {
        self.number("rbd_get_size", self.api().rbd_get_size)
    }

    /// When it was last written, to about a minute (`rbd_mtime_update_interval`).
    ///
    /// # Errors
    /// The library's.
    pub fn modified(&self) -> Result<SystemTime> {
        let mut time = timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the image is open, and the time is written where the pointer says.
        let got =
            unsafe { (self.api().rbd_get_modify_timestamp)(self.handle.image, &raw mut time) };
        check("rbd_get_modify_timestamp", got)?;
        let since = |seconds: i64, nanos: i64| {
            Duration::new(
                seconds.max(0).unsigned_abs(),
                nanos.clamp(0, 999_999_999) as u32,
            )
        };
        Ok(UNIX_EPOCH + since(time.tv_sec, time.tv_nsec))
    }

    /// The features, as bits.
    ///
    /// # Errors
    /// The library's.
    pub fn features(&self) -> Result<u64> {
        self.number("rbd_get_features", self.api().rbd_get_features)
    }

    /// Whether [`Image::data_extents`] is told without asking for every object.
    ///
    /// # Errors
    /// The library's.
    pub fn knows_its_objects(&self) -> Result<bool> {
        let flags = self.number("rbd_get_flags", self.api().rbd_get_flags)?;
        Ok(self.features()? & FEATURE_FAST_DIFF != 0 && flags & FLAG_FAST_DIFF_INVALID == 0)
    }

    fn number(
        &self,
        operation: &'static str,
        get: unsafe extern "C" fn(RbdImage, *mut u64) -> c_int,
    ) -> Result<u64> {
        let mut number = 0;
        // SAFETY: the image is open, and the number is written where the pointer says.
        check(operation, unsafe {
            get(self.handle.image, &raw mut number)
        })?;
        Ok(number)
    }

    /// The id, which stays when the name changes.
    ///
    /// # Errors
    /// The library's.
    pub fn id(&self) -> Result<String> {
        read_text("rbd_get_id", 256, |buffer, len| {
            // SAFETY: the image is open, and the buffer has `len` bytes.
            unsafe { (self.api().rbd_get_id)(self.handle.image, buffer, len) }
        })
    }

    /// What was noted under `key`, if anything was. Blocks.
    ///
    /// # Errors
    /// The library's.
    pub fn metadata(&self, key: &str) -> Result<Option<String>> {
        const OPERATION: &str = "rbd_metadata_get";
        let key = text(OPERATION, key)?;
        let value = read_text(OPERATION, 4096, |buffer, mut len| {
            let get = self.api().rbd_metadata_get;
            // SAFETY: the image is open, the key lives, and the buffer has `len` bytes.
            unsafe { get(self.handle.image, key.as_ptr(), buffer, &raw mut len) }
        });
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.outcome() == Some(Outcome::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes `value` under `key`. Blocks.
    ///
    /// # Errors
    /// The library's.
    pub fn set_metadata(&self, key: &str, value: &str) -> Result<()> {
        const OPERATION: &str = "rbd_metadata_set";
        let (key, value) = (text(OPERATION, key)?, text(OPERATION, value)?);
        let set = self.api().rbd_metadata_set;
        // SAFETY: the image is open, and both texts live until the call returns.
        let set = unsafe { set(self.handle.image, key.as_ptr(), value.as_ptr()) };
        check(OPERATION, set).map(drop)
    }

    /// The addresses of the connections that have the image open to change it. Blocks.
    ///
    /// # Errors
    /// The library's.
    pub fn watchers(&self) -> Result<Vec<String>> {
        const OPERATION: &str = "rbd_watchers_list";
        let api = self.api();
        let mut room = 16;
        loop {
            let mut watchers: Vec<ImageWatcher> = Vec::with_capacity(room);
            let (start, mut count) = (watchers.as_mut_ptr(), room);
            // SAFETY: the image is open, and there is room for `count` watchers.
            let listed =
                unsafe { (api.rbd_watchers_list)(self.handle.image, start, &raw mut count) };
            if listed == -libc::ERANGE {
                room = count.max(2 * room);
                continue;
            }
            check(OPERATION, listed)?;
            // SAFETY: after success the library has written so many, of which we had room.
            unsafe { watchers.set_len(count) };
            let found = watchers.iter().map(|watcher| {
                // SAFETY: the text is the library's, and lives until it is cleaned up.
                let address = unsafe { CStr::from_ptr(watcher.addr) };
                address.to_string_lossy().into_owned()
            });
            let found = found.collect();
            // SAFETY: these are the watchers that the library has written; only their texts are
            // freed, and nobody reads them any more.
            unsafe { (api.rbd_watchers_list_cleanup)(watchers.as_mut_ptr(), count) };
            return Ok(found);
        }
    }

    /// All snapshots, also those in the trash. Blocks.
    ///
    /// # Errors
    /// The library's.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        const OPERATION: &str = "rbd_snap_list";
        let api = self.api();
        let mut room: c_int = 16;
        loop {
            let mut infos: Vec<SnapInfo> = Vec::with_capacity(room as usize);
            let (start, mut count) = (infos.as_mut_ptr(), room);
            // SAFETY: the image is open, and there is room for `count` snapshots.
            let listed = unsafe { (api.rbd_snap_list)(self.handle.image, start, &raw mut count) };
            if listed == -libc::ERANGE {
                room = count.max(2 * room);
                continue;
            }
            let len = check(OPERATION, listed)?;
            if len == 0 {
                return Ok(Vec::new());
            }
            // SAFETY: after success the library has written so many, of which we had room.
            unsafe { infos.set_len(len) };
            let found: Result<_> = infos.iter().map(|info| self.snapshot(info)).collect();
            // SAFETY: these are the snapshots that the library has written; only their texts are
            // freed, and nobody reads them any more.
            unsafe { (api.rbd_snap_list_end)(infos.as_mut_ptr()) };
            return found;
        }
    }

    fn snapshot(&self, info: &SnapInfo) -> Result<Snapshot> {
        let mut namespace = 0;
        let get = self.api().rbd_snap_get_namespace_type;
        // SAFETY: the image is open, and the namespace is written where the pointer says.
        let got = unsafe { get(self.handle.image, info.id, &raw mut namespace) };
        check("rbd_snap_get_namespace_type", got)?;
        // SAFETY: the text is the library's, and lives until the list is ended.
        let name = unsafe { CStr::from_ptr(info.name) };
        Ok(Snapshot {
            id: info.id,
            name: name.to_string_lossy().into_owned(),
            size_bytes: info.size,
            is_trash: namespace == sys::SNAP_NAMESPACE_TRASH,
        })
    }

    /// Makes a snapshot. Blocks.
    ///
    /// # Errors
    /// [`Outcome::Exists`], ...
    pub fn snap_create(&self, name: &str) -> Result<()> {
        self.named("rbd_snap_create", self.api().rbd_snap_create, name)
    }

    /// Removes a snapshot; one with clones (of format 2) goes to the trash. Blocks.
    ///
    /// # Errors
    /// [`Outcome::Busy`] while it is protected, [`Outcome::NotFound`].
    pub fn snap_remove(&self, name: &str) -> Result<()> {
        self.named("rbd_snap_remove", self.api().rbd_snap_remove, name)
    }

    /// Removes a snapshot, also one in the trash. Blocks.
    ///
    /// # Errors
    /// [`Outcome::Busy`] while it has clones, [`Outcome::NotFound`].
    pub fn snap_remove_by_id(&self, id: u64) -> Result<()> {
        // SAFETY: the image is open.
        let removed = unsafe { (self.api().rbd_snap_remove_by_id)(self.handle.image, id) };
        check("rbd_snap_remove_by_id", removed).map(drop)
    }

    /// Allows clones of a snapshot. Blocks.
    ///
    /// # Errors
    /// [`Outcome::Busy`] when it is protected already, [`Outcome::NotFound`].
    pub fn snap_protect(&self, name: &str) -> Result<()> {
        self.named("rbd_snap_protect", self.api().rbd_snap_protect, name)
    }

    /// Forbids clones of a snapshot. Blocks.
    ///
    /// # Errors
    /// [`Outcome::Busy`] while it has clones (of format 1, in whatever pool), and then it stays
    /// protected; [`Outcome::Invalid`] when it is not protected; [`Outcome::NotFound`].
    pub fn snap_unprotect(&self, name: &str) -> Result<()> {
        self.named("rbd_snap_unprotect", self.api().rbd_snap_unprotect, name)
    }

    /// Whether a snapshot may be cloned. Blocks.
    ///
    /// # Errors
    /// [`Outcome::NotFound`].
    pub fn snap_is_protected(&self, name: &str) -> Result<bool> {
        const OPERATION: &str = "rbd_snap_is_protected";
        let name = text(OPERATION, name)?;
        let mut protected = 0;
        let get = self.api().rbd_snap_is_protected;
        // SAFETY: the image is open, the name lives, and the answer is written where the pointer
        // says.
        let got = unsafe { get(self.handle.image, name.as_ptr(), &raw mut protected) };
        check(OPERATION, got)?;
        Ok(protected != 0)
    }

    fn named(
        &self,
        operation: &'static str,
        call: unsafe extern "C" fn(RbdImage, *const c_char) -> c_int,
        name: &str,
    ) -> Result<()> {
        let name: CString = text(operation, name)?;
        // SAFETY: the image is open, and the name lives until the call returns.
        let done = unsafe { call(self.handle.image, name.as_ptr()) };
        check(operation, done).map(drop)
    }

    /// Tells `found` of every extent of `len` bytes from `offset` that has data, in order and in
    /// whole objects; between them there are zeroes. Blocks; see [`Image::knows_its_objects`].
    ///
    /// # Errors
    /// The library's.
    pub fn data_extents(
        &self,
        offset: u64,
        len: u64,
        mut found: impl FnMut(u64, u64),
    ) -> Result<()> {
        extern "C" fn each<F: FnMut(u64, u64)>(
            offset: u64,
            len: size_t,
            exists: c_int,
            found: *mut c_void,
        ) -> c_int {
            // SAFETY: the argument is the closure below, which lives and is used by nobody else
            // until the iteration ends.
            let found = unsafe { &mut *found.cast::<F>() };
            if exists != 0 {
                found(offset, len as u64);
            }
            0
        }
        fn callback<F: FnMut(u64, u64)>(_: &F) -> sys::DiffCallback {
            each::<F>
        }
        let callback = callback(&found);
        let iterate = self.api().rbd_diff_iterate2;
        // SAFETY: the image is open; the closure lives until the call returns, and the library
        // calls back before that, from one thread at a time.
        let done = unsafe {
            iterate(
                self.handle.image,
                ptr::null(),
                offset,
                len,
                1,
                1,
                callback,
                (&raw mut found).cast(),
            )
        };
        check("rbd_diff_iterate2", done).map(drop)
    }

    /// The pool that it is in.
    pub fn pool(&self) -> &Pool {
        &self.handle.pool
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.handle.pool.api()
    }
}

impl Pointers {
    fn parts(&self) -> (*const iovec, c_int) {
        let count = c_int::try_from(self.0.len()).expect("few pieces at once");
        (self.0.as_ptr(), count)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RbdImage").finish_non_exhaustive()
    }
}

/// What must live until an image is closed.
struct Closing {
    pool: Pool,
    closed: watch::Sender<bool>,
}

impl Drop for Handle {
    /// Does not wait: we may be on a thread of the library.
    fn drop(&mut self) {
        let api = self.pool.api();
        let closing = Box::into_raw(Box::new(Closing {
            pool: self.pool.clone(),
            closed: self.closed.clone(),
        }));
        let begun = new_completion(api, closing.cast(), is_closed).and_then(|completion| {
            // SAFETY: operations hold the image, so there are none any more, and nobody uses it
            // after this.
            check("rbd_aio_close", unsafe {
                (api.rbd_aio_close)(self.image, completion)
            })
        });
        if begun.is_err() {
            // SAFETY: what was refused does not call back.
            drop(unsafe { Box::from_raw(closing) });
        }
    }
}

/// Runs on a thread of the library. Whether closing went well makes no difference: the image is not
/// open any more.
extern "C" fn is_closed(completion: RbdCompletion, argument: *mut c_void) {
    // SAFETY: the argument is the box that the drop gave to this completion, and the library calls
    // back once.
    let closing = unsafe { Box::from_raw(argument.cast::<Closing>()) };
    // SAFETY: whoever created a completion releases it once; nobody uses it after this.
    unsafe { (closing.pool.api().rbd_aio_release)(completion) };
    closing.closed.send_replace(true);
}
