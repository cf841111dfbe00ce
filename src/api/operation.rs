//! What an endpoint promises. The route table holds one for each, and the reference is written from
//! them ([`super::openapi`]): an endpoint without one does not compile.

/// What there is to know of an endpoint before one calls it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// What it does, in some words.
    pub(super) summary: &'static str,
    /// What callers have to know besides, in Markdown; empty when there is nothing.
    pub(super) about: &'static str,
    /// What is taken out of the query and the headers.
    pub(super) parameters: &'static [Parameter],
    /// The bodies that it takes, by media type; none when it heeds no body.
    pub(super) bodies: &'static [Content],
    /// How it answers when it does what it was asked.
    pub(super) answers: &'static [Answer],
    /// The statuses with which it refuses, beside those of every endpoint ([`REFUSALS`]).
    pub(super) refusals: &'static [u16],
}

impl Operation {
    pub(super) const fn new(
        summary: &'static str,
        about: &'static str,
        answers: &'static [Answer],
        refusals: &'static [u16],
    ) -> Self {
        Self {
            summary,
            about,
            parameters: &[],
            bodies: &[],
            answers,
            refusals,
        }
    }

    /// With these in the query and the headers.
    pub(super) const fn reads(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    /// With a body of one of these.
    pub(super) const fn takes(self, bodies: &'static [Content]) -> Self {
        Self { bodies, ..self }
    }
}

/// A media type, and the name of what it holds (`openapi/components.json`, or what [`super::schema`]
/// serves).
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) schema: &'static str,
}

impl Content {
    /// Image data.
    pub(super) const OCTETS: Self = Self {
        media_type: "application/octet-stream",
        schema: "Bytes",
    };

    /// JSON of that name.
    pub(super) const fn json(schema: &'static str) -> Self {
        Self {
            media_type: "application/json",
            schema,
        }
    }
}

/// One way in which an endpoint answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What it means here.
    pub(super) about: &'static str,
    pub(super) content: Option<Content>,
    /// Beside those of every answer.
    pub(super) headers: &'static [Parameter],
}

impl Answer {
    /// A JSON document, 200.
    pub(super) const fn ok(schema: &'static str, about: &'static str) -> Self {
        Self::with(200, about, Content::json(schema))
    }

    /// A JSON document of what was made, 201.
    pub(super) const fn created(schema: &'static str, about: &'static str) -> Self {
        Self::with(201, about, Content::json(schema))
    }

    pub(super) const fn with(status: u16, about: &'static str, content: Content) -> Self {
        Self {
            content: Some(content),
            ..Self::empty(status, about)
        }
    }

    pub(super) const fn empty(status: u16, about: &'static str) -> Self {
        Self {
            status,
            about,
            content: None,
            headers: &[],
        }
    }

    pub(super) const fn and(self, headers: &'static [Parameter]) -> Self {
        Self { headers, ..self }
    }
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Query,
    Header,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    /// A number that is not negative.
    Whole,
    /// The same, or as if it were not there.
    WholeOrEmpty,
    OneOf(&'static [&'static str]),
    /// Any number of them.
    Texts,
}

/// Something that a request or an answer may have beside its path and its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) place: Place,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) about: &'static str,
}

impl Parameter {
    /// Of a list with one key to sort by.
    pub(super) const SORT_DIR: Self = Self::query(
        "sort_dir",
        Shape::OneOf(&["asc", "desc"]),
        "`desc` without it.",
    );

    /// Where to find what was made.
    pub(super) const LOCATION: Self = Self::header("Location", Shape::Text, "Where it is.");

    pub(super) const fn query(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self {
            place: Place::Query,
            name,
            shape,
            about,
        }
    }

    /// What a list may be sorted by.
    pub(super) const fn sort_key(keys: &'static [&'static str]) -> Self {
        Self::query("sort_key", Shape::OneOf(keys), "`created_at` without it.")
    }

    pub(super) const fn header(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self {
            place: Place::Header,
            name,
            shape,
            about,
        }
    }
}

/// The statuses with which any endpoint refuses.
pub(super) const REFUSALS: [u16; 5] = [400, 401, 431, 500, 503];

