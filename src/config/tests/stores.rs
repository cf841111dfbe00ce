//! Stores in a configuration.

use super::*;

fn multi(rest: &str) -> String {
    format!(
        "[DEFAULT]\nenabled_backends = fast:file, Slow:file\n[glance_store]\ndefault_backend = fast\n{rest}"
    )
}

const DIRS: &str = "[fast]\nfilesystem_store_datadir = /f\n[slow]\nfilesystem_store_datadirs = /a:1\n\
                    filesystem_store_datadirs = /b\nweight = 7\n[backend_defaults]\nweight = 3\n\
                    store_description = weighs $weight";

#[test]
fn each_store_has_its_section_and_the_shared_one_below() {
    let config = load_text(&multi(DIRS)).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.stores.multistore && config.control.multistore);
    assert_eq!(config.stores.default.as_str(), "fast");
    let settings = &config.control.stores;
    assert_eq!(settings[0].id.as_str(), "fast");
    assert_eq!((settings[0].weight, settings[1].weight), (3, 7));
    let Kind::File(slow) = &config.stores.stores[1].kind else {
        panic!("{:?}", config.stores)
    };
    let dirs: Vec<_> = slow
        .datadirs
        .iter()
        .map(|d| (d.path.to_str().unwrap(), d.priority))
        .collect();
    assert_eq!(dirs, [("/a", 1), ("/b", 0)]);
}

#[test]
fn types_that_are_not_served_are_refused_with_their_line() {
    for kind in ["vmware", "floppy"] {
        let text =
            format!("[DEFAULT]\nenabled_backends = a:{kind}\n[glance_store]\ndefault_backend = a");
        let message = error(&text);
        assert!(
            message.starts_with("a.conf:2: [DEFAULT] enabled_backends: store a: "),
            "{message}"
        );
        assert!(message.contains(kind), "{message}");
    }
}

#[test]
fn the_default_must_be_one_of_them() {
    let text = "[DEFAULT]\nenabled_backends = a:file\n[a]\nfilesystem_store_datadir = /a\n";
    let message = error(text);
    assert_eq!(
        message,
        "a.conf:2: [glance_store] default_backend: must name one of enabled_backends"
    );
    let message = error(&format!("{text}[glance_store]\ndefault_backend = b"));
    assert!(
        message.ends_with("\"b\" is not one of enabled_backends"),
        "{message}"
    );
}

