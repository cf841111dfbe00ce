//! The data plane against a vector of bytes: whatever happens on the way, afterwards the store has
//! exactly the image or nothing.

mod convert;
mod egress;
mod encrypt;
mod faults;
mod imports;
mod ingest;
mod record;
mod rig;
mod unpack;
mod wire;
