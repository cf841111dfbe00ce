use std::{os::unix::fs::FileExt, time::Duration};

use super::*;

#[tokio::test]
async fn writes_arrive_where_they_belong() {
    let (ring, file) = (Ring::start().unwrap(), file());
    let mut completions = Vec::new();
    for number in (0..200u8).rev() {
        let bytes = Bytes::from(vec![number; 1000]);
        let offset = 1000 * u64::from(number);
        completions.push(ring.write_at(file.clone(), bytes, offset).await);
    }
    for completion in completions {
        completion.await.unwrap();
    }
    let mut content = vec![0; 200_000];
    file.read_exact_at(&mut content, 0).unwrap();
    assert!(
        content
            .iter()
            .enumerate()
            .all(|(at, byte)| at / 1000 == usize::from(*byte))
    );
}

#[tokio::test]
async fn an_empty_write_is_done() {
    let ring = Ring::start().unwrap();
    let completion = ring.write_at(file(), Bytes::new(), 5).await;
    completion.await.unwrap();
}

#[tokio::test]
async fn an_error_is_the_kernels() {
    let ring = Ring::start().unwrap();
    let read_only = Arc::new(File::open("/proc/self/exe").unwrap());
    let completion = ring.write_at(read_only, Bytes::from("x"), 0).await;
    assert_eq!(
        completion.await.unwrap_err().raw_os_error(),
        Some(libc::EBADF)
    );
    let full = Arc::new(File::options().write(true).open("/dev/full").unwrap());
    let completion = ring.write_at(full, Bytes::from("x"), 0).await;
    assert_eq!(
        completion.await.unwrap_err().raw_os_error(),
        Some(libc::ENOSPC)
    );
}

/// A pipe that nobody reads from holds a write as long as the test likes.
#[tokio::test]
async fn bytes_are_kept_until_the_kernel_is_done() {
    struct Owner {
        bytes: Vec<u8>,
        _alive: Arc<()>,
    }
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }

    let alive = Arc::new(());
    let ring = Ring::start().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let writer = Arc::new(File::from(OwnedFd::from(writer)));
    let bytes = Bytes::from_owner(Owner {
        bytes: vec![7; 1 << 20],
        _alive: alive.clone(),
    });
    let completion = ring.write_at(writer, bytes, 0).await;
    drop((completion, ring));
    assert_eq!(Arc::strong_count(&alive), 2, "the kernel has not read them");
    let content = tokio::task::spawn_blocking(move || {
        let mut content = Vec::new();
        io::Read::read_to_end(&mut &reader, &mut content).map(|_| content)
    });
    assert!(content.await.unwrap().unwrap() == vec![7; 1 << 20]);
    // The write end is closed by the worker that lets go of the write, so it has by now.
    let started = std::time::Instant::now();
    while Arc::strong_count(&alive) > 1 {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
}

#[test]
fn the_page_cache_is_seen() {
    let file = file();
    file.write_all_at(&[1; 100_000], 0).unwrap();
    for look in [is_cached, cache::seems_cached] {
        assert!(look(&file, 0, 100_000));
        assert!(look(&file, 5000, 1));
        assert!(!look(&file, 0, 200_000));
    }
    assert!(is_cached(&file, 99_999, 0));
}

fn file() -> Arc<File> {
    Arc::new(tempfile::tempfile().unwrap())
}
