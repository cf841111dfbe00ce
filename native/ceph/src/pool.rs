//! A pool: its images by name, and the few objects of librbd's that have to be looked at directly.

use std::{
    ffi::{CStr, c_char},
    fmt, ptr,
    sync::Arc,
};

use crate::{
    Error, Image, Outcome, Result,
    cluster::{Cluster, pointer, read_text},
    error::{check, text},
    sys::{self, Api, ImageSpec, IoCtx, RbdImage, RbdOptions, TrashImageInfo},
};

/// An open pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    handle: Arc<Handle>,
}

struct Handle {
    cluster: Cluster,
    ioctx: IoCtx,
}

// SAFETY: librados' I/O contexts may be used by any number of threads at once, as long as nobody
// changes their snapshot, namespace or locator, which we never do.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// An image to be made, of format 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its size.
    pub size_bytes: u64,
    /// The binary logarithm of its objects' size.
    pub order: u8,
    /// Its features; none takes the cluster's default.
    pub features: Option<u64>,
    /// The pool of its data, where that is another one.
    pub data_pool: Option<&'a str>,
}

/// An image in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashEntry {
    /// Its id, which is what it has instead of a name.
    pub id: String,
    /// The name that it had.
    pub name: String,
}

impl Pool {
    pub(crate) fn open(cluster: &Cluster, name: &str) -> Result<Self> {
        let name = text("rados_ioctx_create", name)?;
        let api = cluster.api();
        let mut ioctx = ptr::null_mut();
        // SAFETY: the cluster lives, the name does until the call returns, and the context is
        // written where the last pointer says.
        let created =
            unsafe { (api.rados_ioctx_create)(cluster.rados(), name.as_ptr(), &raw mut ioctx) };
        check("rados_ioctx_create", created)?;
        // SAFETY: the context was just made, and nobody else knows it. librbd makes its own from
        // it, and they inherit the flag.
        unsafe { (api.rados_set_pool_full_try)(ioctx) };
        let cluster = cluster.clone();
        Ok(Self {
            handle: Arc::new(Handle { cluster, ioctx }),
        })
    }

    /// The connection.
    pub fn cluster(&self) -> &Cluster {
        &self.handle.cluster
    }

    /// Whether it was opened on that connection.
    pub fn is_on(&self, cluster: &Cluster) -> bool {
        self.handle.cluster.is(cluster)
    }

    /// The value of an option of librbd that counts in this pool: the pool's own (`rbd config pool
    /// set`), or else that of the connection. Blocks.
    ///
    /// # Errors
    /// [`Outcome::NotFound`] when the library has no such option.
    pub fn setting(&self, name: &str) -> Result<String> {
        const OPERATION: &str = "rbd_pool_metadata_get";
        let key = text(OPERATION, &format!("conf_{name}"))?;
        let own = read_text(OPERATION, 4096, |buffer, mut len| {
            let get = self.api().rbd_pool_metadata_get;
            // SAFETY: the context and the key live, and the buffer has `len` bytes.
            unsafe { get(self.ioctx(), key.as_ptr(), buffer, &raw mut len) }
        });
        match own {
            Err(error) if error.outcome() == Some(Outcome::NotFound) => {
                self.cluster().setting(name)
            }
            own => own,
        }
    }

    /// Makes an image. Blocks.
    ///
    /// # Errors
    /// [`Outcome::Exists`], [`Outcome::Full`], [`Outcome::NotFound`] for the data pool, ...
    pub fn create(&self, image: &NewImage<'_>) -> Result<()> {
        const OPERATION: &str = "rbd_create4";
        let name = text(OPERATION, image.name)?;
        let options = ImageOptions::new(self.api());
        options.set(sys::IMAGE_OPTION_FORMAT, 2)?;
        options.set(sys::IMAGE_OPTION_ORDER, image.order.into())?;
        if let Some(features) = image.features {
            options.set(sys::IMAGE_OPTION_FEATURES, features)?;
        }
        if let Some(pool) = image.data_pool {
            options.set_text(sys::IMAGE_OPTION_DATA_POOL, pool)?;
        }
        let (create, size) = (self.api().rbd_create4, image.size_bytes);
        // SAFETY: context, name and options live until the call returns.
        let created = unsafe { create(self.ioctx(), name.as_ptr(), size, options.handle) };
        check(OPERATION, created).map(drop)
    }

