//! What each fuzz target does with its bytes: call a parser of foreign bytes, and check what must
//! hold of any result. `fuzz_targets/NAME.rs` hands the function to libFuzzer; `tests/fuzz.rs`
//! replays `corpus/NAME` without one.

use std::hint::black_box;
use std::sync::LazyLock;

use fresnel::api::schema::{Schemas, metadef::Metadefs};
use fresnel::api::{Settings, filter, patch as json_patch};
use fresnel::cache::meta as cache_entry;
use fresnel::client::amqp::frame::{self, Frame};
use fresnel::client::s3::answer::Leaves;
use fresnel::client::web::Uri;
use fresnel::config::dialect;
use fresnel::control::artifact::{ListRequest, Type, Types, check_list, check_new};
use fresnel::control::metadef::CatalogFile;
use fresnel::control::policy::{file as policy_file, parse as policy_rule};
use fresnel::control::protect::{Format, Protections};
use fresnel::data::Expect;
use fresnel::data::convert::qcow2 as tables;
use fresnel::data::decompress::{Packing, Unpacker};
use fresnel::data::encrypt::{HEADER_BYTES_MAX, Header, SLOTS_MAX};
use fresnel::data::inspect::{self, Inspection};
use fresnel::model::RangeRequest;
use fresnel_hash::{Algorithm, Engine, Lane, Md5, Sha256, Sha512};
use serde_json::{Map, Value};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("amqp", amqp),
    ("artifacts", artifacts),
    ("cache", cache),
    ("config", config),
    ("container", container),
    ("digests", digests),
    ("disk", disk),
    ("filters", filters),
    ("gpt", gpt),
    ("inspect", inspect),
    ("iso", iso),
    ("luks", luks),
    ("metadefs", metadefs),
    ("patch", patch),
    ("policy", policy),
    ("protections", protections),
    ("qcow2", qcow2),
    ("qed", qed),
    ("range", range),
    ("s3", s3),
    ("schema", schema),
    ("unpack", unpack),
    ("uri", uri),
    ("vdi", vdi),
    ("vhd", vhd),
    ("vhdx", vhdx),
    ("vmdk", vmdk),
];

/// What a broker sends: frames, and the arguments of their methods.
pub fn amqp(data: &[u8]) {
    let mut arrived = bytes::BytesMut::from(data);
    loop {
        let before = arrived.len();
        let Ok(Some(frame)) = frame::decode(&mut arrived, frame::FRAME_MIN_BYTES) else {
            return;
        };
        assert!(before - arrived.len() <= frame::FRAME_MIN_BYTES);
        if let Frame::Method { mut arguments, .. } = frame {
            while arguments.u8().is_ok()
                && black_box(arguments.short_text()).is_ok()
                && black_box(arguments.table()).is_ok()
            {}
        }
    }
}

/// The metadata of a cache entry: what was torn off its end changes nothing before.
pub fn cache(data: &[u8]) {
    let Ok(entry) = cache_entry::parse(data) else {
        return;
    };
    assert!(entry.valid_bytes <= data.len() && entry.ready.len() <= data.len() / 48);
    let chunks = entry.size_bytes.div_ceil(4 << 20);
    assert!(entry.ready.keys().all(|chunk| u64::from(*chunk) < chunks));
    let again = cache_entry::parse(&data[..entry.valid_bytes]);
    assert_eq!(again, Ok(entry));
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (assignments, errors) = dialect::parse(&text);
    let lines = text.lines().count();
    assert!(assignments.iter().all(|a| a.line <= lines));
    assert!(errors.iter().all(|e| e.line <= lines));
}

/// The header of an encrypted container: what is read of it is bounded.
pub fn container(data: &[u8]) {
    if let Ok(len) = Header::len(data) {
        assert!(len <= HEADER_BYTES_MAX);
    }
    let Ok(header) = Header::parse(data) else {
        return;
    };
    let mut end = 0;
    assert!((1..=SLOTS_MAX).contains(&header.areas().count()));
    for area in header.areas() {
        assert!(area.offset >= end && area.len <= 256_000);
        end = area.end();
    }
    assert!(header.payload_bytes(end - 1).is_err());
    let _ = black_box(header.payload_bytes(u64::MAX));
}

/// Half of the bytes is a schedule of streams that are hashed side by side, the others are their
/// messages: every engine ends in the same states.
pub fn digests(data: &[u8]) {
    let (schedule, bytes) = data.split_at(data.len() / 2);
    // Three rounds of the largest block, from any offset.
    let bytes: Vec<u8> = bytes
        .iter()
        .copied()
        .chain([0])
        .cycle()
        .take(bytes.len() + 1024)
        .collect();
    engines_agree::<Md5>(schedule, &bytes);
    engines_agree::<Sha256>(schedule, &bytes);
    engines_agree::<Sha512>(schedule, &bytes);
}