/// What a status means, whatever the endpoint. The causes of each are in docs/ERRORS.md.
pub(super) const STATUSES: [(u16, &str); 18] = [
    (400, "The request makes no sense; the text says why."),
    (401, "The token is missing, unknown or over."),
    (
        403,
        "The policy, a protection or the state of the thing forbids it.",
    ),
    (
        404,
        "There is no such thing, or none that the caller may know of.",
    ),
    (405, "The path has other methods; `Allow` names them."),
    (
        406,
        "There is no such version of the API. Of artifacts alone.",
    ),
    (408, "The body came too slowly."),
    (
        409,
        "Something else has the thing, or it is not in a state for this.",
    ),
    (
        410,
        "The image was deleted while its data came, or its store takes none.",
    ),
    (413, "Too large, or over a quota or limit."),
    (
        415,
        "The media type is another, or the data is not what the image says it is.",
    ),
    (416, "The image has no such bytes."),
    (431, "The request id, or the head, is too long."),
    (
        500,
        "The service failed; its log has the cause under the request's id.",
    ),
    (501, "No path has such a method."),
    (502, "The worker that has the staged data cannot be asked."),
    (
        503,
        "Something that is needed is away or busy; `Retry-After` says when to try again, where that may help.",
    ),
    (504, "The worker that has the staged data does not answer."),
];

/// What the names in paths stand for.
pub(super) const PATH_PARAMETERS: [(&str, &str); 14] = [
    ("artifact", "The id of an artifact: a UUID."),
    ("blob", "A field of the artifact's type that holds bytes."),
    ("image", "The id of an image: a UUID."),
    (
        "key",
        "The name of the bytes in the folder; it may have slashes.",
    ),
    (
        "member",
        "The id of the project that the image is shared with.",
    ),
    ("namespace", "The name of a namespace of definitions."),
    ("object", "The name of an object of the namespace."),
    ("project", "The id of a project."),
    ("property", "The name of a property of the namespace."),
    (
        "resource_type",
        "The name of a type of resources, such as `OS::Nova::Flavor`.",
    ),
    ("store", "The id of a store of the operator's."),
    ("tag", "The tag."),
    ("task", "The id of a task: a UUID."),
    ("type", "The name of a type of artifacts."),
];

/// The handlers' modules, in the order of the reference: the title of each, and what it is about.
pub(super) const GROUPS: [(&str, &str, &str); 23] = [
    ("images", "Images", "The records of images."),
    (
        "image_data",
        "Image data",
        "The bytes of images, in and out.",
    ),
    (
        "image_import",
        "Import",
        "Data that comes by way of a task.",
    ),
    (
        "image_locations",
        "Locations",
        "Bytes that a service has put into a store itself.",
    ),
    (
        "image_actions",
        "Actions",
        "Images that nobody may download for a while.",
    ),
    ("image_tags", "Tags", "Words on images."),
    (
        "image_members",
        "Members",
        "The projects that an image is shared with.",
    ),
    ("stores", "Stores", "The copies of an image."),
    (
        "tasks",
        "Tasks",
        "What goes on after its request is answered. For administrators.",
    ),
    (
        "discovery",
        "Discovery",
        "What this site offers, and what is used of it.",
    ),
    (
        "cache",
        "Cache",
        "What this node keeps of images on its own disk.",
    ),
    (
        "namespaces",
        "Namespaces",
        "Metadata definitions, one namespace each.",
    ),
    (
        "properties",
        "Properties",
        "The properties that a namespace defines.",
    ),
    (
        "objects",
        "Objects",
        "The groups of properties that a namespace defines.",
    ),
    (
        "tags",
        "Tags of definitions",
        "The tags that a namespace defines.",
    ),
    (
        "resource_types",
        "Resource types",
        "What definitions are for.",
    ),
    (
        "schemas",
        "Schemas",
        "The JSON schemas of what the API shows and takes.",
    ),
    (
        "fresnel",
        "Cache nodes",
        "What cache nodes ask. Not Glance's.",
    ),
    (
        "records",
        "Artifacts",
        "Typed records, as Glare has them, where the operator has turned them on.",
    ),
    (
        "blobs",
        "Blobs of artifacts",
        "The bytes of artifacts, in and out.",
    ),
    ("types", "Types of artifacts", "What artifacts may hold."),
    (
        "quotas",
        "Limits of artifacts",
        "What projects may have of them.",
    ),
    ("reference", "Reference", "This document. Not Glance's."),
];
