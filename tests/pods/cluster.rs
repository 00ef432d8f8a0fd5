//! A running cluster as a case sees it: the API server, kubectl, and the guest's agent.
//!
//! All of it panics where the cluster does not do what is asked, so that the case fails there.

use std::cell::RefCell;
use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use hyper::Request;
use kernel_lab::cluster::credentials::Account;
use kernel_lab::cluster::machine::{Machine, MachineError};
use kernel_lab::cluster::order::Order;
use kernel_lab::cluster::settings;
use kernel_lab::qemu::ConsoleOutput;
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::lab::Lab;

/// The driver's name.
pub(crate) const DRIVER: &str = "direct.nvmeof.csi";
/// Where the product's pods are.
pub(crate) const NAMESPACE: &str = "nvmeof-csi";
/// Ten times what a step of Kubernetes takes on two processors with nothing else to do: on busy ones the controller and its
/// attacher took two minutes to be ready.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// What only cases make.
const LEFT: [&str; 3] = [
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/persistentvolumeclaims",
    "/api/v1/persistentvolumes",
];
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A cluster with the product installed.
pub(crate) struct Cluster {
    pub(crate) machine: Machine,
    runtime: Runtime,
    client: Client,
    reports: RefCell<Vec<String>>,
    /// Set where the lab broke while a case ran, which is then no verdict.
    broken: RefCell<Option<MachineError>>,
}

