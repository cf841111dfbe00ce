//! Imports, locations and metadata definitions.

use super::{Row, image, row, store};
use crate::{
    control::{
        Error as E,
        import::{Method, Refusal as I},
        location::Refusal as L,
        metadef::Refusal as M,
    },
    model::{Status, metadef::Kind},
};

pub(super) fn rows() -> Vec<Row> {
    let definitions = [of_definitions(), of_types()].into_iter().flatten();
    let imports = of_imports()
        .into_iter()
        .map(|(refusal, cause, cure)| row(E::Import(refusal), cause, cure));
    let locations = of_locations()
        .into_iter()
        .map(|(refusal, cause, cure)| row(E::Location(refusal), cause, cure));
    let definitions =
        definitions.map(|(refusal, cause, cure)| row(E::Metadef(refusal), cause, cure));
    imports.chain(locations).chain(definitions).collect()
}

type Told<R> = (R, &'static str, &'static str);

#[rustfmt::skip]
fn of_imports() -> Vec<Told<I>> {
    vec![
        (I::StageHost, "Another worker has the staged data, and what it answers is no answer.", "Stage again here; tell the operator (`worker_self_reference_url`)."),
        (I::StageHostSilent, "Another worker has the staged data and does not answer.", "Send the request again later, or stage again."),
        (I::Untrusted, "The service acts for the user later. Keystone lets the token (of an application credential, or itself of a trust) make no trust, and the service's own user has not the role `service`.", "Use a token that was got with a password, or have the operator give the service that role."),
        (I::Active, "The image has its data.", "Use `copy-image` to bring it to other stores."),
        (I::NotActive, "`copy-image` copies what an image has.", "Upload or import its data first."),
        (I::NotQueued(Method::WebDownload), "The image gets data, or has staged data.", "Make another image, or import what is staged."),
        (I::NotStaged, "`glance-direct` imports staged data.", "Send it with `PUT .../stage` first."),
        (I::FormatUnset("disk_format"), "The image's formats are not set.", "Set `disk_format` and `container_format`."),
        (I::ActiveTask, "A task has the image.", "Wait for its end: `GET .../tasks`."),
        (I::Overtaken(image()), "Another import was first.", "Wait for its end: `GET .../tasks`."),
        (I::UnknownStore(store()), "There is no such store.", "`GET /v2/info/stores` names them."),
        (I::AllAndSome, "`all_stores` beside names of stores.", "Send one of both."),
        (I::HeaderAndSome, "`stores` beside `X-Image-Meta-Store`.", "Send one of both."),
        (I::Present(store()), "The store has the image.", "Nothing is to be done."),
        (I::SingleStore(None), "The site has one store, which must succeed.", "Leave `all_stores_must_succeed` out."),
        (I::RemoteUnset("glance_region"), "`glance-download` must be told the other service.", "Set `glance_region` and `glance_image_id`."),
        (I::RemoteId("{id}".to_owned()), "The id of an image elsewhere is a UUID.", "Correct it."),
        (I::TaskAddress("{address}".to_owned()), "The operator does not let the service ask that address (`[import_filtering_opts]`).", "Use an address that is allowed."),
        (I::Address(Some("{address}".to_owned())), "The same; or there is no address.", "Use an address that is allowed."),
    ]
}

