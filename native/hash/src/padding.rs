//! How a message ends.

/// The last bytes of a message: `rest`, the bytes after the last whole block, then a one bit, zeroes
/// and the length of the message in bits: one or two blocks (RFC 1321, 3.1; FIPS 180-4, 5.1).
pub(crate) fn pad(rest: &[u8], block_bytes: usize, length: &[u8]) -> Vec<u8> {
    assert!(rest.len() < block_bytes, "the rest is less than a block");
    let len = (rest.len() + 1 + length.len()).next_multiple_of(block_bytes);
    let mut end = Vec::with_capacity(len);
    end.extend_from_slice(rest);
    end.push(0x80);
    end.resize(len - length.len(), 0);
    end.extend_from_slice(length);
    end
}
