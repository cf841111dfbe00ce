//! What lies in the containers that uploads go to, whoever put it there.
//!
//! The segments of an object lie beside it and are no entries of their own: a manifest says which they are.

use std::{ops::RangeInclusive, time::SystemTime};

use tokio::sync::mpsc;

use super::{Entry, Error, Intent, Result, Shared, Stat, address, delete::Segments, draft::Names};
use crate::{client::swift, model::ImageId};

/// Digits of a segment's number, ours and Glance's: at least five, and fewer than end an image's id.
const NUMBER_DIGITS: RangeInclusive<usize> = 5..=9;

/// A run of names that begin alike, as those of an object's segments do.
struct Run {
    prefix: String,
    /// Nothing is told of them: they are an object's, or have been told.
    is_told: bool,
}

/// Tells every object, and every attempt that has segments.
pub(super) async fn list(shared: &Shared, found: &mpsc::Sender<Entry>) -> Result<()> {
    for container in containers(shared).await? {
        match of_container(shared, &container, found).await {
            Ok(()) if found.is_closed() => break,
            Ok(()) => {}
            // The first upload makes it.
            Err(swift::Error::NotFound) if shared.config.create_container => {}
            Err(error) => return Err(shared.outcome(&container, error)),
        }
    }
    Ok(())
}

/// The containers of images. Their names are in memory at once.
async fn containers(shared: &Shared) -> Result<Vec<String>> {
    let config = &shared.config;
    if config.seed_digits == 0 {
        return Ok(vec![config.container.clone()]);
    }
    let prefix = format!("{}_", config.container);
    let (mut containers, mut marker) = (Vec::new(), String::new());
    loop {
        let page = shared.account().containers(&prefix, &marker).await;
        let page = page.map_err(|error| shared.outcome(&prefix, error))?;
        let Some(last) = page.last() else {
            return Ok(containers);
        };
        marker.clone_from(&last.name);
        let names = page.into_iter().map(|listed| listed.name);
        containers.extend(names.filter(|name| config.is_container(name)));
    }
}

async fn of_container(
    shared: &Shared,
    container: &str,
    found: &mpsc::Sender<Entry>,
) -> Result<(), swift::Error> {
    let (mut marker, mut run) = (String::new(), None::<Run>);
    loop {
        let page = shared.account().list(container, "", &marker).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        marker.clone_from(&last.name);
        for listed in page {
            let entry = told(shared, container, &listed.name, &mut run).await?;
            if let Some(entry) = entry
                && found.send(entry).await.is_err()
            {
                return Ok(());
            }
        }
    }
}

/// None for what is told with something else.
async fn told(
    shared: &Shared,
    container: &str,
    name: &str,
    run: &mut Option<Run>,
) -> Result<Option<Entry>, swift::Error> {
    let reference = &shared.config.default.name;
    let object = || Some(Entry::Object(address::write(reference, container, name)));
    let Some((prefix, image)) = segment(name) else {
        return Ok(object());
    };
    let draft = draft_of(container, prefix);
    if let Some(run) = run.as_ref().filter(|run| run.prefix == prefix) {
        return Ok(object().filter(|_| !run.is_told));
    }
    let image = draft.as_ref().map_or(image, |draft| draft.image.as_str());
    let is_told = is_manifest_of(shared, container, image, prefix).await?;
    *run = Some(Run {
        prefix: prefix.to_owned(),
        is_told: is_told || draft.is_some(),
    });
    Ok(match (is_told, draft) {
        (true, _) => None,
        (false, Some(draft)) => Some(Entry::Draft(draft)),
        (false, None) => object(),
    })
}

/// Whether the object is a manifest of what begins so.
async fn is_manifest_of(
    shared: &Shared,
    container: &str,
    object: &str,
    prefix: &str,
) -> Result<bool, swift::Error> {
    let segments = format!("{container}/{prefix}");
    match shared.account().head(container, object).await {
        Ok(head) => Ok(head.manifest == Some(segments)),
        Err(swift::Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the names of an object's segments begin with, and what that is without its dash, if the name looks
/// like that of one.
fn segment(name: &str) -> Option<(&str, &str)> {
    let (object, number) = name.rsplit_once('-')?;
    let is_number =
        NUMBER_DIGITS.contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| (&name[..=object.len()], object))
}

/// The attempt whose segments begin so.
fn draft_of(container: &str, prefix: &str) -> Option<Intent> {
    let (image, attempt) = prefix.strip_suffix('-')?.rsplit_once('.')?;
    let (image, attempt) = (ImageId::new(image), attempt.parse().ok()?);
    let names = Names::new(container.to_owned(), &image, attempt).ok()?;
    (names.prefix == prefix).then(|| Intent::new(image, attempt, names.segments()))
}

/// Of an object the manifest's time, of an attempt that of its last segment.
pub(super) async fn stat(shared: &Shared, entry: &Entry) -> Result<Stat> {
    match entry {
        Entry::Object(url) => of_object(shared, url).await,
        Entry::Draft(intent) => {
            let names = Names::of(intent)?;
            let segments = Segments::find(shared, shared.account(), &names).await?;
            match segments.names.is_empty() {
                true => Err(Error::NotFound(names.segments())),
                false => Ok(Stat {
                    size_bytes: segments.size_bytes,
                    modified: segments.modified.map(SystemTime::from),
                }),
            }
        }
    }
}

async fn of_object(shared: &Shared, url: &str) -> Result<Stat> {
    // Whatever was told has a name, also what could be no image's.
    let told = address::write(&shared.config.default.name, "", "");
    let told = url.strip_prefix(told.trim_end_matches('/'));
    let told = told.and_then(|path| path.strip_prefix('/')?.split_once('/'));
    let head = match told {
        Some((container, object)) => shared.account().head(container, object).await,
        None => {
            let address = shared.address(url)?;
            let account = shared.account_of(&address);
            account.head(&address.container, &address.object).await
        }
    };
    let head = head.map_err(|error| shared.outcome(url, error))?;
    let no_length = || shared.backend_error("an object has no length");
    Ok(Stat {
        size_bytes: head.size_bytes.ok_or_else(no_length)?,
        modified: head.modified.map(SystemTime::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attempt;

    #[test]
    fn segments_are_told_from_objects() {
        let attempt = Attempt::random();
        let id = "5f3c9d1e-0000-4000-8000-000000000000";
        let ours = format!("{id}.{attempt}-");
        assert_eq!(segment(&format!("{ours}00001")).unwrap().0, ours);
        assert_eq!(
            segment(&format!("{id}-00012")).unwrap(),
            (&*format!("{id}-"), id)
        );
        for object in [id, "x-1", "x", "-", ""] {
            assert_eq!(segment(object), None, "{object}");
        }
        let draft = draft_of("images", &ours).unwrap();
        assert_eq!((draft.image.as_str(), draft.attempt), (id, attempt));
        assert_eq!(draft.object, format!("images/{ours}"));
        assert_eq!(draft_of("images", &format!("{id}-")), None);
    }
}
