//! Filesystems that a test has to mount: in a mount namespace of its own, which it enters by
//! running the test program again. Where the machine lets nobody do that, these tests fail.

use std::{env, path::PathBuf, process::Command};

use fresnel::{
    model::{Attempt, ImageId},
    store::{Error, Store, conformance, file::FileIoChoice},
};

use super::{assert_empty, open};

#[test]
fn files_on_an_overlay_conform() {
    let layers = "cd $BASE && mkdir lower upper work && \
                  mount -t overlay overlay $OPTIONS -o lowerdir=lower,upperdir=upper,workdir=work $DIR";
    inside("conforms", layers);
}

/// Has neither `O_DIRECT` nor `fallocate` nor extended attributes.
#[test]
fn files_on_ramfs_conform() {
    inside("conforms", "mount -t ramfs ramfs $DIR");
}

#[test]
fn a_full_disk_fails_an_upload_and_no_other() {
    inside("fills", "mount -t tmpfs -o size=8m tmpfs $DIR");
}

#[test]
fn a_disk_that_became_read_only_denies() {
    inside("is_denied", "mount -t tmpfs tmpfs $DIR");
}

#[tokio::test]
#[ignore = "run by the tests above, where something is mounted"]
async fn conforms() {
    for io in [FileIoChoice::Ring, FileIoChoice::Threads] {
        conformance::all(&open(&dir(), io)).await;
        assert_empty(&dir());
    }
}

#[tokio::test]
#[ignore = "run by the tests above, where something is mounted"]
async fn fills() {
    for io in [FileIoChoice::Ring, FileIoChoice::Threads] {
        let store = open(&dir(), io);
        for size in [None, Some(9 << 20)] {
            let error = put(&store, 9, size).await.unwrap_err();
            assert!(matches!(error, Error::Full(_)), "{error:?}");
            assert_empty(&dir());
        }
        let url = put(&store, 6, Some(6 << 20)).await.unwrap();
        store.delete(&url).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "run by the tests above, where something is mounted"]
async fn is_denied() {
    let store = open(&dir(), FileIoChoice::Auto);
    let url = put(&store, 1, None).await.unwrap();
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,ro"]).arg(dir());
    assert!(remount.status().unwrap().success());
    let denied = |result: Error| assert!(matches!(result, Error::Denied(_)), "{result:?}");
    denied(put(&store, 1, None).await.unwrap_err());
    denied(store.delete(&url).await.unwrap_err());
    assert_eq!(store.size(&url).await.unwrap(), 1 << 20);
}

/// Runs one of the ignored tests after `mount`, which is shell: it puts something on `$DIR`.
fn inside(test: &str, mount: &str) {
    let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = base.path().join("mounted");
    std::fs::create_dir(&dir).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let (namespaces, options) = match is_root {
        true => (&["--mount"][..], ""),
        false => (
            &["--mount", "--user", "--map-root-user"][..],
            "-o userxattr",
        ),
    };
    let program = env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-euc"])
        .arg(format!(
            "{{ {mount}; }} && exec \"$PROGRAM\" --ignored --exact store::mounted::{test}"
        ))
        .env("BASE", base.path())
        .env("DIR", &dir)
        .env("OPTIONS", options)
        .env("PROGRAM", program)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn dir() -> PathBuf {
    env::var_os("DIR").expect("run by `inside`").into()
}

/// Writes so many MiB as the data plane does, and gives up as it does.
async fn put(store: &dyn Store, mebibytes: usize, size: Option<u64>) -> Result<String, Error> {
    let intent = store
        .intend(&ImageId::random(), Attempt::random(), size)
        .await?;
    let result = async {
        let mut writer = store.writer(&intent, size).await?;
        for _ in 0..mebibytes {
            let chunk = fresnel::buf::Chunk::new(vec![1; 1 << 20].into());
            writer.write(chunk).await?;
        }
        writer.commit().await
    };
    match result.await {
        Ok(published) => Ok(published.url),
        Err(error) => {
            store.discard(&intent).await?;
            Err(error)
        }
    }
}
