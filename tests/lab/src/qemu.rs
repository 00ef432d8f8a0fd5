//! Booting a kernel in QEMU and listening to its guest.
//!
//! The first serial port is the kernel's console: kept in `target/lab/logs`, shown when something breaks. The second
//! is the guest's own channel (see [`crate::protocol`]). Time is the guest's own or the host's ([`Clock`]). Invariant:
//! QEMU is gone when [`Boot::run`] returns, and when our process dies.

mod child;
mod clock;
mod directory;
mod listen;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::command::find_program;
use crate::initramfs::{self, GuestFile, InitramfsError};
use crate::kernels::Kernel;
use crate::modules;
use crate::place;
use crate::protocol;

use child::Child;
pub use clock::Clock;
use directory::BootDirectory;
use listen::{Ending, Listener};

/// The emulator's program.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// What to boot. Fields are public: [`Boot::new`] gives the usual values.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The kernel.
    pub kernel: Kernel,
    /// A static program, the guest's `/init`.
    pub init: PathBuf,
    /// What the guest carries besides.
    pub files: Vec<GuestFile>,
    /// Words for the kernel's command line.
    pub append: Vec<String>,
    /// Memory of the guest.
    pub memory_mib: u32,
    /// What its time is.
    pub clock: Clock,
    /// The modules that the guest loads, by the kernel's names.
    pub modules: Vec<&'static str>,
    /// A disk of its own, which the guest finds as `/dev/vda`; what it changes is lost with it.
    pub disk: Option<PathBuf>,
    /// Ports of this machine's loopback, and those of the guest behind them. With any it has a network card, too.
    pub forwards: Vec<(u16, u16)>,
    /// Whether the guest may boot again by itself, or ends by that.
    pub reboot: Reboot,
    /// How often a machine is booted that ends by a fault of the emulator.
    pub boots: u32,
    /// Sizes of namespaces on PCIe controllers of their own.
    pub pcie_namespaces_mib: Vec<u32>,
    /// The whole boot must end within this time.
    pub deadline: Duration,
    /// Where the console goes besides its log.
    pub console: ConsoleOutput,
}

/// What a guest's reboot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// It ends the machine.
    Ends,
    /// It boots again, with its disk as it is.
    Boots,
}

/// Where the kernel's console goes besides its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleOutput {
    /// Nowhere.
    LogOnly,
    /// To our standard error.
    Stderr,
}

/// How the guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestExit {
    /// The guest's own exit status.
    pub status: i32,
    /// From QEMU's start.
    pub elapsed: Duration,
    /// Processor time of QEMU.
    pub processor: Duration,
    /// The console's log.
    pub log: PathBuf,
}

