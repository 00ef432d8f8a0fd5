//! The kernel's own NVMe target, set up through configfs.
//!
//! Source of the rules: `drivers/nvme/target/configfs.c`. A port listens in the network namespace of
//! the thread that makes its first `subsystems/` link, so such calls go through
//! [`NetworkNamespace::run`](super::net::NetworkNamespace::run).

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::context;

const ROOT: &str = "/sys/kernel/config/nvmet";

/// An exported subsystem. It stays until [`clear`]; dropping the value changes nothing.
#[derive(Debug, Clone)]
pub struct Subsystem {
    /// Its qualified name.
    pub nqn: String,
    directory: PathBuf,
}

impl Subsystem {
    /// Makes the subsystem, open to any host.
    ///
    /// # Errors
    /// When the name is refused or taken.
    pub fn create(nqn: &str) -> io::Result<Self> {
        let directory = Path::new(ROOT).join("subsystems").join(nqn);
        make(&directory)?;
        put(&directory.join("attr_allow_any_host"), "1")?;
        Ok(Self {
            nqn: nqn.to_owned(),
            directory,
        })
    }

    /// Adds a namespace on a file or a disk, enabled, with a fixed UUID (and the NGUID that the kernel gives it). On a file
    /// its blocks have 4096 bytes, on a disk the disk's.
    ///
    /// # Errors
    /// When the file cannot be used or the number is taken.
    pub fn add_namespace(&self, nsid: u32, backing: &Path, uuid: &str) -> io::Result<()> {
        let directory = self.namespace(nsid);
        make(&directory)?;
        put(
            &directory.join("device_path"),
            &backing.display().to_string(),
        )?;
        put(&directory.join("device_uuid"), uuid)?;
        // The backing files lie on tmpfs, which has no direct I/O. With it a disk would be taken for a file.
        let buffered = if backing.is_file() { "1" } else { "0" };
        put(&directory.join("buffered_io"), buffered)?;
        self.enable(nsid)
    }

    /// Shows a namespace to hosts.
    ///
    /// # Errors
    /// When its backing file cannot be opened.
    pub fn enable(&self, nsid: u32) -> io::Result<()> {
        put(&self.namespace(nsid).join("enable"), "1")
    }

    /// Hides a namespace from hosts; waits for its I/O in flight.
    ///
    /// # Errors
    /// When there is no such namespace.
    pub fn disable(&self, nsid: u32) -> io::Result<()> {
        put(&self.namespace(nsid).join("enable"), "0")
    }

    /// Removes a namespace.
    ///
    /// # Errors
    /// When there is no such namespace.
    pub fn remove_namespace(&self, nsid: u32) -> io::Result<()> {
        self.disable(nsid)?;
        remove(&self.namespace(nsid))
    }

    /// Makes a namespace's file longer and tells the hosts.
    ///
    /// # Errors
    /// When the file cannot grow, or the namespace is not enabled.
    pub fn grow(&self, nsid: u32, backing: &Path, bytes: u64) -> io::Result<()> {
        let file = File::options().write(true).open(backing);
        context(file, || format!("open {}", backing.display()))?.set_len(bytes)?;
        self.revalidate(nsid)
    }

    /// Has the target ask for the size of what is behind a namespace, and tell the hosts.
    ///
    /// # Errors
    /// When the namespace is not enabled.
    pub fn revalidate(&self, nsid: u32) -> io::Result<()> {
        put(&self.namespace(nsid).join("revalidate_size"), "1")
    }

    /// Puts a namespace into an ANA group of the ports.
    ///
    /// # Errors
    /// When the group is outside 1 to 128.
    pub fn set_ana_group(&self, nsid: u32, group: u32) -> io::Result<()> {
        put(&self.namespace(nsid).join("ana_grpid"), &group.to_string())
    }

    /// Admits this host, and no longer any other.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn allow_only(&self, hostnqn: &str) -> io::Result<()> {
        put(&self.directory.join("attr_allow_any_host"), "0")?;
        for admitted in fs::read_dir(self.directory.join("allowed_hosts"))? {
            fs::remove_file(admitted?.path())?;
        }
        self.allow(hostnqn)
    }

    /// Admits one more host.
    ///
    /// # Errors
    /// When any host is admitted already.
    pub fn allow(&self, hostnqn: &str) -> io::Result<()> {
        let host = Path::new(ROOT).join("hosts").join(hostnqn);
        if !host.is_dir() {
            make(&host)?;
        }
        link(&host, &self.directory.join("allowed_hosts").join(hostnqn))
    }

    /// Demands that an admitted host proves a DH-HMAC-CHAP secret.
    ///
    /// # Errors
    /// When the kernel has no authentication, or refuses the secret.
    pub fn demand_secret(&self, hostnqn: &str, secret: &str) -> io::Result<()> {
        let host = Path::new(ROOT).join("hosts").join(hostnqn);
        put(&host.join("dhchap_key"), secret)
    }

    /// Writes an attribute of the subsystem, such as `attr_qid_max`.
    ///
    /// # Errors
    /// When the kernel refuses the value.
    pub fn set(&self, attribute: &str, value: &str) -> io::Result<()> {
        put(&self.directory.join(attribute), value)
    }

    /// Removes the subsystem.
    ///
    /// # Errors
    /// When it still has namespaces or is exported.
    pub fn remove(&self) -> io::Result<()> {
        unlink_all(&self.directory.join("allowed_hosts"))?;
        remove(&self.directory)
    }

    fn namespace(&self, nsid: u32) -> PathBuf {
        self.directory.join("namespaces").join(nsid.to_string())
    }
}

