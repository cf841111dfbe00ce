//! Logs and metrics: set up once, at the start of the process.
