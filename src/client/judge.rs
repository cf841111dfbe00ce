//! Another service that decides (oslo.policy's `http:` and `https:` checks).

use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::transport;

/// Bytes of an answer; `True` with quotes needs six.
const ANSWER_LIMIT_BYTES: usize = 64;

/// How it is asked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How connections are made.
    pub transport: transport::Config,
    /// Send JSON instead of a form whose fields are JSON.
    pub json: bool,
}

/// Asks.
#[derive(Clone, Debug)]
pub struct Judge {
    client: Client,
    json: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer: {0}")]
pub struct Error(#[from] reqwest::Error);

impl Judge {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Self, transport::Error> {
        Ok(Self {
            client: transport::client(&config.transport)?,
            json: config.json,
        })
    }

    /// Whether the service at `url` answers `True`, whatever its status.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn allows(
        &self,
        url: &str,
        rule: &str,
        target: &Value,
        credentials: &Value,
    ) -> Result<bool, Error> {
        let request = self.client.post(url);
        let request = if self.json {
            request.json(&json!({"rule": rule, "target": target, "credentials": credentials}))
        } else {
            let mut form = Serializer::new(String::new());
            form.append_pair("rule", &json!(rule).to_string())
                .append_pair("target", &target.to_string())
                .append_pair("credentials", &credentials.to_string());
            request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.finish())
        };
        let send = async {
            let mut response = request.send().await?;
            let mut answer = Vec::new();
            while let Some(bytes) = response.chunk().await? {
                answer.extend_from_slice(&bytes);
                if answer.len() > ANSWER_LIMIT_BYTES {
                    return Ok(false);
                }
            }
            let answer = String::from_utf8_lossy(&answer);
            Ok(answer.trim_matches('"') == "True")
        };
        // The address may have what nobody should read in a log.
        send.await
            .map_err(|error: reqwest::Error| Error(error.without_url()))
    }
}
