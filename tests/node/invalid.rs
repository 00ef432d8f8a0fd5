//! INVALID_ARGUMENT: every field of every call that can be wrong, named in the message.

use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessType, MountVolume};
use nvmeof_csi::csi::proto::{
    CapacityRange, NodeExpandVolumeRequest, NodeGetStorageHealthRequest,
    NodeGetVolumeHealthRequest, NodeGetVolumeStatsRequest, NodePublishVolumeRequest,
    NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability,
};
use tonic::{Code, Response, Status};

use crate::plugin::Running;
use crate::requests::{self, capability, filesystem};

/// A wrong request and the words by which the answer must name what is wrong.
type Row<M> = (fn(&mut M), &'static str);

fn refused<T>(answer: Result<Response<T>, Status>, words: &str) {
    let status = answer
        .err()
        .unwrap_or_else(|| panic!("no error, but {words:?} was expected"));
    assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
    assert!(
        status.message().contains(words),
        "{words:?} is not in {:?}",
        status.message()
    );
}

fn mount(change: fn(&mut MountVolume)) -> Option<VolumeCapability> {
    let mut mount = MountVolume::default();
    change(&mut mount);
    Some(capability(AccessType::Mount(mount), Mode::SingleNodeWriter))
}

/// Rows that concern a capability, for the calls that require one.
macro_rules! capability_rows {
    ($message:ty) => {{
        let rows: [Row<$message>; 11] = [
            (
                |m| m.volume_capability = None,
                "volume_capability is required",
            ),
            (
                |m| {
                    m.volume_capability = Some(VolumeCapability {
                        access_type: None,
                        ..filesystem()
                    })
                },
                "volume_capability.access_type is required",
            ),
            (
                |m| {
                    m.volume_capability = Some(VolumeCapability {
                        access_mode: None,
                        ..filesystem()
                    })
                },
                "volume_capability.access_mode is required",
            ),
            (
                |m| {
                    let mut wrong = filesystem();
                    wrong.access_mode.as_mut().expect("a mode").mode = 99;
                    m.volume_capability = Some(wrong);
                },
                "volume_capability.access_mode \"99\"",
            ),
            (
                |m| m.volume_capability = mount(|mount| mount.fs_type = "btrfs".to_owned()),
                "volume_capability.mount.fs_type \"btrfs\" must be ext4 or xfs",
            ),
            (
                |m| m.volume_capability = mount(|mount| mount.volume_mount_group = "7".to_owned()),
                "volume_capability.mount.volume_mount_group \"7\" is refused",
            ),
            (
                |m| {
                    m.volume_capability =
                        mount(|mount| mount.mount_flags = vec!["nobarrier".to_owned()])
                },
                "nobarrier",
            ),
            (
                |m| {
                    m.volume_capability =
                        mount(|mount| mount.mount_flags = vec!["nouuid".to_owned()])
                },
                "mount flag \"nouuid\" is not an option of ext4",
            ),
            (
                |m| {
                    let access = AccessType::Mount(MountVolume::default());
                    m.volume_capability = Some(capability(access, Mode::MultiNodeMultiWriter));
                },
                "for raw block volumes only",
            ),
            (
                |m| {
                    let access = AccessType::Mount(MountVolume::default());
                    m.volume_capability = Some(capability(access, Mode::MultiNodeSingleWriter));
                },
                "for raw block volumes only",
            ),
            (
                |m| {
                    m.publish_context.insert("a".to_owned(), "b".to_owned());
                },
                "publish_context[\"a\"] is not known",
            ),
        ];
        rows
    }};
}

#[tokio::test]
async fn stage_names_the_field() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let rows: [Row<NodeStageVolumeRequest>; 9] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (|m| m.volume_id = "v".repeat(224), "volume_id is not valid"),
        (
            |m| m.volume_id = "../v".to_owned(),
            "volume_id is not valid",
        ),
        (
            |m| m.staging_target_path.clear(),
            "staging_target_path is required",
        ),
        (
            |m| m.staging_target_path = "stage".to_owned(),
            "must be absolute",
        ),
        (
            |m| m.staging_target_path = "/a/../b".to_owned(),
            "must not have ..",
        ),
        (
            |m| m.staging_target_path = "/".to_owned(),
            "must not be the root directory",
        ),
        (
            |m| m.staging_target_path = "/a\0b".to_owned(),
            "holds a NUL",
        ),
        (
            |m| m.staging_target_path = format!("/{}", "x".repeat(4095)),
            "has 4096 bytes",
        ),
    ];
    for (change, words) in rows
        .into_iter()
        .chain(capability_rows!(NodeStageVolumeRequest))
    {
        let mut message = requests::stage(&running.machine);
        change(&mut message);
        refused(node.node_stage_volume(message).await, words);
    }
    assert!(running.machine.host.take_log().is_empty());
}

