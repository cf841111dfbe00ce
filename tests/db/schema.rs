//! The schema that we make is the one that Glance makes.
