//! What a case is, and on which machine it wants to run.

use kernel_lab::Clock;

/// On the kernel command line, where cases at random moments shall have all their rounds.
pub(crate) const ALL_ROUNDS: &str = "lab.rounds=all";

/// So many of the rounds of a case at random moments: all of them with `cargo lab faults`, else a third.
pub(crate) fn rounds(all: u32) -> u32 {
    let words = kernel_lab::guest::cmdline().expect("the kernel command line");
    match words.iter().any(|word| word == ALL_ROUNDS) {
        true => all,
        false => all.div_ceil(3),
    }
}

/// The machine that a case runs on. Cases of one profile share one boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Profile {
    /// Native multipath on, a PCIe controller beside the fabrics ones.
    Default,
    /// `nvme_core.multipath=N`.
    MultipathOff,
    /// A Debian host runs beside it, with udev, LVM, md and multipathd.
    DebianHost,
    /// With little memory, and two disks of its own beside it: [`OTHER_DISK_MIB`] and [`TARGET_DISK_MIB`] large.
    LittleMemory,
}

/// A disk that nothing else is on.
pub(crate) const OTHER_DISK_MIB: u32 = 128;
/// A disk for a target, whose volume is then not in memory.
pub(crate) const TARGET_DISK_MIB: u32 = 384;

impl Profile {
    /// The size of the memory.
    pub(crate) fn memory_mib(self) -> u32 {
        match self {
            Self::LittleMemory => 512,
            _ => 1024,
        }
    }

    /// The sizes of the PCIe disks.
    pub(crate) fn disks_mib(self) -> Vec<u32> {
        match self {
            Self::LittleMemory => vec![OTHER_DISK_MIB, TARGET_DISK_MIB],
            _ => vec![16],
        }
    }

    /// The words for the kernel command line.
    pub(crate) fn append(self) -> Vec<String> {
        match self {
            Self::Default | Self::DebianHost | Self::LittleMemory => Vec::new(),
            Self::MultipathOff => vec!["nvme_core.multipath=N".to_owned()],
        }
    }
}

/// What a case cannot do without; where it is missing the case is ignored by name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// A module of the kernel.
    Module(&'static str),
    /// nvme-cli, to compare with.
    NvmeCli,
    /// csi-sanity, the conformance suite.
    CsiSanity,
    /// The programs of a Debian host, with the time of [`Need::Faults`], on the kernel of their suite.
    DebianHost,
    /// The time of `cargo lab faults`: the kernel is among those that `LAB_FAULTS` names.
    Faults,
}

/// What a kernel can is in no list of its own: it shows by a word, such as the name of an attribute, in the code of a module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    /// The module.
    pub(crate) module: &'static str,
    /// What its code holds where the kernel can do it.
    pub(crate) word: &'static str,
}

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// A sentence of fact.
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    pub(crate) clock: Clock,
    pub(crate) need: Option<Need>,
    /// What the kernel must be able to do; where it is not, the case is ignored by name.
    pub(crate) asks: Option<Word>,
    /// Panics where the fact does not hold.
    pub(crate) run: fn(),
}

impl Case {
    pub(crate) const fn new(name: &'static str, run: fn()) -> Self {
        Self {
            name,
            profile: Profile::Default,
            clock: Clock::Virtual,
            need: None,
            asks: None,
            run,
        }
    }

    /// Whether it is a row of the table of faults.
    pub(crate) fn is_row(&self) -> bool {
        self.name.starts_with("row_")
    }

    pub(crate) const fn on(self, profile: Profile) -> Self {
        Self { profile, ..self }
    }

    /// With two processors that run at once, and the clock of the host: what it shows depends on real parallelism, or a
    /// disk of the emulator's is behind it, which takes the host's time.
    pub(crate) const fn in_real_time(self) -> Self {
        Self {
            clock: Clock::Real,
            ..self
        }
    }

    pub(crate) const fn asks(self, word: Word) -> Self {
        Self {
            asks: Some(word),
            ..self
        }
    }

    pub(crate) const fn needs(self, need: Need) -> Self {
        Self {
            need: Some(need),
            ..self
        }
    }
}
