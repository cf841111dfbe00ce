//! The API of Glance 33, `/v2` and what stands around it (reference A.1, A.2): parse, ask control,
//! render. The only layer that knows routes and statuses.

pub mod artifacts;
pub mod cors;
pub mod error;
pub mod extract;
pub mod filter;
pub mod healthcheck;
mod identity;
mod openapi;
mod operation;
pub mod patch;
mod proxy;
mod route;
pub mod schema;
pub mod settings;
pub mod v2;
pub mod versions;
pub mod view;

use std::{borrow::Cow, sync::Arc};

use ::http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use async_trait::async_trait;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::{
    base::secret::Secret,
    control::{Caller, Control, auth::Presented},
    data::Plane,
    http::{Access, Body, Handler, Request, Response},
};

pub use error::{Asked, Error};
pub use extract::Call;
use route::{Endpoint, Route, to};
pub use settings::Settings;

use v2::{
    cache, discovery, fresnel, image_actions, image_data, image_import, image_locations,
    image_members, image_tags, images,
    metadefs::{namespaces, objects, properties, resource_types, tags},
    reference, schemas, stores, tasks,
};

/// The result of a handler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every route under `/v2`, and what each promises. Order within a route is the order of `Allow`.
///
/// `bare` endpoints refuse a request body (reference A.1.3).
#[rustfmt::skip]
const ROUTES: &[Route] = &[
    Route::new("/images", &[
        Endpoint::new("GET", to!(images::list), images::LIST),
        Endpoint::new("POST", to!(images::create), images::CREATE),
    ]),
    Route::new("/images/{image}", &[
        Endpoint::bare("GET", to!(images::show), images::SHOW),
        Endpoint::new("PATCH", to!(images::update), images::UPDATE),
        Endpoint::bare("DELETE", to!(images::delete), images::DELETE),
    ]),
    Route::new("/images/{image}/actions/deactivate", &[
        Endpoint::bare("POST", to!(image_actions::deactivate), image_actions::DEACTIVATE),
    ]),
    Route::new("/images/{image}/actions/reactivate", &[
        Endpoint::bare("POST", to!(image_actions::reactivate), image_actions::REACTIVATE),
    ]),
    Route::new("/images/{image}/file", &[
        Endpoint::bare("GET", to!(image_data::download), image_data::DOWNLOAD),
        Endpoint::new("PUT", to!(image_data::upload), image_data::UPLOAD),
    ]),
    Route::new("/images/{image}/import", &[
        Endpoint::new("POST", to!(image_import::import), image_import::IMPORT),
    ]),
    Route::new("/images/{image}/locations", &[
        Endpoint::bare("GET", to!(image_locations::list), image_locations::LIST),
        Endpoint::new("POST", to!(image_locations::add), image_locations::ADD),
    ]),
    Route::new("/images/{image}/members", &[
        Endpoint::bare("GET", to!(image_members::list), image_members::LIST),
        Endpoint::new("POST", to!(image_members::create), image_members::CREATE),
    ]),
    Route::new("/images/{image}/members/{member}", &[
        Endpoint::bare("GET", to!(image_members::show), image_members::SHOW),
        Endpoint::new("PUT", to!(image_members::update), image_members::UPDATE),
        Endpoint::bare("DELETE", to!(image_members::delete), image_members::DELETE),
    ]),
    Route::new("/images/{image}/stage", &[
        Endpoint::new("PUT", to!(image_import::stage), image_import::STAGE),
    ]),
    Route::new("/images/{image}/tags/{tag}", &[
        Endpoint::bare("PUT", to!(image_tags::add), image_tags::ADD),
        Endpoint::bare("DELETE", to!(image_tags::remove), image_tags::REMOVE),
    ]),
    Route::new("/stores/{store}/{image}", &[
        Endpoint::bare("DELETE", to!(stores::delete), stores::DELETE),
    ]),
    Route::lax("/images/{image}/tasks", &[
        Endpoint::bare("GET", to!(image_import::tasks), image_import::TASKS),
    ]),
    Route::new("/schemas/image", &[
        Endpoint::bare("GET", to!(schemas::image), schemas::of("Show the schema of an image")),
    ]),
    Route::new("/schemas/images", &[
        Endpoint::bare("GET", to!(schemas::images), schemas::of("Show the schema of a list of images")),
    ]),
    Route::new("/schemas/member", &[
        Endpoint::bare("GET", to!(schemas::member), schemas::of("Show the schema of a member")),
    ]),
    Route::new("/schemas/members", &[
        Endpoint::bare("GET", to!(schemas::members), schemas::of("Show the schema of a list of members")),
    ]),
    Route::new("/schemas/task", &[
        Endpoint::bare("GET", to!(schemas::task), schemas::of("Show the schema of a task")),
    ]),
    Route::new("/schemas/tasks", &[
        Endpoint::bare("GET", to!(schemas::tasks), schemas::of("Show the schema of a list of tasks")),
    ]),
    Route::new("/schemas/metadefs/namespace", &[
        Endpoint::bare("GET", to!(schemas::metadef_namespace), schemas::of("Show the schema of a namespace")),
    ]),
    Route::new("/schemas/metadefs/namespaces", &[
        Endpoint::bare("GET", to!(schemas::metadef_namespaces), schemas::of("Show the schema of a list of namespaces")),
    ]),
    Route::new("/schemas/metadefs/resource_type", &[
        Endpoint::bare("GET", to!(schemas::metadef_resource_type), schemas::of("Show the schema of an association with a resource type")),
    ]),
    Route::new("/schemas/metadefs/resource_types", &[
        Endpoint::bare("GET", to!(schemas::metadef_resource_types), schemas::of("Show the schema of a list of associations")),
    ]),
    Route::new("/schemas/metadefs/property", &[
        Endpoint::bare("GET", to!(schemas::metadef_property), schemas::of("Show the schema of a property")),
    ]),
    Route::new("/schemas/metadefs/properties", &[
        Endpoint::bare("GET", to!(schemas::metadef_properties), schemas::of("Show the schema of properties by their names")),
    ]),
    Route::new("/schemas/metadefs/object", &[
        Endpoint::bare("GET", to!(schemas::metadef_object), schemas::of("Show the schema of an object")),
    ]),
    Route::new("/schemas/metadefs/objects", &[
        Endpoint::bare("GET", to!(schemas::metadef_objects), schemas::of("Show the schema of a list of objects")),
    ]),
    Route::new("/schemas/metadefs/tag", &[
        Endpoint::bare("GET", to!(schemas::metadef_tag), schemas::of("Show the schema of a tag")),
    ]),
    Route::new("/schemas/metadefs/tags", &[
        Endpoint::bare("GET", to!(schemas::metadef_tags), schemas::of("Show the schema of a list of tags")),
    ]),
    Route::new("/metadefs/resource_types", &[
        Endpoint::bare("GET", to!(resource_types::list), resource_types::LIST),
        Endpoint::new("POST", to!(resource_types::create), resource_types::CREATE),
    ]),
    Route::new("/metadefs/resource_types/{resource_type}", &[
        Endpoint::bare("DELETE", to!(resource_types::delete), resource_types::DELETE),
    ]),
    Route::new("/metadefs/namespaces", &[
        Endpoint::new("GET", to!(namespaces::list), namespaces::LIST),
        Endpoint::new("POST", to!(namespaces::create), namespaces::CREATE),
    ]),
    Route::new("/metadefs/namespaces/{namespace}", &[
        Endpoint::bare("GET", to!(namespaces::show), namespaces::SHOW),
        Endpoint::new("PUT", to!(namespaces::update), namespaces::UPDATE),
        Endpoint::bare("DELETE", to!(namespaces::delete), namespaces::DELETE),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/resource_types", &[
        Endpoint::bare("GET", to!(resource_types::associations), resource_types::ASSOCIATIONS),
        Endpoint::new("POST", to!(resource_types::associate), resource_types::ASSOCIATE),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/resource_types/{resource_type}", &[
        Endpoint::bare("DELETE", to!(resource_types::dissociate), resource_types::DISSOCIATE),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/properties", &[
        Endpoint::bare("GET", to!(properties::list), properties::LIST),
        Endpoint::new("POST", to!(properties::create), properties::CREATE),
        Endpoint::new("DELETE", to!(namespaces::delete_properties), namespaces::DELETE_PROPERTIES),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/properties/{property}", &[
        Endpoint::new("GET", to!(properties::show), properties::SHOW),
        Endpoint::new("PUT", to!(properties::update), properties::UPDATE),
        Endpoint::new("DELETE", to!(properties::delete), properties::DELETE),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/objects", &[
        Endpoint::new("GET", to!(objects::list), objects::LIST),
        Endpoint::new("POST", to!(objects::create), objects::CREATE),
        Endpoint::new("DELETE", to!(namespaces::delete_objects), namespaces::DELETE_OBJECTS),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/objects/{object}", &[
        Endpoint::bare("GET", to!(objects::show), objects::SHOW),
        Endpoint::new("PUT", to!(objects::update), objects::UPDATE),
        Endpoint::bare("DELETE", to!(objects::delete), objects::DELETE),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/tags", &[
        Endpoint::new("GET", to!(tags::list), tags::LIST),
        Endpoint::new("POST", to!(tags::create_many), tags::CREATE_MANY),
        Endpoint::new("DELETE", to!(namespaces::delete_tags), namespaces::DELETE_TAGS),
    ]),
    Route::new("/metadefs/namespaces/{namespace}/tags/{tag}", &[
        Endpoint::bare("GET", to!(tags::show), tags::SHOW),
        Endpoint::bare("POST", to!(tags::create), tags::CREATE),
        Endpoint::new("PUT", to!(tags::update), tags::UPDATE),
        Endpoint::bare("DELETE", to!(tags::delete), tags::DELETE),
    ]),
    Route::new("/info/import", &[Endpoint::bare("GET", to!(discovery::import), discovery::IMPORT)]),
    Route::new("/info/stores", &[Endpoint::bare("GET", to!(discovery::stores), discovery::STORES)]),
    Route::new("/info/stores/detail", &[
        Endpoint::bare("GET", to!(discovery::stores_detail), discovery::STORES_DETAIL),
    ]),
    Route::new("/info/property-protections", &[
        Endpoint::bare("GET", to!(discovery::property_protections), discovery::PROPERTY_PROTECTIONS),
    ]),
    Route::new("/cache", &[
        Endpoint::bare("GET", to!(cache::list), cache::LIST),
        Endpoint::new("DELETE", to!(cache::clear), cache::CLEAR),
    ]),
    Route::new("/cache/clean", &[Endpoint::new("POST", to!(cache::clean), cache::CLEAN)]),
    Route::new("/cache/prune", &[Endpoint::new("POST", to!(cache::prune), cache::PRUNE)]),
    Route::new("/cache/nodes/{image}", &[Endpoint::bare("GET", to!(cache::nodes), cache::NODES)]),
    Route::new("/cache/{image}", &[
        Endpoint::new("DELETE", to!(cache::forget), cache::FORGET),
        Endpoint::new("PUT", to!(cache::queue), cache::QUEUE),
    ]),
    Route::lax("/cached_images", &[
        Endpoint::new("GET", to!(cache::old_cached), cache::OLD_CACHED),
        Endpoint::new("DELETE", to!(cache::old_clear_cached), cache::OLD_CLEAR_CACHED),
    ]),
    Route::lax("/cached_images/{image}", &[
        Endpoint::new("DELETE", to!(cache::old_forget), cache::OLD_FORGET),
    ]),
    Route::lax("/queued_images", &[
        Endpoint::new("GET", to!(cache::old_queued), cache::OLD_QUEUED),
        Endpoint::new("DELETE", to!(cache::old_clear_queued), cache::OLD_CLEAR_QUEUED),
    ]),
    Route::lax("/queued_images/{image}", &[
        Endpoint::new("PUT", to!(cache::old_queue), cache::OLD_QUEUE),
        Endpoint::new("DELETE", to!(cache::old_unqueue), cache::OLD_UNQUEUE),
    ]),
    Route::lax("/openapi.json", &[
        Endpoint::bare("GET", to!(reference::document), reference::DOCUMENT),
    ]),
    Route::lax("/fresnel", &[Endpoint::bare("GET", to!(fresnel::about), fresnel::ABOUT)]),
    Route::lax("/fresnel/images/{image}/access", &[
        Endpoint::bare("GET", to!(fresnel::access), fresnel::ACCESS),
    ]),
    Route::new("/tasks", &[
        Endpoint::new("GET", to!(tasks::list), tasks::LIST),
        Endpoint::new("POST", to!(tasks::create), tasks::CREATE),
    ]),
    Route::new("/tasks/{task}", &[
        Endpoint::new("GET", to!(tasks::show), tasks::SHOW),
        Endpoint::new("DELETE", to!(tasks::delete), tasks::DELETE),
    ]),
    Route::lax("/info/usage", &[Endpoint::new("GET", to!(discovery::usage), discovery::USAGE)]),
];

