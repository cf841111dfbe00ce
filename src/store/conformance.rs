//! The contract of [`Store`], as claims that every store passes: run [`all`] in a test, and [`reads`]
//! on a store that takes no uploads.
//!
//! A claim says what it expects by panicking when it does not hold. It works on images of its own,
//! so that the suite may run on a store with other objects in it.

use std::{os::unix::fs::FileExt, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Entry, Error, Intent, Piece, Published, Result, Store, Writer};
use crate::{
    base::limits::{CHUNK_BYTES, MIB},
    buf::{AtRest, Chunk, Claim, Pool},
    model::{Attempt, ByteRange, ImageId},
};

/// Bytes of the object that ranges are read of.
const RANGES_BYTES: usize = 9 * MIB + 13;
/// How often a store is listed until the list is as it should be.
const LISTS_MAX: u32 = 50;
const LIST_PAUSE: Duration = Duration::from_millis(100);

/// Every claim, one after the other.
pub async fn all(store: &dyn Store) {
    what_is_written_is_read(store).await;
    zeroes_are_bytes_too(store).await;
    a_size_is_a_hint(store).await;
    pieces_of_any_length_add_up(store).await;
    ranges_are_exact(store).await;
    a_range_past_the_end_is_damage(store).await;
    nothing_is_visible_before_commit(store).await;
    abort_leaves_nothing(store).await;
    a_dropped_writer_leaves_what_discard_finds(store).await;
    commit_refuses_to_replace(store).await;
    of_two_attempts_one_publishes(store).await;
    discard_fences_a_living_writer(store).await;
    discard_takes_back_what_was_published(store).await;
    discard_leaves_what_is_not_the_attempts(store).await;
    discard_of_nothing_is_success(store).await;
    a_writer_is_opened_once(store).await;
    deleted_is_gone(store).await;
    writers_do_not_mix(store).await;
    foreign_addresses_are_refused(store).await;
    what_lies_there_is_listed(store).await;
}

/// Every claim about reading, on a store that only reads. `put` makes an object with these bytes,
/// however that is done, and returns its address.
pub async fn reads(store: &dyn Store, put: impl Fn(&[u8]) -> String) {
    for len in [1, 4097, CHUNK_BYTES, 9 * MIB + 1234] {
        let content = content(len);
        let url = put(&content);
        assert!(store.owns(&url), "{url} is ours");
        assert_eq!(size(store, &url).await, len as u64);
        assert!(get(store, &url, len).await == content, "{len} B");
    }
    let large = content(RANGES_BYTES);
    assert_ranges_are_exact(store, &put(&large), &large).await;
    let small = content(1000);
    let url = put(&small);
    assert_past_the_end_is_damage(store, &url).await;
    assert_gone(store, &format!("{url}-not-there")).await;
    assert_takes_no_uploads(store, &url).await;
    for url in [
        "",
        "nonsense",
        "gopher://host/object",
        "http://",
        "http:///etc/passwd",
    ] {
        assert_foreign(store, url).await;
    }
}

async fn assert_takes_no_uploads(store: &dyn Store, url: &str) {
    let image = ImageId::random();
    let intended = store.intend(&image, Attempt::random(), None).await;
    assert!(matches!(intended, Err(Error::ReadOnly(_))), "{intended:?}");
    let deleted = store.delete(url).await;
    assert!(matches!(deleted, Err(Error::ReadOnly(_))), "{deleted:?}");
    assert!(!store.in_use(url).await.expect("nothing holds it"));
}

async fn what_is_written_is_read(store: &dyn Store) {
    for len in [
        0,
        1,
        4095,
        4096,
        4097,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        9 * MIB + 4096,
        9 * MIB + 1234,
    ] {
        let (image, content) = (ImageId::random(), content(len));
        let published = put(store, &image, &content, Some(len as u64)).await;
        let published = published.expect("a new image is written");
        assert_eq!(published.size_bytes, len as u64);
        assert!(store.owns(&published.url), "{} is ours", published.url);
        assert_eq!(size(store, &published.url).await, len as u64);
        assert!(get(store, &published.url, len).await == content, "{len} B");
        remove(store, &published.url).await;
    }
}

