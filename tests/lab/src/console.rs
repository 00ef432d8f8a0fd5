//! What the kernel says on its console when it is broken (pure).

use std::collections::VecDeque;

/// How many of the last lines are kept for an error.
const TAIL_LINES: usize = 60;

/// How bad a console line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// An ordinary line.
    None,
    /// A panic or an oops: nothing that the guest says from now on counts.
    Panic,
    /// `Oops: int3`: QEMU's TCG ran a static key while the kernel patched it on the other processor. The kernel is
    /// not to blame, and the same boot may be tried again.
    EmulatorFault,
}

/// Judges one line. The words are those of `panic()` (kernel/panic.c), of `BUG()` (lib/bug.c), of a bad page fault
/// (arch/x86/mm/fault.c) and of every oops: `__die_header` (arch/x86/kernel/dumpstack.c) counts them as `[#1]`, `[#2]`.
pub(crate) fn judge(line: &str) -> Damage {
    const BROKEN: [&str; 5] = [
        "Kernel panic - not syncing",
        "kernel BUG at ",
        "BUG: unable to handle page fault",
        "BUG: kernel NULL pointer dereference",
        " [#",
    ];
    if line.contains("Oops: int3") {
        Damage::EmulatorFault
    } else if BROKEN.iter().any(|words| line.contains(words)) {
        Damage::Panic
    } else {
        Damage::None
    }
}

/// Is this the last line of an oops or panic, so that its call trace is complete?
pub(crate) fn ends_trace(line: &str) -> bool {
    line.contains("---[ end ")
}

/// The last lines of the console.
#[derive(Debug, Default)]
pub(crate) struct Console {
    lines: VecDeque<String>,
}

impl Console {
    pub(crate) fn push(&mut self, line: &str) {
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    pub(crate) fn tail(&self) -> String {
        self.lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_oopses_are_recognised() {
        for line in [
            "[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
            "[   10.0] Oops: 0000 [#1] PREEMPT SMP NOPTI",
            "[   10.0] general protection fault, probably for non-canonical address 0x6b6b: 0000 [#1] PREEMPT SMP",
            "[   10.0] BUG: kernel NULL pointer dereference, address: 0000000000000010",
            "[   10.0] kernel BUG at fs/ext4/inode.c:2719!",
        ] {
            assert_eq!(judge(line), Damage::Panic, "{line}");
        }
    }

    #[test]
    fn the_emulators_fault_is_told_from_the_kernels() {
        assert_eq!(
            judge("[   33.1] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI"),
            Damage::EmulatorFault
        );
    }

    #[test]
    fn warnings_and_lockups_of_a_slow_machine_are_no_panic() {
        for line in [
            "[    9.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
            "[    9.0] ------------[ cut here ]------------",
            "[    9.0] nvme nvme0: reconnecting",
            "[    9.0] traps: nvmeof-csi[80] general protection fault ip:7f sp:7f error:0",
            "",
        ] {
            assert_eq!(judge(line), Damage::None, "{line}");
        }
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut console = Console::default();
        for number in 0..100 {
            console.push(&format!("line {number}"));
        }
        assert!(console.tail().starts_with("line 40\n") && console.tail().ends_with("line 99\n"));
    }
}
