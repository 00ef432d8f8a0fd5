//! The mount table of one process: `/proc/PID/mountinfo`.
//!
//! Format: `proc_pid_mountinfo(5)`. One line per mount, oldest first:
//!
//! ```text
//! 36 35 259:3 / /mnt/a\040b rw,noatime shared:1 master:2 - ext4 /dev/nvme0n1 rw,errors=continue
//! ```
//!
//! Invariant: a path is the bytes the kernel knows, with its escapes undone; it need not be UTF-8
//! and lines have no length limit.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nvme_sysfs::DevT;
use thiserror::Error;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `st_dev` of the files on it. btrfs and other filesystems that span devices show an anonymous
    /// one here, with major number 0.
    pub dev: DevT,
    /// Which part of the filesystem is mounted, `/` for the whole. For a device node it is the name
    /// of the node, with `//deleted` behind it when the device is gone.
    pub root: PathBuf,
    /// Where it is mounted, as seen by the process whose table this is.
    pub mount_point: PathBuf,
    /// Options of this mount alone, separated by commas.
    pub options: String,
    /// Filesystem type, for example `ext4`.
    pub filesystem: String,
    /// What was mounted: for a disk filesystem the path of its device node, as `mount(2)` was given
    /// it.
    pub source: PathBuf,
    /// Options of the filesystem, which all its mounts share, separated by commas.
    pub super_options: String,
    /// Whether the kernel has found errors in the filesystem. No table says so: it is false until
    /// whoever has asked for it elsewhere notes it.
    pub has_errors: bool,
    /// Whether the filesystem answered that it has shut itself down. As with `has_errors`, no table says so.
    pub shut_down: bool,
}

impl Mount {
    /// Whether the word stands among the options of the mount or of its filesystem.
    #[must_use]
    pub fn has_option(&self, word: &str) -> bool {
        let words = |options: &str| options.split(',').any(|option| option == word);
        words(&self.options) || words(&self.super_options)
    }
}

/// All mounts of one mount namespace, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

/// Why a mount table could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseMountinfoError {
    /// A line ends before a field that every line has.
    #[error("mountinfo line {line} has no {field}")]
    Missing {
        /// Counted from 1.
        line: usize,
        /// Which field is missing.
        field: &'static str,
    },
    /// The device number is not `MAJOR:MINOR`.
    #[error("mountinfo line {line}: {value:?} is not a device number MAJOR:MINOR")]
    Device {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        value: String,
    },
}

impl MountTable {
    /// Parses the contents of a mountinfo file.
    ///
    /// # Errors
    /// [`ParseMountinfoError`] names the first line that does not have the form of
    /// `proc_pid_mountinfo(5)`.
    pub fn parse(text: &[u8]) -> Result<MountTable, ParseMountinfoError> {
        let mounts = text
            .split(|&byte| byte == b'\n')
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(index, line)| parse_line(index + 1, line))
            .collect::<Result<_, _>>()?;
        Ok(MountTable { mounts })
    }

    /// The mounts, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// The same, to note something at them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mount> {
        self.mounts.iter_mut()
    }

    /// Every mount at `path`, oldest first.
    pub fn mounts_at(&self, path: &Path) -> impl Iterator<Item = &Mount> {
        self.mounts
            .iter()
            .filter(move |mount| mount.mount_point == path)
    }

    /// What is seen at `path`: a later mount covers an earlier one at the same place.
    pub fn find_mount_at(&self, path: &Path) -> Option<&Mount> {
        self.mounts
            .iter()
            .rev()
            .find(|mount| mount.mount_point == path)
    }
}

fn parse_line(line: usize, text: &[u8]) -> Result<Mount, ParseMountinfoError> {
    let mut fields = text.split(|&byte| byte == b' ');
    let mut next = |field| {
        fields
            .next()
            .filter(|value| !value.is_empty())
            .ok_or(ParseMountinfoError::Missing { line, field })
    };
    next("mount id")?;
    next("parent id")?;
    let dev = parse_dev(line, next("device number")?)?;
    let root = unescape_path(next("root")?);
    let mount_point = unescape_path(next("mount point")?);
    let options = text_of(next("options")?);
    // Any number of optional fields stands before the separator (proc_pid_mountinfo(5), fields 7
    // and 8).
    while next("separator")? != b"-" {}
    let filesystem = text_of(next("filesystem type")?);
    let source = unescape_path(next("source")?);
    let super_options = text_of(next("super options")?);
    Ok(Mount {
        dev,
        root,
        mount_point,
        options,
        filesystem,
        source,
        super_options,
        has_errors: false,
        shut_down: false,
    })
}

