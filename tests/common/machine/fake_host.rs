//! A host whose effects change the captured machine the way the kernel would.
//!
//! Every effect is logged. A test may make effects fail, or let the program die at one: the call
//! panics, so that nothing of the operation runs any more, and the test begins a new program on what
//! is left.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvme_fabrics::{
    ConnectError, ConnectHow, ConnectOptions, Connected, DialError, DisconnectError, Owner,
    RescanError, TuneError, Tuning,
};
use nvme_sysfs::{ControllerState, DevT, Instance, Nqn, Sysfs};
use nvmeof_csi::host::command::CommandError;
use nvmeof_csi::host::dm::DmCall;
use nvmeof_csi::host::mountinfo::{Mount, MountTable};
use nvmeof_csi::host::{
    Access, AttributeError, CheckError, DeviceNode, FilesystemType, FormatError, FormatRequest,
    GrowError, Grown, HeadError, Host, Made, MapError, MapId, MapTable, MountAccess, MountError,
    MountFlag, MountPoint, MountPointError, MountRequest, MultiMount, UnmountError,
};
use rustix::io::Errno;

use super::DRIVER;
use super::devices::Devices;
use super::filesystems;
use super::meeting::Meeting;
use super::words::{failed, name, refused, short};

/// When a program dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Right before its n-th effect.
    Before(usize),
    /// Right after it.
    After(usize),
}

/// How the kernel fails to connect a subsystem.
type Refusal = fn(Nqn) -> ConnectError;

/// Something that happens to the devices.
struct Change(Box<dyn FnOnce(&mut Devices) + Send>);

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change")
    }
}

/// The host.
#[derive(Debug)]
pub(crate) struct FakeHost {
    root: PathBuf,
    state: Mutex<State>,
    meeting: Meeting,
}

#[derive(Debug)]
struct State {
    devices: Devices,
    /// Every effect, in words.
    log: Vec<String>,
    /// Effects that fail, by their first word.
    failing: BTreeSet<&'static str>,
    /// Ports of the target that do not answer.
    silent: BTreeSet<String>,
    /// With what every connect fails.
    refusal: Option<Refusal>,
    death: Option<Death>,
    /// The size that the target gives its namespaces at the next rescan.
    grown: Option<u64>,
    /// What happens to the devices while the next effect with this first word happens.
    meanwhile: Option<(&'static str, Change)>,
}

impl FakeHost {
    pub(crate) fn new(root: PathBuf, devices: Devices) -> FakeHost {
        FakeHost {
            root,
            meeting: Meeting::default(),
            state: Mutex::new(State {
                devices,
                log: Vec::new(),
                failing: BTreeSet::new(),
                silent: BTreeSet::new(),
                refusal: None,
                death: None,
                grown: None,
                meanwhile: None,
            }),
        }
    }

    /// What was done since the last call.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    pub(crate) fn fail(&self, effect: &'static str) {
        self.state().failing.insert(effect);
    }

    pub(crate) fn succeed(&self, effect: &str) {
        self.state().failing.remove(effect);
    }

    /// A port of the target stops answering.
    pub(crate) fn silence(&self, trsvcid: &str) {
        self.state().silent.insert(trsvcid.to_owned());
    }

    /// The next so many connects are answered when all of them have begun.
    pub(crate) fn answer_together(&self, number: usize) {
        self.meeting.expect(number);
    }

    pub(crate) fn answer(&self, trsvcid: &str) {
        self.state().silent.remove(trsvcid);
    }

