//! How soon the node plugin has taken note of paths that return: from the kernel's event to the last entry in the books.
//!
//! 64 volumes are staged by the program as released, on a synthetic sysfs tree. The watch, the keeper and the metrics of the
//! same build then keep them, and the uevents that a real kernel once sent at a reconnect are repeated to the watch, while
//! the tree shows what sysfs shows then. The books are done when no volume counts as held any more and the outage of each is
//! counted; a survey then tells that nothing is wrong with any of them.
//!
//! Wanted: at most 50 ms, whether one controller is connected again or all of them are. Maps are not part of it: a
//! device-mapper cannot be had below a directory.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark of a program starts it"
)]
#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use books::Books;
use node_machine::NodeMachine;
use running::Running;
use stream::Stream;
use times::Times;

mod books;
#[path = "../common/kubelet.rs"]
#[expect(dead_code, reason = "shared with tests that use all of it")]
mod kubelet;
mod memory;
mod node_machine;
#[expect(dead_code, reason = "shared with benchmarks that use all of it")]
mod running;
mod stream;
#[expect(dead_code, reason = "shared with benchmarks that use all of it")]
mod synthetic;
#[expect(dead_code, reason = "shared with benchmarks that use all of it")]
mod times;

const VOLUMES: u32 = 64;
const ROUNDS: usize = 25;
const LIMIT: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    // `cargo test --benches` leaves this word out: there is nothing to test here.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether it is as fast as it shall be.
fn run() -> Result<bool, Box<dyn Error>> {
    let machine = NodeMachine::new(VOLUMES)?;
    Running::start(&machine)?.stage_all(&machine)?;
    let mut stream = Stream::of_reconnects(machine.root())?;
    let books = Books::keep(machine.root(), machine.state_dir(), stream.take_listener())?;
    println!(
        "{VOLUMES} staged volumes, {ROUNDS} rounds, from the event to the last entry in the books"
    );
    let mut holds = true;
    for (what, count) in [("one controller is", 1), ("all controllers are", VOLUMES)] {
        let (mut times, mut processor) = (Times::default(), Times::default());
        for _ in 0..ROUNDS {
            let took = round(&stream, &books, count)?;
            times.add(took.wall);
            processor.add(took.processor);
        }
        let fast = times.median().is_some_and(|median| median <= LIMIT);
        let verdict = if fast { "holds" } else { "DOES NOT HOLD" };
        println!(
            "{what} connected again: fastest / median {times} (processor time {processor}); wanted: {} ms or less: {verdict}",
            LIMIT.as_millis()
        );
        holds &= fast;
    }
    Ok(holds)
}

/// From the first event of a return.
struct Took {
    wall: Duration,
    /// Of all that keeps the books; where other programs keep the machine busy, the figure to trust.
    processor: Duration,
}

/// The paths of so many volumes are lost and return.
fn round(stream: &Stream, books: &Books, count: u32) -> Result<Took, Box<dyn Error>> {
    let before = books.outages()?;
    stream.lose(count)?;
    books.wait_for(u64::from(count), before)?;
    let used = books.processor_time()?;
    let began = stream.bring_back(count)?;
    books.wait_for(0, before + u64::from(count))?;
    let took = Took {
        wall: began.elapsed(),
        processor: books.processor_time()?.saturating_sub(used),
    };
    books.assert_nothing_is_wrong(VOLUMES)?;
    Ok(took)
}