/// The tables of a site, each with what stands before its paths.
const TABLES: [(&str, &[Route]); 2] = [("/v2", ROUTES), ("", artifacts::ROUTES)];

fn tables(artifacts: bool) -> &'static [(&'static str, &'static [Route])] {
    match artifacts {
        true => &TABLES,
        false => &TABLES[..1],
    }
}

/// The one path that stands before every filter.
const HEALTHCHECK: &str = "/healthcheck";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Everything that handlers need.
#[derive(Debug)]
pub struct Api {
    /// Decides and records.
    pub control: Arc<Control>,
    /// Moves bytes.
    pub plane: Arc<Plane>,
    /// What the operator decided about the API itself.
    pub settings: Settings,
    /// The schema documents.
    pub schemas: schema::Schemas,
    /// The reference, ready to send.
    pub openapi: Bytes,
}

impl Api {
    /// # Errors
    /// When the operator's `schema-image.json` cannot be used.
    pub fn new(
        control: Arc<Control>,
        plane: Arc<Plane>,
        settings: Settings,
    ) -> Result<Self, schema::Error> {
        let schemas = schema::Schemas::new(
            &control.settings.disk_formats,
            &control.settings.container_formats,
            settings.image_schema_json.as_deref(),
        )?;
        let artifacts = &control.settings.artifacts;
        let types: Vec<&str> = artifacts
            .types
            .iter()
            .map(|kind| kind.name.as_str())
            .collect();
        let tables = tables(artifacts.enabled);
        let openapi = openapi::document(tables, &schemas, &types, control.auth.asks());
        Ok(Self {
            control,
            plane,
            settings,
            schemas,
            openapi: openapi.to_string().into(),
        })
    }

