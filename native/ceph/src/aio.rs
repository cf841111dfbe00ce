//! Operations of librbd that run on their own, as futures.

use std::{
    ffi::c_void,
    future::Future,
    pin::Pin,
    ptr,
    task::{Context, Poll, ready},
};

use libc::c_int;
use tokio::sync::oneshot;

use crate::{
    Error, Image, Outcome, Result,
    error::check,
    sys::{Api, RbdCompletion},
};

/// The result of an operation, when there is one. The operation does not depend on it.
#[derive(Debug)]
pub struct Completion<T>(oneshot::Receiver<Result<T>>);

impl<T> Future for Completion<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let done = ready!(Pin::new(&mut self.0).poll(cx));
        // A sender is dropped without a word only when the operation could not be begun.
        Poll::Ready(done.unwrap_or_else(|_| Err(never_begun())))
    }
}

/// An operation on its way: all that the library refers to until it is done, in a place that does
/// not move.
struct Operation<P, T> {
    name: &'static str,
    /// Keeps the image open.
    image: Image,
    payload: P,
    finish: fn(P, usize) -> T,
    done: oneshot::Sender<Result<T>>,
}

/// Begins an operation. `point` makes the pointers into the payload, at the place where it stays,
/// and `start` hands them to the library, which may use them until it calls back; it returns what
/// the library's function returns.
pub(crate) fn submit<P, A, T>(
    image: &Image,
    name: &'static str,
    payload: P,
    point: impl FnOnce(&mut P) -> A,
    start: impl FnOnce(&Api, A, RbdCompletion) -> c_int,
    finish: fn(P, usize) -> T,
) -> Completion<T>
where
    P: Send + 'static,
    T: Send + 'static,
{
    let api = image.api();
    let (done, completion) = oneshot::channel();
    let operation = Box::into_raw(Box::new(Operation {
        name,
        image: image.clone(),
        payload,
        finish,
        done,
    }));
    let begun = new_completion(api, operation.cast(), called_back::<P, T>).and_then(|aio| {
        // SAFETY: the box is ours until the library knows of it, which is at the `start` below.
        let pointers = point(unsafe { &mut (*operation).payload });
        check(name, start(api, pointers, aio)).inspect_err(|_| {
            // SAFETY: an operation that was refused does not call back, and nobody else knows
            // of the completion.
            unsafe { (api.rbd_aio_release)(aio) };
        })
    });
    if let Err(error) = begun {
        // SAFETY: the library does not know of the box, and will not call back.
        let operation = unsafe { Box::from_raw(operation) };
        drop(operation.done.send(Err(error)));
    }
    Completion(completion)
}

/// A completion that calls `callback` with `argument`, once.
pub(crate) fn new_completion(
    api: &Api,
    argument: *mut c_void,
    callback: extern "C" fn(RbdCompletion, *mut c_void),
) -> Result<RbdCompletion> {
    let mut completion = ptr::null_mut();
    // SAFETY: the completion is written where the pointer says; the argument is only handed on.
    let created =
        unsafe { (api.rbd_aio_create_completion)(argument, callback, &raw mut completion) };
    check("rbd_aio_create_completion", created)?;
    Ok(completion)
}

/// Runs on a thread of the library: hands the result on and frees the buffers. Neither waits.
extern "C" fn called_back<P, T>(completion: RbdCompletion, argument: *mut c_void)
where
    P: Send + 'static,
    T: Send + 'static,
{
    // SAFETY: the argument is the box that `submit` gave to this completion, and the library calls
    // back once.
    let operation = unsafe { Box::from_raw(argument.cast::<Operation<P, T>>()) };
    let Operation {
        name,
        image,
        payload,
        finish,
        done,
    } = *operation;
    // SAFETY: the completion is complete, which is when its result may be read.
    let result = unsafe { (image.api().rbd_aio_get_return_value)(completion) };
    // SAFETY: whoever created a completion releases it once; nobody uses it after this.
    unsafe { (image.api().rbd_aio_release)(completion) };
    let result = c_int::try_from(result).unwrap_or(c_int::MAX);
    let result = check(name, result).map(|value| finish(payload, value));
    // Nobody may wait for it any more.
    drop(done.send(result));
}

fn never_begun() -> Error {
    Error::failed("rbd_aio", Outcome::Other(libc::ECANCELED))
}
