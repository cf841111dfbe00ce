//! Tags of an image (reference A.6).
