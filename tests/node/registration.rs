//! What kubelet's watcher of plugins sees.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nvmeof_csi::csi::registration_proto::{InfoRequest, RegistrationStatus};

use crate::plugin::Running;

#[tokio::test]
async fn kubelet_is_told_the_name_the_socket_and_a_version_of_1() {
    let running = Running::start().await;
    let answer = running.registration().await.get_info(InfoRequest {}).await;
    let info = answer.expect("info").into_inner();
    assert_eq!(info.r#type, "CSIPlugin");
    assert_eq!(info.name, "test.csi");
    assert_eq!(info.endpoint, running.endpoint().display().to_string());
    assert_eq!(info.supported_versions, ["1.0.0"]);
}

#[tokio::test]
async fn a_refusal_by_kubelet_is_told_until_it_accepts() {
    let running = Running::start().await;
    let mut registration = running.registration().await;
    let mut notify = async |plugin_registered, error: &str| {
        let error = error.to_owned();
        let status = RegistrationStatus {
            plugin_registered,
            error,
        };
        let answer = registration.notify_registration_status(status).await;
        answer.expect("an answer");
    };
    notify(false, "an older version is registered").await;
    let ready = running.get("/ready").await;
    assert!(
        ready.contains("kubelet refused this plugin: an older version"),
        "{ready}"
    );
    notify(true, "").await;
    let ready = running.get("/ready").await;
    assert!(!ready.contains("refused"), "{ready}");
}

#[tokio::test]
async fn both_sockets_are_roots_alone_and_go_when_the_plugin_has_drained() {
    let running = Running::start().await;
    let registration = running
        .options
        .registration_dir
        .clone()
        .expect("it registers");
    let sockets = [
        running.endpoint().to_owned(),
        registration.join("test.csi-reg.sock"),
    ];
    for socket in &sockets {
        let mode = fs::symlink_metadata(socket)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{}", socket.display());
    }
    let _machine = running.stop().await;
    for socket in &sockets {
        assert!(!socket.exists(), "{}", socket.display());
    }
}