/// A store that leaves holes for zeroes leaves them in the right places, and at the end.
async fn zeroes_are_bytes_too(store: &dyn Store) {
    let mut bytes = content(6 * MIB + 100);
    bytes[MIB + 1..3 * MIB].fill(0);
    bytes[5 * MIB..].fill(0);
    for content in [bytes, vec![0; 3 * MIB + 5]] {
        let published = put(store, &ImageId::random(), &content, None).await;
        let url = published.expect("a new image is written").url;
        assert!(get(store, &url, content.len()).await == content);
        remove(store, &url).await;
    }
}

async fn a_size_is_a_hint(store: &dyn Store) {
    let content = content(2 * MIB + 77);
    for hint in [
        None,
        Some(0),
        Some(5),
        Some(MIB as u64),
        Some(7 * MIB as u64),
    ] {
        let published = put(store, &ImageId::random(), &content, hint).await;
        let published = published.expect("a hint binds nobody");
        assert_eq!(published.size_bytes, content.len() as u64);
        assert_eq!(size(store, &published.url).await, content.len() as u64);
        assert!(get(store, &published.url, content.len()).await == content);
        remove(store, &published.url).await;
    }
}

/// A slow sender's chunks are shorter, and what follows them lies askew.
async fn pieces_of_any_length_add_up(store: &dyn Store) {
    let content = content(4 * MIB + 321);
    let mut at = 0;
    let (_, mut writer) = begin(store, &ImageId::random(), None).await;
    for len in [1, 4096, 5000, MIB, 0, MIB - 1, 4096, MIB, usize::MAX] {
        let end = at + len.min(content.len() - at).min(CHUNK_BYTES);
        let chunk = Bytes::copy_from_slice(&content[at..end]);
        let written = writer.write(Chunk::new(chunk)).await;
        written.expect("a chunk of any length is written");
        at = end;
    }
    let published = writer.commit().await.expect("it is published");
    assert!(get(store, &published.url, at).await == content[..at]);
    remove(store, &published.url).await;
}

async fn ranges_are_exact(store: &dyn Store) {
    let content = content(RANGES_BYTES);
    let published = put(store, &ImageId::random(), &content, None).await;
    let url = published.expect("a new image is written").url;
    assert_ranges_are_exact(store, &url, &content).await;
    remove(store, &url).await;
}

async fn assert_ranges_are_exact(store: &dyn Store, url: &str, content: &[u8]) {
    for (offset, len) in [
        (0, 0),
        (0, 1),
        (1, 4096),
        (4095, 2),
        (MIB - 1, 2),
        (3, 4 * MIB),
        (4 * MIB - 7, MIB + 9),
        (9 * MIB, 13),
        (9 * MIB + 13, 0),
        (5, 9 * MIB + 8),
    ] {
        let range = ByteRange {
            offset: offset as u64,
            len: len as u64,
        };
        let read = read(store, url, range).await.expect("a range is read");
        assert!(read == content[offset..offset + len], "{range:?}");
    }
}

async fn a_range_past_the_end_is_damage(store: &dyn Store) {
    let published = put(store, &ImageId::random(), &content(1000), None).await;
    let url = published.expect("a new image is written").url;
    assert_past_the_end_is_damage(store, &url).await;
    remove(store, &url).await;
}

async fn assert_past_the_end_is_damage(store: &dyn Store, url: &str) {
    let range = ByteRange {
        offset: 10,
        len: 991,
    };
    let error = read(store, url, range).await;
    assert!(matches!(error, Err(Error::Corrupt(_))), "{error:?}");
}

async fn nothing_is_visible_before_commit(store: &dyn Store) {
    let image = ImageId::random();
    let url = url_of(store, &image).await;
    let (_, mut writer) = begin(store, &image, None).await;
    write(&mut *writer, &content(3 * MIB))
        .await
        .expect("written");
    assert_gone(store, &url).await;
    writer.abort().await.expect("aborted");
}

async fn abort_leaves_nothing(store: &dyn Store) {
    let image = ImageId::random();
    let url = url_of(store, &image).await;
    let (_, mut writer) = begin(store, &image, Some(MIB as u64)).await;
    write(&mut *writer, &content(3 * MIB))
        .await
        .expect("written");
    writer.abort().await.expect("aborted");
    assert_gone(store, &url).await;
    assert_free(store, &image).await;
}

