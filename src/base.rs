//! What every layer may use: limits with their units, telemetry.

pub mod limits;
pub mod telemetry;
