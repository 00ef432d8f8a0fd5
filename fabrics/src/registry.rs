//! Who owns a controller: `/run/nvme/registry/nvmeN/owner`, shared with libnvme 3 and nvme-stas.
//!
//! The layout is libnvme's: one directory per controller, one plain-text file per attribute,
//! `owner` and `seqnum` (the kernel's `uevent_seqnum` at connect, by which libnvme's udev rule
//! tells a stale removal event from a current one). It appears whole, by a rename.
//!
//! A number is reused as soon as its controller is gone, and without udev nobody removes the
//! entry. So we add an attribute of our own, `inode`: the number of the controller's sysfs
//! directory, which the kernel gives to no other directory until the next boot, and `/run` does
//! not survive a boot. An entry with another inode is of a dead controller and counts as none.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nvme_sysfs::Instance;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::bounded::read_text;
use crate::held::HeldController;
use crate::owner::Owner;
use crate::replace::{Existing, temporary_name, write_file};

/// Longer than the name of any owner.
const MAX_ATTRIBUTE: usize = 4096;

/// The ownership registry below one root.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
}

/// Why the registry could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file could not be read, written or removed.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl Registry {
    /// The registry below `root`.
    pub fn at(root: impl AsRef<Path>) -> Registry {
        Registry {
            root: root.as_ref().to_owned(),
        }
    }

    /// The owner of an existing controller, `None` when nobody owns it.
    ///
    /// # Errors
    /// The entry or the controller cannot be read.
    pub fn owner(&self, controller: Instance) -> Result<Option<Owner>, RegistryError> {
        let Some(inode) = self.inode(controller)? else {
            return Ok(None);
        };
        let entry = self.entry(controller);
        // An entry without an inode was written by somebody else, who keeps it current.
        if attribute(&entry, "inode")?.is_some_and(|recorded| recorded != inode) {
            return Ok(None);
        }
        let name = attribute(&entry, "owner")?;
        Ok(name.as_deref().map(Owner::from))
    }

    /// Records who owns the held controller, whatever its number names by now.
    pub(crate) fn claim(
        &self,
        controller: Instance,
        held: &HeldController,
        owner: &Owner,
    ) -> Result<(), RegistryError> {
        let inode = held.inode();
        let inode = inode.map_err(|source| failed(held.path(), source))?;
        let path = self.entry(controller);
        let new = temporary_name(&path).map_err(|source| failed(&path, source))?;
        let placed = self
            .write(&new, inode, owner)
            .and_then(|()| place(&new, &path));
        // What stood there before, or what could not be placed.
        let removed = remove_dir(&new);
        placed.and(removed)
    }

    fn write(&self, new: &Path, inode: u64, owner: &Owner) -> Result<(), RegistryError> {
        fs::create_dir_all(new).map_err(|source| failed(new, source))?;
        let seqnum = self.root.join("sys/kernel/uevent_seqnum");
        let attributes = [
            ("owner", Some(format!("{owner}\n"))),
            ("inode", Some(format!("{inode}\n"))),
            // Missing, it only makes libnvme's udev rule look at the device node alone.
            ("seqnum", fs::read_to_string(&seqnum).ok()),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                let path = new.join(name);
                write_file(&path, &value, Existing::Replace)
                    .map_err(|source| failed(&path, source))?;
            }
        }
        Ok(())
    }

    /// Removes the entry of `nvmeN` unless it belongs to a controller that exists.
    ///
    /// # Errors
    /// The entry cannot be read or removed.
    pub fn remove_dead(&self, controller: Instance) -> Result<(), RegistryError> {
        if self.is_dead(controller, &self.entry(controller))? {
            self.take_dead(controller)?;
        }
        Ok(())
    }

    /// Takes the entry away, and puts it back if it is another one than that which was looked at.
    fn take_dead(&self, controller: Instance) -> Result<(), RegistryError> {
        let path = self.entry(controller);
        let taken = temporary_name(&path).map_err(|source| failed(&path, source))?;
        match fs::rename(&path, &taken) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(failed(&path, source)),
        }
        let dead = self.is_dead(controller, &taken);
        if !matches!(dead, Ok(true)) {
            match renameat_with(CWD, &taken, CWD, &path, RenameFlags::NOREPLACE) {
                // A newer entry has taken its place: this one is of no use any more.
                Err(Errno::EXIST) => {}
                back => return dead.and(back.map_err(|errno| failed(&path, errno.into()))),
            }
        }
        remove_dir(&taken)
    }

    /// Whether an entry of `nvmeN` at `path` belongs to no controller that exists.
    fn is_dead(&self, controller: Instance, path: &Path) -> Result<bool, RegistryError> {
        let recorded = attribute(path, "inode")?;
        Ok(match (self.inode(controller)?, recorded) {
            (Some(current), Some(recorded)) => current != recorded,
            // Somebody else's entry, who may have written it for the controller that exists.
            (Some(_), None) => false,
            (None, _) => true,
        })
    }

    fn entry(&self, controller: Instance) -> PathBuf {
        let registry = self.root.join("run/nvme/registry");
        registry.join(controller.to_string())
    }

    /// Number of the controller's directory as text, `None` when there is no such controller.
    fn inode(&self, controller: Instance) -> Result<Option<String>, RegistryError> {
        let path = self
            .root
            .join("sys/class/nvme")
            .join(controller.to_string());
        let held =
            HeldController::open(&self.root, controller).map_err(|source| failed(&path, source))?;
        held.map(|held| held.inode())
            .transpose()
            .map(|inode| inode.map(|inode| inode.to_string()))
            .map_err(|source| failed(&path, source))
    }
}