async fn a_dropped_writer_leaves_what_discard_finds(store: &dyn Store) {
    let image = ImageId::random();
    let url = url_of(store, &image).await;
    let (intent, mut writer) = begin(store, &image, None).await;
    write(&mut *writer, &content(3 * MIB))
        .await
        .expect("written");
    drop(writer);
    assert_gone(store, &url).await;
    store.discard(&intent).await.expect("discarded");
    assert_gone(store, &url).await;
    assert_free(store, &image).await;
}

async fn commit_refuses_to_replace(store: &dyn Store) {
    let image = ImageId::random();
    let (_, late) = begin(store, &image, None).await;
    let first = put(store, &image, b"first", None).await.expect("published");
    let error = late.commit().await;
    assert!(matches!(error, Err(Error::AlreadyExists(_))), "{error:?}");
    let error = put(store, &image, b"again", None).await;
    assert!(matches!(error, Err(Error::AlreadyExists(_))), "{error:?}");
    assert_eq!(get(store, &first.url, 5).await, b"first");
    remove(store, &first.url).await;
}

async fn of_two_attempts_one_publishes(store: &dyn Store) {
    let image = ImageId::random();
    let (_, mut one) = begin(store, &image, None).await;
    let (_, mut two) = begin(store, &image, None).await;
    let (first, second) = (content(2 * MIB + 1), content(MIB + 2));
    write(&mut *one, &first).await.expect("written");
    write(&mut *two, &second).await.expect("written");
    let (published, content) = match tokio::join!(one.commit(), two.commit()) {
        (Ok(published), Err(Error::AlreadyExists(_))) => (published, first),
        (Err(Error::AlreadyExists(_)), Ok(published)) => (published, second),
        both => panic!("one of two is to be published: {both:?}"),
    };
    assert!(get(store, &published.url, content.len()).await == content);
    remove(store, &published.url).await;
}

async fn discard_fences_a_living_writer(store: &dyn Store) {
    let image = ImageId::random();
    let url = url_of(store, &image).await;
    let (intent, mut writer) = begin(store, &image, None).await;
    write(&mut *writer, &content(MIB)).await.expect("written");
    store.discard(&intent).await.expect("discarded");
    // It may hear of it at once, or only at its end.
    let _ = write(&mut *writer, &content(MIB)).await;
    writer
        .commit()
        .await
        .expect_err("a fenced writer publishes nothing");
    assert_gone(store, &url).await;
    assert_free(store, &image).await;
}

async fn discard_takes_back_what_was_published(store: &dyn Store) {
    let image = ImageId::random();
    let (intent, mut writer) = begin(store, &image, None).await;
    write(&mut *writer, b"published, but not recorded")
        .await
        .expect("written");
    let published = writer.commit().await.expect("published");
    for _ in 0..2 {
        store.discard(&intent).await.expect("discarded");
        assert_gone(store, &published.url).await;
    }
    assert_free(store, &image).await;
}

async fn discard_leaves_what_is_not_the_attempts(store: &dyn Store) {
    let image = ImageId::random();
    let (loser, late) = begin(store, &image, None).await;
    let winner = put(store, &image, b"winner", None)
        .await
        .expect("published");
    late.commit().await.expect_err("the name is taken");
    store.discard(&loser).await.expect("discarded");
    assert_eq!(get(store, &winner.url, 6).await, b"winner");
    remove(store, &winner.url).await;
}

async fn discard_of_nothing_is_success(store: &dyn Store) {
    let image = ImageId::random();
    let intent = intend(store, &image, None).await;
    store.discard(&intent).await.expect("nothing to discard");
    store.discard(&intent).await.expect("nothing to discard");
}

async fn a_writer_is_opened_once(store: &dyn Store) {
    let image = ImageId::random();
    let (intent, writer) = begin(store, &image, None).await;
    let error = store.writer(&intent, None).await.err();
    assert!(matches!(error, Some(Error::AlreadyExists(_))), "{error:?}");
    writer.abort().await.expect("aborted");
}

async fn deleted_is_gone(store: &dyn Store) {
    let image = ImageId::random();
    let published = put(store, &image, b"short-lived", None).await;
    let url = published.expect("published").url;
    store.delete(&url).await.expect("deleted");
    assert_gone(store, &url).await;
    let error = store.delete(&url).await;
    assert!(matches!(error, Err(Error::NotFound(_))), "{error:?}");
    assert_free(store, &image).await;
}

