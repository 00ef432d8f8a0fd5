//! A capture taken apart by what brings each entry: a controller that connects, the subsystem of the
//! first one, the heads of its namespaces.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kernel_lab::tree::{Entry, Tree};
use nvme_sysfs::{Instance, TransportAddress};

/// What a sysfs entry belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    /// The machine itself.
    Base,
    /// A subsystem, as long as it has a controller.
    Subsystem,
    /// A head, likewise, and only where the target shows its namespace.
    Head(String),
    /// A controller.
    Controller(Instance),
}

/// The devices of one capture below one root.
#[derive(Debug)]
pub(crate) struct Devices {
    root: PathBuf,
    tree: Tree,
    connected: BTreeSet<Instance>,
    /// Whether the kernel has seen the namespaces.
    pub(crate) heads: bool,
}

impl Devices {
    pub(crate) fn of(root: &Path, capture: &str) -> Devices {
        let devices = Devices {
            root: root.to_owned(),
            tree: read(capture),
            connected: BTreeSet::new(),
            heads: true,
        };
        devices.add(|owner| *owner == Owner::Base);
        devices
    }

    /// From now on a connect finds this at the target.
    pub(crate) fn retarget(&mut self, capture: &str, edit: impl Fn(String) -> String) {
        self.tree = read(capture);
        for entry in self.tree.entries.values_mut() {
            if let Entry::File { value, .. } = entry {
                let text = String::from_utf8(value.clone()).expect("text");
                *value = edit(text).into_bytes();
            }
        }
    }

    /// The controller of the capture that has this address, or its only one where it has none.
    pub(crate) fn find(&self, wanted: &TransportAddress) -> Option<Instance> {
        let controllers = self.tree.entries.iter().filter_map(|(path, entry)| {
            let name = path
                .strip_prefix("sys/devices/virtual/nvme-fabrics/ctl/")?
                .strip_suffix("/address")?;
            let Entry::File { value, .. } = entry else {
                return None;
            };
            let text = String::from_utf8_lossy(value);
            let address = TransportAddress::parse_attribute(&text);
            let found = address.traddr == wanted.traddr && address.trsvcid == wanted.trsvcid;
            found.then(|| name.parse().expect("a controller"))
        });
        controllers.into_iter().next()
    }

    pub(crate) fn is_connected(&self, controller: Instance) -> bool {
        self.connected.contains(&controller)
    }

    pub(crate) fn connected(&self) -> Vec<Instance> {
        self.connected.iter().copied().collect()
    }

    pub(crate) fn connect(&mut self, controller: Instance) {
        self.add(|owner| *owner == Owner::Controller(controller) || *owner == Owner::Subsystem);
        self.connected.insert(controller);
        if self.heads {
            self.show_heads();
        }
    }

    /// The kernel sees the namespaces, and their nodes appear.
    pub(crate) fn show_heads(&mut self) {
        self.heads = true;
        self.add(|owner| matches!(owner, Owner::Head(_)));
        let tree = self.scan();
        for namespace in tree.namespaces() {
            let uuid = namespace.identity.uuid.expect("a captured uuid");
            let image = self.root.join("target").join(format!("{uuid}.img"));
            let file = fs::File::options().create(true).append(true).open(&image);
            let file = file.expect("an image");
            file.set_len(namespace.size_bytes).expect("a size");
            let node = self.root.join("dev").join(&namespace.name);
            if fs::symlink_metadata(&node).is_err() {
                symlink(&image, &node).expect("a node");
            }
        }
    }

    pub(crate) fn disconnect(&mut self, controller: Instance) {
        self.connected.remove(&controller);
        let last = self.connected.is_empty();
        if last {
            for name in self.head_names() {
                fs::remove_file(self.root.join("dev").join(name)).ok();
            }
        }
        self.remove(|owner| match owner {
            Owner::Base => false,
            Owner::Controller(found) => *found == controller,
            Owner::Subsystem | Owner::Head(_) => last,
        });
    }

    /// Changes an attribute of every head or controller that has it.
    pub(crate) fn set(&self, attribute: &str, value: &str) {
        for path in self.tree.entries.keys() {
            let is_it = path.ends_with(&format!("/{attribute}")) && path.contains("/nvme");
            let path = self.root.join(path);
            if is_it && path.is_file() {
                fs::write(path, value).expect("an attribute");
            }
        }
    }

