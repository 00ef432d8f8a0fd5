//! One guest: what it shall run, what it has said so far, and what it took.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use kernel_lab::{Boot, Clock, DebianHost, Kernel, protocol};
use libtest_mimic::Failed;

use super::{REPORT, guest_files};
use crate::case::{self, Case, Profile};
use crate::{debian, guest, nbd};

/// With more to do than this, a machine takes no further case: then several machines share the work.
const FULL: Duration = Duration::from_secs(400);
/// What a boot may take of the host's time on the busiest host.
const TO_BOOT: Duration = Duration::from_secs(300);
/// A machine counts as hung after so many times what its cases are expected to take and the guest itself waits for one
/// of them: its clock may be slower than the host's.
const SLOWEST: u32 = 2;
/// So many of the slowest cases are told.
const SLOWEST_TOLD: usize = 10;

pub(super) struct Machine {
    kernel: Kernel,
    profile: Profile,
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    plan: Vec<&'static str>,
    /// What this boot shall run of the plan.
    booted: Vec<&'static str>,
    expected: Duration,
    verdicts: BTreeMap<String, Result<(), String>>,
    logs: BTreeMap<String, Vec<String>>,
    /// The case that runs, and since when.
    running: Option<(String, Instant)>,
    /// What each case took of the host's time.
    took: BTreeMap<String, Duration>,
    /// Processor time of the emulator.
    processor: Duration,
    /// Set when the machine has ended; the reason holds for every case without a verdict.
    ended: Option<String>,
}

impl Machine {
    pub(super) fn new(kernel: Kernel, profile: Profile, clock: Clock) -> Self {
        Self {
            kernel,
            profile,
            clock,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// What all its cases are expected to take.
    pub(super) fn expected(&self) -> Duration {
        self.lock().expected
    }

    pub(super) fn has_room_for(&self, expected: Duration) -> bool {
        self.expected() + expected <= FULL
    }

    pub(super) fn add(&self, case: &Case, expected: Duration) {
        let mut state = self.lock();
        state.plan.push(case.name);
        state.expected += expected;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds the lock")
    }

    /// Waits for what the guest says of a case.
    pub(super) fn verdict(&self, name: &str) -> Result<(), Failed> {
        let undecided =
            |state: &mut State| !state.verdicts.contains_key(name) && state.ended.is_none();
        let mut state = self
            .changed
            .wait_while(self.lock(), undecided)
            .expect("no panic holds the lock");
        let log = state.logs.remove(name).unwrap_or_default().join("\n");
        match (state.verdicts.get(name), &state.ended) {
            (Some(Ok(())), _) => Ok(()),
            (Some(Err(reason)), _) => Err(format!("{reason}\n{log}").into()),
            (None, ended) => {
                let ended = ended.as_deref().unwrap_or("unknown");
                Err(format!("no verdict: {ended}\n{log}").into())
            }
        }
    }

    /// What its cases took, by kernel and case.
    pub(super) fn times(&self) -> Vec<(String, Duration)> {
        let state = self.lock();
        let took = state.took.iter();
        took.map(|(name, took)| (format!("{}::{name}", self.kernel.suite), *took))
            .collect()
    }

    /// Runs the plan, and gives every case a verdict, whatever happens.
    fn run(&self) {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run_plan()));
        if run.is_err() {
            self.lock().ended = Some("the lab itself panicked, see above".to_owned());
            self.changed.notify_all();
        }
    }

    /// Boots and runs the plan. A case that ends its machine fails; the others after it get another machine.
    fn run_plan(&self) {
        loop {
            let plan = self.undecided();
            self.lock().booted.clone_from(&plan);
            let ended = match self.boot(&plan) {
                Ok(code) => format!("the guest ended with {code}"),
                Err(error) => error,
            };
            let mut state = self.lock();
            let broke = state.running.take();
            if let Some((name, _)) = &broke {
                eprintln!("{}: {name} FAILED: it ended its machine", self.kernel.suite);
                state.verdicts.insert(name.clone(), Err(ended.clone()));
            }
            let all = state.plan.len() == state.verdicts.len();
            if all || broke.is_none() {
                state.ended = Some(ended);
            }
            let over = state.ended.is_some();
            drop(state);
            self.changed.notify_all();
            if over {
                return;
            }
        }
    }