    /// Answers what stands outside `/v2` and sends the rest there. Also says which route it was.
    async fn answer(&self, request: Request, access: &mut Access) -> (&'static str, Response) {
        let Request {
            mut head,
            body,
            peer,
            mut scheme,
        } = request;
        let uri = head.uri.clone();
        let Ok(path) = percent_decode_str(uri.path()).decode_utf8() else {
            let error = Error::Undecodable.render(&Asked::of(&head), access.id());
            return ("undecodable", error);
        };
        let first = versions::first_segment(&path);
        if first == "healthcheck" {
            access.is_probe = true;
            let has_lease = self.control.leases.is_held();
            let answer = self.settings.healthcheck.answer(&head, peer, has_lease);
            return (HEALTHCHECK, answer);
        }
        if self.settings.proxy_headers {
            access.forwarded_for = proxy::apply(&mut head, &mut scheme);
        }
        if first == "versions" {
            let document = versions::document(self, &head, &scheme, StatusCode::OK);
            return ("/versions", document);
        }
        // The filter for cross-origin requests, which Glance always has, answers these where nothing
        // else does.
        if head.method == Method::OPTIONS {
            return ("preflight", Response::new(Body::empty()));
        }
        if artifacts::serves(self, &path) {
            return artifacts::answer(self, head, body, scheme, &path, access).await;
        }
        let Some(path) = versions::negotiate(self, &head, &path) else {
            let document = versions::document(self, &head, &scheme, StatusCode::MULTIPLE_CHOICES);
            return ("/", document);
        };
        let asked = Asked::of(&head);
        let whole_path = format!("/v2{path}");
        let (caller, token) = match self.caller(&mut head, &whole_path, access).await {
            Ok(known) => known,
            Err(error) => return ("/v2", error.render(&asked, access.id())),
        };
        let call = Call::new(caller, token, head, body, scheme);
        let (route, result) = route::dispatch(self, ROUTES, call, path).await;
        let mut response = result.unwrap_or_else(|error| error.render(&asked, access.id()));
        if let Ok(value) = HeaderValue::from_str(access.id()) {
            // Another worker that was asked for the client has its own.
            response.headers_mut().entry(REQUEST_ID).or_insert(value);
        }
        (route, response)
    }

