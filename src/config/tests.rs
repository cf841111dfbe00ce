use super::*;

/// Loads one file of that text, named `a.conf`.
pub(super) fn load_text(text: &str) -> Result<Config, Errors> {
    let (mut files, mut problems) = (Files::default(), Vec::new());
    files.add("a.conf", text, &mut problems);
    from_files(&files, Role::Service, None, problems)
}

/// The same for a cache node.
pub(super) fn load_node_text(text: &str) -> Result<Config, Errors> {
    let (mut files, mut problems) = (Files::default(), Vec::new());
    files.add("a.conf", text, &mut problems);
    files.add("fresnel node", NODE, &mut problems);
    from_files(&files, Role::Node, None, problems)
}

pub(super) fn errors(text: &str) -> Vec<String> {
    let errors = load_text(text).unwrap_err();
    errors.0.iter().map(Problem::to_string).collect()
}

pub(super) fn error(text: &str) -> String {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}

pub(super) fn shown(config: &Config, section: &str, name: &str) -> Vec<String> {
    let same = |e: &&Effective| e.section == section && e.option.name == name;
    config.effective.iter().find(same).unwrap().shown.clone()
}

mod defaults {
    use super::*;

    #[test]
    fn no_configuration_is_one_file_store_in_the_data_directory() {
        let config = load(&Sources::default()).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(!config.stores.multistore);
        assert_eq!(config.stores.default.as_str(), "file");
        let Kind::File(dirs) = &config.stores.stores[0].kind else {
            panic!("{:?}", config.stores)
        };
        assert_eq!(
            dirs,
            &crate::store::file::Config::in_dir("./fresnel-data/images")
        );
        assert_eq!(config.http.bind_host, "127.0.0.1");
    }

    #[test]
    fn the_environment_moves_the_data_directory_and_a_file_wins_over_it() {
        let sources = Sources {
            data_dir: Some("/data".into()),
            ..Sources::default()
        };
        let config = load(&sources).unwrap();
        assert_eq!(
            shown(&config, "database", "connection"),
            ["sqlite:////data/fresnel.sqlite"]
        );
        let mut files = Files::default();
        files.add("a.conf", "[fresnel]\ndata_dir = /other", &mut Vec::new());
        let config = from_files(&files, Role::Service, Some("/data".into()), Vec::new()).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/other"));
    }

    #[test]
    fn the_password_of_the_database_is_not_shown() {
        let config = load_text("[database]\nconnection = mysql+pymysql://glance:hunter2@db/glance");
        let config = config.unwrap();
        assert_eq!(config.db.url, "mysql+pymysql://glance:hunter2@db/glance");
        let connection = shown(&config, "database", "connection");
        assert_eq!(connection, ["mysql+pymysql://glance:***@db/glance"]);
        assert!(!format!("{config:?}").contains("hunter2"));
        let message = error("[database]\nconnection = oracle://glance:hunter2@db/glance");
        assert!(message.starts_with("a.conf:2: [database] connection: unsupported database"));
        assert!(!message.contains("hunter2"));
    }

    #[test]
    fn the_defaults_of_images_are_those_of_their_layer() {
        let config = load(&Sources::default()).unwrap();
        let expected = crate::control::Settings {
            stores: config.control.stores.clone(),
            import: config.control.import.clone(),
            ..Default::default()
        };
        assert_eq!(format!("{:?}", config.control), format!("{expected:?}"));
        let expected = crate::data::Settings::default();
        assert_eq!(format!("{:?}", config.data), format!("{expected:?}"));
    }
}

mod values {
    use proptest::prelude::*;

    use super::*;

