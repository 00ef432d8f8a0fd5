//! The end of a node in the order in which systemd takes it: kubelet and containerd, what is left of the pods, then the
//! unit of deploy/host/systemd, then the filesystems.

use std::fs;
use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sync};

use super::component::Components;
use crate::cluster::settings;

/// For pods to end by SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
const IN_ORDER: [&str; 6] = [
    "kubelet",
    "containerd",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
];

/// Shuts down and boots again. Returns only with an error.
pub(super) fn reboot_in_order(components: &mut Components) -> io::Result<()> {
    IN_ORDER.iter().try_for_each(|name| components.stop(name))?;
    signal_all_others(Signal::SIGTERM)?;
    thread::sleep(GRACE);
    signal_all_others(Signal::SIGKILL)?;
    let mut release = Command::new(settings::HOST_PROGRAM);
    let status = release.args(["release", "--all"]).status()?;
    eprintln!("guest: release: {status}");
    unmount_all()?;
    sync();
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(errno) => Err(errno.into()),
    }
}

/// Every process but this one and PID 1.
fn signal_all_others(signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(-1), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The last mounted first; what is busy stays, and the root is only synced.
fn unmount_all() -> io::Result<()> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    for target in table.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if target.starts_with("/var/") || target.starts_with("/run/") {
            match umount2(target, MntFlags::empty()) {
                Ok(()) => {}
                Err(errno) => eprintln!("guest: umount {target}: {errno}"),
            }
        }
    }
    Ok(())
}
