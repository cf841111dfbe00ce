//! The records of images, and what belongs to them.

use super::{Row, image, project, row, store};
use crate::{
    control::{Error as E, cache::Refusal as Cache},
    model::{Status, TaskId, WrongTransition},
};

pub(super) fn rows() -> Vec<Row> {
    [of_images(), of_changes(), of_members(), of_caches()]
        .into_iter()
        .flatten()
        .collect()
}

/// A move that no image makes.
pub(super) fn wrong() -> WrongTransition {
    WrongTransition {
        from: Status::Queued,
        to: Status::Active,
    }
}

#[rustfmt::skip]
fn of_images() -> Vec<Row> {
    vec![
        row(E::ImageNotFound(image()), "There is no such image, it is deleted, or the caller may not know of it.", "Look for it with `GET /v2/images`; ask its owner to share it."),
        row(E::ParentNotFound(image()), "The same, where members or tags are asked for.", "Look for it with `GET /v2/images`; ask its owner to share it."),
        row(E::NothingToDelete(image()), "The same, on a delete; or another project's image.", "Look for it with `GET /v2/images`; ask its owner to share it."),
        row(E::DuplicateImage(image()), "The id is an image's, be it a deleted one.", "Leave `id` out: the service makes one."),
        row(E::Protected(image()), "The image's `protected` is set.", "Have its owner set it to false, then delete."),
        row(E::InUse(image()), "Something is made of the image's data: clones of its RBD snapshot.", "Delete or flatten the volumes that are made of it."),
        row(E::Status(wrong()), "An image in this status has no way to the other.", "Look at its `status`; wait until an upload or import is over."),
        row(E::WrongStatusFor { action: "deactivate", status: Status::Queued }, "Only active images are deactivated, and only those are made active again.", "Upload its data first."),
        row(E::Conflict, "Another request changed it at the same time, time and again.", "Read it and send the change again."),
        row(E::MarkerNotFound(image()), "The list's `marker` is no image that the list could have.", "Follow `next` of the page before."),
        row(E::MarkerHidden(image()), "The list's `marker` is an image that the caller may not see.", "Follow `next` of the page before."),
        row(E::TaskNotFound("{task}".to_owned()), "There is no such task, or it is expired.", "Look for it with `GET /v2/images/{image}/tasks`."),
        row(E::TaskHidden(TaskId::nil()), "The task is another project's.", "Use a token of that project's."),
        row(E::TaskMarker(TaskId::nil()), "The list's `marker` is no task.", "Follow `next` of the page before."),
    ]
}

#[rustfmt::skip]
fn of_changes() -> Vec<Row> {
    vec![
        row(E::FormatFixed("disk_format"), "The formats are fixed once there is data.", "Make another image."),
        row(E::NegativeNumber { name: "min_disk", value: -1 }, "A number below zero.", "Send 0 or more."),
        row(E::NumberTooLarge { name: "min_disk" }, "A number that the database does not hold.", "Send a smaller one."),
        row(E::LongValue { name: "{name}".to_owned(), bytes_max: 65_535 }, "No column of Glance's holds a longer one.", "Keep it elsewhere, and its address here."),
        row(E::WideText("{text}".to_owned()), "Letters beyond the Basic Multilingual Plane (emoji, among others), which Glance's MySQL does not hold.", "Leave them out."),
        row(E::WideName, "The same in a property's name.", "Leave them out."),
        row(E::WideParameter, "The same in a tag.", "Leave them out."),
        row(E::WideTag, "The same in a tag on its own.", "Leave them out."),
        row(E::NoSuchProperty("{name}".to_owned()), "`replace` or `remove` of a property that is not there, or that the caller may not see.", "Use `add`."),
        row(E::PropertyFixed("{name}".to_owned()), "Every image has this attribute.", "Set it to something else."),
        row(E::PropertyPresent("{name}".to_owned()), "`add` of what is there, by version 2.0 of the patch.", "Use `replace`."),
        row(E::PropertyAlike, "The image has a property whose name differs from this one in capitals, accents or a blank at its end alone, which is the same name to MySQL and MariaDB.", "Use the name that is there, or remove that property first."),
        row(E::PropertyReserved("{name}".to_owned()), "The operator's property protections do not let the caller.", "`GET /v2/info/property-protections` tells what one may."),
        row(E::TooManyProperties { attempted: 129, maximum: 128 }, "More properties than `image_property_quota`.", "Remove some."),
        row(E::TooManyTags { attempted: 129, maximum: 128 }, "More tags than `image_tag_quota`.", "Remove some."),
        row(E::TooManyTagsOn { image: image(), attempted: 129, maximum: 128 }, "The same, for one tag.", "Remove some."),
        row(E::TagsDenied { action: "update", image: image() }, "The policy does not let the caller.", "Use a token of the owner's project."),
        row(E::NoSuchTag, "The image does not have the tag. Tags differ by case.", "Nothing is to be done."),
    ]
}

#[rustfmt::skip]
fn of_members() -> Vec<Row> {
    vec![
        row(E::TooManyMembers { image: image(), attempted: 129, maximum: 128 }, "More members than `image_member_quota`.", "Remove some, or make the image `community` or `public`."),
        row(E::MembersDenied { action: "create", image: image() }, "The image is not `shared`, or not the caller's. A member answers to an offer, and its owner does not.", "Set `visibility` to `shared`; use a token of the project that may."),
        row(E::MembersUnlisted(image()), "The image is not `shared`.", "Set `visibility` to `shared`."),
        row(E::NoMembers, "The image is not `shared`, and so it has no members.", "Set `visibility` to `shared`."),
        row(E::DuplicateMember { image: image(), member: project() }, "The image is shared with that project already.", "Nothing is to be done."),
        row(E::MemberNotFound { image: image(), member: project() }, "The image is not shared with that project, or the caller may not know.", "List its members."),
        row(E::MemberStatus, "Another word.", "Send one of these."),
    ]
}

#[rustfmt::skip]
fn of_caches() -> Vec<Row> {
    vec![
        row(E::Cache(Cache::Denied), "The policy does not let the caller look after the cache.", "Ask an administrator."),
        row(E::Cache(Cache::Unavailable), "The node has no cache (`image_cache_dir` is not set).", "Ask a node that has one."),
        row(E::Cache(Cache::Inactive), "Only what can be downloaded is cached.", "Wait until the image is `active`."),
        row(E::Cache(Cache::QueueFull), "More images wait than are remembered.", "Send the request again later."),
        row(E::Cache(Cache::NotCentral), "Nodes do not tell each other what they have (`image_cache_driver`).", "Ask each node."),
        row(E::PreferUnavailable, "`prefer` is for sites of several stores.", "Leave it out."),
        row(E::PreferUnknown(store()), "`prefer` names a store that there is not.", "`GET /v2/info/stores` names them."),
    ]
}