/// A step of the schedule is a mask of streams and a number of blocks.
fn engines_agree<A: Algorithm>(schedule: &[u8], bytes: &[u8]) {
    const STREAMS: usize = 16;
    let outcome = |engine: Engine| {
        let mut states = [A::INIT; STREAMS];
        for (step, parts) in schedule.chunks_exact(3).enumerate() {
            let mask = u16::from_le_bytes([parts[0], parts[1]]);
            let len = usize::from(parts[2] % 4) * A::BLOCK_BYTES;
            let mut lanes: Vec<_> = states
                .iter_mut()
                .enumerate()
                .filter(|(stream, _)| (mask >> stream) & 1 == 1)
                .map(|(stream, state)| {
                    let at = (step * 7 + stream * 31) % (bytes.len() - len);
                    Lane {
                        state,
                        bytes: &bytes[at..at + len],
                    }
                })
                .collect();
            for lanes in lanes.chunks_mut(A::width(engine).max) {
                A::side_by_side(engine, lanes);
            }
        }
        states
    };
    let engines = Engine::available();
    let scalar = outcome(*engines.last().expect("there is always scalar"));
    assert!(engines.into_iter().all(|engine| outcome(engine) == scalar));
}

/// The header of a qcow2 image and entries of its tables; the last bytes are a compressed cluster.
pub fn disk(data: &[u8]) {
    const CLUSTER_BYTES: usize = 4096;
    let (header, rest) = data.split_at(data.len().min(tables::HEADER_BYTES));
    if let Ok(cluster) = tables::inflate(rest, CLUSTER_BYTES) {
        assert_eq!(cluster.len(), CLUSTER_BYTES);
    }
    let Ok(geometry) = tables::Geometry::parse(header) else {
        return;
    };
    assert!(geometry.tables_bytes() <= 32 << 20);
    for at in [
        0,
        geometry.disk_bytes / 2,
        geometry.disk_bytes.saturating_sub(1),
    ] {
        let (table, index) = geometry.place(at);
        assert!(at == 0 || table < geometry.tables_bytes() as u64 / 8);
        assert!((index as u64) < geometry.cluster_bytes() / 8);
    }
    let whole = rest.len() / 8 * 8;
    for entry in tables::entries(rest, whole).expect("they are all there") {
        if let Ok(Some(offset)) = geometry.table_offset(entry) {
            assert_eq!(offset % geometry.cluster_bytes(), 0);
        }
        if let Ok(tables::Mapping::Deflated { stored_bytes, .. }) = geometry.mapping(entry) {
            assert!(stored_bytes <= 4 << 20);
        }
    }
}

/// A packed stream, cut where its first byte says: the cut changes neither bytes nor verdict.
pub fn unpack(data: &[u8]) {
    const OUT_BYTES_MAX: usize = 1 << 20;
    let Some((at, stream)) = data.split_first() else {
        return;
    };
    let Some(packing) = Packing::of(stream) else {
        return;
    };
    // None when it unpacks to more than is looked at.
    let unpacked = |len: usize| {
        let Ok(mut unpacker) = Unpacker::new(packing) else {
            return Some(Err(()));
        };
        let (mut all, mut held) = (Vec::new(), Vec::new());
        for piece in stream.chunks(len) {
            held.extend_from_slice(piece);
            loop {
                let (mut input, mut out) = (held.as_slice(), Vec::with_capacity(4096));
                if unpacker.step(&mut input, &mut out).is_err() {
                    return Some(Err(()));
                }
                let left = input.len();
                let idle = left == held.len() && out.is_empty();
                held.drain(..held.len() - left);
                all.extend(out);
                if all.len() > OUT_BYTES_MAX {
                    return None;
                }
                if idle {
                    break;
                }
            }
        }
        let ended = unpacker.finish().is_ok() && held.is_empty();
        Some(if ended { Ok(all) } else { Err(()) })
    };
    let (whole, cut) = (unpacked(stream.len()), unpacked(usize::from(*at) + 1));
    if let (Some(whole), Some(cut)) = (whole, cut) {
        assert_eq!(whole, cut);
    }
}

/// The query of a list; what is echoed into `first` and `next` asks for the same, but for the
/// markers, of which the second and later ones are filters.
pub fn filters(data: &[u8]) {
    let settings = Settings::default();
    let Ok(mut listing) = filter::parse(&String::from_utf8_lossy(data), &settings) else {
        return;
    };
    listing.query.marker = None;
    let properties = &mut listing.query.properties;
    properties.retain(|(name, _)| name != "marker");
    let echoed = filter::parse(&listing.echo, &settings).expect("what was accepted is");
    assert_eq!(echoed, listing);
}