    /// Opens an image to change it, and watches it. Blocks.
    ///
    /// # Errors
    /// [`Outcome::NotFound`], ...
    pub fn open_image(&self, name: &str) -> Result<Image> {
        self.opened("rbd_open", self.api().rbd_open, name, None)
    }

    /// Opens an image, or its snapshot, to read it. Nobody sees that it is open. Blocks.
    ///
    /// # Errors
    /// [`Outcome::NotFound`], ...
    pub fn open_read_only(&self, name: &str, snapshot: Option<&str>) -> Result<Image> {
        let open = self.api().rbd_open_read_only;
        self.opened("rbd_open_read_only", open, name, snapshot)
    }

    /// Opens an image by its id, which it has in the trash too. Blocks.
    ///
    /// # Errors
    /// [`Outcome::NotFound`], ...
    pub fn open_by_id(&self, id: &str) -> Result<Image> {
        self.opened("rbd_open_by_id", self.api().rbd_open_by_id, id, None)
    }

    /// As [`Pool::open_by_id`], to read it.
    ///
    /// # Errors
    /// [`Outcome::NotFound`], ...
    pub fn open_by_id_read_only(&self, id: &str) -> Result<Image> {
        let open = self.api().rbd_open_by_id_read_only;
        self.opened("rbd_open_by_id_read_only", open, id, None)
    }

    fn opened(
        &self,
        operation: &'static str,
        open: unsafe extern "C" fn(IoCtx, *const c_char, *mut RbdImage, *const c_char) -> i32,
        name: &str,
        snapshot: Option<&str>,
    ) -> Result<Image> {
        let name = text(operation, name)?;
        let snapshot = snapshot.map(|snapshot| text(operation, snapshot));
        let snapshot = snapshot.transpose()?;
        let mut image = ptr::null_mut();
        // SAFETY: the context lives, the texts do until the call returns, and the image is written
        // where the pointer says.
        let opened = unsafe {
            open(
                self.ioctx(),
                name.as_ptr(),
                &raw mut image,
                pointer(snapshot.as_ref()),
            )
        };
        check(operation, opened)?;
        Ok(Image::new(self.clone(), image))
    }

