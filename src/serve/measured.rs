//! A [`Host`] whose connects are counted and timed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvme_fabrics::{
    ConnectError, ConnectHow, ConnectOptions, Connected, DisconnectError, RescanError, TuneError,
    Tuning,
};
use nvme_sysfs::{DevT, Instance, Nqn};

use crate::host::{
    Access, AttributeError, CheckError, DeviceNode, FilesystemType, FormatError, FormatRequest,
    GrowError, HeadError, Host, Made, MapError, MapId, MapTable, MountError, MountFlag, MountPoint,
    MountPointError, MountRequest, UnmountError,
};
use crate::report::metrics::Metrics;

/// Does what another host does.
#[derive(Debug)]
pub(super) struct Measured {
    host: Arc<dyn Host>,
    metrics: Arc<Metrics>,
}

impl Measured {
    /// Counts in `metrics` what `host` connects.
    pub(super) fn new(host: Arc<dyn Host>, metrics: Arc<Metrics>) -> Measured {
        Measured { host, metrics }
    }
}

impl Host for Measured {
    fn connect(&self, options: &ConnectOptions) -> Result<Connected, ConnectError> {
        let began = Instant::now();
        let connected = self.host.connect(options);
        let result = match &connected {
            Ok(connected) if connected.how == ConnectHow::Created => "created",
            Ok(_) => "adopted",
            Err(_) => "failed",
        };
        self.metrics.connect(result, began.elapsed());
        connected
    }

    fn disconnect(&self, controller: Instance, nqn: &Nqn) -> Result<(), DisconnectError> {
        self.host.disconnect(controller, nqn)
    }

    fn rescan(&self, controller: Instance, nqn: &Nqn) -> Result<(), RescanError> {
        self.host.rescan(controller, nqn)
    }

    fn reset(&self, controller: Instance, nqn: &Nqn) -> Result<(), RescanError> {
        self.host.reset(controller, nqn)
    }

    fn tune(&self, controller: Instance, nqn: &Nqn, tuning: &Tuning) -> Result<(), TuneError> {
        self.host.tune(controller, nqn, tuning)
    }

    fn keep_head(&self, disk: &str, time: Duration) -> Result<(), HeadError> {
        self.host.keep_head(disk, time)
    }

    fn create_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.create_map(map)
    }

    fn load_map(&self, map: MapId, table: &MapTable) -> Result<(), MapError> {
        self.host.load_map(map, table)
    }

    fn resume_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.resume_map(map)
    }

    fn suspend_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.suspend_map(map)
    }

    fn clear_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.clear_map(map)
    }

    fn reinstate_path(&self, map: MapId, disk: DevT) -> Result<(), MapError> {
        self.host.reinstate_path(map, disk)
    }

    fn fail_path(&self, map: MapId, disk: DevT) -> Result<(), MapError> {
        self.host.fail_path(map, disk)
    }

    fn queue_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.queue_map(map)
    }

    fn let_go_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.let_go_map(map)
    }

    fn remove_map(&self, map: MapId) -> Result<(), MapError> {
        self.host.remove_map(map)
    }

    fn serves(&self, disk: &DeviceNode) -> bool {
        self.host.serves(disk)
    }

    fn limit_dirty(&self, disk: DevT) -> Result<(), AttributeError> {
        self.host.limit_dirty(disk)
    }

    fn mount(&self, request: &MountRequest) -> Result<(), MountError> {
        self.host.mount(request)
    }

    fn bind(
        &self,
        source: &Path,
        target: &Path,
        access: Access,
        flags: &[MountFlag],
    ) -> Result<(), MountError> {
        self.host.bind(source, target, access, flags)
    }

    fn unmount(&self, target: &Path) -> Result<(), UnmountError> {
        self.host.unmount(target)
    }

    fn make_mount_point(&self, path: &Path, kind: MountPoint) -> Result<Made, MountPointError> {
        self.host.make_mount_point(path, kind)
    }

    fn remove_mount_point(&self, path: &Path) -> Result<(), MountPointError> {
        self.host.remove_mount_point(path)
    }

    fn format(&self, request: &FormatRequest) -> Result<(), FormatError> {
        self.host.format(request)
    }

    fn check(&self, device: &DeviceNode, fs: FilesystemType) -> Result<(), CheckError> {
        self.host.check(device, fs)
    }

    fn grow(
        &self,
        mounted_at: &Path,
        device: &DeviceNode,
        fs: FilesystemType,
    ) -> Result<(), GrowError> {
        self.host.grow(mounted_at, device, fs)
    }
}