async fn writers_do_not_mix(store: &dyn Store) {
    let images: Vec<(ImageId, Vec<u8>)> = (0..5)
        .map(|n| (ImageId::random(), content(MIB + 1000 * n)))
        .collect();
    let writes = images
        .iter()
        .map(|(image, content)| put(store, image, content, None));
    for (published, (_, content)) in futures_util::future::join_all(writes)
        .await
        .into_iter()
        .zip(&images)
    {
        let url = published.expect("published").url;
        assert!(get(store, &url, content.len()).await == *content);
        remove(store, &url).await;
    }
}

async fn foreign_addresses_are_refused(store: &dyn Store) {
    let own = url_of(store, &ImageId::random()).await;
    let scheme = own.split("://").next().expect("an address has a scheme");
    for url in [
        "".to_owned(),
        "nonsense".to_owned(),
        "gopher://host/object".to_owned(),
        format!("{scheme}:///etc/passwd"),
        format!("{own}/../../../../../../etc/passwd"),
    ] {
        assert_foreign(store, &url).await;
    }
}

async fn assert_foreign(store: &dyn Store, url: &str) {
    assert!(!store.owns(url), "{url}");
    let size = store.size(url).await;
    assert!(matches!(size, Err(Error::BadAddress(_))), "{url}: {size:?}");
    let deleted = store.delete(url).await;
    assert!(matches!(deleted, Err(Error::BadAddress(_))), "{url}");
    let read = read(store, url, ByteRange::whole(0)).await;
    assert!(matches!(read, Err(Error::BadAddress(_))), "{url}: {read:?}");
}

/// A draft, then what it is published as; and what is listed can be removed by what the list says. Or the
/// store says that it cannot list.
async fn what_lies_there_is_listed(store: &dyn Store) {
    let image = ImageId::random();
    let (intent, writer) = begin_listed(store, &image).await;
    if list(store).await.is_none() {
        writer.abort().await.expect("it is aborted");
        return;
    }
    let has_draft = |listed: &[Entry]| draft_of(&image, listed).is_some();
    let listed = listed_until(store, has_draft).await;
    let draft = draft_of(&image, &listed).expect("a draft is listed");
    let object = writer.object().unwrap_or(&intent.object);
    assert_eq!(draft.object, object, "as the journal has it");
    assert!([intent.attempt, Attempt::UNKNOWN].contains(&draft.attempt));
    let entry = Entry::Draft(draft.clone());
    store.stat(&entry).await.expect("a draft is looked at");
    let url = writer.commit().await.expect("it is published").url;
    let object = Entry::Object(url.clone());
    let listed = listed_until(store, |listed| listed.contains(&object)).await;
    assert!(!has_draft(&listed), "what is published is no draft");
    let stat = store.stat(&object).await.expect("what is listed is there");
    assert_eq!(stat.size_bytes, 6);
    remove(store, &url).await;
    let gone = store.stat(&object).await;
    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    listed_until(store, |listed| !listed.contains(&object)).await;
    let (_, writer) = begin_listed(store, &image).await;
    let listed = listed_until(store, has_draft).await;
    drop(writer);
    let draft = draft_of(&image, &listed).expect("a draft is listed");
    let discarded = store.discard(draft).await;
    discarded.expect("what a list says is enough to remove a draft");
    listed_until(store, |listed| !has_draft(listed)).await;
}

/// A draft that has six bytes, as far as the store lets it have so few.
async fn begin_listed(store: &dyn Store, image: &ImageId) -> (Intent, Box<dyn Writer>) {
    let (intent, mut writer) = begin(store, image, None).await;
    write(&mut *writer, b"listed").await.expect("it is written");
    writer.spill().await.expect("it is handed on");
    (intent, writer)
}

fn draft_of<'a>(image: &ImageId, listed: &'a [Entry]) -> Option<&'a Intent> {
    listed.iter().find_map(|entry| match entry {
        Entry::Draft(draft) if draft.image == *image => Some(draft),
        Entry::Draft(_) | Entry::Object(_) => None,
    })
}

/// A list may be a little late.
async fn listed_until(store: &dyn Store, is_so: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
    for _ in 0..LISTS_MAX {
        let listed = list(store).await.expect("it was listed before");
        if is_so(&listed) {
            return listed;
        }
        tokio::time::sleep(LIST_PAUSE).await;
    }
    panic!("the list does not come to be what the store is");
}

