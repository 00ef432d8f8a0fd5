//! strace on the plugin: it lists what threads do to the machine, and holds them back or kills them there. The
//! product carries no hook for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::plugin::Plugin;
use crate::scene::eventually;

/// What strace has seen.
pub(crate) const TRACE: &str = "/tmp/trace";
/// What may change the machine.
const CALLS: &str = "mount,umount2,move_mount,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,write,ioctl,clone3,clone,vfork";
/// Of the ioctls, those that only ask.
const ASKS: [&str; 4] = ["DM_TABLE_STATUS", "BLKGETSIZE", "BLKSSZGET", "TCGETS"];

/// A side effect: the n-th of the calls of this name.
#[derive(Debug)]
pub(crate) struct Effect {
    pub(crate) name: String,
    number: usize,
    pub(crate) line: String,
}

/// The thread that works on calls, where there is one.
fn worker(plugin: &Plugin) -> u32 {
    let workers = threads(plugin, "call-");
    assert_eq!(workers.len(), 1, "one thread for calls");
    workers[0]
}

/// The threads whose names begin so.
pub(crate) fn threads(plugin: &Plugin, name: &str) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", plugin.id())).expect("it runs");
    let ids = tasks.map(|task| {
        let id = task.expect("an entry").file_name();
        id.to_string_lossy().parse().expect("a number")
    });
    let is_named = |id: &u32| {
        let comm = format!("/proc/{}/task/{id}/comm", plugin.id());
        fs::read_to_string(comm).is_ok_and(|comm| comm.starts_with(name))
    };
    ids.filter(is_named).collect()
}

/// strace attached to these threads, and no other.
pub(crate) fn attach(threads: &[u32], expressions: &[&str]) -> Child {
    let mut command = command();
    command.args(["-y", "-s", "0"]);
    for thread in threads {
        command.args(["-p", &thread.to_string()]);
    }
    for expression in expressions {
        command.args(["-e", expression]);
    }
    begin(&mut command, || threads.to_vec())
}

/// strace attached to the whole plugin and what it starts, to inject this into one of its calls. `more` chooses
/// among those.
pub(crate) fn hold_back(plugin: &Plugin, inject: &str, more: &[&str]) -> Child {
    let (call, _) = inject.split_once(':').expect("a system call");
    let mut command = command();
    command
        .args(["-f", "-p", &plugin.id().to_string()])
        .args(["-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={inject}")])
        .args(more);
    begin(&mut command, || threads(plugin, ""))
}

fn command() -> Command {
    // What an earlier one has seen must not be taken for what this one sees.
    if Path::new(TRACE).exists() {
        fs::remove_file(TRACE).expect("the trace goes");
    }
    let mut command = Command::new("/usr/bin/strace");
    command.args(["-qq", "-o", TRACE]).stdin(Stdio::null());
    command
}

/// Starts strace, and waits until it has all threads.
fn begin(command: &mut Command, threads: impl Fn() -> Vec<u32>) -> Child {
    let strace = command.spawn().expect("strace starts");
    let tracer = format!("TracerPid:\t{}\n", strace.id());
    eventually("strace to attach", || {
        let is_traced = |thread: &u32| {
            let status = fs::read_to_string(format!("/proc/{thread}/status"));
            status.is_ok_and(|status| status.contains(&tracer))
        };
        threads().iter().all(is_traced).then_some(())
    });
    strace
}

/// Waits until a call whose line begins or goes on so was entered.
pub(crate) fn reached(words: &str) {
    eventually(&format!("{words} in the trace"), || {
        let trace = fs::read_to_string(TRACE).unwrap_or_default();
        trace.contains(words).then_some(())
    });
}

/// What a call does to the machine.
pub(crate) fn trace(
    plugin: &Plugin,
    call: impl FnOnce() -> Result<(), tonic::Status>,
) -> Vec<Effect> {
    let mut strace = attach(&[worker(plugin)], &[&format!("trace={CALLS}")]);
    call().expect("the clean run");
    detach(&strace);
    strace.wait().expect("it ends");
    let trace = fs::read_to_string(TRACE).expect("the trace");
    let mut effects: Vec<Effect> = Vec::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let number = counts.entry(name.to_owned()).or_default();
        *number += 1;
        if is_effect(name, line) {
            effects.push(Effect {
                name: name.to_owned(),
                number: *number,
                line: line.to_owned(),
            });
        }
    }
    effects
}

/// Whether something of the machine is changed: no question, no wake-up of another thread, no log.
fn is_effect(name: &str, line: &str) -> bool {
    match name {
        "ioctl" => !ASKS.iter().any(|ask| line.contains(ask)),
        // What is written to a file that has its name only after a rename is seen by nobody before.
        "write" => line.contains("</dev/nvme-fabrics") || line.contains("</sys/"),
        _ => true,
    }
}

/// Whether the call was killed at this step; if it was not, it has succeeded.
pub(crate) fn kill_at(
    plugin: &Plugin,
    effect: &Effect,
    call: impl FnOnce() -> Result<(), tonic::Status>,
) -> bool {
    let inject = format!("inject={}:signal=KILL:when={}", effect.name, effect.number);
    let trace = format!("trace={}", effect.name);
    let mut strace = attach(&[worker(plugin)], &[&trace, &inject]);
    let killed = call().is_err();
    if !killed {
        detach(&strace);
    }
    strace.wait().expect("it ends");
    killed
}

/// Lets strace leave its thread and write everything.
pub(crate) fn detach(strace: &Child) {
    let id = i32::try_from(strace.id()).expect("a process id");
    let id = nix::unistd::Pid::from_raw(id);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("it runs");
}
