//! The books of the node plugin, kept by its watch and its keeper within this process, and read as Prometheus reads them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nvme_fabrics::{HostIdentity, Owner};
use nvme_sysfs::{Sysfs, UeventSocket};
use nvmeof_csi::host::{LinuxHost, Timeouts};
use nvmeof_csi::recovery::Keeper;
use nvmeof_csi::report::metrics::Metrics;
use nvmeof_csi::report::reporter::Reporter;
use nvmeof_csi::volume::{Timing, Volumes, VolumesConfig, survey};
use nvmeof_csi::watch::Trees;
use tokio::sync::watch;

/// How often they are read: a small part of what is measured.
const PERIOD: Duration = Duration::from_micros(500);
/// Far longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

const HELD: &str = "nvmeof_csi_holds{mode=\"none\"}";
const OUTAGES: &str = "nvmeof_csi_path_outage_seconds_count";

/// Kept until the process ends.
#[derive(Debug)]
pub(crate) struct Books {
    root: PathBuf,
    state_dir: PathBuf,
    metrics: Arc<Metrics>,
    /// The keeper ends with it.
    _keeping: watch::Sender<()>,
}

impl Books {
    /// Of what is staged here, by what this socket says.
    pub(crate) fn keep(
        root: &Path,
        state_dir: PathBuf,
        socket: UeventSocket,
    ) -> Result<Self, Box<dyn Error>> {
        let trees = Trees::of(Sysfs::at(root));
        let metrics = Metrics::new(Vec::new());
        let volumes = Arc::new(Volumes::new(VolumesConfig {
            driver: "csi.example".to_owned(),
            root: root.to_owned(),
            state_dir: state_dir.clone(),
            host: Arc::new(LinuxHost::new(root, Owner::Program, Timeouts::default())),
            trees: trees.clone(),
            identity: HostIdentity::load_or_generate(root)?.identity,
            timing: Timing::default(),
            reporter: Reporter::silent(),
            metrics: Arc::clone(&metrics),
        })?);
        let (watched, counted) = (trees.clone(), Arc::clone(&metrics));
        thread::spawn(move || watched.watch_on(socket, |_| counted.uevent("change")));
        let keeper = Keeper::new(volumes, trees, Arc::clone(&metrics), Reporter::silent())?;
        let (keeping, stopped) = watch::channel(());
        // One thread, as in the program.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::spawn(move || runtime.block_on(keeper.run(stopped)));
        Ok(Self {
            root: root.to_owned(),
            state_dir,
            metrics,
            _keeping: keeping,
        })
    }

    /// How many outages have ended.
    pub(crate) fn outages(&self) -> Result<u64, Box<dyn Error>> {
        number(&self.metrics.text()?, OUTAGES).ok_or_else(|| format!("no {OUTAGES}").into())
    }

    /// Waits until so many volumes count as held, and so many outages have ended.
    pub(crate) fn wait_for(&self, held: u64, outages: u64) -> Result<(), Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.metrics.text()?;
            if number(&text, HELD) == Some(held) && number(&text, OUTAGES) == Some(outages) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("never {held} held and {outages} over:\n{text}").into());
            }
            thread::park_timeout(PERIOD);
        }
    }

    /// What they have cost so far: all that this process has used, but for the thread that asks.
    pub(crate) fn processor_time(&self) -> Result<Duration, Box<dyn Error>> {
        let [process, thread] = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_THREAD].map(getrusage);
        let (process, thread) = (process?, thread?);
        let all = duration(process.user_time()) + duration(process.system_time());
        Ok(all.saturating_sub(duration(thread.user_time()) + duration(thread.system_time())))
    }

    /// Reads everything anew.
    pub(crate) fn assert_nothing_is_wrong(&self, volumes: u32) -> Result<(), Box<dyn Error>> {
        let (surveyed, _) = survey(&self.root, &self.state_dir)?;
        if surveyed.len() != usize::try_from(volumes)? {
            return Err(format!("{} volumes", surveyed.len()).into());
        }
        match surveyed
            .iter()
            .find(|v| v.is_lost() || !v.findings.is_empty())
        {
            Some(wrong) => Err(format!("{}: {:?}", wrong.volume_id, wrong.findings).into()),
            None => Ok(()),
        }
    }
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).expect("a process uses no negative time");
    let microseconds = u64::try_from(time.tv_usec()).expect("a process uses no negative time");
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}
