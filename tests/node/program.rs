//! The program itself: its options, its signals, its log, and what a killed one leaves.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nvmeof_csi::csi::proto::NodeGetInfoRequest;
use nvmeof_csi::csi::proto::NodeStageVolumeRequest;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, listen, socket};
use tonic::Code;

use crate::machine::Machine;
use crate::plugin::{ask, channel, free_address, hostnqn};
use crate::requests;

/// A running program, ended with the test.
pub(crate) struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    admin: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Program {
    /// Starts the program and returns when it listens.
    pub(crate) fn start(machine: &Machine, verbosity: &str) -> Program {
        Program::start_in(machine, verbosity, &[])
    }

    /// The same with more in its environment.
    fn start_in(machine: &Machine, verbosity: &str, more: &[(&str, &str)]) -> Program {
        let identity = machine.root().join("etc/nvme");
        fs::create_dir_all(&identity).expect("a directory");
        fs::write(identity.join("hostnqn"), hostnqn()).expect("a file");
        let admin = free_address();
        let mut child = command(machine, &["--admin-address", &admin.to_string()])
            .arg(verbosity)
            .envs(more.iter().copied())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut program = Program { child, log, admin };
        program.read_until("listening for probes");
        program
    }

    /// Reads the log up to the line that says `words`, and returns all of it.
    fn read_until(&mut self, words: &str) -> String {
        let mut read = String::new();
        loop {
            let before = read.len();
            let length = self.log.read_line(&mut read).expect("text");
            assert!(length > 0, "{words:?} was never said: {read}");
            if read[before..].contains(words) {
                return read;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    /// The exit code and the rest of the log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it ends").code(), rest)
    }

    fn wait_for_a_call(&self) {
        let name = "nvmeof_csi_operations_in_progress{operation=\"NodeStageVolume\"} 1";
        while !ask(self.admin, "GET", "/metrics").contains(name) {
            std::thread::yield_now();
        }
    }
}

fn command(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command
        .arg("--root")
        .arg(machine.root())
        .args(["node", "--node-id", "worker-1", "--driver-name", "test.csi"])
        .arg("--kubelet-dir")
        .arg(machine.kubelet_dir())
        .args(arguments)
        .env_remove("NVMEOF_ROOT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(machine: &Machine, arguments: &[&str]) -> Output {
    command(machine, arguments).output().expect("it starts")
}

pub(crate) fn machine() -> Machine {
    Machine::new("trixie-one-path")
}

/// A port whose queue is full: whoever dials it hears nothing.
struct Silent {
    address: SocketAddr,
    _sockets: [std::os::fd::OwnedFd; 2],
}

fn silent() -> Silent {
    let stream = || socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let (listener, filler) = (stream(), stream());
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    bind(&listener, &any).expect("a free port");
    listen(&listener, 0).expect("a queue");
    let address = getsockname(&listener).expect("an address");
    let address = SocketAddr::try_from(address).expect("an IP address");
    connect(&filler, &address).expect("room for one");
    Silent {
        address,
        _sockets: [listener, filler],
    }
}

/// A call that stays under way until the dial of a silent port is given up.
fn stage_from(machine: &Machine, silent: &Silent) -> NodeStageVolumeRequest {
    let mut stage = requests::stage(machine);
    let address = silent.address.to_string();
    stage.volume_context.insert("addresses".to_owned(), address);
    stage
}

pub(crate) fn csi_socket(machine: &Machine) -> std::path::PathBuf {
    machine.kubelet_dir().join("plugins/test.csi/csi.sock")
}

fn registration_socket(machine: &Machine) -> std::path::PathBuf {
    machine
        .kubelet_dir()
        .join("plugins_registry/test.csi-reg.sock")
}

async fn answers(socket: &Path) {
    let mut node = NodeClient::new(channel(socket).await);
    node.node_get_info(NodeGetInfoRequest {})
        .await
        .expect("info");
}

#[tokio::test]
async fn the_first_signal_drains_and_the_program_ends_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (machine, silent) = (machine(), silent());
        let mut program = Program::start(&machine, "-v");
        let mut node = NodeClient::new(channel(&csi_socket(&machine)).await);
        let stage = stage_from(&machine, &silent);
        let call = tokio::spawn(async move { node.node_stage_volume(stage).await });
        tokio::task::yield_now().await;
        let program = tokio::task::spawn_blocking(move || {
            program.wait_for_a_call();
            program.signal(signal);
            program.read_until("draining");
            program
        });
        let program = program.await.expect("no panic");
        let status = call
            .await
            .expect("no panic")
            .expect_err("nobody answers there");
        assert_eq!(
            status.code(),
            Code::Unavailable,
            "answered, not cut off: {status}"
        );
        assert_eq!(program.end().0, Some(0));
        assert!(!csi_socket(&machine).exists());
        assert!(!registration_socket(&machine).exists());
    }
}

#[tokio::test]
async fn an_api_server_that_cannot_be_reached_is_said_once_and_costs_no_call() {
    let machine = machine();
    let cluster = [
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", "1"),
    ];
    let mut program = Program::start_in(&machine, "-v", &cluster);
    let mut node = NodeClient::new(channel(&csi_socket(&machine)).await);
    for volume_id in ["volume-1", "volume-2"] {
        let mut publish = requests::publish(&machine);
        publish.volume_id = volume_id.to_owned();
        let answer = node.node_publish_volume(publish).await;
        let status = answer.expect_err("it is not staged");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    }
    let (said, rest) = tokio::task::spawn_blocking(move || {
        let said = program.read_until("events wait for it");
        let metrics = ask(program.admin, "GET", "/metrics");
        let waits = "nvmeof_csi_events_pending 2";
        assert!(metrics.lines().any(|line| line == waits), "{metrics}");
        program.signal(Signal::SIGTERM);
        (said, program.end())
    })
    .await
    .expect("no panic");
    assert!(
        said.contains("cannot tell where the API server is"),
        "{said}"
    );
    assert_eq!(rest.0, Some(0));
    assert!(!rest.1.contains("events wait for it"), "{}", rest.1);
}

#[tokio::test]
async fn the_second_signal_ends_the_program_at_once() {
    let (machine, silent) = (machine(), silent());
    let mut program = Program::start(&machine, "-v");
    let mut node = NodeClient::new(channel(&csi_socket(&machine)).await);
    let stage = stage_from(&machine, &silent);
    let call = tokio::spawn(async move { node.node_stage_volume(stage).await });
    let ended = tokio::task::spawn_blocking(move || {
        program.wait_for_a_call();
        program.signal(Signal::SIGTERM);
        program.read_until("draining");
        program.signal(Signal::SIGTERM);
        program.end()
    });
    let (code, log) = ended.await.expect("no panic");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("ended by a second signal"), "{log}");
    let status = call.await.expect("no panic").expect_err("cut off");
    assert!(!status.message().contains("did not answer"), "{status}");
}