    /// From now on no device has this attribute as it appears.
    pub(crate) fn appear_without(&mut self, attribute: &str) {
        let ending = format!("/{attribute}");
        self.tree.entries.retain(|path, _| !path.ends_with(&ending));
    }

    /// Takes an attribute away from every head or controller that has it.
    pub(crate) fn take(&self, attribute: &str) {
        for path in self.tree.entries.keys() {
            let is_it = path.ends_with(&format!("/{attribute}")) && path.contains("/nvme");
            let path = self.root.join(path);
            if is_it && path.is_file() {
                fs::remove_file(path).expect("an attribute");
            }
        }
    }

    fn head_names(&self) -> Vec<String> {
        let tree = self.scan();
        let names = tree.namespaces().map(|namespace| namespace.name.clone());
        names.collect()
    }

    fn scan(&self) -> nvme_sysfs::Tree {
        nvme_sysfs::Sysfs::at(&self.root).scan().expect("a tree")
    }

    fn add(&self, wanted: impl Fn(&Owner) -> bool) {
        for (path, entry) in &self.tree.entries {
            if wanted(&owner(path, entry)) {
                write(&self.root.join(path), entry);
            }
        }
    }

    fn remove(&self, wanted: impl Fn(&Owner) -> bool) {
        // Children come behind their parents.
        for (path, entry) in self.tree.entries.iter().rev() {
            if wanted(&owner(path, entry)) {
                remove(&self.root.join(path));
            }
        }
    }
}

fn read(capture: &str) -> Tree {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/sysfs")
        .join(format!("{capture}.tree"));
    let text = fs::read_to_string(file).expect("a captured tree");
    Tree::parse(&text).expect("a captured tree")
}

/// Writes an entry that is not there yet: what is there keeps what happened to it.
fn write(path: &Path, entry: &Entry) {
    let parent = path.parent().expect("a parent");
    fs::create_dir_all(parent).expect("a directory");
    if fs::symlink_metadata(path).is_ok() {
        return;
    }
    match entry {
        Entry::Directory => fs::create_dir_all(path).expect("a directory"),
        Entry::Link(target) => symlink(target, path).expect("a link"),
        Entry::File { value, .. } => fs::write(path, value).expect("a file"),
    }
}

/// Removes an entry, and directories that it leaves empty.
fn remove(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
        fs::remove_dir(path).ok();
    } else {
        fs::remove_file(path).ok();
    }
    let mut parent = path.parent();
    while let Some(directory) = parent.filter(|directory| is_device(directory)) {
        if fs::remove_dir(directory).is_err() {
            return;
        }
        parent = directory.parent();
    }
}

/// Whether a directory is, or lies in, that of a controller, subsystem or disk.
fn is_device(directory: &Path) -> bool {
    let text = directory.to_string_lossy();
    text.contains("/ctl/nvme") || text.contains("/nvme-subsystem/nvme-subsys")
}

fn owner(path: &str, entry: &Entry) -> Owner {
    if let Some(below) = path.strip_prefix("sys/devices/virtual/") {
        return device_owner(below);
    }
    if let Some(name) = path.strip_prefix("sys/class/nvme/") {
        return controller(name);
    }
    if let Some(name) = path.strip_prefix("sys/class/nvme-subsystem/") {
        return if name.is_empty() {
            Owner::Base
        } else {
            Owner::Subsystem
        };
    }
    match entry {
        Entry::Link(target) if path.starts_with("sys/block/") || path.starts_with("sys/dev/") => {
            let below = target.split_once("devices/virtual/");
            below.map_or(Owner::Base, |(_, below)| device_owner(below))
        }
        _ => Owner::Base,
    }
}

fn device_owner(below: &str) -> Owner {
    if let Some(rest) = below.strip_prefix("nvme-fabrics/ctl/") {
        return controller(rest.split('/').next().unwrap_or_default());
    }
    let Some(rest) = below.strip_prefix("nvme-subsystem/nvme-subsys") else {
        return Owner::Base;
    };
    let child = rest.split('/').nth(1).unwrap_or_default();
    match controller(child) {
        Owner::Base if child.starts_with("nvme") => Owner::Head(child.to_owned()),
        Owner::Base if child.starts_with("ng") => Owner::Head(child.replace("ng", "nvme")),
        Owner::Base => Owner::Subsystem,
        owner => owner,
    }
}

fn controller(name: &str) -> Owner {
    name.parse().map_or(Owner::Base, Owner::Controller)
}
