//! Block storage (Cinder), version 3 with microversion 3.54, which Glance's store speaks: volumes, what is done to
//! them, and attachments. Knows no image.
//!
//! A request that got no answer is repeated where it may be made twice: what makes something may only when nobody was
//! found to make it. A token that is refused is renewed, once a request.

mod answer;

use std::{collections::BTreeMap, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    keystone::{self, Access, Session},
    transport,
};

pub use answer::{Attached, Attachment, Page, Volume};

/// The first with attachments that are completed (3.44) and have a mode (3.54).
const MICROVERSION: &str = "volume 3.54";
/// Before the first repetition; doubled for each next one.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Volumes of a page of a listing, as many as Cinder gives (`osapi_max_limit`).
const PAGE_VOLUMES: usize = 1000;

/// What Cinder notes on a volume, by keys.
pub type Metadata = BTreeMap<String, String>;

/// How Cinder is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who we are.
    pub keystone: keystone::Config,
    /// Its address, `%(tenant)s` or `%(project_id)s` in it standing for our project; none asks the catalog.
    pub endpoint: Option<String>,
    /// Its type in the catalog.
    pub service_type: String,
    /// The region of its endpoint; none takes the first.
    pub region: Option<String>,
    /// The interface of its endpoint: `public`, ...
    pub interface: String,
    /// Repetitions of a request that got no answer.
    pub retries: u32,
    /// TLS and time limits.
    pub transport: transport::Config,
}

/// Why a request failed. The texts are Cinder's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such volume or attachment.
    #[error("there is nothing")]
    NotFound,
    /// It makes no sense, or not as things are now.
    #[error("Cinder refuses: {0}")]
    Refused(String),
    /// We may not, or are not who we say.
    #[error("access is denied: {0}")]
    Denied(String),
    /// A quota is reached.
    #[error("there is no room: {0}")]
    Full(String),
    /// No answer, or one that says to come again.
    #[error("Cinder does not answer: {0}")]
    Unavailable(String),
    /// An answer that says nothing of these.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

/// A volume that is to be made.
#[derive(Clone, Debug)]
pub struct NewVolume<'a> {
    /// Its name, which others may have too.
    pub name: &'a str,
    /// GiB.
    pub size_gib: u64,
    /// Its type by name; none is Cinder's default.
    pub volume_type: Option<&'a str>,
    /// What is noted on it.
    pub metadata: &'a Metadata,
}

/// What an attachment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `ro`
    Read,
    /// `rw`
    Write,
}

/// The volumes of our project.
#[derive(Debug)]
pub struct Cinder {
    client: Client,
    session: Session,
    config: Config,
}

