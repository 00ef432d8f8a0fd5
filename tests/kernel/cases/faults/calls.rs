//! Links that are cut in the middle of a call, and are back after a while: the call ends well, or its retry does.
//! strace holds the step back until the cut, so that it runs into it.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount, umount};

use super::{gone, volume};
use crate::case::Case;
use crate::disk::total_bytes;
use crate::host::REPORT;
use crate::plugin::{Call, Plugin, Use, Volume, is_mounted, write_and_read};
use crate::scene::{NQN, Scene, UUID, cli, connect, controllers, eventually, net};
use crate::strace::{attach, detach, hold_back, reached, threads};

pub(super) const CASES: &[Case] = &[
    Case::new("row_23_a_link_may_be_cut_during_mkfs", mkfs),
    Case::new("row_23_a_link_may_be_cut_during_e2fsck", check),
    Case::new("row_23_a_link_may_be_cut_during_mount", mounted),
    Case::new("row_23_a_link_may_be_cut_during_grow", grown),
    Case::new("row_23_a_link_may_be_cut_during_unmount", unmounted),
];

const CUT: Duration = Duration::from_secs(20);
const GROWN: u64 = 128 << 20;

/// A step of a call.
struct Step<'a> {
    what: &'a str,
    /// What strace does at it.
    inject: &'a str,
    /// Who makes it.
    whose: Whose,
    /// Which of these calls it is, in strace's words.
    filter: &'a [&'a str],
    /// How it shows in the trace.
    shows: &'a str,
}

/// Who makes a step.
#[derive(Debug, Clone, Copy)]
enum Whose {
    /// A program that the plugin starts, or the plugin.
    Anybody,
    /// The thread that works on the call. What it starts is not slowed down.
    Worker,
}

impl Step<'_> {
    fn hold_back(&self, plugin: &Plugin) -> Child {
        match self.whose {
            Whose::Anybody => hold_back(plugin, self.inject, self.filter),
            Whose::Worker => {
                let (call, _) = self.inject.split_once(':').expect("a system call");
                let inject = format!("inject={}", self.inject);
                attach(
                    &threads(plugin, "call-"),
                    &[&format!("trace={call}"), &inject],
                )
            }
        }
    }
}

/// The call, with the link cut from the step on. Where it fails it is called again, as kubelet does.
fn cut_at(step: &Step<'_>, plugin: &Plugin, volume: &Volume, call: Call) {
    let mut strace = step.hold_back(plugin);
    let (first, took) = thread::scope(|scope| {
        let running = scope.spawn(|| call(plugin, volume));
        reached(step.shows);
        net::set_down("v0").expect("the cable is pulled");
        let cut = Instant::now();
        gone();
        assert!(!running.is_finished(), "it was over before the link was");
        thread::sleep(CUT.saturating_sub(cut.elapsed()));
        net::set_up("v0").expect("the cable is back");
        let first = running.join().expect("no panic");
        (first, cut.elapsed())
    });
    detach(&strace);
    strace.wait().expect("it ends");
    let again = first.as_ref().err().map(|error| error.code());
    if again.is_some() {
        eventually("a retry to succeed", || call(plugin, volume).ok());
    }
    eprintln!(
        "{REPORT}row 23, {}: ended {:.1} s after the cut{}",
        step.what,
        took.as_secs_f64(),
        again.map_or(String::new(), |code| format!(
            " with {code:?}, a retry did well"
        ))
    );
}

fn start() -> (Scene, Plugin, Volume) {
    let scene = Scene::new();
    scene.volume();
    (scene, Plugin::start(), volume(Use::Filesystem("ext4"), &[]))
}

/// The volume is published, takes data, keeps them, and leaves.
fn ends(plugin: &Plugin, volume: &Volume) {
    plugin.publish(volume).expect("publish");
    write_and_read(&volume.target());
    plugin.unpublish(volume).expect("unpublish");
    plugin.unstage(volume).expect("unstage");
    plugin.stage(volume).expect("stage again");
    assert_eq!(
        fs::read(volume.staging().join("file")).expect("a read"),
        b"kept"
    );
    plugin.unstage(volume).expect("unstage again");
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
}

