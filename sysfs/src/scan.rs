//! Reading the whole tree: the classes `nvme-subsystem` and `nvme`.
//!
//! Invariant: an entry that vanishes while it is read is left out as a whole, never shown by halves; anything else that
//! goes wrong is noted in the entry, which stays in its place, and hides nothing else. A controller that exists all the
//! time is always found.

mod addresses;
mod controller;
mod namespace;
mod subsystem;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::attribute::Directory;
use crate::controller::Controller;
use crate::device::Instance;
use crate::entry::Entry;
use crate::error::ScanError;
#[cfg(doc)]
use crate::error::Unknown;
use crate::list::{self, Listing};
use crate::nqn::Nqn;
use crate::parameters::{self, Parameters};
use crate::reader::{Reader, note};
use crate::tree::Tree;

use addresses::Addresses;

/// The sysfs below one root directory.
///
/// ```no_run
/// let tree = nvme_sysfs::Sysfs::at("/").scan()?;
/// for controller in tree.controllers() {
///     println!("{} {} {}", controller.instance, controller.state, controller.address);
/// }
/// # Ok::<(), nvme_sysfs::ScanError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sysfs {
    mount: PathBuf,
    addresses: Addresses,
}

impl Sysfs {
    /// The sysfs mounted at `sys` below `root`; `/` for the running machine.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self {
            mount: root.as_ref().join("sys"),
            addresses: Addresses::Read,
        }
    }

    /// The same, for a program that scans again and again: the address of each controller is read from the kernel once,
    /// for this value and all its clones. It never changes but for `src_addr`, which stays as it was first seen.
    ///
    /// Reading `address` of a controller over TCP while it is reset or removed can end in a fault of the kernel
    /// (`nvme_tcp_get_address`, at least in 6.1 and 6.12), so whoever reads at each event should not read it each time.
    #[must_use]
    pub fn reading_addresses_once(self) -> Self {
        Self {
            addresses: Addresses::remembered(),
            ..self
        }
    }

    /// Reads everything. Without the NVMe driver the tree is empty.
    ///
    /// No attribute is read that makes the kernel ask the target (`nuse`) or that may hold a secret.
    ///
    /// # Errors
    /// [`ScanError`] if sysfs is not there or a class cannot be listed. What else cannot be read is part of the tree, as
    /// [`Unknown`]: the kernel answers only `ENOENT` and `ENODEV` for what goes away, so no other error is taken for
    /// "gone".
    pub fn scan(&self) -> Result<Tree, ScanError> {
        let classes = self.classes()?;
        let subsystems = subsystem::read_all(&classes, &self.addresses)?;
        // Listed after the subsystems, so that a controller which is made or attached meanwhile is found once at least.
        let attached = subsystems
            .iter()
            .flat_map(|subsystem| &subsystem.controllers);
        let attached = attached.map(|controller| controller.instance).collect();
        let unattached = self.read_unattached(&classes, &attached)?;
        Ok(Tree {
            subsystems,
            unattached,
            ..self.multipath()
        })
    }

    /// Reads only the subsystems of this name, with their controllers and disks: on a host with many others a small part
    /// of what [`Sysfs::scan`] costs. A controller that is not part of its subsystem yet is left out.
    ///
    /// # Errors
    /// As [`Sysfs::scan`].
    pub fn scan_subsystem(&self, nqn: &Nqn) -> Result<Tree, ScanError> {
        Ok(Tree {
            subsystems: subsystem::read_named(&self.classes()?, &self.addresses, nqn)?,
            ..self.multipath()
        })
    }

    /// Reads only the controllers, each without its paths, in the order of their numbers: less than half of what
    /// [`Sysfs::scan`] costs. Also those that are part of no subsystem yet.
    ///
    /// # Errors
    /// As [`Sysfs::scan`].
    pub fn scan_controllers(&self) -> Result<Vec<Controller>, ScanError> {
        self.read_unattached(&self.classes()?, &HashSet::new())
    }

    /// Reads only what `nvme list-subsys -o json` prints: subsystems with their controllers, by host. Each controller
    /// costs 17 system calls and each subsystem 7.
    ///
    /// # Errors
    /// As [`Sysfs::scan`].
    pub fn list(&self) -> Result<Listing, ScanError> {
        list::read(&self.classes()?)
    }

    /// Reads the parameters of the driver's modules.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        let modules = Directory::open(self.mount.join("module"));
        if let Some(modules) = note(modules, &mut parameters.unknown).flatten() {
            parameters::read(&modules, &mut parameters);
        }
        parameters
    }

    fn classes(&self) -> Result<Directory, ScanError> {
        let path = self.mount.join("class");
        Directory::open(path.clone())?.ok_or(ScanError::NoSysfs { path })
    }

    /// A tree of nothing but the parameter.
    fn multipath(&self) -> Tree {
        let mut tree = Tree::default();
        let core = Directory::open(self.mount.join("module/nvme_core/parameters"));
        if let Some(core) = note(core, &mut tree.unknown).flatten() {
            let mut core = Reader::of(&core);
            tree.multipath = parameters::read_multipath(&mut core);
            tree.unknown.extend(core.noted());
        }
        tree
    }

    fn read_unattached(
        &self,
        classes: &Directory,
        attached: &HashSet<Instance>,
    ) -> Result<Vec<Controller>, ScanError> {
        let Some(class) = classes.directory("nvme")? else {
            return Ok(Vec::new());
        };
        let mut unattached = Vec::new();
        for entry in class.nvme_entries()? {
            let Entry::Controller(instance) = entry else {
                continue;
            };
            if attached.contains(&instance) {
                continue;
            }
            match class.directory(&entry.to_string()) {
                Ok(None) => {}
                Ok(Some(directory)) => {
                    let (addresses, nothing) = (&self.addresses, (Vec::new(), Vec::new()));
                    unattached.extend(controller::read(&directory, addresses, instance, nothing));
                }
                Err(error) => {
                    unattached.push(controller::unreadable(instance, vec![error.into()]));
                }
            }
        }
        Ok(unattached)
    }
}