    /// The cases without a verdict, in their order.
    fn undecided(&self) -> Vec<&'static str> {
        let state = self.lock();
        let plan = state.plan.iter().copied();
        plan.filter(|name| !state.verdicts.contains_key(*name))
            .collect()
    }

    fn boot(&self, plan: &[&str]) -> Result<String, String> {
        let init = std::env::current_exe().map_err(|error| format!("this binary: {error}"))?;
        let mut boot = Boot::new(&self.kernel, init);
        boot.files = guest_files(plan, self.profile)?;
        if self.profile == Profile::DebianHost {
            let host = DebianHost::find().map_err(|error| error.to_string())?;
            let files = host.guest_files(debian::ROOT);
            boot.files.extend(files.map_err(|error| error.to_string())?);
        }
        boot.append = self.profile.append();
        boot.modules.push(nbd::MODULE);
        boot.append.push(nbd::ONE_DISK.to_owned());
        if std::env::var("LAB_ROUNDS").is_ok_and(|rounds| rounds == "all") {
            boot.append.push(case::ALL_ROUNDS.to_owned());
        }
        boot.memory_mib = self.profile.memory_mib();
        boot.clock = self.clock;
        boot.pcie_namespaces_mib = self.profile.disks_mib();
        boot.deadline = TO_BOOT + (guest::CASE_DEADLINE + self.expected()) * SLOWEST;
        let exit = boot.run(&mut |line| self.hear(line));
        let exit = exit.map_err(|error| error.to_string())?;
        self.lock().processor += exit.processor;
        Ok(exit.status.to_string())
    }

    /// Takes one line of the guest.
    fn hear(&self, line: &str) {
        if line == protocol::AGAIN {
            self.lock().begin_again();
            return;
        }
        let Some(words) = line.strip_prefix("lab:") else {
            return;
        };
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let suite = self.kernel.suite;
        let mut state = self.lock();
        match verb {
            "kernel" => eprintln!(
                "{suite}: Linux {rest}, {:?}, {:?} clock",
                self.profile, self.clock
            ),
            "note" => eprintln!("{suite}: {rest}"),
            "start" => state.running = Some((rest.to_owned(), Instant::now())),
            "log" => state
                .logs
                .entry(name.to_owned())
                .or_default()
                .push(text.to_owned()),
            "passed" => {
                // What a case reports beside its verdict, such as another suite's summary; the rest is for failures.
                let log = state.logs.remove(name).unwrap_or_default();
                for report in log.iter().filter_map(|line| line.strip_prefix(REPORT)) {
                    eprintln!("{suite}: {name}: {report}");
                }
                let here = state.end(name, Ok(()));
                let took = text.parse().map(Duration::from_millis).unwrap_or_default();
                eprintln!("{suite}: {name} passed in {took:.1?} ({here:.1?} here)");
            }
            "failed" => {
                // At once, and not when the last machine has ended.
                for line in state.logs.remove(name).unwrap_or_default() {
                    eprintln!("{suite}: {name} said: {line}");
                }
                eprintln!("{suite}: {name} FAILED: {text}");
                state.end(name, Err(text.to_owned()));
            }
            "broken" => state.ended = Some(rest.to_owned()),
            _ => {}
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    /// A case is over. Returns what it took of the host's time.
    fn end(&mut self, name: &str, verdict: Result<(), String>) -> Duration {
        let began = self.running.take().map(|(_, began)| began);
        let took = began.map(|began| began.elapsed()).unwrap_or_default();
        self.took.insert(name.to_owned(), took);
        self.verdicts.insert(name.to_owned(), verdict);
        took
    }

    /// The emulator broke: what this boot has said so far does not count, and it runs all its cases again.
    fn begin_again(&mut self) {
        self.running = None;
        for name in &self.booted {
            self.verdicts.remove(*name);
            self.logs.remove(*name);
        }
    }
}

/// Runs the machines, as many at a time as `LAB_JOBS` says: by default as there are processors, since an emulated
/// processor keeps one busy.
pub(super) fn run_all(machines: &[Arc<Machine>]) {
    let jobs = std::env::var("LAB_JOBS").ok();
    let jobs = jobs.and_then(|jobs| jobs.parse().ok());
    let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    let queue = Mutex::new(machines.iter());
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

/// Tells where the time went: of all machines, and of the slowest cases.
pub(super) fn tell_times(machines: &[Arc<Machine>]) {
    let processor: Duration = machines
        .iter()
        .map(|machine| machine.lock().processor)
        .sum();
    eprintln!(
        "\n{} machines, {:.0} processor seconds; the slowest cases, in this machine's time:",
        machines.len(),
        processor.as_secs_f64()
    );
    let mut times: Vec<_> = machines
        .iter()
        .flat_map(|machine| machine.times())
        .collect();
    times.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    for (name, took) in times.iter().take(SLOWEST_TOLD) {
        eprintln!("{:7.1} s  {name}", took.as_secs_f64());
    }
}
