//! Calls that are in the middle of something when the device, the link or the plugin goes away. strace holds
//! mkfs back meanwhile: until the end of a delay, or until it is killed itself.

use std::fs::{self, File};
use std::io::Read as _;
use std::thread;

use crate::case::Case;
use crate::plugin::{Plugin, STATE, Use, Volume, is_mounted, remembered, write_and_read};
use crate::scene::{Scene, UUID, controllers, eventually, net};
use crate::strace::hold_back;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "a_device_that_vanishes_before_mkfs_is_not_formatted_until_it_is_back",
        vanished,
    ),
    Case::new(
        "a_plugin_that_is_killed_in_the_middle_of_mke2fs_formats_again",
        || killed_in_mkfs("ext4", MKE2FS_STOPS_MIDWAY),
    ),
    Case::new(
        "a_plugin_that_is_killed_in_the_middle_of_mkfs_xfs_formats_again",
        || killed_in_mkfs("xfs", MKFS_XFS_STOPS_MIDWAY),
    ),
    Case::new(
        "a_link_that_is_cut_does_not_stop_unpublish_and_unstage",
        cut_at_unstage,
    ),
];

/// mke2fs does not begin before the device has gone.
const BEGINS_LATE: &str = "execve:delay_enter=20s";
/// mke2fs has written some, and goes on long after everything is over.
const MKE2FS_STOPS_MIDWAY: &str = "pwrite64:delay_enter=600s:when=4";
/// The same of mkfs.xfs, which by then has written an unfinished superblock: its third write, of 65.
const MKFS_XFS_STOPS_MIDWAY: &str = "pwrite64:delay_enter=600s:when=30";

fn is_formatting(volume: &Volume) -> bool {
    let record = format!("{STATE}/volumes/{}/record.json", volume.id);
    fs::read_to_string(record).is_ok_and(|record| record.contains("\"formatting\""))
}

fn is_blank() -> bool {
    let mut image = File::open(format!("/tmp/{UUID}.img")).expect("the backing file");
    let (mut buffer, zeros) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        match image.read(&mut buffer).expect("a read") {
            0 => return true,
            length if buffer[..length] != zeros[..length] => return false,
            _ => {}
        }
    }
}

fn ends(plugin: &Plugin, volume: &Volume) {
    plugin.stage(volume).expect("stage again");
    plugin.publish(volume).expect("publish");
    write_and_read(&volume.target());
    plugin.unpublish(volume).expect("unpublish");
    plugin.unstage(volume).expect("unstage");
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(remembered(), Vec::<String>::new());
}

fn vanished() {
    let scene = Scene::new();
    let (exported, port) = scene.volume();
    let plugin = Plugin::start();
    let mut volume = Volume::new(Use::Filesystem("ext4"));
    for (key, value) in [("pathLossHold", "none"), ("ctrlLossTmo", "0")] {
        volume.context.insert(key.to_owned(), value.to_owned());
    }
    let mut strace = hold_back(&plugin, BEGINS_LATE, &[]);
    thread::scope(|scope| {
        let call = scope.spawn(|| plugin.stage(&volume));
        eventually("the disk to be found blank", || {
            is_formatting(&volume).then_some(())
        });
        port.withdraw(&exported).expect("the target goes away");
        eventually("the disk to go", || controllers().is_empty().then_some(()));
        let answer = call.join().expect("no panic");
        answer.expect_err("the disk is gone");
    });
    assert!(is_blank(), "nothing was written");
    strace.kill().expect("it runs");
    strace.wait().expect("it ends");
    scene.export(&port, &exported);
    ends(&plugin, &volume);
}

fn killed_in_mkfs(fs_type: &'static str, stops_midway: &str) {
    let scene = Scene::new();
    scene.big_volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem(fs_type));
    let mut strace = hold_back(&plugin, stops_midway, &[]);
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            let stage = volume.stage_request();
            plugin.call(|mut node| async move { node.node_stage_volume(stage).await })
        });
        eventually("mkfs to have written", || {
            // Out of the page cache, which has half a minute of its own.
            rustix::fs::sync();
            (!is_blank()).then_some(())
        });
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(plugin.id().cast_signed()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .expect("it runs");
        call.join().expect("no panic").expect_err("it was killed");
    });
    plugin.wait_killed();
    strace.kill().expect("it waits");
    strace.wait().expect("it ends");
    assert!(is_formatting(&volume), "the retry knows what it finds");
    ends(&Plugin::start(), &volume);
}

fn cut_at_unstage() {
    for usage in [Use::Filesystem("ext4"), Use::Block] {
        let scene = Scene::new();
        scene.volume();
        let plugin = Plugin::start();
        let mut volume = Volume::new(usage);
        volume
            .context
            .insert("keepAliveTmo".to_owned(), "1".to_owned());
        plugin.stage(&volume).expect("stage");
        plugin.publish(&volume).expect("publish");
        net::set_down("v0").expect("the cable is pulled");
        // Its volume is held by a map, so that the kernel is told to give it up at once.
        eventually("the loss to be noticed", || {
            controllers().is_empty().then_some(())
        });
        plugin.unpublish(&volume).expect("unpublish");
        plugin.unstage(&volume).expect("unstage");
        assert!(!is_mounted(&volume.staging()));
        assert_eq!(controllers(), Vec::<String>::new());
        assert_eq!(remembered(), Vec::<String>::new());
        drop(plugin);
        crate::guest::clean_up().expect("a clean machine");
    }
}
