//! `[database]`.

use super::{option::section, value::SecretUrl};

section! {
    /// Where the records are.
    Database in "database" {
        /// SQLAlchemy URL: `mysql+pymysql://`, `postgresql://` or `sqlite://`.
        connection: SecretUrl = "sqlite:///${fresnel.data_dir}/fresnel.sqlite";
        /// Connections that stay open; with `max_overflow`, how many there may be.
        max_pool_size: u32 = "5", min 1;
        /// Connections beyond `max_pool_size`.
        max_overflow: u32 = "50";
    }
}
