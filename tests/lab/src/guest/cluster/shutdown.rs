//! The end of a node in the order in which systemd takes it: kubelet and containerd, what is left of the pods, then the
//! unit of deploy/host/systemd, then the filesystems.

use std::fs;
use std::io;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sync};

use super::component::Components;
use crate::cluster::settings;

/// For pods to end by SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// For mounts to be free.
const PATIENCE: Duration = Duration::from_secs(20);
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
    let deadline = Instant::now() + PATIENCE;
    // Who was let go of needs a moment to end.
    while !unmount_all()? && Instant::now() < deadline {
        thread::sleep(GRACE / 4);
    }
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

/// Unmounts what pods had, the last mounted first; false where something is busy. The root is only synced.
fn unmount_all() -> io::Result<bool> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    let mut all = true;
    for target in table
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1))
    {
        let is_ours = target.starts_with("/var/") || target.starts_with("/run/");
        if is_ours && let Err(errno) = umount2(target, MntFlags::empty()) {
            eprintln!("guest: umount {target}: {errno}");
            all = false;
        }
    }
    Ok(all)
}
