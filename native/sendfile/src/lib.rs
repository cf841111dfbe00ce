//! fresnel-sendfile
