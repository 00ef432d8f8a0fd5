//! kill -9 between any two side effects of a call. strace attaches to the one thread that works on
//! calls: a clean run lists what the thread does to the machine, and each of it is replayed with a
//! kill in its place. The product carries no hook for it.
//!
//! The kill comes before the call is carried out, so it shows what all earlier ones left. Opening a
//! file is no step of its own: what it creates is there when the next step is killed.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::case::{Case, Need};
use crate::plugin::{Plugin, Use, Volume, is_mounted, remembered};
use crate::scene::{Scene, controllers, eventually};

pub(super) const CASES: &[Case] = &[
    Case::new("a_stage_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), STAGE);
    }),
    Case::new("a_publish_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), PUBLISH);
    }),
    Case::new("an_unpublish_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), UNPUBLISH);
    }),
    // These take long.
    Case::new("an_unstage_may_be_killed_at_any_step", || {
        survives(Use::Filesystem("ext4"), UNSTAGE);
    })
    .needs(Need::Faults),
    Case::new(
        "a_stage_of_a_block_volume_may_be_killed_at_any_step",
        || {
            survives(Use::Block, STAGE);
        },
    )
    .needs(Need::Faults),
    Case::new(
        "publications_of_a_block_volume_may_be_killed_at_any_step",
        || {
            survives(Use::Block, PUBLISH);
            crate::guest::clean_up().expect("a clean machine");
            survives(Use::Block, UNPUBLISH);
        },
    ),
    Case::new(
        "an_unstage_of_a_block_volume_may_be_killed_at_any_step",
        || {
            survives(Use::Block, UNSTAGE);
        },
    )
    .needs(Need::Faults),
];

const TRACE: &str = "/tmp/trace";
/// What may change the machine.
const CALLS: &str = "mount,umount2,move_mount,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,write,ioctl,clone3,clone,vfork";
/// Of the ioctls, those that only ask.
const ASKS: [&str; 4] = ["DM_TABLE_STATUS", "BLKGETSIZE", "BLKSSZGET", "TCGETS"];

/// How often a step is looked for.
const REACHES: usize = 4;

type Call = fn(&Plugin, &Volume) -> Result<(), tonic::Status>;

/// A call of the life of a volume, and those that lead to the state before it and away from that
/// behind it.
#[derive(Clone, Copy)]
struct Step {
    before: &'static [Call],
    call: Call,
    /// Back to the state before the call.
    back: &'static [Call],
    after: &'static [Call],
}

const STAGE: Step = Step {
    before: &[],
    call: Plugin::stage,
    back: &[Plugin::unstage],
    after: &[],
};
const PUBLISH: Step = Step {
    before: &[Plugin::stage],
    call: Plugin::publish,
    back: &[Plugin::unpublish],
    after: &[Plugin::unstage],
};
const UNPUBLISH: Step = Step {
    before: &[Plugin::stage, Plugin::publish],
    call: Plugin::unpublish,
    back: &[Plugin::publish],
    after: &[Plugin::unpublish, Plugin::unstage],
};
const UNSTAGE: Step = Step {
    before: &[Plugin::stage],
    call: Plugin::unstage,
    back: &[Plugin::stage],
    after: &[Plugin::unstage],
};

/// A side effect: the n-th of the calls of this name.
#[derive(Debug)]
struct Effect {
    name: String,
    number: usize,
    line: String,
}

fn start() -> Plugin {
    Plugin::start_with(&["--blocking-threads", "1"])
}

fn survives(usage: Use, step: Step) {
    let scene = Scene::new();
    scene.volume();
    let volume = Volume::new(usage);
    let mut plugin = start();
    all(&plugin, &volume, step.before);
    // Directories that are made once and stay are no part of what is repeated.
    (step.call)(&plugin, &volume).expect("the first run");
    all(&plugin, &volume, step.back);
    let effects = trace(&plugin, || (step.call)(&plugin, &volume));
    assert!(effects.len() >= 3, "{effects:?}");
    all(&plugin, &volume, step.back);
    for effect in &effects {
        // The kernel may have done a step of the clean run by itself this time (an entry of a dead
        // controller that needs no removal): then the call ends, and is tried again.
        let killed = (0..REACHES).any(|_| {
            let killed = kill_at(&plugin, effect, || (step.call)(&plugin, &volume));
            if !killed {
                all(&plugin, &volume, step.back);
            }
            killed
        });
        assert!(killed, "never reached: {}", effect.line);
        plugin.wait_killed();
        plugin = start();
        if let Err(error) = (step.call)(&plugin, &volume) {
            panic!("killed at {}: {error}", effect.line);
        }
        all(&plugin, &volume, step.back);
    }
    all(&plugin, &volume, step.after);
    assert!(!is_mounted(&volume.staging()));
    assert_eq!(controllers(), Vec::<String>::new());
    assert_eq!(remembered(), Vec::<String>::new());
    eprintln!("killed at each of {} steps", effects.len());
}

fn all(plugin: &Plugin, volume: &Volume, calls: &[Call]) {
    for call in calls {
        call(plugin, volume).expect("a call that is not disturbed");
    }
}

/// The thread that works on calls.
fn worker(plugin: &Plugin) -> u32 {
    let tasks = format!("/proc/{}/task", plugin.id());
    let tasks = fs::read_dir(tasks).expect("it runs");
    let mut ids = tasks.map(|task| task.expect("an entry").file_name());
    let id = ids.find(|id| {
        let comm = format!("/proc/{}/comm", id.to_string_lossy());
        fs::read_to_string(comm).is_ok_and(|comm| comm == "call-0\n")
    });
    let id = id.expect("a thread for calls");
    id.to_string_lossy().parse().expect("a number")
}

/// strace attached to one thread, and no other.
fn attach(thread: u32, expressions: &[&str]) -> Child {
    let mut command = Command::new("/usr/bin/strace");
    command.args([
        "-qq",
        "-y",
        "-s",
        "0",
        "-o",
        TRACE,
        "-p",
        &thread.to_string(),
    ]);
    for expression in expressions {
        command.args(["-e", expression]);
    }
    let strace = command.stdin(Stdio::null()).spawn().expect("strace starts");
    eventually("strace to attach", || {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).expect("it runs");
        let tracer = format!("TracerPid:\t{}\n", strace.id());
        status.contains(&tracer).then_some(())
    });
    strace
}

/// What a call does to the machine.
fn trace(plugin: &Plugin, call: impl FnOnce() -> Result<(), tonic::Status>) -> Vec<Effect> {
    let mut strace = attach(worker(plugin), &[&format!("trace={CALLS}")]);
    call().expect("the clean run");
    detach(&strace);
    strace.wait().expect("it ends");
    let trace = fs::read_to_string(TRACE).expect("the trace");
    let mut effects: Vec<Effect> = Vec::new();
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
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
fn kill_at(
    plugin: &Plugin,
    effect: &Effect,
    call: impl FnOnce() -> Result<(), tonic::Status>,
) -> bool {
    let inject = format!("inject={}:signal=KILL:when={}", effect.name, effect.number);
    let trace = format!("trace={}", effect.name);
    let mut strace = attach(worker(plugin), &[&trace, &inject]);
    let killed = call().is_err();
    if !killed {
        detach(&strace);
    }
    strace.wait().expect("it ends");
    killed
}

/// Lets strace leave its thread and write everything.
fn detach(strace: &Child) {
    let id = i32::try_from(strace.id()).expect("a process id");
    let id = nix::unistd::Pid::from_raw(id);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("it runs");
}
