//! Bytes written with few letters, and a sum of them.

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// As RFC 4648 has it.
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut group = [0_u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        let letters = (chunk.len() * 8).div_ceil(5);
        for n in 0..8 {
            let index = (bits >> (35 - 5 * n)) & 31;
            out.push(if n < letters { ALPHABET[index as usize] as char } else { '=' });
        }
    }
    out
}

/// What was written so; a text that says so for what was not.
pub(super) fn out_of_base32(text: &str) -> String {
    let (mut bits, mut held, mut bytes) = (0_u64, 0, vec![]);
    for letter in text.trim_end_matches('=').bytes() {
        let Some(index) = ALPHABET.iter().position(|known| *known == letter) else {
            return "illegal base32 data at input byte 0".into();
        };
        bits = (bits << 5) | index as u64;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    octets::text(&bytes)
}

/// Adler-32.
pub(super) fn adler(text: &str) -> u32 {
    let (a, b) = octets::bytes(text).iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    (b << 16) | a
}