    /// Gives an image another name. Blocks.
    ///
    /// It does what librbd's own rename does, in the same order, but for one thing: of several that
    /// take the same name at once, one succeeds. (librbd looks first and then overwrites.)
    ///
    /// # Errors
    /// [`Outcome::Exists`] when that name is taken, [`Outcome::NotFound`] when there is no such
    /// image.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let id = self.image_id(from)?;
        let id = id.ok_or(Error::failed("rename", Outcome::NotFound))?;
        self.create_name(to, &id)?;
        let moved = self.call_directory("dir_rename_image", &[from, to, &id]);
        if let Err(error) = moved {
            // Nobody else made this name: it is ours to take away. But where the answer was all that was lost, it is
            // the image's, and where that is not known both stay.
            if self
                .name_of(&id)
                .is_ok_and(|name| name.as_deref() != Some(to))
            {
                self.forget_name(to)?;
            }
            return Err(error);
        }
        self.forget_name(from)
    }

    /// As librbd renames, for an image whose changes are mirrored: its journal must tell of it.
    /// Blocks.
    ///
    /// # Errors
    /// As [`Pool::rename`].
    pub fn rename_journaled(&self, from: &str, to: &str) -> Result<()> {
        const OPERATION: &str = "rbd_rename";
        let (from, to) = (text(OPERATION, from)?, text(OPERATION, to)?);
        let rename = self.api().rbd_rename;
        // SAFETY: the context lives, and the texts do until the call returns.
        let renamed = unsafe { rename(self.ioctx(), from.as_ptr(), to.as_ptr()) };
        check(OPERATION, renamed).map(drop)
    }

    /// Makes the trash's own object, which librbd makes with the first image that goes there: a pool
    /// that has become full by then would not take it, and nothing could be deleted. Blocks.
    ///
    /// # Errors
    /// The library's.
    pub fn prepare_trash(&self) -> Result<()> {
        self.create_object(c"rbd_trash", sys::CREATE_IDEMPOTENT, &[])
    }

    /// Lets a name lead to the image of that id, if it leads nowhere yet: a new object, made and
    /// written in one step.
    fn create_name(&self, name: &str, id: &str) -> Result<()> {
        let object = text("rados_write_op_operate", &id_object(name))?;
        self.create_object(&object, sys::CREATE_EXCLUSIVE, &encode(id))
    }

    /// Makes an object, and writes what there is to write, in one step.
    fn create_object(&self, object: &CStr, how: i32, content: &[u8]) -> Result<()> {
        let api = self.api();
        // SAFETY: takes nothing; the operation is released below, and nobody else knows it. The
        // content and the name live until the operation has been done, which is when the call
        // returns; the null pointers stand for no category and for the time of day.
        let created = unsafe {
            let operation = (api.rados_create_write_op)();
            (api.rados_write_op_create)(operation, how, ptr::null());
            if !content.is_empty() {
                (api.rados_write_op_write_full)(operation, content.as_ptr().cast(), content.len());
            }
            let done = (api.rados_write_op_operate)(
                operation,
                self.ioctx(),
                object.as_ptr(),
                ptr::null_mut(),
                0,
            );
            (api.rados_release_write_op)(operation);
            done
        };
        check("rados_write_op_operate", created).map(drop)
    }

    /// Moves an image to the trash, whence it may be removed at once. Blocks, but not for long: no
    /// data is touched.
    ///
    /// # Errors
    /// [`Outcome::Busy`] while somebody watches the image, [`Outcome::NotFound`].
    pub fn trash_move(&self, name: &str) -> Result<()> {
        let moved = self.moved_to_trash(name);
        let missing = Error::failed("rbd_trash_move", Outcome::NotFound);
        if moved == Err(missing) && self.image_id(name)?.is_some() {
            // librbd 16 calls it so when the trash takes nothing, whatever the reason.
            return Err(Error::failed("rbd_trash_move", Outcome::Other(libc::EIO)));
        }
        moved
    }

    fn moved_to_trash(&self, name: &str) -> Result<()> {
        const OPERATION: &str = "rbd_trash_move";
        let name = text(OPERATION, name)?;
        // SAFETY: the context lives, and the text does until the call returns.
        let moved = unsafe { (self.api().rbd_trash_move)(self.ioctx(), name.as_ptr(), 0) };
        check(OPERATION, moved).map(drop)
    }

    /// Removes an image that is in the trash, with its data. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`Outcome::HasSnapshots`], [`Outcome::Busy`], [`Outcome::NotFound`], ...
    pub fn trash_remove(&self, id: &str) -> Result<()> {
        const OPERATION: &str = "rbd_trash_remove";
        let id = text(OPERATION, id)?;
        // SAFETY: the context lives, and the text does until the call returns.
        let removed = unsafe { (self.api().rbd_trash_remove)(self.ioctx(), id.as_ptr(), false) };
        check(OPERATION, removed).map(drop)
    }

    /// The names of all images, without those in the trash. Blocks, and holds all of them.
    ///
    /// # Errors
    /// The library's.
    pub fn images(&self) -> Result<Vec<String>> {
        const OPERATION: &str = "rbd_list2";
        let api = self.api();
        let mut room = 1024;
        loop {
            let mut specs: Vec<ImageSpec> = Vec::with_capacity(room);
            let mut count = room;
            // SAFETY: the context lives, and there is room for `count` entries.
            let listed =
                unsafe { (api.rbd_list2)(self.ioctx(), specs.as_mut_ptr(), &raw mut count) };
            if listed == -libc::ERANGE {
                room = count.max(2 * room);
                continue;
            }
            check(OPERATION, listed)?;
            // SAFETY: after success the library has written so many entries, of which we had room.
            unsafe { specs.set_len(count) };
            let names = specs.iter().map(|spec| {
                // SAFETY: the texts of an entry are the library's, and live until they are cleaned
                // up.
                let name = unsafe { CStr::from_ptr(spec.name) };
                name.to_string_lossy().into_owned()
            });
            let names = names.collect();
            // SAFETY: these are the entries that the library has written; only their texts are
            // freed, and nobody reads them any more.
            unsafe { (api.rbd_image_spec_list_cleanup)(specs.as_mut_ptr(), count) };
            return Ok(names);
        }
    }

    /// What is in the trash. Blocks.
    ///
    /// # Errors
    /// The library's.
    pub fn trash(&self) -> Result<Vec<TrashEntry>> {
        const OPERATION: &str = "rbd_trash_list";
        let api = self.api();
        let mut room = 64;
        loop {
            let mut entries: Vec<TrashImageInfo> = Vec::with_capacity(room);
            let mut count = room;
            // SAFETY: the context lives, and there is room for `count` entries.
            let listed =
                unsafe { (api.rbd_trash_list)(self.ioctx(), entries.as_mut_ptr(), &raw mut count) };
            if listed == -libc::ERANGE {
                room = count.max(2 * room);
                continue;
            }
            check(OPERATION, listed)?;
            // SAFETY: after success the library has written so many entries, of which we had room.
            unsafe { entries.set_len(count) };
            let found = entries.iter().map(|entry| TrashEntry {
                // SAFETY: the texts of an entry are the library's, and live until they are cleaned
                // up.
                id: unsafe { CStr::from_ptr(entry.id) }.to_string_lossy().into(),
                // SAFETY: as above.
                name: unsafe { CStr::from_ptr(entry.name) }
                    .to_string_lossy()
                    .into(),
            });
            let found = found.collect();
            // SAFETY: these are the entries that the library has written; only their texts are
            // freed, and nobody reads them any more.
            unsafe { (api.rbd_trash_list_cleanup)(entries.as_mut_ptr(), count) };
            return Ok(found);
        }
    }

    /// The id of the image of that name; none when there is no such image. One round trip, and
    /// nothing is opened.
    ///
    /// # Errors
    /// The library's.
    pub fn image_id(&self, name: &str) -> Result<Option<String>> {
        const OPERATION: &str = "rados_read";
        let object = text(OPERATION, &id_object(name))?;
        let mut buffer = [0_u8; 256];
        let (start, len) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the context and the name live, and the buffer has so many bytes.
        let read = unsafe { (self.api().rados_read)(self.ioctx(), object.as_ptr(), start, len, 0) };
        match check(OPERATION, read) {
            Ok(len) => Ok(Some(decode(OPERATION, &buffer[..len])?)),
            Err(error) if error.outcome() == Some(Outcome::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name that the pool's directory has for an id: of two names that a broken off
    /// [`Pool::rename`] has left, the one that counts.
    ///
    /// # Errors
    /// The library's.
    pub fn name_of(&self, id: &str) -> Result<Option<String>> {
        match self.call_directory("dir_get_name", &[id]) {
            Ok(answer) => Ok(Some(decode("rados_exec", &answer)?)),
            Err(error) if error.outcome() == Some(Outcome::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Calls a method of the pool's directory of images, with texts.
    fn call_directory(&self, method: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        const OPERATION: &str = "rados_exec";
        let method = text(OPERATION, method)?;
        let input: Vec<u8> = arguments.iter().copied().flat_map(encode).collect();
        let mut output = vec![0_u8; 4096];
        // SAFETY: the context lives, the texts are C texts, and both buffers have so many bytes.
        let done = unsafe {
            (self.api().rados_exec)(
                self.ioctx(),
                c"rbd_directory".as_ptr(),
                c"rbd".as_ptr(),
                method.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                output.as_mut_ptr().cast(),
                output.len(),
            )
        };
        output.truncate(check(OPERATION, done)?);
        Ok(output)
    }

    /// Removes a name that a broken off [`Pool::rename`] has left beside the one that counts.
    ///
    /// # Errors
    /// The library's; a name that is not there is none.
    pub fn forget_name(&self, name: &str) -> Result<()> {
        const OPERATION: &str = "rados_remove";
        let object = text(OPERATION, &id_object(name))?;
        // SAFETY: the context lives, and the text does until the call returns.
        let removed = unsafe { (self.api().rados_remove)(self.ioctx(), object.as_ptr()) };
        match check(OPERATION, removed) {
            Err(error) if error.outcome() == Some(Outcome::NotFound) => Ok(()),
            result => result.map(drop),
        }
    }

    /// Whether the pool was prepared for images (`rbd pool init`).
    ///
    /// # Errors
    /// [`Outcome::Denied`] where the capabilities do not even allow reading.
    pub fn is_prepared(&self) -> Result<bool> {
        let (mut size, mut time) = (0, 0);
        let stat = self.api().rados_stat;
        let name = c"rbd_info".as_ptr();
        // SAFETY: the context lives, the name is a C text, and the numbers are written where the
        // pointers say.
        let found = unsafe { stat(self.ioctx(), name, &raw mut size, &raw mut time) };
        match check("rados_stat", found) {
            Ok(_) => Ok(true),
            Err(error) if error.outcome() == Some(Outcome::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.handle.cluster.api()
    }

    fn ioctx(&self) -> IoCtx {
        self.handle.ioctx
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoCtx").finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: images hold the pool, so there are none any more; nobody uses the context after
        // this, and the cluster still lives.
        unsafe { (self.cluster.api().rados_ioctx_destroy)(self.ioctx) };
    }
}

/// The options of an image to be made.
struct ImageOptions {
    api: &'static Api,
    handle: RbdOptions,
}

impl ImageOptions {
    fn new(api: &'static Api) -> Self {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is written where the pointer says.
        unsafe { (api.rbd_image_options_create)(&raw mut handle) };
        Self { api, handle }
    }

    fn set(&self, option: i32, value: u64) -> Result<()> {
        // SAFETY: the handle lives.
        let set = unsafe { (self.api.rbd_image_options_set_uint64)(self.handle, option, value) };
        check("rbd_image_options_set_uint64", set).map(drop)
    }

    fn set_text(&self, option: i32, value: &str) -> Result<()> {
        const OPERATION: &str = "rbd_image_options_set_string";
        let value = text(OPERATION, value)?;
        let set = self.api.rbd_image_options_set_string;
        // SAFETY: the handle lives, and the text does until the call returns.
        let set = unsafe { set(self.handle, option, value.as_ptr()) };
        check(OPERATION, set).map(drop)
    }
}

impl Drop for ImageOptions {
    fn drop(&mut self) {
        // SAFETY: the handle was made by the library, and nobody uses it after this.
        unsafe { (self.api.rbd_image_options_destroy)(self.handle) };
    }
}

/// The object that holds the id of the image of a name.
fn id_object(name: &str) -> String {
    format!("rbd_id.{name}")
}

/// A text as Ceph writes it: its length in four bytes, the least first, and its bytes.
fn encode(text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).expect("ids are short");
    [&len.to_le_bytes(), text.as_bytes()].concat()
}

/// The text that [`encode`] wrote.
fn decode(operation: &'static str, bytes: &[u8]) -> Result<String> {
    let text = || {
        let (len, rest) = bytes.split_first_chunk()?;
        let text = rest.get(..u32::from_le_bytes(*len) as usize)?;
        String::from_utf8(text.to_vec()).ok()
    };
    text().ok_or_else(|| Error::failed(operation, Outcome::Invalid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        for text in ["", "1a2b3c4d", "ü"] {
            assert_eq!(decode("read", &encode(text)).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bytes in [&b""[..], b"\x01\0\0", b"\x02\0\0\0a", b"\x01\0\0\0\xff"] {
            assert!(decode("read", bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(decode("read", b"\x01\0\0\0ab").unwrap(), "a");
    }
}
