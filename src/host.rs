//! This machine as the command line and the driver see it: mounts, block devices, filesystems, and
//! who uses them.
//!
//! What only reads takes the root that the caller names, so that it runs on a captured tree as on a
//! node. What changes the machine is a method of [`Host`], and nothing else is.
//!
//! One invariant: what could not be read is reported as unknown, never taken for "not in use" or
//! "blank".

pub mod attribute;
pub mod backing;
pub mod backing_device;
pub mod block;
pub mod blocking;
pub mod command;
pub mod device_node;
pub(crate) mod disconnects;
pub(crate) mod disk_probe;
pub mod dm;
pub mod filesystem;
pub mod filesystem_type;
pub mod head;
pub mod host_files;
pub(crate) mod interrupt;
pub mod io_counts;
pub mod last_path;
pub mod linux;
pub mod memory_lock;
pub mod mount;
pub mod mount_flag;
pub mod mount_point;
pub mod mountinfo;
pub mod oom_score;
pub mod privileges;
pub mod processes;
pub mod question;
pub mod requirements;
pub mod signature;
pub mod swap;
pub mod usage;

use std::fmt::Debug;
use std::path::Path;

use std::time::Duration;

use nvme_fabrics::{
    ConnectError, ConnectOptions, Connected, DisconnectError, RescanError, TuneError, Tuning,
};
use nvme_sysfs::{DevT, Instance, Nqn};

pub use attribute::AttributeError;
pub use device_node::DeviceNode;
pub use dm::{MapError, MapId, MapTable};
pub use filesystem::{
    CheckError, FormatError, FormatOver, FormatRequest, GrowError, Grown, MultiMount,
};
pub use filesystem_type::FilesystemType;
pub use head::HeadError;
pub use linux::{LinuxHost, Timeouts};
pub use mount::{Access, MountAccess, MountError, MountRequest, UnmountError};
pub use mount_flag::{MountFlag, ParseMountFlagError};
pub use mount_point::{Made, MountPoint, MountPointError};

/// Everything that this program does to the machine.
///
/// Every method blocks, some for as long as a dead target makes them; the asynchronous side gives
/// each call a thread and a deadline. Each is safe to repeat with the same arguments, unless it says
/// otherwise.
pub trait Host: Send + Sync + Debug {
    /// Connects a controller, or finds the one that is connected already.
    ///
    /// # Errors
    /// [`ConnectError`].
    fn connect(&self, options: &ConnectOptions) -> Result<Connected, ConnectError>;

    /// Deletes a controller if it still belongs to `nqn`, and returns when it is gone. Nothing to
    /// delete is a success.
    ///
    /// # Errors
    /// [`DisconnectError`].
    fn disconnect(&self, controller: Instance, nqn: &Nqn) -> Result<(), DisconnectError>;

    /// Asks the target of a controller that still belongs to `nqn` for its namespaces and their
    /// sizes; returns when the kernel has been told to, which is before it has looked.
    ///
    /// # Errors
    /// [`RescanError`].
    fn rescan(&self, controller: Instance, nqn: &Nqn) -> Result<(), RescanError>;

    /// Ends all I/O of a controller that still belongs to `nqn`, and connects it anew; returns when that was
    /// done, or failed.
    ///
    /// # Errors
    /// [`RescanError`].
    fn reset(&self, controller: Instance, nqn: &Nqn) -> Result<(), RescanError>;

    /// Changes how long the kernel tries to get a controller back, if it still belongs to `nqn`.
    ///
    /// # Errors
    /// [`TuneError`].
    fn tune(&self, controller: Instance, nqn: &Nqn, tuning: &Tuning) -> Result<(), TuneError>;

    /// Lets a multipath head outlive its last path by this time, with its I/O held
    /// (`delayed_removal_secs`). Zero: not at all.
    ///
    /// # Errors
    /// [`HeadError`].
    fn keep_head(&self, disk: &str, time: Duration) -> Result<(), HeadError>;

    /// Makes a map without disks, in which nothing waits yet.
    ///
    /// # Errors
    /// [`MapError`].
    fn create_map(&self, map: MapId) -> Result<(), MapError>;

    /// Gives a map the table that [`Host::resume_map`] makes the live one. The map holds its disks
    /// open from now on, so that none of them becomes another meanwhile.
    ///
    /// # Errors
    /// [`MapError`].
    fn load_map(&self, map: MapId, table: &MapTable) -> Result<(), MapError>;

    /// Makes the loaded table of a map the live one, if there is one, and lets its I/O flow.
    ///
    /// # Errors
    /// [`MapError`].
    fn resume_map(&self, map: MapId) -> Result<(), MapError>;

