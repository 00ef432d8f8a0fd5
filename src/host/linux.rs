//! The real machine behind [`Host`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use nvme_fabrics::{
    ConnectError, ConnectOptions, Connected, DisconnectError, Fabrics, Owner, RescanError,
    TuneError, Tuning,
};
use nvme_sysfs::{DevT, Instance, Nqn};

use crate::host::command::Programs;
use crate::host::{
    Access, AttributeError, CheckError, DeviceNode, FilesystemType, FormatError, FormatRequest,
    GrowError, Grown, HeadError, Host, Made, MapError, MapId, MapTable, MountError, MountFlag,
    MountPoint, MountPointError, MountRequest, UnmountError, backing_device, disk_probe, dm,
    filesystem, head, mount, mount_point,
};

/// This machine.
#[derive(Debug, Clone)]
pub struct LinuxHost {
    root: PathBuf,
    fabrics: Fabrics,
    programs: Programs,
    timeouts: Timeouts,
}

/// How long what can be bounded may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To dial a portal before the kernel is asked to connect.
    pub dial: Duration,
    /// To wait for a controller to be gone after it was deleted.
    pub disconnect: Duration,
    /// For mke2fs and mkfs.xfs.
    pub format: Duration,
    /// For e2fsck.
    pub check: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        const MINUTE: Duration = Duration::from_secs(60);
        Timeouts {
            // As for `connect --dial-timeout`: what answers at all answers sooner.
            dial: Duration::from_secs(3),
            // The kernel gives a dead target an admin command's time-out to shut down.
            disconnect: MINUTE,
            // Writing a journal and the group descriptors of many TiB over a slow link.
            format: 15 * MINUTE,
            // A full check reads all metadata, and to be killed in it gains nothing.
            check: 60 * MINUTE,
        }
    }
}

impl LinuxHost {
    /// The machine below `root`, which is `/` outside of tests. Controllers are connected in the name of `owner`.
    pub fn new(root: impl Into<PathBuf>, owner: Owner, timeouts: Timeouts) -> LinuxHost {
        let root = root.into();
        LinuxHost {
            fabrics: Fabrics::at(&root).owned_by(owner).reading_addresses_once(),
            programs: Programs::installed(&root),
            root,
            timeouts,
        }
    }
}

impl Host for LinuxHost {
    fn connect(&self, options: &ConnectOptions) -> Result<Connected, ConnectError> {
        self.fabrics.connect(options, self.timeouts.dial)
    }

    fn disconnect(&self, controller: Instance, nqn: &Nqn) -> Result<(), DisconnectError> {
        let done = self
            .fabrics
            .disconnect(controller, nqn, self.timeouts.disconnect)?;
        tracing::debug!(%controller, %nqn, ?done, "disconnected");
        Ok(())
    }

    fn rescan(&self, controller: Instance, nqn: &Nqn) -> Result<(), RescanError> {
        self.fabrics.rescan(controller, nqn)
    }

    fn reset(&self, controller: Instance, nqn: &Nqn) -> Result<(), RescanError> {
        self.fabrics.reset(controller, nqn)
    }

    fn tune(&self, controller: Instance, nqn: &Nqn, tuning: &Tuning) -> Result<(), TuneError> {
        self.fabrics.tune(controller, nqn, tuning)
    }

    fn keep_head(&self, disk: &str, time: Duration) -> Result<(), HeadError> {
        head::keep(&self.root, disk, time)
    }

    fn create_map(&self, map: MapId) -> Result<(), MapError> {
        dm::create(&self.root, map)
    }

    fn load_map(&self, map: MapId, table: &MapTable) -> Result<(), MapError> {
        dm::load(&self.root, map, table)
    }

    fn resume_map(&self, map: MapId) -> Result<(), MapError> {
        dm::resume(&self.root, map)
    }

    fn suspend_map(&self, map: MapId) -> Result<(), MapError> {
        dm::suspend(&self.root, map)
    }

    fn clear_map(&self, map: MapId) -> Result<(), MapError> {
        dm::clear_table(&self.root, map)
    }

    fn reinstate_path(&self, map: MapId, disk: DevT) -> Result<(), MapError> {
        dm::reinstate(&self.root, map, disk)
    }

    fn fail_path(&self, map: MapId, disk: DevT) -> Result<(), MapError> {
        dm::fail_path(&self.root, map, disk)
    }

    fn queue_map(&self, map: MapId) -> Result<(), MapError> {
        dm::queue_if_no_path(&self.root, map)
    }

    fn let_go_map(&self, map: MapId) -> Result<(), MapError> {
        dm::let_go(&self.root, map)
    }

    fn remove_map(&self, map: MapId) -> Result<(), MapError> {
        dm::remove(&self.root, map)
    }

    fn serves(&self, disk: &DeviceNode) -> bool {
        disk_probe::serves(&self.root, disk)
    }

    fn limit_dirty(&self, disk: DevT) -> Result<(), AttributeError> {
        backing_device::limit_dirty(&self.root, disk)
    }

    fn mount(&self, request: &MountRequest) -> Result<(), MountError> {
        mount::mount(&self.root, request)
    }

    fn bind(
        &self,
        source: &Path,
        target: &Path,
        access: Access,
        flags: &[MountFlag],
    ) -> Result<(), MountError> {
        mount::bind(source, target, access, flags)
    }

    fn unmount(&self, target: &Path) -> Result<(), UnmountError> {
        mount::unmount(target)
    }

    fn make_mount_point(&self, path: &Path, kind: MountPoint) -> Result<Made, MountPointError> {
        mount_point::make(path, kind)
    }

    fn remove_mount_point(&self, path: &Path) -> Result<(), MountPointError> {
        mount_point::remove(path)
    }

    fn format(&self, request: &FormatRequest) -> Result<(), FormatError> {
        filesystem::format(&self.root, &self.programs, self.timeouts.format, request)
    }

    fn check(&self, device: &DeviceNode, fs: FilesystemType) -> Result<(), CheckError> {
        let deadline = self.timeouts.check;
        filesystem::check(&self.root, &self.programs, deadline, device, fs)
    }

    fn grow(
        &self,
        mounted_at: &Path,
        device: &DeviceNode,
        fs: FilesystemType,
    ) -> Result<Grown, GrowError> {
        filesystem::grow(&self.root, mounted_at, device, fs)
    }
}
