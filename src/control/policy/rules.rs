//! The rules in force: Glance's defaults, and over them what the files say. Linked, so that a rule
//! finds another by its place.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::{
    Error,
    check::{Attribute, Check, Question},
    defaults::{REGISTERED, Rule, Scope},
    file::FileRule,
    parse::parse,
    target::Target,
};
use crate::{
    client::judge::{self, Judge},
    control::Caller,
};

/// Rules that refer to rules that refer to rules.
const CHAIN_MAX: usize = 100;

/// Where a rule is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: Arc<PathBuf>,
    /// Its line, from 1.
    pub line: usize,
}

/// How missing rules and older defaults are dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defaults {
    /// `policy_default_rule`: asked in place of a rule that there is not.
    pub(super) missing: String,
    /// `enforce_new_defaults`: older defaults do not suffice.
    pub(super) new_only: bool,
}

/// All rules by their names.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    rules: Vec<InForce>,
    /// The places of those that are not registered too.
    places: HashMap<String, usize>,
    /// The place of what is asked in place of a rule that there is not.
    missing: Option<usize>,
    /// Asks the services that rules name, where any does.
    judge: Option<Judge>,
}

/// A rule in force.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) name: String,
    pub(super) text: String,
    /// None for a default.
    pub(super) place: Option<Place>,
    scope: Scope,
    check: Check<usize>,
}

/// A rule that is not linked yet.
struct Unlinked {
    name: String,
    text: String,
    place: Option<Place>,
    scope: Scope,
    check: Check<String>,
}

impl Rules {
    /// Puts the rules together; says besides what an operator should look at.
    pub(super) fn new(
        files: Vec<(Arc<PathBuf>, Vec<FileRule>)>,
        defaults: &Defaults,
        remote: &judge::Config,
    ) -> Result<(Self, Vec<String>), Error> {
        let mut unlinked: Vec<Unlinked> = REGISTERED
            .iter()
            .map(|registered| of_default(registered.rule, defaults))
            .collect();
        let mut places: HashMap<String, usize> = unlinked
            .iter()
            .enumerate()
            .map(|(number, rule)| (rule.name.clone(), number))
            .collect();
        for (path, rules) in files {
            for rule in rules {
                let number = *places.entry(rule.name.clone()).or_insert(unlinked.len());
                let place = Some(Place {
                    path: path.clone(),
                    line: rule.line,
                });
                let scope = unlinked.get(number).map_or(Scope::Any, |known| known.scope);
                let written = Unlinked {
                    name: rule.name,
                    text: rule.text,
                    place,
                    scope,
                    check: rule.check,
                };
                match unlinked.get_mut(number) {
                    Some(known) => *known = written,
                    None => unlinked.push(written),
                }
            }
        }
        let mut warnings = Vec::new();
        let missing = places.get(&defaults.missing).copied();
        let rules: Vec<InForce> = unlinked
            .into_iter()
            .map(|rule| link(rule, &places, missing, &mut warnings))
            .collect();
        let rules = Self {
            judge: judge(&rules, remote)?,
            rules,
            places,
            missing,
        };
        rules.refuse_circles()?;
        Ok((rules, warnings))
    }

    /// Whether a registered rule holds.
    pub(super) fn holds(&self, rule: Rule, caller: &Caller, target: Target<'_>) -> bool {
        self.ask(rule as usize, caller, target)
    }

    /// Whether the rule of that name holds, which need not be registered.
    pub(super) fn holds_named(&self, name: &str, caller: &Caller, target: Target<'_>) -> bool {
        let place = self.places.get(name).copied().or(self.missing);
        place.is_some_and(|place| self.ask(place, caller, target))
    }

    /// Whether there is a rule of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// All of them: the registered ones, then those of the files.
    pub(super) fn iter(&self) -> impl Iterator<Item = &InForce> {
        self.rules.iter()
    }

    pub(super) fn check(&self, place: usize) -> &Check<usize> {
        &self.rules[place].check
    }

    /// Asks the services that rules name, where any does.
    pub(super) fn judge(&self) -> Option<&Judge> {
        self.judge.as_ref()
    }

