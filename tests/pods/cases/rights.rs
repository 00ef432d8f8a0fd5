//! What the driver asked of the API server and was granted, seen from the audit log.

use std::collections::BTreeSet;

use kernel_lab::cluster::order::Order;
use kernel_lab::cluster::settings;
use serde_json::Value;

use crate::cluster::{Cluster, NAMESPACE, PATIENCE};
use crate::objects::Mode;
use crate::volume::Volume;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// The accounts of the manifests; their roles have the same names.
const ACCOUNTS: [&str; 2] = ["nvmeof-csi-node", "nvmeof-csi-controller"];

/// The attacher asks for a watch that begins with all there is; an API server that has no such watch is asked for a list first.
const OF_OLDER_SERVERS: &str = "list csinodes";

/// A verb and what it is for, such as `patch volumeattachments/status`.
type Rights = BTreeSet<String>;

/// The events of a claim.
const TOLD: &str = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=asked,involvedObject.kind=PersistentVolumeClaim";

pub(crate) fn nothing_is_forbidden_and_every_right_is_used(cluster: &Cluster) {
    fail_and_run(cluster);
    let log = cluster.order(&Order::Read(settings::AUDIT_LOG.to_owned()));
    // The last line may be half written.
    let entries = log
        .lines()
        .map_while(|line| serde_json::from_str(line).ok());
    let entries: Vec<Value> = entries.collect();
    for account in ACCOUNTS {
        let user = format!("system:serviceaccount:{NAMESPACE}:{account}");
        let asked = || {
            let all = entries.iter();
            all.filter(|entry| entry["user"]["username"] == user.as_str())
        };
        let forbidden: Vec<_> = asked()
            .filter(|entry| entry["responseStatus"]["code"] == 403)
            .collect();
        assert!(forbidden.is_empty(), "{forbidden:#?}");
        let used: Rights = asked().filter_map(used).collect();
        let mut granted = granted(cluster, account);
        granted.remove(OF_OLDER_SERVERS);
        let unused: Vec<_> = granted.difference(&used).collect();
        let requests = asked().count();
        cluster.say(&format!("{account}: {requests} requests: {used:?}"));
        assert!(unused.is_empty(), "{account}: {unused:?}");
    }
}

/// A volume whose target comes late: what fails is told, and told again, before the node knows the volume's claim.
fn fail_and_run(cluster: &Cluster) {
    let volume = Volume::new(cluster, "asked", Mode::Filesystem);
    cluster.order(&Order::Withdraw("asked".to_owned()));
    let pod = volume.pod("asked");
    cluster.eventually("a repeated event", PATIENCE, |cluster| {
        let events = cluster.get(TOLD)?;
        let mut events = events["items"].as_array()?.iter();
        events
            .find(|event| event["count"].as_u64() > Some(1))
            .map(drop)
    });
    cluster.order(&Order::Export("asked".to_owned()));
    pod.wait_writes(1, PATIENCE);
    pod.expect_unharmed();
    pod.finish();
    volume.wait_unstaged(PATIENCE);
}

fn used(entry: &Value) -> Option<String> {
    let object = &entry["objectRef"];
    let resource = object["resource"].as_str()?;
    let verb = entry["verb"].as_str()?;
    Some(match object["subresource"].as_str() {
        Some(part) => format!("{verb} {resource}/{part}"),
        None => format!("{verb} {resource}"),
    })
}

/// Of the role in all of the cluster, and of that in the driver's namespace where there is one.
fn granted(cluster: &Cluster, name: &str) -> Rights {
    let role = cluster.get(&format!("{RBAC}/clusterroles/{name}"));
    let role = role.expect("the role is there");
    let own = cluster.get(&format!("{RBAC}/namespaces/{NAMESPACE}/roles/{name}"));
    let roles = [Some(role), own].into_iter().flatten();
    let mut rights = Rights::new();
    for role in roles {
        for rule in role["rules"].as_array().expect("rules") {
            for verb in words(&rule["verbs"]) {
                let resources = words(&rule["resources"]);
                rights.extend(resources.map(|resource| format!("{verb} {resource}")));
            }
        }
    }
    rights
}

fn words(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}
