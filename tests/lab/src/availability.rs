//! Whether the lab can be had on this machine as it is: for tests, which never install or download anything.

use crate::command::find_program;
use crate::kernels::{self, Kernel, KernelError};
use crate::qemu::QEMU;
use crate::suite::Suite;

/// Why the lab cannot be had. The text ends with the command that helps.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The guest runs the host's own programs.
    #[error(
        "the lab's kernels are for x86_64, this machine is {architecture}: run the tests on such a machine"
    )]
    Architecture {
        /// Rust's name of this machine's architecture.
        architecture: &'static str,
    },
    /// A program is not installed.
    #[error("{program} is not installed: run `cargo lab setup`")]
    NoProgram {
        /// The program.
        program: &'static str,
    },
    /// The kernel was not downloaded.
    #[error("no kernel of {suite}: run `cargo lab setup --kernels {suite}`")]
    NoKernel {
        /// The suite.
        suite: Suite,
        /// Why what is there does not count.
        source: KernelError,
    },
    /// `LAB_KERNEL_DIR` is set and has no such kernel.
    #[error(transparent)]
    NotGiven(KernelError),
}

/// The suite's kernel, if all that a boot needs is there.
///
/// # Errors
/// [`Unavailable`], to be shown as it is: it names the command that helps.
pub fn available(suite: Suite) -> Result<Kernel, Unavailable> {
    let architecture = std::env::consts::ARCH;
    if architecture != "x86_64" {
        return Err(Unavailable::Architecture { architecture });
    }
    for program in [QEMU, "xz"] {
        find_program(program).ok_or(Unavailable::NoProgram { program })?;
    }
    kernels::find(suite).map_err(|source| match source {
        KernelError::NotGiven { .. } => Unavailable::NotGiven(source),
        source => Unavailable::NoKernel { suite, source },
    })
}