impl Cluster {
    /// Boots, waits for the node and applies the manifests as users do.
    pub(crate) fn start(lab: &Lab, console: ConsoleOutput) -> Result<Cluster, MachineError> {
        let machine = lab.boot(console)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async { connect(&machine, lab) });
        let cluster = Cluster {
            machine,
            runtime,
            client,
            reports: RefCell::default(),
            broken: RefCell::default(),
        };
        cluster.say_age("the API server is ready");
        Ok(cluster)
    }

    /// Waits until the node takes pods.
    pub(crate) fn wait_for_the_node(&self) {
        let path = format!("/api/v1/nodes/{}", settings::NODE);
        self.eventually("the node to be ready", PATIENCE, |cluster| {
            let ended = cluster.order(&Order::Ended);
            assert!(ended.is_empty(), "it ended by itself: {ended}");
            let node = cluster.get(&path)?;
            let ready = condition(&node, "Ready") == Some("True");
            let free = node["spec"]["taints"].as_array().is_none_or(Vec::is_empty);
            (ready && free).then_some(())
        });
        self.say_age("the node is ready");
    }

    /// Applies the manifests with kustomize and waits until kubelet has registered the driver.
    pub(crate) fn install(&self) {
        let began = Instant::now();
        let manifests = crate::lab::repository().join("deploy/kubernetes");
        self.kubectl(&["apply", "-k", &manifests.to_string_lossy()]);
        self.wait_for_registration();
        self.wait_for_the_controller();
        let took = began.elapsed().as_secs_f64();
        self.say(&format!(
            "from `kubectl apply -k` to a registered driver with a controller {took:.1} s"
        ));
    }

    /// Waits until the node's CSINode names the driver.
    pub(crate) fn wait_for_registration(&self) -> Value {
        let path = format!("/apis/storage.k8s.io/v1/csinodes/{}", settings::NODE);
        self.eventually("kubelet to register the driver", PATIENCE, |cluster| {
            let node = cluster.get(&path)?;
            let mut drivers = node["spec"]["drivers"].as_array()?.iter();
            drivers.find(|driver| driver["name"] == DRIVER).cloned()
        })
    }

    /// Waits until the controller and its attacher are ready.
    fn wait_for_the_controller(&self) {
        let path =
            format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/nvmeof-csi-controller");
        self.eventually("the controller to be available", PATIENCE, |cluster| {
            let available = cluster.get(&path)?["status"]["availableReplicas"].as_u64()?;
            (available > 0).then_some(())
        });
    }

    /// What is to be shown although the case passed.
    pub(crate) fn say(&self, text: &str) {
        self.reports.borrow_mut().push(text.to_owned());
    }

    fn say_age(&self, what: &str) {
        let age = self.machine.age().as_secs_f64();
        self.say(&format!("{what} {age:.0} s after QEMU's start"));
    }

    /// What was said since the last time.
    pub(crate) fn take_reports(&self) -> Vec<String> {
        self.reports.take()
    }

    /// Has the agent do something, and returns what it says.
    #[track_caller]
    pub(crate) fn order(&self, order: &Order) -> String {
        let answer = self.machine.order(order);
        let bytes = answer.unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What a component has said.
    pub(crate) fn log(&self, component: &str) -> String {
        self.order(&Order::Read(settings::log_file(component)))
    }

    /// Runs kubectl to its end, which must be a good one.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// The same with something on its standard input.
    #[track_caller]
    pub(crate) fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.machine.kubectl();
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("kubectl ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {text}{errors}"
        );
        text
    }

    /// The object at a path of the API; none where it does not exist, or where the API server does not answer just now.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.ask("GET", path, None).ok()
    }

    /// Whether an object is gone, for sure.
    pub(crate) fn is_gone(&self, path: &str) -> bool {
        match self.ask("GET", path, None) {
            Err(kube::Error::Api(status)) => status.code == 404,
            _ => false,
        }
    }

    /// Makes an object in a collection.
    #[track_caller]
    pub(crate) fn create(&self, collection: &str, object: &Value) -> Value {
        self.ask("POST", collection, Some(object))
            .unwrap_or_else(|error| panic!("POST {collection}: {error:?}"))
    }

    /// Asks for an object to be deleted. It may be gone, and need not be gone when this returns.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) {
        match self.ask("DELETE", path, None) {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("DELETE {path}: {error:?}"),
        }
    }

    /// One request.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", kind).body(body);
        let request = request.expect("a request");
        self.runtime.block_on(self.client.request::<Value>(request))
    }

    /// The text at a path of the API.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let request = Request::get(path).body(Vec::new()).expect("a request");
        self.runtime
            .block_on(self.client.request_text(request))
            .ok()
    }

    /// Shuts the node down in order, boots it again and waits until it takes pods.
    pub(crate) fn reboot(&self) {
        self.order(&Order::Reboot);
        if let Err(error) = self.machine.become_a_cluster() {
            let text = error.to_string();
            self.broken.replace(Some(error));
            panic!("{text}");
        }
        self.wait_for_the_node();
        self.wait_for_registration();
    }

    /// After a case that failed: the target is back, and what the case has left is asked to go.
    pub(crate) fn clean_up(&self) {
        for order in [Order::Join, Order::StartTarget] {
            if let Err(error) = self.machine.order(&order) {
                eprintln!("lab: {error}");
            }
        }
        for collection in LEFT {
            if let Err(error) = self.ask("DELETE", collection, None) {
                eprintln!("lab: DELETE {collection}: {error}");
            }
        }
    }

    /// What kept the machine from becoming a cluster again, where the lab is to blame.
    pub(crate) fn break_down(&self) -> Option<MachineError> {
        let broken = self.broken.take();
        broken.filter(MachineError::is_of_the_lab)
    }

    /// Polls until there is something.
    #[track_caller]
    pub(crate) fn eventually<T>(
        &self,
        what: &str,
        time: Duration,
        mut look: impl FnMut(&Cluster) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + time;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                !self.machine.is_gone(),
                "the guest ended while waiting for {what}"
            );
            assert!(Instant::now() < deadline, "waited {time:?} for {what}");
            thread::sleep(ASK_AGAIN);
        }
    }
}

fn connect(machine: &Machine, lab: &Lab) -> Client {
    let address = format!("https://127.0.0.1:{}", machine.api_port());
    let mut config = Config::new(address.parse().expect("an address"));
    let file = lab.kubeconfig().with_extension("authority");
    std::fs::write(&file, lab.authority()).expect("a file");
    config.root_cert_file = Some(file);
    config.auth_info.token = Some(Account::Administrator.token().to_owned().into());
    Client::try_from(config).expect("a client")
}

/// The status of a condition.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let mut conditions = object["status"]["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == kind)?["status"].as_str()
}