    /// Lets all I/O of a map whose disks are gone wait in it until [`Host::resume_map`]. It costs nothing,
    /// where a table that waits for a path keeps a processor busy. A map that is suspended already is a
    /// success.
    ///
    /// # Errors
    /// [`MapError::Waits`], after two seconds: I/O waits below the map, and comes up only when it ends
    /// there. Else [`MapError`].
    fn suspend_map(&self, map: MapId) -> Result<(), MapError>;

    /// Drops the loaded table of a map.
    ///
    /// # Errors
    /// [`MapError`].
    fn clear_map(&self, map: MapId) -> Result<(), MapError>;

    /// Lets a map send I/O again to a disk on which some failed.
    ///
    /// # Errors
    /// [`MapError`].
    fn reinstate_path(&self, map: MapId, disk: DevT) -> Result<(), MapError>;

    /// Lets a map send nothing more to a disk, until it is reinstated.
    fn fail_path(&self, map: MapId, disk: DevT) -> Result<(), MapError>;

    /// Lets I/O that finds no path wait in a map whose suspend was cut off.
    ///
    /// # Errors
    /// [`MapError`].
    fn queue_map(&self, map: MapId) -> Result<(), MapError>;

    /// Lets everything fail that waits in a map for a path, now and later, a flush included. One that is
    /// suspended is resumed for it. From before that on the map has a name that says so.
    ///
    /// # Errors
    /// [`MapError`].
    fn let_go_map(&self, map: MapId) -> Result<(), MapError>;

    /// Removes a map that nobody has open; no such map is a success.
    ///
    /// # Errors
    /// [`MapError`].
    fn remove_map(&self, map: MapId) -> Result<(), MapError>;

    /// Whether a disk serves reads: its first or its last block, past all caches, within two seconds. The
    /// question may go on in a thread of its own after that, and ends with the disk.
    fn serves(&self, disk: &DeviceNode) -> bool;

    /// Leaves a disk a small share of the memory for writes that wait, so that those of other disks
    /// go on while it takes none.
    ///
    /// # Errors
    /// [`AttributeError`].
    fn limit_dirty(&self, disk: DevT) -> Result<(), AttributeError>;

    /// Mounts a filesystem on top of whatever is at the target: the caller has looked at the mount
    /// table. Not safe to repeat.
    ///
    /// # Errors
    /// [`MountError`]; then nothing was mounted.
    fn mount(&self, request: &MountRequest) -> Result<(), MountError>;

    /// Makes a directory or a device node visible at a second place; a read-only one is never seen
    /// writable. Of the flags, those of a single mount (`nosuid`, `noatime`, …) are added to what
    /// the source has; the others belong to the filesystem. Not safe to repeat: mounts stack.
    ///
    /// # Errors
    /// [`MountError`]; then nothing was mounted.
    fn bind(
        &self,
        source: &Path,
        target: &Path,
        access: Access,
        flags: &[MountFlag],
    ) -> Result<(), MountError>;

    /// Unmounts the topmost mount at `target`: a plain unmount, which never takes a mount away from
    /// somebody who uses it.
    ///
    /// # Errors
    /// [`UnmountError`].
    fn unmount(&self, target: &Path) -> Result<(), UnmountError>;

    /// Makes the last component of `path`, unless it is there already, and says which of the two.
    ///
    /// # Errors
    /// [`MountPointError`].
    fn make_mount_point(&self, path: &Path, kind: MountPoint) -> Result<Made, MountPointError>;

    /// Removes the empty directory or file at `path`. Nothing there is a success.
    ///
    /// # Errors
    /// [`MountPointError`], when something is mounted there or it holds something.
    fn remove_mount_point(&self, path: &Path) -> Result<(), MountPointError>;

    /// Makes a filesystem on a device that is blank, which is proved again right before.
    ///
    /// # Errors
    /// [`FormatError`].
    fn format(&self, request: &FormatRequest) -> Result<(), FormatError>;

    /// Repairs what can be repaired safely on a filesystem that is not mounted: `e2fsck -p` for
    /// ext4; nothing for xfs, which replays its log when it is mounted.
    ///
    /// # Errors
    /// [`CheckError`].
    fn check(&self, device: &DeviceNode, fs: FilesystemType) -> Result<(), CheckError>;

    /// Grows a mounted filesystem to the size of its device; one that fills it already is a
    /// success.
    ///
    /// # Errors
    /// [`GrowError`].
    fn grow(
        &self,
        mounted_at: &Path,
        device: &DeviceNode,
        fs: FilesystemType,
    ) -> Result<Grown, GrowError>;
}