    /// Texts that are made of what options are made of.
    fn conf(lines_max: usize) -> impl Strategy<Value = String> {
        let options: Vec<_> = all_options().collect();
        let sections =
            "\\[(DEFAULT|database|glance_store|fresnel|image_format|a|backend_defaults)\\]";
        let value = "[ -~]{0,20}|a:file(,b:file)?|[0-9]{1,30}|\\$[a-z_]{1,12}|\\$fresnel.data_dir";
        let option = proptest::sample::select(options);
        let line = prop_oneof![
            1 => sections,
            6 => (option, value).prop_map(|(option, value)| format!("{} = {value}", option.name)),
        ];
        let lines = proptest::collection::vec(line, 0..lines_max);
        lines.prop_map(|lines| format!("[glance_store]\n{}", lines.join("\n")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_configuration_loads_or_is_refused(text in conf(30), data_dir in "[ -~]{0,9}") {
            let (mut files, mut problems) = (Files::default(), Vec::new());
            files.add("a.conf", &text, &mut problems);
            let _ = from_files(&files, Role::Service, Some(data_dir), problems);
        }

        #[test]
        fn what_is_shown_loads_to_the_same(text in conf(4)) {
            let Ok(config) = load_text(&text) else {
                return Ok(());
            };
            let lines = config.effective.iter().flat_map(|e| {
                let line = move |value| format!("[{}]\n{} = {value}\n", e.section, e.option.name);
                e.shown.iter().map(line)
            });
            let again = load_text(&lines.collect::<String>()).unwrap();
            let values = |config: &Config| {
                let shown = config.effective.iter().map(|e| (e.option.name, e.shown.clone()));
                shown.collect::<Vec<_>>()
            };
            prop_assert_eq!(values(&again), values(&config));
        }
    }

    #[test]
    fn the_last_value_counts_and_an_older_name_in_a_later_file_too() {
        let mut files = Files::default();
        files.add(
            "a",
            "[image_format]\ndisk_formats = a\ndisk_formats = b",
            &mut Vec::new(),
        );
        let config = from_files(&files, Role::Service, None, Vec::new()).unwrap();
        assert_eq!(config.control.disk_formats, ["b"]);
        files.add("b", "[DEFAULT]\ndisk_formats = c", &mut Vec::new());
        let config = from_files(&files, Role::Service, None, Vec::new()).unwrap();
        assert_eq!(config.control.disk_formats, ["c"]);
    }

    #[test]
    fn sections_are_compared_without_case_but_for_default() {
        let config =
            load_text("[Image_Format]\ndisk_formats = x\n[default]\ndebug = true").unwrap();
        assert_eq!(config.control.disk_formats, ["x"]);
        assert!(!config.logs.debug);
        assert_eq!(config.warnings.len(), 1);
    }

    #[test]
    fn references_are_replaced() {
        let config = load_text(
            "[DEFAULT]\nlog_dir = /var/$bind_port\nlog_file = ${fresnel.lease_seconds}.log\n\
             public_endpoint = a$$b\\$c$1\n[fresnel]\nlease_seconds = 20",
        );
        let config = config.unwrap();
        assert_eq!(config.logs.file, Some("/var/9292/20.log".into()));
        assert_eq!(
            shown(&config, "DEFAULT", "public_endpoint"),
            ["a\\$b\\$c\\$1"]
        );
    }

    #[test]
    fn references_to_nothing_and_to_themselves_are_errors() {
        let message = error("[database]\nconnection = mysql://a:pa$word@b/c");
        assert!(
            message.starts_with("a.conf:2: [database] connection: $word is not"),
            "{message}"
        );
        assert!(!message.contains("pa$"));
        let message = error("[DEFAULT]\nlog_dir = $log_dir");
        assert!(message.ends_with("lead back to itself"), "{message}");
    }

    #[test]
    fn a_storage_quota_has_a_unit_or_is_bytes() {
        for (text, bytes) in [
            ("0", None),
            ("7", Some(7)),
            ("7B", Some(7)),
            ("3KB", Some(3 << 10)),
            ("5TB", Some(5 << 40)),
        ] {
            let config = load_text(&format!("[DEFAULT]\nuser_storage_quota = {text}")).unwrap();
            assert_eq!(config.control.user_storage_quota_bytes, bytes, "{text}");
        }
        for text in ["-1", "10 GB", "1gb", "GB", "1PB", "9223372036854775808"] {
            load_text(&format!("[DEFAULT]\nuser_storage_quota = {text}")).unwrap_err();
        }
    }

    #[test]
    fn a_negative_quota_is_none() {
        let config = load_text("[DEFAULT]\nimage_tag_quota = -1\nimage_member_quota = 0").unwrap();
        assert_eq!(config.control.image_tag_quota, None);
        assert_eq!(config.control.image_member_quota, Some(0));
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_place() {
        let found = errors(
            "[DEFAULT]\nbind_port = 70000\nimage_size_cap = 0\nuse_json = perhaps\n\n nonsense\n\
             hashing_algorithm = rot13\n[fresnel]\nfile_io = magic\nmetrics_bind = here",
        );
        let places: Vec<&str> = found.iter().map(|e| &e[..e.find(": ").unwrap()]).collect();
        let expected = [2, 3, 4, 6, 7, 9, 10].map(|line| format!("a.conf:{line}"));
        assert_eq!(places, expected);
        assert_eq!(
            found[1],
            "a.conf:3: [DEFAULT] image_size_cap: 0 is less than 1"
        );
    }

    #[test]
    fn a_missing_file_is_an_error_and_so_is_a_missing_directory() {
        let sources = Sources {
            files: vec![
                Source::File("/none.conf".into()),
                Source::Dir("/none.d".into()),
            ],
            ..Sources::default()
        };
        let errors = load(&sources).unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 2, "{errors}");
        assert!(errors.starts_with("/none.conf: No such file"), "{errors}");
    }

    #[test]
    fn a_directory_is_its_conf_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [
            ("b.conf", 2),
            ("a.conf", 1),
            (".c.conf", 3),
            ("d.conf.bak", 4),
        ] {
            let text = format!("[DEFAULT]\nbind_port = {value}");
            fs::write(folder.path().join(name), text).unwrap();
        }
        let sources = Sources {
            files: vec![Source::Dir(folder.path().into())],
            ..Sources::default()
        };
        assert_eq!(load(&sources).unwrap().http.bind_port, 2);
    }
}

mod files {
    use super::*;

