//! The rules that Glance 33 registers, with their defaults (reference C.2), and, last, those of what
//! only we have.

/// Which tokens a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Any.
    Any,
    /// Those of a project: system- and domain-scoped ones are refused.
    Project,
}

/// A registered rule.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// Which.
    pub rule: Rule,
    /// Its name in `policy.yaml`.
    pub name: &'static str,
    /// Which tokens it is for.
    pub scope: Scope,
    /// What holds where no file says otherwise.
    pub default: &'static str,
    /// What also suffices while `enforce_new_defaults` is off.
    pub deprecated: Option<&'static str>,
}

const ADMIN: &str = "rule:context_is_admin";
const ADMIN_OR_CREATOR: &str = "rule:context_is_admin or (role:member and project_id:%(project_id)s and \
    project_id:%(owner)s)";
const ADMIN_OR_MEMBER: &str =
    "rule:context_is_admin or (role:member and project_id:%(project_id)s)";
const ADMIN_OR_READER: &str =
    "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
const ADMIN_OR_WHO_SEES: &str = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or \
    project_id:%(member_id)s or 'community':%(visibility)s or \
    'public':%(visibility)s or 'shared':%(visibility)s))";
const ADMIN_OR_WHO_DOWNLOADS: &str = "rule:context_is_admin or (role:member and (project_id:%(project_id)s or \
    project_id:%(member_id)s or 'community':%(visibility)s or \
    'public':%(visibility)s or 'shared':%(visibility)s))";
const ADMIN_OR_SHARING: &str = "rule:context_is_admin or role:reader and (project_id:%(project_id)s or \
    project_id:%(member_id)s)";
const ADMIN_OR_SHARED_WITH: &str =
    "rule:context_is_admin or (role:member and project_id:%(member_id)s)";
const ADMIN_OR_PUBLIC: &str = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or \
    'public':%(visibility)s))";
const SERVICE: &str = "rule:service_api";
const ADMIN_OR_SERVICE: &str = "rule:context_is_admin or rule:service_api";
const SERVICE_OR_CREATOR: &str = "rule:service_api or (role:member and project_id:%(project_id)s and \
    project_id:%(owner)s)";
const DEFAULT: &str = "rule:default";
const METADEF_DEFAULT: &str = "rule:metadef_default";
const METADEF_ADMIN: &str = "rule:metadef_admin";
const DOWNLOAD: &str = "rule:download_image";
const CACHE: &str = "rule:manage_image_cache";

// Of artifacts (reference J.2); what Glare calls `admin_or_owner` is spelled out.
const ADMIN_OR_OWNER: &str = "rule:context_is_admin or project_id:%(owner)s";
const PUBLIC_BY_ADMIN: &str =
    "'public':%(visibility)s and rule:context_is_admin or not 'public':%(visibility)s";
const DEACTIVATED_BY_ADMIN: &str =
    "'deactivated':%(status)s and rule:context_is_admin or not 'deactivated':%(status)s";
const UPDATE_ARTIFACT: &str =
    "(rule:context_is_admin or project_id:%(owner)s) and rule:artifact:update_public";
const DELETE_ARTIFACT: &str = "(rule:context_is_admin or project_id:%(owner)s) and \
    rule:artifact:delete_public and rule:artifact:delete_deactivated";
const DOWNLOAD_ARTIFACT: &str =
    "(rule:context_is_admin or project_id:%(owner)s) and rule:artifact:download_deactivated";
const PROJECT_OR_ADMIN: &str = "project_id:%(project_id)s or rule:context_is_admin";

macro_rules! rules {
    ($($rule:ident = $name:literal, $scope:ident, $default:expr $(, was $was:expr)?;)+) => {
        /// The rules that operations name, in Glance's order, then [`OURS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the policy's")]
        pub enum Rule {
            $($rule,)+
        }

        /// All of them; a rule's place is its number.
        pub const REGISTERED: &[Registered] = &[$(Registered {
            rule: Rule::$rule,
            name: $name,
            scope: Scope::$scope,
            default: $default,
            deprecated: rules!(@was $($was)?),
        },)+];
    };
    (@was) => { None };
    (@was $was:expr) => { Some($was) };
}

