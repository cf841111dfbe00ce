//! OpenSSL's assembly for one stream, through its public low-level functions. Under Miri, which
//! runs no foreign code, the portable rounds.

#[cfg(not(miri))]
use crate::{Md5State, Sha256State, Sha512State};

#[cfg(not(miri))]
mod ffi {
    use std::ffi::{c_int, c_uint, c_void};

    // The crate links libcrypto; it does not declare MD5's context.
    pub(super) use openssl_sys::{SHA256_CTX, SHA256_Update, SHA512_CTX, SHA512_Update};

    /// `MD5_CTX` of `openssl/md5.h`.
    #[repr(C)]
    pub(super) struct Md5Ctx {
        pub(super) state: [u32; 4],
        pub(super) length: [u32; 2],
        pub(super) data: [u32; 16],
        pub(super) num: c_uint,
    }

    unsafe extern "C" {
        #[link_name = "MD5_Update"]
        pub(super) fn md5_update(ctx: *mut Md5Ctx, data: *const c_void, len: usize) -> c_int;
    }
}

/// MD5 of whole blocks.
#[cfg(not(miri))]
pub(crate) fn md5(state: &mut Md5State, bytes: &[u8]) {
    let mut context = ffi::Md5Ctx {
        state: *state,
        length: [0; 2],
        data: [0; 16],
        num: 0,
    };
    // SAFETY: the context is laid out as `openssl/md5.h` has it and holds no partial block;
    // whole blocks go straight through the compression function.
    let done = unsafe { ffi::md5_update(&raw mut context, bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!((done, context.num), (1, 0), "MD5_Update takes whole blocks");
    *state = context.state;
}

/// SHA-256 of whole blocks.
#[cfg(not(miri))]
pub(crate) fn sha256(state: &mut Sha256State, bytes: &[u8]) {
    // SAFETY: the context is plain integers, for which all zeroes is a value.
    let mut context: ffi::SHA256_CTX = unsafe { std::mem::zeroed() };
    context.h = *state;
    context.md_len = 32;
    // SAFETY: the context holds a state and no partial block; whole blocks go straight through
    // the compression function.
    let done = unsafe { ffi::SHA256_Update(&raw mut context, bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(
        (done, context.num),
        (1, 0),
        "SHA256_Update takes whole blocks"
    );
    *state = context.h;
}

/// SHA-512 of whole blocks.
#[cfg(not(miri))]
pub(crate) fn sha512(state: &mut Sha512State, bytes: &[u8]) {
    // SAFETY: the context is plain integers, for which all zeroes is a value.
    let mut context: ffi::SHA512_CTX = unsafe { std::mem::zeroed() };
    context.h = *state;
    context.md_len = 64;
    // SAFETY: the context holds a state and no partial block; whole blocks go straight through
    // the compression function.
    let done = unsafe { ffi::SHA512_Update(&raw mut context, bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(
        (done, context.num),
        (1, 0),
        "SHA512_Update takes whole blocks"
    );
    *state = context.h;
}

#[cfg(miri)]
pub(crate) use crate::portable::{md5, sha256, sha512};
