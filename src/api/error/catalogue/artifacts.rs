//! Artifacts.

use super::{Row, row};
use crate::control::{Error as E, Rule, artifact::Refusal as R};

pub(super) fn rows() -> Vec<Row> {
    let told = told().into_iter();
    told.map(|(refusal, cause, cure)| row(E::Artifact(refusal), cause, cure))
        .collect()
}

#[rustfmt::skip]
fn told() -> Vec<(R, &'static str, &'static str)> {
    let text = || "{what is wrong}".to_owned();
    vec![
        (R::UnknownType("{type}".to_owned()), "The site has no such type of artifacts (`[fresnel] artifact_types`).", "`GET /schemas` lists them."),
        (R::NotFound("{artifact}".to_owned()), "There is no such artifact, or none that the caller may know of.", "Look for it with `GET /artifacts/{type}`."),
        (R::NoBlob("{blob}".to_owned()), "Nothing was uploaded there.", "Upload it."),
        (R::Denied(Rule::ArtifactPublish), "The policy does not let the caller.", "Ask who may."),
        (R::Foreign, "The artifact is another project's; or it is public, for good.", "Ask its owner, or an administrator."),
        (R::Anonymous, "The token is for no project.", "Use one that is."),
        (R::ReadOnlyType, "`all` only shows.", "Use the artifact's own type."),
        (R::State(text().into()), "The artifact's status, or what its type says of the field, forbids it.", "Read the artifact and `/schemas/{type}`."),
        (R::Invalid(text().into()), "A field, filter, key to sort by, patch, link or address that makes no sense; the text says which.", "Correct it; `/schemas/{type}` has what a type takes."),
        (R::Duplicate, "There is an artifact of that type, name and version among what is public, or among what the project has.", "Choose another version."),
        (R::Filling, "An upload to the artifact goes on.", "Wait for its end."),
        (R::Taken(text()), "There are bytes already, or they are on their way, or they are an image's.", "Wait, or take those away."),
        (R::Overtaken, "Another request changed the artifact first.", "Send the request again."),
        (R::NotReady("{blob}".to_owned()), "Its upload goes on.", "Wait."),
        (R::TooMany(text()), "The project has as many artifacts as it may.", "Delete some, or have the limit raised (`PUT /quotas`)."),
        (R::TooLarge(text()), "More bytes than the field, its folder or the project may have.", "Delete some, or have the limit raised (`PUT /quotas`)."),
        (R::MediaType { given: "{media type}".to_owned(), expected: "application/json" }, "Bodies are JSON, and patches `application/json-patch+json`.", "Say so in `Content-Type`."),
        (R::ApiVersion("{version}".to_owned()), "There are 1.0 and 1.1.", "Ask for `latest`, or for none."),
    ]
}