    #[test]
    fn the_image_schema_is_read_and_must_be_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema-image.json");
        let text = format!("[fresnel]\nimage_schema_file = {}", path.display());
        assert!(error(&text).contains("a.conf:2: [fresnel] image_schema_file: "));
        fs::write(&path, "{").unwrap();
        assert!(error(&text).contains("EOF while parsing"));
        fs::write(&path, "{}").unwrap();
        let config = load_text(&text).unwrap();
        assert_eq!(config.api.image_schema_json.as_deref(), Some("{}"));
    }
}

mod listening {
    use super::*;

    #[test]
    fn without_authentication_only_loopback_will_do() {
        let message = error("[DEFAULT]\nbind_host = 0.0.0.0");
        assert!(
            message.starts_with("a.conf:2: [DEFAULT] bind_host: 0.0.0.0 is not"),
            "{message}"
        );
        for host in ["127.0.0.9", "::1", "localhost"] {
            load_text(&format!("[DEFAULT]\nbind_host = {host}")).unwrap();
        }
        load_text("[DEFAULT]\nbind_host = ::\n[fresnel]\nallow_unauthenticated = yes").unwrap();
    }

    #[test]
    fn tls_needs_both_files() {
        let config = load_text("[DEFAULT]\ncert_file = c\nkey_file = k").unwrap();
        assert!(config.http.tls.is_some());
        let message = error("[DEFAULT]\ncert_file = c");
        assert_eq!(
            message,
            "a.conf:2: [DEFAULT] cert_file: does nothing without key_file"
        );
        let message = error("[DEFAULT]\nca_file = c");
        assert!(message.ends_with("ca_file: does nothing without cert_file and key_file"));
    }
}

mod stores;

mod guarded {
    use super::*;
    use crate::config::guards::GUARDS;

    #[test]
    fn what_protects_or_places_data_is_refused_with_its_line() {
        for guard in GUARDS {
            let text = format!("[{}]\n{} = true", guard.section, guard.name);
            let place = format!("a.conf:2: [{}] {}: ", guard.section, guard.name);
            assert!(errors(&text).contains(&(place + guard.reason)));
        }
    }

