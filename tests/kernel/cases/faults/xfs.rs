//! An xfs that has shut itself down, which its mount does not show, while its disk is reached.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::{io, ptr};

use nvmeof_csi::csi::proto as csi;
use tonic::Status;

use super::stale::{REFUSED, REMOUNTED, whole};
use super::{Running, disks_below, volume};
use crate::case::Case;
use crate::disk::mountinfo_line;
use crate::host::REPORT;
use crate::plugin::{Use, write_and_read};
use crate::scene::{Scene, eventually};

pub(super) const CASES: &[Case] = &[
    Case::new("row_29_an_xfs_that_shut_down_is_mounted_anew", || idle(&[])),
    Case::new(
        "row_29_an_xfs_without_a_hold_that_shut_down_is_mounted_anew",
        || idle(&[("pathLossHold", "none")]),
    ),
    Case::new(
        "row_29_an_xfs_that_shut_down_in_use_is_told_and_mounted_anew_after_its_use",
        in_use,
    ),
];

/// `XFS_IOC_GOINGDOWN`, `_IOR('X', 125, __u32)`.
const GOING_DOWN: libc::Ioctl = 0x8004_587D;
/// `XFS_FSOP_GOING_FLAGS_NOLOGFLUSH`: as after an error of the log, nothing more is written.
const WITHOUT_A_FLUSH: u32 = 2;

fn start(hold: &[(&str, &str)]) -> Running {
    let scene = Scene::new();
    let (exported, port) = scene.big_volume();
    let volume = volume(Use::Filesystem("xfs"), hold);
    let running = Running::on(scene, exported, port, volume);
    write_and_read(&running.volume.target());
    running
}

/// Returns once nothing of it can be read any more.
fn shut_down(mounted: &Path) {
    let root = File::open(mounted).expect("the mount");
    // SAFETY: the kernel reads one number, which lives until the call returns.
    #[expect(unsafe_code, reason = "an ioctl takes a pointer")]
    let status = unsafe {
        libc::ioctl(
            root.as_raw_fd(),
            GOING_DOWN,
            ptr::from_ref(&WITHOUT_A_FLUSH),
        )
    };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
    let error = fs::metadata(mounted).expect_err("it has shut down");
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
}

/// The same volume for a second pod.
fn publish_again(running: &Running, target: &Path) -> Result<(), Status> {
    let request = csi::NodePublishVolumeRequest {
        target_path: target.display().to_string(),
        ..running.volume.publish_request()
    };
    let plugin = &running.plugin;
    plugin
        .call(|mut client| async move { client.node_publish_volume(request).await })
        .map(drop)
}

fn unpublish_again(running: &Running, target: &Path) {
    let request = csi::NodeUnpublishVolumeRequest {
        volume_id: running.volume.id.clone(),
        target_path: target.display().to_string(),
    };
    let plugin = &running.plugin;
    eventually("the second pod to have gone", || {
        let request = request.clone();
        let call =
            plugin.call(|mut client| async move { client.node_unpublish_volume(request).await });
        call.ok()
    });
}

fn idle(hold: &[(&str, &str)]) {
    let running = start(hold);
    let target = running.volume.target();
    let below = || hold.is_empty().then(|| disks_below(&running.volume));
    let before = below();
    shut_down(&target);
    let line = mountinfo_line(&target.display().to_string()).expect("it is mounted");
    eventually("the volume to be mounted anew", || {
        (running.plugin.metric(REMOUNTED) == 1).then_some(())
    });
    let took = whole(&running);
    let dead = "nvmeof_csi_stale_mounts_total{reason=\"filesystem_dead\"}";
    assert_eq!(running.plugin.metric(dead), 1, "{line}");
    assert_eq!(below(), before, "its disk was well");
    eprintln!("{REPORT}row 29, idle, {hold:?}: whole {took:.1} s after it was mounted anew");
    running.end();
}

fn in_use() {
    let running = start(&[]);
    let (plugin, target) = (&running.plugin, running.volume.target());
    let second = target.with_file_name("second");
    let held = File::open(target.join("file")).expect("a file");
    let before = plugin.stats(&running.volume).expect("an answer").usage;
    shut_down(&target);
    eventually("the volume to be told as stale", || {
        let health = plugin.health(&running.volume).expect("an answer");
        (health == ["StaleMount"]).then_some(())
    });
    let stats = plugin.stats(&running.volume).expect("an answer");
    let condition = stats.volume_condition.expect("a condition");
    assert!(condition.abnormal, "{condition:?}");
    assert!(condition.message.contains("shut down"), "{condition:?}");
    assert_eq!(stats.usage, before, "what was known before");
    eventually("a repair to be refused", || {
        (plugin.metric(REFUSED) > 0).then_some(())
    });
    publish_again(&running, &second).expect_err("a second pod does not get what is dead");
    assert_eq!(plugin.metric(REMOUNTED), 0);
    drop(held);
    let took = whole(&running);
    eprintln!("{REPORT}row 29, after the close: mounted anew after {took:.1} s");
    eventually("the second pod to have it", || {
        publish_again(&running, &second).ok()
    });
    let kept = fs::read(second.join("file")).expect("a read");
    assert_eq!(kept, b"kept");
    unpublish_again(&running, &second);
    running.end();
}
