//! The kernel's log, `/dev/kmsg` below the root.
//!
//! Format of a record (Documentation/ABI/testing/dev-kmsg): `priority,sequence,time,flags;text`,
//! then continuation lines that start with a blank. Reading needs CAP_SYSLOG where
//! `dmesg_restrict` is on, which is Debian's default.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::cause::cause;
use crate::error::{ConnectError, Explanation};
use crate::options::ConnectOptions;

/// `CONSOLE_EXT_LOG_MAX` of the kernel: no record is longer.
const MAX_RECORD: usize = 8192;

/// A flood of unrelated records is not read to its end.
const MAX_RECORDS: usize = 4096;

/// The log from the moment of its opening on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    file: File,
}

impl KernelLog {
    /// Opens the log behind its last record.
    pub(crate) fn open(root: &Path) -> io::Result<KernelLog> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(root.join("dev/kmsg"))?;
        file.seek(SeekFrom::End(0))?;
        Ok(KernelLog { file })
    }

    /// The texts of the records written since the opening.
    pub(crate) fn read(&mut self) -> io::Result<Vec<String>> {
        let mut texts = Vec::new();
        let mut buffer = vec![0; MAX_RECORD];
        for _ in 0..MAX_RECORDS {
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => texts.extend(parse_texts(&String::from_utf8_lossy(&buffer[..len]))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The oldest records were overwritten meanwhile; the next read goes on behind them.
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(texts)
    }
}

/// Looks the cause of a bare failure up in a log that was opened before the call.
pub(crate) fn explained(
    error: ConnectError,
    log: io::Result<KernelLog>,
    options: &ConnectOptions,
) -> ConnectError {
    let look = |log: io::Result<KernelLog>| match log.and_then(|mut log| log.read()) {
        Ok(records) => cause(records.iter().map(String::as_str), options)
            .map_or(Explanation::NothingLogged, Explanation::Known),
        Err(error) => Explanation::LogUnreadable(error),
    };
    match error {
        ConnectError::Invalid { nqn, .. } => {
            let explanation = look(log);
            ConnectError::Invalid { nqn, explanation }
        }
        ConnectError::Rejected { nqn, .. } => {
            let explanation = look(log);
            ConnectError::Rejected { nqn, explanation }
        }
        other => other,
    }
}

/// The text of each record in `raw`; lines that are no records are left out.
fn parse_texts(raw: &str) -> impl Iterator<Item = String> {
    raw.lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(';'))
        .map(|(_, text)| text.to_owned())
}
