//! Who may ask the API server for what.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::{document, list, string};

#[test]
fn only_the_plugins_own_pods_get_a_token() {
    for (account, pods) in [
        ("serviceaccount.yaml", "daemonset.yaml"),
        ("controller-serviceaccount.yaml", "controller.yaml"),
    ] {
        let account = document(account);
        let pod = &document(pods)["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
        let mounts = |holder: &Value| holder["automountServiceAccountToken"].as_bool();
        assert_eq!(mounts(&account), Some(false), "{pods}");
        assert_eq!(mounts(pod), Some(true), "{pods}");
    }
}

#[test]
fn the_node_plugin_may_post_events_and_look_up_what_they_are_about() {
    let wanted = [
        "create events",
        "get persistentvolumes",
        "list persistentvolumes",
        "patch events",
    ];
    assert_eq!(grants("clusterrole.yaml"), wanted);
    the_account_has(
        "serviceaccount.yaml",
        "clusterrole.yaml",
        "clusterrolebinding.yaml",
    );
}

#[test]
fn the_controller_may_look_and_the_attacher_may_mark_what_is_attached() {
    let wanted = [
        "get csinodes.storage.k8s.io",
        "list csinodes.storage.k8s.io",
        "list persistentvolumes",
        "list volumeattachments.storage.k8s.io",
        "patch persistentvolumes",
        "patch volumeattachments.storage.k8s.io",
        "patch volumeattachments/status.storage.k8s.io",
        "watch csinodes.storage.k8s.io",
        "watch persistentvolumes",
        "watch volumeattachments.storage.k8s.io",
    ];
    assert_eq!(grants("controller-clusterrole.yaml"), wanted);
    the_account_has(
        "controller-serviceaccount.yaml",
        "controller-clusterrole.yaml",
        "controller-clusterrolebinding.yaml",
    );
}

#[test]
fn the_attacher_may_become_the_one_that_works_in_its_own_namespace() {
    let wanted = [
        "create events",
        "create leases.coordination.k8s.io",
        "get leases.coordination.k8s.io",
        "update leases.coordination.k8s.io",
    ];
    assert_eq!(grants("controller-role.yaml"), wanted);
    the_account_has(
        "controller-serviceaccount.yaml",
        "controller-role.yaml",
        "controller-rolebinding.yaml",
    );
}

/// Every right of a role is bound to an account and to nobody else.
fn the_account_has(account: &str, role: &str, binding: &str) {
    let (account, role, binding) = (document(account), document(role), document(binding));
    assert_eq!(binding["roleRef"]["kind"], role["kind"]);
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    assert_eq!(
        binding["metadata"]["namespace"],
        role["metadata"]["namespace"]
    );
    let [subject] = list(&binding["subjects"]) else {
        panic!("one subject");
    };
    assert_eq!(subject["kind"], account["kind"]);
    for key in ["name", "namespace"] {
        assert_eq!(subject[key], account["metadata"][key], "{key}");
    }
}

/// Each verb and resource of a role in order, which is about no names. None is granted twice.
fn grants(role: &str) -> Vec<String> {
    let role = document(role);
    let mut all = BTreeSet::new();
    for rule in list(&role["rules"]) {
        let words = |key: &str| list(&rule[key]).iter().map(string).collect::<Vec<_>>();
        assert!(rule["resourceNames"].is_null(), "{rule:?}");
        let [group] = words("apiGroups")[..] else {
            panic!("one group: {rule:?}");
        };
        let dot = if group.is_empty() { "" } else { "." };
        for resource in words("resources") {
            for verb in words("verbs") {
                let grant = format!("{verb} {resource}{dot}{group}");
                assert!(all.insert(grant.clone()), "{grant} is granted twice");
            }
        }
    }
    all.into_iter().collect()
}
