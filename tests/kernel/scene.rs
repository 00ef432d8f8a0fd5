//! The stage of a case: a target behind cables that can be pulled, and the program under test.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use kernel_lab::guest::net;
use kernel_lab::guest::net::NetworkNamespace;
use kernel_lab::guest::nvmet::{self, Port, Subsystem};
use kernel_lab::peers::Peer;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::chroot;

/// Every link that a case may make on the host's side.
pub(crate) const LINKS: [&str; 3] = ["v0", "v1", "silent0"];
/// Longer than anything that ends at all takes on the slowest emulated machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a namespace that every filesystem fits on.
pub(crate) const BIG: u64 = 320 << 20;
/// Where the host packs programs to compare with.
pub(crate) const PEERS: &str = "/peers";

pub(crate) const NQN: &str = "nqn.2026-01.org.example:volume-1";
pub(crate) const UUID: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const OTHER_UUID: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const HOSTNQN: &str =
    "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
pub(crate) const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
/// An address that routes into a link from which nothing ever comes back.
pub(crate) const SILENT: &str = "10.9.0.2";

/// A target in a network of its own, joined to the host by cable `v0`.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) far: NetworkNamespace,
}

impl Scene {
    /// The network, and this host's identity in `/etc/nvme`; no target yet.
    pub(crate) fn new() -> Self {
        fs::create_dir_all("/etc/nvme").expect("/etc is writable");
        fs::write("/etc/nvme/hostnqn", format!("{HOSTNQN}\n")).expect("/etc/nvme is writable");
        fs::write("/etc/nvme/hostid", format!("{HOSTID}\n")).expect("/etc/nvme is writable");
        let scene = Self {
            far: NetworkNamespace::new().expect("a network namespace"),
        };
        scene.add_cable(0);
        scene
    }

    /// Cable `v<n>`: the host is 10.0.n.1 and fd00:n::1, the target's end is `.2`.
    pub(crate) fn add_cable(&self, number: u8) {
        let (near, far) = (format!("v{number}"), format!("t{number}"));
        net::add_veth(&near, &far, &self.far).expect("a veth pair");
        address_and_up(&near, number, 1);
        self.far
            .run(|| {
                address_and_up(&far, number, 2);
                Ok(())
            })
            .expect("the far end comes up");
    }

    /// The address [`SILENT`] becomes routable.
    pub(crate) fn add_silent_address(&self) {
        net::add_dummy("silent0").expect("a dummy link");
        net::add_address("silent0", "10.9.0.1".parse().expect("an address"), 24)
            .expect("an address");
        net::set_up("silent0").expect("the link comes up");
    }

    /// A subsystem with one namespace of 64 MiB on the first cable, port 4420.
    pub(crate) fn volume(&self) -> (Subsystem, Port) {
        let subsystem = subsystem(NQN, &[(1, UUID)]);
        let port = self.listen(1, target(0), 4420, &[&subsystem]);
        (subsystem, port)
    }

    /// The same with a namespace of [`BIG`] bytes: XFS wants 300 MB.
    pub(crate) fn big_volume(&self) -> (Subsystem, Port) {
        let file = PathBuf::from(format!("/tmp/{UUID}.img"));
        nvmet::backing_file(&file, BIG).expect("a backing file");
        self.volume()
    }

    /// A TCP port in the target's network that exports these subsystems.
    pub(crate) fn listen(
        &self,
        number: u16,
        address: IpAddr,
        service: u16,
        exported: &[&Subsystem],
    ) -> Port {
        let port = Port::tcp(number, address, service).expect("a target port");
        self.far
            .run(|| {
                exported
                    .iter()
                    .try_for_each(|subsystem| port.export(subsystem))
            })
            .expect("the port listens");
        port
    }

    /// Exports again what was withdrawn, in the target's network.
    pub(crate) fn export(&self, port: &Port, subsystem: &Subsystem) {
        self.far
            .run(|| port.export(subsystem))
            .expect("the subsystem is exported");
    }
}

fn address_and_up(link: &str, network: u8, host: u8) {
    net::add_address(link, IpAddr::from([10, 0, network, host]), 24).expect("an IPv4 address");
    net::add_address(
        link,
        IpAddr::from([0xfd00, network.into(), 0, 0, 0, 0, 0, host.into()]),
        64,
    )
    .expect("an IPv6 address");
    net::set_up(link).expect("the link comes up");
}

/// The target's IPv4 address on a cable.
pub(crate) fn target(cable: u8) -> IpAddr {
    IpAddr::from([10, 0, cable, 2])
}

/// The target's IPv6 address on a cable.
pub(crate) fn target_v6(cable: u8) -> IpAddr {
    IpAddr::from([0xfd00, cable.into(), 0, 0, 0, 0, 0, 2])
}

/// A subsystem with these namespaces, each on a file of its own.
pub(crate) fn subsystem(nqn: &str, namespaces: &[(u32, &str)]) -> Subsystem {
    let subsystem = Subsystem::create(nqn).expect("a subsystem");
    for (nsid, uuid) in namespaces {
        add_namespace(&subsystem, *nsid, uuid);
    }
    subsystem
}

