//! The end of an attribute.

/// What an attribute says: its bytes without the NUL bytes at the end. A copy of sysfs made by `tar` has each attribute
/// filled up to the page, which is the size that sysfs tells.
#[must_use]
pub fn without_filling(bytes: &[u8]) -> &[u8] {
    let filled = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    &bytes[..bytes.len() - filled]
}