    /// Who asks, and with which token. It goes to no other service than the worker that has what is asked
    /// for. The client's own request id is looked at after the token.
    async fn caller(
        &self,
        head: &mut Parts,
        path: &str,
        access: &mut Access,
    ) -> Result<(Caller, Option<Secret>)> {
        let shown = identity::take(&mut head.headers);
        let presented = Presented {
            user_token: shown.user.as_ref().map(Secret::expose),
            service_token: shown.service.as_ref().map(Secret::expose),
            method: head.method.as_str(),
            path,
        };
        let id = access.id().to_owned();
        let caller = self.control.authenticate(presented, id).await?;
        access.user = caller.user.clone();
        let project = caller.project.as_ref();
        access.project = project.map(|project| project.as_str().to_owned());
        let limit = self.settings.max_request_id_length;
        match given_id(head).is_some_and(|id| limit > 0 && id.len() > limit) {
            true => Err(Error::RequestIdTooLong { limit }),
            false => Ok((caller, shown.user)),
        }
    }

    /// The client's, with the prefix it must have, or a new one. A request has it before anybody knows who
    /// sends it, so that the log can tell of those that are refused.
    fn request_id(&self, head: &Parts) -> String {
        let limit = self.settings.max_request_id_length;
        match given_id(head).filter(|id| limit == 0 || id.len() <= limit) {
            None => format!("req-{}", uuid::Uuid::new_v4()),
            Some(id) if id.starts_with("req-") => id.to_owned(),
            Some(id) => format!("req-{id}"),
        }
    }
}

