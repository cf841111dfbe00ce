use proptest::prelude::*;

use super::*;

/// Bytes that repeat nowhere near.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| step()).collect()
}

fn md5_hex(state: Md5State) -> String {
    state
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn sha512_hex(state: Sha512State) -> String {
    state
        .iter()
        .flat_map(|w| w.to_be_bytes())
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A whole message, alone.
fn digests(engine: Engine, message: &[u8]) -> (String, String) {
    let total = message.len() as u64;
    let (md5_whole, md5_rest) = message.split_at(message.len() / 64 * 64);
    let (sha_whole, sha_rest) = message.split_at(message.len() / 128 * 128);
    let (mut md5, mut sha) = (MD5_INIT, SHA512_INIT);
    engine.md5(&mut md5, md5_whole);
    engine.md5(&mut md5, &md5_padding(md5_rest, total));
    engine.sha512(&mut sha, sha_whole);
    engine.sha512(&mut sha, &sha512_padding(sha_rest, total));
    (md5_hex(md5), sha512_hex(sha))
}

#[test]
fn the_standards_own_vectors() {
    let md5_abc = "900150983cd24fb0d6963f7d28e17f72";
    let sha_abc = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                   2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    let md5_empty = "d41d8cd98f00b204e9800998ecf8427e";
    for engine in Engine::available() {
        let (md5, sha) = digests(engine, b"abc");
        assert_eq!(
            (md5.as_str(), sha.as_str()),
            (md5_abc, sha_abc),
            "{}",
            engine.name()
        );
        assert_eq!(digests(engine, b"").0, md5_empty);
    }
}

#[cfg(not(miri))]
#[test]
fn every_length_is_openssls() {
    use ::openssl::hash::{MessageDigest, hash};
    let hex = |digest: &[u8]| {
        digest
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    for len in (0..700).chain([4096, 65_535, 65_536, 100_000]) {
        let message = noise(len, len as u64 + 7);
        let md5 = hex(&hash(MessageDigest::md5(), &message).unwrap());
        let sha = hex(&hash(MessageDigest::sha512(), &message).unwrap());
        for engine in Engine::available() {
            let found = digests(engine, &message);
            assert_eq!(
                found,
                (md5.clone(), sha.clone()),
                "{} bytes, {}",
                len,
                engine.name()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 200 }))]

    /// Streams that join, leave and go on alone at any block: the digests are those of a stream
    /// that never had company.
    #[test]
    fn lanes_do_not_disturb_each_other(runs in prop::collection::vec((1_usize..=16, 0_usize..4, any::<u64>()), 1..8)) {
        for engine in Engine::available() {
            let (mut md5, mut sha) = ([MD5_INIT; 16], [SHA512_INIT; 16]);
            let (mut md5_alone, mut sha_alone) = (md5, sha);
            for (count, blocks, seed) in &runs {
                let inputs: Vec<Vec<u8>> =
                    (0..*count).map(|i| noise(blocks * 128, seed.wrapping_add(i as u64 * 77))).collect();
                for lanes in side_by_side(&mut md5, &inputs, engine.md5_lanes()) {
                    engine.md5_side_by_side(&mut { lanes });
                }
                for lanes in side_by_side(&mut sha, &inputs, engine.sha512_lanes()) {
                    engine.sha512_side_by_side(&mut { lanes });
                }
                for (index, input) in inputs.iter().enumerate() {
                    portable::md5(&mut md5_alone[index], input);
                    portable::sha512(&mut sha_alone[index], input);
                }
            }
            prop_assert_eq!(md5, md5_alone);
            prop_assert_eq!(sha, sha_alone);
        }
    }
}

fn side_by_side<'a, State>(
    states: &'a mut [State],
    inputs: &'a [Vec<u8>],
    lanes_max: usize,
) -> Vec<Vec<Lane<'a, State>>> {
    let lanes = states
        .iter_mut()
        .zip(inputs)
        .map(|(state, bytes)| Lane { state, bytes });
    let mut groups: Vec<Vec<Lane<'a, State>>> = Vec::new();
    for lane in lanes {
        match groups.last_mut() {
            Some(group) if group.len() < lanes_max => group.push(lane),
            _ => groups.push(vec![lane]),
        }
    }
    groups
}
