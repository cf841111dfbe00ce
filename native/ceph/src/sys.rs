//! The C interfaces of librados and librbd, as far as we use them, found at run time: the program
//! builds and starts where there is no Ceph.
//!
//! The declarations follow `rados/librados.h` and `rbd/librbd.h` of Ceph 16.2 (librbd API 1.16),
//! whose functions later versions keep.

use std::{
    ffi::{c_char, c_int, c_void},
    mem::ManuallyDrop,
    sync::OnceLock,
};

use libc::{iovec, size_t, ssize_t, time_t, timespec};
use libloading::Library;

use crate::{Error, Result, exit};

pub(crate) type Rados = *mut c_void;
pub(crate) type IoCtx = *mut c_void;
pub(crate) type RbdImage = *mut c_void;
pub(crate) type RbdCompletion = *mut c_void;
pub(crate) type RbdOptions = *mut c_void;
pub(crate) type WriteOp = *mut c_void;
pub(crate) type RbdCallback = extern "C" fn(RbdCompletion, *mut c_void);
pub(crate) type DiffCallback = extern "C" fn(u64, size_t, c_int, *mut c_void) -> c_int;

pub(crate) const IMAGE_OPTION_FORMAT: c_int = 0;
pub(crate) const IMAGE_OPTION_FEATURES: c_int = 1;
pub(crate) const IMAGE_OPTION_ORDER: c_int = 2;
pub(crate) const IMAGE_OPTION_DATA_POOL: c_int = 10;

/// `LIBRADOS_CREATE_EXCLUSIVE`
pub(crate) const CREATE_EXCLUSIVE: c_int = 1;
/// `LIBRADOS_CREATE_IDEMPOTENT`
pub(crate) const CREATE_IDEMPOTENT: c_int = 0;

/// `RBD_SNAP_NAMESPACE_TYPE_TRASH`
pub(crate) const SNAP_NAMESPACE_TRASH: c_int = 2;

/// `rbd_snap_info_t`
#[repr(C)]
pub(crate) struct SnapInfo {
    pub(crate) id: u64,
    pub(crate) size: u64,
    pub(crate) name: *const c_char,
}

/// `rbd_image_watcher_t`
#[repr(C)]
pub(crate) struct ImageWatcher {
    pub(crate) addr: *mut c_char,
    pub(crate) id: i64,
    pub(crate) cookie: u64,
}

/// `rbd_image_spec_t`
#[repr(C)]
pub(crate) struct ImageSpec {
    pub(crate) id: *mut c_char,
    pub(crate) name: *mut c_char,
}

/// `rbd_trash_image_info_t`
#[repr(C)]
pub(crate) struct TrashImageInfo {
    pub(crate) id: *mut c_char,
    pub(crate) name: *mut c_char,
    pub(crate) source: c_int,
    pub(crate) deletion_time: time_t,
    pub(crate) deferment_end_time: time_t,
}

/// A table of functions, each looked up by its name in one of the two libraries.
macro_rules! api {
    ($(in $library:ident { $(fn $name:ident($($type:ty),* $(,)?) $(-> $result:ty)?;)* })*) => {
        pub(crate) struct Api {
            $($(pub(crate) $name: unsafe extern "C" fn($($type),*) $(-> $result)?,)*)*
        }

        impl Api {
            fn find($($library: &ManuallyDrop<Library>),*) -> Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the type is that of the function of this name in the library's
                    // header, and the library is never unloaded.
                    $($($name: unsafe {
                        *$library.get(concat!(stringify!($name), "\0").as_bytes())?
                    },)*)*
                })
            }
        }
    };
}

