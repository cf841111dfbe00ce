//! What this machine can do. Each returns the text to print.

use serde_json::json;

use crate::data::digest::{self, Rate};

/// The digests' speeds as a table, or as JSON. Takes some seconds.
pub fn digests(as_json: bool) -> String {
    let rates = digest::rates();
    if as_json {
        return json(&rates);
    }
    table(&rates)
}

fn json(rates: &[Rate]) -> String {
    let rates: Vec<_> = rates
        .iter()
        .map(|rate| {
            json!({
                "algorithm": rate.algorithm.as_str(),
                "engine": rate.engine,
                "streams": rate.streams,
                "gb_per_second": rate.gb_per_second,
            })
        })
        .collect();
    format!("{:#}", json!({ "auto": digest::auto(), "rates": rates }))
}

/// A line for each algorithm and engine, a column for each number of streams.
fn table(rates: &[Rate]) -> String {
    let mut text = format!(
        "GB/s on one core, by the number of streams side by side. digest_engine = auto is {} here.\n\n\
         {:<10} {:<7}",
        digest::auto(),
        "algorithm",
        "engine"
    );
    let mut streams: Vec<usize> = rates.iter().map(|rate| rate.streams).collect();
    streams.sort_unstable();
    streams.dedup();
    text.extend(streams.iter().map(|streams| format!("{streams:>7}")));
    for of_one in rates.chunk_by(|a, b| (a.algorithm, a.engine) == (b.algorithm, b.engine)) {
        let name = of_one[0].algorithm.as_str();
        text += &format!("\n{name:<10} {:<7}", of_one[0].engine);
        let figures = of_one.iter().map(|rate| rate.gb_per_second);
        text.extend(figures.map(|figure| format!("{figure:>7.2}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HashAlgorithm;

    #[test]
    fn a_line_for_each_engine() {
        let rate = |engine, streams, gb_per_second| Rate {
            algorithm: HashAlgorithm::Md5,
            engine,
            streams,
            gb_per_second,
        };
        let rates = [
            rate("avx2", 1, 0.5),
            rate("avx2", 16, 2.456),
            rate("scalar", 1, 0.5),
        ];
        let table = table(&rates);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        let expected = [
            "algorithm  engine       1     16",
            "md5        avx2      0.50   2.46",
            "md5        scalar    0.50",
        ];
        assert_eq!(lines, expected);
        let json: serde_json::Value = serde_json::from_str(&json(&rates)).unwrap();
        assert_eq!(json["rates"][1]["streams"], 16);
        assert_eq!(json["auto"], digest::auto());
    }
}
