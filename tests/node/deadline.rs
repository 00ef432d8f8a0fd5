//! Calls that take longer than their caller waits, and calls under way when the plugin ends.
//!
//! The fake host answers nobody while somebody changes its devices, which is how these tests keep a
//! call waiting for exactly as long as they want.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tonic::{Code, Request};

use crate::machine::fake_host::FakeHost;
use crate::plugin::Running;
use crate::requests;

/// Keeps every effect of a host waiting until it is released.
struct Held {
    release: Sender<()>,
    holder: JoinHandle<()>,
}

impl Held {
    fn hold(host: &Arc<FakeHost>) -> Held {
        let host = Arc::clone(host);
        let (release, released) = mpsc::channel();
        let (holds, held) = mpsc::channel();
        let holder = std::thread::spawn(move || {
            host.devices(|_| {
                holds.send(()).expect("the test waits");
                released.recv().expect("the test releases it");
            });
        });
        held.recv().expect("it holds");
        Held { release, holder }
    }

    fn release(self) {
        self.release.send(()).expect("it holds");
        self.holder.join().expect("no panic");
    }
}

#[tokio::test]
async fn a_call_past_its_deadline_says_so_and_a_retry_is_aborted_until_it_has_ended() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let held = Held::hold(&running.machine.host);
    let mut stage = Request::new(requests::stage(&running.machine));
    stage.set_timeout(Duration::from_secs(2));
    let late = node.node_stage_volume(stage).await.expect_err("held");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert!(
        late.message().contains("NodeStageVolume is still running"),
        "{late}"
    );

    let stage = requests::stage(&running.machine);
    let retry = node
        .node_stage_volume(stage)
        .await
        .expect_err("it still runs");
    assert_eq!(retry.code(), Code::Aborted, "{retry}");

    held.release();
    let mut answer = Err(retry);
    while answer
        .as_ref()
        .is_err_and(|status| status.code() == Code::Aborted)
    {
        let stage = requests::stage(&running.machine);
        answer = node.node_stage_volume(stage).await;
    }
    answer.expect("staged");
    let log = running.machine.host.take_log();
    let formatted = log.iter().filter(|effect| effect.starts_with("format"));
    assert_eq!(formatted.count(), 1, "{log:?}");
}

#[tokio::test]
async fn no_further_address_is_dialled_once_the_caller_has_gone() {
    let running = Running::start().await;
    let mut node = running.node().await;
    let ports: Vec<String> = (1..=32).map(|port| format!("10.0.0.2:{port}")).collect();
    let mut many = requests::stage(&running.machine);
    let key = "addresses".to_owned();
    many.volume_context.insert(key, ports.join(","));
    let held = Held::hold(&running.machine.host);
    let mut stage = Request::new(many);
    stage.set_timeout(Duration::from_secs(2));
    let late = node.node_stage_volume(stage).await.expect_err("held");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    held.release();
    let unstage = || requests::unstage(&running.machine);
    while let Err(status) = node.node_unstage_volume(unstage()).await {
        assert_eq!(status.code(), Code::Aborted, "{status}");
    }
    let log = running.machine.host.take_log();
    let dialled = log.iter().filter(|it| it.starts_with("connect")).count();
    assert!((1..=8).contains(&dialled), "{log:?}");
    assert!(running.machine.state_files().is_empty());
}

#[tokio::test]
async fn a_call_that_finds_no_thread_is_told_that_it_was_not_begun() {
    let running = Running::on(crate::machine::Machine::new("trixie-one-path"), |options| {
        options.blocking_threads = 1.try_into().expect("not zero");
    })
    .await;
    let held = Held::hold(&running.machine.host);
    let mut node = running.node().await;
    let stage = requests::stage(&running.machine);
    let mut first = running.node().await;
    let first = tokio::spawn(async move { first.node_stage_volume(stage).await });
    running.wait_in_progress("NodeStageVolume").await;
    let mut unstage = Request::new(requests::unstage(&running.machine));
    unstage.set_timeout(Duration::from_secs(2));
    let status = node
        .node_unstage_volume(unstage)
        .await
        .expect_err("no thread");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("was not begun"), "{status}");
    held.release();
    first.await.expect("no panic").expect("staged");
}

#[tokio::test]
async fn draining_answers_the_calls_under_way_and_takes_no_other() {
    let running = Running::start().await;
    let endpoint = running.endpoint().to_owned();
    let held = Held::hold(&running.machine.host);
    let mut node = running.node().await;
    let stage = requests::stage(&running.machine);
    let call = tokio::spawn(async move { node.node_stage_volume(stage).await });
    running.wait_in_progress("NodeStageVolume").await;
    let stopping = tokio::spawn(running.stop());
    while UnixStream::connect(&endpoint).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(
        endpoint.exists(),
        "the socket stays until the calls are answered"
    );
    assert!(!stopping.is_finished());
    held.release();
    call.await.expect("no panic").expect("staged");
    stopping.await.expect("drained");
    assert!(!endpoint.exists());
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_does_not_keep_the_plugin() {
    let running = Running::start().await;
    let mut client = UnixStream::connect(running.endpoint())
        .await
        .expect("it listens");
    // The beginning of HTTP/2 (RFC 9113, 3.4): the preface and empty settings. Then silence.
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    client.write_all(begin).await.expect("it reads");
    let settings = client.read_u8().await;
    settings.expect("it answers, so the connection is up");
    let endpoint = running.endpoint().to_owned();
    running.stop().await;
    assert!(!endpoint.exists());
}
