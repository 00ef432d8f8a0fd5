//! A controller's sysfs directory, held by a descriptor.
//!
//! An instance number is free again as soon as its controller is gone, so a path like
//! `class/nvme/nvme3` may name another controller a moment later. A held directory never does:
//! once its controller is gone, everything in it answers ENOENT or ENODEV.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nvme_sysfs::{Instance, Nqn, without_filling};
use rustix::fs::{AtFlags, Mode, OFlags, chmodat, fstat, open, openat, statat};
use rustix::io::Errno;

/// Longer than any attribute this crate reads.
const MAX_ATTRIBUTE: u64 = 4096;

/// The directory of one controller.
#[derive(Debug)]
pub(crate) struct HeldController {
    dir: OwnedFd,
    path: PathBuf,
}

/// Whether a controller belongs to a subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// To this one.
    Here,
    /// To another one, as the kernel prints it.
    Elsewhere(String),
    /// It is still identifying itself.
    Nowhere,
    /// The controller is gone.
    Gone,
}

/// What a controller says about its subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subsystem {
    /// The controller is gone.
    Gone,
    /// It is still identifying itself.
    Unknown,
    /// Its NQN as the kernel prints it.
    Named(String),
}

impl HeldController {
    /// Takes hold of `nvmeN`, `None` when there is none.
    pub(crate) fn open(root: &Path, instance: Instance) -> io::Result<Option<HeldController>> {
        let path = root.join("sys/class/nvme").join(instance.to_string());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(&path, flags, Mode::empty()) {
            Ok(dir) => Ok(Some(HeldController { dir, path })),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The path it was opened by, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads one attribute without its line break, `None` when it or the controller is gone.
    pub(crate) fn read(&self, attribute: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let file = match self.attribute(attribute, OFlags::RDONLY)? {
            Some(file) => file,
            None => return Ok(None),
        };
        match file.take(MAX_ATTRIBUTE).read_to_end(&mut bytes) {
            Ok(_) => str::from_utf8(without_filling(&bytes))
                .map(|text| Some(text.trim_end_matches('\n').to_owned()))
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(error) if is_gone_error(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one attribute in one write, `None` when it or the controller is gone.
    pub(crate) fn write(&self, attribute: &str, value: &str) -> io::Result<Option<()>> {
        let mut file = match self.attribute(attribute, OFlags::WRONLY | OFlags::TRUNC)? {
            Some(file) => file,
            None => return Ok(None),
        };
        match file.write(value.as_bytes()) {
            Ok(_) => Ok(Some(())),
            Err(error) if is_gone_error(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes from everybody but its owner what access there is to an attribute that exists.
    pub(crate) fn close_to_others(&self, attribute: &str) -> io::Result<()> {
        let changed = statat(&self.dir, attribute, AtFlags::empty()).and_then(|stat| {
            let mode = Mode::from_raw_mode(stat.st_mode);
            // Where sysfs is read-only, what is right already is no failure.
            if !mode.intersects(Mode::RWXG | Mode::RWXO) {
                return Ok(());
            }
            chmodat(&self.dir, attribute, mode & Mode::RWXU, AtFlags::empty())
        });
        match changed {
            Err(errno) if !is_gone(errno) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    /// The subsystem it says it belongs to.
    pub(crate) fn subsysnqn(&self) -> io::Result<Subsystem> {
        Ok(match self.read("subsysnqn")?.as_deref().map(str::trim) {
            None => Subsystem::Gone,
            // What the kernel prints before it has identified the controller.
            Some("(efault)" | "(null)" | "") => Subsystem::Unknown,
            Some(nqn) => Subsystem::Named(nqn.to_owned()),
        })
    }

    /// Whether it belongs to the subsystem of this name.
    pub(crate) fn belongs_to(&self, nqn: &Nqn) -> io::Result<Belongs> {
        Ok(match self.subsysnqn()? {
            Subsystem::Named(found) if found == nqn.as_str() => Belongs::Here,
            Subsystem::Named(found) => Belongs::Elsewhere(found),
            Subsystem::Unknown => Belongs::Nowhere,
            Subsystem::Gone => Belongs::Gone,
        })
    }

    /// Whether the controller behind this directory no longer exists.
    pub(crate) fn is_gone(&self) -> io::Result<bool> {
        Ok(self.read("state")?.is_none())
    }

    /// Number of the directory, which the kernel gives to no other until the next boot.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(fstat(&self.dir)?.st_ino)
    }

    fn attribute(&self, attribute: &str, access: OFlags) -> io::Result<Option<File>> {
        match openat(
            &self.dir,
            attribute,
            access | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}

fn is_gone_error(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(is_gone)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fixture::{VOLUME, attribute, host};

    fn held(root: &tempfile::TempDir) -> HeldController {
        HeldController::open(root.path(), Instance(0))
            .expect("readable")
            .expect("nvme0")
    }

    #[test]
    fn a_captured_controller_is_held_and_read_through_its_symlink() {
        let root = host("trixie-one-path");
        let held = held(&root);
        assert_eq!(
            held.read("state").expect("readable").as_deref(),
            Some("live")
        );
        assert_eq!(held.read("no_such_attribute").expect("readable"), None);
        let named = Subsystem::Named(VOLUME.to_owned());
        assert_eq!(held.subsysnqn().expect("readable"), named);
        assert!(!held.is_gone().expect("readable"));
    }

    #[test]
    fn what_was_held_stays_gone_when_its_number_is_reused() {
        let root = host("trixie-one-path");
        let held = held(&root);
        let devices = root.path().join("sys/devices/virtual/nvme-fabrics/ctl");
        fs::remove_file(attribute(&root, "nvme0", "state")).expect("a file");
        fs::rename(devices.join("nvme0"), devices.join("dead")).expect("a directory");
        fs::create_dir(devices.join("nvme0")).expect("a directory");
        fs::write(attribute(&root, "nvme0", "state"), "live\n").expect("a file");
        assert!(held.is_gone().expect("readable"));
        assert!(!self::held(&root).is_gone().expect("readable"));
    }

    #[test]
    fn a_controller_that_is_not_identified_has_no_subsystem() {
        let root = host("trixie-one-path");
        let held = held(&root);
        for text in ["(efault)\n", "(null)\n", "\n", ""] {
            fs::write(attribute(&root, "nvme0", "subsysnqn"), text).expect("a file");
            assert_eq!(held.subsysnqn().expect("readable"), Subsystem::Unknown);
        }
        fs::remove_file(attribute(&root, "nvme0", "subsysnqn")).expect("a file");
        assert_eq!(held.subsysnqn().expect("readable"), Subsystem::Gone);
    }

    #[test]
    fn a_page_filled_up_with_nul_bytes_says_what_stands_before_them() {
        let root = host("trixie-one-path");
        let held = held(&root);
        for (name, text) in [("state", "live"), ("subsysnqn", VOLUME)] {
            let page = format!("{text}\n{}", "\0".repeat(4000));
            fs::write(attribute(&root, "nvme0", name), page).expect("a file");
            assert_eq!(held.read(name).expect("readable").as_deref(), Some(text));
        }
    }

    #[test]
    fn a_number_without_controller_is_none() {
        let root = host("trixie-one-path");
        let held = HeldController::open(root.path(), Instance(7)).expect("readable");
        assert!(held.is_none());
    }
}