impl Cinder {
    /// Asks nothing yet: Cinder may come later than we do.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn new(config: Config) -> Result<Self, transport::Error> {
        Ok(Self {
            client: transport::client(&config.transport)?,
            session: Session::new(config.keystone.clone())?,
            config,
        })
    }

    /// Where it is asked.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn address(&self) -> Result<String, Error> {
        self.address_for(&self.access(None).await?)
    }

    /// Whether there is a type of volume of that name that we see.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn has_type(&self, name: &str) -> Result<bool, Error> {
        let types = self.get("/types?is_public=None").await?;
        let types = types["volume_types"].as_array();
        let types = types.ok_or_else(|| unexpected("a list of types that is none"))?;
        Ok(types.iter().any(|known| known["name"] == name))
    }

    /// A volume as it is now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn volume(&self, id: &str) -> Result<Volume, Error> {
        Volume::of(&self.get(&format!("/volumes/{id}")).await?["volume"])
    }

    /// A page of the volumes of our project: those after the one with the id `after`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn volumes(&self, after: Option<&str>) -> Result<Page, Error> {
        self.page(None, after).await
    }

    /// All volumes of our project that have a name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn named(&self, name: &str) -> Result<Vec<Volume>, Error> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(Some(name), after.as_deref()).await?;
            after = page.next;
            // Whether names can be looked for is the operator's to say (`resource_filters.json`).
            found.extend(page.volumes.into_iter().filter(|v| v.name == name));
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn page(&self, name: Option<&str>, after: Option<&str>) -> Result<Page, Error> {
        let mut query = format!("limit={PAGE_VOLUMES}&sort=id:asc");
        for (key, value) in [("name", name), ("marker", after)] {
            if let Some(value) = value {
                query += &format!("&{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
            }
        }
        Page::of(&self.get(&format!("/volumes/detail?{query}")).await?)
    }

    /// Begins to make a volume.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create(&self, volume: &NewVolume<'_>) -> Result<Volume, Error> {
        let mut about = json!({
            "name": volume.name,
            "size": volume.size_gib,
            "metadata": volume.metadata,
        });
        if let Some(name) = volume.volume_type {
            about["volume_type"] = name.into();
        }
        let body = json!({"volume": about});
        let made = self.send(Method::POST, "/volumes", Some(&body)).await?;
        Volume::of(&made["volume"])
    }

    /// Gives a volume a name, and what is noted on it in place of what was.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn describe(&self, id: &str, name: &str, metadata: &Metadata) -> Result<(), Error> {
        let body = json!({"volume": {"name": name, "metadata": metadata}});
        let path = format!("/volumes/{id}");
        self.send(Method::PUT, &path, Some(&body)).await.map(drop)
    }

    /// Begins to remove a volume.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let path = format!("/volumes/{id}");
        self.send(Method::DELETE, &path, None).await.map(drop)
    }

    /// Begins to make a volume larger.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn extend(&self, id: &str, size_gib: u64) -> Result<(), Error> {
        let body = json!({"os-extend": {"new_size": size_gib}});
        self.act(&format!("/volumes/{id}/action"), &body).await
    }

    /// Has Cinder let nobody write to a volume any more.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_read_only(&self, id: &str) -> Result<(), Error> {
        let body = json!({"os-update_readonly_flag": {"readonly": true}});
        self.act(&format!("/volumes/{id}/action"), &body).await
    }

    /// Reserves a volume; returns the attachment's id.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Refused`] also where somebody else has it.
    pub async fn reserve(&self, volume: &str, mode: Mode) -> Result<String, Error> {
        let mode = match mode {
            Mode::Read => "ro",
            Mode::Write => "rw",
        };
        let about = json!({"volume_uuid": volume, "connector": null, "mode": mode});
        let body = json!({"attachment": about});
        let made = self.send(Method::POST, "/attachments", Some(&body)).await?;
        let id = made["attachment"]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| unexpected("an attachment without an id"))
    }

    /// Has a reserved volume exported to whom `connector` tells of; returns `connection_info`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn connect(&self, attachment: &str, connector: &Value) -> Result<Value, Error> {
        let body = json!({"attachment": {"connector": connector}});
        let path = format!("/attachments/{attachment}");
        let made = self.send(Method::PUT, &path, Some(&body)).await?;
        Ok(made["attachment"]["connection_info"].clone())
    }

    /// The attachments of a volume, also those that are only reserved.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn attachments(&self, volume: &str) -> Result<Vec<Attachment>, Error> {
        let path = format!("/attachments/detail?volume_id={volume}");
        let found = self.get(&path).await?;
        let found = found["attachments"].as_array();
        let found = found.ok_or_else(|| unexpected("a list of attachments that is none"))?;
        let found = found.iter().filter(|about| about["volume_id"] == volume);
        found.map(Attachment::of).collect()
    }

    /// Tells that an attachment is in use from now on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn complete(&self, attachment: &str) -> Result<(), Error> {
        let body = json!({"os-complete": null});
        self.act(&format!("/attachments/{attachment}/action"), &body)
            .await
    }

    /// Ends an attachment. One that is over already is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn detach(&self, attachment: &str) -> Result<(), Error> {
        let path = format!("/attachments/{attachment}");
        match self.send(Method::DELETE, &path, None).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, Error> {
        self.send(Method::GET, path, None).await
    }

    async fn act(&self, path: &str, body: &Value) -> Result<(), Error> {
        self.send(Method::POST, path, Some(body)).await.map(drop)
    }

    /// Sends a request until it is answered; an answer without a body is null.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let mut access = self.access(None).await?;
        let (mut pause, mut retries, mut renewed) = (RETRY_AFTER, 0, false);
        loop {
            let url = format!("{}{path}", self.address_for(&access)?);
            let request = self.client.request(method.clone(), url);
            let request = request.header("openstack-api-version", MICROVERSION);
            let mut request = request.header("x-auth-token", access.token().expose());
            if let Some(body) = body {
                request = request.json(body);
            }
            let (failed, again) = match request.send().await {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    access = self.access(Some(&access)).await?;
                    continue;
                }
                Ok(answer) => match answer::read(answer).await {
                    Err(error @ Error::Unavailable(_)) => (error, method != Method::POST),
                    read => return read,
                },
                Err(error) => (
                    Error::Unavailable(transport::cause(&error)),
                    method != Method::POST || error.is_connect(),
                ),
            };
            if !again || retries == self.config.retries {
                return Err(failed);
            }
            tracing::debug!(%method, path, error = %failed, "Cinder is asked again");
            retries += 1;
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn access(&self, refused: Option<&Access>) -> Result<Access, Error> {
        let access = self.session.access(refused).await;
        access.map_err(|error| Error::Unavailable(error.to_string()))
    }

    fn address_for(&self, access: &Access) -> Result<String, Error> {
        let config = &self.config;
        if let Some(template) = &config.endpoint {
            return Ok(filled(template, access.project()));
        }
        let interfaces = std::slice::from_ref(&config.interface);
        let found = access.endpoint(&config.service_type, config.region.as_deref(), interfaces);
        found.ok_or_else(|| unexpected(&format!("the catalog has no {}", config.service_type)))
    }
}

/// An address with our project in its place.
fn filled(template: &str, project: &str) -> String {
    let names = ["tenant", "project_id", "tenant_id"].map(|name| format!("%({name})s"));
    let filled = names.iter().fold(template.to_owned(), |address, name| {
        address.replace(name, project)
    });
    filled.trim_end_matches('/').to_owned()
}

fn unexpected(text: &str) -> Error {
    Error::Unexpected(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_our_project_in_its_place() {
        let expected = "http://cinder:8776/v3/p1";
        for name in ["tenant", "project_id"] {
            let template = format!("http://cinder:8776/v3/%({name})s/");
            assert_eq!(filled(&template, "p1"), expected);
        }
        assert_eq!(filled("http://cinder/v3", "p1"), "http://cinder/v3");
    }
}
