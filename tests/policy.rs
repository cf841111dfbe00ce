//! The policy engine beside oslo.policy and Glance's own rules.

mod engine;
mod oracle;
mod personas;
mod protections;
mod remote;
mod seen;