fn text_of(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

fn parse_dev(line: usize, value: &[u8]) -> Result<DevT, ParseMountinfoError> {
    let value = String::from_utf8_lossy(value);
    value.parse().map_err(|_| ParseMountinfoError::Device {
        line,
        value: value.into_owned(),
    })
}

fn unescape_path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Undoes the escapes `\040`, `\011`, `\012` and `\134` that the kernel writes for space, tab, line
/// feed and backslash.
///
/// Any backslash followed by three octal digits up to `\377` is taken as one byte, which also
/// covers `#` in a source (`\043`); a backslash that starts no such sequence stays.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        if let Some((byte, after)) = octal_escape(rest) {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

fn octal_escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (
        &[
            b'\\',
            high @ b'0'..=b'3',
            middle @ b'0'..=b'7',
            low @ b'0'..=b'7',
        ],
        rest,
    ) = text.split_first_chunk::<4>()?
    else {
        return None;
    };
    let byte = (high - b'0') * 64 + (middle - b'0') * 8 + (low - b'0');
    Some((byte, rest))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn parse(text: &str) -> MountTable {
        MountTable::parse(text.as_bytes()).expect("well-formed")
    }

    fn only(text: &str) -> Mount {
        parse(text).iter().next().expect("one mount").clone()
    }

    #[test]
    fn a_plain_line_gives_device_place_type_and_source() {
        let mount = only("36 35 259:3 / /mnt/a rw,noatime - ext4 /dev/nvme0n1 rw\n");
        let expected = Mount {
            dev: DevT {
                major: 259,
                minor: 3,
            },
            root: "/".into(),
            mount_point: "/mnt/a".into(),
            options: "rw,noatime".into(),
            filesystem: "ext4".into(),
            source: "/dev/nvme0n1".into(),
            super_options: "rw".into(),
            has_errors: false,
            shut_down: false,
        };
        assert_eq!(mount, expected);
    }

    #[test]
    fn each_kernels_own_table_is_understood() {
        for kernel in ["bookworm", "trixie", "sid"] {
            let path = format!(
                "{}/fixtures/mountinfo/{kernel}-ext4.txt",
                env!("CARGO_MANIFEST_DIR")
            );
            let text = std::fs::read(&path).expect("a captured table");
            let table = MountTable::parse(&text).expect("the kernel's own form");
            let mount = table
                .find_mount_at(Path::new("/mnt/with space"))
                .expect("the volume");
            assert_eq!(
                (mount.dev.major, mount.filesystem.as_str()),
                (259, "ext4"),
                "{kernel}"
            );
        }
    }

    #[test]
    fn optional_fields_may_be_none_or_many() {
        let none = "36 35 8:1 / /a rw - xfs /dev/sda1 rw";
        let many =
            "36 35 8:1 / /a rw shared:1 master:2 propagate_from:3 unbindable - xfs /dev/sda1 rw";
        assert_eq!(only(none), only(many));
    }

    #[test]
    fn escapes_are_undone_in_mount_point_and_source() {
        let mount = only(r"36 35 8:1 / /a\040b\011c\012d\134040 rw - ext4 /dev/x\043y rw");
        assert_eq!(mount.mount_point, Path::new("/a b\tc\nd\\040"));
        assert_eq!(mount.source, Path::new("/dev/x#y"));
    }

    #[test]
    fn a_backslash_without_three_octal_digits_stays() {
        assert_eq!(unescape(br"\0 \48\400\04"), br"\0 \48\400\04");
    }

    #[test]
    fn a_mount_point_need_not_be_utf8() {
        let table =
            MountTable::parse(b"36 35 8:1 / /\xff rw - ext4 /dev/sda1 rw").expect("well-formed");
        let mount = table.iter().next().expect("one mount");
        assert_eq!(mount.mount_point.as_os_str().as_bytes(), b"/\xff");
    }

    #[test]
    fn the_last_mount_over_a_path_is_the_one_that_is_seen() {
        let table = parse(
            "1 0 8:1 / /a rw - ext4 old rw\n2 1 8:2 / /a rw - ext4 new rw\n3 1 8:3 / /ab rw - \
                ext4 other rw\n",
        );
        let seen = table.find_mount_at(Path::new("/a")).expect("mounted");
        assert_eq!(seen.source, Path::new("new"));
        assert_eq!(table.find_mount_at(Path::new("/b")), None);
    }

    #[test]
    fn a_line_longer_than_64_kib_is_read_whole() {
        let options = "lowerdir=/x:".repeat(10_000);
        let table = parse(&format!(
            "1 0 0:44 / /a rw - overlay overlay rw,{options}\n2 1 8:2 / /b rw - ext4 /dev/b rw\n"
        ));
        assert_eq!(table.iter().count(), 2);
    }

    #[test]
    fn an_empty_table_has_no_mounts() {
        assert_eq!(parse(""), MountTable::default());
    }

    #[test]
    fn a_truncated_line_is_named_with_what_it_lacks() {
        let error =
            MountTable::parse(b"1 0 8:1 / /a rw - ext4 a rw\n36 35 259:3 / /mnt rw shared:1")
                .expect_err("truncated");
        assert_eq!(error.to_string(), "mountinfo line 2 has no separator");
    }

    #[test]
    fn a_bad_device_number_is_named() {
        let error =
            MountTable::parse(b"36 35 259 / /mnt rw - ext4 a rw").expect_err("no minor number");
        assert_eq!(
            error.to_string(),
            "mountinfo line 1: \"259\" is not a device number MAJOR:MINOR"
        );
    }
}
