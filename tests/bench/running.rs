//! The running plugin and a client that asks what kubelet asks.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use nvmeof_csi::csi::proto::identity_client::IdentityClient;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use nvmeof_csi::csi::proto::{
    NodeGetStorageHealthRequest, NodeGetVolumeHealthRequest, NodeGetVolumeStatsRequest,
    NodeStageVolumeRequest, ProbeRequest,
};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, yield_now};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::memory::Memory;
use crate::node_machine::NodeMachine;

/// Far longer than a start takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error>;

/// The process, killed when the value goes away, and a connection to it.
#[derive(Debug)]
pub(crate) struct Running {
    process: Child,
    runtime: Runtime,
    channel: Channel,
    /// From before the process was made to its answer of Probe.
    pub(crate) answered_after: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Running {
    /// Starts the program and returns when it answers.
    pub(crate) fn start(machine: &NodeMachine) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let socket = machine.root().join("csi.sock");
        let mut command = command(machine, &socket);
        let began = Instant::now();
        let mut process = command.spawn()?;
        let answer = runtime.block_on(first_answer(&socket, &mut process));
        let answered_after = began.elapsed();
        Ok(Self {
            process,
            runtime,
            channel: answer?,
            answered_after,
        })
    }

    /// Stages every volume of the machine, all at once.
    pub(crate) fn stage_all(&self, machine: &NodeMachine) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            for stage in machine.stages.clone() {
                let mut node = NodeClient::new(self.channel.clone());
                calls.spawn(async move { node.node_stage_volume(stage).await });
            }
            while let Some(answer) = calls.join_next().await {
                answer??;
            }
            Ok(())
        })
    }

    /// Asks how each volume and its storage are, all at once.
    pub(crate) fn ask_about_all(&self, machine: &NodeMachine) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            for stage in machine.stages.clone() {
                calls.spawn(ask(NodeClient::new(self.channel.clone()), stage));
            }
            while let Some(healthy) = calls.join_next().await {
                healthy??;
            }
            Ok(())
        })
    }

    /// What it holds now.
    pub(crate) fn memory(&self) -> Result<Memory, Failure> {
        Ok(Memory::of(self.process.id())?)
    }
}

fn command(machine: &NodeMachine, socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command
        .arg("--root")
        .arg(machine.root())
        .args(["node", "--node-id", "worker-1"])
        .args(["--admin-address", "127.0.0.1:0"])
        .arg("--state-dir")
        .arg(machine.state_dir())
        .arg("--kubelet-dir")
        .arg(machine.kubelet())
        .arg("--endpoint")
        .arg(format!("unix://{}", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Dials until somebody listens, and asks whether it is alive.
async fn first_answer(socket: &Path, process: &mut Child) -> Result<Channel, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connect(socket.to_owned()).await {
            Ok(channel) => {
                let mut identity = IdentityClient::new(channel.clone());
                identity.probe(ProbeRequest {}).await?;
                return Ok(channel);
            }
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => yield_now().await,
        }
        if let Some(status) = process.try_wait()? {
            return Err(format!("the plugin ended: {status}").into());
        }
    }
}

async fn connect(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let connect = move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    Endpoint::from_static("http://plugin")
        .connect_with_connector(tower::service_fn(connect))
        .await
}

/// Fails where the volume is not staged and healthy: then there would be little to measure.
async fn ask(mut node: NodeClient<Channel>, stage: NodeStageVolumeRequest) -> Result<(), Status> {
    let stats = NodeGetVolumeStatsRequest {
        volume_id: stage.volume_id.clone(),
        volume_path: stage.staging_target_path,
        staging_target_path: String::new(),
    };
    let stats = node.node_get_volume_stats(stats).await?.into_inner();
    let condition = stats.volume_condition.unwrap_or_default();
    if condition.abnormal || stats.usage.is_empty() {
        return Err(Status::failed_precondition(condition.message));
    }
    let health = NodeGetVolumeHealthRequest {
        volume_id: stage.volume_id,
        ..NodeGetVolumeHealthRequest::default()
    };
    node.node_get_volume_health(health).await?;
    let storage = NodeGetStorageHealthRequest::default();
    node.node_get_storage_health(storage).await?;
    Ok(())
}
