//! Static quotas of one image (reference C.7.1).
