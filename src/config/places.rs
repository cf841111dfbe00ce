//! What options name on this machine: files that are read, files and directories that are written. The
//! machine that is configured may be another, so that nobody but `fresnel config check` looks.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::{Config, Effective, Kind, Problem};
use crate::http::Tls;

/// Options that name a file which is read, in whatever section.
const READ: [&str; 18] = [
    "ca_file",
    "cafile",
    "cert_file",
    "certfile",
    "cinder_ca_certificates_file",
    "https_ca_certificates_file",
    "key_file",
    "keyfile",
    "rbd_store_ceph_conf",
    "remote_ssl_ca_crt_file",
    "remote_ssl_client_crt_file",
    "remote_ssl_client_key_file",
    "s3_store_cacert",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "swift_store_cacert",
    "upstream_ca_file",
];

impl Config {
    /// What of it the user of this process cannot use. Nothing is made or written.
    pub fn unusable(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for named in &self.effective {
            for path in paths(named).filter(|_| READ.contains(&named.option.name)) {
                problems.extend(File::open(&path).err().map(|e| problem(named, &path, &e)));
            }
        }
        if let (true, Some(tls)) = (problems.is_empty(), &self.http.tls)
            && let Err(error) = Tls::open(tls)
        {
            let named = self.named("cert_file", &tls.cert_file);
            problems.extend(named.map(|named| problem(named, &tls.cert_file, &error)));
        }
        let log = self.logs.file.iter().map(|file| ("log_", file.as_path()));
        let cache = self.cache.iter();
        let cache = cache.map(|cache| ("image_cache_dir", cache.bytes.dir.as_path()));
        let stores = self
            .stores
            .stores
            .iter()
            .filter_map(|store| match &store.kind {
                Kind::File(files) => Some(files.datadirs.iter()),
                _ => None,
            });
        let stores = stores.flatten();
        let stores = stores.map(|dir| ("filesystem_store_datadir", dir.path.as_path()));
        for (option, path) in log.chain(cache).chain(stores) {
            if let (Some(named), Err(error)) = (self.named(option, path), writable(path)) {
                problems.push(problem(named, path, &error));
            }
        }
        problems
    }

    /// The option whose name begins so, and that names this path or a part of it.
    fn named(&self, option: &str, path: &Path) -> Option<&Effective> {
        let text = path.display().to_string();
        let same = |named: &&Effective| {
            let begins = named.option.name.starts_with(option);
            begins && paths(named).any(|named| text.contains(&named.display().to_string()))
        };
        let mut found = self.effective.iter().filter(same);
        found.next()
    }
}

/// The paths that an option's values are. Those of `filesystem_store_datadirs` have a priority behind them.
fn paths(named: &Effective) -> impl Iterator<Item = PathBuf> {
    let set = named.shown.iter().filter(|shown| !shown.is_empty());
    set.map(|shown| {
        let text = shown.replace("\\$", "$");
        match text.rsplit_once(':') {
            Some((path, priority)) if priority.parse::<i64>().is_ok() => path.into(),
            _ => text.into(),
        }
    })
}

/// What is not there yet is made in the nearest directory above it.
fn writable(path: &Path) -> io::Result<()> {
    let found = path.ancestors().find(|path| path.exists());
    let found = found.unwrap_or(Path::new("."));
    if found != path && !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(found, Access::WRITE_OK)?)
}

fn problem(named: &Effective, path: &Path, error: &dyn std::fmt::Display) -> Problem {
    let (section, option, path) = (&named.section, named.option.name, path.display());
    Problem {
        place: named.place.clone(),
        message: format!("[{section}] {option}: {path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;

    #[test]
    fn what_an_option_names_is_looked_at() {
        let text = "[DEFAULT]\ncert_file = /nowhere/cert\nkey_file = /nowhere/key\n\
                    log_file = /etc/hosts/log\nimage_cache_dir = /etc/hosts/cache\n\
                    enabled_backends = fast:file,cheap:file,blocks:rbd\n\
                    [glance_store]\ndefault_backend = fast\n\
                    [fast]\nfilesystem_store_datadir = /etc/hosts/fast\n\
                    [cheap]\nfilesystem_store_datadirs = /etc/hosts/one:10\n\
                    [blocks]\nrbd_store_ceph_conf = /nowhere/ceph.conf\n\
                    [keystone_authtoken]\ncafile = /nowhere/ca\n";
        let problems = load_text(text).unwrap().unusable();
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for expected in [
            "a.conf:2: [DEFAULT] cert_file: /nowhere/cert: ",
            "a.conf:3: [DEFAULT] key_file: /nowhere/key: ",
            "a.conf:4: [DEFAULT] log_file: /etc/hosts/log: not a directory",
            "a.conf:5: [DEFAULT] image_cache_dir: /etc/hosts/cache",
            "a.conf:10: [fast] filesystem_store_datadir: /etc/hosts/fast: not a directory",
            "a.conf:12: [cheap] filesystem_store_datadirs: /etc/hosts/one: not a directory",
            "a.conf:14: [blocks] rbd_store_ceph_conf: /nowhere/ceph.conf: ",
        ] {
            let named = found.iter().any(|problem| problem.starts_with(expected));
            assert!(named, "{expected}: {found:?}");
        }
        assert!(load_text("").unwrap().unusable().is_empty());
    }
}
