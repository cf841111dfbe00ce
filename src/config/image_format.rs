//! `[image_format]`.

use super::option::section;

section! {
    /// What the bytes of an image may be.
    ImageFormat in "image_format" {
        /// Values of `container_format`.
        container_formats: Vec<String> = "ami,ari,aki,bare,ovf,ova,docker,compressed",
            was &[("DEFAULT", "container_formats")];
        /// Values of `disk_format`.
        disk_formats: Vec<String> = "ami,ari,aki,vhd,vhdx,vmdk,raw,qcow2,vdi,iso,ploop",
            was &[("DEFAULT", "disk_formats")];
        /// Subformats that a VMDK may have.
        vmdk_allowed_types: Vec<String> = "streamOptimized,monolithicSparse";
        /// Refuse an upload whose bytes are not of the image's `disk_format`.
        require_image_format_match: bool = "true";
        /// Safety checks of a GPT disk that only warn when they fail.
        gpt_safety_checks_nonfatal: Vec<String> = "";
    }
}
