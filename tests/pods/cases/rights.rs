//! What the driver was allowed, seen from the API server's audit log after all other cases.

use std::collections::BTreeSet;

use kernel_lab::cluster::order::Order;
use kernel_lab::cluster::settings;
use serde_json::Value;

use crate::cluster::{Cluster, NAMESPACE};

/// Every rule of `deploy/kubernetes/clusterrole.yaml`.
const RIGHTS: [(&str, &str); 5] = [
    ("create", "events"),
    ("patch", "events"),
    ("get", "persistentvolumeclaims"),
    ("get", "pods"),
    ("list", "persistentvolumes"),
];

pub(crate) fn nothing_is_forbidden_and_every_right_is_used(cluster: &Cluster) {
    let log = cluster.order(&Order::Read(settings::AUDIT_LOG.to_owned()));
    let entries = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let account = format!("system:serviceaccount:{NAMESPACE}:nvmeof-csi-node");
    let ours: Vec<_> = entries
        .filter(|entry| entry["user"]["username"] == account.as_str())
        .collect();
    let forbidden: Vec<_> = ours
        .iter()
        .filter(|entry| entry["responseStatus"]["code"] == 403)
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
    let used: BTreeSet<_> = ours
        .iter()
        .filter_map(|entry| {
            Some((
                entry["verb"].as_str()?,
                entry["objectRef"]["resource"].as_str()?,
            ))
        })
        .collect();
    cluster.say(&format!("{} requests: {used:?}", ours.len()));
    assert_eq!(used, BTreeSet::from(RIGHTS));
}
