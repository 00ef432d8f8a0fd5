//! One node at a time.

use kernel_lab::cluster::settings;
use serde_json::{Value, json};

use crate::cluster::{Cluster, DRIVER, PATIENCE};
use crate::objects::Mode;
use crate::volume::Volume;

/// A node that has a driver and nothing else.
const OTHER_NODE: &str = "node-b";
const NODES: &str = "/apis/storage.k8s.io/v1/csinodes";
const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";

pub(crate) fn a_second_node_gets_the_volume_only_after_the_first(cluster: &Cluster) {
    let volume = Volume::new(cluster, "attached", Mode::Filesystem);
    let pod = volume.pod("attached");
    pod.wait_writes(5, PATIENCE);
    assert_eq!(attached_to(cluster), [settings::NODE]);
    cluster.create(NODES, &other_node());
    let attachment = cluster.create(ATTACHMENTS, &attachment());
    let name = attachment["metadata"]["name"].as_str().expect("a name");
    let path = format!("{ATTACHMENTS}/{name}");
    let refused = cluster.eventually("the second node to be refused", PATIENCE, |cluster| {
        let message = &cluster.get(&path)?["status"]["attachError"]["message"];
        message.as_str().map(str::to_owned)
    });
    cluster.say(&refused);
    assert!(refused.contains(settings::NODE), "{refused}");
    assert_eq!(attached_to(cluster), [settings::NODE]);
    pod.expect_unharmed();
    pod.finish();
    cluster.eventually("the second node to have the volume", PATIENCE, |cluster| {
        (attached_to(cluster) == [OTHER_NODE]).then_some(())
    });
    cluster.delete(&path);
    cluster.eventually("the volume to be detached", PATIENCE, |cluster| {
        cluster.is_gone(&path).then_some(())
    });
    cluster.delete(&format!("{NODES}/{OTHER_NODE}"));
    volume.wait_unstaged(PATIENCE);
}

/// The nodes that the volume is attached to.
fn attached_to(cluster: &Cluster) -> Vec<String> {
    let all = cluster.get(ATTACHMENTS).unwrap_or_default();
    let all = all["items"].as_array().cloned().unwrap_or_default();
    let ours = all.iter().filter(|item| {
        item["spec"]["source"]["persistentVolumeName"] == "attached"
            && item["status"]["attached"] == true
    });
    ours.filter_map(|item| item["spec"]["nodeName"].as_str())
        .map(str::to_owned)
        .collect()
}

fn other_node() -> Value {
    let id = format!(
        "{OTHER_NODE}/nqn.2014-08.org.nvmexpress:uuid:bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
    );
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": OTHER_NODE},
        "spec": {"drivers": [{"name": DRIVER, "nodeID": id, "topologyKeys": null}]},
    })
}

fn attachment() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": "second"},
        "spec": {
            "attacher": DRIVER,
            "nodeName": OTHER_NODE,
            "source": {"persistentVolumeName": "attached"},
        },
    })
}
