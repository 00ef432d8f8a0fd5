//! ValidateVolumeCapabilities.

use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::{
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse, VolumeCapability,
};
use tonic::{Code, Status};

use crate::api_server::{Behaviour, VOLUMES};
use crate::requests::{VOLUME, block, context, filesystem, hostnqn};
use crate::scene::Scene;

fn request() -> ValidateVolumeCapabilitiesRequest {
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    ValidateVolumeCapabilitiesRequest {
        volume_id: VOLUME.to_owned(),
        volume_context: context().into_iter().map(own).collect(),
        volume_capabilities: [
            filesystem(Mode::SingleNodeWriter),
            block(Mode::MultiNodeMultiWriter),
        ]
        .into_iter()
        .flatten()
        .collect(),
        ..ValidateVolumeCapabilitiesRequest::default()
    }
}

async fn ask(
    scene: &Scene,
    message: ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse, Status> {
    let mut controller = scene.controller().await;
    let answer = controller.validate_volume_capabilities(message).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn what_can_be_used_so_is_confirmed_with_what_was_checked() {
    let scene = Scene::new().await;
    let mut message = request();
    let confirmed = ask(&scene, message.clone()).await.expect("an answer");
    let confirmed = confirmed.confirmed.expect("confirmed");
    assert_eq!(confirmed.volume_capabilities, message.volume_capabilities);
    assert_eq!(confirmed.volume_context, message.volume_context);
    message
        .volume_context
        .insert("hostNqn".to_owned(), hostnqn("b"));
    let answer = ask(&scene, message).await.expect("an answer");
    assert!(answer.confirmed.is_some(), "{}", answer.message);
}

#[tokio::test]
async fn what_cannot_is_said_and_not_confirmed() {
    let scene = Scene::new().await;
    let mut shared = request();
    shared
        .volume_capabilities
        .extend(filesystem(Mode::MultiNodeMultiWriter));
    let mut wrong = request();
    wrong
        .volume_context
        .insert("tos".to_owned(), "256".to_owned());
    for (message, words) in [(shared, "raw block volumes only"), (wrong, "at most 255")] {
        let answer = ask(&scene, message).await.expect("an answer");
        assert!(answer.confirmed.is_none(), "{answer:?}");
        assert!(answer.message.contains(words), "{words:?} in {answer:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_an_error() {
    let scene = Scene::new().await;
    let mut nameless = request();
    nameless.volume_id.clear();
    let mut useless = request();
    useless.volume_capabilities.clear();
    let mut half = request();
    half.volume_capabilities.push(VolumeCapability::default());
    for message in [nameless, useless, half] {
        let status = ask(&scene, message).await.expect_err("a field is missing");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let mut unknown = request();
    unknown.volume_id = "volume-9".to_owned();
    let status = ask(&scene, unknown).await.expect_err("no such volume");
    assert_eq!(status.code(), Code::NotFound, "{status}");
    scene.cluster.behave(Behaviour::Fails(VOLUMES, 503));
    let status = ask(&scene, request()).await.expect_err("nobody can say");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}