/// The body of an image's PATCH, of both media types.
pub fn patch(data: &[u8]) {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
        let formats = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Schemas::new(&formats("raw qcow2"), &formats("bare ova"), None).expect("they are stock")
    });
    for version in [json_patch::Version::V2_0, json_patch::Version::V2_1] {
        let _ = black_box(json_patch::parse(version, data, &SCHEMAS));
    }
}

/// A type of artifacts, and after an empty line what clients ask of it: a line each, JSON of a new artifact
/// or `name=value` for a list. Images are asked where the type is none.
pub fn artifacts(data: &[u8]) {
    static IMAGES: LazyLock<Types> =
        LazyLock::new(|| Types::new(&["images".to_owned()], &[]).expect("they are compiled in"));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (document, asked) = text.split_once("\n\n").unwrap_or((text, text));
    let parsed: Value = serde_json::from_str(document).unwrap_or_default();
    let name = parsed["name"].as_str().map(str::to_owned);
    let own = Types::new(name.as_slice(), &[document.to_owned()]);
    if let Err(wrong) = &own {
        assert!(!wrong.is_empty());
    }
    let own = own.as_ref().ok().zip(name.as_deref());
    let kind = own.and_then(|(types, name)| types.get(name));
    let kind = kind.or_else(|| IMAGES.get("images"));
    let kind = kind.expect("it was enabled");
    for line in asked.lines() {
        if let Ok(Value::Object(given)) = serde_json::from_str(line) {
            new_artifact(kind, &given);
        }
    }
    let pairs = asked.lines().filter_map(|line| line.split_once('='));
    let request = ListRequest {
        filters: pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        ..ListRequest::default()
    };
    if let Err(refusal) = check_list(kind, &request) {
        assert!(!refusal.to_string().is_empty());
    }
}

/// What a type takes, it takes again as it shows it.
fn new_artifact(kind: &Type, given: &Map<String, Value>) {
    let shown = match check_new(kind, given) {
        Ok(shown) => shown,
        Err(refusal) => return assert!(!refusal.to_string().is_empty()),
    };
    let set = given.iter().filter(|(_, value)| !value.is_null());
    let again: Map<String, Value> = set
        .map(|(name, _)| (name.clone(), shown[name].clone()))
        .collect();
    let twice = check_new(kind, &again).expect("what was taken is taken again");
    assert!(again.iter().all(|(name, value)| twice[name] == *value));
}

/// What a client sends of metadata definitions, and a file of them: what is written of one is read
/// again.
pub fn metadefs(data: &[u8]) {
    static FORMS: LazyLock<Metadefs> =
        LazyLock::new(|| Metadefs::new().expect("they are compiled in"));
    if let Ok(Value::Object(body)) = serde_json::from_slice(data) {
        let Metadefs {
            namespace,
            resource_type,
            property,
            object,
            tag,
            tag_list,
            nameless,
        } = &*FORMS;
        for form in [
            namespace,
            resource_type,
            property,
            object,
            tag,
            tag_list,
            nameless,
        ] {
            if let Err(violation) = form.validate(&body) {
                assert!(!violation.to_string().is_empty());
            }
        }
    }
    if let Ok(file) = CatalogFile::parse(&String::from_utf8_lossy(data)) {
        let written = serde_json::to_string(&file).expect("it is JSON");
        CatalogFile::parse(&written).expect("what is written is read");
    }
}

/// An operator's `schema-image.json` in the first line, and what a client sends under it in the rest.
pub fn schema(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (schema, body) = text.split_once('\n').unwrap_or((&text, ""));
    let formats = ["raw".to_owned()];
    let Ok(schemas) = Schemas::new(&formats, &formats, Some(schema)) else {
        return;
    };
    if let Ok(Value::Object(body)) = serde_json::from_str(body)
        && let Err(violation) = schemas.validate(&body)
    {
        assert!(!violation.to_string().is_empty());
    }
}

/// A policy file; what is a rule in it is one by itself.
pub fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count().max(1);
    match policy_file::parse_file(&text) {
        Err(error) => assert!((1..=lines + 1).contains(&error.line)),
        Ok(rules) => {
            for rule in rules {
                assert!((1..=lines).contains(&rule.line));
                if !rule.text.starts_with('[') {
                    assert_eq!(policy_rule::parse(&rule.text), Ok(rule.check));
                }
            }
        }
    }
}

/// A file of property protections, in both formats.
pub fn protections(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    for format in [Format::Roles, Format::Policies] {
        match Protections::parse(&text, format) {
            Err(error) => assert!((1..=lines).contains(&error.line)),
            Ok((_, rules)) => assert!(rules.iter().all(|(line, _)| (1..=lines).contains(line))),
        }
    }
}

