//! Sharing an image with projects (reference A.7).
