//! What is posted where, as the API server keeps it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use nvmeof_csi::report::outcome::Reason;

use crate::control_plane::ControlPlane;
use crate::manifests::{Run, apply};
use crate::scene::{DRIVER, NODE, Scene, volume};

/// More than the poster takes in one answer.
const MANY: usize = 120;

pub(crate) async fn an_outcome_is_an_event_on_the_claim_and_one_on_the_pod(
    plane: &mut ControlPlane,
) {
    let scene = Scene::new(plane, "shop").await;
    scene.reporter.tell(scene.outcome(Reason::PathLost));
    for (kind, name, uid) in [
        ("PersistentVolumeClaim", "data", &scene.claim),
        ("Pod", "db-0", &scene.pod),
    ] {
        let event = scene.event(uid, 1).await;
        let word = |text: &str| Some(text.to_owned());
        let object = ObjectReference {
            api_version: word("v1"),
            kind: word(kind),
            namespace: word("shop"),
            name: word(name),
            uid: word(uid),
            ..ObjectReference::default()
        };
        assert_eq!(event.involved_object, object);
        assert_eq!(event.reason.as_deref(), Some("PathLost"));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.message.as_deref(), Some("no path for 30 s"));
        assert_eq!(event.reporting_component.as_deref(), Some(DRIVER));
        assert_eq!(event.reporting_instance.as_deref(), Some(NODE));
        let source = event.source.expect("a source");
        assert_eq!(source.component.as_deref(), Some(DRIVER));
        assert_eq!(source.host.as_deref(), Some(NODE));
        assert!(event.first_timestamp.is_some() && event.last_timestamp.is_some());
    }
}

pub(crate) async fn what_informs_is_normal(plane: &mut ControlPlane) {
    let scene = Scene::new(plane, "informed").await;
    scene.reporter.tell(scene.outcome(Reason::PathRestored));
    let event = scene.event(&scene.pod, 1).await;
    assert_eq!(event.reason.as_deref(), Some("PathRestored"));
    assert_eq!(event.type_.as_deref(), Some("Normal"));
}

pub(crate) async fn a_repeat_raises_the_count_of_the_event(plane: &mut ControlPlane) {
    let scene = Scene::new(plane, "repeats").await;
    for attempt in 1..=3 {
        let mut told = scene.outcome(Reason::RecoveryFailed);
        told.message = format!("attempt {attempt}");
        scene.reporter.tell(told);
    }
    for uid in [&scene.claim, &scene.pod] {
        let event = scene.event(uid, 3).await;
        assert_eq!(event.message.as_deref(), Some("attempt 3"));
        // Whole seconds are kept of both.
        assert!(event.first_timestamp <= event.last_timestamp);
    }
    let all = scene.events().list(&ListParams::default()).await;
    assert_eq!(all.expect("events").items.len(), 2);
}

pub(crate) async fn an_event_that_was_deleted_is_made_anew(plane: &mut ControlPlane) {
    let scene = Scene::new(plane, "forgotten").await;
    scene.reporter.tell(scene.outcome(Reason::PathLost));
    // On the pod it comes last, so that nothing is on its way.
    scene.event(&scene.pod, 1).await;
    let first = scene.event(&scene.claim, 1).await.name_any();
    let events = scene.events();
    let deleted = events.delete(&first, &DeleteParams::default()).await;
    deleted.expect("it is deleted");
    scene.reporter.tell(scene.outcome(Reason::PathLost));
    let second = scene.event(&scene.claim, 2).await;
    assert_ne!(second.name_any(), first);
}

pub(crate) async fn a_claim_that_nobody_named_is_found_among_more_volumes_than_one_answer_holds(
    plane: &mut ControlPlane,
) {
    let scene = Scene::new(plane, "many").await;
    for number in 0..MANY {
        let other = volume(
            &format!("other-{number}"),
            DRIVER,
            &number.to_string(),
            None,
        );
        apply(&scene.administrator, &other, Run::Real).await;
    }
    // They come in the order of their names.
    let claim = Some((scene.namespace, scene.claim.as_str()));
    let stolen = volume("y", "other.csi", "wanted", Some(("stolen", "stolen")));
    let found = volume("z", DRIVER, "wanted", claim);
    for volume in [stolen, found] {
        apply(&scene.administrator, &volume, Run::Real).await;
    }
    let mut told = scene.outcome(Reason::IdentityMismatch);
    told.volume_id = "wanted".to_owned();
    told.claim = None;
    told.pods.clear();
    scene.reporter.tell(told);
    let event = scene.event(&scene.claim, 1).await;
    assert_eq!(event.reason.as_deref(), Some("IdentityMismatch"));
    assert_eq!(event.involved_object.name.as_deref(), Some("data"));
}
