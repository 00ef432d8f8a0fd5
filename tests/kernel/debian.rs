//! The part of a Debian host that deals with disks, running beside the plugin: udev, LVM, md and multipath.
//!
//! Its programs see the guest's devices below a root directory of their own.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chroot;

use crate::scene::{PATIENCE, eventually};

/// Where the host's side packs it.
pub(crate) const ROOT: &str = "/host";
/// What the guest and this host have in common.
const SHARED: [&str; 4] = ["dev", "proc", "sys", "run"];

/// What deploy/host ships, and where each file says that it goes.
pub(crate) const SHIPPED: [(&str, &str); 3] = [
    (
        "etc/udev/rules.d/59-nvmeof-csi.rules",
        include_str!("../../deploy/host/udev/59-nvmeof-csi.rules"),
    ),
    (
        "etc/lvm/lvmlocal.conf",
        include_str!("../../deploy/host/lvm/nvmeof-csi.conf"),
    ),
    (
        "etc/multipath/conf.d/nvmeof-csi.conf",
        include_str!("../../deploy/host/multipath/nvmeof-csi.conf"),
    ),
];

/// The host, up. Dropping it ends its daemons.
pub(crate) struct Debian {
    daemons: Vec<Child>,
}

impl Debian {
    /// With these files of [`SHIPPED`].
    pub(crate) fn start(shipped: &[(&str, &str)]) -> Debian {
        for name in SHARED {
            let (from, to) = (Path::new("/").join(name), Path::new(ROOT).join(name));
            fs::create_dir_all(&to).expect("a directory");
            let bound = mount(
                Some(&from),
                &to,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            );
            bound.expect("bound");
        }
        for name in ["tmp", "etc/multipath", "var/lib", "pod/dev"] {
            fs::create_dir_all(Path::new(ROOT).join(name)).expect("a directory");
        }
        for (path, text) in shipped {
            let path = Path::new(ROOT).join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        let mut debian = Debian {
            daemons: Vec::new(),
        };
        debian.daemon("/usr/lib/systemd/systemd-udevd", &[]);
        eventually("udev to listen", || {
            Path::new("/run/udev/control").exists().then_some(())
        });
        debian.settle();
        debian.daemon("/usr/sbin/multipathd", &["-d"]);
        eventually("multipathd to answer", || {
            let answer = debian.run("/usr/sbin/multipathd", &["show", "daemon"]);
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            (answer.contains("idle") || answer.contains("running")).then_some(())
        });
        debian
    }

    fn daemon(&mut self, path: &'static str, arguments: &'static [&'static str]) {
        let child = within(move || program(path, arguments).stdin(Stdio::null()).spawn());
        self.daemons.push(child.expect("the daemon starts"));
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, path: &str, arguments: &[&str]) -> Output {
        let began = Instant::now();
        let output = within(|| program(path, arguments).stdin(Stdio::null()).output());
        let output = output.expect("the program starts");
        assert!(began.elapsed() < PATIENCE, "{path} {arguments:?} waits");
        output
    }

    /// The same, which must succeed; what it printed.
    #[track_caller]
    pub(crate) fn must(&self, path: &str, arguments: &[&str]) -> String {
        let output = self.run(path, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path} {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until udev has dealt with every event.
    pub(crate) fn settle(&self) {
        self.must("/usr/bin/udevadm", &["settle", "--timeout=50"]);
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ended = daemon.kill();
            let _reaped = daemon.wait();
        }
        for (path, _) in SHIPPED {
            let _may_be_none = fs::remove_file(Path::new(ROOT).join(path));
        }
        for name in SHARED {
            let _gone = umount2(&Path::new(ROOT).join(name), MntFlags::MNT_DETACH);
        }
    }
}

fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        // udevadm would do nothing below another root than PID 1's.
        .env("SYSTEMD_IGNORE_CHROOT", "1");
    command
}

/// Does something on a thread with the host's root, which what it starts inherits.
fn within<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let run = || {
        unshare(CloneFlags::CLONE_FS)?;
        chroot(ROOT)?;
        std::env::set_current_dir("/")?;
        work()
    };
    thread::scope(|scope| scope.spawn(run).join()).expect("no panic")
}
