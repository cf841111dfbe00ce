//! Property protections (reference C.5): who may create, read, update and delete which properties.
//!
//! The first section whose pattern is found in a property's name decides; where there is none,
//! nobody may. Who is asked for are the caller's roles and those of the service that passes the
//! request on, or a rule of the policy.

pub mod file;

use std::{path::PathBuf, sync::Arc};

use fancy_regex::Regex;

use super::{
    Caller, Control, Error as Denial, Result as Allowed,
    policy::{self, Policy, Target},
};
use crate::model::Image;

/// Glance's own properties, in whose way no file stands.
const OURS: &str = "os_glance.*";
/// Before a role that only a service's token gives.
const SERVICE_ONLY: &str = "service_roles:";

/// `property_protection_file` and `property_protection_rule_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file.
    pub file: PathBuf,
    /// What it names.
    pub format: Format,
}

/// `property_protection_rule_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lists of roles.
    Roles,
    /// A rule of the policy each.
    Policies,
}

/// What is done with a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the file's")]
pub enum Operation {
    Create,
    Read,
    Update,
    Delete,
}

/// Who may do what with which properties; without a file everybody everything.
#[derive(Debug, Default)]
pub struct Protections(Option<Vec<Section>>);

/// What a caller may do with the properties of a section, in the order of [`Operation::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The section's name.
    pub pattern: &'a str,
    /// Whether it may.
    pub may: [bool; 4],
}

#[derive(Debug)]
struct Section {
    pattern: String,
    matcher: Regex,
    permissions: [Permission; 4],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Permission {
    Everybody,
    Nobody,
    Roles {
        /// Of the caller or of its service.
        any: Vec<String>,
        /// Of its service.
        service: Vec<String>,
    },
    Policy(String),
}

impl Operation {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Create, Self::Read, Self::Update, Self::Delete];

    /// The name in the file.
    pub fn as_str(self) -> &'static str {
        ["create", "read", "update", "delete"][self as usize]
    }
}

impl Format {
    /// The one of that name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "roles" => Some(Self::Roles),
            "policies" => Some(Self::Policies),
            _ => None,
        }
    }
}

impl Protections {
    /// Reads the file. The rules that it names must be there.
    ///
    /// # Errors
    /// What is wrong with it, with file and line.
    pub fn load(settings: &Settings, policy: &Policy) -> Result<Self, policy::Error> {
        let path = Arc::new(settings.file.clone());
        let failed = |line: Option<usize>, message: String| policy::Error {
            path: Some(path.clone()),
            line,
            message,
        };
        let text = policy::read_text(&settings.file);
        let text = text.map_err(|error| failed(None, error.to_string()))?;
        let protections = Self::parse(&text, settings.format)
            .map_err(|error| failed(Some(error.line), error.message))?;
        for (line, rule) in protections.1 {
            if !policy.has(&rule) {
                let message = format!("there is no rule {rule:?} in the policy");
                return Err(failed(Some(line), message));
            }
        }
        Ok(protections.0)
    }

