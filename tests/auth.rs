//! Who asks: the real Keystone's tokens, and what becomes of them.

mod identity;
