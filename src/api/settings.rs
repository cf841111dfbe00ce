//! What the operator decides about the API itself: plain data, built by the configuration.

use super::{
    cors::Cors,
    healthcheck::{Check, Healthcheck},
};
use crate::base::limits::{KIB, MIB};

/// Glance's options of the same names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `public_endpoint`: stands in the versions document instead of the request's own address.
    pub public_endpoint: Option<String>,
    /// `max_request_id_length`, in bytes; 0 is no limit.
    pub max_request_id_length: usize,
    /// `limit_param_default`: images in a list that names no limit.
    pub limit_param_default: u64,
    /// `api_limit_max`: images in a list, whatever it names.
    pub api_limit_max: u64,
    /// The text of the operator's `schema-image.json`; none stands for the stock file.
    pub image_schema_json: Option<String>,
    /// What browsers on pages of other origins may do.
    pub cors: Cors,
    /// `enable_proxy_headers_parsing`: a proxy's word counts for scheme, host and prefix.
    pub proxy_headers: bool,
    /// What `/healthcheck` looks at.
    pub healthcheck: Healthcheck,
    /// The most bytes of a JSON body.
    pub json_body_limit_bytes: usize,
    /// The same of one that its task keeps.
    pub task_body_limit_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_endpoint: None,
            max_request_id_length: 64,
            limit_param_default: 25,
            api_limit_max: 1000,
            image_schema_json: None,
            cors: Cors::default(),
            proxy_headers: false,
            healthcheck: Healthcheck {
                checks: vec![Check::DisableByFile { path: None }],
                ..Healthcheck::default()
            },
            // An image may have 128 properties of 64 KiB each in Glance's columns; no client
            // comes near.
            json_body_limit_bytes: MIB,
            // With what is added to it, the 64 KiB of MySQL's TEXT.
            task_body_limit_bytes: 60 * KIB,
        }
    }
}