#[tokio::test]
async fn sockets_of_a_killed_program_are_taken_over() {
    let machine = machine();
    let program = Program::start(&machine, "-v");
    program.signal(Signal::SIGKILL);
    program.end();
    assert!(csi_socket(&machine).exists() && registration_socket(&machine).exists());
    let _program = Program::start(&machine, "-v");
    answers(&csi_socket(&machine)).await;
}

#[tokio::test]
async fn a_running_program_is_not_replaced() {
    let machine = machine();
    let _program = Program::start(&machine, "-v");
    let second = run(&machine, &["--admin-address", ""]);
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        error.contains("csi.sock is in use by a running server"),
        "{error}"
    );
    answers(&csi_socket(&machine)).await;
}

#[test]
fn wrong_options_are_refused_before_anything_is_done() {
    let machine = machine();
    for (arguments, words) in [
        (["--node-id", "a/b"], "without a slash"),
        (["--driver-name", "a/b"], "driver name"),
        (["--endpoint", "tcp://127.0.0.1:1"], "must be unix://"),
        (["--endpoint", "unix://csi.sock"], "must be unix://"),
        (["--kubelet-dir", "kubelet"], "must be an absolute path"),
        (
            ["--registration-dir", "plugins"],
            "must be an absolute path",
        ),
        (["--state-dir", "state"], "must be an absolute path"),
        (
            ["--admin-address", "localhost"],
            "must be an IP address and a port",
        ),
        (["--blocking-threads", "0"], "--blocking-threads"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
        command.arg("--root").arg(machine.root()).arg("node");
        if arguments[0] != "--node-id" {
            command.args(["--node-id", "worker-1"]);
        }
        let output = command.args(arguments).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(words), "{words:?} is not in {error}");
    }
    assert!(!machine.root().join("etc").exists());
}

#[test]
fn an_empty_endpoint_or_directory_of_plugins_means_none() {
    let machine = machine();
    // The last option ends the program: what stands before it was taken.
    for empty in ["--endpoint=", "--registration-dir="] {
        let output = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"))
            .arg("--root")
            .arg(machine.root())
            .args(["node", "--node-id", "worker-1", empty, "--state-dir=state"])
            .output()
            .expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("error: --state-dir state"), "{error}");
    }
}

#[test]
fn a_kubelet_directory_behind_a_link_is_refused_with_its_real_path() {
    let machine = machine();
    let real = machine.root().join("kubelet-real");
    std::fs::create_dir_all(&real).expect("a directory");
    let link = machine.root().join("kubelet-link");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let output = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"))
        .arg("--root")
        .arg(machine.root())
        .args(["node", "--node-id", "worker-1", "--kubelet-dir"])
        .arg(&link)
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    let words = format!("its real path is {}", real.display());
    assert!(error.contains(&words), "{error}");
    let remedy = format!("--root-dir={}", real.display());
    assert!(error.contains(&remedy), "{error}");
}

#[tokio::test]
async fn a_call_is_one_line_in_the_log_and_secrets_are_in_none() {
    let (machine, silent) = (machine(), silent());
    let mut program = Program::start(&machine, "-vvv");
    let mut node = NodeClient::new(channel(&csi_socket(&machine)).await);
    let mut stage = stage_from(&machine, &silent);
    let secret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
    stage
        .secrets
        .insert("dhchapSecret".to_owned(), secret.to_owned());
    node.node_stage_volume(stage)
        .await
        .expect_err("nobody answers there");
    drop(node);
    program.signal(Signal::SIGTERM);
    let before = program.read_until("draining");
    let answered: Vec<&str> = before
        .lines()
        .filter(|line| line.contains(": answered method="))
        .collect();
    assert_eq!(answered.len(), 1, "{before}");
    for words in ["NodeStageVolume", "\"volume-1\"", "UNAVAILABLE", "took"] {
        assert!(answered[0].contains(words), "{words} in {}", answered[0]);
    }
    let (code, rest) = program.end();
    assert_eq!(code, Some(0));
    assert!(
        !before.contains("ia6zGodO") && !rest.contains("ia6zGodO"),
        "{before}{rest}"
    );
}
