//! Tests on real kernels: one binary, both sides.
//!
//! On the host it packs itself as the guest's `/init`, boots the kernels and reports what the guest says,
//! in the usual output of `cargo test`. In the guest it is PID 1, which runs each case as a process of its
//! own and cleans up behind it; the cases are ordinary Rust functions under `cases/`.

#![expect(
    clippy::disallowed_methods,
    reason = "a test starts the program under test and polls with a deadline"
)]

mod autopsy;
mod case;
mod cases;
mod conformance;
mod debian;
mod demo;
mod disk;
mod guest;
mod host;
#[path = "../common/kubelet.rs"]
mod kubelet;
mod leftovers;
mod nbd;
mod plugin;
mod remains;
mod responder;
mod scene;
mod strace;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if std::process::id() == 1 {
        guest::main();
    }
    match arguments.as_slice() {
        [_, verb, name] if verb == guest::RUN_CASE => guest::run_case(name),
        [_, verb, path] if verb == writer::WRITE => writer::write_until_killed(path.as_ref()),
        [_, verb, path, first] if verb == writer::WRITE_MAPPED => {
            writer::write_mapped(path.as_ref(), first)
        }
        [_, verb] if verb == demo::DEMO => demo::main(),
        _ => host::main(),
    }
}
