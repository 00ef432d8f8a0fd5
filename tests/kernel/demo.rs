//! `cargo demo`, the host's side: boots trixie's kernel, and tells what the chapters say as a timed story.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kernel_lab::guest::demo::STEP;
use kernel_lab::{Boot, Suite, protocol};

use crate::case::Profile;
use crate::cases;
use crate::host::guest_files;

/// The first argument that tells the story.
pub(crate) const DEMO: &str = "--demo";
/// The story takes about a minute and a half; a busy machine may need more.
const DEADLINE: Duration = Duration::from_secs(900);

/// Tells the story; a failure unless every chapter held what it says.
pub(crate) fn main() -> ExitCode {
    match tell() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell() -> Result<(), Box<dyn std::error::Error>> {
    let kernel = kernel_lab::available(Suite::Trixie)?;
    let cases = cases::all().into_iter().map(|case| case.name);
    let chapters: Vec<&str> = cases.filter(|name| name.starts_with("demo_")).collect();
    let mut boot = Boot::new(&kernel, std::env::current_exe()?);
    boot.files = guest_files(&chapters, Profile::Default)?;
    boot.deadline = DEADLINE;
    let mut story = Story {
        start: Instant::now(),
        passed: Vec::new(),
        written: Ok(()),
    };
    story.step("QEMU starts a machine without hardware virtualisation: half a minute, usually");
    let exit = boot.run(&mut |line| story.hear(line))?;
    if story.passed != chapters || exit.status != 0 {
        let console = exit.log.display();
        return Err(
            format!("not every chapter went as it should; the console is in {console}").into(),
        );
    }
    story.step("the end: nothing was lost");
    Ok(story.written?)
}

/// What was told so far.
struct Story {
    start: Instant,
    /// The chapters that held what they say.
    passed: Vec<String>,
    written: io::Result<()>,
}

impl Story {
    /// Takes one line of the guest.
    fn hear(&mut self, line: &str) {
        if line == protocol::AGAIN {
            self.passed.clear();
            return self.step("the machine broke, and starts again");
        }
        let Some(words) = line.strip_prefix("lab:") else {
            return;
        };
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "kernel" => self.step(&format!(
                "Linux {rest} is up, with an NVMe target of its own on the far side of a cable"
            )),
            "log" => match text.strip_prefix(STEP) {
                Some(step) => self.step(step),
                None => self.say(text),
            },
            "passed" => self.passed.push(name.to_owned()),
            "failed" => self.step(&format!("FAILED: {name}: {text}")),
            _ => {}
        }
    }

    /// A step, with the time since the start.
    fn step(&mut self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.write(&format!("\n[{seconds:5.1} s] {text}"));
    }

    /// What a step has shown.
    fn say(&mut self, text: &str) {
        self.write(&format!("          {text}"));
    }

    fn write(&mut self, line: &str) {
        if self.written.is_ok() {
            let mut out = io::stdout().lock();
            self.written = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    }
}
