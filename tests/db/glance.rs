//! Glance's own code on our rows, and ours on Glance's.
