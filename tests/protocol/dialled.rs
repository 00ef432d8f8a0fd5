//! A plugin that is dialled by kubelet's own gRPC.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use tempfile::TempDir;

const IDENTITY: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const BOOT: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb\n";

/// The program on a machine without devices, ended with the test.
struct Plugin {
    root: TempDir,
    admin: SocketAddr,
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Plugin {
    /// Starts it and waits until it listens.
    fn start() -> Plugin {
        let root = tempfile::tempdir().expect("temporary directory");
        fs::create_dir_all(root.path().join("sys/class")).expect("a directory");
        fs::create_dir_all(root.path().join("sys/module/nvme_fabrics")).expect("a directory");
        for (path, text) in [
            ("etc/nvme/hostnqn", IDENTITY),
            ("dev/nvme-fabrics", ""),
            ("proc/sys/kernel/random/boot_id", BOOT),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("one")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let admin = listener.local_addr().expect("an address");
        drop(listener);
        let mut child = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"))
            .arg("--root")
            .arg(root.path())
            .args(["-v", "node", "--node-id", "worker-1"])
            .args(["--driver-name", "test.csi", "--kubelet-dir"])
            .arg(root.path())
            .args(["--admin-address", &admin.to_string()])
            .env_remove("NVMEOF_ROOT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut plugin = Plugin {
            root,
            admin,
            child,
            log,
        };
        plugin.wait_for("listening for probes");
        plugin
    }

    /// Reads the log up to the line that says `words`, and returns it.
    fn wait_for(&mut self, words: &str) -> String {
        let mut read = String::new();
        while !read.contains(words) {
            let length = self.log.read_line(&mut read).expect("text");
            assert!(length > 0, "{words:?} was never said: {read}");
        }
        read
    }

    fn registration(&self) -> PathBuf {
        self.root.path().join("plugins_registry/test.csi-reg.sock")
    }

    fn csi(&self) -> PathBuf {
        self.root.path().join("plugins/test.csi/csi.sock")
    }

    fn ready(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("it listens");
        stream
            .write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    }
}

/// What the client prints; it fails with the client.
fn run(client: &Path, verb: &str, socket: &Path, rest: &[&str]) -> String {
    let output = Command::new(client)
        .arg(verb)
        .arg(socket)
        .args(rest)
        .output()
        .expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn kubelets_plugin_manager_finds_the_plugin_and_its_csi_client_reaches_the_node(
    client: &Path,
) {
    let mut plugin = Plugin::start();
    let ready = plugin.ready();
    assert!(
        ready.contains("kubelet has not registered this plugin yet"),
        "{ready}"
    );
    let told = run(client, "register", &plugin.registration(), &[]);
    let wanted = format!(
        "type: CSIPlugin\nname: test.csi\nendpoint: {}\nversions: 1.0.0\nnode: worker-1/{IDENTITY}\n",
        plugin.csi().display()
    );
    assert_eq!(told, wanted);
    plugin.wait_for("registered with kubelet");
    let ready = plugin.ready();
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
}

pub(crate) fn a_refusal_by_kubelet_stands_in_ready(client: &Path) {
    let mut plugin = Plugin::start();
    for _ in 0..2 {
        run(client, "refuse", &plugin.registration(), &["too old"]);
    }
    let ready = plugin.ready();
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(
        ready.contains("registration: kubelet refused this plugin: too old"),
        "{ready}"
    );
    run(client, "register", &plugin.registration(), &[]);
    assert!(plugin.ready().starts_with("HTTP/1.1 200 "));
    let log = plugin.wait_for("registered with kubelet");
    assert_eq!(
        log.matches("kubelet refused this plugin").count(),
        1,
        "{log}"
    );
}

pub(crate) fn hundreds_of_calls_with_headers_of_many_sizes_are_answered_on_one_connection(
    client: &Path,
) {
    let plugin = Plugin::start();
    let told = run(client, "call", &plugin.csi(), &["300"]);
    assert_eq!(told, "calls: 300\n");
}