fn given_id(head: &Parts) -> Option<&str> {
    let given = head.headers.get(&REQUEST_ID)?.to_str().ok();
    given.filter(|id| !id.is_empty())
}

#[async_trait]
impl Handler for Api {
    async fn handle(&self, request: Request) -> Response {
        let mut access = Access::of(&request);
        access.request_id = Some(self.request_id(&request.head));
        let method = request.head.method.clone();
        let cors = self.settings.cors.asked(&request.head);
        let (route, mut response) = self.answer(request, &mut access).await;
        if let Some(cors) = cors.filter(|_| route != HEALTHCHECK) {
            self.settings.cors.decorate(&cors, &mut response);
        }
        if method == Method::HEAD {
            // Nothing answers HEAD but errors, which Glance says have no length.
            *response.body_mut() = Body::empty();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        count(&method, route, &response, access.seconds());
        access.follow(&mut response);
        response
    }
}

fn count(method: &Method, route: &'static str, response: &Response, seconds: f64) {
    let labels: [(&str, Cow<'static, str>); 3] = [
        ("method", route::label(method).into()),
        ("route", route.into()),
        ("status", response.status().as_str().to_owned().into()),
    ];
    metrics::counter!("fresnel_http_requests_total", &labels).increment(1);
    metrics::histogram!("fresnel_http_request_seconds", &labels[..2]).record(seconds);
}
