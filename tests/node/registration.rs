//! What kubelet's watcher of plugins sees.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nvmeof_csi::csi::proto::ProbeRequest;
use nvmeof_csi::csi::registration_proto::{InfoRequest, RegistrationStatus};

use crate::machine::Machine;
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
async fn a_plugin_that_kubelet_never_asked_for_is_not_ready() {
    let running = Running::start().await;
    let root = running.machine.root();
    fs::create_dir_all(root.join("sys/module/nvme_fabrics")).expect("a module");
    fs::write(root.join("dev/nvme-fabrics"), "").expect("a device");
    let ready = running.get("/ready").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(
        ready.contains("registration: kubelet has not registered this plugin yet"),
        "{ready}"
    );
    let answer = running.identity().await.probe(ProbeRequest {}).await;
    assert_eq!(answer.expect("an answer").into_inner().ready, Some(true));
}

#[tokio::test]
async fn a_plugin_that_kubelet_cannot_find_serves_and_offers_itself_once_it_can() {
    let machine = Machine::new("trixie-one-path");
    let in_the_way = machine.kubelet_dir().join("plugins_registry");
    fs::create_dir_all(machine.kubelet_dir()).expect("a directory");
    fs::write(&in_the_way, "no directory").expect("a file");
    let running = Running::on(machine, |_| {}).await;
    let ready = running.get("/ready").await;
    assert!(
        ready.contains("kubelet cannot find this plugin: "),
        "{ready}"
    );
    assert!(ready.contains(&in_the_way.display().to_string()), "{ready}");
    running
        .identity()
        .await
        .probe(ProbeRequest {})
        .await
        .expect("the CSI is served");
    fs::remove_file(&in_the_way).expect("it was there");
    let offered = in_the_way.join("test.csi-reg.sock");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !offered.exists() {
        assert!(Instant::now() < deadline, "{}", running.get("/ready").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = running.registration().await.get_info(InfoRequest {}).await;
    assert_eq!(answer.expect("info").into_inner().name, "test.csi");
    let ready = running.get("/ready").await;
    assert!(
        ready.contains("kubelet has asked for this plugin"),
        "{ready}"
    );
    fs::remove_file(&offered).expect("it was there");
    while !offered.exists() {
        assert!(Instant::now() < deadline, "{}", running.get("/ready").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = running.registration().await.get_info(InfoRequest {}).await;
    answer.expect("it is found anew");
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