#[rustfmt::skip]
fn of_locations() -> Vec<Told<L>> {
    vec![
        (L::Invisible("add"), "The site shows no locations (`show_multiple_locations`), and so nobody changes them.", "Upload the data."),
        (L::Status { action: "add", status: Status::Saving }, "Locations change while an image is `queued` or `active`.", "Wait."),
        (L::Position("adding"), "The list of locations has no such place.", "Read the image again."),
        (L::Last, "An image keeps one location.", "Delete the image."),
        (L::Unusable, "The address is of no store, not for clients to name, nothing is there, or another image's bytes are.", "Look at the address; upload the data instead."),
        (L::Filtered("{address}".to_owned()), "The operator does not let the service ask that address (`[import_filtering_opts]`).", "Use an address that is allowed."),
        (L::Duplicate("{address}".to_owned()), "The image has the object already.", "Nothing is to be done."),
        (L::Present("{addresses}".to_owned()), "New addresses for an image that has others.", "Add, rather than replace."),
        (L::Metadata { key: "{key}".to_owned(), found: "int" }, "Metadata of a location is text, in lists and objects.", "Send text."),
        (L::TooMany { attempted: 11, maximum: 10 }, "More locations than `image_location_quota`.", "Remove some."),
        (L::Contradiction("{what is wrong}".to_owned()), "`validation_data` contradicts what the image has, or is of another algorithm than `hashing_algorithm`.", "Correct it."),
        (L::Digest("{what is wrong}".to_owned()), "A digest of another length, or no hexadecimal digits.", "Correct it."),
        (L::NotForUsers, "Only services register addresses of stores; users, those of the web, where there is a store of type `http`.", "Upload the data."),
        (L::ActiveTask, "A task has the image.", "Wait for its end: `GET .../tasks`."),
        (L::Cleared, "An image keeps one location.", "Delete the image."),
        (L::StoreUnknown(store()), "There is no such store.", "`GET /v2/info/stores` names them."),
        (L::ImageUnknown(image()), "There is no such image, or none that the caller may know of.", "Look for it with `GET /v2/images`."),
        (L::Inactive, "Only active images have copies to give away.", "Wait, or delete the image."),
        (L::OnlyCopy, "An image keeps one copy.", "Delete the image."),
        (L::NotInStore { image: image(), store: store() }, "The store does not have the image.", "Its `stores` name those that have it."),
        (L::DataInUse(image()), "Something is made of the copy.", "Delete what is made of it."),
    ]
}

#[rustfmt::skip]
fn of_definitions() -> Vec<Told<M>> {
    let named = || "{name}".to_owned();
    vec![
        (M::Unknown(named()), "There is no such namespace, or none that the caller may know of.", "`GET /v2/metadefs/namespaces` lists them."),
        (M::NoParent(named()), "The same.", "`GET /v2/metadefs/namespaces` lists them."),
        (M::Invisible(named()), "The namespace is another project's and private.", "Have it made public."),
        (M::NoItem(Kind::Object, named()), "The namespace has no such object, property or tag.", "List what it has."),
        (M::Prefix { name: named(), prefix: Some("{prefix}".to_owned()) }, "On resources of the type, names begin with its prefix.", "Ask by that name."),
        (M::Protected(named()), "The namespace's `protected` is set.", "Set it to false first."),
        (M::ProtectedItem { kind: Kind::Object, name: named() }, "The same, of what it holds.", "Set it to false first."),
        (M::ProtectedAssociation(named()), "The same, of what it is for.", "Set it to false first."),
        (M::DuplicateNamespace(named()), "There is a namespace of that name, perhaps one that the caller may not see.", "Choose another."),
        (M::DuplicateUpdate(named()), "The same, on a change of the name.", "Choose another."),
        (M::DuplicateItem { kind: Kind::Tag, name: named(), namespace: "{namespace}".to_owned() }, "The namespace has an object, property or tag of that name; tags do not differ by case.", "Choose another, or change that one."),
        (M::DuplicateItemUpdate { kind: Kind::Object, name: named(), namespace: "{namespace}".to_owned() }, "The same, on a change of the name.", "Choose another, or change that one."),
    ]
}

#[rustfmt::skip]
fn of_types() -> Vec<Told<M>> {
    let named = || "{name}".to_owned();
    vec![
        (M::NotAssociated { resource_type: named(), namespace: Some("{namespace}".to_owned()) }, "The namespace is not for that type of resources.", "List what it is for."),
        (M::NoAssociation(named()), "The same, on a delete.", "List what it is for."),
        (M::DuplicateAssociation { name: named(), namespace: "{namespace}".to_owned() }, "The namespace is for that type already.", "Nothing is to be done."),
        (M::DuplicateResourceType(named()), "There is a type of that name.", "Nothing is to be done."),
        (M::NoResourceType(named()), "There is no type of that name.", "`GET /v2/metadefs/resource_types` lists them."),
        (M::ProtectedResourceType(named()), "The type came with the standard definitions.", "It stays."),
        (M::ResourceTypeInUse(named()), "Namespaces are for the type.", "Remove their associations first."),
    ]
}
