//! What every layer may use: limits with their units, secrets, telemetry.

pub mod limits;
pub mod pace;
pub mod secret;
pub mod telemetry;
#[cfg(test)]
pub mod written;
