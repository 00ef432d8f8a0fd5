//! A device that is there when it is looked at, and gone when it is to be formatted.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use crate::case::Case;
use crate::plugin::{KUBELET, Plugin, Use, Volume};
use crate::scene::{Scene, UUID, controllers, eventually};

pub(super) const CASES: &[Case] = &[Case::new(
    "a_device_that_vanishes_before_mkfs_is_not_formatted_until_it_is_back",
    vanished,
)];

/// How long strace holds mkfs back: until the device has gone.
const DELAY: &str = "inject=execve:delay_enter=20s";

fn vanished() {
    let scene = Scene::new();
    let (exported, port) = scene.volume();
    let plugin = Plugin::start();
    let mut volume = Volume::new(Use::Filesystem("ext4"));
    for (key, value) in [("pathLossHold", "none"), ("ctrlLossTmo", "0")] {
        volume.context.insert(key.to_owned(), value.to_owned());
    }
    let process = plugin.id().to_string();
    let mut strace = Command::new("/usr/bin/strace")
        .args(["-f", "-qq", "-o", "/tmp/trace", "-p", &process])
        .args(["-e", "trace=execve", "-e", DELAY])
        .stdin(Stdio::null())
        .spawn()
        .expect("strace starts");
    eventually("strace to attach", || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        (!status.contains("TracerPid:\t0\n")).then_some(())
    });
    let record = format!(
        "{KUBELET}/plugins/direct.nvmeof.csi/state/volumes/{}/record.json",
        volume.id
    );
    let refused = thread::scope(|scope| {
        let call = scope.spawn(|| plugin.stage(&volume));
        eventually("the disk to be found blank", || {
            let text = fs::read_to_string(&record).ok()?;
            text.contains("\"formatting\"").then_some(())
        });
        port.withdraw(&exported).expect("the target goes away");
        eventually("the disk to go", || controllers().is_empty().then_some(()));
        call.join()
            .expect("no panic")
            .expect_err("the disk is gone")
    });
    assert!(!refused.message().is_empty());
    let image = fs::read(format!("/tmp/{UUID}.img")).expect("the backing file");
    assert!(image.iter().all(|byte| *byte == 0), "nothing was written");
    strace.kill().expect("it runs");
    strace.wait().expect("it ends");

    scene.export(&port, &exported);
    plugin.stage(&volume).expect("stage again");
    plugin.publish(&volume).expect("publish");
    fs::write(volume.target().join("file"), "kept").expect("a write");
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert_eq!(controllers(), Vec::<String>::new());
}
