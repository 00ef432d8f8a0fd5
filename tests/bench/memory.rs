//! The memory of a process: `/proc/PID/status`.

use std::fmt;
use std::fs;
use std::io;

/// Bytes of it that are in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All of them.
    pub(crate) resident: u64,
    /// Those that it shares with nobody and no file: heap and stacks.
    pub(crate) anonymous: u64,
    /// The most that there ever were.
    pub(crate) peak: u64,
}

impl Memory {
    /// Of a running process.
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        Ok(Self {
            resident: field(&status, "VmRSS")?,
            anonymous: field(&status, "RssAnon")?,
            peak: field(&status, "VmHWM")?,
        })
    }
}

fn field(status: &str, name: &str) -> io::Result<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let number = number.ok_or_else(|| io::Error::other(format!("no {name}: {status}")))?;
    Ok(number << 10)
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, anonymous, peak] = [self.resident, self.anonymous, self.peak].map(mebibytes);
        write!(
            formatter,
            "{resident} MiB (heap and stacks {anonymous}, peak {peak})"
        )
    }
}

/// With one digit behind the point.
fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10 + (1 << 19)) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}
