//! The same verdicts as Glance 33 and its oslo.utils, but where `hostile::STRICTER` says otherwise.

use fresnel::data::Expect;

use super::corpus::{ALL, Sample};
use super::oracle::{Answer, Question, ask};
use super::{declared, hostile, inspect};

const FORMATS: [&str; 11] = [
    "raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "qed", "iso", "gpt", "luks", "ami",
];

/// What Glance's file store reads at a time; its verdict depends on that, ours does not.
const PIECE_BYTES: usize = 64 * 1024;
const OTHER_PIECE_BYTES: usize = 4 * 1024;

const SPOILED_PER_SAMPLE: usize = 20;
const TELLING_MAX: usize = 4096;

#[test]
fn every_sample_gets_glances_verdict_whatever_it_is_declared_as() {
    let mut questions = Vec::new();
    for sample in ALL.samples.iter().filter(|sample| !is_stricter(sample)) {
        for disk_format in FORMATS {
            questions.extend(settings(disk_format).map(|expect| question(sample, expect)));
        }
    }
    compare(&questions);
}

#[test]
fn what_glance_overlooks_is_refused() {
    let of = |(name, disk_format): &(&str, &str)| question(ALL.get(name), declared(disk_format));
    let questions: Vec<Question> = hostile::STRICTER.iter().map(of).collect();
    for (question, theirs) in questions.iter().zip(ask(&questions)) {
        assert_eq!(theirs.refused, None, "{question:?}");
        assert!(ours(question).refused.is_some(), "{question:?}");
    }
}

#[test]
fn a_spoiled_sample_gets_glances_verdict() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut questions = Vec::new();
    for sample in ALL.samples.iter().filter(|sample| !is_stricter(sample)) {
        // Headers are where the bytes are: one that is zero is seldom worth a change.
        let telling: Vec<usize> = (0..sample.bytes.len())
            .filter(|at| sample.bytes[*at] != 0)
            .take(TELLING_MAX)
            .collect();
        let spoiled = (0..SPOILED_PER_SAMPLE).map(|_| spoil(sample, &telling, &mut random));
        questions.extend(spoiled);
    }
    compare(&questions);
}

fn spoil(sample: &Sample, telling: &[usize], random: &mut Random) -> Question {
    let own = sample.name.split('-').next().unwrap_or_default();
    let declared_as = match (random.below(4), own) {
        (0, _) => "raw",
        (1, _) => FORMATS[random.below(FORMATS.len())],
        (_, "vpc") => "vhd",
        (_, own) => own,
    };
    // Other bytes in a text descriptor are what Glance overlooks, see `hostile::STRICTER`.
    let is_text = ["vmdk", "text"].contains(&own) && !sample.bytes.starts_with(b"KDMV");
    let patches = (0..random.below(4))
        .map(|_| {
            let near = telling
                .get(random.below(telling.len().max(1)))
                .unwrap_or(&0);
            let byte = random.byte();
            let byte = if is_text { b' ' + byte % 95 } else { byte };
            (near + random.below(8) * random.below(2), byte)
        })
        .collect();
    let length = match random.below(3) {
        0 => random.below(sample.bytes.len() + 1),
        1 => random.below(1024).min(sample.bytes.len()),
        _ => sample.bytes.len(),
    };
    Question {
        length,
        patches,
        ..question(sample, declared(declared_as))
    }
}

/// Xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Any byte, but often one that a field's limit is made of.
    fn byte(&mut self) -> u8 {
        let any = self.next() as u8;
        [0x00, 0xff, 0x80, 0x01, any, any][self.below(6)]
    }
}

fn is_stricter(sample: &Sample) -> bool {
    hostile::STRICTER
        .iter()
        .any(|(name, _)| *name == sample.name)
}

fn settings(disk_format: &str) -> impl Iterator<Item = Expect> {
    let with = move |require_match, nonfatal: &[&str]| Expect {
        require_match,
        gpt_safety_checks_nonfatal: nonfatal.iter().map(|name| (*name).to_owned()).collect(),
        ..declared(disk_format)
    };
    [with(true, &[]), with(false, &[]), with(true, &["mbr"])].into_iter()
}

fn question(sample: &Sample, expect: Expect) -> Question {
    Question {
        path: sample.path.clone(),
        length: sample.bytes.len(),
        patches: Vec::new(),
        expect,
        piece_bytes: PIECE_BYTES,
    }
}

fn ours(question: &Question) -> Answer {
    let mut bytes = std::fs::read(&question.path).unwrap();
    bytes.truncate(question.length);
    for &(offset, byte) in &question.patches {
        if let Some(at) = bytes.get_mut(offset) {
            *at = byte;
        }
    }
    Answer::of(inspect(&bytes, &question.expect))
}

/// Glance's verdict on a spoiled table depends on how the stream is cut: ours is one of those that
/// it comes to.
fn compare(questions: &[Question]) {
    let mut differing = differences(questions);
    for question in &mut differing {
        question.piece_bytes = OTHER_PIECE_BYTES;
    }
    let differing = differences(&differing);
    let report: Vec<String> = differing
        .iter()
        .zip(ask(&differing))
        .map(|(question, theirs)| format!("{question:?}\n  {theirs:?}\n  {:?}", ours(question)))
        .collect();
    assert!(
        report.is_empty(),
        "{} differ (theirs, ours):\n{}",
        report.len(),
        report.join("\n")
    );
}

fn differences(questions: &[Question]) -> Vec<Question> {
    questions
        .iter()
        .zip(ask(questions))
        .map(|(question, theirs)| (question, theirs, ours(question)))
        .filter(|(question, theirs, ours)| {
            theirs != ours && !stopped_counting(question, theirs, ours)
        })
        .map(|(question, ..)| question.clone())
        .collect()
}

/// Glance's inspectors no longer count once a table has confused them, so that it gives an image that
/// is declared raw too small a virtual size. Ours is the number of bytes.
fn stopped_counting(question: &Question, theirs: &Answer, ours: &Answer) -> bool {
    let length = question.length as u64;
    question.expect.disk_format == "raw"
        && theirs.refused == ours.refused
        && ours.virtual_size_bytes == Some(length)
        && theirs
            .virtual_size_bytes
            .is_some_and(|counted| counted < length && counted % question.piece_bytes as u64 == 0)
}
