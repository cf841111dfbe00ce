//! What every layer may use: limits with their units, secrets, telemetry, what is told seldom.

pub mod limits;
pub mod pace;
pub mod secret;
pub mod seldom;
pub mod telemetry;
#[cfg(test)]
pub mod written;
