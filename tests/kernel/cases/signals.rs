//! Killed and interrupted in the middle of a connect.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::Case;
use crate::responder;
use crate::scene::{
    NQN, Run, SILENT, Scene, connect_to, controllers, eventually, finish, program, start, target,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "sigterm_during_the_dial_ends_at_once_and_leaves_nothing",
        during_dial,
    ),
    Case::new(
        "sigterm_during_the_kernels_tcp_connect_ends_at_once_and_leaves_nothing",
        during_kernel_connect,
    ),
    Case::new(
        "sigterm_in_an_uninterruptible_wait_says_what_it_waits_for",
        uninterruptible,
    ),
    Case::new(
        "sigterm_too_late_leaves_a_controller_that_the_next_connect_adopts",
        too_late,
    ),
    Case::new(
        "kill_9_during_connect_leaves_nothing_that_cannot_be_adopted",
        kill_nine,
    )
    .in_real_time(),
];

/// "Within a second" on a real machine; an emulated one gets a wide bound.
const AT_ONCE: Duration = Duration::from_secs(10);

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).expect("a process number");
    kill(Pid::from_raw(pid), signal).expect("the program still runs");
}

fn connect_arguments<'a>(address: &'a str, service: &'a str) -> [&'a str; 11] {
    [
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        address,
        "--trsvcid",
        service,
        "--nqn",
        NQN,
        "--dial-timeout",
        "120",
    ]
}

/// The state of each thread of a process, as `/proc/PID/task/TID/stat` shows it, with what it waits in.
fn waits_in(child: &Child, word: &str) -> bool {
    let tasks = format!("/proc/{}/task", child.id());
    let Ok(tasks) = std::fs::read_dir(tasks) else {
        return false;
    };
    tasks.flatten().any(|task| {
        std::fs::read_to_string(task.path().join("stack")).is_ok_and(|stack| stack.contains(word))
    })
}

fn during_dial() {
    let scene = Scene::new();
    scene.add_silent_address();
    let begun = Instant::now();
    let child = start(&connect_arguments(SILENT, "4420"));
    eventually("the dial", || waits_in(&child, "poll").then_some(()));
    let sent = Instant::now();
    signal(&child, Signal::SIGTERM);
    finish(child, begun).expect(1).says(&["SIGTERM"]);
    assert!(sent.elapsed() < AT_ONCE, "{:?}", sent.elapsed());
    assert_eq!(controllers(), Vec::<String>::new());
}

fn during_kernel_connect() {
    let scene = Scene::new();
    // The kernel's own SYN is dropped: the backlog has room for one connection, and the dial takes it.
    let _listener = responder::one_place(&scene, target(0), 4420);
    let begun = Instant::now();
    let address = target(0).to_string();
    let child = start(&connect_arguments(&address, "4420"));
    eventually("the kernel's connect", || {
        waits_in(&child, "inet_stream_connect").then_some(())
    });
    let sent = Instant::now();
    signal(&child, Signal::SIGTERM);
    finish(child, begun)
        .expect(1)
        .says(&["SIGTERM", "nothing was connected"]);
    assert!(sent.elapsed() < AT_ONCE, "{:?}", sent.elapsed());
    assert_eq!(controllers(), Vec::<String>::new());
}

/// The kernel waits in its Connect command of the admin queue, and is interrupted where it next can be.
fn uninterruptible() {
    let scene = Scene::new();
    scene.volume();
    let (run, said) = terminated_in_connect_of(&scene, 0);
    assert!(
        said.contains(NQN) && said.contains(&target(0).to_string()),
        "{said}"
    );
    run.expect(1);
    assert_eq!(controllers(), Vec::<String>::new());
    connect_to(target(0), 4430, &["--wait"]).expect(0);
}

/// Behind the Connect command of the only I/O queue there is no wait that a signal ends: the kernel finishes.
fn too_late() {
    let scene = Scene::new();
    scene.volume();
    let (run, _) = terminated_in_connect_of(&scene, 1);
    run.expect(1);
    let made = controllers();
    assert_eq!(made.len(), 1, "the kernel finished what it could not leave");
    let adopted = connect_to(target(0), 4430, &["--wait", "-o", "json"])
        .expect(0)
        .json();
    assert_eq!(adopted["result"], "adopted");
    assert_eq!(controllers(), made);
}

/// Runs a connect until the kernel waits for the answer to the Connect command of a queue, sends SIGTERM, and lets the
/// target answer once the program has said what it waits for.
fn terminated_in_connect_of(scene: &Scene, queue: u16) -> (Run, String) {
    let door = responder::pausing(
        scene,
        target(0),
        4430,
        SocketAddr::new(target(0), 4420),
        queue,
    );
    let begun = Instant::now();
    let address = target(0).to_string();
    let mut child = program(&connect_arguments(&address, "4430"))
        .args(["--nr-io-queues", "1"])
        .spawn()
        .expect("the program starts");
    door.wait_for_a_visitor();
    signal(&child, Signal::SIGTERM);
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut lines = stderr.lines().map_while(Result::ok);
    let said = lines
        .find(|line| line.contains("cannot be interrupted"))
        .expect("the program says that it waits");
    door.open();
    // Read on: the program has more to say, and a closed pipe is another case.
    let rest: Vec<String> = lines.collect();
    let mut run = finish(child, begun);
    run.err = rest.join("\n");
    (run, said)
}

/// Killed in the write: while the kernel waits for each Connect command, of the admin queue and of the I/O queue.
fn kill_nine() {
    let scene = Scene::new();
    scene.volume();
    let address = target(0).to_string();
    for (queue, service) in [(0, 4430), (1, 4431)] {
        let door = responder::pausing(
            &scene,
            target(0),
            service,
            SocketAddr::new(target(0), 4420),
            queue,
        );
        let begun = Instant::now();
        let child = program(&connect_arguments(&address, &service.to_string()))
            .args(["--nr-io-queues", "1"])
            .spawn();
        let child = child.expect("the program starts");
        door.wait_for_a_visitor();
        signal(&child, Signal::SIGKILL);
        door.open();
        finish(child, begun);
        connect_to(target(0), service, &["--wait"]).expect(0);
        assert_eq!(
            controllers().len(),
            1,
            "killed in the Connect command of queue {queue}"
        );
        crate::scene::cli(&["disconnect", "--nqn", NQN]).expect(0);
    }
}
