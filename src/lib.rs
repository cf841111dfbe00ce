//! Fresnel: a streaming image service that speaks the OpenStack Images API v2.
//!
//! Two planes and one handshake. **Control decides before the first byte; data moves bytes with
//! no decision of its own; control records after the last byte.**
//!
//! ```text
//! PUT /v2/images/{id}/file
//!   api        parse                                         render 204 / 409 / 413 / 503
//!   control    policy, quota, queued->saving  => WritePlan        Receipt => saving->active
//!   data         ingest: Source -> inspect -> digest -> store::Writer(s)
//! GET /v2/images/{id}/file
//!   api        parse Range                                   render 200 / 206 / 404 / 416
//!   control    policy, pick a location        => ReadPlan
//!   data         serve: store::Reader -> Sink
//! ```
//!
//! Which module may name which others is a table in `tests/tidy.rs`. "Reference A.5.1" in a comment is that part of
//! `docs/GLANCE.md`.

#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod base;
pub mod buf;
pub mod cache;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod data;
pub mod gateway;
pub mod http;
pub mod model;
pub mod store;
