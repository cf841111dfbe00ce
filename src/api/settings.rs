//! What the operator decides about the API itself: plain data, built by the configuration.

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
    /// The most bytes of a JSON body.
    pub json_body_limit_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_endpoint: None,
            max_request_id_length: 64,
            limit_param_default: 25,
            api_limit_max: 1000,
            image_schema_json: None,
            // An image may have 128 properties of 64 KiB each in Glance's columns; no client
            // comes near.
            json_body_limit_bytes: 1024 * 1024,
        }
    }
}