    #[test]
    fn values_that_ask_for_nothing_may_stay() {
        for guard in GUARDS {
            for value in ["", " "].iter().chain(guard.harmless) {
                let text = format!("[{}]\n{} = {value}", guard.section, guard.name);
                assert!(load_text(&text).unwrap().warnings.is_empty());
            }
        }
    }
}

mod warnings {
    use super::*;

    /// As deployment tools write it, but for what is refused.
    const DEPLOYED: &str = "\
[DEFAULT]
debug = False
log_file = /var/log/glance/glance-api.log
use_forwarded_for = true
bind_host = 127.0.0.1
bind_port = 9292
workers = 5
cinder_catalog_info = volumev3:cinderv3:internalURL
enabled_backends = fast:file, cheap:file
transport_url = rabbit://openstack:hunter2@10.0.0.2:5672//
enabled_import_methods = [glance-direct,'web-download']
show_multiple_locations = True

[database]
connection = mysql+pymysql://glance:hunter2@10.0.0.2:3306/glance?charset=utf8
connection_recycle_time = 10
max_pool_size = 1
max_retries = -1

[keystone_authtoken]
www_authenticate_uri = http://10.0.0.2:5000
auth_url = http://10.0.0.2:5000
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = glance
password = hunter2
memcached_servers = 10.0.0.2:11211
memcache_secret_key = hunter2
service_token_roles_required = True

[paste_deploy]
flavor =

[glance_store]
default_backend = fast

[fast]
filesystem_store_datadir = /var/lib/glance/fast
store_description = \"the fast one\"
filesystem_store_chunk_size = 65536

[cheap]
filesystem_store_datadir = /var/lib/glance/cheap

[os_glance_staging_store]
filesystem_store_datadir = /var/lib/glance/staging

[os_glance_tasks_store]
filesystem_store_datadir = /var/lib/glance/tasks

[oslo_middleware]
enable_proxy_headers_parsing = True

[oslo_concurrency]
lock_path = $state_path/tmp

[oslo_messaging_notifications]
transport_url = rabbit://openstack:hunter2@10.0.0.2:5672//
driver = messagingv2
";

    #[test]
    fn a_deployed_configuration_loads() {
        let config = load_text(DEPLOYED).unwrap();
        assert_eq!(config.stores.stores.len(), 2);
        assert_eq!(config.db.connections_max, 12);
        let description = config.control.stores[0].description.as_deref();
        assert_eq!(description, Some("the fast one"));
        let [internal, _, unknown] = config.warnings.as_slice() else {
            panic!("{:?}", config.warnings);
        };
        assert!(internal.ends_with("allowed_hosts names no host"));
        let names =
            "[DEFAULT] use_forwarded_for (a.conf:4), [DEFAULT] cinder_catalog_info (a.conf:8)";
        assert!(unknown.ends_with(names), "{unknown}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_has_no_effect_is_named_once() {
        let config = load_text(
            "[DEFAULT]\nworkers = 4\nexecutor_thread_pool_size = 9\n[task]\nwork_dir = /w",
        );
        let config = config.unwrap();
        assert_eq!(
            config.warnings,
            [
                "These options are not supported and have no effect: [DEFAULT] workers (a.conf:2), \
              [DEFAULT] executor_thread_pool_size (a.conf:3), [task] work_dir (a.conf:5)"
            ]
        );
    }

    #[test]
    fn what_nobody_knows_is_told_apart() {
        let config = load_text("[DEFAULT]\nbind_hots = x\n[nowhere]\na = b").unwrap();
        assert_eq!(config.warnings.len(), 1);
        assert!(config.warnings[0].starts_with("These options are not known"));
    }

    #[test]
    fn no_option_is_both_supported_and_not() {
        for (section, names) in unsupported::sections() {
            for option in all_options() {
                let both = option.section == section && names.contains(&option.name);
                assert!(!both, "[{section}] {}", option.name);
            }
        }
    }
}
