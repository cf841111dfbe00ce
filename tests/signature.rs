//! Signatures of images: what is signed is published, and nothing else; cursive is the peer.

mod barbican;
mod certificates;
mod commands;
mod peers;
mod uploads;