/// Why a boot gave no exit status.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The initramfs could not be made.
    #[error("cannot make the initramfs")]
    Initramfs(#[from] InitramfsError),
    /// QEMU is not installed.
    #[error("{QEMU} is not installed: run `cargo lab setup`")]
    NoQemu,
    /// QEMU could not be started, or the lab's files not be written.
    #[error("cannot start QEMU or write {path}")]
    Io {
        /// The program or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel panicked or had an oops.
    #[error("the guest's kernel {release} broke; the end of {log}:\n{tail}")]
    Panicked {
        /// The kernel.
        release: String,
        /// The console's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// QEMU ended before the guest had given its exit status.
    #[error("QEMU ended without an exit status of the guest; the end of {log}:\n{tail}")]
    NoExit {
        /// The console's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The deadline passed.
    #[error(
        "the guest was not done after {deadline:?} of this machine's time; the end of {log}:\n{tail}"
    )]
    Deadline {
        /// The time it had.
        deadline: Duration,
        /// The console's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
}

/// A busy host shows two faults of the emulator in a row.
const BOOTS: u32 = 4;

impl Boot {
    /// A boot with 1 GiB of memory and two minutes.
    #[must_use]
    pub fn new(kernel: &Kernel, init: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.clone(),
            init: init.into(),
            files: Vec::new(),
            append: Vec::new(),
            memory_mib: 1024,
            clock: Clock::Real,
            modules: modules::WANTED.to_vec(),
            disk: None,
            forwards: Vec::new(),
            reboot: Reboot::Ends,
            boots: BOOTS,
            pcie_namespaces_mib: Vec::new(),
            deadline: Duration::from_secs(120),
            console: ConsoleOutput::LogOnly,
        }
    }

    /// Boots, hands each line of the guest to `line` as it comes, and returns the guest's exit status.
    ///
    /// A boot that ends by the emulator's known fault (`Oops: int3`) is repeated; `line` is told by
    /// [`protocol::AGAIN`].
    ///
    /// # Errors
    /// [`BootError`]; those of a guest that did run carry the end of its console.
    pub fn run(&self, line: &mut dyn FnMut(&str)) -> Result<GuestExit, BootError> {
        let mut boots = 1;
        loop {
            let (exit, ending) = self.run_once(line)?;
            if !matches!(ending, Ending::EmulatorFault(_)) || boots >= self.boots {
                return self.result(exit, ending);
            }
            eprintln!(
                "lab: `Oops: int3`, a fault of the emulator (see {}): booting again",
                exit.log.display()
            );
            line(protocol::AGAIN);
            boots += 1;
        }
    }

    fn run_once(&self, line: &mut dyn FnMut(&str)) -> Result<(Ended, Ending), BootError> {
        let directory = self.prepare()?;
        let log_path = new_log(&self.kernel)?;
        let log = File::create(&log_path).map_err(at(&log_path))?;
        let mut command = self.command(directory.path())?;
        let start = Instant::now();
        let mut child = Child::spawn(&mut command).map_err(at(Path::new(QEMU)))?;
        let listener = Listener {
            console: self.console,
            log,
            end: start + self.deadline,
        };
        let ending = listener.listen(&mut child, line).map_err(at(&log_path))?;
        Ok((
            Ended {
                elapsed: start.elapsed(),
                processor: child.processor_time().unwrap_or_default(),
                log: log_path,
            },
            ending,
        ))
    }

    fn result(&self, ended: Ended, ending: Ending) -> Result<GuestExit, BootError> {
        let Ended {
            elapsed,
            processor,
            log,
        } = ended;
        match ending {
            Ending::Exit(status) => Ok(GuestExit {
                status,
                elapsed,
                processor,
                log,
            }),
            Ending::Panic(tail) | Ending::EmulatorFault(tail) => Err(BootError::Panicked {
                release: self.kernel.release.clone(),
                log,
                tail,
            }),
            Ending::Closed(tail) => Err(BootError::NoExit { log, tail }),
            Ending::Deadline(tail) => Err(BootError::Deadline {
                deadline: self.deadline,
                log,
                tail,
            }),
        }
    }

    /// A directory with all files that QEMU reads.
    fn prepare(&self) -> Result<BootDirectory, BootError> {
        let boots = place::of("boots");
        let directory = BootDirectory::new_in(&boots).map_err(at(&boots))?;
        let init = GuestFile::program("/init", &self.init);
        let files = self.files.iter().cloned().chain([init]).collect::<Vec<_>>();
        let to = directory.path().join("initramfs");
        initramfs::write(&self.kernel, &self.modules, &files, &to)?;
        for (index, mib) in self.pcie_namespaces_mib.iter().enumerate() {
            let path = image(directory.path(), index);
            let file = File::create(&path).map_err(at(&path))?;
            file.set_len(u64::from(*mib) << 20).map_err(at(&path))?;
        }
        Ok(directory)
    }

    fn command(&self, directory: &Path) -> Result<Command, BootError> {
        let mut command = Command::new(find_program(QEMU).ok_or(BootError::NoQemu)?);
        command.args(self.clock.machine());
        command.args(["-m", &self.memory_mib.to_string()]);
        command.args(["-nographic", "-monitor", "none"]);
        if self.reboot == Reboot::Ends {
            command.arg("-no-reboot");
        }
        command.args(self.network()).args(self.disk());
        // The console shares standard error with QEMU's own messages, so that both are in the log.
        command.args(["-serial", "file:/dev/stderr", "-serial", "stdio"]);
        for index in 0..self.pcie_namespaces_mib.len() {
            let file = image(directory, index);
            command.arg("-drive");
            command.arg(format!(
                "file={},format=raw,if=none,id=pcie{index}",
                file.display()
            ));
            command.arg("-device");
            command.arg(format!("nvme,serial=lab-pcie-{index},drive=pcie{index}"));
        }
        command.arg("-kernel").arg(&self.kernel.image);
        command.arg("-initrd").arg(directory.join("initramfs"));
        // On a busy host the emulated timer is late, and the kernel would give up at boot. Guards against faults of real
        // processors only cost the emulated one time.
        let append = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off";
        let append = append.split(' ').map(str::to_owned).collect::<Vec<_>>();
        command
            .arg("-append")
            .arg([&append[..], &self.append[..]].concat().join(" "));
        Ok(command)
    }
}

impl Boot {
    /// A card for the forwarded ports, and a network that leads nowhere else.
    fn network(&self) -> Vec<String> {
        if self.forwards.is_empty() {
            return ["-nic", "none"].map(str::to_owned).to_vec();
        }
        let forwards = self.forwards.iter();
        let forwards =
            forwards.map(|(here, there)| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}"));
        let network = "user,id=network,restrict=on".to_owned() + &forwards.collect::<String>();
        // The card's own boot program is of no use, and has hung boots.
        let card = "virtio-net-pci,netdev=network,romfile=".to_owned();
        vec!["-netdev".to_owned(), network, "-device".to_owned(), card]
    }

    /// The disk, and randomness for what uses much of it.
    fn disk(&self) -> Vec<String> {
        let Some(disk) = &self.disk else {
            return Vec::new();
        };
        let drive = format!(
            "file={},format=raw,if=none,id=disk,snapshot=on,cache=unsafe",
            disk.display()
        );
        let device = "virtio-blk-pci,drive=disk,romfile=";
        [
            "-drive",
            &drive,
            "-device",
            device,
            "-device",
            "virtio-rng-pci",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// A boot that is over.
struct Ended {
    elapsed: Duration,
    processor: Duration,
    log: PathBuf,
}

fn image(directory: &Path, index: usize) -> PathBuf {
    directory.join(format!("pcie{index}.raw"))
}

/// A log of its own for each boot, also of processes that run at the same time.
fn new_log(kernel: &Kernel) -> Result<PathBuf, BootError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let directory = place::of("logs");
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(directory.join(format!(
        "{}-{}-{count}.log",
        kernel.suite,
        std::process::id()
    )))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BootError {
    let path = path.to_owned();
    move |source| BootError::Io { path, source }
}
