//! Checks a filesystem before it is mounted: `e2fsck -p` for ext4.
//!
//! `-p` repairs what it can without asking: it replays the journal, and looks at everything only
//! where the superblock asks for it. Errors that are counted are not among that, and stay counted: where
//! some are left, everything is looked at. Exit codes (e2fsck(8)): 0 clean, 1 corrected, 4 errors left,
//! 8 and up no verdict. There is nothing to run for xfs: its log is replayed by the mount, and
//! `fsck.xfs` does nothing.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::CheckError;
use crate::host::command::{CommandError, Finished, Invocation, Programs};
use crate::host::device_node::{DeviceNode, Opening};
use crate::host::filesystem_type::FilesystemType;
use crate::host::signature::{Check, read_ext};

/// Checks the filesystem; see [`crate::host::Host::check`].
///
/// # Errors
/// [`CheckError`].
pub(crate) fn check(
    root: &Path,
    programs: &Programs,
    deadline: Duration,
    device: &DeviceNode,
    fs: FilesystemType,
) -> Result<(), CheckError> {
    match fs {
        FilesystemType::Ext4 => check_ext4(root, programs, deadline, device),
        FilesystemType::Xfs => Ok(()),
    }
}

fn check_ext4(
    root: &Path,
    programs: &Programs,
    deadline: Duration,
    device: &DeviceNode,
) -> Result<(), CheckError> {
    let exclusive = device.open(root, Opening::Exclusive)?;
    // Keeps number and name of the disk from being re-used; e2fsck opens it exclusively itself.
    let kept = device.open(root, Opening::Shared)?;
    drop(exclusive);
    let run = |options: &[&str]| {
        let mut arguments: Vec<OsString> = options.iter().map(Into::into).collect();
        arguments.push(device.path.clone().into());
        let invocation = Invocation {
            program: "e2fsck",
            arguments,
            deadline,
        };
        let finished = programs.run(&invocation);
        let finished = finished.map_err(|source| failed(device, source))?;
        verdict(device, &invocation, finished)
    };
    run(&["-p"])?;
    match read_ext(&kept) {
        Ok(Some(ext)) if ext.check == Check::Needed => run(&["-p", "-f"]),
        // What cannot be read, or is no ext any more, is found by the mount that follows.
        _ => Ok(()),
    }
}

fn verdict(
    device: &DeviceNode,
    invocation: &Invocation,
    finished: Finished,
) -> Result<(), CheckError> {
    match finished.status.code() {
        Some(0) => Ok(()),
        Some(1) => {
            let output = finished.output;
            tracing::warn!(%device, output, "errors of a filesystem were corrected");
            Ok(())
        }
        // A sum of bits, of which those above say that there is no verdict.
        Some(code) if code & 4 != 0 && code < 8 => Err(CheckError::Uncorrected {
            device: device.path.clone(),
            output: finished.output,
        }),
        _ => Err(failed(device, finished.into_error(invocation))),
    }
}

fn failed(device: &DeviceNode, source: CommandError) -> CheckError {
    let device = device.path.clone();
    CheckError::Program { device, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use nvme_sysfs::DevT;

    use super::*;

    fn ended(wait_status: i32) -> Result<(), CheckError> {
        let device = DeviceNode {
            path: "/x/nvme0n1".into(),
            dev: DevT {
                major: 259,
                minor: 0,
            },
            diskseq: None,
        };
        let invocation = Invocation {
            program: "e2fsck",
            arguments: vec!["-p".into(), "/x/nvme0n1".into()],
            deadline: Duration::ZERO,
        };
        let finished = Finished {
            status: ExitStatus::from_raw(wait_status),
            output: "Inode 12 is zapped.".to_owned(),
        };
        verdict(&device, &invocation, finished)
    }

    fn exited(code: i32) -> Result<(), CheckError> {
        ended(code << 8)
    }

    #[test]
    fn clean_and_corrected_pass() {
        exited(0).expect("clean");
        exited(1).expect("corrected");
    }

    #[test]
    fn errors_that_are_left_name_the_tool_and_what_it_said() {
        for code in [4, 5, 6, 7] {
            let error = exited(code).expect_err("errors are left");
            assert_eq!(
                error.to_string(),
                "/x/nvme0n1 has errors that are not repaired automatically, \
                 run e2fsck by hand: Inode 12 is zapped.",
                "{code}"
            );
        }
    }

    #[test]
    fn without_a_verdict_there_is_no_pass() {
        for code in [2, 3, 8, 12, 16, 32, 128] {
            let error = exited(code).expect_err("no verdict");
            assert!(
                matches!(error, CheckError::Program { .. }),
                "{code}: {error}"
            );
        }
        let killed = ended(9).expect_err("killed by signal 9");
        assert!(matches!(killed, CheckError::Program { .. }), "{killed}");
    }
}
