//! The options that are passed on.

use rustix::mount::MountFlags;

use super::Effect;
use crate::host::filesystem_type::FilesystemType;

/// On which filesystems an option exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// On all: the kernel interprets it before the filesystem, or both know it.
    Every,
    /// On one.
    Only(FilesystemType),
}

/// What an option is, and which values it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bits(MountFlags),
    Word,
    Default,
    /// A decimal number in a range.
    Number(u32, u32, &'static str),
    /// A decimal number, perhaps with a unit of bytes.
    Size,
    /// A security label.
    Label,
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// The option, or up to and with `=` where it takes a value.
    name: &'static str,
    kind: Kind,
    on: On,
}

/// One row of the table, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Entry(usize);

const EXT4: On = On::Only(FilesystemType::Ext4);
const XFS: On = On::Only(FilesystemType::Xfs);

const TABLE: [Row; 34] = [
    row("defaults", Kind::Default, On::Every),
    row("rw", Kind::Default, On::Every),
    // A word of mount(8) for the boot order, found in many a PersistentVolume.
    row("_netdev", Kind::Default, On::Every),
    row("ro", Kind::Bits(MountFlags::RDONLY), On::Every),
    row("noatime", Kind::Bits(MountFlags::NOATIME), On::Every),
    row("nodiratime", Kind::Bits(MountFlags::NODIRATIME), On::Every),
    row("relatime", Kind::Bits(MountFlags::RELATIME), On::Every),
    row(
        "strictatime",
        Kind::Bits(MountFlags::STRICTATIME),
        On::Every,
    ),
    row("lazytime", Kind::Bits(MountFlags::LAZYTIME), On::Every),
    row("nosuid", Kind::Bits(MountFlags::NOSUID), On::Every),
    row("nodev", Kind::Bits(MountFlags::NODEV), On::Every),
    row("noexec", Kind::Bits(MountFlags::NOEXEC), On::Every),
    row(
        "nosymfollow",
        Kind::Bits(MountFlags::NOSYMFOLLOW),
        On::Every,
    ),
    row("sync", Kind::Bits(MountFlags::SYNCHRONOUS), On::Every),
    row("dirsync", Kind::Bits(MountFlags::DIRSYNC), On::Every),
    row("discard", Kind::Word, On::Every),
    row("nodiscard", Kind::Word, On::Every),
    row("context=", Kind::Label, On::Every),
    row("fscontext=", Kind::Label, On::Every),
    row("defcontext=", Kind::Label, On::Every),
    row("rootcontext=", Kind::Label, On::Every),
    row("data=ordered", Kind::Word, EXT4),
    row("data=journal", Kind::Word, EXT4),
    row("errors=remount-ro", Kind::Word, EXT4),
    row("barrier", Kind::Word, EXT4),
    row("barrier=1", Kind::Word, EXT4),
    row(
        "commit=",
        Kind::Number(1, 300, "commit=1 to commit=300"),
        EXT4,
    ),
    row("nouuid", Kind::Word, XFS),
    row("inode64", Kind::Word, XFS),
    row("largeio", Kind::Word, XFS),
    row("swalloc", Kind::Word, XFS),
    row(
        "logbufs=",
        Kind::Number(2, 8, "logbufs=2 to logbufs=8"),
        XFS,
    ),
    row("logbsize=", Kind::Size, XFS),
    row("allocsize=", Kind::Size, XFS),
];

const fn row(name: &'static str, kind: Kind, on: On) -> Row {
    Row { name, kind, on }
}

/// The row for an option, whatever its value.
pub(super) fn find_entry(text: &str) -> Option<Entry> {
    let matches = |row: &Row| match row.kind {
        Kind::Number(..) | Kind::Size | Kind::Label => text.starts_with(row.name),
        Kind::Bits(_) | Kind::Word | Kind::Default => text == row.name,
    };
    TABLE.iter().position(matches).map(Entry)
}

/// Every option, `…` for a value.
pub(super) fn names() -> Vec<String> {
    let name = |row: &Row| match row.name.ends_with('=') {
        true => format!("{}…", row.name),
        false => row.name.to_owned(),
    };
    TABLE.iter().map(name).collect()
}

impl Entry {
    fn row(self) -> &'static Row {
        &TABLE[self.0]
    }

    pub(super) fn on(self) -> On {
        self.row().on
    }

    /// What the option becomes, `text` being the whole of it.
    pub(super) fn effect(self, text: &str) -> Effect<'_> {
        match self.row().kind {
            Kind::Bits(bits) => Effect::Flags(bits),
            Kind::Default => Effect::Nothing,
            Kind::Word | Kind::Number(..) | Kind::Size | Kind::Label => Effect::Data(text),
        }
    }

    /// Whether the value fits; else what it must look like.
    pub(super) fn check_value(self, text: &str) -> Result<(), &'static str> {
        let row = self.row();
        let value = text.strip_prefix(row.name).unwrap_or_default();
        let (fits, rule) = match row.kind {
            Kind::Bits(_) | Kind::Word | Kind::Default => (true, ""),
            Kind::Number(least, most, rule) => (is_number(value, least, most), rule),
            Kind::Size => (is_size(value), "a number, perhaps followed by k, m or g"),
            Kind::Label => (
                is_label(value),
                "followed by a label, in double quotes where it has a comma",
            ),
        };
        if fits { Ok(()) } else { Err(rule) }
    }
}

fn is_number(value: &str, least: u32, most: u32) -> bool {
    is_decimal(value)
        && value
            .parse()
            .is_ok_and(|number| (least..=most).contains(&number))
}

fn is_size(value: &str) -> bool {
    let digits = value.strip_suffix(['k', 'm', 'g']).unwrap_or(value);
    is_decimal(digits)
}

fn is_decimal(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// SELinux reads a label up to the next comma outside of double quotes.
fn is_label(value: &str) -> bool {
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let (label, banned): (_, &[char]) = match quoted {
        Some(label) => (label, &['"']),
        None => (value, &['"', ',']),
    };
    !label.is_empty() && !label.contains(banned) && !label.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_found_by_its_own_name_and_no_other() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(find_entry(row.name), Some(Entry(place)), "{}", row.name);
        }
    }

    #[test]
    fn no_option_is_both_allowed_and_refused() {
        for row in &TABLE {
            assert_eq!(
                super::super::refused::find_reason(row.name),
                None,
                "{}",
                row.name
            );
        }
    }
}