fn mkfs() {
    let (_scene, plugin, volume) = start();
    let step = Step {
        what: "mkfs",
        inject: "pwrite64:delay_enter=2s:when=4",
        whose: Whose::Anybody,
        filter: &[],
        shows: "pwrite64(",
    };
    cut_at(&step, &plugin, &volume, Plugin::stage);
    ends(&plugin, &volume);
}

fn check() {
    let (_scene, plugin, volume) = start();
    plugin.stage(&volume).expect("stage");
    plugin.unstage(&volume).expect("unstage");
    make_an_error();
    let step = Step {
        what: "e2fsck",
        inject: "pwrite64:delay_enter=2s:when=1+",
        whose: Whose::Anybody,
        filter: &[],
        shows: "pwrite64(",
    };
    cut_at(&step, &plugin, &volume, Plugin::stage);
    ends(&plugin, &volume);
}

fn mounted() {
    let (_scene, plugin, volume) = start();
    plugin.stage(&volume).expect("stage");
    plugin.unstage(&volume).expect("unstage");
    let step = Step {
        what: "mount",
        inject: "mount:delay_enter=2s",
        whose: Whose::Worker,
        filter: &[],
        shows: "mount(",
    };
    cut_at(&step, &plugin, &volume, Plugin::stage);
    assert!(is_mounted(&volume.staging()));
    ends(&plugin, &volume);
}

/// The kernel notes one in the filesystem, which then asks for a check.
fn make_an_error() {
    let run = connect(&["--wait", "-o", "json"]).expect(0).json();
    let device = run["device"].as_str().expect("a device").to_owned();
    fs::create_dir_all("/mnt/volume").expect("a directory");
    let flags = MsFlags::empty();
    mount(
        Some(device.as_str()),
        "/mnt/volume",
        Some("ext4"),
        flags,
        None::<&str>,
    )
    .expect("mounted");
    let disk = device.trim_start_matches("/dev/");
    let trigger = format!("/sys/fs/ext4/{disk}/trigger_fs_error");
    fs::write(trigger, "made by a test\n").expect("the kernel takes it");
    umount("/mnt/volume").expect("unmounted");
    cli(&["disconnect", "--nqn", NQN]).expect(0);
}

fn grown() {
    let scene = Scene::new();
    let (exported, _) = scene.volume();
    let (plugin, volume) = (Plugin::start(), volume(Use::Filesystem("ext4"), &[]));
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    let file = PathBuf::from(format!("/tmp/{UUID}.img"));
    exported.grow(1, &file, GROWN).expect("the namespace grows");
    let staging = volume.staging();
    let staging = staging.to_str().expect("UTF-8");
    let step = Step {
        what: "grow",
        inject: "ioctl:delay_enter=2s",
        whose: Whose::Anybody,
        filter: &["-P", staging],
        shows: "ioctl(",
    };
    let expand: Call = |plugin, volume| {
        let size = i64::try_from(GROWN).expect("it fits");
        plugin.expand(volume, size).map(drop)
    };
    cut_at(&step, &plugin, &volume, expand);
    let total = total_bytes(staging);
    assert!(total > GROWN / 100 * 85, "{total} bytes of {GROWN}");
    ends(&plugin, &volume);
}

fn unmounted() {
    let (_scene, plugin, volume) = start();
    plugin.stage(&volume).expect("stage");
    write_and_read(&volume.staging());
    let step = Step {
        what: "unmount",
        inject: "umount2:delay_enter=2s",
        whose: Whose::Anybody,
        filter: &[],
        shows: "umount2(",
    };
    cut_at(&step, &plugin, &volume, Plugin::unstage);
    plugin.stage(&volume).expect("stage again");
    assert_eq!(
        fs::read(volume.staging().join("file")).expect("a read"),
        b"kept"
    );
    ends(&plugin, &volume);
}
