//! What the machine and its programs are told: names, addresses, and each program's command and file.

use std::net::Ipv4Addr;

use crate::kubernetes::Program;

use super::credentials::{Account, Credentials};

/// The node's name.
pub const NODE: &str = "node-a";
/// Of the card that QEMU makes: its own network, of which the host forwards ports.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Of the API server's service. It is the node's own too, so that clients in pods reach it without a proxy.
pub const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Of the node on the link to the target.
pub const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Of the target.
pub const TARGET_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Where the target listens.
pub const TARGET_PORT: u16 = 4420;
/// Where the API server listens.
pub const API_PORT: u16 = 443;
/// Where the agent listens.
pub const AGENT_PORT: u16 = 7000;
/// The agent's word that it listens.
pub const AGENT_LISTENS: &str = "guest: the agent listens";
/// Where this program stands in the guest.
pub const GUEST_PROGRAM: &str = "/init";
/// The product on the node itself, for the unit that lets go at shutdown.
pub const HOST_PROGRAM: &str = "/usr/local/bin/nvmeof-csi";
/// The programs that wait for nobody. The others are started by the host, once the API server is ready.
pub const STARTED_AT_ONCE: [&str; 3] = ["etcd", "kube-apiserver", "containerd"];
/// Those that are.
pub const STARTED_LATER: [&str; 3] = ["kube-controller-manager", "kube-scheduler", "kubelet"];
/// Of every component. With less of a hurry to collect garbage the whole boots faster.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/usr/local/bin:/usr/sbin:/usr/bin"),
    ("HOME", "/root"),
    ("GOGC", "400"),
];
/// The audit log of the API server.
pub const AUDIT_LOG: &str = "/var/log/lab/audit.log";
/// The image of every pod but the product's, and of each pod's sandbox.
pub const POD_IMAGE: &str = "docker.io/library/lab-pod:1";
/// Where containerd's programs expect each other.
pub(crate) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// The controllers that pods with volumes need. All of them cost a third more until the node is ready.
const CONTROLLERS: [&str; 14] = [
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "daemonset-controller",
    "deployment-controller",
    "replicaset-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector-controller",
];

/// The NQN of a volume.
#[must_use]
pub fn nqn(volume: &str) -> String {
    format!("nqn.2026-01.org.example:{volume}")
}

/// The UUID of a volume's namespace, by its name.
#[must_use]
pub fn uuid(volume: &str) -> String {
    // FNV-1a: the same in every build.
    let hash = volume
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let digits = format!("{hash:016x}");
    format!(
        "cccccccc-cccc-4ccc-{}-{}",
        &format!("8{digits}")[..4],
        &digits[..12]
    )
}

/// The file with a component's command line.
#[must_use]
pub fn command_file(component: &str) -> String {
    format!("/etc/lab/{component}.command")
}

/// The file with what a component says.
#[must_use]
pub fn log_file(component: &str) -> String {
    format!("/var/log/lab/{component}.log")
}

/// All text files of the guest's disk.
#[must_use]
pub fn files(credentials: &Credentials) -> Vec<(String, String)> {
    let mut files: Vec<_> = Program::ALL
        .into_iter()
        .filter(|program| *program != Program::Kubectl)
        .map(|program| (command_file(program.as_str()), command(program)))
        .collect();
    let containerd = "/usr/local/bin/containerd --config /etc/containerd/config.toml";
    files.push((command_file("containerd"), containerd.to_owned()));
    for (path, text) in [
        ("/etc/containerd/config.toml", containerd_config(true)),
        ("/etc/lab/kubelet.yaml", KUBELET.to_owned()),
        ("/etc/lab/audit.yaml", AUDIT_POLICY.to_owned()),
        ("/etc/lab/ca.crt", credentials.authority.clone()),
        ("/etc/lab/server.crt", credentials.certificate.clone()),
        ("/etc/lab/server.key", credentials.key.clone()),
        ("/etc/lab/accounts.key", credentials.accounts_key.clone()),
        ("/etc/lab/accounts.pub", credentials.accounts_public.clone()),
        ("/etc/lab/tokens.csv", credentials.token_file()),
        ("/etc/cni/net.d/10-lab.conflist", NETWORK.to_owned()),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n".to_owned()),
        ("/etc/group", "root:x:0:\n".to_owned()),
        ("/etc/hosts", "127.0.0.1 localhost\n".to_owned()),
        ("/etc/resolv.conf", String::new()),
        (
            "/etc/machine-id",
            "0123456789abcdef0123456789abcdef\n".to_owned(),
        ),
        (
            "/etc/os-release",
            "ID=lab\nPRETTY_NAME=\"kernel lab\"\n".to_owned(),
        ),
    ] {
        files.push((path.to_owned(), text));
    }
    for account in Account::ALL {
        let server = format!("https://{SERVICE_ADDRESS}:{API_PORT}");
        let text = credentials.kubeconfig(account, &server);
        files.push((format!("/etc/lab/{}.kubeconfig", account.as_str()), text));
    }
    files
}

