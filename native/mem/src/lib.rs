//! fresnel-mem
