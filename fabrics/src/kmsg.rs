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

use crate::error::ConnectError;
use crate::message::cause;
use crate::options::ConnectOptions;
use crate::refusal::Explanation;

/// `CONSOLE_EXT_LOG_MAX` of the kernel: no record is longer.
const MAX_RECORD: usize = 8192;

/// A flood of unrelated records is not read to its end.
const MAX_RECORDS: usize = 4096;

/// The log from the moment of its opening on.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

impl KernelLog {
    /// Opens the log behind its last record.
    ///
    /// # Errors
    /// Where there is no `dev/kmsg` below the root, or its reading is not permitted.
    pub fn open(root: &Path) -> io::Result<KernelLog> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(root.join("dev/kmsg"))?;
        file.seek(SeekFrom::End(0))?;
        Ok(KernelLog { file })
    }

    /// The texts of the records written since the opening, or since the last call.
    ///
    /// # Errors
    /// Those of read(2); records that were overwritten meanwhile are left out, and no error.
    pub fn read(&mut self) -> io::Result<Vec<String>> {
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
        ConnectError::Kernel(mut refused) if refused.is_bare() => {
            refused.explanation = look(log);
            ConnectError::Kernel(refused)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nvme_sysfs::Transport;
    use tempfile::TempDir;

    use super::*;
    use crate::cause::Cause;
    use crate::fixture::{VOLUME, put};
    use crate::refusal::Refusal;

    /// A log that holds the record of an earlier failure.
    fn root() -> TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        put(
            &root,
            "dev/kmsg",
            &record("Connect command failed, error wo/DNR bit: 6"),
        );
        root
    }

    fn record(text: &str) -> String {
        format!("3,1207,5140900021,-;nvme nvme0: {text}\n SUBSYSTEM=nvme\n DEVICE=+nvme:nvme0\n")
    }

    fn append(root: &TempDir, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(root.path().join("dev/kmsg"))
            .expect("the log");
        file.write_all(text.as_bytes()).expect("room");
    }

    fn options() -> ConnectOptions {
        let mut builder = crate::fixture::options(Transport::Tcp);
        builder.traddr("192.0.2.1").build().expect("valid options")
    }

    fn rejected() -> ConnectError {
        ConnectError::from_write(io::Error::from_raw_os_error(5), &options())
    }

    #[test]
    fn only_what_was_logged_since_the_opening_is_read() {
        let root = root();
        let mut log = KernelLog::open(root.path()).expect("readable");
        assert_eq!(log.read().expect("readable"), Vec::<String>::new());
        append(&root, &record("one"));
        append(&root, "6,1208,5140900022,-;nvme_tcp: two; three\n");
        assert_eq!(
            log.read().expect("readable"),
            ["nvme nvme0: one", "nvme_tcp: two; three"]
        );
    }

    #[test]
    fn a_bare_failure_is_explained_by_the_log() {
        let root = root();
        let log = KernelLog::open(root.path());
        let text = format!("Connect Invalid Data Parameter, subsysnqn \"{VOLUME}\"");
        append(&root, &record(&text));
        let error = explained(rejected(), log, &options());
        assert_eq!(error.cause(), Some(&Cause::UnknownSubsystem));
        assert!(
            error
                .to_string()
                .ends_with("no such subsystem on this port"),
            "{error}"
        );
    }

    #[test]
    fn a_raw_line_is_never_repeated() {
        let root = root();
        let log = KernelLog::open(root.path());
        append(&root, &record("something secret"));
        let error = explained(rejected(), log, &options());
        assert!(error.cause().is_none());
        assert!(
            error
                .to_string()
                .ends_with("the kernel's log names no known cause"),
            "{error}"
        );
    }

    #[test]
    fn a_log_that_cannot_be_read_is_said_to_be_so() {
        let log = Err(io::Error::from_raw_os_error(1));
        let error = explained(rejected(), log, &options());
        let text = error.to_string();
        assert!(
            text.contains("cannot be read (Operation not permitted"),
            "{text}"
        );
        assert!(text.ends_with("CAP_SYSLOG is needed"), "{text}");
    }

    #[test]
    fn a_failure_that_explains_itself_stays_as_it_is() {
        let root = root();
        let refused = ConnectError::from_write(io::Error::from_raw_os_error(111), &options());
        let error = explained(refused, KernelLog::open(root.path()), &options());
        assert_eq!(error.refusal(), Some(Refusal::Refused), "{error:?}");
    }
}
