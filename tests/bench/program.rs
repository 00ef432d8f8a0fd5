//! `nvmeof-csi list-subsys -o json` as a whole process against `nvme list-subsys -o json`, on the same trees.
//!
//! Both must first print the same JSON. Then they take turns, so that what else the machine does hits both, and so do the
//! sizes. nvme-cli's time grows with the square of the number of controllers, so it sits out the largest tree.
//!
//! Wanted: at most 1/50 of nvme-cli's time on 1,024 controllers, at most 4.5 times our time on them for 4,096, and at most
//! 30 system calls for each controller.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark of programs starts them"
)]
#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::env;
use std::error::Error;
use std::io;
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;

use costs::Costs;
use nvme_cli::NvmeCli;
use synthetic::{SIZES, Synthetic};

mod costs;
mod nvme_cli;
mod synthetic;
mod times;
mod trace;

const ROUNDS: usize = 9;
/// The largest tree that nvme-cli is given.
const NVME_CLI_UP_TO: u32 = 1024;

/// What was measured on one tree.
struct Row {
    controllers: u32,
    tree: Synthetic,
    ours: Costs,
    theirs: Costs,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, command_line)) if first == trace::TRACED => {
            Err(trace::become_traced(command_line).into())
        }
        // `cargo test --benches` leaves this word out: there is nothing to test here.
        _ if !arguments.iter().any(|argument| argument == "--bench") => return ExitCode::SUCCESS,
        _ => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for controllers in SIZES {
        let tree = Synthetic::new(controllers)?;
        rows.push(Row {
            controllers,
            tree,
            ours: Costs::default(),
            theirs: Costs::default(),
        });
    }
    let nvme_cli = match NvmeCli::find() {
        Ok(nvme_cli) => {
            println!("against {} of {}", nvme_cli.version()?, nvme_cli.origin());
            Some(nvme_cli)
        }
        Err(reason) => {
            println!("nvme-cli not installed: ratio not measured; {reason}");
            None
        }
    };
    if let Some(nvme_cli) = &nvme_cli {
        compare(&rows, nvme_cli)?;
    }
    take_turns(&mut rows, nvme_cli.as_ref())?;
    print_times(&rows);
    print_calls(&rows, nvme_cli.as_ref());
    Ok(())
}

/// Both must print the same, or there is nothing to compare.
fn compare(rows: &[Row], nvme_cli: &NvmeCli) -> Result<(), Box<dyn Error>> {
    for row in rows.iter().filter(|row| row.controllers <= NVME_CLI_UP_TO) {
        let ours = json(&mut list_subsys(&row.tree))?;
        let theirs = json(&mut nvme_cli.list_subsys(&row.tree))?;
        if ours != theirs {
            let message = format!(
                "{} controllers: the programs print different JSON",
                row.controllers
            );
            return Err(message.into());
        }
    }
    println!("both print the same JSON for up to {NVME_CLI_UP_TO} controllers\n");
    Ok(())
}

fn take_turns(rows: &mut [Row], nvme_cli: Option<&NvmeCli>) -> io::Result<()> {
    for _ in 0..ROUNDS {
        for row in &mut *rows {
            row.ours.measure(&mut list_subsys(&row.tree))?;
            if let Some(nvme_cli) = nvme_cli.filter(|_| row.controllers <= NVME_CLI_UP_TO) {
                row.theirs.measure(&mut nvme_cli.list_subsys(&row.tree))?;
            }
        }
    }
    Ok(())
}

fn print_times(rows: &[Row]) {
    println!(
        "list-subsys -o json, whole process, {ROUNDS} rounds: fastest / median; wanted on 1024: 1/50 or less"
    );
    println!(
        "controllers  nvmeof-csi               nvme-cli                 median    processor time alone"
    );
    for row in rows {
        let (wall, processor) = match row.ours.ratios_to(&row.theirs) {
            Some((wall, processor)) => (fraction(wall), fraction(processor)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!(
            "{:>11}  {:<23}  {:<23}  {wall:<8}  {processor}",
            row.controllers, row.ours.wall, row.theirs.wall
        );
    }
    if let [.., smaller, larger] = rows
        && let Some((wall, processor)) = larger.ours.ratios_to(&smaller.ours)
    {
        println!(
            "{} controllers cost {wall:.2} times as much as {} ({processor:.2} in processor time); wanted: 4.5 or less\n",
            larger.controllers, smaller.controllers
        );
    }
}

/// 0.02 is 1/50.
fn fraction(ratio: f64) -> String {
    format!("1/{:.0}", 1.0 / ratio)
}

fn print_calls(rows: &[Row], nvme_cli: Option<&NvmeCli>) {
    println!("system calls, whole process (per controller); wanted for list-subsys: 30 or less");
    println!(
        "controllers  list-subsys -o json      resolve                  nvme list-subsys -o json"
    );
    for row in rows {
        // Tracing makes each call many times slower: the two smallest trees show the growth.
        let nvme_cli = nvme_cli.filter(|_| row.controllers <= SIZES[1]);
        let cells = [
            calls(row, Some(list_subsys(&row.tree))),
            calls(row, Some(resolve(&row.tree))),
            calls(
                row,
                nvme_cli.map(|nvme_cli| nvme_cli.list_subsys(&row.tree)),
            ),
        ];
        println!(
            "{:>11}  {:<23}  {:<23}  {}",
            row.controllers, cells[0], cells[1], cells[2]
        );
    }
}

fn calls(row: &Row, command: Option<Command>) -> String {
    match command.map(|command| trace::count(&command)) {
        None => "-".to_owned(),
        Some(Ok(calls)) => {
            let calls_of_each = calls / u64::from(row.controllers);
            format!("{calls} ({calls_of_each})")
        }
        Some(Err(error)) => format!("not counted: {error}"),
    }
}

fn list_subsys(tree: &Synthetic) -> Command {
    let mut command = program(tree);
    command.args(["list-subsys", "-o", "json"]);
    command
}

fn resolve(tree: &Synthetic) -> Command {
    let mut command = program(tree);
    command.args(["resolve", "--nqn", &tree.last_nqn()]);
    command
}

/// The program as released.
fn program(tree: &Synthetic) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command.arg("--root").arg(tree.root());
    command
}

fn json(command: &mut Command) -> Result<Value, Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let message = format!(
            "{command:?}: {} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        return Err(message.into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
