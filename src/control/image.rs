//! Images: create, show, list, change, delete.
