//! What tells one state of a file from another.
//!
//! A [`Stamp`] comes from the file system and says cheaply that a file is probably unchanged; a
//! [`Version`] comes from the bytes and says it surely.

use std::fmt;

/// Identity, size and times of a file, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The device that holds the file.
    pub dev: u64,
    /// The inode; reused at once by some file systems.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time; anybody can set it.
    pub mtime_ns: i64,
    /// Time of the last change of the inode.
    pub ctime_ns: i64,
}

/// An opaque hash (xxh3, 128 bits) of the stored bytes; on the wire 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(pub [u8; 16]);

impl Version {
    /// The version spelt `text`, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16)
            .ok()
            .map(|bits| Self(bits.to_be_bytes()))
    }
}

impl Version {
    /// The 32 hexadecimal digits.
    #[must_use]
    pub fn digits(self) -> [u8; 32] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        digits
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back_as_printed() {
        let version = Version([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(version.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        assert_eq!(Version::parse("none"), None);
        assert_eq!(Version::parse(&"+".repeat(32)), None);
    }
}
