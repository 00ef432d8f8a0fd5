//! What the machine looked like when a case failed: its devices, its maps, and what waits in the kernel.

use std::fs;
use std::path::Path;

use kernel_lab::guest::program;

/// Of a machine with many volumes, enough is seen of the first.
const LINES: usize = 100;

/// Lets each panic of this process be followed by a look at the machine, on the standard error.
pub(crate) fn follow_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        for line in describe() {
            eprintln!("machine: {line}");
        }
    }));
}

/// The machine as it stands, in lines.
pub(crate) fn describe() -> Vec<String> {
    let mut lines = Vec::new();
    for name in names("/sys/class/nvme") {
        let directory = Path::new("/sys/class/nvme").join(&name);
        let state = read(&directory.join("state"));
        let nqn = read(&directory.join("subsysnqn"));
        lines.push(format!("{name} {state} {nqn}"));
    }
    for name in names("/sys/block") {
        if !name.starts_with("nvme") {
            continue;
        }
        let directory = Path::new("/sys/block").join(&name);
        let attributes = [
            "dev",
            "size",
            "queue/logical_block_size",
            "uuid",
            "inflight",
        ];
        let values = attributes.map(|attribute| read(&directory.join(attribute)));
        lines.push(format!("{name} {}", values.join(", ")));
    }
    for command in ["info", "table", "status"] {
        let arguments = match command {
            "info" => ["info", "-c"],
            command => [command, "--noflush"],
        };
        let output = program("dmsetup").args(arguments).output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        lines.extend(said.unwrap_or_default().lines().map(str::to_owned));
    }
    lines.extend(waiting());
    lines.truncate(LINES);
    lines
}

/// Threads in an uninterruptible wait, each with where it waits.
fn waiting() -> Vec<String> {
    let mut lines = Vec::new();
    for process in names("/proc") {
        for thread in names(format!("/proc/{process}/task")) {
            let directory = Path::new("/proc").join(&process).join("task").join(thread);
            let stat = read(&directory.join("stat"));
            if stat.contains(") D ") {
                let stack = read(&directory.join("stack"));
                let name = read(&directory.join("comm"));
                lines.push(format!(
                    "{process} {name} waits: {}",
                    stack.replace('\n', " ")
                ));
            }
        }
    }
    lines
}

/// Sorted; none of a directory that is not there.
fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
