//! The API's claims, one file a part of the URL tree. What Glance answers to the same requests is
//! the matter of the differential tests.

mod actions;
mod images;
mod imports;
mod info;
mod list;
mod locations;
mod members;
mod metadefs;
mod patch;
mod reference;
mod routes;
mod stores;
mod tags;
mod tasks;
mod versions;