    /// From now on every connect fails like this.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.state().refusal = Some(refusal);
    }

    pub(crate) fn die(&self, death: Option<Death>) {
        let mut state = self.state();
        state.log.clear();
        state.death = death;
    }

    pub(crate) fn grow_at_rescan(&self, size_bytes: u64) {
        self.state().grown = Some(size_bytes);
    }

    /// While the next effect with this first word happens, the devices change.
    pub(crate) fn meanwhile(
        &self,
        effect: &'static str,
        change: impl FnOnce(&mut Devices) + Send + 'static,
    ) {
        self.state().meanwhile = Some((effect, Change(Box::new(change))));
    }

    pub(crate) fn devices<T>(&self, change: impl FnOnce(&mut Devices) -> T) -> T {
        change(&mut self.state().devices)
    }

    pub(crate) fn connected(&self) -> Vec<Instance> {
        self.state().devices.connected()
    }

    /// Every controller is lost.
    pub(crate) fn power_off(&self) {
        let mut state = self.state();
        for controller in state.devices.connected() {
            state.devices.disconnect(controller);
        }
    }

    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let table = MountTable::parse(self.table().as_bytes()).expect("a table");
        table.iter().cloned().collect()
    }

    pub(crate) fn append_mount(&self, line: &str) {
        let table = self.table() + line + "\n";
        fs::write(self.table_path(), table).expect("a table");
    }

    /// Replaces a text in the table of mounts, as the kernel does when something happens to one.
    pub(crate) fn edit_mounts(&self, from: &str, to: &str) {
        let table = self.table();
        assert!(table.contains(from), "{from:?} is not in {table}");
        fs::write(self.table_path(), table.replace(from, to)).expect("a table");
    }

    fn registry_entry(&self, controller: Instance) -> PathBuf {
        let registry = self.root.join("run/nvme/registry");
        registry.join(controller.to_string())
    }

    fn table(&self) -> String {
        fs::read_to_string(self.table_path()).expect("a table")
    }

    fn table_path(&self) -> PathBuf {
        self.root.join("proc/self/mountinfo")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs an effect and lets it happen, unless the program dies before.
    fn effect<T>(&self, words: String, happen: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        state.log.push(words);
        let number = state.log.len();
        let words = state.log.last().cloned().unwrap_or_default();
        let is_it = |(effect, _): &mut (&'static str, Change)| words.starts_with(*effect);
        if let Some((_, Change(change))) = state.meanwhile.take_if(is_it) {
            change(&mut state.devices);
        }
        if state.death == Some(Death::Before(number)) {
            panic!("the program dies before {:?}", state.log.last());
        }
        let result = happen(&mut state);
        if state.death == Some(Death::After(number)) {
            panic!("the program dies after {:?}", state.log.last());
        }
        result
    }
}

impl Host for FakeHost {
    fn connect(&self, options: &ConnectOptions) -> Result<Connected, ConnectError> {
        let port = options.address().trsvcid.clone().unwrap_or_default();
        self.meeting.come();
        self.effect(format!("connect {port}"), |state| {
            if let Some(refusal) = state.refusal {
                return Err(refusal(options.nqn().clone()));
            }
            let controller = state.devices.find(options.address());
            let controller = controller.filter(|_| !state.silent.contains(&port));
            let controller = controller.ok_or(DialError::NoAnswer {
                portal: port.clone(),
                timeout: Duration::from_secs(3),
            })?;
            let connected = |how| Connected {
                controller,
                how,
                state: ControllerState::Live,
            };
            if state.devices.is_connected(controller) {
                return Ok(connected(ConnectHow::Adopted));
            }
            state.devices.connect(controller);
            let entry = self.registry_entry(controller);
            fs::create_dir_all(&entry).expect("a directory");
            fs::write(
                entry.join("owner"),
                format!("{}\n", Owner::Driver(DRIVER.to_owned())),
            )
            .expect("a file");
            Ok(connected(ConnectHow::Created))
        })
    }

    fn disconnect(&self, controller: Instance, nqn: &Nqn) -> Result<(), DisconnectError> {
        self.effect(format!("disconnect {controller}"), |state| {
            if state.failing.contains("disconnect") {
                return Err(DisconnectError::StillThere {
                    controller,
                    waited: Duration::from_secs(60),
                });
            }
            let tree = Sysfs::at(&self.root).scan().expect("a tree");
            let found = tree.find_controller(controller);
            if let Some(found) = found.filter(|found| found.subsysnqn.as_ref() != Some(nqn)) {
                return Err(DisconnectError::OtherSubsystem {
                    controller,
                    found: found.subsysnqn_text.clone().unwrap_or_default(),
                    expected: nqn.clone(),
                });
            }
            state.devices.disconnect(controller);
            fs::remove_file(self.registry_entry(controller).join("owner")).ok();
            Ok(())
        })
    }

    fn rescan(&self, controller: Instance, _: &Nqn) -> Result<(), RescanError> {
        self.effect(format!("rescan {controller}"), |state| {
            if let Some(size_bytes) = state.grown.take() {
                state
                    .devices
                    .set("size", &format!("{}\n", size_bytes / 512));
            }
            state.devices.show_heads();
            Ok(())
        })
    }

    fn reset(&self, controller: Instance, _: &Nqn) -> Result<(), RescanError> {
        self.effect(format!("reset {controller}"), |_| Ok(()))
    }

    fn tune(&self, controller: Instance, _: &Nqn, tuning: &Tuning) -> Result<(), TuneError> {
        let words = format!("tune {controller} {:?}", tuning.ctrl_loss_tmo);
        self.effect(words, |_| Ok(()))
    }

    fn keep_head(&self, disk: &str, time: Duration) -> Result<(), HeadError> {
        self.effect(format!("keep {disk} {}", time.as_secs()), |_| Ok(()))
    }

    fn create_map(&self, _: MapId) -> Result<(), MapError> {
        self.effect("create map".to_owned(), |_| Ok(()))
    }

    fn load_map(&self, map: MapId, table: &MapTable) -> Result<(), MapError> {
        self.effect(format!("load {}", table.encode()), |state| {
            if state.failing.contains("load") {
                return Err(MapError::Busy {
                    call: DmCall {
                        command: "DM_TABLE_LOAD",
                        uuid: map.uuid(),
                        text: table.encode(),
                    },
                    users: table.devices.iter().map(ToString::to_string).collect(),
                });
            }
            Ok(())
        })
    }

    fn resume_map(&self, map: MapId) -> Result<(), MapError> {
        self.effect("resume".to_owned(), |state| {
            match state.failing.contains("resume") {
                true => Err(MapError::Missing { map }),
                false => Ok(()),
            }
        })
    }

    fn suspend_map(&self, _: MapId) -> Result<(), MapError> {
        self.effect("suspend map".to_owned(), |_| Ok(()))
    }

    fn clear_map(&self, _: MapId) -> Result<(), MapError> {
        self.effect("clear".to_owned(), |_| Ok(()))
    }

    fn reinstate_path(&self, _: MapId, disk: DevT) -> Result<(), MapError> {
        self.effect(format!("reinstate {disk}"), |_| Ok(()))
    }

    fn fail_path(&self, _: MapId, disk: DevT) -> Result<(), MapError> {
        self.effect(format!("fail {disk}"), |_| Ok(()))
    }

    fn queue_map(&self, _: MapId) -> Result<(), MapError> {
        self.effect("queue".to_owned(), |_| Ok(()))
    }

    fn let_go_map(&self, _: MapId) -> Result<(), MapError> {
        self.effect("let go".to_owned(), |_| Ok(()))
    }

    fn remove_map(&self, _: MapId) -> Result<(), MapError> {
        self.effect("remove map".to_owned(), |_| Ok(()))
    }

    fn serves(&self, disk: &DeviceNode) -> bool {
        self.effect(format!("probe {}", name(&disk.path)), |state| {
            !state.failing.contains("probe")
        })
    }

    fn limit_dirty(&self, disk: DevT) -> Result<(), AttributeError> {
        self.effect(format!("limit {disk}"), |state| {
            if state.failing.contains("limit") {
                let path = self.root.join("sys/class/bdi");
                let gone = Errno::NOENT.into();
                return Err(AttributeError::new("write 5 to", &path, gone));
            }
            Ok(())
        })
    }

    fn mount(&self, request: &MountRequest) -> Result<(), MountError> {
        let words = format!("mount {}", name(&request.device.path));
        self.effect(words, |state| {
            if state.failing.contains("mount") {
                return Err(refused("mount", &request.target));
            }
            let access = match request.access {
                MountAccess::ReadWrite => "rw",
                MountAccess::ReadOnly => "ro",
                MountAccess::ReadOnlyShared => "ro,noload",
            };
            self.append_mount(&format!(
                "40 1 {} / {} {} - {} {} {access}",
                request.device.dev,
                request.target.display(),
                &access[..2],
                request.fs,
                Path::new("/dev").join(name(&request.device.path)).display(),
            ));
            Ok(())
        })
    }

    fn bind(
        &self,
        source: &Path,
        target: &Path,
        access: Access,
        _: &[MountFlag],
    ) -> Result<(), MountError> {
        self.effect(format!("bind {}", short(target)), |state| {
            if state.failing.contains("bind") {
                return Err(refused("bind", target));
            }
            let access = match access {
                Access::ReadWrite => "rw",
                Access::ReadOnly => "ro",
            };
            let target = target.display();
            let line = match self.mounts().iter().rev().find(|m| m.mount_point == source) {
                Some(mount) => {
                    let (dev, fs) = (mount.dev, &mount.filesystem);
                    let (from, options) = (mount.source.display(), &mount.super_options);
                    let root = mount.root.display();
                    format!("41 1 {dev} {root} {target} {access} - {fs} {from} {options}")
                }
                None => format!(
                    "42 1 0:6 /{} {target} {access} - devtmpfs udev rw",
                    name(source)
                ),
            };
            self.append_mount(&line);
            Ok(())
        })
    }

    fn unmount(&self, target: &Path) -> Result<(), UnmountError> {
        self.effect(format!("unmount {}", short(target)), |state| {
            let target = target.to_owned();
            if state.failing.contains("unmount") {
                return Err(UnmountError::Busy { target });
            }
            let table = self.table();
            let place = format!(" {} ", target.display());
            let mut lines: Vec<&str> = table.lines().collect();
            let Some(topmost) = lines.iter().rposition(|line| line.contains(&place)) else {
                let errno = Errno::INVAL;
                return Err(UnmountError::NotMounted { target, errno });
            };
            lines.remove(topmost);
            fs::write(self.table_path(), lines.join("\n") + "\n").expect("a table");
            Ok(())
        })
    }

    fn make_mount_point(&self, path: &Path, kind: MountPoint) -> Result<Made, MountPointError> {
        self.effect(format!("make {}", short(path)), |_| {
            let made = match kind {
                MountPoint::Directory => fs::create_dir(path),
                MountPoint::File => fs::File::create_new(path).map(drop),
            };
            match made {
                Ok(()) => Ok(Made::Now),
                Err(_) if path.exists() => Ok(Made::Before),
                Err(_) => Err(failed("make", path, Errno::NOENT)),
            }
        })
    }

    fn remove_mount_point(&self, path: &Path) -> Result<(), MountPointError> {
        self.effect(format!("remove {}", short(path)), |_| {
            let mounted = self.mounts().iter().any(|mount| mount.mount_point == path);
            assert!(
                !mounted,
                "{} is removed while it is mounted",
                path.display()
            );
            if !path.exists() {
                return Ok(());
            }
            let removed = fs::remove_dir(path).or_else(|_| fs::remove_file(path));
            removed.map_err(|_| MountPointError::NotEmpty {
                path: path.to_owned(),
            })
        })
    }

    fn format(&self, request: &FormatRequest) -> Result<(), FormatError> {
        let device = &request.device.path;
        let protected = match request.multi_mount {
            MultiMount::Unprotected => "",
            MultiMount::Protected => " protected",
        };
        let words = format!("format {} {}{protected}", name(device), request.fs);
        self.effect(words, |state| {
            if state.failing.contains("format") {
                // Killed half-way: something is there, and it is no filesystem.
                filesystems::scribble(device, 4096, b"half a filesystem");
                return Err(FormatError::Program {
                    device: device.clone(),
                    fs: request.fs,
                    source: CommandError::NotInstalled {
                        program: "mkfs",
                        searched: "the fake host".to_owned(),
                    },
                });
            }
            filesystems::wipe(device);
            filesystems::make(device, request.fs);
            Ok(())
        })
    }

    fn check(&self, device: &DeviceNode, fs: FilesystemType) -> Result<(), CheckError> {
        self.effect(format!("check {}", name(&device.path)), |state| {
            if state.failing.contains("check") {
                return Err(CheckError::Uncorrected {
                    device: device.path.clone(),
                    output: "UNEXPECTED INCONSISTENCY".to_owned(),
                });
            }
            filesystems::make(&device.path, fs);
            Ok(())
        })
    }

    fn grow(
        &self,
        mounted_at: &Path,
        device: &DeviceNode,
        _: FilesystemType,
    ) -> Result<Grown, GrowError> {
        self.effect(format!("grow {}", short(mounted_at)), |state| {
            if state.failing.contains("grow") {
                let device = device.path.clone();
                return Err(GrowError::NotExt4 { device });
            }
            Ok(Grown::Grown)
        })
    }
}
