//! The program `nvmeof-csi`: arguments in, exit code out.

use std::env;
use std::process::ExitCode;

use nvmeof_csi::cli::{self, usage};

/// One heap for all threads, which gives back what it does not use any more. glibc's keeps a share for
/// each of the dozens of threads that wait for devices, as large as the largest work of each.
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().collect();
    let exit = usage::read(&arguments).map_or_else(|exit| exit, cli::run);
    exit.into()
}