/// One more namespace of 64 MiB, on a file named after its UUID.
pub(crate) fn add_namespace(subsystem: &Subsystem, nsid: u32, uuid: &str) -> PathBuf {
    let file = PathBuf::from(format!("/tmp/{uuid}.img"));
    if !file.exists() {
        nvmet::backing_file(&file, 64 << 20).expect("a backing file");
    }
    subsystem
        .add_namespace(nsid, &file, uuid)
        .expect("a namespace");
    file
}

/// A finished run of the program.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Run {
    /// Fails the case unless the program ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code; stdout:\n{}\nstderr:\n{}",
            self.out,
            self.err
        );
        self
    }

    /// Fails the case unless the log or the error names each of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.err.contains(word),
                "stderr does not say {word:?}:\n{}",
                self.err
            );
        }
        self
    }

    /// The output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("stdout is no JSON ({error}):\n{}", self.out))
    }
}

/// The program, ready to run with these arguments.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/nvmeof-csi");
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts the program and leaves it running.
pub(crate) fn start(arguments: &[&str]) -> Child {
    program(arguments).spawn().expect("the program starts")
}

/// Waits for a program started earlier.
pub(crate) fn finish(child: Child, started: Instant) -> Run {
    let output = child.wait_with_output().expect("the program ends");
    Run {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: started.elapsed(),
    }
}

/// Runs the program to its end.
pub(crate) fn cli(arguments: &[&str]) -> Run {
    let started = Instant::now();
    finish(start(arguments), started)
}

/// Runs nvme-cli, the yardstick, and gives what it prints.
pub(crate) fn nvme_cli(arguments: &[&str]) -> String {
    let mut peer = Peer::nvme_cli_below(Path::new(PEERS)).command();
    let output = peer.args(arguments).output().expect("nvme-cli runs");
    assert!(
        output.status.success(),
        "nvme-cli: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("nvme-cli prints text")
}

/// Runs a program with another root directory, inherited from a thread that changed its own.
pub(crate) fn in_root(root: &str, path: &str, arguments: &[&str]) -> ExitStatus {
    let run = || {
        unshare(CloneFlags::CLONE_FS)?;
        chroot(root)?;
        std::env::set_current_dir("/")?;
        Command::new(path).args(arguments).env_clear().status()
    };
    thread::scope(|scope| scope.spawn(run).join())
        .expect("no panic")
        .expect("the program starts")
}

/// `connect` over TCP to this address, with more options behind.
pub(crate) fn connect_to(address: IpAddr, service: u16, more: &[&str]) -> Run {
    let (address, service) = (address.to_string(), service.to_string());
    let mut arguments = vec![
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        &address,
        "--trsvcid",
        &service,
        "--nqn",
        NQN,
    ];
    arguments.extend(more);
    cli(&arguments)
}

/// `connect` to the volume on the first cable.
pub(crate) fn connect(more: &[&str]) -> Run {
    connect_to(target(0), 4420, more)
}

/// Polls until `check` gives a value; fails the case, naming the wish, when it does not in time.
#[track_caller]
pub(crate) fn eventually<T>(wish: &str, check: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, wish, check)
}

/// The same with another patience.
#[track_caller]
pub(crate) fn within<T>(patience: Duration, wish: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        let waited = begun.elapsed();
        assert!(waited < patience, "waited {patience:?} for {wish}");
        // What takes long is asked about more seldom: each look costs an emulated machine time.
        thread::sleep((waited / 50).clamp(Duration::from_millis(20), Duration::from_millis(200)));
    }
}

/// The names of the fabrics controllers that the kernel has now.
pub(crate) fn controllers() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir("/sys/class/nvme")
        .expect("the class directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| attribute(name, "transport").is_some_and(|transport| transport != "pcie"))
        .collect();
    names.sort();
    names
}

/// An attribute of a controller, read straight from sysfs; `None` when the controller is gone.
pub(crate) fn attribute(controller: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new("/sys/class/nvme").join(controller).join(name)).ok()?;
    Some(text.trim().to_owned())
}

/// Waits until a controller is in a state.
#[track_caller]
pub(crate) fn wait_state(controller: &str, state: &str) {
    eventually(&format!("{controller} to be {state}"), || {
        attribute(controller, "state").filter(|now| now == state)
    });
}

/// The kernel's log, oldest first, without the record headers.
pub(crate) fn kernel_log() -> io::Result<Vec<String>> {
    let records = kernel_records()?.into_iter();
    Ok(records.map(|(_, line)| line).collect())
}

/// The kernel's log, oldest first, each line with its time since the machine started.
pub(crate) fn kernel_records() -> io::Result<Vec<(Duration, String)>> {
    let mut log = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")?;
    let mut lines = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                let (header, message) = text.split_once(';').unwrap_or(("", &text));
                // Priority, number and microseconds (Documentation/ABI/testing/dev-kmsg).
                let time = header.split(',').nth(2).and_then(|time| time.parse().ok());
                let time = Duration::from_micros(time.unwrap_or_default());
                let line = message.lines().next().unwrap_or_default();
                lines.push((time, line.to_owned()));
            }
            // EAGAIN: the end; EPIPE: records were overwritten while we read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lines),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
}
