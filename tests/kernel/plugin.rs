//! The node plugin as kubelet sees it: a process and a socket.

mod volume;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyper_util::rt::TokioIo;
use nvmeof_csi::csi::proto as csi;
use nvmeof_csi::csi::proto::identity_client::IdentityClient;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::scene::eventually;

pub(crate) use volume::{Use, Volume};

/// kubelet's directory in the guest.
pub(crate) const KUBELET: &str = "/var/lib/kubelet";
/// The address of its metrics, unless it is told another.
const METRICS: &str = "127.0.0.1:9809";
/// The socket below it that the plugin listens on.
pub(crate) const SOCKET: &str = "/var/lib/kubelet/plugins/direct.nvmeof.csi/csi.sock";

/// Another driver of this program.
pub(crate) const OTHER_DRIVER: &str = "other.nvmeof.csi";

/// What it says, where a case wants to know.
const LOG: &str = "/tmp/plugin.log";

/// What the plugin remembers.
pub(crate) const STATE: &str = "/var/lib/kubelet/plugins/direct.nvmeof.csi/state";

/// One of the calls that bring a volume here and take it away.
pub(crate) type Call = fn(&Plugin, &Volume) -> Result<(), Status>;

/// A running plugin and a client of it. Dropping it kills the process.
pub(crate) struct Plugin {
    process: Child,
    runtime: Runtime,
    channel: Channel,
}

impl Plugin {
    /// Starts the plugin and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        Self::spawn(command().args(more))
    }

    /// The same, telling everything to a log of its own: [`said`].
    pub(crate) fn start_logged() -> Self {
        let log = File::create(LOG).expect("a file");
        Self::spawn(command().arg("--verbose").stderr(log))
    }

    /// The same by a command of one's own, such as strace before the program.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_at(SOCKET, command)
    }

    /// The same under the name of another driver, beside the first one.
    pub(crate) fn start_as(driver: &str) -> Self {
        let more = ["--driver-name", driver, "--admin-address", "127.0.0.1:9810"];
        let socket = format!("{KUBELET}/plugins/{driver}/csi.sock");
        Self::spawn_at(&socket, command().args(more))
    }

    fn spawn_at(socket: &str, command: &mut Command) -> Self {
        fs::create_dir_all(format!("{KUBELET}/plugins_registry")).expect("kubelet's directory");
        let process = command.spawn().expect("the plugin starts");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let channel = eventually("the plugin's socket", || {
            runtime.block_on(connect(socket)).ok()
        });
        let plugin = Self {
            process,
            runtime,
            channel,
        };
        eventually("the plugin's answer", || plugin.probe().ok());
        plugin
    }

    fn probe(&self) -> Result<(), Status> {
        let mut client = IdentityClient::new(self.channel.clone());
        self.runtime
            .block_on(client.probe(csi::ProbeRequest {}))
            .map(drop)
    }

    /// Of the process that [`Plugin::spawn`] was told to start.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// A number of its metrics, by name and labels; one that was never counted is 0.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(METRICS).expect("it listens");
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {METRICS}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a question");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let line = answer.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |number| number.trim().parse().expect("a number"))
    }

    /// Waits for its end by SIGKILL.
    pub(crate) fn wait_killed(mut self) {
        let status = self.process.wait().expect("it ends");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }

    /// Waits for its end by its own will.
    pub(crate) fn wait_ended(mut self) {
        let status = self.process.wait().expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    pub(crate) fn call<T, F>(
        &self,
        call: impl FnOnce(NodeClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let client = NodeClient::new(self.channel.clone());
        self.runtime
            .block_on(call(client))
            .map(tonic::Response::into_inner)
    }

    /// Several calls at once, all to their end; each is told its number.
    pub(crate) fn call_all<T, F>(
        &self,
        count: usize,
        mut call: impl FnMut(NodeClient<Channel>, usize) -> F,
    ) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let calls: Vec<_> = (0..count)
            .map(|number| self.begin(|client| call(client, number)))
            .collect();
        calls.into_iter().map(|call| self.finish(call)).collect()
    }

    /// Begins a call. It goes on whenever another one is waited for.
    pub(crate) fn begin<T, F>(&self, call: impl FnOnce(NodeClient<Channel>) -> F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.runtime
            .spawn(call(NodeClient::new(self.channel.clone())))
    }

    /// Waits for the answer of a call that was begun.
    pub(crate) fn finish<T>(&self, call: JoinHandle<T>) -> T {
        self.runtime.block_on(call).expect("a call does not panic")
    }

    pub(crate) fn stage(&self, volume: &Volume) -> Result<(), Status> {
        self.call(
            |mut client| async move { client.node_stage_volume(volume.stage_request()).await },
        )
        .map(drop)
    }

    /// Made again while another operation, such as the keeper's, has the volume: so does kubelet.
    pub(crate) fn unstage(&self, volume: &Volume) -> Result<(), Status> {
        until_not_aborted(|| {
            self.call(|mut client| async move {
                client.node_unstage_volume(volume.unstage_request()).await
            })
            .map(drop)
        })
    }

    /// As kubelet does, which binds a raw disk to a node of its own behind it.
    pub(crate) fn publish(&self, volume: &Volume) -> Result<(), Status> {
        self.call(|mut client| async move {
            client.node_publish_volume(volume.publish_request()).await
        })?;
        volume.map_device();
        Ok(())
    }

    /// Made again while another operation, such as the keeper's, has the volume: so does kubelet.
    pub(crate) fn unpublish(&self, volume: &Volume) -> Result<(), Status> {
        volume.unmap_device();
        until_not_aborted(|| {
            self.call(|mut client| async move {
                client
                    .node_unpublish_volume(volume.unpublish_request())
                    .await
            })
            .map(drop)
        })
    }

    pub(crate) fn expand(&self, volume: &Volume, bytes: i64) -> Result<i64, Status> {
        let request = volume.expand_request(bytes);
        self.call(|mut client| async move { client.node_expand_volume(request).await })
            .map(|answer| answer.capacity_bytes)
    }

    /// The reasons of what is wrong with a volume.
    pub(crate) fn health(&self, volume: &Volume) -> Result<Vec<String>, Status> {
        let request = volume.health_request();
        let answer =
            self.call(|mut client| async move { client.node_get_volume_health(request).await })?;
        let statuses = answer.volume_health.unwrap_or_default().health_statuses;
        Ok(statuses.into_iter().map(|entry| entry.reason).collect())
    }

    pub(crate) fn stats(&self, volume: &Volume) -> Result<csi::NodeGetVolumeStatsResponse, Status> {
        let request = volume.stats_request();
        self.call(|mut client| async move { client.node_get_volume_stats(request).await })
    }
}

