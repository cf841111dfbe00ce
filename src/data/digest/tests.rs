use bytes::Bytes;
use openssl::hash::MessageDigest;
use proptest::prelude::*;

use super::*;

async fn digest(engine: &Engine, algorithms: &[HashAlgorithm], pieces: &[&[u8]]) -> Vec<String> {
    let stream = engine.open(algorithms);
    for piece in pieces {
        stream
            .feed(&Chunk::new(Bytes::copy_from_slice(piece)))
            .await;
    }
    stream.finish().await
}

/// Python: `hashlib.new(name, b"abc").hexdigest()`, its first eight digits.
const ABC: [(HashAlgorithm, &str, usize); 12] = [
    (HashAlgorithm::Blake2b, "ba80a53f", 128),
    (HashAlgorithm::Blake2s, "508c5e8c", 64),
    (HashAlgorithm::Md5, "90015098", 32),
    (HashAlgorithm::Sha1, "a9993e36", 40),
    (HashAlgorithm::Sha224, "23097d22", 56),
    (HashAlgorithm::Sha256, "ba7816bf", 64),
    (HashAlgorithm::Sha384, "cb00753f", 96),
    (HashAlgorithm::Sha3_224, "e642824c", 56),
    (HashAlgorithm::Sha3_256, "3a985da7", 64),
    (HashAlgorithm::Sha3_384, "ec014982", 96),
    (HashAlgorithm::Sha3_512, "b751850b", 128),
    (HashAlgorithm::Sha512, "ddaf35a1", 128),
];

#[tokio::test]
async fn every_algorithm_is_pythons() {
    let engine = Engine::new(2).unwrap();
    for (algorithm, head, digits) in ABC {
        let found = digest(&engine, &[algorithm], &[b"a", b"", b"bc"]).await;
        assert_eq!(
            (&found[0][..8], found[0].len()),
            (head, digits),
            "{algorithm}"
        );
        assert_eq!(found[0].len(), 2 * algorithm.digest_bytes());
    }
}

#[tokio::test]
async fn more_streams_than_threads_do_not_mix() {
    let engine = Engine::new(1).unwrap();
    let streams: Vec<Stream> = (0..20)
        .map(|_| engine.open(&[HashAlgorithm::Md5]))
        .collect();
    for round in 0..10u8 {
        for (index, stream) in streams.iter().enumerate() {
            let bytes = vec![round ^ index as u8; 1000];
            stream.feed(&Chunk::new(Bytes::from(bytes))).await;
        }
    }
    for (index, stream) in streams.into_iter().enumerate() {
        let whole: Vec<u8> = (0..10u8)
            .flat_map(|r| vec![r ^ index as u8; 1000])
            .collect();
        let expected = digest(&engine, &[HashAlgorithm::Md5], &[&whole]).await;
        assert_eq!(stream.finish().await, expected);
    }
}

/// What happens to one of some streams.
#[derive(Clone, Debug)]
enum Event {
    /// So many bytes more; most are no whole blocks.
    Feed(usize),
    /// It is dropped in the middle, and another begins in its place.
    Leave,
    /// Its digests are asked for, and another begins in its place.
    Finish,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0_usize..6_000).prop_map(Event::Feed),
        1 => Just(Event::Leave),
        2 => Just(Event::Finish),
    ]
}

/// A stream and all that was fed to it.
struct Fed {
    stream: Stream,
    message: Vec<u8>,
}

const JUDGED: [HashAlgorithm; 3] = [
    HashAlgorithm::Md5,
    HashAlgorithm::Sha256,
    HashAlgorithm::Sha512,
];

impl Fed {
    fn new(engine: &Engine) -> Self {
        Self {
            stream: engine.open(&JUDGED),
            message: Vec::new(),
        }
    }

    async fn feed(&mut self, len: usize, seed: usize) {
        let bytes: Vec<u8> = (0..len)
            .map(|at| ((at * 31) ^ (at >> 8) ^ seed) as u8)
            .collect();
        self.message.extend_from_slice(&bytes);
        self.stream.feed(&Chunk::new(Bytes::from(bytes))).await;
    }

    /// The digests are OpenSSL's.
    async fn finish(self) {
        let openssl = |digest| {
            let sum = openssl::hash::hash(digest, &self.message).unwrap();
            sum.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let expected = [
            MessageDigest::md5(),
            MessageDigest::sha256(),
            MessageDigest::sha512(),
        ];
        assert_eq!(self.stream.finish().await, expected.map(openssl));
    }
}

async fn play(kernels: Kernels, threads: usize, streams: usize, events: &[(usize, Event)]) {
    let engine = Engine::with_kernels(kernels, threads).unwrap();
    let mut fed: Vec<Fed> = (0..streams).map(|_| Fed::new(&engine)).collect();
    for (seed, (which, event)) in events.iter().enumerate() {
        let one = &mut fed[which % streams];
        match event {
            Event::Feed(len) => one.feed(*len, seed).await,
            Event::Leave => *one = Fed::new(&engine),
            Event::Finish => std::mem::replace(one, Fed::new(&engine)).finish().await,
        }
    }
    for one in fed {
        one.finish().await;
    }
    let queue = engine.threads.ready.clone();
    assert!(queue.is_idle(), "a lane was left behind");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Streams that come, pause, leave in the middle of a block and end, in any order: every digest
    /// is that of its stream alone.
    #[test]
    fn no_stream_disturbs_another(
        threads in 1_usize..4,
        streams in 1_usize..20,
        events in prop::collection::vec((any::<usize>(), event()), 1..150),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for kernels in Kernels::available() {
            runtime.block_on(play(kernels, threads, streams, &events));
        }
    }
}

#[test]
fn a_choice_that_the_processor_lacks_is_refused_by_name() {
    let names: Vec<&str> = Kernels::available().iter().map(|k| k.name()).collect();
    for (choice, name) in [
        (EngineChoice::Avx512, "avx512"),
        (EngineChoice::Avx2, "avx2"),
        (EngineChoice::Scalar, "scalar"),
    ] {
        match choice.kernels() {
            Ok(kernels) => assert_eq!(kernels.name(), name),
            Err(error) => {
                assert!(!names.contains(&name));
                assert_eq!(
                    error.to_string(),
                    format!("this processor does not have {name}")
                );
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_stream_gives_its_chunks_back() {
    let engine = Engine::new(1).unwrap();
    let memory = Arc::new(vec![7u8; 1000]);
    struct Shared(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let stream = engine.open(&[HashAlgorithm::Sha512]);
    for _ in 0..3 {
        stream
            .feed(&Chunk::new(Bytes::from_owner(Shared(memory.clone()))))
            .await;
    }
    drop(stream);
    // The one thread is past the dropped lane once it answers for another.
    digest(&engine, &[HashAlgorithm::Md5], &[b""]).await;
    assert_eq!(Arc::strong_count(&memory), 1);
}