#[tokio::test]
async fn publish_names_the_field() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let rows: [Row<NodePublishVolumeRequest>; 5] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (
            |m| m.staging_target_path.clear(),
            "staging_target_path is required",
        ),
        (
            |m| m.staging_target_path = "a".to_owned(),
            "staging_target_path \"a\" must be absolute",
        ),
        (|m| m.target_path.clear(), "target_path is required"),
        (
            |m| m.target_path = "a".to_owned(),
            "target_path \"a\" must be absolute",
        ),
    ];
    for (change, words) in rows
        .into_iter()
        .chain(capability_rows!(NodePublishVolumeRequest))
    {
        let mut message = requests::publish(&running.machine);
        change(&mut message);
        refused(node.node_publish_volume(message).await, words);
    }
}

#[tokio::test]
async fn unstage_and_unpublish_name_the_field() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let rows: [Row<NodeUnstageVolumeRequest>; 4] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (|m| m.volume_id = "a/b".to_owned(), "volume_id is not valid"),
        (
            |m| m.staging_target_path.clear(),
            "staging_target_path is required",
        ),
        (
            |m| m.staging_target_path = "..".to_owned(),
            "staging_target_path \"..\" must be absolute",
        ),
    ];
    for (change, words) in rows {
        let mut message = requests::unstage(&running.machine);
        change(&mut message);
        refused(node.node_unstage_volume(message).await, words);
    }
    let rows: [Row<NodeUnpublishVolumeRequest>; 4] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (|m| m.volume_id = "..".to_owned(), "volume_id is not valid"),
        (|m| m.target_path.clear(), "target_path is required"),
        (
            |m| m.target_path = "/a/..".to_owned(),
            "target_path \"/a/..\" must not have ..",
        ),
    ];
    for (change, words) in rows {
        let mut message = requests::unpublish(&running.machine);
        change(&mut message);
        refused(node.node_unpublish_volume(message).await, words);
    }
}

#[tokio::test]
async fn expand_names_the_field() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let range = |required_bytes, limit_bytes| {
        Some(CapacityRange {
            required_bytes,
            limit_bytes,
        })
    };
    let rows: [Row<NodeExpandVolumeRequest>; 5] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (|m| m.volume_path.clear(), "volume_path is required"),
        (
            |m| m.staging_target_path = "a".to_owned(),
            "staging_target_path \"a\" must be absolute",
        ),
        (
            |m| m.volume_capability = Some(VolumeCapability::default()),
            "volume_capability.access_mode is required",
        ),
        (
            |m| {
                m.secrets
                    .insert("password".to_owned(), "hunter2".to_owned());
            },
            "secrets[\"password\"] is not known",
        ),
    ];
    for (change, words) in rows {
        let mut message = requests::expand(&running.machine, 1);
        change(&mut message);
        refused(node.node_expand_volume(message).await, words);
    }
    for (required, limit, words) in [
        (
            -1,
            0,
            "capacity_range.required_bytes \"-1\" must not be negative",
        ),
        (
            0,
            -1,
            "capacity_range.limit_bytes \"-1\" must not be negative",
        ),
        (
            2,
            1,
            "capacity_range.limit_bytes \"1\" is less than required_bytes, 2",
        ),
    ] {
        let mut message = requests::expand(&running.machine, 1);
        message.capacity_range = range(required, limit);
        refused(node.node_expand_volume(message).await, words);
    }
}

#[tokio::test]
async fn stats_and_health_name_the_field() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let rows: [Row<NodeGetVolumeStatsRequest>; 3] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (|m| m.volume_path.clear(), "volume_path is required"),
        (
            |m| m.staging_target_path = "a".to_owned(),
            "staging_target_path \"a\" must be absolute",
        ),
    ];
    for (change, words) in rows {
        let mut message = requests::stats(&running.machine);
        change(&mut message);
        refused(node.node_get_volume_stats(message).await, words);
    }
    let rows: [Row<NodeGetVolumeHealthRequest>; 3] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (
            |m| m.volume_publish_path = "a".to_owned(),
            "volume_publish_path \"a\" must be absolute",
        ),
        (
            |m| m.staging_target_path = "a".to_owned(),
            "staging_target_path \"a\" must be absolute",
        ),
    ];
    for (change, words) in rows {
        let mut message = NodeGetVolumeHealthRequest {
            volume_id: requests::VOLUME.to_owned(),
            ..NodeGetVolumeHealthRequest::default()
        };
        change(&mut message);
        refused(node.node_get_volume_health(message).await, words);
    }
    let mut message = NodeGetStorageHealthRequest::default();
    message
        .secrets
        .insert("password".to_owned(), "hunter2".to_owned());
    refused(
        node.node_get_storage_health(message).await,
        "secrets[\"password\"] is not known",
    );
}