/// Where a target listens.
#[derive(Debug, Clone)]
pub struct Port {
    directory: PathBuf,
}

impl Port {
    /// A TCP port; it listens as soon as the first subsystem is exported on it.
    ///
    /// # Errors
    /// When the number is taken.
    pub fn tcp(number: u16, address: IpAddr, service: u16) -> io::Result<Self> {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let port = Self::create(number, "tcp", family)?;
        put(&port.directory.join("addr_traddr"), &address.to_string())?;
        put(&port.directory.join("addr_trsvcid"), &service.to_string())?;
        Ok(port)
    }

    /// The loop port: the host and the target in one kernel, no network between.
    ///
    /// # Errors
    /// When the kernel has no loop target.
    pub fn loopback(number: u16) -> io::Result<Self> {
        let directory = Path::new(ROOT).join("ports").join(number.to_string());
        make(&directory)?;
        put(&directory.join("addr_trtype"), "loop")?;
        Ok(Self { directory })
    }

    fn create(number: u16, transport: &str, family: &str) -> io::Result<Self> {
        let directory = Path::new(ROOT).join("ports").join(number.to_string());
        make(&directory)?;
        put(&directory.join("addr_trtype"), transport)?;
        put(&directory.join("addr_adrfam"), family)?;
        Ok(Self { directory })
    }

    /// Exports a subsystem here. The first export makes the port listen, in the caller's network namespace.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn export(&self, subsystem: &Subsystem) -> io::Result<()> {
        link(
            &subsystem.directory,
            &self.directory.join("subsystems").join(&subsystem.nqn),
        )
    }

    /// Takes a subsystem away: its controllers on this port end. The last one makes the port deaf.
    ///
    /// # Errors
    /// When it was not exported here.
    pub fn withdraw(&self, subsystem: &Subsystem) -> io::Result<()> {
        let path = self.directory.join("subsystems").join(&subsystem.nqn);
        context(fs::remove_file(&path), || {
            format!("unlink {}", path.display())
        })
    }

    /// Removes the port.
    ///
    /// # Errors
    /// When something is still exported here.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.directory)
    }

    /// Sets the state of an ANA group on this port, making the group (2 to 128) if need be.
    ///
    /// # Errors
    /// When the word is none of the kernel's.
    pub fn set_ana_state(&self, group: u32, state: &str) -> io::Result<()> {
        let directory = self.directory.join("ana_groups").join(group.to_string());
        if !directory.is_dir() {
            make(&directory)?;
        }
        put(&directory.join("ana_state"), state)
    }

    /// Points a discovery client to another port.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn refer(&self, name: &str, address: IpAddr, service: u16) -> io::Result<()> {
        let directory = self.directory.join("referrals").join(name);
        make(&directory)?;
        put(&directory.join("addr_trtype"), "tcp")?;
        put(
            &directory.join("addr_adrfam"),
            if address.is_ipv4() { "ipv4" } else { "ipv6" },
        )?;
        put(&directory.join("addr_traddr"), &address.to_string())?;
        put(&directory.join("addr_trsvcid"), &service.to_string())?;
        put(&directory.join("enable"), "1")
    }
}

/// Makes a sparse file to stand behind a namespace.
///
/// # Errors
/// When the directory is full or missing.
pub fn backing_file(path: &Path, bytes: u64) -> io::Result<()> {
    let file = context(File::create(path), || format!("create {}", path.display()))?;
    file.set_len(bytes)
}

/// Removes every port, subsystem and host, in the order that the kernel allows.
///
/// # Errors
/// The first step that failed; the rest is left as it is.
pub fn clear() -> io::Result<()> {
    let root = Path::new(ROOT);
    for port in entries(&root.join("ports"))? {
        unlink_all(&port.join("subsystems"))?;
        remove_all(&port.join("referrals"), |_| true)?;
        remove_all(&port.join("ana_groups"), |name| name != "1")?;
        remove(&port)?;
    }
    for subsystem in entries(&root.join("subsystems"))? {
        for namespace in entries(&subsystem.join("namespaces"))? {
            put(&namespace.join("enable"), "0")?;
            remove(&namespace)?;
        }
        unlink_all(&subsystem.join("allowed_hosts"))?;
        remove(&subsystem)?;
    }
    remove_all(&root.join("hosts"), |_| true)
}

fn unlink_all(directory: &Path) -> io::Result<()> {
    for path in entries(directory)? {
        context(fs::remove_file(&path), || {
            format!("unlink {}", path.display())
        })?;
    }
    Ok(())
}

fn remove_all(directory: &Path, chosen: impl Fn(&str) -> bool) -> io::Result<()> {
    for path in entries(directory)? {
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(&chosen)
        {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The entries of a directory, in order. configfs lists symbolic links and directories alike.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = context(fs::read_dir(directory), || {
        format!("list {}", directory.display())
    })?;
    let mut paths = listing
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn make(path: &Path) -> io::Result<()> {
    context(fs::create_dir(path), || format!("mkdir {}", path.display()))
}

fn remove(path: &Path) -> io::Result<()> {
    context(fs::remove_dir(path), || format!("rmdir {}", path.display()))
}

fn link(target: &Path, path: &Path) -> io::Result<()> {
    context(symlink(target, path), || format!("link {}", path.display()))
}

fn put(path: &Path, value: &str) -> io::Result<()> {
    context(fs::write(path, value), || {
        format!("write {value:?} to {}", path.display())
    })
}