#[test]
fn where_a_store_that_encrypts_has_its_objects_is_told_to_nobody() {
    let text = multi(&format!("{DIRS}\n[fast]\nfresnel_encryption_key = x\n"));
    let stores = load_text(&text).unwrap().stores;
    let fast = &stores.stores[0].settings;
    assert_eq!(stores.encryption_key(&fast.id), Some("x"));
    assert_eq!(stores.encryption_key(&stores.stores[1].settings.id), None);
    assert!(fast.properties.is_empty());
    for option in ["show_image_direct_url", "show_multiple_locations"] {
        let refused = error(&format!("[DEFAULT]\n{option} = true\n{text}"));
        let reason = "cannot be with fresnel_encryption_key of the store fast";
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn reserved_names_are_refused() {
    let text = "[DEFAULT]\nenabled_backends = os_glance_x:file\n[glance_store]\n\
                default_backend = os_glance_x\n[os_glance_x]\nfilesystem_store_datadir = /x";
    assert!(error(text).contains("reserved"));
}

#[test]
fn several_stores_need_directories_of_their_own() {
    let found = errors(&multi("[fast]\nfilesystem_store_datadir = /f"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("a.conf:2: [Slow] filesystem_store_datadir: must be set"));
    let text =
        multi("[fast]\nfilesystem_store_datadir = /f\n[slow]\nfilesystem_store_datadir = /f/");
    assert!(error(&text).ends_with("belongs to store fast too"));
}

#[test]
fn one_store_is_set_up_in_glance_store() {
    let config = load_text(
        "[glance_store]\nstores = file,http\ndefault_store = file\n\
         filesystem_store_datadir = /var/lib/glance/images\nfilesystem_store_file_perm = 640",
    );
    let config = config.unwrap();
    let Kind::File(file) = &config.stores.stores[0].kind else {
        panic!("{:?}", config.stores)
    };
    assert_eq!(file.file_perm, Some(0o640));
    assert_eq!(
        file.datadirs[0].path,
        PathBuf::from("/var/lib/glance/images")
    );
    assert_eq!(
        config.warnings,
        [
            "Images at addresses of loopback, link-local and private networks are not read: \
             [import_filtering_opts] allowed_hosts names no host"
        ]
    );
    assert!(matches!(config.stores.stores[1].kind, Kind::Http(_)));
    let message = error("[glance_store]\nstores = file,vmware");
    assert!(message.contains("\"vmware\" is not supported"));
    let message = error("[glance_store]\ndefault_store = vmware");
    assert!(message.contains("only cinder, file, rbd, s3 and swift are"));
    assert!(error("[glance_store]\ndefault_store = rbd").contains("is not one of stores"));
}

#[test]
fn the_one_store_may_be_a_pool_of_ceph() {
    let config = load_text(
        "[glance_store]\nstores = rbd,http\ndefault_store = rbd\nrbd_store_pool = images\n\
         rbd_store_user = glance\nrbd_store_ceph_conf = /etc/ceph/ceph.conf\n\
         rbd_store_chunk_size = 8\nrados_connect_timeout = 0",
    );
    let config = config.unwrap();
    let Kind::Rbd(rbd) = &config.stores.stores[0].kind else {
        panic!("{:?}", config.stores)
    };
    assert_eq!((rbd.pool.as_str(), rbd.order), ("images", 23));
    assert_eq!(rbd.user.as_deref(), Some("glance"));
    assert_eq!(rbd.timeouts.operation, None);
    assert_eq!(config.stores.default.as_str(), "rbd");
    assert!(config.warnings.iter().any(|w| w.contains("for ever")));
}

const CINDER: &str = "cinder_store_auth_address = http://k:5000/v3\ncinder_store_user_name = glance\n\
                      cinder_store_password = hunter2\ncinder_store_project_name = service\n\
                      cinder_volume_type = rbd\ncinder_catalog_info = volumev3:cinderv3:internalURL\n\
                      os_region_name = north\n";

#[test]
fn volumes_are_in_one_project() {
    let text = format!("[glance_store]\nstores = cinder\ndefault_store = cinder\n{CINDER}");
    let config = load_text(&text).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let Kind::Cinder(own) = &config.stores.stores[0].kind else {
        panic!("{:?}", config.stores)
    };
    assert!(!own.multistore);
    assert_eq!(own.volume_type.as_deref(), Some("rbd"));
    assert_eq!(own.cinder.region.as_deref(), Some("north"));
    assert_eq!(own.cinder.interface, "internal");
    assert!(!format!("{own:?}").contains("hunter2"));
    for (option, complaint) in [
        ("cinder_store_auth_address", "tokens, are not supported"),
        ("cinder_store_user_name", "must be set, beside"),
        ("cinder_store_project_name", "must be set, beside"),
        ("cinder_catalog_info", "is not <type>"),
    ] {
        let message = error(&format!("{text}{option} = \n").replace("_info = \n", "_info = x\n"));
        assert!(message.contains(option), "{message}");
        assert!(message.contains(complaint), "{message}");
    }
    let several = format!(
        "[DEFAULT]\nenabled_backends = c:cinder,d:cinder\n[glance_store]\ndefault_backend = c\n\
         [backend_defaults]\n{CINDER}rootwrap_config = /r\n"
    );
    let config = load_text(&several).unwrap();
    assert!(config.warnings[0].contains("rootwrap_config"));
    assert!(matches!(&config.stores.stores[1].kind, Kind::Cinder(own) if own.multistore));
}

#[test]
fn a_store_of_the_web_only_reads() {
    let text = "[DEFAULT]\nenabled_backends = a:file,w:http\n[glance_store]\n\
                default_backend = a\n[a]\nfilesystem_store_datadir = /a\n[w]\n\
                https_ca_certificates_file = /ca\n\
                http_proxy_information = http:10.0.0.1:3128\n\
                [import_filtering_opts]\nallowed_hosts = ['Images.Example', 10.0.0.9]\n\
                allowed_ports = []\ndisallowed_ports = [22]\n";
    let config = load_text(text).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let web = &config.stores.stores[1];
    assert!(web.settings.read_only);
    let Kind::Http(http) = &web.kind else {
        panic!("{web:?}")
    };
    assert_eq!(http.ca_file, Some("/ca".into()));
    assert_eq!(http.proxies.len(), 1);
    let hosts = config.web.hosts.allowed.iter().map(ToString::to_string);
    assert_eq!(hosts.collect::<Vec<_>>(), ["images.example", "10.0.0.9"]);
    assert!(config.web.ports.admits(&8080) && !config.web.ports.admits(&22));
    let message = error(&text.replace("default_backend = a", "default_backend = w"));
    assert!(message.ends_with("takes no uploads"), "{message}");
    for (good, bad, complaint) in [
        ("10.0.0.9]", "0x7f.1]", "neither the name nor the address"),
        ("[22]", "[0]", "not a port"),
        ("http:10", "ftp:10", "another scheme"),
        (
            "10.0.0.1:3128",
            "socks5://h:1",
            "not the address of an HTTP proxy",
        ),
    ] {
        let message = error(&text.replace(good, bad));
        assert!(message.contains(complaint), "{message}");
    }
}

#[test]
fn a_pool_belongs_to_one_store() {
    let text = "[DEFAULT]\nenabled_backends = a:rbd,b:rbd\n[glance_store]\n\
                default_backend = a\n[b]\nrbd_store_pool = images";
    assert!(error(text).ends_with("belongs to store a too"));
    load_text(&format!("{text}-2")).unwrap();
    assert!(error(&format!("{text}-2\nrbd_store_chunk_size = 64")).contains("MiB"));
}

#[test]
fn directories_are_one_or_many() {
    let text = "[glance_store]\nfilesystem_store_datadir = /a\nfilesystem_store_datadirs = /b:1";
    assert!(
        error(text).starts_with("a.conf:3: [glance_store] filesystem_store_datadirs: excludes")
    );
    let text = "[glance_store]\nfilesystem_store_datadirs = /b:x\nfilesystem_store_datadirs = /b\nfilesystem_store_datadirs = /b:1";
    assert_eq!(errors(text).len(), 2);
    load_text("[glance_store]\nfilesystem_store_datadir =\nfilesystem_store_datadirs = /b:1")
        .unwrap();
}
