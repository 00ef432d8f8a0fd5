//! The host's side: chooses kernels and cases, boots one machine per kernel and profile, and reports.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use kernel_lab::initramfs::{self, GuestFile};
use kernel_lab::modules::{self, Absent, Selection};
use kernel_lab::{Boot, DebianHost, Kernel, Suite, Unavailable, peers, programs, protocol, sanity};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, Need, Profile, Word};
use crate::{cases, debian, guest, scene};

/// A machine may take this long per case before it counts as hung: longer than the guest itself waits for the case, so
/// that it can still say which one it was.
const PER_CASE: Duration = guest::CASE_DEADLINE.saturating_add(Duration::from_secs(10));
const TO_BOOT: Duration = Duration::from_secs(300);
/// So many rows of the table of faults share a boot.
const ROWS_PER_MACHINE: usize = 8;
/// How a line begins that is to be shown although the case passed.
pub(crate) const REPORT: &str = "report: ";

/// Runs the chosen cases under the chosen kernels (`LAB_KERNELS`, by default trixie's).
pub(crate) fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut machines = Vec::new();
    let suites = match Suite::chosen() {
        Ok(suites) => suites,
        Err(error) => {
            eprintln!("LAB_KERNELS: {error}");
            return ExitCode::from(2);
        }
    };
    for suite in suites {
        match kernel_lab::available(suite) {
            Ok(kernel) => plan_kernel(&arguments, kernel, &mut trials, &mut machines),
            Err(reason) => trials.extend(without_a_kernel(suite, &reason)),
        }
    }
    // The longest first, or the last one would run alone.
    machines.sort_by_key(|machine| machine.share);
    // A trial only waits for its machine's word, so each may have a thread.
    arguments.test_threads = Some(trials.len().max(1));
    if !arguments.list {
        thread::spawn(move || run_machines(machines));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Every case of a kernel that cannot be had.
fn without_a_kernel(suite: Suite, reason: &Unavailable) -> Vec<Trial> {
    let name = |case: &Case| format!("{suite}::{}", case.name);
    cases::all()
        .iter()
        .map(|case| without_the_lab(name(case), &reason.to_string()))
        .collect()
}

/// Ignored by name with the remedy, or failed where the lab is required (`LAB_REQUIRED=1`).
fn without_the_lab(name: String, remedy: &str) -> Trial {
    if std::env::var_os("LAB_REQUIRED").is_some_and(|value| value == "1") {
        let remedy = remedy.to_owned();
        return Trial::test(name, move || Err(Failed::from(remedy)));
    }
    ignored(name, remedy)
}

fn ignored(name: String, reason: &str) -> Trial {
    Trial::test(name, || Ok(()))
        .with_kind(reason)
        .with_ignored_flag(true)
}

/// Makes a trial of each case, and the machines that run the chosen ones.
fn plan_kernel(
    arguments: &Arguments,
    kernel: Kernel,
    trials: &mut Vec<Trial>,
    machines: &mut Vec<Arc<Machine>>,
) {
    let selection = modules::select(&kernel.modules);
    let mut shares: BTreeMap<(Share, Profile), Arc<Machine>> = BTreeMap::new();
    let mut rows = 0;
    for case in cases::all() {
        let name = format!("{}::{}", kernel.suite, case.name);
        if let Some(missing) = what_is_missing(&case, &kernel, &selection) {
            trials.push(missing.trial(name));
            continue;
        }
        let chosen = is_chosen(arguments, &name);
        let share = if case.is_row() {
            Share::Rows(rows / ROWS_PER_MACHINE)
        } else {
            Share::Rest
        };
        rows += usize::from(chosen && case.is_row());
        let machine = shares
            .entry((share, case.profile))
            .or_insert_with(|| Arc::new(Machine::new(kernel.clone(), share, case.profile)));
        if chosen {
            machine.lock().plan.push(case.name);
        }
        let machine = Arc::clone(machine);
        trials.push(Trial::test(name, move || machine.verdict(case.name)));
    }
    machines.extend(
        shares
            .into_values()
            .filter(|machine| !machine.lock().plan.is_empty()),
    );
}

/// Why a case does not run.
enum Missing {
    /// It cannot, or was not asked for, here: ignored.
    ForGood(String),
    /// `cargo lab` would have got it: failed where the lab is required.
    FromTheLab(String),
}

impl Missing {
    fn trial(self, name: String) -> Trial {
        match self {
            Self::ForGood(reason) => ignored(name, &reason),
            Self::FromTheLab(remedy) => without_the_lab(name, &remedy),
        }
    }
}

/// The first thing that a case needs and does not have.
fn what_is_missing(
    case: &Case,
    kernel: &Kernel,
    selection: &io::Result<Selection>,
) -> Option<Missing> {
    let lacks = |what: &str| Missing::ForGood(format!("{} has no {what}", kernel.release));
    if let Some(asked) = case.asks.filter(|asked| !mentions(selection, *asked)) {
        return Some(lacks(asked.word));
    }
    let has_time = has_time_for_faults(&kernel.suite.to_string());
    match case.need? {
        Need::Module(module) => is_missing(selection, module).then(|| lacks(module)),
        Need::CsiSanity => match sanity::find() {
            Some(_) => None,
            None => Some(Missing::FromTheLab(
                "csi-sanity was not built: run `cargo lab setup --peers`".to_owned(),
            )),
        },
        Need::DebianHost if kernel.suite != Suite::Trixie => {
            let reason = "the host's programs are trixie's";
            Some(Missing::ForGood(reason.to_owned()))
        }
        Need::Faults | Need::DebianHost if !has_time => Some(Missing::ForGood(
            "a row of the table of faults: run `cargo lab faults`".to_owned(),
        )),
        Need::Faults => None,
        Need::DebianHost => from_the_lab(DebianHost::find()),
        Need::NvmeCli => from_the_lab(peers::find_nvme_cli()),
    }
}

fn from_the_lab<T, E: std::fmt::Display>(found: Result<T, E>) -> Option<Missing> {
    found
        .err()
        .map(|error| Missing::FromTheLab(error.to_string()))
}

/// The filters of libtest, which libtest-mimic applies only once the trials exist.
fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &String| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter.as_str())
        }
    };
    arguments.filter.as_ref().is_none_or(matches)
        && !arguments.skip.iter().any(matches)
        && !arguments.ignored
}

