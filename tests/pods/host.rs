//! The host's side: which cases run, on which cluster, and what is said of them.
//!
//! A lab that breaks (a panic of the guest's kernel, an API server that was starved while it started) is no verdict on the
//! product: the case that it met is begun anew on a new cluster, once, and that is said.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::cluster::machine::MachineError;
use kernel_lab::qemu::ConsoleOutput;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Case, When};
use crate::cases;
use crate::cluster::Cluster;
use crate::lab::{Lab, Parts, all_asked};
use crate::logs;

/// How often a cluster is booted.
const BOOTS: u32 = 2;
/// How long a machine takes to be gone whose kernel has panicked: it says where first.
const TO_BE_GONE: Duration = Duration::from_secs(15);
const ASK: &str = "run `cargo lab cluster test`";

/// What is known of the cases by now.
#[derive(Default)]
struct Verdicts {
    cases: Mutex<BTreeMap<&'static str, Result<(), String>>>,
    changed: Condvar,
}

impl Verdicts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Result<(), String>>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, name: &'static str, verdict: Result<(), String>) {
        self.lock().insert(name, verdict);
        self.changed.notify_all();
    }

    /// A failure, unless the case has its verdict.
    fn give_first(&self, name: &'static str, reason: &str) {
        let mut cases = self.lock();
        cases.entry(name).or_insert_with(|| Err(reason.to_owned()));
        self.changed.notify_all();
    }

    fn wait(&self, name: &str) -> Result<(), Failed> {
        let unknown = |cases: &mut BTreeMap<_, _>| !cases.contains_key(name);
        let cases = self.changed.wait_while(self.lock(), unknown);
        let cases = cases.unwrap_or_else(PoisonError::into_inner);
        cases[name].clone().map_err(Failed::from)
    }
}

/// Runs the chosen cases.
pub(crate) fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let parts = Parts::find();
    let required = std::env::var_os("LAB_REQUIRED").is_some_and(|value| value == "1");
    let all = all_asked();
    let verdicts = Arc::new(Verdicts::default());
    let mut plan = Vec::new();
    let mut trials = Vec::new();
    for case in cases::all() {
        let trial = match &parts {
            _ if case.when == When::Asked && !all => ignored(case.name, ASK),
            Err(remedy) if required => {
                let remedy = remedy.clone();
                Trial::test(case.name, move || Err(Failed::from(remedy)))
            }
            Err(remedy) => ignored(case.name, remedy),
            Ok(_) => {
                if is_chosen(&arguments, case.name) {
                    plan.push(case);
                }
                let verdicts = Arc::clone(&verdicts);
                Trial::test(case.name, move || verdicts.wait(case.name))
            }
        };
        trials.push(trial);
    }
    // A trial only waits for its verdict, so each may have a thread.
    arguments.test_threads = Some(trials.len().max(1));
    let runner = match parts {
        Ok(parts) if !arguments.list && !plan.is_empty() => {
            Some(thread::spawn(move || run_all(parts, plan, &verdicts)))
        }
        _ => None,
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    // It ends after the last verdict: the cluster is shut down, and its disk removed.
    if let Some(runner) = runner {
        runner.join().expect("its panics are caught");
    }
    conclusion.exit_code()
}

/// Runs the plan; what breaks outside of a case is the verdict on all that have none.
fn run_all(parts: Parts, plan: Vec<Case>, verdicts: &Verdicts) {
    let names: Vec<&'static str> = plan.iter().map(|case| case.name).collect();
    if let Err(reason) = tried(|| run(parts, plan, verdicts)) {
        for name in names {
            verdicts.give_first(name, &reason);
        }
    }
}

fn ignored(name: &str, reason: &str) -> Trial {
    Trial::test(name, || Ok(()))
        .with_kind(reason)
        .with_ignored_flag(true)
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

/// Runs the plan, and gives every case a verdict.
fn run(parts: Parts, mut plan: Vec<Case>, verdicts: &Verdicts) {
    let mut broken = match Lab::new(parts) {
        Err(error) => format!("no disk for a cluster: {}", chain(error.as_ref())),
        Ok(lab) => {
            let mut boots = 1;
            loop {
                match run_on_one_cluster(&lab, &mut plan, verdicts) {
                    Ok(()) => return,
                    Err(error) if error.is_of_the_lab() && boots < BOOTS => {
                        eprintln!(
                            "lab: a broken lab, and no verdict on the product: {}: booting again, once",
                            chain(&error)
                        );
                        boots += 1;
                    }
                    Err(error) if error.is_of_the_lab() => {
                        break format!("the lab broke {boots} times: {}", chain(&error));
                    }
                    Err(error) => break format!("no cluster: {}", chain(&error)),
                }
            }
        }
    };
    for case in plan {
        verdicts.give(case.name, Err(std::mem::take(&mut broken)));
        broken.push_str("no cluster: see the first case that failed");
    }
}

/// Runs what is left of the plan on a new cluster, until that breaks.
fn run_on_one_cluster(
    lab: &Lab,
    plan: &mut Vec<Case>,
    verdicts: &Verdicts,
) -> Result<(), MachineError> {
    let cluster = Cluster::start(lab, ConsoleOutput::LogOnly)?;
    let mut installed = tried(|| {
        cluster.wait_for_the_node();
        cluster.install();
    });
    show("cluster", &cluster);
    while let Some(case) = plan.first().copied() {
        let verdict = match &mut installed {
            Ok(()) => tried(|| (case.run)(&cluster)),
            Err(reason) => Err(format!("the driver was not installed: {reason}")),
        };
        show(case.name, &cluster);
        if let Some(error) = cluster.break_down() {
            return Err(error);
        }
        if verdict.is_err() && ends_now(&cluster) {
            return Err(how_it_ended(cluster));
        }
        if let Err(reason) = &verdict {
            eprintln!("trixie: {} FAILED: {reason}", case.name);
            logs::save(&cluster, case.name);
            cluster.clean_up();
        }
        verdicts.give(case.name, verdict);
        plan.remove(0);
    }
    logs::save(&cluster, "end");
    Ok(())
}

/// Whether the machine is gone, of which the first to know is whoever speaks to it.
fn ends_now(cluster: &Cluster) -> bool {
    let deadline = Instant::now() + TO_BE_GONE;
    while !cluster.machine.is_gone() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(200));
    }
    cluster.machine.is_gone()
}

/// The words of a panic are the reason.
fn tried(run: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| words(panic.as_ref()))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}

fn show(name: &str, cluster: &Cluster) {
    for report in cluster.take_reports() {
        eprintln!("trixie: {name}: {report}");
    }
}

fn how_it_ended(cluster: Cluster) -> MachineError {
    match cluster.machine.end() {
        Err(error) => error,
        Ok(exit) => MachineError::Ended {
            status: exit.status,
            words: format!("see {}", exit.log.display()),
        },
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
