//! What the manifests let the node plugin do: all that posting needs, and nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use nvmeof_csi::report::outcome::Reason;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::control_plane::ControlPlane;
use crate::files::{document, string};
use crate::manifests::{Run, apply};
use crate::scene::{PATIENCE, Scene, token};

/// All that the node plugin may ask for.
const GRANTED: [&str; 4] = [
    "create events",
    "get persistentvolumes",
    "list persistentvolumes",
    "patch events",
];

/// What lies near to it, or would do harm: group, resource and verbs.
const REFUSED: [(&str, &str, &[&str]); 10] = [
    (
        "",
        "events",
        &[
            "get",
            "list",
            "watch",
            "update",
            "delete",
            "deletecollection",
        ],
    ),
    (
        "",
        "persistentvolumeclaims",
        &[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ],
    ),
    (
        "",
        "pods",
        &[
            "get", "list", "watch", "create", "update", "patch", "delete",
        ],
    ),
    (
        "",
        "persistentvolumes",
        &["watch", "create", "update", "patch", "delete"],
    ),
    ("", "secrets", &["get", "list", "watch", "create"]),
    ("", "configmaps", &["get", "list", "watch", "create"]),
    ("", "nodes", &["get", "list", "watch", "update", "patch"]),
    ("", "serviceaccounts", &["get", "list", "impersonate"]),
    (
        "storage.k8s.io",
        "volumeattachments",
        &["get", "list", "patch"],
    ),
    (
        "events.k8s.io",
        "events",
        &["create", "patch", "list", "delete"],
    ),
];

pub(crate) async fn the_role_grants_four_things_more_than_everybody_has(plane: &mut ControlPlane) {
    let scene = Scene::new(plane, "ruled").await;
    let namespace = document("namespace.yaml");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "bystander", "namespace": string(&namespace["metadata"]["name"]) },
    });
    apply(&scene.administrator, &account, Run::Real).await;
    let token = token(&scene.administrator, "bystander").await;
    let bystander = plane.client(&token).expect("it serves");
    let everybody = rules(&bystander, scene.namespace).await;
    let node = rules(&scene.node, scene.namespace).await;
    assert!(node.is_superset(&everybody), "{node:?}");
    let more: Vec<_> = node.difference(&everybody).collect();
    assert_eq!(
        more,
        GRANTED
            .map(|grant| format!("{grant} of \"\""))
            .iter()
            .collect::<Vec<_>>()
    );
}

pub(crate) async fn what_is_not_granted_is_refused(plane: &mut ControlPlane) {
    let scene = Scene::new(plane, "refused").await;
    for grant in GRANTED {
        let (verb, resource) = grant.split_once(' ').expect("two words");
        assert!(may(&scene, verb, "", resource).await, "{grant}");
    }
    for (group, resource, verbs) in REFUSED {
        for verb in verbs {
            let allowed = may(&scene, verb, group, resource).await;
            assert!(!allowed, "{verb} {resource} of {group:?}");
        }
    }
    scene.reporter.tell(scene.outcome(Reason::PathLost));
    let event = scene.event(&scene.claim, 1).await.name_any();
    let events: Api<Event> = Api::namespaced(scene.node.clone(), scene.namespace);
    let deleted = events.delete(&event, &DeleteParams::default()).await;
    assert!(is_forbidden(&deleted), "an event was deleted");
    let secrets: Api<Secret> = Api::all(scene.node.clone());
    let listed = secrets.list(&ListParams::default()).await;
    assert!(is_forbidden(&listed), "secrets were listed");
}

pub(crate) async fn posting_uses_all_that_is_granted_and_asks_for_nothing_else(
    plane: &mut ControlPlane,
) {
    let scene = Scene::new(plane, "used").await;
    let before = plane.asked().len();
    // One that failed before it came, and one that came.
    for volume_id in ["nobody's", "used"] {
        let mut told = scene.outcome(Reason::PathLost);
        told.volume_id = volume_id.to_owned();
        told.claim = None;
        scene.reporter.tell(told);
    }
    scene.event(&scene.claim, 1).await;
    scene.event(&scene.pod, 2).await;
    let wanted = GRANTED.map(str::to_owned).into_iter().collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = plane.asked().split_off(before);
        assert!(asked.iter().all(is_answered), "{asked:#?}");
        let asked: BTreeSet<String> = asked.iter().map(grant).collect();
        if asked == wanted {
            return;
        }
        // An answer may be written down after it was given.
        assert!(Instant::now() < deadline, "{asked:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Each verb and resource that somebody may use in a namespace.
pub(crate) async fn rules(client: &Client, namespace: &str) -> BTreeSet<String> {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let status = answer.expect("an answer").status.expect("a status");
    assert!(!status.incomplete, "{status:?}");
    let mut all = BTreeSet::new();
    for rule in status.resource_rules {
        for resource in rule.resources.iter().flatten() {
            for group in rule.api_groups.iter().flatten() {
                let names = rule.verbs.iter();
                all.extend(names.map(|verb| format!("{verb} {resource} of {group:?}")));
            }
        }
    }
    all
}

async fn may(scene: &Scene, verb: &str, group: &str, resource: &str) -> bool {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                namespace: Some(scene.namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(scene.node.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.expect("an answer").status.expect("a status").allowed
}

fn is_forbidden<T>(answer: &kube::Result<T>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 403)
}

/// Whether the API server did what it was asked.
pub(crate) fn is_answered(asked: &Value) -> bool {
    let code = asked["responseStatus"]["code"].as_u64();
    code.is_some_and(|code| (200..300).contains(&code))
}

pub(crate) fn grant(asked: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("nothing").to_owned();
    format!(
        "{} {}",
        word(&asked["verb"]),
        word(&asked["objectRef"]["resource"])
    )
}
