//! Volumes whose filesystem is there already, and how they are mounted.

use std::fs::{self, copy};
use std::path::Path;

use nvmeof_csi::csi::proto as csi;
use nvmeof_csi::csi::proto::volume_capability::AccessType;
use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use rustix::io::Errno;
use tonic::{Code, Status};

use crate::case::Case;
use crate::disk::total_bytes;
use crate::plugin::{Plugin, Use, Volume, write_and_read};
use crate::remains::assert_nothing_remains;
use crate::scene::{BIG, NQN, OTHER_UUID, Scene, UUID, subsystem, target};
use kernel_lab::guest::nvmet;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "a_filesystem_that_is_smaller_than_its_namespace_is_grown_when_it_is_staged",
        || {
            grown("ext4");
            crate::guest::clean_up().expect("a clean machine");
            grown("xfs");
        },
    ),
    Case::new(
        "a_clone_of_a_mounted_xfs_is_refused_by_name_and_mounted_with_nouuid",
        cloned,
    ),
    Case::new(
        "mount_options_the_mode_and_the_pod_each_may_forbid_writing",
        read_only,
    ),
];

fn grown(fs: &'static str) {
    let scene = Scene::new();
    let (exported, _port) = scene.big_volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem(fs));
    live(&plugin, &volume);
    let path = volume.target().display().to_string();
    let before = total_bytes(&path);
    leave(&plugin, &volume);
    let file = format!("/tmp/{UUID}.img");
    let larger = exported.grow(1, Path::new(&file), 2 * BIG);
    larger.expect("larger");
    live(&plugin, &volume);
    let added = total_bytes(&path) - before;
    assert!(added >= BIG / 100 * 90, "{fs}: {added} bytes more of {BIG}");
    leave(&plugin, &volume);
    assert_nothing_remains();
}

fn live(plugin: &Plugin, volume: &Volume) {
    plugin.stage(volume).expect("stage");
    plugin.publish(volume).expect("publish");
    write_and_read(&volume.target());
}

fn leave(plugin: &Plugin, volume: &Volume) {
    plugin.unpublish(volume).expect("unpublish");
    plugin.unstage(volume).expect("unstage");
}

fn cloned() {
    let scene = Scene::new();
    let exported = subsystem(NQN, &[]);
    let file = |uuid: &str| format!("/tmp/{uuid}.img");
    for (nsid, uuid) in [(1, UUID), (2, OTHER_UUID)] {
        nvmet::backing_file(Path::new(&file(uuid)), BIG).expect("a backing file");
        let added = exported.add_namespace(nsid, Path::new(&file(uuid)), uuid);
        added.expect("a namespace");
    }
    scene.listen(1, target(0), 4420, &[&exported]);
    let plugin = Plugin::start();
    let original = Volume::new(Use::Filesystem("xfs"));
    live(&plugin, &original);
    leave(&plugin, &original);
    copy(file(UUID), file(OTHER_UUID)).expect("a clone");
    live(&plugin, &original);
    let clone = Volume::of("clone", Use::Filesystem("xfs"), NQN, OTHER_UUID);
    let refused = plugin.stage(&clone).expect_err("the same UUID");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let staging = original.staging().display().to_string();
    for words in ["nouuid", &staging] {
        assert!(refused.message().contains(words), "{words}: {refused}");
    }
    let mut request = clone.stage_request();
    ask(
        &mut request.volume_capability,
        Mode::SingleNodeWriter,
        &["nouuid"],
    );
    stage(&plugin, request).expect("as it was asked");
    plugin.publish(&clone).expect("publish");
    write_and_read(&clone.target());
    leave(&plugin, &clone);
    leave(&plugin, &original);
    assert_nothing_remains();
}

/// What the user asked for, and whether the pod may write then.
struct Row {
    mode: Mode,
    options: &'static [&'static str],
    /// The pod's own `readOnly`.
    readonly: bool,
    writable: bool,
}

const ROWS: [Row; 8] = [
    Row {
        mode: Mode::SingleNodeWriter,
        options: &[],
        readonly: false,
        writable: true,
    },
    Row {
        mode: Mode::SingleNodeWriter,
        options: &["rw"],
        readonly: false,
        writable: true,
    },
    Row {
        mode: Mode::SingleNodeWriter,
        options: &["rw"],
        readonly: true,
        writable: false,
    },
    Row {
        mode: Mode::SingleNodeWriter,
        options: &["ro"],
        readonly: false,
        writable: false,
    },
    Row {
        mode: Mode::SingleNodeWriter,
        options: &["ro"],
        readonly: true,
        writable: false,
    },
    Row {
        mode: Mode::SingleNodeWriter,
        options: &["ro", "rw"],
        readonly: false,
        writable: true,
    },
    Row {
        mode: Mode::SingleNodeReaderOnly,
        options: &["rw"],
        readonly: false,
        writable: false,
    },
    Row {
        mode: Mode::MultiNodeReaderOnly,
        options: &["ro"],
        readonly: false,
        writable: false,
    },
];

fn read_only() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Filesystem("ext4"));
    live(&plugin, &volume);
    leave(&plugin, &volume);
    for row in ROWS {
        let what = format!("{:?} {:?} {}", row.mode, row.options, row.readonly);
        // kubelet asks again and again.
        for _ in 0..2 {
            let mut request = volume.stage_request();
            ask(&mut request.volume_capability, row.mode, row.options);
            let staged = stage(&plugin, request);
            staged.unwrap_or_else(|status| panic!("{what}: {status}"));
            let mut request = volume.publish_request();
            ask(&mut request.volume_capability, row.mode, row.options);
            request.readonly = row.readonly;
            let published = publish(&plugin, request);
            published.unwrap_or_else(|status| panic!("{what}: {status}"));
        }
        let written = fs::write(volume.target().join("another"), "text");
        let refused = written.err().as_ref().and_then(Errno::from_io_error);
        let wanted = (!row.writable).then_some(Errno::ROFS);
        assert_eq!(refused, wanted, "{what}");
        assert_eq!(
            plugin.health(&volume).expect("an answer"),
            [""; 0],
            "{what}"
        );
        leave(&plugin, &volume);
    }
    assert_nothing_remains();
}

fn ask(capability: &mut Option<csi::VolumeCapability>, mode: Mode, options: &[&str]) {
    let capability = capability.as_mut().expect("a capability");
    let access_mode = capability.access_mode.as_mut();
    access_mode.expect("a mode").mode = mode.into();
    if let Some(AccessType::Mount(mount)) = &mut capability.access_type {
        mount.mount_flags = options.iter().map(ToString::to_string).collect();
    }
}

fn stage(plugin: &Plugin, request: csi::NodeStageVolumeRequest) -> Result<(), Status> {
    let call = plugin.call(|mut node| async move { node.node_stage_volume(request).await });
    call.map(drop)
}

fn publish(plugin: &Plugin, request: csi::NodePublishVolumeRequest) -> Result<(), Status> {
    let call = plugin.call(|mut node| async move { node.node_publish_volume(request).await });
    call.map(drop)
}