/// The command line of a program of Kubernetes.
fn command(program: Program) -> String {
    let arguments: Vec<String> = match program {
        Program::Etcd => words(ETCD),
        Program::ApiServer => words(API_SERVER),
        Program::ControllerManager => {
            let mut arguments = words(CONTROLLER_MANAGER);
            arguments.push(format!("--controllers={}", CONTROLLERS.join(",")));
            arguments
        }
        Program::Scheduler => words(SCHEDULER),
        Program::Kubelet => {
            let mut arguments = words(KUBELET_ARGUMENTS);
            arguments.push(format!("--hostname-override={NODE}"));
            arguments.push(format!("--node-ip={NODE_ADDRESS}"));
            arguments
        }
        Program::Kubectl => Vec::new(),
    };
    format!(
        "/usr/local/bin/{} {}",
        program.as_str(),
        arguments.join(" ")
    )
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

const ETCD: &str = "--data-dir /var/lib/etcd --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --log-level warn";

const API_SERVER: &str = "--etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=443 \
    --advertise-address=10.0.2.15 --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --anonymous-auth=false --allow-privileged --endpoint-reconciler-type=none \
    --service-cluster-ip-range=10.96.0.0/24 --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file=/etc/lab/accounts.key --service-account-key-file=/etc/lab/accounts.pub \
    --tls-cert-file=/etc/lab/server.crt --tls-private-key-file=/etc/lab/server.key \
    --token-auth-file=/etc/lab/tokens.csv --kubelet-preferred-address-types=InternalIP \
    --audit-policy-file=/etc/lab/audit.yaml --audit-log-path=/var/log/lab/audit.log --audit-log-mode=blocking \
    --feature-gates=CSIVolumeHealth=true";

const CONTROLLER_MANAGER: &str = "--kubeconfig=/etc/lab/administrator.kubeconfig --leader-elect=false \
    --service-account-private-key-file=/etc/lab/accounts.key --root-ca-file=/etc/lab/ca.crt \
    --bind-address=127.0.0.1 --use-service-account-credentials=false";

const SCHEDULER: &str =
    "--kubeconfig=/etc/lab/administrator.kubeconfig --leader-elect=false --bind-address=127.0.0.1";

/// At level 4 it names each call to a driver with its paths.
const KUBELET_ARGUMENTS: &str =
    "--config=/etc/lab/kubelet.yaml --kubeconfig=/etc/lab/kubelet.kubeconfig --v=4";

const KUBELET: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 10Mi}
runtimeRequestTimeout: 10m
makeIPTablesUtilChains: false
serializeImagePulls: false
resolvConf: /etc/resolv.conf
volumeStatsAggPeriod: 20s
featureGates: {CSIVolumeHealth: true}
";

/// What is asked of the API server by the accounts of pods, of nobody else.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: [\"system:serviceaccounts\"]
  - level: None
";

/// The network of pods, by the plugin that this program is, too.
const NETWORK: &str = r#"{"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "lab"}]}
"#;

/// containerd's file: for the guest, or for the host that fills its store, which runs nothing.
pub(crate) fn containerd_config(runs_pods: bool) -> String {
    let mut text = String::from("version = 3\n");
    if !runs_pods {
        let plugins = ["images", "runtime"].map(|name| format!("\"io.containerd.cri.v1.{name}\""));
        text.push_str(&format!(
            "disabled_plugins = [{}, \"io.containerd.grpc.v1.cri\"]\n",
            plugins.join(", ")
        ));
        return text;
    }
    text.push_str(&format!("[grpc]\naddress = \"{CONTAINERD_SOCKET}\"\n"));
    text.push_str(&format!(
        "[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"{POD_IMAGE}\"\n"
    ));
    text.push_str(CONTAINERD_RUNTIME);
    text
}

const CONTAINERD_RUNTIME: &str = "\
[plugins.\"io.containerd.cri.v1.runtime\"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins.\"io.containerd.cri.v1.runtime\".cni]
bin_dirs = [\"/opt/cni/bin\"]
conf_dir = \"/etc/cni/net.d\"
use_internal_loopback = true
[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc]
runtime_type = \"io.containerd.runc.v2\"
[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]
SystemdCgroup = false
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_have_uuids_of_their_own() {
        let (one, other) = (uuid("data"), uuid("block"));
        assert!(one != other && one.len() == 36, "{one} {other}");
    }
}
