//! From the initramfs to the disk, and what a node's programs expect to be mounted there.

use std::fs;
use std::io;
use std::os::unix::fs::chroot;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::cluster::settings;
use crate::guest::{context, net};

const DISK: &str = "/dev/vda";
const NEW_ROOT: &str = "/mnt";
/// What PID 1 has mounted by now, and what of it goes along.
const MOVED: [&str; 5] = ["/dev", "/proc", "/sys", "/run", "/tmp"];
const CGROUPS: &str = "/sys/fs/cgroup";
/// Of PID 1 and the node's programs: a group with controllers for its children may have no process itself, but for the root.
const OWN_GROUP: &str = "/sys/fs/cgroup/node";

/// Makes the disk the root, with all that a node has mounted.
pub(super) fn enter() -> io::Result<()> {
    do_mount(DISK, NEW_ROOT, Some("ext4"), MsFlags::empty())?;
    for directory in MOVED {
        let to = format!("{NEW_ROOT}{directory}");
        do_mount(directory, &to, None, MsFlags::MS_MOVE)?;
    }
    std::env::set_current_dir(NEW_ROOT)?;
    do_mount(".", "/", None, MsFlags::MS_MOVE)?;
    chroot(".")?;
    std::env::set_current_dir("/")?;
    // What is mounted for a container shows on the node, and the other way round.
    do_mount("none", "/", None, MsFlags::MS_SHARED | MsFlags::MS_REC)?;
    for (kind, at) in [
        ("devpts", "/dev/pts"),
        ("tmpfs", "/dev/shm"),
        ("cgroup2", CGROUPS),
        ("bpf", "/sys/fs/bpf"),
    ] {
        fs::create_dir_all(at)?;
        do_mount(kind, at, Some(kind), MsFlags::empty())?;
    }
    divide_groups()?;
    put("/proc/sys/kernel/hostname".as_ref(), settings::NODE)?;
    net::add_address("lo", settings::SERVICE_ADDRESS.into(), 32)?;
    net::add_address("eth0", settings::NODE_ADDRESS.into(), 24)?;
    net::set_up("eth0")
}

/// Every controller is on before anything runs: the kernel patches its own code for some of them, and an emulated
/// machine may run into that.
fn divide_groups() -> io::Result<()> {
    let controllers = fs::read_to_string(Path::new(CGROUPS).join("cgroup.controllers"))?;
    let wanted: Vec<_> = controllers
        .split_whitespace()
        .map(|name| format!("+{name}"))
        .collect();
    put(
        &Path::new(CGROUPS).join("cgroup.subtree_control"),
        &wanted.join(" "),
    )?;
    fs::create_dir_all(OWN_GROUP)?;
    put(&Path::new(OWN_GROUP).join("cgroup.procs"), "1")
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    context(fs::write(path, text), || {
        format!("write {text:?} to {}", path.display())
    })
}

fn do_mount(source: &str, target: &str, kind: Option<&str>, flags: MsFlags) -> io::Result<()> {
    let done = mount(Some(source), target, kind, flags, None::<&str>);
    context(done.map_err(io::Error::from), || {
        format!("mount {source} on {target}")
    })
}