/// A `Range` and a `Content-Range` header, on a line each; no range reaches beyond the image.
pub fn range(data: &[u8]) {
    const SIZE_BYTES: u64 = 1000;
    let text = String::from_utf8_lossy(data);
    let (range, content_range) = text.split_once('\n').unwrap_or((&text, ""));
    for range in [Some(range), None] {
        let Ok(request) = RangeRequest::parse(range, Some(content_range)) else {
            continue;
        };
        for size_bytes in [0, 1, SIZE_BYTES, u64::MAX] {
            if let Ok(range) = request.resolve(size_bytes) {
                assert!(range.end() <= size_bytes);
            }
        }
    }
}

/// A stream, cut where its first byte says: the cut does not change the verdict.
pub fn inspect(data: &[u8]) {
    let Some((at, stream)) = data.split_first() else {
        return;
    };
    for disk_format in ["raw", "qcow2", "vmdk", "iso"] {
        let expect = Expect {
            disk_format: disk_format.to_owned(),
            container_format: "bare".to_owned(),
            require_match: true,
            gpt_safety_checks_nonfatal: Vec::new(),
            encrypted: None,
        };
        let (mut whole, mut cut) = (Inspection::new(&expect), Inspection::new(&expect));
        whole.feed(stream);
        for piece in stream.chunks(usize::from(*at) + 1) {
            cut.feed(piece);
        }
        assert_eq!(whole.finish(), cut.finish());
    }
}

/// The start of a stream.
pub fn gpt(data: &[u8]) {
    black_box(inspect::gpt::inspect(data, data.len() as u64));
}

/// The first volume descriptor.
pub fn iso(data: &[u8]) {
    black_box(inspect::iso::inspect(data));
}

/// The start of a stream.
pub fn luks(data: &[u8]) {
    for is_declared in [false, true] {
        black_box(inspect::luks::inspect(data, data.len() as u64, is_declared));
    }
}

/// The start of a stream.
pub fn qcow2(data: &[u8]) {
    black_box(inspect::qcow2::inspect(data));
}

/// The start of a stream.
pub fn qed(data: &[u8]) {
    black_box(inspect::qed::inspect(data));
}

/// What an S3 server answers.
pub fn s3(data: &[u8]) {
    if let Some(leaves) = Leaves::parse(data) {
        black_box(leaves.parts());
        let uploads = leaves.uploads();
        assert!(uploads.is_empty() || leaves.first("UploadId").is_some());
    }
}

/// An address on the web: another library that reads it finds the same host and port.
pub fn uri(data: &[u8]) {
    let Ok(uri) = std::str::from_utf8(data).map_err(drop).and_then(|text| {
        let uri = Uri::parse(text).map_err(drop)?;
        Ok((text, uri))
    }) else {
        return;
    };
    let (text, uri) = uri;
    for text in [text, &uri.bare()] {
        let Ok(read) = url::Url::parse(text) else {
            continue;
        };
        let host = read.host_str().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = fresnel::client::web::Host::parse(host).expect("it is the same");
        assert_eq!(
            (&host, Some(uri.port())),
            (uri.host(), read.port_or_known_default())
        );
    }
    let again = Uri::parse(&uri.bare()).expect("what was read is read again");
    assert_eq!(again.bare(), uri.bare());
}

/// The start of a stream.
pub fn vdi(data: &[u8]) {
    black_box(inspect::vdi::inspect(data));
}

/// The start of a stream.
pub fn vhd(data: &[u8]) {
    black_box(inspect::vhd::inspect(data));
}

/// Half of the bytes start the region table, the others follow it.
pub fn vhdx(data: &[u8]) {
    const REGIONS_OFFSET: u64 = 192 * 1024;
    const REGIONS_END: u64 = 256 * 1024;
    let (regions, metadata) = data.split_at(data.len() / 2);
    let mut inspector = inspect::vhdx::Inspector::default();
    inspector.feed(0, b"vhdxfile");
    inspector.feed(REGIONS_OFFSET, regions);
    let padding = vec![0; (REGIONS_END - REGIONS_OFFSET) as usize];
    let seen_bytes = regions.len().min(padding.len());
    inspector.feed(REGIONS_OFFSET + seen_bytes as u64, &padding[seen_bytes..]);
    inspector.feed(REGIONS_END, metadata);
    assert!(inspector.finish().is_some());
}

/// A whole stream.
pub fn vmdk(data: &[u8]) {
    let mut inspector = inspect::vmdk::Inspector::default();
    inspector.feed(0, data);
    black_box(inspector.finish());
}
