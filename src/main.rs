//! The `fresnel` binary.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    fresnel::cli::run()
}
