//! A machine that cannot be looked at: nothing is known, and nothing is done.

use std::fs;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Running, disks_below};
use crate::case::Case;
use crate::plugin::{Plugin, Use, is_mounted};
use crate::scene::{controllers, eventually};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "row_20_without_a_mount_table_nothing_is_done_and_no_write_fails",
        || blind("/proc/self/mountinfo"),
    ),
    Case::new(
        "row_20_without_sysfs_nothing_is_done_and_no_write_fails",
        || {
            blind("/sys/class");
        },
    ),
];

const TRACE: &str = "/tmp/trace";
/// Failed looks that show that the program goes on as it did at the first one.
const LOOKS: usize = 4;

/// strace, which lets every look of the plugin at one place fail.
struct Blindfold(Child);

impl Blindfold {
    fn put_on(plugin: &Plugin, path: &str) -> Blindfold {
        let mut strace = Command::new("/usr/bin/strace");
        strace.args(["-f", "-qq", "-o", TRACE, "-P", path]);
        strace.args(["-e", "trace=openat", "-e", "inject=openat:error=EIO"]);
        strace.args(["-p", &plugin.id().to_string()]);
        let blindfold = Blindfold(strace.spawn().expect("strace starts"));
        blindfold.wait_for(1);
        blindfold
    }

    fn looks() -> usize {
        let trace = fs::read_to_string(TRACE).unwrap_or_default();
        trace
            .lines()
            .filter(|line| line.ends_with("(INJECTED)"))
            .count()
    }

    /// Waits until so many more looks have failed; each of them is slow, for every call is traced.
    fn wait_for(&self, more: usize) {
        for _ in 0..more {
            self.wait_for_one();
        }
    }

    fn wait_for_one(&self) {
        let before = Blindfold::looks();
        eventually("a failed look", || {
            (Blindfold::looks() > before).then_some(())
        });
    }

    fn take_off(mut self) {
        let strace = i32::try_from(self.0.id()).expect("a process");
        kill(Pid::from_raw(strace), Signal::SIGTERM).expect("it runs");
        self.0.wait().expect("it ends");
    }
}

fn blind(path: &str) {
    let running = Running::start(Use::Filesystem("ext4"), &[]);
    let before = disks_below(&running.volume);
    let writer = running.writer();
    let blindfold = Blindfold::put_on(&running.plugin, path);
    blindfold.wait_for(LOOKS);
    writer.wait_for(20);
    assert_eq!(controllers().len(), 1, "nothing is disconnected");
    running.withdraw();
    let waiting = writer.written();
    running.export();
    blindfold.wait_for(LOOKS);
    running
        .plugin
        .health(&running.volume)
        .expect_err("it cannot be told");
    running
        .plugin
        .unpublish(&running.volume)
        .expect_err("nothing is unmounted");
    running
        .plugin
        .unstage(&running.volume)
        .expect_err("nothing is unmounted");
    writer.still_waits(waiting);
    assert!(is_mounted(&running.volume.staging()) && is_mounted(&running.volume.target()));
    assert_eq!(controllers(), Vec::<String>::new(), "nothing is connected");
    blindfold.take_off();
    writer.wait_for(20);
    running.assert_swapped(&before);
    let written = writer.end(&format!("row 20, {path} unreadable"));
    running.end_and_verify(written);
}
