//! What a program says: its last lines for an error, and now and then one for the log.
//!
//! Programs draw their progress with backspaces and carriage returns, so a line is what a terminal
//! would show of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is kept of the end.
const TAIL: usize = 16 << 10;
/// Least time between two lines in the log.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// The output of one program.
#[derive(Debug)]
pub(super) struct Output {
    program: &'static str,
    /// The last complete lines, with their length in bytes.
    lines: VecDeque<String>,
    length: usize,
    line: Vec<u8>,
    logged: Option<Instant>,
}

impl Output {
    pub(super) fn new(program: &'static str) -> Output {
        Output {
            program,
            lines: VecDeque::new(),
            length: 0,
            line: Vec::new(),
            logged: None,
        }
    }

    /// Takes in more, which came at `now`.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => self.line.clear(),
                b'\x08' => drop(self.line.pop()),
                _ if self.line.len() < TAIL => self.line.push(byte),
                _ => {}
            }
        }
        if let Some(line) = self.line_to_log(now) {
            tracing::info!(program = self.program, line, "progress of a program");
        }
    }

    /// The last lines that are not blank, joined.
    pub(super) fn text(mut self) -> String {
        self.end_line();
        Vec::from(self.lines).join("; ")
    }

    fn end_line(&mut self) {
        let line = shown(&self.line);
        self.line.clear();
        if line.is_empty() {
            return;
        }
        self.length += line.len();
        self.lines.push_back(line);
        while self.length > TAIL {
            let oldest = self.lines.pop_front();
            self.length -= oldest.map_or(self.length, |line| line.len());
        }
    }

    /// The newest line, when the last one in the log is old enough.
    fn line_to_log(&mut self, now: Instant) -> Option<String> {
        let due = |logged: Instant| now.saturating_duration_since(logged) >= LOG_EVERY;
        if !self.logged.is_none_or(due) {
            return None;
        }
        let line = Some(shown(&self.line)).filter(|line| !line.is_empty());
        let line = line.or_else(|| self.lines.back().cloned())?;
        self.logged = Some(now);
        Some(line)
    }
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> Output {
        let mut output = Output::new("mke2fs");
        let now = Instant::now();
        for text in texts {
            output.push(text.as_bytes(), now);
        }
        output
    }

    #[test]
    fn progress_that_is_drawn_over_itself_is_one_line() {
        let inodes = "Writing inode tables:  0/16\x08\x08\x08\x08\x08 1/16";
        let done = "\x08\x08\x08\x08\x08done     \n\nCreating journal: done\n";
        let output = after(&[inodes, done]);
        assert_eq!(
            output.text(),
            "Writing inode tables: done; Creating journal: done"
        );
        assert_eq!(after(&["12%\r50%\r", "99%"]).text(), "99%");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let line = "x".repeat(1000);
        let output = after(&[&format!("first\n{}last", format!("{line}\n").repeat(40))]);
        let text = output.text();
        assert!(text.len() <= TAIL + 2 * 17, "{}", text.len());
        assert!(text.ends_with("; last") && !text.contains("first"));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let output = after(&[&"y".repeat(3 * TAIL)]);
        assert_eq!(output.text().len(), TAIL);
    }

    #[test]
    fn the_log_gets_a_line_at_most_every_five_seconds() {
        let mut output = Output::new("mke2fs");
        let start = Instant::now();
        assert_eq!(output.line_to_log(start), None, "nothing was said");
        output.push(b"one\n", start);
        output.push(b"two\n", start);
        assert_eq!(output.line_to_log(start + LOG_EVERY / 2), None);
        let later = output.line_to_log(start + LOG_EVERY);
        assert_eq!(later.as_deref(), Some("two"));
    }
}
