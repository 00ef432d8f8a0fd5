//! Reading both serial ports of a running guest until it is done, broken or late.
//!
//! Two threads read, the caller's thread decides: a port that never says anything cannot hold up the deadline.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::console::{self, Console, Damage};
use crate::protocol::Line;

use super::ConsoleOutput;
use super::child::Child;

/// How long the kernel gets to print its call trace after the first line of an oops.
const TRACE_TIME: Duration = Duration::from_secs(3);

/// How a boot ended; all but the exit carry the console's last lines.
#[derive(Debug)]
pub(super) enum Ending {
    /// The guest gave its status.
    Exit(i32),
    /// The kernel panicked or had an oops.
    Panic(String),
    /// The kernel broke by the emulator's known fault.
    EmulatorFault(String),
    /// QEMU ended.
    Closed(String),
    /// Time is up.
    Deadline(String),
}

/// What a port said.
enum Heard {
    Console(String),
    Guest(String),
    Closed,
}

/// Where the console goes, and until when to listen.
pub(super) struct Listener {
    pub(super) console: ConsoleOutput,
    pub(super) log: File,
    pub(super) end: Instant,
}

impl Listener {
    /// Listens to the end and kills the child. The error is the log's.
    pub(super) fn listen(
        mut self,
        child: &mut Child,
        line: &mut dyn FnMut(&str),
    ) -> io::Result<Ending> {
        let (stdout, stderr) = child.outputs();
        let (sender, heard) = mpsc::channel();
        let for_guest = sender.clone();
        let guest = thread::spawn(move || read_lines(stdout, &for_guest, Heard::Guest));
        let console = thread::spawn(move || read_lines(stderr, &sender, Heard::Console));
        let ending = self.decide(&heard, line);
        child.kill()?;
        guest.join().expect("the reader of lines does not panic");
        console.join().expect("the reader of lines does not panic");
        ending
    }

    fn decide(
        &mut self,
        heard: &Receiver<Heard>,
        line: &mut dyn FnMut(&str),
    ) -> io::Result<Ending> {
        let mut tail = Console::default();
        let mut open_ports = 2;
        let mut worst = Damage::None;
        let mut end = self.end;
        loop {
            match heard.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Heard::Guest(text)) if worst == Damage::None => match Line::parse(&text) {
                    Line::Exit(status) => return Ok(Ending::Exit(status)),
                    _ => line(&text),
                },
                Ok(Heard::Guest(_)) => {}
                Ok(Heard::Console(text)) => {
                    self.keep(&text)?;
                    tail.push(&text);
                    if worst == Damage::None && console::judge(&text) != Damage::None {
                        end = end.min(Instant::now() + TRACE_TIME);
                    }
                    worst = worst.max(console::judge(&text));
                    if worst != Damage::None && console::ends_trace(&text) {
                        return Ok(broken(worst, tail.tail()));
                    }
                }
                Ok(Heard::Closed) if open_ports > 1 => open_ports -= 1,
                Ok(Heard::Closed) | Err(RecvTimeoutError::Disconnected) => {
                    return Ok(match worst {
                        Damage::None => Ending::Closed(tail.tail()),
                        worst => broken(worst, tail.tail()),
                    });
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(match worst {
                        Damage::None => Ending::Deadline(tail.tail()),
                        worst => broken(worst, tail.tail()),
                    });
                }
            }
        }
    }

    fn keep(&mut self, text: &str) -> io::Result<()> {
        if self.console == ConsoleOutput::Stderr {
            eprintln!("{text}");
        }
        writeln!(self.log, "{text}")
    }
}

fn broken(worst: Damage, tail: String) -> Ending {
    match worst {
        Damage::EmulatorFault => Ending::EmulatorFault(tail),
        Damage::Panic | Damage::None => Ending::Panic(tail),
    }
}

/// Sends each line, without its line break and whatever its bytes are, then that the port is closed.
fn read_lines(port: impl Read, to: &Sender<Heard>, kind: fn(String) -> Heard) {
    let mut port = BufReader::new(port);
    let mut bytes = Vec::new();
    while port
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|count| count > 0)
    {
        let text = String::from_utf8_lossy(&bytes);
        // The other side stops receiving once it has decided: what comes after that is of no interest.
        let _ = to.send(kind(text.trim_end_matches(['\r', '\n']).to_owned()));
        bytes.clear();
    }
    let _ = to.send(Heard::Closed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A shell script in QEMU's place: its standard output is the guest's port, its standard error the console.
    fn listen_to(script: &str, time: Duration) -> (Ending, Vec<String>) {
        let mut child = Child::spawn(Command::new("sh").args(["-c", script])).expect("sh starts");
        let log = tempfile::tempfile().expect("a file");
        let end = Instant::now() + time;
        let listener = Listener {
            console: ConsoleOutput::LogOnly,
            log,
            end,
        };
        let mut lines = Vec::new();
        let ending = listener.listen(&mut child, &mut |line| lines.push(line.to_owned()));
        (ending.expect("the log takes it"), lines)
    }

    const AMPLE: Duration = Duration::from_secs(60);

    #[test]
    fn lines_come_in_order_and_the_exit_line_ends_the_boot() {
        let (ending, lines) = listen_to(
            "printf 'one\\r\\ntwo\\n'; echo lab:exit 3; exec sleep 600",
            AMPLE,
        );
        assert!(matches!(ending, Ending::Exit(3)), "{ending:?}");
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_guest_that_never_says_a_byte_ends_at_the_deadline() {
        let (ending, lines) = listen_to("exec sleep 600", Duration::from_millis(50));
        assert!(matches!(ending, Ending::Deadline(_)), "{ending:?}");
        assert!(lines.is_empty());
    }

    #[test]
    fn an_oops_ends_the_boot_with_its_trace() {
        let script = "echo 'Oops: 0000 [#1]' >&2; echo ' nvme_queue_rq' >&2; echo '---[ end trace 0 ]---' >&2; exec sleep 600";
        let (ending, _) = listen_to(script, AMPLE);
        assert!(
            matches!(&ending, Ending::Panic(tail) if tail.contains("nvme_queue_rq")),
            "{ending:?}"
        );
    }

    #[test]
    fn the_emulators_fault_is_an_ending_of_its_own() {
        let (ending, _) = listen_to("echo 'Oops: int3: 0000 [#1]' >&2", AMPLE);
        assert!(matches!(ending, Ending::EmulatorFault(_)), "{ending:?}");
    }

    #[test]
    fn an_emulator_that_ends_by_itself_leaves_its_last_words() {
        let (ending, _) = listen_to("echo 'qemu: no such machine' >&2; exit 1", AMPLE);
        assert!(
            matches!(&ending, Ending::Closed(tail) if tail.contains("no such machine")),
            "{ending:?}"
        );
    }
}
