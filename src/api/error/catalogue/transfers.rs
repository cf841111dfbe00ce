//! Image data in and out.

use super::{Row, image, images::wrong, row, store};
use crate::{
    control::{Error as E, encryption::Refusal as Encryption},
    data::{
        Error as D, StopReason, StoreError as S,
        encrypt::Refusal as Container,
        inspect::FormatError,
        signature::{Reason, Refusal},
    },
    model::RangeError,
};

pub(super) fn rows() -> Vec<Row> {
    [of_uploads(), of_data(), of_stores(), of_ranges()]
        .into_iter()
        .flatten()
        .collect()
}

#[rustfmt::skip]
fn of_uploads() -> Vec<Row> {
    vec![
        row(E::UploadDenied(image()), "The image is not the caller's.", "Use a token of the owner's project."),
        row(E::NotQueued(wrong()), "The image has data, or gets it.", "Make another image; of an upload that goes on wait for the end."),
        row(E::StagedTwice(image()), "The image has staged data.", "Import it, or delete the image."),
        row(E::UnknownStore(store()), "`X-Image-Meta-Store` names a store that there is not.", "`GET /v2/info/stores` names them."),
        row(E::FormatsUnset("{attributes}"), "The image's formats are not set.", "Set `disk_format` and `container_format`, then upload."),
        row(E::ImageTooLarge, "More bytes than `image_size_cap`.", "Make it smaller, or have the cap raised."),
        row(E::StorageQuotaFull { size_bytes: None, remaining_bytes: 0 }, "More bytes than `user_storage_quota` leaves the project. What uploads that go on have reserved counts too.", "Delete images, or have the quota raised."),
        row(E::MediaFull, "The store is full, or has no room for the size that was declared.", "Tell the operator; upload again later. The image is `queued`."),
        row(E::MediaDenied, "The store does not let the service write.", "Tell the operator: `fresnel store check` says what is missing."),
        row(E::AddDisabled, "The store takes no uploads.", "Name another (`X-Image-Meta-Store`)."),
        row(E::GoneDuringUpload(image()), "The image was deleted while its data came, or another upload was first.", "Make the image again."),
        row(E::Signature(image(), Refusal::Untried(Reason::Empty)), "The image has the four properties of a signature, and it is not that of these bytes, or cannot be verified: the text says why.", "`fresnel image verify` tries the same; sign again, or remove the properties."),
        row(E::CertificateId(Refusal::NoId), "`img_signature_certificate_uuid` is no id of the key manager's.", "Correct it."),
        row(E::Encryption(Encryption::Undeclared), "`X-Fresnel-Plain` on an image that does not say how it is encrypted.", "Set `os_encrypt_format` and `os_encrypt_key_id`, or leave the header out."),
        row(E::Encryption(Encryption::NoKey("{id}".to_owned())), "The key manager does not give the caller that key.", "Use a token of a project that may have the key, or correct `os_encrypt_key_id`."),
        row(E::Encryption(Encryption::Inside), "The qcow2 file has its own encryption.", "Download it as it is, and decrypt it with `qemu-img`."),
        row(E::DataDeactivated, "The image is `deactivated`: only administrators download it.", "Ask an administrator."),
    ]
}

#[rustfmt::skip]
fn of_data() -> Vec<Row> {
    vec![
        row(E::Data(D::Busy), "No buffers became free within `[fresnel] admission_wait_seconds`: the node has as many transfers as its memory holds.", "Send the request again after `Retry-After`, or to another node."),
        row(E::Data(D::Stopped(StopReason::Draining)), "The node shuts down, or has lost its lease. The image is `queued`.", "Upload again."),
        row(E::Data(D::Client(std::io::Error::other(""))), "The client's data broke off. The image is `queued`.", "Upload again."),
        row(E::Data(D::TooSlow), "The data came more slowly than `[fresnel] min_rate_bytes_per_second`.", "Upload again over a better line."),
        row(E::Data(D::Format(FormatError::Incomplete)), "The data is not what `disk_format` says, or opening it could harm a host: a backing file, several formats in one, a header that cannot be read.", "`qemu-img info` shows what it is; convert it, or correct `disk_format`."),
        row(E::Data(D::Container(Container::NoContainer)), "The data is not the LUKS container that the image's properties say, or its key does not open it.", "Correct the properties, or send plain bytes with `X-Fresnel-Plain`."),
        row(E::Data(D::Locked(Container::WrongKey)), "The stored container cannot be opened with the image's key.", "Correct `os_encrypt_key_id`, or download it as it is."),
        row(E::Data(D::SizeExceeded { expected_bytes: 1, received_bytes: 2 }), "More data came than was declared.", "Declare the size, or declare none."),
        row(E::Data(D::SizeMismatch { expected_bytes: 2, received_bytes: 1 }), "Less data came than was declared.", "Declare the size, or declare none."),
        row(E::Data(D::Lost(image())), "No store has the image's data any more.", "Tell the operator. A download is answered 204."),
        row(E::Data(D::Signature(Refusal::Wrong)), "The signature is not that of the data.", "Sign again."),
        row(E::Data(D::Changed(image())), "The data in a store is not what was recorded.", "Tell the operator."),
        row(E::Data(D::TooLarge { limit_bytes: 1 }), "More data than may come.", "Make it smaller."),
    ]
}

#[rustfmt::skip]
fn of_stores() -> Vec<Row> {
    vec![
        row(E::Store(S::Busy(String::new())), "Something is made of the data in the store.", "Delete what is made of it."),
        row(E::Store(S::Denied(store())), "The store denies it.", "Tell the operator."),
        row(E::Store(S::Full(store())), "The store is full.", "Tell the operator."),
        row(E::Store(S::TooLarge { store: store(), limit_bytes: 1 }), "The store's parts are as large as its share of memory, and there are 10,000 at most.", "Have `[fresnel] memory_limit_mib` raised."),
        row(E::Store(S::NotFound(String::new())), "The data is not in the store.", "Tell the operator."),
        row(E::Store(S::NoBuffers), "No buffers became free in time.", "Send the request again."),
        row(E::Store(S::Unavailable(store())), "The store does not answer. An upload leaves its image `queued`.", "Send the request again later."),
        row(E::Store(S::AlreadyExists(String::new())), "The store has something of that name that no image has.", "Tell the operator: `fresnel scrub` lists it."),
        row(E::Store(S::BadAddress(String::new())), "The image's location is none that the store reads.", "Tell the operator."),
        row(E::Store(S::Backend { store: store(), source: std::io::Error::other("") }), "The store failed.", "Tell the operator the request's id."),
        row(E::Store(S::Corrupt(String::new())), "The data in the store is damaged.", "Tell the operator."),
        row(E::Store(S::ReadOnly(store())), "The store takes no data.", "Name another."),
        row(E::Store(S::Unlistable(store())), "The store cannot tell what is in it.", "Tell the operator."),
    ]
}

#[rustfmt::skip]
fn of_ranges() -> Vec<Row> {
    vec![
        row(E::Range(RangeError::Multiple), "Several ranges.", "Ask for one at a time."),
        row(E::Range(RangeError::Malformed("Range")), "No range.", "Send `bytes=first-last`, `bytes=first-` or `bytes=-last`."),
        row(E::Range(RangeError::Start { header: "Range", size_bytes: 1 }), "The range begins behind the end.", "Look at the image's `size`."),
        row(E::Range(RangeError::Stop { size_bytes: 1 }), "A `Content-Range` ends behind the end.", "Look at the image's `size`."),
    ]
}
