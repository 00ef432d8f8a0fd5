//! PID 1 of the guest: runs the chosen cases one by one and leaves nothing of one behind for the next.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::guest::{Channel, Machine, context, live, net, nvmet};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cases;
use crate::leftovers::Inventory;

/// The first argument that makes this binary run one case.
pub(crate) const RUN_CASE: &str = "--run-case";
/// The names of the chosen cases, packed by the host.
pub(crate) const PLAN: &str = "/lab/plan";
/// No case may take longer, on the slowest machine that the lab supports.
pub(crate) const CASE_DEADLINE: Duration = Duration::from_secs(900);

/// Runs the plan and ends the machine.
pub(crate) fn main() -> ! {
    live(run_plan)
}

fn run_plan(machine: &Machine, channel: &mut Channel) -> io::Result<()> {
    channel.line(&format!("lab:kernel {}", machine.release))?;
    for (module, errno) in &machine.refused {
        channel.line(&format!("lab:note module {module} did not load: {errno}"))?;
    }
    let plan = context(fs::read_to_string(PLAN), || PLAN.to_owned())?;
    let mut before = Inventory::take()?;
    for name in plan.lines() {
        channel.line(&format!("lab:start {name}"))?;
        let started = Instant::now();
        let outcome = run_in_a_process(name, channel)?;
        let left = clean_up().and_then(|()| left_behind(&before));
        let left = match left {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(format!("left behind: {}", left.join(", "))),
            Err(error) => Err(format!("left behind: {error}")),
        };
        if left.is_err() {
            // It is this case's alone.
            before = Inventory::take()?;
        }
        let outcome = match (outcome, left) {
            (Err(failed), Err(left)) => Err(format!("{failed}; {left}")),
            (outcome, left) => outcome.and(left),
        };
        let milliseconds = started.elapsed().as_millis();
        match outcome {
            Ok(()) => channel.line(&format!("lab:passed {name} {milliseconds}"))?,
            Err(reason) => channel.line(&format!("lab:failed {name} {milliseconds} {reason}"))?,
        }
    }
    Ok(())
}

/// What is there more than before the first case; what only goes in a moment, such as a link whose far end's network ends
/// with its last process, gets that moment.
fn left_behind(before: &Inventory) -> io::Result<Vec<String>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = Inventory::take()?.added_since(before);
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs one case as a child, so that a panic, a leak or a hang of it ends with it.
fn run_in_a_process(name: &str, channel: &mut Channel) -> io::Result<Result<(), String>> {
    let mut child = Command::new("/init")
        .args([RUN_CASE, name])
        .env("RUST_BACKTRACE", "0")
        .env("PATH", "/bin:/sbin")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = output_lines(&mut child);
    let deadline = Instant::now() + CASE_DEADLINE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => channel.line(&format!("lab:log {name} {line}"))?,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                for line in crate::autopsy::describe() {
                    channel.line(&format!("lab:log {name} machine: {line}"))?;
                }
                kernel_log_tail(name, channel)?;
                child.kill()?;
                return Ok(Err(format!("no end after {CASE_DEADLINE:?}")));
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        kernel_log_tail(name, channel)?;
    }
    Ok(verdict(status))
}

fn verdict(status: ExitStatus) -> Result<(), String> {
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

/// Both outputs of the child, line by line; disconnected when the child has closed both.
fn output_lines(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let outputs: [Option<Box<dyn io::Read + Send>>; 2] = [
        child
            .stdout
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn io::Read + Send>),
        child
            .stderr
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn io::Read + Send>),
    ];
    for pipe in outputs.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            use io::BufRead as _;
            for line in io::BufReader::new(pipe).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

/// What the kernel said last, for the report of a failed case.
fn kernel_log_tail(name: &str, channel: &mut Channel) -> io::Result<()> {
    let log = crate::scene::kernel_log()?;
    let first = log.len().saturating_sub(30);
    for line in &log[first..] {
        channel.line(&format!("lab:log {name} kernel: {line}"))?;
    }
    Ok(())
}

/// The child's side: one case, by name.
pub(crate) fn run_case(name: &str) -> ExitCode {
    let Some(case) = cases::all().into_iter().find(|case| case.name == name) else {
        eprintln!("no case is called {name}");
        return ExitCode::FAILURE;
    };
    crate::autopsy::follow_panics();
    match std::panic::catch_unwind(case.run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => {
            // I/O that a failed case has left waiting would keep its process from ending.
            crate::scene::cli(&["release", "--all"]);
            ExitCode::FAILURE
        }
    }
}

/// Undoes whatever a case made: mounts, controllers, target, links, files.
///
/// Also called by a case between its rounds.
pub(crate) fn clean_up() -> io::Result<()> {
    kill_all_others();
    for link in crate::scene::LINKS {
        unless_gone(link, net::set_up(link))?;
    }
    unmount_below("/mnt")?;
    unmount_below("/var/lib/kubelet")?;
    remove_maps()?;
    detach_loops()?;
    delete_fabrics_controllers()?;
    nvmet::clear()?;
    // Those on which the target stood.
    remove_maps()?;
    for link in crate::scene::LINKS {
        unless_gone(link, net::delete_link(link))?;
    }
    // What is mounted below these was unmounted above; into the others no case mounts anything.
    for directory in ["/etc/nvme", "/var/lib/kubelet"] {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for directory in ["/mnt", "/run", "/tmp"] {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
    }
    Ok(())
}

/// Frees all loop devices.
pub(crate) fn detach_loops() -> io::Result<()> {
    let mut losetup = kernel_lab::guest::program("losetup");
    losetup.arg("--detach-all").status().map(drop)
}

/// A link goes by itself, a moment after its far end's network namespace has ended with the case.
fn unless_gone(link: &str, done: io::Result<()>) -> io::Result<()> {
    if net::exists(link) { done } else { Ok(()) }
}

/// Ends what a case has left running. From PID 1 that is everything, from a case everything but itself and PID 1.
fn kill_all_others() {
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        // Nobody else is there.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("kill: {errno}"),
    }
}

fn unmount_below(directory: &str) -> io::Result<()> {
    let table = fs::read_to_string("/proc/self/mounts")?;
    for target in table.lines().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(target).starts_with(directory) {
            umount2(target, MntFlags::MNT_DETACH)?;
        }
    }
    Ok(())
}

/// Removes the maps that a failed case has left: the next one's volumes are called the same.
fn remove_maps() -> io::Result<()> {
    let is_map = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().starts_with("dm-"))
    };
    for entry in fs::read_dir("/sys/block")? {
        if is_map(entry)? {
            let mut dmsetup = kernel_lab::guest::program("dmsetup");
            dmsetup.args(["remove_all", "--noudevsync"]).status()?;
            return Ok(());
        }
    }
    Ok(())
}

/// Deletes every controller but PCIe ones; each write returns when the kernel is done with it.
fn delete_fabrics_controllers() -> io::Result<()> {
    for entry in fs::read_dir("/sys/class/nvme")? {
        let controller = entry?.path();
        let transport = fs::read_to_string(controller.join("transport")).unwrap_or_default();
        if transport.trim() == "pcie" {
            continue;
        }
        let path = controller.join("delete_controller");
        let deadline = Instant::now() + Duration::from_secs(60);
        // A controller that never was live cannot be deleted before it gives up or comes up.
        while controller.exists() && Instant::now() < deadline {
            if fs::write(&path, "1").is_err() {
                thread::sleep(Duration::from_millis(50));
            }
        }
        if controller.exists() {
            return Err(io::Error::other(format!(
                "{} does not go away",
                controller.display()
            )));
        }
    }
    Ok(())
}
