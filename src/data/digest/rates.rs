//! What one core of this machine digests.

use std::time::{Duration, Instant};

use fresnel_hash::Engine as Kernels;

use super::hasher::{self, Hasher};
use crate::{base::limits::MIB, model::HashAlgorithm};

/// The streams that are tried side by side.
const STREAMS: [usize; 5] = [1, 2, 4, 8, 16];
/// What each stream brings to a run.
const PIECE_BYTES: usize = MIB / 4;
/// How long each figure is tried. The best run counts: what disturbs a run only makes it slower.
const TRY: Duration = Duration::from_millis(60);

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What was computed.
    pub algorithm: HashAlgorithm,
    /// The kernels that the engine chose from.
    pub engine: &'static str,
    /// Side by side.
    pub streams: usize,
    /// All streams together, on one core; a GB is 10^9 bytes.
    pub gb_per_second: f64,
}

/// Measures every algorithm on every engine that makes a difference to it. Takes some seconds.
pub fn rates() -> Vec<Rate> {
    measure(PIECE_BYTES, TRY)
}

/// The kernels that `auto` is on this processor.
pub fn auto() -> &'static str {
    Kernels::detect().name()
}

fn measure(piece_bytes: usize, time: Duration) -> Vec<Rate> {
    let engines = Kernels::available();
    let mut rates = Vec::new();
    for algorithm in HashAlgorithm::all() {
        for engine in &engines {
            let width = hasher::peers(algorithm).width(*engine);
            let alone = width.max < width.min;
            if alone && engine.name() != "scalar" {
                continue;
            }
            let streams = if alone { &STREAMS[..1] } else { &STREAMS[..] };
            rates.extend(streams.iter().map(|streams| Rate {
                algorithm,
                engine: engine.name(),
                streams: *streams,
                gb_per_second: rate(
                    algorithm,
                    *engine,
                    &vec![vec![0; piece_bytes]; *streams],
                    time,
                ),
            }));
        }
    }
    rates
}

/// The speed of the best of the runs that fit into the time, and of one at least.
fn rate(algorithm: HashAlgorithm, engine: Kernels, pieces: &[Vec<u8>], time: Duration) -> f64 {
    let mut hashers: Vec<Hasher> = pieces.iter().map(|_| Hasher::new(algorithm)).collect();
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while best == Duration::MAX || begin.elapsed() < time {
        let run = Instant::now();
        let work = hashers.iter_mut().zip(pieces.iter().map(Vec::as_slice));
        Hasher::update(engine, work.collect());
        best = best.min(run.elapsed());
    }
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    bytes as f64 / 1e9 / best.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_figure_of_one_stream() {
        let rates = measure(4096, Duration::ZERO);
        for algorithm in HashAlgorithm::all() {
            let mut own = rates.iter().filter(|rate| rate.algorithm == algorithm);
            assert!(own.any(|rate| rate.engine == "scalar" && rate.streams == 1));
        }
        assert!(rates.iter().all(|rate| rate.gb_per_second > 0.0));
    }
}
