//! The code of each kind of failure, as kubelet and the conformance suite read it.

use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessType, MountVolume};
use tonic::{Code, Response, Status};

use crate::machine::Machine;
use crate::plugin::Running;
use crate::requests::{self, capability};

#[track_caller]
fn code_of<T>(answer: Result<Response<T>, Status>, words: &str) -> Code {
    let status = answer.err().expect("an error");
    assert!(
        status.message().contains(words),
        "{words:?} is not in {status}"
    );
    status.code()
}

#[tokio::test]
async fn a_volume_that_is_staged_in_another_way_already_exists() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let mut stage = requests::stage(&running.machine);
    node.node_stage_volume(stage.clone()).await.expect("staged");
    let access = AccessType::Mount(MountVolume::default());
    stage.volume_capability = Some(capability(access, Mode::SingleNodeReaderOnly));
    let answer = node.node_stage_volume(stage).await;
    assert_eq!(
        code_of(answer, "is staged already with"),
        Code::AlreadyExists
    );
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_unavailable() {
    let running = Running::start().await;
    running.machine.host.silence("4420");
    let stage = requests::stage(&running.machine);
    let answer = running.node().await.node_stage_volume(stage).await;
    assert_eq!(
        code_of(answer, "did not answer within 3s"),
        Code::Unavailable
    );
}

/// A plugin whose calls wait less long than a kernel and a target may need.
async fn impatient() -> Running {
    let machine = Machine::new("trixie-one-path");
    let timing = machine.config().timing;
    Running::on(machine, |options| options.timing = timing).await
}

#[tokio::test]
async fn a_namespace_that_does_not_appear_is_unavailable() {
    let running = impatient().await;
    let mut stage = requests::stage(&running.machine);
    let other = "99999999-9999-4999-8999-999999999999".to_owned();
    stage.volume_context.insert("namespaceUUID".into(), other);
    let answer = running.node().await.node_stage_volume(stage).await;
    assert_eq!(code_of(answer, "has no usable"), Code::Unavailable);
}

#[tokio::test]
async fn a_namespace_that_has_not_grown_is_unavailable() {
    let running = impatient().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let stage = requests::stage(machine);
    node.node_stage_volume(stage).await.expect("staged");
    let answer = node.node_expand_volume(requests::expand(machine, 1 << 40));
    assert_eq!(
        code_of(answer.await, "1099511627776 are required"),
        Code::Unavailable
    );
}

#[tokio::test]
async fn foreign_data_is_a_failed_precondition() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let stage = requests::stage_as(machine, requests::block());
    node.node_stage_volume(stage).await.expect("staged");
    let disk = machine.root().join("dev/nvme0n1");
    crate::machine::filesystems::scribble(&disk, 512, b"EFI PART");
    node.node_unstage_volume(requests::unstage_as(machine, &requests::block()))
        .await
        .expect("unstaged");
    let answer = node.node_stage_volume(requests::stage(machine)).await;
    assert_eq!(
        code_of(answer, "it is not formatted"),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn a_system_call_that_fails_unexpectedly_is_internal() {
    let running = Running::start().await;
    running.machine.host.fail("mount");
    let stage = requests::stage(&running.machine);
    let answer = running.node().await.node_stage_volume(stage).await;
    assert_eq!(
        code_of(answer, "cannot mount the filesystem: "),
        Code::Internal
    );
}

#[tokio::test]
async fn a_volume_that_is_not_staged_cannot_be_published() {
    let running = Running::start().await;
    let publish = requests::publish(&running.machine);
    let answer = running.node().await.node_publish_volume(publish).await;
    assert_eq!(code_of(answer, "is not staged"), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_volume_for_one_pod_has_one_publication() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let access = || AccessType::Mount(MountVolume::default());
    let single = Some(capability(access(), Mode::SingleNodeSingleWriter));
    let mut stage = requests::stage(&running.machine);
    stage.volume_capability = single.clone();
    node.node_stage_volume(stage).await.expect("staged");
    let mut publish = requests::publish(&running.machine);
    publish.volume_capability = single;
    node.node_publish_volume(publish.clone())
        .await
        .expect("published");
    publish.target_path = requests::text(&running.machine.target("pod-2"));
    let answer = node.node_publish_volume(publish).await;
    assert_eq!(code_of(answer, "one publication"), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_target_that_is_published_in_another_way_already_exists() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let stage = requests::stage(&running.machine);
    node.node_stage_volume(stage).await.expect("staged");
    let mut publish = requests::publish(&running.machine);
    node.node_publish_volume(publish.clone())
        .await
        .expect("published");
    publish.readonly = true;
    let answer = node.node_publish_volume(publish).await;
    assert_eq!(
        code_of(answer, "cannot be published like this"),
        Code::AlreadyExists
    );
}

#[tokio::test]
async fn a_volume_that_is_still_published_is_not_unstaged() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    node.node_stage_volume(requests::stage(machine))
        .await
        .expect("staged");
    node.node_publish_volume(requests::publish(machine))
        .await
        .expect("published");
    let answer = node.node_unstage_volume(requests::unstage(machine)).await;
    assert_eq!(
        code_of(answer, "is still published at"),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn a_volume_that_is_not_here_or_elsewhere_is_not_found() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    let answer = node.node_get_volume_stats(requests::stats(machine)).await;
    assert_eq!(code_of(answer, "is not staged"), Code::NotFound);
    let answer = node.node_expand_volume(requests::expand(machine, 1)).await;
    assert_eq!(code_of(answer, "is not at"), Code::NotFound);
    node.node_stage_volume(requests::stage(machine))
        .await
        .expect("staged");
    let mut elsewhere = requests::stats(machine);
    elsewhere.volume_path = "/some/other/path".to_owned();
    let answer = node.node_get_volume_stats(elsewhere).await;
    assert_eq!(
        code_of(answer, "is not at /some/other/path"),
        Code::NotFound
    );
}

#[tokio::test]
async fn a_namespace_larger_than_allowed_is_out_of_range() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let machine = &running.machine;
    node.node_stage_volume(requests::stage(machine))
        .await
        .expect("staged");
    let mut expand = requests::expand(machine, 0);
    expand.capacity_range.as_mut().expect("a range").limit_bytes = 1;
    let answer = node.node_expand_volume(expand).await;
    assert_eq!(
        code_of(answer, "more than the limit of 1"),
        Code::OutOfRange
    );
}

#[tokio::test]
async fn several_namespaces_and_no_choice_is_a_failed_precondition_with_the_remedy() {
    let machine = Machine::new("trixie-two-namespaces");
    let running = Running::on(machine, |_| {}).await;
    let mut stage = requests::stage(&running.machine);
    stage.volume_context.remove("namespaceUUID");
    let answer = running.node().await.node_stage_volume(stage).await;
    let code = code_of(answer, "what to do: set namespaceUUID or nsid");
    assert_eq!(code, Code::FailedPrecondition);
}