    fn ask(&self, place: usize, caller: &Caller, target: Target<'_>) -> bool {
        let rule = &self.rules[place];
        if rule.scope == Scope::Project && !is_of_project(caller) {
            return false;
        }
        rule.check.holds(&Question {
            rules: self,
            rule: &rule.name,
            caller,
            target,
        })
    }

    /// A circle would have no answer, and a long chain needs a deep stack.
    fn refuse_circles(&self) -> Result<(), Error> {
        // How long the chain below a rule is; none while it is being looked at.
        let mut known: HashMap<usize, Option<usize>> = HashMap::new();
        for place in 0..self.rules.len() {
            self.chain(place, 0, &mut known)?;
        }
        Ok(())
    }

    fn chain(
        &self,
        place: usize,
        above: usize,
        known: &mut HashMap<usize, Option<usize>>,
    ) -> Result<usize, Error> {
        let refuse = |message: &str| {
            let rule = &self.rules[place];
            Err(Error::of(
                rule.place.as_ref(),
                format!("{}: {message}", rule.name),
            ))
        };
        match known.get(&place) {
            Some(None) => return refuse("the rule leads back to itself"),
            Some(Some(length)) if above + length <= CHAIN_MAX => return Ok(*length),
            _ if above > CHAIN_MAX => return refuse("too many rules refer to each other in a row"),
            _ => {}
        }
        known.insert(place, None);
        let mut next = Vec::new();
        self.check(place).visit(&mut |check| {
            if let Check::Rule(place) = check {
                next.push(*place);
            }
        });
        let mut length = 0;
        for place in next {
            length = length.max(1 + self.chain(place, above + 1, known)?);
        }
        known.insert(place, Some(length));
        Ok(length)
    }
}

fn judge(rules: &[InForce], config: &judge::Config) -> Result<Option<Judge>, Error> {
    let mut place = None;
    for rule in rules {
        rule.check.visit(&mut |check| {
            if matches!(check, Check::Remote(_)) {
                place = Some(rule.place.clone());
            }
        });
    }
    let Some(place) = place else {
        return Ok(None);
    };
    let judge = Judge::new(config);
    judge
        .map(Some)
        .map_err(|error| Error::of(place.as_ref(), format!("nobody can be asked: {error}")))
}

/// Neither of the whole system nor of a domain.
fn is_of_project(caller: &Caller) -> bool {
    let set = |scope: &Option<String>| scope.as_ref().is_some_and(|scope| !scope.is_empty());
    !set(&caller.system_scope) && !set(&caller.domain)
}

fn of_default(rule: Rule, defaults: &Defaults) -> Unlinked {
    let registered = &REGISTERED[rule as usize];
    let parsed = |text| parse(text).expect("Glance's defaults are rules");
    let (mut text, mut check) = (registered.default.to_owned(), parsed(registered.default));
    if let Some(older) = registered.deprecated
        && !defaults.new_only
        && older != registered.default
    {
        let newer = if text.is_empty() { "@" } else { &text };
        text = format!("({newer}) or ({older})");
        check = Check::Any(vec![check, parsed(older)]);
    }
    Unlinked {
        name: registered.name.to_owned(),
        text,
        place: None,
        scope: registered.scope,
        check,
    }
}

fn link(
    rule: Unlinked,
    places: &HashMap<String, usize>,
    missing: Option<usize>,
    warnings: &mut Vec<String>,
) -> InForce {
    let place = rule.place.as_ref().map(|place| format!("{place}: "));
    let mut warn = |message: String| {
        let place = place.as_deref().unwrap_or_default();
        warnings.push(format!("{place}{}: {message}", rule.name));
    };
    rule.check.visit(&mut |check| {
        if let Check::Caller {
            attribute: Attribute::Unknown,
            ..
        } = check
        {
            warn("it compares an attribute that no caller has, which never holds".to_owned());
        }
    });
    let check = rule.check.map(&mut |name: String| {
        let place = places.get(&name).copied();
        if place.is_none() {
            warn(format!(
                "there is no rule {name:?}: the default rule answers"
            ));
        }
        place.or(missing)
    });
    InForce {
        name: rule.name,
        text: rule.text,
        place: rule.place,
        scope: rule.scope,
        check,
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}
