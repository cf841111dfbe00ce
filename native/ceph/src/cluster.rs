//! A connection to a cluster.

use std::{
    ffi::{CStr, CString, c_char, c_int},
    fmt, ptr,
    sync::Arc,
    thread,
};

use crate::{
    Error, Outcome, Result,
    error::{check, text},
    exit::Ending,
    pool::Pool,
    sys::{self, Api, Rados},
};

/// Bytes of an fsid as text, with its NUL.
const FSID_BYTES: usize = 37;

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// `ceph.conf`; none lets the library look in its usual places.
    pub conf_file: Option<String>,
    /// The user, without `client.`; none is `admin`, unless the environment says otherwise.
    pub user: Option<String>,
    /// Options of Ceph, over those of the file. One that the library does not know is passed over.
    pub settings: Vec<(String, String)>,
}

/// A connection, with a dozen threads of its own. Cheap to clone; it ends with the last clone and
/// the last of its pools and images.
#[derive(Clone, Debug)]
pub struct Cluster {
    handle: Arc<Handle>,
}

struct Handle {
    api: &'static Api,
    rados: Rados,
}

// SAFETY: librados' cluster handles may be used by any number of threads at once.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Cluster {
    /// Whether the libraries can be loaded: what [`Cluster::connect`] needs first.
    ///
    /// # Errors
    /// [`Error::Library`].
    pub fn available() -> Result<()> {
        sys::api().map(drop)
    }

    /// Connects. Blocks for as long as `client_mount_timeout` says.
    ///
    /// # Errors
    /// [`Outcome::NotFound`] for a missing configuration file, keyring or user,
    /// [`Outcome::Denied`] for a wrong key, [`Outcome::Unreachable`] when no monitor answers.
    pub fn connect(options: &Options) -> Result<Self> {
        let api = sys::api()?;
        let user = options
            .user
            .as_deref()
            .map(|user| text("rados_create", user));
        let user = user.transpose()?;
        let mut rados = ptr::null_mut();
        // SAFETY: the pointers are to a text that lives until the call returns, or null, and to
        // where the handle is written.
        let created = unsafe { (api.rados_create)(&raw mut rados, pointer(user.as_ref())) };
        check("rados_create", created)?;
        // From here on dropped as it must be, connected or not.
        let cluster = Self {
            handle: Arc::new(Handle { api, rados }),
        };
        cluster.configure(options)?;
        // SAFETY: the handle was just created, and nobody else knows it.
        check("rados_connect", unsafe { (api.rados_connect)(rados) })?;
        Ok(cluster)
    }

    fn configure(&self, options: &Options) -> Result<()> {
        let Handle { api, rados } = &*self.handle;
        let file = options.conf_file.as_deref();
        let file = file.map(|file| text("rados_conf_read_file", file));
        let file = file.transpose()?;
        // SAFETY: the handle lives; the pointer is to a text that lives until the call returns, or
        // null, which means the usual places.
        let read = unsafe { (api.rados_conf_read_file)(*rados, pointer(file.as_ref())) };
        check("rados_conf_read_file", read)?;
        for (name, value) in &options.settings {
            let (name, value) = (
                text("rados_conf_set", name)?,
                text("rados_conf_set", value)?,
            );
            // SAFETY: the handle lives, and both texts do until the call returns.
            let set = unsafe { (api.rados_conf_set)(*rados, name.as_ptr(), value.as_ptr()) };
            match check("rados_conf_set", set) {
                Err(error) if error.outcome() == Some(Outcome::NotFound) => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// The value of an option of Ceph, as this connection has it.
    ///
    /// # Errors
    /// [`Outcome::NotFound`] when the library has no such option.
    pub fn setting(&self, name: &str) -> Result<String> {
        const OPERATION: &str = "rados_conf_get";
        let Handle { api, rados } = &*self.handle;
        let name = text(OPERATION, name)?;
        read_text(OPERATION, 4096, |buffer, len| {
            // SAFETY: the handle and the name live, and the buffer has `len` bytes.
            unsafe { (api.rados_conf_get)(*rados, name.as_ptr(), buffer, len) }
        })
    }

    /// The cluster's id.
    ///
    /// # Errors
    /// The library's.
    pub fn fsid(&self) -> Result<String> {
        let Handle { api, rados } = &*self.handle;
        read_text("rados_cluster_fsid", FSID_BYTES, |buffer, len| {
            // SAFETY: the handle lives, and the buffer has `len` bytes.
            unsafe { (api.rados_cluster_fsid)(*rados, buffer, len) }
        })
    }

    /// The address of this connection, as the cluster knows it: what can be shut out
    /// ([`Cluster::blocklist`]).
    ///
    /// # Errors
    /// The library's.
    pub fn address(&self) -> Result<String> {
        let Handle { api, rados } = &*self.handle;
        let mut address: *mut c_char = ptr::null_mut();
        // SAFETY: the handle lives, and the pointer is to where the address of a text is written.
        let got = unsafe { (api.rados_getaddrs)(*rados, &raw mut address) };
        check("rados_getaddrs", got)?;
        // SAFETY: after success it is a text of the library's, which we read before we free it.
        let text = unsafe { CStr::from_ptr(address) };
        let text = text.to_string_lossy().into_owned();
        // SAFETY: the text is the library's, to be freed so, and not used afterwards.
        unsafe { (api.rados_buffer_free)(address) };
        Ok(text)
    }

    /// Shuts out the connection with that address for the time that the cluster is configured for
    /// (an hour): nothing that it has sent and that has not arrived is done any more, and its
    /// watches end. Returns when that is so.
    ///
    /// # Errors
    /// [`Outcome::Denied`] where the capabilities do not allow it; `profile rbd` does.
    pub fn blocklist(&self, address: &str) -> Result<()> {
        const OPERATION: &str = "rados_blocklist_add";
        let Handle { api, rados } = &*self.handle;
        let address = text(OPERATION, address)?;
        // SAFETY: the handle lives, and the text does until the call returns; it is not changed.
        let added = unsafe { (api.rados_blocklist_add)(*rados, address.as_ptr().cast_mut(), 0) };
        check(OPERATION, added).map(drop)
    }

    /// Opens a pool. Operations in it fail when it, or the cluster, is full, instead of waiting for
    /// room.
    ///
    /// # Errors
    /// [`Outcome::NotFound`] when there is none of that name.
    pub fn pool(&self, name: &str) -> Result<Pool> {
        Pool::open(self, name)
    }

    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.handle.api
    }

    pub(crate) fn rados(&self) -> Rados {
        self.handle.rados
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rados").finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        struct Last(Rados);
        // SAFETY: a cluster handle may be used by any thread, and this is its last use.
        unsafe impl Send for Last {}

        let api = self.api;
        let (last, ending) = (Last(self.rados), Ending::begin());
        // It waits for the library's threads, and we may be on one of them.
        let ended = thread::Builder::new()
            .name("rados-shutdown".into())
            .spawn(move || {
                let last = last;
                // SAFETY: pools and images hold the handle, so there are none any more; nobody
                // uses it after this.
                unsafe { (api.rados_shutdown)(last.0) };
                drop(ending);
            });
        // Without a thread to end it on, the connection is left to the end of the process.
        drop(ended);
    }
}

/// A text that the library writes into a buffer of `len` bytes.
pub(crate) fn read_text(
    operation: &'static str,
    len: usize,
    read: impl FnOnce(*mut c_char, usize) -> c_int,
) -> Result<String> {
    let mut buffer = vec![0_u8; len];
    check(operation, read(buffer.as_mut_ptr().cast(), buffer.len()))?;
    let text = CStr::from_bytes_until_nul(&buffer);
    let text = text.map_err(|_| Error::failed(operation, Outcome::Invalid))?;
    Ok(text.to_string_lossy().into_owned())
}

/// The pointer of a text, or null.
pub(crate) fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}
