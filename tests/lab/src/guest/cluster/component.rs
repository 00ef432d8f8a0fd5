//! The node's own programs: etcd, the API server and the rest, each with a log.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::settings;
use crate::guest::context;

/// How long a program may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The programs that run.
#[derive(Debug, Default)]
pub(super) struct Components {
    running: BTreeMap<String, Child>,
}

impl Components {
    /// Starts a component by the line that the host has written for it; stops it first where it runs.
    pub(super) fn restart(&mut self, name: &str) -> io::Result<()> {
        self.stop(name)?;
        let file = settings::command_file(name);
        let line = context(fs::read_to_string(&file), || file.clone())?;
        let mut words = line.split_whitespace();
        let program = words.next().ok_or_else(|| io::Error::other(file))?;
        let path = settings::log_file(name);
        let log = File::options().create(true).append(true).open(&path);
        let log = context(log, || path)?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        command.env_clear().envs(settings::ENVIRONMENT);
        let child = context(command.spawn(), || format!("start {program}"))?;
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    /// Stops a component by SIGTERM, or SIGKILL where that does not do.
    pub(super) fn stop(&mut self, name: &str) -> io::Result<()> {
        let Some(mut child) = self.running.remove(name) else {
            return Ok(());
        };
        let id = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        // It may have ended by itself.
        let _asked = kill(id, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
            }
            thread::sleep(ASK_AGAIN);
        }
        Ok(())
    }

    /// Those that have ended although nobody stopped them, with how.
    pub(super) fn ended(&mut self) -> io::Result<Vec<String>> {
        let mut ended = Vec::new();
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait()? {
                let how = status
                    .signal()
                    .map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
                ended.push(format!("{name}: {how}"));
            }
        }
        Ok(ended)
    }
}
