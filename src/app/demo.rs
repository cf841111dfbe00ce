//! `fresnel demo`: the whole path on the embedded default, in one command, with what it cost.
//!
//! The service runs as a process of its own, so that its CPU time and memory are the service's.

mod client;
mod process;

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, ensure};

use crate::{
    base::limits::MIB,
    buf::{Chunk, Plain},
    config::Config,
    data::digest::Engine,
    model::HashAlgorithm,
};
use client::Client;
use process::{Server, Usage};

/// What is uploaded.
const IMAGE_BYTES: u64 = 1024 * MIB as u64;
const GIB: f64 = (1024 * MIB) as f64;

/// Hears of what goes on, how many of its bytes are done, and how many they are.
pub(super) type Watch = Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

/// Creates an image, uploads 1 GiB, downloads it, checks every digest, and prints what it
/// measured. Of the configuration it takes how the service runs, not where its data is.
pub async fn demo(config: Config, watch: Watch) -> anyhow::Result<()> {
    let scratch = Scratch::make()?;
    let content = Content::new();
    say("The digests of 1 GiB ...")?;
    let expected = content.digests().await?;
    say("The service starts ...")?;
    let server = Server::start(&scratch.path, &config).await?;
    let table = tokio::task::spawn_blocking(move || run(&server, &content, &expected, &watch));
    let table = table.await??;
    say(&table)?;
    Ok(())
}

/// MD5 and SHA-512.
type Sums = [String; 2];

fn run(
    server: &Server,
    content: &Content,
    expected: &Sums,
    watch: &Watch,
) -> anyhow::Result<String> {
    let client = Client::new(server.address());
    let id = client.create()?;
    say(&format!("Image {id}: upload ..."))?;
    let uploaded = server.measure(|| {
        client.upload(&id, IMAGE_BYTES, |at| {
            watch("upload", at, IMAGE_BYTES);
            content.piece(at)
        })
    })?;
    watch("upload", IMAGE_BYTES, IMAGE_BYTES);
    let record = client.show(&id)?;
    for (key, sum) in ["checksum", "os_hash_value"].iter().zip(expected) {
        ensure!(
            record[key] == sum.as_str(),
            "the service says {key} {}",
            record[key]
        );
    }
    ensure!(
        record["status"] == "active",
        "the image is {}",
        record["status"]
    );
    say("download ...")?;
    let downloaded = server.measure(|| {
        let mut offset = 0;
        client.download(&id, |bytes| {
            let same = content.is_at(offset, bytes);
            offset += bytes.len() as u64;
            watch("download", offset, IMAGE_BYTES);
            ensure!(same, "the download differs before byte {offset}");
            Ok(())
        })?;
        ensure!(offset == IMAGE_BYTES, "the download has {offset} bytes");
        Ok(())
    })?;
    client.delete(&id)?;
    Ok(table(&uploaded, &downloaded, server.peak_bytes()?))
}

fn table(uploaded: &Usage, downloaded: &Usage, peak_bytes: u64) -> String {
    let line = |what: &str, usage: &Usage| {
        let gib = IMAGE_BYTES as f64 / GIB;
        format!(
            "{what:<10}{:>12.0} MiB/s{:>12.2} CPU s/GiB\n",
            gib * 1024.0 / usage.wall_seconds,
            usage.cpu_seconds / gib
        )
    };
    format!(
        "\n{}{}peak memory{:>11} MiB\n\nMD5, SHA-512 and every byte are right.",
        line("upload", uploaded),
        line("download", downloaded),
        peak_bytes / MIB as u64
    )
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Bytes that are cheap to make and repeat in no two places: one random MiB, and in each of its
/// pages the place where it stands.
struct Content {
    base: Vec<u8>,
}

impl Content {
    const PAGE_BYTES: usize = 4096;

    fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        Self {
            base: (0..MIB / 8).flat_map(|_| step()).collect(),
        }
    }

    /// The MiB that begins at `offset`.
    fn piece(&self, offset: u64) -> Vec<u8> {
        let mut piece = self.base.clone();
        for (page, bytes) in piece.chunks_exact_mut(Self::PAGE_BYTES).enumerate() {
            let place = offset + (page * Self::PAGE_BYTES) as u64;
            bytes[..8].copy_from_slice(&place.to_le_bytes());
        }
        piece
    }

    /// Whether `bytes` are those at `offset`.
    fn is_at(&self, offset: u64, mut bytes: &[u8]) -> bool {
        let mut at = offset;
        while !bytes.is_empty() {
            let inside = (at % MIB as u64) as usize;
            let len = bytes.len().min(MIB - inside);
            let piece = self.piece(at - inside as u64);
            if bytes[..len] != piece[inside..inside + len] {
                return false;
            }
            bytes = &bytes[len..];
            at += len as u64;
        }
        true
    }

    async fn digests(&self) -> anyhow::Result<Sums> {
        let engine = Engine::new(2)?;
        let stream = engine.open(&[HashAlgorithm::Md5, HashAlgorithm::Sha512]);
        for offset in (0..IMAGE_BYTES).step_by(MIB) {
            let chunk: Chunk<Plain> = Chunk::new(self.piece(offset).into());
            stream.feed(&chunk).await;
        }
        let sums = stream.finish().await;
        Ok(sums.try_into().expect("a digest for each algorithm"))
    }
}

/// A directory that goes with the demo.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("fresnel-demo-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "Could not remove the scratch directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_knows_its_place() {
        let content = Content::new();
        let two: Vec<u8> = [content.piece(0), content.piece(MIB as u64)].concat();
        assert!(content.is_at(0, &two));
        assert!(content.is_at(1000, &two[1000..1_500_000]));
        assert!(!content.is_at(0, &two[MIB..]));
    }
}