/// None where the store cannot.
async fn list(store: &dyn Store) -> Option<Vec<Entry>> {
    let (found, mut listed) = mpsc::channel(1);
    let collect = async {
        let mut entries = Vec::new();
        while let Some(entry) = listed.recv().await {
            entries.push(entry);
        }
        entries
    };
    match tokio::join!(store.list(found), collect) {
        (Ok(()), entries) => Some(entries),
        (Err(Error::Unlistable(_)), _) => None,
        (Err(error), _) => panic!("the store is listed: {error}"),
    }
}

/// Bytes without a period that a store could trip over unseen.
fn content(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn claim(store: &dyn Store) -> Claim {
    let pool = Pool::new(8 * MIB, std::slice::from_ref(store.id()));
    pool.claim(store.id(), Duration::MAX)
}

async fn intend(store: &dyn Store, image: &ImageId, size: Option<u64>) -> Intent {
    let intent = store.intend(image, Attempt::random(), size).await;
    intent.expect("a new attempt has a place")
}

async fn begin(store: &dyn Store, image: &ImageId, size: Option<u64>) -> (Intent, Box<dyn Writer>) {
    let intent = intend(store, image, size).await;
    let writer = store.writer(&intent, size).await;
    (intent, writer.expect("a new attempt has a writer"))
}

/// In pooled chunks, as the data plane does it.
async fn write(writer: &mut dyn Writer, mut content: &[u8]) -> Result<()> {
    let store = crate::model::StoreId::new("conformance");
    let pool = Pool::new(8 * MIB, std::slice::from_ref(&store));
    let memory = pool.admit(&store, Duration::MAX).await;
    let memory = memory.expect("a fresh pool has room");
    while !content.is_empty() {
        let mut buffer = match memory.try_buffer() {
            Some(buffer) => buffer,
            None => {
                writer.spill().await?;
                memory.buffer().await
            }
        };
        let len = buffer.fill(content);
        content = &content[len..];
        writer.write(buffer.freeze::<AtRest>()).await?;
    }
    Ok(())
}

async fn put(
    store: &dyn Store,
    image: &ImageId,
    content: &[u8],
    size: Option<u64>,
) -> Result<Published> {
    let intent = intend(store, image, size).await;
    let mut writer = store.writer(&intent, size).await?;
    write(&mut *writer, content).await?;
    writer.commit().await
}

async fn get(store: &dyn Store, url: &str, len: usize) -> Vec<u8> {
    let whole = ByteRange::whole(len as u64);
    read(store, url, whole)
        .await
        .expect("what is published is read")
}

async fn read(store: &dyn Store, url: &str, range: ByteRange) -> Result<Vec<u8>> {
    let mut reader = store.reader(url, range, claim(store)).await?;
    let mut content = Vec::new();
    while let Some(piece) = reader.next().await? {
        match piece {
            Piece::Bytes(chunk) => content.extend_from_slice(chunk.bytes()),
            Piece::File { file, offset, len } => {
                let start = content.len();
                content.resize(start + len as usize, 0);
                file.read_exact_at(&mut content[start..], offset)
                    .expect("a piece is in the file");
            }
        }
    }
    assert_eq!(content.len() as u64, range.len, "the pieces add up");
    Ok(content)
}

async fn size(store: &dyn Store, url: &str) -> u64 {
    store.size(url).await.expect("what is published has a size")
}

async fn remove(store: &dyn Store, url: &str) {
    store
        .delete(url)
        .await
        .expect("what is published is deleted");
}

/// The address that an image has once it is published.
async fn url_of(store: &dyn Store, image: &ImageId) -> String {
    let published = put(store, image, b"", None).await.expect("published");
    remove(store, &published.url).await;
    published.url
}

async fn assert_gone(store: &dyn Store, url: &str) {
    let size = store.size(url).await;
    assert!(matches!(size, Err(Error::NotFound(_))), "{url}: {size:?}");
    let read = read(store, url, ByteRange::whole(0)).await;
    assert!(matches!(read, Err(Error::NotFound(_))), "{url}: {read:?}");
}

/// A retry finds nothing in its way.
async fn assert_free(store: &dyn Store, image: &ImageId) {
    let published = put(store, image, b"retry", None).await;
    remove(store, &published.expect("a retry works").url).await;
}