/// Puts `new` under its final name; an entry that stands there changes places with it.
fn place(new: &Path, path: &Path) -> Result<(), RegistryError> {
    use RenameFlags as Flags;
    let mut placed = Ok(());
    // The entry may come or go between two attempts, for the number has just changed hands.
    for flags in [Flags::NOREPLACE, Flags::EXCHANGE, Flags::NOREPLACE] {
        placed = renameat_with(CWD, new, CWD, path, flags);
        if !matches!(placed, Err(Errno::EXIST | Errno::NOENT)) {
            break;
        }
    }
    placed.map_err(|errno| failed(path, errno.into()))
}

/// One attribute of an entry without its line break; an empty one counts as none, as for libnvme.
fn attribute(entry: &Path, name: &str) -> Result<Option<String>, RegistryError> {
    let path = entry.join(name);
    match read_text(&path, MAX_ATTRIBUTE) {
        Ok(text) => Ok(Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(&path, source)),
    }
}

/// Removes a flat directory of files, if it is there; anything else in it is an error.
fn remove_dir(dir: &Path) -> Result<(), RegistryError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(dir, source)),
    };
    for entry in entries {
        let path = entry.map_err(|source| failed(dir, source))?.path();
        fs::remove_file(&path).map_err(|source| failed(&path, source))?;
    }
    fs::remove_dir(dir).map_err(|source| failed(dir, source))
}

fn failed(path: &Path, source: io::Error) -> RegistryError {
    let path = path.to_owned();
    RegistryError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const NVME3: Instance = Instance(3);

    /// A root with the controller nvme3.
    fn root() -> TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        let kernel = root.path().join("sys/kernel");
        fs::create_dir_all(&kernel).expect("a directory");
        fs::write(kernel.join("uevent_seqnum"), "4711\n").expect("a file");
        make_controller(root.path());
        root
    }

    fn make_controller(root: &Path) {
        fs::create_dir_all(root.join("sys/class/nvme/nvme3")).expect("a directory");
    }

    fn entry(root: &Path, attribute: &str) -> PathBuf {
        root.join("run/nvme/registry/nvme3").join(attribute)
    }

    fn owner(root: &TempDir) -> Option<Owner> {
        let owner = Registry::at(root.path()).owner(NVME3);
        owner.expect("readable")
    }

    /// Claims nvme3 for this crate.
    fn claim(root: &TempDir) {
        let held = HeldController::open(root.path(), NVME3).expect("readable");
        let held = held.expect("nvme3");
        let registry = Registry::at(root.path());
        registry
            .claim(NVME3, &held, &Owner::Program)
            .expect("writable");
    }

    /// The names in the registry's directory.
    fn entries(root: &TempDir) -> Vec<String> {
        let names = fs::read_dir(root.path().join("run/nvme/registry")).expect("a directory");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.into_string().expect("a name"))
            .collect()
    }

    #[test]
    fn a_claim_is_written_as_libnvme_reads_it() {
        let root = root();
        let registry = Registry::at(root.path());
        assert_eq!(registry.owner(NVME3).expect("readable"), None);
        claim(&root);
        let read = |name| fs::read_to_string(entry(root.path(), name)).expect("an attribute");
        assert_eq!(read("owner"), "nvmeof-csi\n");
        assert_eq!(read("seqnum"), "4711\n");
        assert_eq!(owner(&root), Some(Owner::Program));
        assert_eq!(entries(&root), ["nvme3"], "nothing temporary is left");
    }

    #[test]
    fn the_entry_of_a_dead_controller_does_not_mislead() {
        let root = root();
        let registry = Registry::at(root.path());
        claim(&root);
        // The kernel never gives an inode twice; a plain file system may, so it is changed here.
        fs::write(entry(root.path(), "inode"), "1\n").expect("a file");
        assert_eq!(registry.owner(NVME3).expect("readable"), None);
        claim(&root);
        assert_eq!(owner(&root), Some(Owner::Program));
    }

    #[test]
    fn another_owner_is_respected_and_replaced_only_by_a_claim() {
        let root = root();
        fs::create_dir_all(root.path().join("run/nvme/registry/nvme3")).expect("a directory");
        fs::write(entry(root.path(), "owner"), "stas\n").expect("a file");
        assert_eq!(owner(&root), Some(Owner::Other("stas".to_owned())));
        claim(&root);
        assert_eq!(owner(&root), Some(Owner::Program));
    }

    #[test]
    fn a_controller_that_does_not_exist_has_no_owner() {
        let root = root();
        let registry = Registry::at(root.path());
        assert_eq!(registry.owner(Instance(9)).expect("readable"), None);
    }

    #[test]
    fn only_the_entry_of_a_dead_controller_is_removed() {
        let root = root();
        let registry = Registry::at(root.path());
        claim(&root);
        registry.remove_dead(NVME3).expect("nothing to remove");
        assert_eq!(owner(&root), Some(Owner::Program));
        fs::remove_dir(root.path().join("sys/class/nvme/nvme3")).expect("a directory");
        registry.remove_dead(NVME3).expect("removable");
        registry.remove_dead(NVME3).expect("nothing to remove");
        assert_eq!(entries(&root), [""; 0]);
    }

    #[test]
    fn an_entry_that_changed_hands_after_it_was_looked_at_stays() {
        let root = root();
        let registry = Registry::at(root.path());
        // What the second look sees: the number is given away, its new owner has written the entry.
        claim(&root);
        registry.take_dead(NVME3).expect("put back");
        assert_eq!(owner(&root), Some(Owner::Program));
        fs::remove_file(entry(root.path(), "inode")).expect("a file");
        fs::write(entry(root.path(), "owner"), "stas\n").expect("a file");
        registry.take_dead(NVME3).expect("put back");
        assert_eq!(owner(&root), Some(Owner::Other("stas".to_owned())));
        assert_eq!(entries(&root), ["nvme3"]);
    }
}