api! {
    in rados {
        fn rados_create(*mut Rados, *const c_char) -> c_int;
        fn rados_conf_read_file(Rados, *const c_char) -> c_int;
        fn rados_conf_set(Rados, *const c_char, *const c_char) -> c_int;
        fn rados_conf_get(Rados, *const c_char, *mut c_char, size_t) -> c_int;
        fn rados_connect(Rados) -> c_int;
        fn rados_shutdown(Rados);
        fn rados_cluster_fsid(Rados, *mut c_char, size_t) -> c_int;
        fn rados_getaddrs(Rados, *mut *mut c_char) -> c_int;
        fn rados_buffer_free(*mut c_char);
        fn rados_blocklist_add(Rados, *mut c_char, u32) -> c_int;
        fn rados_ioctx_create(Rados, *const c_char, *mut IoCtx) -> c_int;
        fn rados_ioctx_destroy(IoCtx);
        fn rados_set_pool_full_try(IoCtx);
        fn rados_stat(IoCtx, *const c_char, *mut u64, *mut time_t) -> c_int;
        fn rados_read(IoCtx, *const c_char, *mut c_char, size_t, u64) -> c_int;
        fn rados_remove(IoCtx, *const c_char) -> c_int;
        fn rados_create_write_op() -> WriteOp;
        fn rados_release_write_op(WriteOp);
        fn rados_write_op_create(WriteOp, c_int, *const c_char);
        fn rados_write_op_write_full(WriteOp, *const c_char, size_t);
        fn rados_write_op_operate(WriteOp, IoCtx, *const c_char, *mut time_t, c_int) -> c_int;
        fn rados_exec(
            IoCtx, *const c_char, *const c_char, *const c_char,
            *const c_char, size_t, *mut c_char, size_t,
        ) -> c_int;
    }
    in rbd {
        fn rbd_image_options_create(*mut RbdOptions);
        fn rbd_image_options_destroy(RbdOptions);
        fn rbd_image_options_set_uint64(RbdOptions, c_int, u64) -> c_int;
        fn rbd_image_options_set_string(RbdOptions, c_int, *const c_char) -> c_int;
        fn rbd_create4(IoCtx, *const c_char, u64, RbdOptions) -> c_int;
        fn rbd_list2(IoCtx, *mut ImageSpec, *mut size_t) -> c_int;
        fn rbd_image_spec_list_cleanup(*mut ImageSpec, size_t);
        fn rbd_pool_metadata_get(IoCtx, *const c_char, *mut c_char, *mut size_t) -> c_int;
        fn rbd_rename(IoCtx, *const c_char, *const c_char) -> c_int;
        fn rbd_trash_move(IoCtx, *const c_char, u64) -> c_int;
        fn rbd_trash_remove(IoCtx, *const c_char, bool) -> c_int;
        fn rbd_trash_list(IoCtx, *mut TrashImageInfo, *mut size_t) -> c_int;
        fn rbd_trash_list_cleanup(*mut TrashImageInfo, size_t);
        fn rbd_open(IoCtx, *const c_char, *mut RbdImage, *const c_char) -> c_int;
        fn rbd_open_by_id(IoCtx, *const c_char, *mut RbdImage, *const c_char) -> c_int;
        fn rbd_open_read_only(IoCtx, *const c_char, *mut RbdImage, *const c_char) -> c_int;
        fn rbd_open_by_id_read_only(IoCtx, *const c_char, *mut RbdImage, *const c_char) -> c_int;
        fn rbd_aio_close(RbdImage, RbdCompletion) -> c_int;
        fn rbd_resize(RbdImage, u64) -> c_int;
        fn rbd_get_size(RbdImage, *mut u64) -> c_int;
        fn rbd_get_features(RbdImage, *mut u64) -> c_int;
        fn rbd_get_flags(RbdImage, *mut u64) -> c_int;
        fn rbd_get_modify_timestamp(RbdImage, *mut timespec) -> c_int;
        fn rbd_get_id(RbdImage, *mut c_char, size_t) -> c_int;
        fn rbd_metadata_get(RbdImage, *const c_char, *mut c_char, *mut size_t) -> c_int;
        fn rbd_metadata_set(RbdImage, *const c_char, *const c_char) -> c_int;
        fn rbd_watchers_list(RbdImage, *mut ImageWatcher, *mut size_t) -> c_int;
        fn rbd_watchers_list_cleanup(*mut ImageWatcher, size_t);
        fn rbd_snap_list(RbdImage, *mut SnapInfo, *mut c_int) -> c_int;
        fn rbd_snap_list_end(*mut SnapInfo);
        fn rbd_snap_get_namespace_type(RbdImage, u64, *mut c_int) -> c_int;
        fn rbd_snap_create(RbdImage, *const c_char) -> c_int;
        fn rbd_snap_remove(RbdImage, *const c_char) -> c_int;
        fn rbd_snap_remove_by_id(RbdImage, u64) -> c_int;
        fn rbd_snap_protect(RbdImage, *const c_char) -> c_int;
        fn rbd_snap_unprotect(RbdImage, *const c_char) -> c_int;
        fn rbd_snap_is_protected(RbdImage, *const c_char, *mut c_int) -> c_int;
        fn rbd_diff_iterate2(
            RbdImage, *const c_char, u64, u64, u8, u8, DiffCallback, *mut c_void,
        ) -> c_int;
        fn rbd_aio_create_completion(*mut c_void, RbdCallback, *mut RbdCompletion) -> c_int;
        fn rbd_aio_get_return_value(RbdCompletion) -> ssize_t;
        fn rbd_aio_release(RbdCompletion);
        fn rbd_aio_writev(RbdImage, *const iovec, c_int, u64, RbdCompletion) -> c_int;
        fn rbd_aio_readv(RbdImage, *const iovec, c_int, u64, RbdCompletion) -> c_int;
        fn rbd_aio_flush(RbdImage, RbdCompletion) -> c_int;
    }
}

/// The functions, loaded at the first call.
///
/// # Errors
/// [`Error::Library`] where a library is missing or too old.
pub(crate) fn api() -> Result<&'static Api> {
    static API: OnceLock<Result<Api>> = OnceLock::new();
    let api = API.get_or_init(|| {
        let rados = library("librados.so.2")?;
        let rbd = library("librbd.so.1")?;
        let api = Api::find(&rados, &rbd).map_err(|error| Error::Library(error.to_string()))?;
        exit::wait_at_exit();
        Ok(api)
    });
    api.as_ref().map_err(Clone::clone)
}

/// Loads a library for the rest of the process's life: its threads outlive any handle of ours.
pub(crate) fn library(name: &str) -> Result<ManuallyDrop<Library>> {
    // SAFETY: what runs at the load of the system's own Ceph libraries is what runs in every
    // program that is linked with them: constructors of their static objects, which rely on nothing
    // of ours.
    let library = unsafe { Library::new(name) };
    let library = library.map_err(|error| Error::Library(error.to_string()))?;
    Ok(ManuallyDrop::new(library))
}
