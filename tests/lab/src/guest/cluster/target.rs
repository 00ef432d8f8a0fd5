//! The target, in a network of its own behind a link that can be cut.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cluster::settings::{self, TARGET_ADDRESS};
use crate::guest::net::{self, NetworkNamespace};
use crate::guest::nvmet::{self, Port, Subsystem};

/// Where the backing files lie, on the disk: they outlive a reboot.
const FILES: &str = "/var/lib/volumes";
const NEAR: &str = "v0";
const FAR: &str = "t0";

/// The target's network and what it exports.
#[derive(Debug)]
pub(super) struct Target {
    network: NetworkNamespace,
    volumes: BTreeMap<String, Volume>,
    port: Option<Port>,
}

#[derive(Debug)]
struct Volume {
    subsystem: Subsystem,
    exported: bool,
}

impl Target {
    /// The link is up; nothing is exported.
    pub(super) fn new() -> io::Result<Self> {
        let network = NetworkNamespace::new()?;
        net::add_veth(NEAR, FAR, &network)?;
        net::add_address(NEAR, settings::NEAR_ADDRESS.into(), 24)?;
        net::set_up(NEAR)?;
        network.run(|| {
            net::add_address(FAR, TARGET_ADDRESS.into(), 24)?;
            net::set_up(FAR)
        })?;
        fs::create_dir_all(FILES)?;
        let mut target = Self {
            network,
            volumes: BTreeMap::new(),
            port: None,
        };
        target.start()?;
        Ok(target)
    }

    /// The far end goes down, so that the route stays and what is sent is lost.
    pub(super) fn cut(&self) -> io::Result<()> {
        self.network.run(|| net::set_down(FAR))
    }

    pub(super) fn join(&self) -> io::Result<()> {
        self.network.run(|| net::set_up(FAR))
    }

    /// Makes a volume and exports it.
    pub(super) fn make(&mut self, name: &str, mib: u64) -> io::Result<()> {
        let file = Path::new(FILES).join(name);
        if !file.exists() {
            nvmet::backing_file(&file, mib << 20)?;
        }
        let subsystem = Subsystem::create(&settings::nqn(name))?;
        subsystem.add_namespace(1, &file, &settings::uuid(name))?;
        let volume = Volume {
            subsystem,
            exported: false,
        };
        self.volumes.insert(name.to_owned(), volume);
        self.export(name)
    }

    pub(super) fn export(&mut self, name: &str) -> io::Result<()> {
        let Some(port) = &self.port else {
            return Err(io::Error::other("the target is stopped"));
        };
        let volume = self.volumes.get_mut(name);
        let volume = volume.ok_or_else(|| io::Error::other(format!("no volume {name}")))?;
        if !volume.exported {
            self.network.run(|| port.export(&volume.subsystem))?;
            volume.exported = true;
        }
        Ok(())
    }

    pub(super) fn withdraw(&mut self, name: &str) -> io::Result<()> {
        let volume = self.volumes.get_mut(name);
        let volume = volume.ok_or_else(|| io::Error::other(format!("no volume {name}")))?;
        if let Some(port) = self.port.as_ref().filter(|_| volume.exported) {
            port.withdraw(&volume.subsystem)?;
        }
        volume.exported = false;
        Ok(())
    }

    /// Ends every controller, and what listens.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        let names: Vec<_> = self.volumes.keys().cloned().collect();
        names.iter().try_for_each(|name| self.withdraw(name))?;
        self.port.take().map_or(Ok(()), |port| port.remove())
    }

    pub(super) fn start(&mut self) -> io::Result<()> {
        if self.port.is_none() {
            self.port = Some(Port::tcp(1, TARGET_ADDRESS.into(), settings::TARGET_PORT)?);
        }
        let names: Vec<_> = self.volumes.keys().cloned().collect();
        names.iter().try_for_each(|name| self.export(name))
    }
}

/// Deletes the node's controllers of a volume; each write returns when the kernel is done with it.
pub(super) fn delete_controllers(volume: &str) -> io::Result<String> {
    let nqn = settings::nqn(volume);
    let mut deleted = String::new();
    for entry in fs::read_dir("/sys/class/nvme")? {
        let controller: PathBuf = entry?.path();
        let name = fs::read_to_string(controller.join("subsysnqn"))?;
        if name.trim() == nqn {
            fs::write(controller.join("delete_controller"), "1")?;
            deleted.push_str(&format!("{}\n", controller.display()));
        }
    }
    Ok(deleted)
}