/// Cases that share a boot, beside their profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    Rest,
    /// So many of the rows; they mostly wait, so several machines with rows fit on one processor.
    Rows(usize),
}

/// The programs that the product runs.
const FILESYSTEM_PROGRAMS: [&str; 3] = ["mke2fs", "mkfs.xfs", "e2fsck"];
/// Those that only the tests run.
const TEST_PROGRAMS: [(&str, &str); 3] = [
    ("strace", "/usr/bin/strace"),
    ("dmsetup", "/sbin/dmsetup"),
    ("losetup", "/sbin/losetup"),
];

/// What every guest carries: the program under test, those that it runs with their libraries, the
/// names of the cases.
pub(crate) fn guest_files(plan: &[&str], profile: Profile) -> Result<Vec<GuestFile>, String> {
    let mut files = Vec::new();
    for name in FILESYSTEM_PROGRAMS {
        let path = format!("/usr/sbin/{name}");
        files.extend(programs::program(name, &path).map_err(|error| error.to_string())?);
    }
    for (name, path) in TEST_PROGRAMS {
        files.extend(programs::program(name, path).map_err(|error| error.to_string())?);
    }
    // Each of them brings the C library.
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    files.push(GuestFile::program(
        "/bin/nvmeof-csi",
        env!("CARGO_BIN_EXE_nvmeof-csi-in-guests"),
    ));
    files.push(GuestFile::text(guest::PLAN, &plan.join("\n")));
    if profile == Profile::LittleMemory {
        // All files of a guest are in its memory.
        return Ok(files);
    }
    if let Some(suite) = sanity::find() {
        files.push(GuestFile::program("/peers/csi-sanity", suite));
    }
    if let Ok(peer) = peers::find_nvme_cli() {
        files.extend(
            peer.guest_files(scene::PEERS)
                .map_err(|error| error.to_string())?,
        );
    }
    Ok(files)
}

/// Whether `LAB_FAULTS` names the kernel of this suite, among others with commas between them.
fn has_time_for_faults(suite: &str) -> bool {
    let named = std::env::var("LAB_FAULTS").unwrap_or_default();
    named.split(',').any(|name| name == suite)
}

/// Whether the kernel has no such module, neither to load nor built in.
fn is_missing(selection: &io::Result<Selection>, module: &str) -> bool {
    let module = module.replace('-', "_");
    let built_in = |absent: &Absent| matches!(absent, Absent::BuiltIn(name) if *name == module);
    selection.as_ref().is_ok_and(|selection| {
        let loaded = selection.load.iter().any(|loaded| loaded.name == module);
        !loaded && !selection.absent.iter().any(built_in)
    })
}

/// Whether the code of a module holds the word.
fn mentions(selection: &io::Result<Selection>, asked: Word) -> bool {
    let module = asked.module.replace('-', "_");
    selection.as_ref().is_ok_and(|selection| {
        let mut loaded = selection.load.iter();
        let code = loaded.find(|loaded| loaded.name == module);
        let code = code.and_then(|module| initramfs::decompressed(module).ok());
        let mut pieces = code.iter().flat_map(|code| code.split(|byte| *byte == 0));
        pieces.any(|piece| piece == asked.word.as_bytes())
    })
}