rules! {
    Default = "default", Any, "", was ADMIN;
    ContextIsAdmin = "context_is_admin", Any, "role:admin";
    ServiceApi = "service_api", Any, "role:service or role:admin";
    AddImage = "add_image", Project, ADMIN_OR_CREATOR, was DEFAULT;
    DeleteImage = "delete_image", Project, ADMIN_OR_MEMBER, was DEFAULT;
    GetImage = "get_image", Project, ADMIN_OR_WHO_SEES, was DEFAULT;
    GetImages = "get_images", Project, ADMIN_OR_READER, was DEFAULT;
    ModifyImage = "modify_image", Project, ADMIN_OR_MEMBER, was DEFAULT;
    PublicizeImage = "publicize_image", Project, ADMIN;
    CommunitizeImage = "communitize_image", Project, ADMIN_OR_MEMBER, was DEFAULT;
    DownloadImage = "download_image", Project, ADMIN_OR_WHO_DOWNLOADS, was DEFAULT;
    DownloadFromStore = "download_from_store", Project, ADMIN_OR_WHO_DOWNLOADS;
    UploadImage = "upload_image", Project, ADMIN_OR_MEMBER, was DEFAULT;
    DeleteImageLocation = "delete_image_location", Project, ADMIN, was DEFAULT;
    GetImageLocation = "get_image_location", Project, ADMIN_OR_READER, was DEFAULT;
    SetImageLocation = "set_image_location", Project, ADMIN_OR_MEMBER, was DEFAULT;
    AddImageLocation = "add_image_location", Project, SERVICE_OR_CREATOR;
    FetchImageLocation = "fetch_image_location", Project, SERVICE;
    AddMember = "add_member", Project, ADMIN_OR_MEMBER, was DEFAULT;
    DeleteMember = "delete_member", Project, ADMIN_OR_MEMBER, was DEFAULT;
    GetMember = "get_member", Project, ADMIN_OR_SHARING, was DEFAULT;
    GetMembers = "get_members", Project, ADMIN_OR_SHARING, was DEFAULT;
    ModifyMember = "modify_member", Project, ADMIN_OR_SHARED_WITH, was DEFAULT;
    ManageImageCache = "manage_image_cache", Project, ADMIN;
    Deactivate = "deactivate", Project, ADMIN_OR_MEMBER, was DEFAULT;
    Reactivate = "reactivate", Project, ADMIN_OR_MEMBER, was DEFAULT;
    CopyImage = "copy_image", Project, ADMIN;
    ListCachedNodes = "list_cached_nodes", Project, ADMIN;
    GetTask = "get_task", Project, DEFAULT, was DEFAULT;
    GetTasks = "get_tasks", Project, DEFAULT, was DEFAULT;
    AddTask = "add_task", Project, DEFAULT, was DEFAULT;
    ModifyTask = "modify_task", Project, DEFAULT;
    TasksApiAccess = "tasks_api_access", Project, ADMIN;
    MetadefDefault = "metadef_default", Any, "";
    MetadefAdmin = "metadef_admin", Any, ADMIN;
    GetMetadefNamespace = "get_metadef_namespace", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    GetMetadefNamespaces = "get_metadef_namespaces", Project, ADMIN_OR_READER, was METADEF_DEFAULT;
    ModifyMetadefNamespace = "modify_metadef_namespace", Project, METADEF_ADMIN;
    AddMetadefNamespace = "add_metadef_namespace", Project, METADEF_ADMIN;
    DeleteMetadefNamespace = "delete_metadef_namespace", Project, METADEF_ADMIN;
    GetMetadefObject = "get_metadef_object", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    GetMetadefObjects = "get_metadef_objects", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    ModifyMetadefObject = "modify_metadef_object", Project, METADEF_ADMIN;
    AddMetadefObject = "add_metadef_object", Project, METADEF_ADMIN;
    DeleteMetadefObject = "delete_metadef_object", Project, METADEF_ADMIN;
    ListMetadefResourceTypes = "list_metadef_resource_types", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    GetMetadefResourceType = "get_metadef_resource_type", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    AddMetadefResourceTypeAssociation = "add_metadef_resource_type_association", Project, METADEF_ADMIN;
    RemoveMetadefResourceTypeAssociation = "remove_metadef_resource_type_association", Project, METADEF_ADMIN;
    GetMetadefProperty = "get_metadef_property", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    GetMetadefProperties = "get_metadef_properties", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    ModifyMetadefProperty = "modify_metadef_property", Project, METADEF_ADMIN;
    AddMetadefProperty = "add_metadef_property", Project, METADEF_ADMIN;
    RemoveMetadefProperty = "remove_metadef_property", Project, METADEF_ADMIN;
    GetMetadefTag = "get_metadef_tag", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    GetMetadefTags = "get_metadef_tags", Project, ADMIN_OR_PUBLIC, was METADEF_DEFAULT;
    ModifyMetadefTag = "modify_metadef_tag", Project, METADEF_ADMIN;
    AddMetadefTag = "add_metadef_tag", Project, METADEF_ADMIN;
    AddMetadefTags = "add_metadef_tags", Project, METADEF_ADMIN;
    DeleteMetadefTag = "delete_metadef_tag", Project, METADEF_ADMIN;
    DeleteMetadefTags = "delete_metadef_tags", Project, METADEF_ADMIN;
    CacheImage = "cache_image", Project, ADMIN, was CACHE;
    CacheList = "cache_list", Project, ADMIN, was CACHE;
    CacheDelete = "cache_delete", Project, ADMIN, was CACHE;
    CacheClean = "cache_clean", Project, ADMIN;
    CachePrune = "cache_prune", Project, ADMIN;
    StoresInfoDetail = "stores_info_detail", Project, ADMIN_OR_SERVICE, was ADMIN;
    AddMetadefResourceType = "add_metadef_resource_type", Project, METADEF_ADMIN;
    DeleteMetadefResourceType = "delete_metadef_resource_type", Project, METADEF_ADMIN;
    DownloadImagePlain = "download_image_plain", Project, DOWNLOAD;
    ArtifactTypeList = "artifact:type_list", Any, "";
    ArtifactCreate = "artifact:create", Any, "";
    ArtifactUpdatePublic = "artifact:update_public", Any, PUBLIC_BY_ADMIN;
    ArtifactUpdate = "artifact:update", Any, UPDATE_ARTIFACT;
    ArtifactActivate = "artifact:activate", Any, ADMIN_OR_OWNER;
    ArtifactReactivate = "artifact:reactivate", Any, ADMIN;
    ArtifactDeactivate = "artifact:deactivate", Any, ADMIN;
    ArtifactPublish = "artifact:publish", Any, ADMIN;
    ArtifactGet = "artifact:get", Any, "";
    ArtifactGetAny = "artifact:get_any_artifact", Any, ADMIN;
    ArtifactList = "artifact:list", Any, "";
    ArtifactListAll = "artifact:list_all_artifacts", Any, ADMIN;
    ArtifactDeletePublic = "artifact:delete_public", Any, PUBLIC_BY_ADMIN;
    ArtifactDeleteDeactivated = "artifact:delete_deactivated", Any, DEACTIVATED_BY_ADMIN;
    ArtifactDelete = "artifact:delete", Any, DELETE_ARTIFACT;
    ArtifactSetLocation = "artifact:set_location", Any, ADMIN_OR_OWNER;
    ArtifactSetInternalLocation = "artifact:set_internal_location", Any, ADMIN;
    ArtifactUpload = "artifact:upload", Any, ADMIN_OR_OWNER;
    ArtifactDownloadDeactivated = "artifact:download_deactivated", Any, DEACTIVATED_BY_ADMIN;
    ArtifactDownload = "artifact:download", Any, DOWNLOAD_ARTIFACT;
    ArtifactDownloadAny = "artifact:download_from_any_artifact", Any, ADMIN;
    ArtifactDeleteBlob = "artifact:delete_blob", Any, ADMIN_OR_OWNER;
    ArtifactSetQuotas = "artifact:set_quotas", Any, ADMIN;
    ArtifactListAllQuotas = "artifact:list_all_quotas", Any, ADMIN;
    ArtifactListProjectQuotas = "artifact:list_project_quotas", Any, PROJECT_OR_ADMIN;
}