fn until_not_aborted(call: impl Fn() -> Result<(), Status>) -> Result<(), Status> {
    eventually("the volume to be free", || match call() {
        Err(busy) if busy.code() == Code::Aborted => None,
        answer => Some(answer),
    })
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // It may have ended already, which is what the case wanted to see.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// What a plugin told that was started by [`Plugin::start_logged`].
pub(crate) fn said() -> String {
    fs::read_to_string(LOG).expect("what the plugin said")
}

/// The plugin's command line.
pub(crate) fn command() -> Command {
    let mut command = Command::new("/bin/nvmeof-csi");
    command.args(["node", "--node-id", "node-1", "--kubelet-dir", KUBELET]);
    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
    command
}

/// A client's connection to a Unix socket.
pub(crate) async fn connect(socket: &str) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://plugin")
        .connect_with_connector(connector)
        .await
}

/// Whether something is mounted at a path, asked of the kernel's own table.
pub(crate) fn is_mounted(path: &Path) -> bool {
    mounts_at(path) > 0
}

/// How many mounts lie on a path.
pub(crate) fn mounts_at(path: &Path) -> usize {
    let table: io::Result<String> = fs::read_to_string("/proc/self/mounts");
    let table = table.expect("the mount table");
    table
        .lines()
        .filter(|line| line.split(' ').nth(1) == path.to_str())
        .count()
}

/// A file that is on the disk when this returns.
pub(crate) fn write_and_read(directory: &Path) {
    let file = directory.join("file");
    let mut written = File::create(&file).expect("a file");
    written
        .write_all(b"kept")
        .and_then(|()| written.sync_all())
        .expect("a write");
    assert_eq!(fs::read(&file).expect("a read"), b"kept");
}

/// The volumes of which the plugin remembers something.
pub(crate) fn remembered() -> Vec<String> {
    let volumes = match fs::read_dir(Path::new(STATE).join("volumes")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        volumes => volumes.expect("the records"),
    };
    let mut names: Vec<String> = volumes
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .collect();
    names.sort();
    names
}
