//! How a message ends.

/// The last bytes of a message for MD5 (RFC 1321, 3.1 and 3.2): `rest`, the bytes after the last
/// whole block, then the padding: one or two blocks. `total_bytes` is the length of the message.
pub fn md5_padding(rest: &[u8], total_bytes: u64) -> Vec<u8> {
    let bits = total_bytes.wrapping_mul(8);
    pad(rest, 64, &bits.to_le_bytes())
}

/// The same for SHA-512 (FIPS 180-4, 5.1.2).
pub fn sha512_padding(rest: &[u8], total_bytes: u64) -> Vec<u8> {
    let bits = u128::from(total_bytes) * 8;
    pad(rest, 128, &bits.to_be_bytes())
}

fn pad(rest: &[u8], block_bytes: usize, length: &[u8]) -> Vec<u8> {
    assert!(rest.len() < block_bytes, "the rest is less than a block");
    let len = (rest.len() + 1 + length.len()).next_multiple_of(block_bytes);
    let mut end = Vec::with_capacity(len);
    end.extend_from_slice(rest);
    end.push(0x80);
    end.resize(len - length.len(), 0);
    end.extend_from_slice(length);
    end
}
