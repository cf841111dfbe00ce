//! What is done to images on their way in, and what comes along with them (reference B.3).

use super::{
    option::section,
    reader::Reader,
    value::{Bracketed, Pairs, Value},
};
use crate::{
    control::import::{Inject, Plugins},
    data::{inspect::Format, stage},
};

/// Properties that begin so are ours, and no operator's.
const RESERVED: &str = "os_glance";

section! {
    /// What is done to images on their way in, where they are imported; a copy is as its image is.
    ImageImport in "image_import_opts" {
        /// Of `image_decompression` (what comes as gzip or zip is unpacked), `image_conversion` and
        /// `inject_image_metadata`, in any order: images are unpacked first. Others are refused.
        image_import_plugins: PluginList = "[]";
    }
}

section! {
    /// For the plugin `image_conversion`.
    ImageConversion in "image_conversion" {
        /// What images become: `raw`, `qcow2` or `vmdk`. qcow2 becomes raw while it passes; the rest
        /// is done by `qemu-img`, which must be there.
        output_format: Output = "raw";
    }
}

section! {
    /// For the plugin `inject_image_metadata`.
    InjectMetadata in "inject_metadata_properties" {
        /// Whose images are spared.
        ignore_user_roles: Vec<String> = "admin";
        /// Properties that the others' images get.
        inject: Option<Pairs>;
    }
}

section! {
    /// For imports by `glance-download`.
    GlanceDownload in "glance_download_properties" {
        /// How the names begin of the properties that come along.
        extra_properties: Bracketed = "[hw_,trait:,os_distro,os_secure_boot,os_type]";
    }
}

/// Plugins, as Glance names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PluginList {
    decompress: bool,
    convert: bool,
    inject: bool,
}

/// A format that images are converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output(Format);

impl Value for PluginList {
    const KIND: &'static str = "list";

    fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for name in Bracketed::parse(text)?.0 {
            match name.as_str() {
                "image_decompression" => list.decompress = true,
                "image_conversion" => list.convert = true,
                "inject_image_metadata" => list.inject = true,
                "no_op" => {}
                _ => {
                    return Err(format!(
                        "{name:?} is no plugin here: images would be stored without it"
                    ));
                }
            }
        }
        Ok(list)
    }
}

impl Value for Output {
    const KIND: &'static str = "one of `raw`, `qcow2`, `vmdk`";

    fn parse(text: &str) -> Result<Self, String> {
        let format = match text {
            "raw" => Format::Raw,
            "qcow2" => Format::Qcow2,
            "vmdk" => Format::Vmdk,
            _ => return Err(format!("{text:?} is not {}", Self::KIND)),
        };
        Ok(Self(format))
    }
}

/// Reads the plugins, and the prefixes of the properties that `glance-download` takes along.
pub(super) fn read(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> (Plugins, Vec<String>) {
    let list = ImageImport::read(reader, &["image_import_opts"]).image_import_plugins;
    let conversion = ImageConversion::read(reader, &["image_conversion"]);
    let metadata = InjectMetadata::read(reader, &["inject_metadata_properties"]);
    let download = GlanceDownload::read(reader, &["glance_download_properties"]);
    let properties = metadata.inject.map_or(Vec::new(), |pairs| pairs.0);
    let (reserved, properties): (Vec<_>, Vec<_>) = properties
        .into_iter()
        .partition(|(name, _)| name.starts_with(RESERVED));
    if !reserved.is_empty() {
        let names: Vec<&str> = reserved.iter().map(|(name, _)| name.as_str()).collect();
        warnings.push(format!(
            "[inject_metadata_properties] inject: these names are reserved and are not set: {}",
            names.join(", ")
        ));
    }
    let plugins = Plugins {
        stage: stage::Plugins {
            decompress: list.decompress,
            convert: list.convert.then_some(conversion.output_format.0),
        },
        inject: list.inject.then(|| Inject {
            properties: properties.into_iter().collect(),
            spared_roles: metadata.ignore_user_roles,
        }),
    };
    (plugins, download.extra_properties.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{error, load_text};

    fn plugins(text: &str) -> Plugins {
        load_text(text).unwrap().control.import.plugins
    }

    #[test]
    fn plugins_are_named_in_a_list_and_told_in_their_sections() {
        let none = plugins("");
        assert!(none.stage.is_none() && none.inject.is_none());
        let all = plugins(
            "[image_import_opts]\nimage_import_plugins = ['no_op', image_conversion, \
             'image_decompression', \"inject_image_metadata\"]\n[image_conversion]\n\
             output_format = qcow2\n[inject_metadata_properties]\n\
             inject = from:import, os_glance_x:y\nignore_user_roles = admin, manager\n",
        );
        assert!(all.stage.decompress);
        assert_eq!(all.stage.convert, Some(Format::Qcow2));
        let inject = all.inject.unwrap();
        assert_eq!(inject.spared_roles, ["admin", "manager"]);
        assert_eq!(inject.properties.len(), 1, "{:?}", inject.properties);
    }

    #[test]
    fn a_plugin_that_is_not_here_is_not_left_out() {
        let refused = error("[image_import_opts]\nimage_import_plugins = [ours]");
        assert!(refused.contains("\"ours\" is no plugin here"), "{refused}");
        let refused = error("[image_conversion]\noutput_format = vdi");
        assert!(refused.contains("is not one of"), "{refused}");
    }
}
