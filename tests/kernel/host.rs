//! The host's side: chooses kernels and cases, boots one machine per kernel and profile, and reports.

mod durations;
mod machine;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use kernel_lab::initramfs::{self, GuestFile};
use kernel_lab::modules::{self, Absent, Selection};
use kernel_lab::{Clock, DebianHost, Kernel, Suite, Unavailable, peers, programs, sanity};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, Need, Profile, Word};
use crate::{cases, guest, scene};

use durations::Durations;
use machine::Machine;

/// How a line begins that is to be shown although the case passed.
pub(crate) const REPORT: &str = "report: ";

/// Runs the chosen cases under the chosen kernels (`LAB_KERNELS`, by default trixie's).
pub(crate) fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let mut machines = Vec::new();
    let mut durations = Durations::read();
    if let Some(mistake) = find_mistake() {
        eprintln!("{mistake}");
        return ExitCode::from(2);
    }
    let suites = match Suite::chosen() {
        Ok(suites) => suites,
        Err(error) => {
            eprintln!("LAB_KERNELS: {error}");
            return ExitCode::from(2);
        }
    };
    for suite in suites {
        match kernel_lab::available(suite) {
            Ok(kernel) => plan_kernel(&arguments, &kernel, &durations, &mut trials, &mut machines),
            Err(reason) => trials.extend(without_a_kernel(suite, &reason)),
        }
    }
    // The longest first, or the last one would run alone.
    machines.sort_by_key(|machine| std::cmp::Reverse(machine.expected()));
    // A trial only waits for its machine's word, so each may have a thread.
    arguments.test_threads = Some(trials.len().max(1));
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let run = machines.clone();
    let runner = thread::spawn(move || machine::run_all(&run));
    let conclusion = libtest_mimic::run(&arguments, trials);
    runner.join().expect("no machine panics");
    durations.learn(&machines);
    machine::tell_times(&machines);
    conclusion.exit_code()
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
    kernel: &Kernel,
    durations: &Durations,
    trials: &mut Vec<Trial>,
    machines: &mut Vec<Arc<Machine>>,
) {
    let selection = modules::select(&kernel.modules);
    // The machine of each kind that is not full yet.
    let mut open: BTreeMap<(Profile, Clock), Arc<Machine>> = BTreeMap::new();
    for case in cases::all() {
        let name = format!("{}::{}", kernel.suite, case.name);
        if let Some(missing) = what_is_missing(&case, kernel, &selection) {
            trials.push(missing.trial(name));
            continue;
        }
        if !is_named(case.name) {
            trials.push(ignored(name, "not among LAB_CASES"));
            continue;
        }
        if !is_chosen(arguments, &name) {
            // libtest-mimic leaves it out by the same filters.
            trials.push(Trial::test(name, || Err("no machine runs it".into())));
            continue;
        }
        let clock = clock_of(&case, kernel.suite);
        let kind = (case.profile, clock);
        let expected = durations.of(kernel.suite, &case);
        let machine = match open.remove(&kind) {
            Some(machine) if machine.has_room_for(expected) => machine,
            _ => {
                let machine = Arc::new(Machine::new(kernel.clone(), case.profile, clock));
                machines.push(Arc::clone(&machine));
                machine
            }
        };
        machine.add(&case, expected);
        open.insert(kind, Arc::clone(&machine));
        trials.push(Trial::test(name, move || machine.verdict(case.name)));
    }
}

/// The clock that `LAB_CLOCK` asks for, or the case's own: one kernel with the time for the rows shows what depends on real
/// parallelism, and the same case shows the rest on the others, where a busy host cannot break it.
fn clock_of(case: &Case, suite: Suite) -> Clock {
    match std::env::var("LAB_CLOCK").as_deref() {
        Ok("real") => Clock::Real,
        Ok("virtual") => Clock::Virtual,
        _ if has_time_for_faults(suite.as_str()) => case.clock,
        _ => Clock::Virtual,
    }
}

/// What is wrong with the variables that choose, if something is: nothing may pass for a mistake in one of them.
fn find_mistake() -> Option<String> {
    let clock = std::env::var("LAB_CLOCK").unwrap_or_default();
    if !["", "real", "virtual"].contains(&clock.as_str()) {
        return Some(format!(
            "LAB_CLOCK: unknown clock {clock:?}: it must be real or virtual"
        ));
    }
    let named = std::env::var("LAB_CASES").unwrap_or_default();
    let mut named = named.split(',').filter(|name| !name.is_empty());
    let all = cases::all();
    let unknown = named.find(|name| all.iter().all(|case| case.name != *name))?;
    Some(format!("LAB_CASES: no case is called {unknown:?}"))
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

/// Whether `LAB_CASES` names the case, among others with commas between them, or names none.
fn is_named(case: &str) -> bool {
    let named = std::env::var("LAB_CASES").unwrap_or_default();
    named.is_empty() || named.split(',').any(|named| named == case)
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
