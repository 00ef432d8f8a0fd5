//! etcd and the API server, on the loopback and in a directory of their own.
//!
//! Invariant: both end with the value that started them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper::Request;
use kernel_lab::Kubernetes;
use kernel_lab::kubernetes::Program;
use kube::{Client, Config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nvmeof_csi::report::poster::ApiError;
use rcgen::KeyPair;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long the two may take until they serve: ten times what a machine with nothing else to do needs.
const START: Duration = Duration::from_secs(120);
/// How often a server that starts is asked, which tells nobody when it is ready.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The token of somebody who may do everything.
const ADMINISTRATOR: &str = "administrator";
/// What the API server writes down: who asked for what, of those who are no person.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
"#;

/// An API server and its etcd.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    // In the order in which they end.
    api_server: Option<Running>,
    _etcd: Running,
    directory: TempDir,
    programs: Kubernetes,
    etcd_address: String,
    port: u16,
}

/// A program that ends with this value.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

impl ControlPlane {
    /// etcd runs, and all is there that the API server needs.
    pub(crate) fn new(programs: Kubernetes) -> ControlPlane {
        let directory = TempDir::new().expect("a directory");
        let write = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).expect("a file");
        };
        let key = KeyPair::generate().expect("a key");
        write("accounts.key", &key.serialize_pem());
        write("accounts.pub", &key.public_key_pem());
        let administrator = format!("{ADMINISTRATOR},administrator,1,system:masters\n");
        write("tokens.csv", &administrator);
        write("audit.yaml", AUDIT_POLICY);
        write("audit.log", "");
        let etcd_address = format!("http://127.0.0.1:{}", free_port());
        let mut etcd = Command::new(programs.path(Program::Etcd));
        etcd.arg("--data-dir").arg(directory.path().join("etcd"));
        etcd.args(["--listen-client-urls", &etcd_address]);
        etcd.args(["--advertise-client-urls", &etcd_address]);
        etcd.args(["--listen-peer-urls", "http://127.0.0.1:0"]);
        etcd.arg("--unsafe-no-fsync");
        let etcd = run(etcd, &directory.path().join("etcd.log"));
        ControlPlane {
            api_server: None,
            _etcd: etcd,
            directory,
            programs,
            etcd_address,
            port: free_port(),
        }
    }

    /// Starts the API server where it does not run, and waits until it serves.
    pub(crate) async fn start(&mut self) {
        if self.api_server.is_some() {
            return;
        }
        let log = self.path("api-server.log");
        let mut running = run(self.api_server_command(), &log);
        let deadline = Instant::now() + START;
        while let Err(error) = self.is_ready().await {
            let text = || {
                let text = fs::read_to_string(&log).expect("a log");
                let end = text.lines().rev().take(20).collect::<Vec<_>>();
                end.into_iter().rev().collect::<Vec<_>>().join("\n")
            };
            let ended = running.0.try_wait().expect("a state");
            assert!(ended.is_none(), "the API server ended: {}", text());
            assert!(Instant::now() < deadline, "{error}: {}", text());
            sleep(ASK_AGAIN).await;
        }
        self.api_server = Some(running);
    }

    /// Lets the API server hang: it takes connections, and answers nothing.
    pub(crate) fn hang(&self) {
        let Some(Running(child)) = &self.api_server else {
            panic!("the API server runs");
        };
        let id = i32::try_from(child.id()).expect("the number of a process");
        kill(Pid::from_raw(id), Signal::SIGSTOP).expect("it is ours");
    }

    /// Kills the API server; it can be started again under the same address.
    pub(crate) fn kill(&mut self) {
        self.api_server = None;
    }

    /// Who may do everything.
    pub(crate) fn administrator(&self) -> Client {
        self.client(ADMINISTRATOR).expect("it serves")
    }

    /// Whoever has this token.
    pub(crate) fn client(&self, token: &str) -> kube::Result<Client> {
        let mut config = self.config();
        config.auth_info.token = Some(token.to_owned().into());
        Client::try_from(config)
    }

    /// Whoever has the token in this file whenever they connect, as a pod does.
    pub(crate) fn connector(
        &self,
        token_file: &Path,
    ) -> impl Fn() -> Result<Client, ApiError> + Send + 'static {
        let mut config = self.config();
        config.auth_info.token_file = Some(token_file.display().to_string());
        move || {
            let client = Client::try_from(config.clone());
            client.map_err(|error| ApiError::Client(Box::new(error)))
        }
    }

    fn config(&self) -> Config {
        let address = format!("https://127.0.0.1:{}", self.port);
        let mut config = Config::new(address.parse().expect("an address"));
        config.root_cert_file = Some(self.path("certificates/apiserver.crt"));
        config
    }

    /// What was asked by accounts of services, in order.
    pub(crate) fn asked(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.log")).expect("a log");
        // The last line may be half written.
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("one object per line"))
            .collect()
    }

    async fn is_ready(&self) -> kube::Result<()> {
        let request = Request::get("/readyz").body(Vec::new());
        let client = self.client(ADMINISTRATOR)?;
        let answer = client.request_text(request.expect("a request")).await;
        answer.map(drop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn api_server_command(&self) -> Command {
        let mut command = Command::new(self.programs.path(Program::ApiServer));
        command.args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--endpoint-reconciler-type=none",
            // Nobody makes the account that a pod has by default.
            "--disable-admission-plugins=ServiceAccount",
            "--audit-log-mode=blocking",
        ]);
        command.arg(format!("--etcd-servers={}", self.etcd_address));
        command.arg(format!("--secure-port={}", self.port));
        for (option, name) in [
            // It makes its own.
            ("cert-dir", "certificates"),
            ("token-auth-file", "tokens.csv"),
            ("service-account-signing-key-file", "accounts.key"),
            ("service-account-key-file", "accounts.pub"),
            ("audit-policy-file", "audit.yaml"),
            ("audit-log-path", "audit.log"),
        ] {
            command.arg(format!("--{option}={}", self.path(name).display()));
        }
        command
    }
}

fn run(mut command: Command, log: &Path) -> Running {
    let log = File::options().create(true).append(true).open(log);
    let log = log.expect("a log");
    command.stdin(Stdio::null());
    command
        .stdout(log.try_clone().expect("the log"))
        .stderr(log);
    Running(command.spawn().expect("it starts"))
}

/// A port that nobody has now; nobody else is given it soon.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
