//! The product behind a real kubelet: a Kubernetes of one node in a guest, with the image that users build and the
//! manifests that users apply. One binary for all of it.
//!
//! On the host it makes images and a disk, boots, runs the cases one after the other against the API server and the
//! guest's agent, and reports in the usual output of `cargo test`. In the guest it is PID 1 and the agent, and in the
//! guest's pods the process that writes to volumes.

#![expect(
    clippy::disallowed_methods,
    reason = "a test starts programs and polls with a deadline"
)]

mod case;
mod cases;
mod cluster;
mod host;
mod keep;
mod keys;
mod lab;
mod logs;
mod objects;
mod pod;
mod volume;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Before anything else, because in a pod this is process 1, too.
    match words.as_slice() {
        [_, writer::PAUSE] => return writer::pause(),
        [_, writer::WRITE, path] => return writer::write(path.as_ref()),
        _ => {}
    }
    if let Some(code) = kernel_lab::guest::cluster::run_if_asked() {
        return code;
    }
    match words.as_slice() {
        [_, keep::KEEP] => keep::main(),
        _ => host::main(),
    }
}