/// The rules that Glance does not have: those of artifacts are Glare's.
pub const OURS: [Rule; 28] = [
    Rule::AddMetadefResourceType,
    Rule::DeleteMetadefResourceType,
    Rule::DownloadImagePlain,
    Rule::ArtifactTypeList,
    Rule::ArtifactCreate,
    Rule::ArtifactUpdatePublic,
    Rule::ArtifactUpdate,
    Rule::ArtifactActivate,
    Rule::ArtifactReactivate,
    Rule::ArtifactDeactivate,
    Rule::ArtifactPublish,
    Rule::ArtifactGet,
    Rule::ArtifactGetAny,
    Rule::ArtifactList,
    Rule::ArtifactListAll,
    Rule::ArtifactDeletePublic,
    Rule::ArtifactDeleteDeactivated,
    Rule::ArtifactDelete,
    Rule::ArtifactSetLocation,
    Rule::ArtifactSetInternalLocation,
    Rule::ArtifactUpload,
    Rule::ArtifactDownloadDeactivated,
    Rule::ArtifactDownload,
    Rule::ArtifactDownloadAny,
    Rule::ArtifactDeleteBlob,
    Rule::ArtifactSetQuotas,
    Rule::ArtifactListAllQuotas,
    Rule::ArtifactListProjectQuotas,
];

/// How the names of the rules begin that let one look and change nothing.
const READING: [&str; 7] = [
    "get_",
    "list_",
    "download_",
    "fetch_",
    "stores_info",
    "cache_list",
    "context_",
];

impl Rule {
    /// The name in `policy.yaml`.
    pub fn as_str(self) -> &'static str {
        REGISTERED[self as usize].name
    }

    /// Whether the rule is about changing something; a read-only caller has none of these.
    pub(super) fn changes(self) -> bool {
        !READING.iter().any(|word| self.as_str().starts_with(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_place_is_its_number() {
        for (number, registered) in REGISTERED.iter().enumerate() {
            assert_eq!(registered.rule as usize, number);
            assert_eq!(registered.rule.as_str(), registered.name);
        }
    }
}
