//! The vectors of x86-64.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod single;

/// Whether [`avx512`] and [`single`] may run.
pub(crate) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
}

/// Whether [`avx2`] may run.
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Whether OpenSSL runs SHA-256 by the processor's own instructions, twice to three times as fast as
/// without.
pub(crate) fn has_sha_ni() -> bool {
    is_x86_feature_detected!("sha")
}
