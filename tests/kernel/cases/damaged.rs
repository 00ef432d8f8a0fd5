//! Filesystems in which the kernel finds an error while a pod uses them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kernel_lab::guest::program;

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, write_and_read};
use crate::remains::{assert_nothing_remains, maps};
use crate::scene::{Scene, UUID, eventually};

pub(super) const CASES: &[Case] = &[Case::new(
    "an_ext4_that_the_kernel_finds_damaged_takes_no_write_and_its_volume_is_abnormal",
    ext4,
)];

fn ext4() {
    let scene = Scene::new();
    scene.volume();
    // Not made by the plugin: what it does after an error is to be decided by the mount alone. Its blocks are as
    // large as those of the disk.
    let image = format!("/tmp/{UUID}.img");
    let made = program("mke2fs")
        .args(["-q", "-t", "ext4", "-b", "4096", "-e", "continue", &image])
        .status();
    assert!(made.expect("mke2fs runs").success());
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    write_and_read(&volume.target());
    let usage = plugin.stats(&volume).expect("stats").usage;

    let map = maps().pop().expect("the volume's map");
    // Unlike the mount table it shows each option, those too that are defaults.
    let options = fs::read_to_string(format!("/proc/fs/ext4/{map}/options"));
    let options = options.expect("the options of a mounted ext4");
    assert!(
        options.lines().any(|option| option == "errors=remount-ro"),
        "{options}"
    );

    // It is not mounted anew as long as a pod uses it.
    let used = File::open(volume.target().join("file")).expect("a file");
    let trigger = PathBuf::from(format!("/sys/fs/ext4/{map}/trigger_fs_error"));
    fs::write(trigger, "made by a test\n").expect("the kernel takes it");
    refuses_writes(&volume.target());
    let stats = eventually("the volume to be abnormal", || {
        let stats = plugin.stats(&volume).expect("an answer in any case");
        let condition = stats.volume_condition.clone().expect("a condition");
        condition.abnormal.then_some(stats)
    });
    // kubelet drops an answer without usage, and the condition with it.
    assert_eq!(stats.usage, usage, "the last that was known");
    let reasons = plugin.health(&volume).expect("an answer");
    assert_eq!(reasons, ["StaleMount"]);

    drop(used);
    // An ended process that nobody reaps has no mounts that could be read, and does not use this one.
    let mut unreaped = program("mke2fs").arg("-V").spawn().expect("mke2fs runs");
    eventually("a repair", || {
        plugin
            .health(&volume)
            .expect("an answer")
            .is_empty()
            .then_some(())
    });
    unreaped.wait().expect("its end");
    let kept = fs::read(volume.target().join("file"));
    assert_eq!(kept.expect("a read"), b"kept");
    write_and_read(&volume.target());
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert_nothing_remains();
}

fn refuses_writes(directory: &Path) {
    let written = fs::write(directory.join("other"), "lost");
    let refused = written.expect_err("nothing is written to a damaged filesystem");
    eprintln!("a write to a damaged ext4: {refused}");
}
