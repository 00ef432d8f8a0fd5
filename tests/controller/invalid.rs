//! INVALID_ARGUMENT: what the node would refuse of a volume is refused at attach already.

use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessType, MountVolume};
use nvmeof_csi::csi::proto::{ControllerPublishVolumeRequest, VolumeCapability};
use tonic::Code;

use crate::requests::{capability, filesystem, hostnqn, publish};
use crate::scene::Scene;

/// A wrong request, and the words that say what is wrong.
type Row = (fn(&mut ControllerPublishVolumeRequest), &'static str);

fn set(message: &mut ControllerPublishVolumeRequest, key: &str, value: &str) {
    let context = &mut message.volume_context;
    context.insert(key.to_owned(), value.to_owned());
}

async fn all_refused(scene: &Scene, rows: &[Row]) {
    for (change, words) in rows {
        let mut message = publish("a");
        change(&mut message);
        let status = scene.ask(message).await.expect_err(words);
        assert_eq!(status.code(), Code::InvalidArgument, "{words}: {status}");
        assert!(status.message().contains(words), "{words:?} in {status}");
    }
}

#[tokio::test]
async fn each_wrong_field_is_named_before_the_cluster_is_asked() {
    let rows: [Row; 11] = [
        (|m| m.volume_id.clear(), "volume_id is required"),
        (|m| m.volume_id = "a/b".to_owned(), "volume_id is not valid"),
        (|m| m.node_id.clear(), "node_id is required"),
        (
            |m| m.node_id = "a".to_owned(),
            "node_id \"a\" is not valid: must be NAME/HOSTNQN",
        ),
        (|m| m.node_id = format!("/{}", hostnqn("a")), "node_id"),
        (
            |m| m.node_id = "a/".to_owned(),
            "has no host NQN after its slash",
        ),
        (
            |m| m.volume_capability = None,
            "volume_capability is required",
        ),
        (
            |m| m.volume_capability = Some(VolumeCapability::default()),
            "volume_capability.access_mode is required",
        ),
        (
            |m| m.volume_capability = filesystem(Mode::MultiNodeMultiWriter),
            "raw block volumes only",
        ),
        (
            |m| {
                let mount = MountVolume {
                    mount_flags: vec!["nobarrier".to_owned()],
                    ..MountVolume::default()
                };
                let access = AccessType::Mount(mount);
                m.volume_capability = capability(access, Mode::SingleNodeWriter);
            },
            "nobarrier",
        ),
        (|m| m.readonly = true, "readonly must be false"),
    ];
    let scene = Scene::new().await;
    all_refused(&scene, &rows).await;
    let status = scene.unpublish("", "").await.expect_err("no volume");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(scene.cluster.asked(""), 0);
}

#[tokio::test]
async fn what_a_node_would_refuse_of_a_context_is_refused_before_the_cluster_is_asked() {
    let rows: [Row; 7] = [
        (
            |m| m.volume_context.clear(),
            "volume_context[\"nqn\"] is required",
        ),
        (
            |m| set(m, "adresses", "10.0.0.2"),
            "volume_context[\"adresses\"] is not a known",
        ),
        (
            |m| set(m, "addresses", "storage.example"),
            "volume_context[\"addresses\"]",
        ),
        (|m| set(m, "queueSize", "15"), "from 16 to 1024"),
        (
            |m| {
                set(m, "multiMountProtection", "true");
                set(m, "csi.storage.k8s.io/fstype", "xfs");
            },
            "xfs cannot tell who else has it mounted",
        ),
        (
            |m| set(m, "hostNqn", &hostnqn("b")),
            "must be this node's own",
        ),
        (
            |m| drop(m.secrets.insert("token".to_owned(), "secret".to_owned())),
            "secrets[\"token\"] is not known",
        ),
    ];
    let scene = Scene::new().await;
    all_refused(&scene, &rows).await;
    assert_eq!(scene.cluster.asked(""), 0);
}

#[tokio::test]
async fn the_nodes_own_nqn_and_its_keys_are_taken() {
    let scene = Scene::new().await;
    let mut message = publish("a");
    set(&mut message, "hostNqn", &hostnqn("a"));
    set(&mut message, "csi.storage.k8s.io/fstype", "xfs");
    let key = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
    message
        .secrets
        .insert("dhchapSecret".to_owned(), key.to_owned());
    scene.ask(message).await.expect("all of it is right");
}
