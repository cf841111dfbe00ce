//! fresnel-ring
