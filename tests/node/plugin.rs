//! A plugin that runs in the test's own process, and clients of its sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use hyper_util::rt::TokioIo;
use nvmeof_csi::csi::proto::identity_client::IdentityClient;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use nvmeof_csi::csi::registration_proto::registration_client::RegistrationClient;
use nvmeof_csi::serve::{NodeOptions, Plugin, ServeError};
use nvmeof_csi::volume::Timing;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::machine::Machine;

pub(crate) const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// The plugin and its machine.
pub(crate) struct Running {
    pub(crate) machine: Machine,
    pub(crate) options: NodeOptions,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

/// NQN of the host in every test.
pub(crate) fn hostnqn() -> String {
    format!("nqn.2014-08.org.nvmexpress:uuid:{HOSTID}")
}

impl Running {
    /// Starts the plugin on a machine with one target.
    pub(crate) async fn start() -> Running {
        Running::on(Machine::new("trixie-one-path"), |_| {}).await
    }

    /// Starts the plugin with other options than the usual.
    pub(crate) async fn on(machine: Machine, change: impl FnOnce(&mut NodeOptions)) -> Running {
        let identity = machine.root().join("etc/nvme");
        fs::create_dir_all(&identity).expect("a directory");
        fs::write(identity.join("hostnqn"), hostnqn()).expect("a file");
        let mut options = options(&machine);
        change(&mut options);
        let host = machine.host.clone();
        let plugin = Plugin::start(&machine.root(), &options, host).await;
        let plugin = plugin.expect("it starts");
        let (stop, stopped) = oneshot::channel();
        let served = plugin.serve(async {
            let _dropped_or_sent = stopped.await;
        });
        Running {
            served: tokio::spawn(served),
            machine,
            options,
            stop,
        }
    }

    /// Drains the plugin, and gives its machine back.
    pub(crate) async fn stop(self) -> Machine {
        self.stop.send(()).expect("it runs");
        self.served.await.expect("no panic").expect("it drains");
        self.machine
    }

    pub(crate) fn endpoint(&self) -> &Path {
        self.options.endpoint.as_deref().expect("it is served")
    }

    pub(crate) async fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(channel(self.endpoint()).await)
    }

    pub(crate) async fn identity(&self) -> IdentityClient<Channel> {
        IdentityClient::new(channel(self.endpoint()).await)
    }

    pub(crate) async fn registration(&self) -> RegistrationClient<Channel> {
        let directory = self.options.registration_dir.as_ref();
        let socket = directory.expect("it registers").join("test.csi-reg.sock");
        RegistrationClient::new(channel(&socket).await)
    }

    /// What the admin address answers to a GET.
    pub(crate) async fn get(&self, path: &str) -> String {
        let address = self.options.admin_address.expect("it is served");
        let path = path.to_owned();
        let answer = tokio::task::spawn_blocking(move || ask(address, "GET", &path));
        answer.await.expect("no panic")
    }

    /// Returns when a call has come and is not answered.
    pub(crate) async fn wait_in_progress(&self, operation: &str) {
        let name = format!("nvmeof_csi_operations_in_progress{{operation=\"{operation}\"}}");
        while self.metric(&name).await.as_deref() != Some("1") {
            tokio::task::yield_now().await;
        }
    }

    /// A line of `/metrics`, without its value.
    pub(crate) async fn metric(&self, name: &str) -> Option<String> {
        let text = self.get("/metrics").await;
        let mut lines = text.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
    }
}

pub(crate) fn options(machine: &Machine) -> NodeOptions {
    let kubelet = machine.kubelet_dir();
    NodeOptions {
        node_name: "worker-1".parse().expect("a name"),
        driver_name: "test.csi".parse().expect("a name"),
        endpoint: Some(kubelet.join("plugins/test.csi/csi.sock")),
        registration_dir: Some(kubelet.join("plugins_registry")),
        state_dir: machine.state_dir(),
        blocking_threads: 4.try_into().expect("not zero"),
        admin_address: Some(free_address()),
        timing: Timing::default(),
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Connects to a socket, which must be there.
pub(crate) async fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    let endpoint = Endpoint::from_static("http://csi");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect));
    channel.await.expect("it listens")
}

/// One HTTP request, and all of the answer.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
