//! Who may do what: the one place that is asked before anything is touched.

use super::{Caller, Error, Result};
use crate::model::Image;

/// The rules that operations name (reference C.2), by Glance's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the policy's")]
pub enum Rule {
    AddImage,
    AddMember,
    CommunitizeImage,
    Deactivate,
    DeleteImage,
    DeleteImageLocation,
    DeleteMember,
    DownloadFromStore,
    DownloadImage,
    GetImage,
    GetImageLocation,
    GetImages,
    GetMember,
    GetMembers,
    ModifyImage,
    ModifyMember,
    PublicizeImage,
    Reactivate,
    SetImageLocation,
    StoresInfoDetail,
    UploadImage,
}

impl Rule {
    /// The name in `policy.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddImage => "add_image",
            Self::AddMember => "add_member",
            Self::CommunitizeImage => "communitize_image",
            Self::Deactivate => "deactivate",
            Self::DeleteImage => "delete_image",
            Self::DeleteImageLocation => "delete_image_location",
            Self::DeleteMember => "delete_member",
            Self::DownloadFromStore => "download_from_store",
            Self::DownloadImage => "download_image",
            Self::GetImage => "get_image",
            Self::GetImageLocation => "get_image_location",
            Self::GetImages => "get_images",
            Self::GetMember => "get_member",
            Self::GetMembers => "get_members",
            Self::ModifyImage => "modify_image",
            Self::ModifyMember => "modify_member",
            Self::PublicizeImage => "publicize_image",
            Self::Reactivate => "reactivate",
            Self::SetImageLocation => "set_image_location",
            Self::StoresInfoDetail => "stores_info_detail",
            Self::UploadImage => "upload_image",
        }
    }

    /// Whether the rule is about changing something; a read-only caller has none of these.
    fn changes(self) -> bool {
        !matches!(
            self,
            Self::DownloadFromStore
                | Self::DownloadImage
                | Self::GetImage
                | Self::GetImageLocation
                | Self::GetImages
                | Self::GetMember
                | Self::GetMembers
                | Self::StoresInfoDetail
        )
    }
}

/// What a rule is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An image that is there, or about to be.
    Image(&'a Image),
    /// Nothing in particular.
    Service,
}

/// The rules in force. Without authentication everybody is an administrator, and the default
/// rules allow an administrator everything; who is none is refused.
#[derive(Clone, Debug, Default)]
pub struct Policy;

impl Policy {
    /// Refuses with [`Error::Denied`] or, where the caller may only look, [`Error::ReadOnly`].
    pub fn allow(&self, rule: Rule, caller: &Caller, _target: Target<'_>) -> Result<()> {
        if caller.read_only && rule.changes() {
            return Err(Error::ReadOnly);
        }
        if caller.is_admin {
            return Ok(());
        }
        Err(Error::Denied(rule))
    }
}