    /// Those of a file's text, and the rules that it names with their lines.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, format: Format) -> Result<(Self, Vec<(usize, String)>), file::Error> {
        let ours = Section {
            pattern: OURS.to_owned(),
            matcher: Regex::new(OURS).expect("it is a pattern"),
            permissions: [const { Permission::Everybody }; 4],
        };
        let (mut sections, mut rules) = (vec![ours], Vec::new());
        for section in file::parse_file(text)? {
            let matcher = Regex::new(&section.pattern).map_err(|error| file::Error {
                line: section.line,
                message: format!("[{}] is no pattern: {error}", section.pattern),
            })?;
            let mut permissions = [const { Permission::Nobody }; 4];
            for (permission, written) in permissions.iter_mut().zip(&section.permissions) {
                *permission = format.permission(written)?;
                if let Permission::Policy(rule) = permission {
                    rules.push((written.line, rule.clone()));
                }
            }
            sections.push(Section {
                pattern: section.pattern,
                matcher,
                permissions,
            });
        }
        Ok((Self(Some(sections)), rules))
    }

    /// Whether there is a file.
    pub fn are_set(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the caller may do that with the property.
    pub fn allow(
        &self,
        operation: Operation,
        property: &str,
        caller: &Caller,
        policy: &Policy,
    ) -> bool {
        let Some(sections) = &self.0 else {
            return true;
        };
        for section in sections {
            match section.matcher.is_match(property) {
                Ok(false) => {}
                Ok(true) => return section.permissions[operation as usize].holds(caller, policy),
                // The pattern gives up on the name: it might have been found.
                Err(_) => return false,
            }
        }
        false
    }

    /// What the caller may do, section by section; the first whose pattern is found decides. Empty
    /// without a file.
    pub fn of(&self, caller: &Caller, policy: &Policy) -> Vec<Shown<'_>> {
        let sections = self.0.iter().flatten();
        let shown = sections.map(|section| Shown {
            pattern: &section.pattern,
            may: Operation::ALL
                .map(|operation| section.permissions[operation as usize].holds(caller, policy)),
        });
        shown.collect()
    }
}

impl Format {
    fn permission(self, written: &file::Written) -> Result<Permission, file::Error> {
        let refuse = |message: &str| {
            Err(file::Error {
                line: written.line,
                message: message.to_owned(),
            })
        };
        let text = written.text.as_str();
        if text.is_empty() {
            return Ok(Permission::Nobody);
        }
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        if self == Self::Policies {
            return match text {
                _ if names.len() > 1 => refuse("one rule is expected: combine them in the policy"),
                "@" => Ok(Permission::Everybody),
                "!" => Ok(Permission::Nobody),
                rule => Ok(Permission::Policy(rule.to_owned())),
            };
        }
        match (names.contains(&"@"), names.contains(&"!")) {
            (true, true) => return refuse("@ and ! exclude each other"),
            (true, false) => return Ok(Permission::Everybody),
            (false, true) => return Ok(Permission::Nobody),
            (false, false) => {}
        }
        let (mut any, mut service) = (Vec::new(), Vec::new());
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            match name.strip_prefix(SERVICE_ONLY) {
                Some(role) => service.push(role.trim().to_lowercase()),
                None => any.push(name.to_lowercase()),
            }
        }
        Ok(Permission::Roles { any, service })
    }
}

impl Permission {
    fn holds(&self, caller: &Caller, policy: &Policy) -> bool {
        match self {
            Self::Everybody => true,
            Self::Nobody => false,
            Self::Roles { any, service } => {
                let mut passing = caller.service_roles.iter();
                caller.roles.iter().any(|role| any.contains(role))
                    || passing.any(|role| any.contains(role) || service.contains(role))
            }
            // The policy's files may have lost it since.
            Self::Policy(rule) => {
                policy.has(rule) && policy.holds_named(rule, caller, Target::Service)
            }
        }
    }
}

impl Control {
    /// Whether the caller may do that with the property.
    pub(super) fn property_allowed(
        &self,
        operation: Operation,
        property: &str,
        caller: &Caller,
    ) -> bool {
        self.protections
            .allow(operation, property, caller, &self.policy)
    }

    /// Refuses what the caller may not do with the property.
    pub(super) fn allow_property(
        &self,
        operation: Operation,
        property: &str,
        caller: &Caller,
    ) -> Allowed<()> {
        match self.property_allowed(operation, property, caller) {
            true => Ok(()),
            false => Err(Denial::PropertyReserved(property.to_owned())),
        }
    }

    /// The image without the properties that the caller may not read.
    pub(super) fn readable(&self, caller: &Caller, mut image: Image) -> Image {
        if self.protections.are_set() {
            let properties = &mut image.properties;
            properties.retain(|name, _| self.property_allowed(Operation::Read, name, caller));
        }
        image
    }
}

#[cfg(test)]
mod tests;
