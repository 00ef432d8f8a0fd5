//! What the node plugin costs a node: memory while nothing happens, and the time from its start to its first answer.
//!
//! The program as released runs on a synthetic sysfs tree of 64 connected volumes. It stages each by a real call, which finds
//! its controller connected; then it is killed and started again, several times, and asked all that kubelet asks.
//!
//! Wanted: with 64 staged volumes at most 10 MiB of resident memory, and an answer to Probe within 100 ms of the start. Where
//! either does not hold, the exit code is 1.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark of a program starts it"
)]
#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::env;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use memory::Memory;
use node_machine::NodeMachine;
use running::Running;
use times::Times;

#[path = "../common/kubelet.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod kubelet;
mod memory;
mod node_machine;
mod running;
#[expect(dead_code, reason = "shared with benchmarks that use all of it")]
mod synthetic;
#[expect(dead_code, reason = "shared with benchmarks that use all of it")]
mod times;

const VOLUMES: u32 = 64;
const STARTS: usize = 9;
/// As many times kubelet asks about each volume; it does so once a minute.
const ROUNDS: usize = 10;
const MEMORY_LIMIT: u64 = 10 << 20;
const TIME_LIMIT: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    // `cargo test --benches` leaves this word out: there is nothing to test here.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(Verdict::Holds) => ExitCode::SUCCESS,
        Ok(Verdict::Missed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Verdict, Box<dyn Error>> {
    let machine = NodeMachine::new(VOLUMES)?;
    let running = Running::start(&machine)?;
    running.stage_all(&machine)?;
    let after_staging = running.memory()?;
    drop(running);

    let mut times = Times::default();
    let mut memories = Vec::new();
    for _ in 0..STARTS {
        let running = Running::start(&machine)?;
        times.add(running.answered_after);
        for _ in 0..ROUNDS {
            running.ask_about_all(&machine)?;
        }
        memories.push(running.memory()?);
    }
    println!("nvmeof-csi node with {VOLUMES} staged volumes, {STARTS} starts");
    let largest = memories.iter().max_by_key(|memory| memory.resident);
    let verdicts = [
        print_time(&times),
        print_memory("idle", *largest.ok_or("it was never started")?),
        print_memory("after staging", after_staging),
    ];
    Ok(match verdicts.contains(&Verdict::Missed) {
        true => Verdict::Missed,
        false => Verdict::Holds,
    })
}

/// Whether what is wanted holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Missed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Holds => "holds",
            Verdict::Missed => "DOES NOT HOLD",
        })
    }
}

fn print_time(times: &Times) -> Verdict {
    let verdict = verdict(times.median().is_some_and(|median| median <= TIME_LIMIT));
    println!(
        "start to answer of Probe: fastest / median {times}; wanted: {} ms or less: {verdict}",
        TIME_LIMIT.as_millis()
    );
    verdict
}

fn print_memory(when: &str, memory: Memory) -> Verdict {
    let verdict = verdict(memory.resident <= MEMORY_LIMIT);
    println!(
        "resident memory {when}: {memory}; wanted: {} MiB or less: {verdict}",
        MEMORY_LIMIT >> 20
    );
    verdict
}

fn verdict(holds: bool) -> Verdict {
    match holds {
        true => Verdict::Holds,
        false => Verdict::Missed,
    }
}
