//! Who may do what: the one place that is asked before anything is touched.
//!
//! An engine for oslo.policy's language (reference C.8) with Glance's rules and defaults. Files are
//! parsed and linked once; a question walks a small tree and allocates nothing for Glance's
//! defaults. Files that change are read again; one that is wrong changes nothing.

mod check;
mod defaults;
pub mod file;
pub mod parse;
pub mod persona;
mod remote;
mod rules;
mod source;
mod target;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tracing::{error, info, warn};

use super::{Caller, Error as Denial, Result as Allowed};
use crate::client::judge;
use rules::{Defaults, Rules};
use source::Stamp;

pub use check::{Attribute, Check, Template};
pub use defaults::{OURS, REGISTERED, Registered, Rule, Scope};
pub use rules::Place;
pub(in crate::control) use source::read_text;
pub use source::{Source, find};
pub use target::Target;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `[oslo_policy]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the files are.
    pub source: Source,
    /// `policy_default_rule`: the rule that is asked in place of one that there is not.
    pub policy_default_rule: String,
    /// `enforce_new_defaults`: off, what the older default of a rule allows is allowed too, and
    /// Glance's old checks of ownership stand beside the rules.
    pub enforce_new_defaults: bool,
    /// `remote_*`: how the services are asked that rules name.
    pub remote: judge::Config,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: Source::default(),
            policy_default_rule: "default".to_owned(),
            enforce_new_defaults: true,
            remote: judge::Config::default(),
        }
    }
}

/// Why the files cannot be put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file.
    pub path: Option<Arc<PathBuf>>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// A rule as it is in force, for who wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Glance's default; none for a rule that only the files have.
    pub default: Option<&'static str>,
    /// What holds.
    pub in_force: String,
    /// Where it is written; none for a default.
    pub place: Option<Place>,
}

/// The rules in force.
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
    rules: RwLock<Arc<Rules>>,
    seen: Mutex<Seen>,
}

/// The files as they were read, and as they were when they were last looked at.
#[derive(Debug)]
struct Seen {
    read: Stamp,
    last: Stamp,
}

impl Default for Policy {
    fn default() -> Self {
        Self::load(Settings::default()).expect("Glance's defaults are rules")
    }
}

impl Policy {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, with file and line.
    pub fn load(settings: Settings) -> Result<Self, Error> {
        let (rules, stamp) = read(&settings)?;
        Ok(Self {
            settings,
            rules: RwLock::new(Arc::new(rules)),
            seen: Mutex::new(Seen {
                read: stamp.clone(),
                last: stamp,
            }),
        })
    }

    /// Asks a rule.
    ///
    /// # Errors
    /// [`super::Error::Denied`] or, where the caller may only look, [`super::Error::ReadOnly`].
    pub fn allow(&self, rule: Rule, caller: &Caller, target: Target<'_>) -> Allowed<()> {
        if rule.changes() {
            caller.may_change()?;
        }
        match self.holds(rule, caller, target) {
            true => Ok(()),
            false => Err(Denial::Denied(rule)),
        }
    }

    /// Whether a rule holds.
    pub fn holds(&self, rule: Rule, caller: &Caller, target: Target<'_>) -> bool {
        self.current().holds(rule, caller, target)
    }

    /// Whether the rule of that name holds, which need not be one of Glance's; where there is
    /// none, the default rule answers.
    pub fn holds_named(&self, name: &str, caller: &Caller, target: Target<'_>) -> bool {
        self.current().holds_named(name, caller, target)
    }

    /// Whether there is a rule of that name.
    pub fn has(&self, name: &str) -> bool {
        self.current().has(name)
    }

    /// Whether Glance's old checks of ownership stand beside the rules.
    pub fn checks_ownership(&self) -> bool {
        !self.settings.enforce_new_defaults
    }

    /// Every rule: Glance's in its order, then those that only the files have.
    pub fn list(&self) -> Vec<Listed> {
        let rules = self.current();
        let listed = rules.iter().enumerate().map(|(number, rule)| Listed {
            name: rule.name.clone(),
            default: REGISTERED.get(number).map(|registered| registered.default),
            in_force: rule.text.clone(),
            place: rule.place.clone(),
        });
        listed.collect()
    }

    /// Reads the files again whatever their times. What is wrong with them is logged, and the
    /// rules stay as they were.
    pub fn reload(&self) {
        match read(&self.settings) {
            Ok((rules, stamp)) => {
                *self.rules.write() = Arc::new(rules);
                self.seen.lock().read = stamp;
                info!("The policy is read again");
            }
            Err(error) => error!("The policy stays as it was: {error}"),
        }
    }

    /// Reads the files again whenever they have changed. Returns never.
    pub async fn watch(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    /// Reads the files again if they have changed and are as they were at the last look: who
    /// changes them may not be done yet.
    fn look(&self) {
        let Ok(now) = self.settings.source.stamp() else {
            return;
        };
        let mut seen = self.seen.lock();
        let settled = seen.last == now;
        let changed = seen.read != now;
        seen.last = now.clone();
        if changed && settled {
            // Also where they are wrong: that is told once.
            seen.read = now;
            drop(seen);
            self.reload();
        }
    }

    fn current(&self) -> Arc<Rules> {
        self.rules.read().clone()
    }
}

/// The rules of the files, and the files' stamp from before they were read.
fn read(settings: &Settings) -> Result<(Rules, Stamp), Error> {
    let stamp = settings.source.stamp().unwrap_or_default();
    let defaults = Defaults {
        missing: settings.policy_default_rule.clone(),
        new_only: settings.enforce_new_defaults,
    };
    let (rules, warnings) = Rules::new(settings.source.read()?, &defaults, &settings.remote)?;
    for warning in warnings {
        warn!("{warning}");
    }
    Ok((rules, stamp))
}

impl Error {
    fn of(place: Option<&Place>, message: String) -> Self {
        Self {
            path: place.map(|place| place.path.clone()),
            line: place.map(|place| place.line),
            message,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}:", path.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
