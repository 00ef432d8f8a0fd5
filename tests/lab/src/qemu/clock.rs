//! What time is in the guest, and on what processors.

use std::env;

/// Whose time passes in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// One processor, whose clock counts its instructions, 2 ns each, and jumps to the next timer where there is nothing
    /// to do (QEMU's `-icount`). The same run gives the same times on an idle host and on a busy one, and a guest that
    /// waits costs nothing.
    Virtual,
    /// Two processors that run at once, with the clock of the host: for what depends on real parallelism, and for I/O to
    /// disks of the emulator, which takes the host's time: a virtual clock jumps over it to the next timer, and a request
    /// of a millisecond times out after half a minute.
    Real,
}

/// All that the emulator can, without what costs it time and no test is about: string instructions that count each byte
/// (`erms`, `fsrm`), a fifth level of page tables, and guards that make each copy to or from a program end a block of
/// translated code (`smap`, `smep`).
const PROCESSOR: &str = "max,erms=off,fsrm=off,la57=off,smap=off,smep=off";

impl Clock {
    /// QEMU's arguments for the accelerator and the processors.
    ///
    /// `LAB_ACCEL=kvm` takes KVM, which knows no virtual time. Only on demand: `/dev/kvm` may exist and still hang the
    /// guest.
    pub(super) fn machine(self) -> Vec<&'static str> {
        if env::var("LAB_ACCEL").is_ok_and(|accelerator| accelerator == "kvm") {
            return vec!["-accel", "kvm", "-cpu", "host", "-smp", "2"];
        }
        let mut arguments = vec!["-cpu", PROCESSOR];
        arguments.extend(match self {
            Self::Virtual => "-accel tcg,thread=single -smp 1 -icount shift=1,sleep=off".split(' '),
            Self::Real => "-accel tcg,thread=multi -smp 2".split(' '),
        });
        arguments
    }
}
