//! `mount_setattr(2)` (since 5.12) on a mount that has no place yet.
//!
//! This file is the only unsafe code for it: neither rustix nor nix wraps the call.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags};

use super::Access;
use crate::host::mount_flag::{Effect, MountFlag, are_read_only};

/// `struct mount_attr` (include/uapi/linux/mount.h), size `MOUNT_ATTR_SIZE_VER0`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// What a bind mount gets beyond what its source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes(MountAttrFlags);

/// Each flag of a single mount and its attribute; the atime ones exclude each other.
const PER_MOUNT: [(MountFlags, MountAttrFlags); 8] = [
    (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
    (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
    (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
    (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    (
        MountFlags::NOSYMFOLLOW,
        MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
    ),
    (
        MountFlags::NODIRATIME,
        MountAttrFlags::MOUNT_ATTR_NODIRATIME,
    ),
    (MountFlags::NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
    (
        MountFlags::STRICTATIME,
        MountAttrFlags::MOUNT_ATTR_STRICTATIME,
    ),
];

impl Attributes {
    /// What `access` and those of `flags` ask for that concern one mount; the others belong to the
    /// filesystem and were taken when it was mounted.
    pub(super) fn new(access: Access, flags: &[MountFlag]) -> Attributes {
        let wanted = flags.iter().filter_map(|flag| match flag.effect() {
            Effect::Flags(bits) => Some(bits),
            Effect::Data(_) | Effect::Nothing => None,
        });
        let mut wanted = wanted.fold(MountFlags::empty(), |all, bits| all | bits);
        let is_read_only = access == Access::ReadOnly || are_read_only(flags);
        wanted.set(MountFlags::RDONLY, is_read_only);
        let set = PER_MOUNT.iter().filter(|(bits, _)| wanted.contains(*bits));
        let mut set = set.fold(MountAttrFlags::empty(), |all, (_, attribute)| {
            all | *attribute
        });
        // As mount(2) reads them: noatime given together with strictatime yields to it.
        if set.contains(MountAttrFlags::MOUNT_ATTR_STRICTATIME) {
            set.remove(MountAttrFlags::MOUNT_ATTR_NOATIME);
        }
        Attributes(set)
    }

    fn encode(self) -> MountAttr {
        let atime = MountAttrFlags::MOUNT_ATTR_NOATIME | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
        // The atime attributes are one field: to set one, the whole field is cleared.
        let clear = match self.0.intersects(atime) {
            true => MountAttrFlags::MOUNT_ATTR__ATIME,
            false => MountAttrFlags::empty(),
        };
        MountAttr {
            attr_set: self.0.bits().into(),
            attr_clr: clear.bits().into(),
            ..MountAttr::default()
        }
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        let names: Vec<_> = self.0.iter_names().map(|(name, _)| name).collect();
        f.write_str(&names.join("|"))
    }
}

/// Sets the attributes of the mount that `tree` refers to.
pub(super) fn set_attributes(tree: impl AsFd, attributes: Attributes) -> Result<(), Errno> {
    let value = attributes.encode();
    if value == MountAttr::default() {
        return Ok(());
    }
    #[expect(unsafe_code, reason = "neither rustix nor nix has mount_setattr")]
    // SAFETY: the path is a C string that outlives the call, `value` is a struct mount_attr of the
    // size that is passed, which the kernel only reads, and the descriptor is open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const value,
            size_of::<MountAttr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Vec<MountFlag> {
        words.iter().map(|word| word.parse().expect(word)).collect()
    }

    #[test]
    fn the_struct_is_the_kernels() {
        assert_eq!(
            size_of::<MountAttr>(),
            usize::try_from(MountAttrFlags::MOUNT_ATTR_SIZE_VER0.bits()).expect("small")
        );
    }

    #[test]
    fn read_only_sets_one_bit_and_clears_none() {
        let attributes = Attributes::new(Access::ReadOnly, &[]);
        assert_eq!(attributes.to_string(), "MOUNT_ATTR_RDONLY");
        let encoded = attributes.encode();
        assert_eq!((encoded.attr_set, encoded.attr_clr), (1, 0));
    }

    #[test]
    fn an_atime_attribute_replaces_the_one_of_the_source() {
        let attributes = Attributes::new(Access::ReadWrite, &flags(&["noatime", "noexec"]));
        let encoded = attributes.encode();
        assert_eq!((encoded.attr_set, encoded.attr_clr), (0x18, 0x70));
        let both = Attributes::new(Access::ReadWrite, &flags(&["noatime", "strictatime"]));
        assert_eq!(both.to_string(), "MOUNT_ATTR_STRICTATIME");
    }

    #[test]
    fn what_belongs_to_the_filesystem_is_no_attribute_of_a_mount() {
        let flags = flags(&["rw", "sync", "lazytime", "discard", "commit=5"]);
        let attributes = Attributes::new(Access::ReadWrite, &flags);
        assert_eq!(attributes.encode(), MountAttr::default());
        assert_eq!(attributes.to_string(), "0");
    }

    #[test]
    fn a_descriptor_that_is_no_mount_is_refused_by_the_kernel() {
        let file = tempfile::tempfile().expect("a file");
        let attributes = Attributes::new(Access::ReadOnly, &[]);
        let errno = set_attributes(&file, attributes).expect_err("no root of a mount");
        assert!(matches!(errno, Errno::INVAL | Errno::PERM), "{errno}");
    }
}
