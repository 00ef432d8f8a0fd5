//! Swap areas: `/proc/swaps`.
//!
//! ```text
//! Filename                                Type            Size            Used            Priority
//! /dev/nvme0n1p2                          partition       1048572         0               -2
//! ```
//!
//! Invariant: only areas of type `partition` count; a swap file lies on a mounted filesystem, and
//! that mount is what holds the device.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::host::mountinfo::unescape;

/// The device nodes that are swapped to, as the kernel resolved them when the area was switched on.
pub fn parse_swap_devices(text: &[u8]) -> Vec<PathBuf> {
    text.split(|&byte| byte == b'\n')
        .skip(1)
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|field| !field.is_empty());
    let path = fields.next()?;
    let kind = fields.next()?;
    (kind == b"partition").then(|| PathBuf::from(OsString::from_vec(unescape(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn partitions_are_listed_and_files_are_not() {
        let text = format!(
            "{HEADER}/dev/nvme0n1p2                          \
                partition\t1048572\t\t0\t\t-2\n/swap\\040file  file\t\t1048572\t\t0\t\t-3\n"
        );
        assert_eq!(
            parse_swap_devices(text.as_bytes()),
            [PathBuf::from("/dev/nvme0n1p2")]
        );
    }

    #[test]
    fn a_machine_without_swap_has_only_the_header() {
        assert!(parse_swap_devices(HEADER.as_bytes()).is_empty());
        assert!(parse_swap_devices(b"").is_empty());
    }

    #[test]
    fn a_truncated_line_is_no_area() {
        assert!(parse_swap_devices(format!("{HEADER}/dev/nvme0n1").as_bytes()).is_empty());
    }
}
