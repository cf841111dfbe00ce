//! The differences that we want, in one place. Whatever is not listed here is a failure, and so is an
//! entry that no longer differs.

/// One difference and where it shows.
#[derive(Debug)]
pub(super) struct Known {
    /// The heading in docs/SEMANTICS.md that tells clients about it, with the reason.
    pub(super) entry: &'static str,
    /// The steps that show it, as `area: name`. After a `*` any name goes, and need not show it.
    pub(super) steps: &'static [&'static str],
    /// Exactly what differs in them.
    pub(super) parts: &'static [Part],
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Status,
    Headers,
    Body,
}
use Part::{Body, Headers, Status};

impl Known {
    /// Does the entry speak of this step, and must the step show it?
    pub(super) fn of(&self, step: &str) -> Option<Must> {
        self.steps.iter().find_map(|name| named(name, step))
    }
}

/// Does a name of an entry mean this step?
pub(super) fn named(name: &str, step: &str) -> Option<Must> {
    match name.strip_suffix('*') {
        Some(start) => step.starts_with(start).then_some(Must::May),
        None => (step == name).then_some(Must::Show),
    }
}

/// Whether a step has to show its difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    Show,
    May,
}

pub(super) const KNOWN: &[Known] = &[
    Known {
        entry: "Definitions that Glance stumbles over",
        steps: &[
            "metadefs: an object is renamed to what there is",
            "metadefs: a property is renamed to what there is",
        ],
        parts: &[Status, Body],
    },
    Known {
        entry: "A version is listed when what it promises works",
        steps: &["versions: *"],
        parts: &[Body],
    },
    Known {
        entry: "The cache holds chunks",
        steps: &[
            "cache: what is cached",
            "cache: what is cached, on the old path",
            "cache: what was asked for",
        ],
        parts: &[Body],
    },
    Known {
        entry: "Stores of the service alone are told to nobody",
        steps: &[
            "imports: to all stores at once",
            "imports: what is staged is not what the image says",
            "imports: an image without formats",
            "imports: an image for no data",
            "imports: an image of a member's",
            "downloads: through a redirection",
            "downloads: what is not there",
            "downloads: another format than the image says",
            "downloads: another image service",
        ],
        parts: &[Headers],
    },
    Known {
        entry: "A failed import leaves an image as it was before",
        steps: &[
            "imports: a failed import",
            "downloads: the tasks of a download of nothing",
            "downloads: a region that is not in the catalog",
            "downloads: the tasks of a region that is not in the catalog",
            "downloads: a task that failed",
        ],
        parts: &[Body],
    },
    Known {
        entry: "A download has its length",
        steps: &["cache: the first download"],
        parts: &[Headers],
    },
    Known {
        entry: "A failed import leaves an image as it was before",
        steps: &["imports: a failed import takes other data"],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "Texts say what they mean",
        steps: &["imports: no media type", "imports: DELETE /v2/tasks/{u999}"],
        parts: &[Body],
    },
    Known {
        entry: "A copy is what the image is",
        steps: &["import_single: a copy where there is one store"],
        parts: &[Status, Body],
    },
    Known {
        entry: "Cinder's validation data",
        steps: &["locations: an address with another store's name, as Cinder sends it"],
        parts: &[Body],
    },
    Known {
        entry: "`Allow` names every method of a path",
        steps: &[
            "locations: other methods",
            "locations: no method of locations",
        ],
        parts: &[Headers],
    },
    Known {
        entry: "Wrong requests are 400, not 500",
        steps: &["locations: GET /v2/images/{u1001}/locations {}"],
        parts: &[Status, Body],
    },
    Known {
        entry: "A location that cannot be used is refused at once",
        steps: &[
            "locations: an unusable address: a scheme of no store",
            "locations: an unusable address: a file",
            "locations: an unusable address: nothing",
            "locations: an unusable address: an image without formats",
        ],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "RBD stores",
        steps: &["registered: GET /v2/info/stores/detail"],
        parts: &[Body],
    },
    Known {
        entry: "Stores of the service alone are told to nobody",
        steps: &[
            "registered: an image to register*",
            "personas: admin: POST /v2/images {*",
            "personas: manager: POST /v2/images {*",
            "personas: member: POST /v2/images {*",
            "personas: othermember: POST /v2/images {*",
        ],
        parts: &[Headers],
    },
    Known {
        entry: "Nobody names an object of another image",
        steps: &["registered: the object of another image, by patch"],
        parts: &[Status, Body],
    },
    Known {
        entry: "Changes of locations are all or nothing",
        steps: &["locations: an image that has other locations"],
        parts: &[Body],
    },
    Known {
        entry: "Repeated parameters stay in `first` and `next`",
        steps: &[
            "list: GET /v2/images?limit=1&limit=2",
            "list: GET /v2/images?sort_key=name&sort_key=id&sort_dir=asc",
            "list: GET /v2/images?sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc",
            "list: GET /v2/images?sort=name:asc&sort=id:asc",
            "list: GET /v2/images?visibility=public&visibility=private",
            "list: GET /v2/images?name=alpha&name=beta",
            "list: GET /v2/images?tag=red&tag=small",
            "list: GET /v2/images?tag=small&tag=red&limit=1",
            "list: GET /v2/images?updated_at=gt:2020-01-01T00:00:00Z&updated_at=lt:2020-01-02T00:00:00Z",
        ],
        parts: &[Body],
    },
    Known {
        entry: "Lists are ordered totally",
        steps: &[
            "list: GET /v2/images?sort=size:desc&limit=2&marker={u102}",
            "list: GET /v2/images?sort=size:asc&limit=4&marker={u106}",
        ],
        parts: &[Body],
    },
    Known {
        entry: "Texts say what they mean",
        steps: &[
            "list: GET /v2/images?marker=0123456789012345678901234567890123456789",
            "patch: a patch without a media type",
            "data: data without a media type",
            "errors: data without a media type",
            "data: a negative size",
            "images: POST /v2/images ={\"name\": NaN}",
        ],
        parts: &[Body],
    },
    Known {
        entry: "Wrong requests are 400, not 500",
        steps: &[
            "images: POST /v2/images []",
            "images: POST /v2/images [{}]",
            "patch: PATCH /v2/images/{u301} [{\"op\": \"replace\", \"path\": 7, \"value\": \"x\"}]",
            "patch: PATCH /v2/images/{u301} [{\"op\": \"replace\", \"path\": null, \"value\": \"x\"}]",
            "patch: PATCH /v2/images/{u301} [{\"replace\": 7, \"value\": \"x\"}]",
            "members: POST /v2/images/{u501}/members {\"member\": [\"x\"]}",
        ],
        parts: &[Status, Body],
    },
    Known {
        entry: "Wrong requests are 400, not 500",
        steps: &[
            "images: GET /v2/images/%FF",
            "tags: PUT /v2/images/{u401}/tags/%FF",
            "tags: DELETE /v2/images/{u401}/tags/%FF",
            "data: a range of nothing",
            "data: a range without a number",
            "data: a legacy range of no part",
            "list: GET /v2/images?changes-since=",
            "info: GET /v2/info/usage {}",
        ],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "Limits that Glance has not",
        steps: &["members: a member longer than its column"],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "Limits that Glance has not",
        steps: &["members: the members, one of them longer"],
        parts: &[Body],
    },
    Known {
        entry: "Values have the type that they are declared with",
        steps: &[
            "members: POST /v2/images/{u501}/members {\"member\": 7}",
            "members: the number's member",
        ],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "Values have the type that they are declared with",
        steps: &["images: POST /v2/images {\"min_disk\": 1.0}"],
        parts: &[Body],
    },
    Known {
        entry: "An empty owner is none",
        steps: &["images: POST /v2/images {\"owner\": \"\"}"],
        parts: &[Body],
    },
    Known {
        entry: "A declared size beyond the limit is refused at once",
        steps: &["limits: a declared size beyond the limit"],
        parts: &[Status, Body],
    },
    Known {
        entry: "Paths are UTF-8",
        steps: &[
            "images: GET /v2/images/%C3%A4",
            "errors: letters in a path, in HTML",
            "errors: letters in a path, in JSON",
            "errors: letters in a path, in a text",
            "tags: GET /v2/images/{u402}",
        ],
        parts: &[Body],
    },
    Known {
        entry: "Paths are UTF-8",
        steps: &[
            "tags: DELETE /v2/images/{u402}/tags/%C3%BC",
            "tags: PUT /v2/images/{u402}/tags/%F0%9F%98%80",
        ],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "Targets are URIs, and taken as they are written",
        steps: &[
            "images: GET /v2/images/a<b>&c",
            "errors: a target that is no URI",
            "errors: a text that wants escaping",
            "routes: GET /v2/./images?limit=0",
            "routes: GET /v2/images?limit=0#fragment",
        ],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "Targets are URIs, and taken as they are written",
        steps: &[
            "errors: a query that is no URI",
            "errors: a query that is no URI, in JSON",
        ],
        parts: &[Headers, Body],
    },
    Known {
        entry: "Targets are URIs, and taken as they are written",
        steps: &["images: GET /v2/images/.."],
        parts: &[Body],
    },
    Known {
        entry: "Chunked bodies are bodies, of any request",
        steps: &[
            "images: a chunked body",
            "images: what the chunked body made",
        ],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "The client's request id is kept without authentication too",
        steps: &[
            "images: a request id of the client's",
            "images: a request id without its prefix",
        ],
        parts: &[Headers],
    },
    Known {
        entry: "A refused upload leaves nothing behind",
        steps: &[
            "formats: GET /v2/images/{u651}",
            "formats: GET /v2/images/{u652}",
            "formats: GET /v2/images/{u656}",
            "formats: GET /v2/images/{u664}",
            "formats: GET /v2/images/{u669}",
        ],
        parts: &[Body],
    },
    Known {
        entry: "A refused upload leaves nothing behind",
        steps: &["formats: PUT /v2/images/{u652}/file @10"],
        parts: &[Status, Body],
    },
    Known {
        entry: "No range of an empty image",
        steps: &["data: the last byte of nothing"],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "The staging store takes no uploads",
        steps: &["stores: data for the staging store"],
        parts: &[Status, Headers, Body],
    },
    Known {
        entry: "The staging store takes no uploads",
        steps: &["stores: what the staging store got"],
        parts: &[Body],
    },
];
