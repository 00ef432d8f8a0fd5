//! Signals: they end the dial at once and leave nothing; where the kernel cannot be interrupted,
//! the program says what it waits for.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::common::{captured, program, write};

const OTHER: &str = "nqn.2026-01.org.example:other";
const HOSTNQN: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// A port that answers nobody: its queue holds one connection, and that is taken.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _filler: TcpStream,
}

fn silent() -> Silent {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    let any = SockaddrIn::new(127, 0, 0, 1, 0);
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &any).expect("a free port");
    listen(&socket, Backlog::new(0).expect("none")).expect("a queue");
    let bound: SockaddrIn =
        getsockname(std::os::fd::AsRawFd::as_raw_fd(&socket)).expect("an address");
    let address = SocketAddr::from((bound.ip(), bound.port()));
    Silent {
        address,
        _listener: TcpListener::from(socket),
        _filler: TcpStream::connect(address).expect("room for one"),
    }
}

/// A connect to `nqn` as the host of the captured trees.
fn connect<'a>(transport: &'a str, nqn: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["connect", "--transport", transport, "--nqn", nqn];
    arguments.extend(["--hostnqn", HOSTNQN, "--hostid", HOSTID]);
    arguments.extend(more);
    arguments
}

/// A connect to a port of this machine that answers nobody.
fn dial<'a>(port: &'a str, timeout: &'a str) -> Vec<&'a str> {
    let address = ["--traddr", "127.0.0.1", "--trsvcid", port];
    let more = [&address[..], &["--dial-timeout", timeout]].concat();
    connect("tcp", OTHER, &more)
}

/// Starts the program and returns when it says the word of its verb.
fn start(
    root: &Path,
    arguments: &[&str],
    word: &str,
) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut all = vec!["-v"];
    all.extend(arguments);
    let mut child = program(root, &all).spawn().expect("it starts");
    let mut errors = BufReader::new(child.stderr.take().expect("piped"));
    wait_for(&mut errors, word);
    (child, errors)
}

/// Reads lines until one contains `word`.
fn wait_for(lines: &mut BufReader<std::process::ChildStderr>, word: &str) {
    let mut all = String::new();
    while lines.read_line(&mut all).expect("text") > 0 {
        if all.contains(word) {
            return;
        }
    }
    panic!("{word:?} is not said: {all}");
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).expect("a pid");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

#[test]
fn a_signal_ends_the_dial_and_leaves_nothing() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let root = captured("trixie-one-path");
        write(root.path(), "dev/nvme-fabrics", "");
        let portal = silent();
        let port = portal.address.port().to_string();
        let (mut child, mut errors) = start(root.path(), &dial(&port, "60"), "connecting");
        send(&child, signal);
        let sent = Instant::now();
        let status = child.wait().expect("it ends");
        assert!(
            sent.elapsed() < Duration::from_secs(1),
            "{:?}",
            sent.elapsed()
        );
        assert_eq!(status.code(), Some(1));
        let mut rest = String::new();
        errors.read_to_string(&mut rest).expect("text");
        assert!(
            rest.contains(&format!("interrupted by {signal}: nothing was connected")),
            "{rest}"
        );
        let written = fs::read_to_string(root.path().join("dev/nvme-fabrics")).expect("a file");
        assert_eq!(written, "");
    }
}

#[test]
fn a_signal_during_the_wait_says_what_stays() {
    let root = captured("trixie-connecting");
    let more = ["--traddr", "10.0.0.2", "--wait"];
    let arguments = connect("tcp", "nqn.2026-01.org.example:volume-1", &more);
    let (mut child, mut errors) = start(root.path(), &arguments, "connecting");
    send(&child, Signal::SIGTERM);
    let sent = Instant::now();
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert!(
        sent.elapsed() < Duration::from_secs(2),
        "{:?}",
        sent.elapsed()
    );
    wait_for(&mut errors, "nvme0 is connected by now: it stays");
}

#[test]
fn a_silent_portal_times_out_after_the_time_given() {
    let root = captured("trixie-one-path");
    let portal = silent();
    let port = portal.address.port().to_string();
    let begun = Instant::now();
    crate::common::run(root.path(), &dial(&port, "1"))
        .expect(4)
        .says(&["did not answer within 1s", &port]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

/// A FIFO in place of the device: reading it blocks, and the read is taken up again after every
/// signal, as the kernel's own waits are.
#[test]
fn what_cannot_be_interrupted_is_named_and_a_second_signal_ends_it() {
    let root = captured("trixie-one-path");
    fs::create_dir(root.path().join("dev")).expect("directory");
    mkfifo(&root.path().join("dev/nvme-fabrics"), Mode::S_IRWXU).expect("a FIFO");
    let arguments = connect("loop", OTHER, &[]);
    let (mut child, mut errors) = start(root.path(), &arguments, "connecting");
    send(&child, Signal::SIGTERM);
    wait_for(&mut errors, &format!("the kernel is connecting {OTHER}"));
    assert_eq!(child.try_wait().expect("it runs"), None);
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    wait_for(&mut errors, "ended by a second SIGINT");
}

/// A plain file takes the order, and the controller of a captured tree never goes.
#[test]
fn a_signal_ends_the_wait_for_a_controller_that_does_not_go() {
    let root = captured("trixie-one-path");
    let arguments = ["disconnect", "--controller", "nvme0", "--force"];
    let (mut child, mut errors) = start(root.path(), &arguments, "disconnecting");
    send(&child, Signal::SIGTERM);
    let sent = Instant::now();
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert!(
        sent.elapsed() < Duration::from_secs(2),
        "{:?}",
        sent.elapsed()
    );
    let mut rest = String::new();
    errors.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("interrupted by SIGTERM"), "{rest}");
    assert!(!rest.contains("cannot be interrupted"), "{rest}");
}
