use super::*;

/// Loads one file of that text, named `a.conf`.
fn load_text(text: &str) -> Result<Config, Errors> {
    let (mut files, mut problems) = (Files::default(), Vec::new());
    files.add("a.conf", text, &mut problems);
    from_files(&files, None, problems)
}

fn errors(text: &str) -> Vec<String> {
    let errors = load_text(text).unwrap_err();
    errors.0.iter().map(Problem::to_string).collect()
}

fn error(text: &str) -> String {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}

fn shown(config: &Config, section: &str, name: &str) -> Vec<String> {
    let same = |e: &&Effective| e.section == section && e.option.name == name;
    config.effective.iter().find(same).unwrap().shown()
}

mod defaults {
    use super::*;

    #[test]
    fn no_configuration_is_one_file_store_in_the_data_directory() {
        let config = load(&Sources::default()).unwrap();
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(!config.stores.multistore);
        assert_eq!(config.stores.default.as_str(), "file");
        assert_eq!(
            config.stores.staging_dir,
            PathBuf::from("./fresnel-data/staging")
        );
        let Kind::File(dirs) = &config.stores.stores[0].kind;
        assert_eq!(dirs.datadirs, [("./fresnel-data/images".into(), 0)]);
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
        let config = from_files(&files, Some("/data".into()), Vec::new()).unwrap();
        assert_eq!(config.stores.staging_dir, PathBuf::from("/other/staging"));
    }

    #[test]
    fn the_defaults_of_images_are_those_of_their_layer() {
        let config = load(&Sources::default()).unwrap();
        let expected = crate::control::Settings {
            stores: config.control.stores.clone(),
            ..Default::default()
        };
        assert_eq!(format!("{:?}", config.control), format!("{expected:?}"));
        let expected = crate::data::Settings::default();
        assert_eq!(format!("{:?}", config.data), format!("{expected:?}"));
    }
}
