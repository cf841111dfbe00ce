//! `docs/CONFIGURATION.md`, from the declarations.