/// One guest: what it shall run and what it has said so far.
struct Machine {
    kernel: Kernel,
    share: Share,
    profile: Profile,
    state: Mutex<MachineState>,
    changed: Condvar,
}

#[derive(Default)]
struct MachineState {
    plan: Vec<&'static str>,
    verdicts: BTreeMap<String, Result<(), String>>,
    logs: BTreeMap<String, Vec<String>>,
    /// Set when the machine has ended; the reason holds for every case without a verdict.
    ended: Option<String>,
}

impl Machine {
    fn new(kernel: Kernel, share: Share, profile: Profile) -> Self {
        Self {
            kernel,
            share,
            profile,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, MachineState> {
        self.state.lock().expect("no panic holds the lock")
    }

    /// Waits for what the guest says of a case.
    fn verdict(&self, name: &str) -> Result<(), Failed> {
        let undecided =
            |state: &mut MachineState| !state.verdicts.contains_key(name) && state.ended.is_none();
        let mut state = self
            .changed
            .wait_while(self.lock(), undecided)
            .expect("no panic holds the lock");
        let log = state.logs.remove(name).unwrap_or_default().join("\n");
        match (state.verdicts.get(name), &state.ended) {
            (Some(Ok(())), _) => Ok(()),
            (Some(Err(reason)), _) => Err(format!("{reason}\n{log}").into()),
            (None, ended) => Err(format!(
                "no verdict: {}\n{log}",
                ended.as_deref().unwrap_or("unknown")
            )
            .into()),
        }
    }

    /// Boots, runs the plan, and notes how the machine ended.
    fn run(&self) {
        let plan = self.lock().plan.clone();
        let ended = match self.boot(&plan) {
            Ok(code) => format!("the guest ended with {code}"),
            Err(error) => error,
        };
        self.lock().ended = Some(ended);
        self.changed.notify_all();
    }

    fn boot(&self, plan: &[&str]) -> Result<String, String> {
        let init = std::env::current_exe().map_err(|error| format!("this binary: {error}"))?;
        let cases = u32::try_from(plan.len()).expect("the cases fit a u32");
        let mut boot = Boot::new(&self.kernel, init);
        boot.files = guest_files(plan, self.profile)?;
        if self.profile == Profile::DebianHost {
            let host = DebianHost::find().map_err(|error| error.to_string())?;
            let files = host.guest_files(debian::ROOT);
            boot.files.extend(files.map_err(|error| error.to_string())?);
        }
        boot.append = self.profile.append();
        boot.memory_mib = self.profile.memory_mib();
        boot.pcie_namespaces_mib = self.profile.disks_mib();
        boot.deadline = TO_BOOT + PER_CASE * cases;
        boot.run(&mut |line| self.hear(line))
            .map(|exit| format!("{exit:?}"))
            .map_err(|error| error.to_string())
    }

    /// Takes one line of the guest.
    fn hear(&self, line: &str) {
        if line == protocol::AGAIN {
            let plan = std::mem::take(&mut self.lock().plan);
            *self.lock() = MachineState {
                plan,
                ..MachineState::default()
            };
            return;
        }
        let Some(words) = line.strip_prefix("lab:") else {
            return;
        };
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut state = self.lock();
        match verb {
            "kernel" => eprintln!("{}: Linux {rest}, {:?}", self.kernel.suite, self.profile),
            "note" => eprintln!("{}: {rest}", self.kernel.suite),
            "log" => state
                .logs
                .entry(name.to_owned())
                .or_default()
                .push(text.to_owned()),
            "passed" => {
                // What a case reports beside its verdict, such as another suite's summary; the rest is for failures.
                let log = state.logs.remove(name).unwrap_or_default();
                for report in log.iter().filter_map(|line| line.strip_prefix(REPORT)) {
                    eprintln!("{}: {name}: {report}", self.kernel.suite);
                }
                let took = text.parse().map(Duration::from_millis).unwrap_or_default();
                eprintln!("{}: {name} passed in {took:.1?}", self.kernel.suite);
                state.verdicts.insert(name.to_owned(), Ok(()));
            }
            "failed" => {
                eprintln!("{}: {name} FAILED: {text}", self.kernel.suite);
                state.verdicts.insert(name.to_owned(), Err(text.to_owned()));
            }
            "broken" => state.ended = Some(rest.to_owned()),
            _ => {}
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Runs the machines, as many at a time as `LAB_JOBS` says (4 by default: those with rows mostly wait).
fn run_machines(machines: Vec<Arc<Machine>>) {
    let jobs = std::env::var("LAB_JOBS")
        .ok()
        .and_then(|jobs| jobs.parse().ok())
        .unwrap_or(4);
    let queue = Mutex::new(machines.into_iter());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic holds the lock").next();
                    let Some(machine) = next else { return };
                    machine.run();
                }
            });
        }
    });
}
