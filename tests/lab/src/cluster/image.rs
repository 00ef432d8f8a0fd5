//! Container images: built by buildah from a Dockerfile, as people do, and put into containerd's store by a containerd
//! that runs for that alone. The guest then has nothing to import.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::settings;
use crate::command::{self, CommandError};

/// kubelet's images, by the name that its runtime uses.
const NAMESPACE: &str = "k8s.io";
/// What the runtime's own import marks an image with; one without it is not shown to kubelet.
const MANAGED: &str = "io.cri-containerd.image=managed";
/// For a program that starts or ends, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Its full name, such as `docker.io/library/nvmeof-csi:0.1.0`.
    pub name: String,
    /// The file that users build.
    pub dockerfile: PathBuf,
    /// The directory that it copies from.
    pub context: PathBuf,
}

/// Why there is no image, or no store of them.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// buildah, containerd or its client failed.
    #[error("cannot make or keep an image")]
    Command(#[from] CommandError),
    /// A file of ours.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// containerd does not answer.
    #[error("containerd did not answer for {PATIENCE:?}; its log is {log}")]
    Silent {
        /// What it said.
        log: PathBuf,
    },
}

impl Recipe {
    /// A recipe for one static program and nothing else, which the image starts with `argument`.
    ///
    /// # Errors
    /// When the context cannot be written below `directory`.
    pub fn of_one_program(
        name: &str,
        program: &Path,
        argument: Option<&str>,
        directory: &Path,
    ) -> Result<Self, ImageError> {
        let context = directory.join("context");
        fs::create_dir_all(&context).map_err(at(&context))?;
        let copy = context.join("program");
        fs::copy(program, &copy).map_err(at(program))?;
        let entry = std::iter::once("/program").chain(argument);
        let entry: Vec<_> = entry.map(|word| format!("{word:?}")).collect();
        let text = format!(
            "FROM scratch\nCOPY program /program\nENTRYPOINT [{}]\n",
            entry.join(", ")
        );
        let dockerfile = directory.join("Dockerfile");
        fs::write(&dockerfile, text).map_err(at(&dockerfile))?;
        Ok(Self {
            name: name.to_owned(),
            dockerfile,
            context,
        })
    }

    /// Builds it, and writes the archive that a runtime imports.
    ///
    /// # Errors
    /// [`ImageError::Command`] with what buildah says.
    pub fn build(&self, directory: &Path) -> Result<PathBuf, ImageError> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let archive = directory.join("image.tar");
        let mut build = buildah(directory, "bud");
        build.args(["--isolation", "chroot", "--tag", &self.name, "--file"]);
        command::output(build.arg(&self.dockerfile).arg(&self.context))?;
        let mut push = buildah(directory, "push");
        let to = format!("docker-archive:{}:{}", archive.display(), self.name);
        command::output(push.args(["--quiet", &self.name, &to]))?;
        Ok(archive)
    }
}

/// buildah with its storage in a directory of ours; vfs needs nothing of the kernel.
fn buildah(directory: &Path, verb: &str) -> Command {
    let mut command = Command::new("buildah");
    command.arg("--root").arg(directory.join("root"));
    command.arg("--runroot").arg(directory.join("run"));
    command.args(["--storage-driver", "vfs", verb]);
    command
}

/// A containerd that only keeps images.
struct Keeper {
    process: Child,
    socket: PathBuf,
    client: PathBuf,
    log: PathBuf,
}

/// Imports archives into the store at `root`, which the guest's containerd will find. Needs root: it mounts.
///
/// # Errors
/// [`ImageError`], naming the step that failed.
pub fn fill_store(
    containerd: &Path,
    archives: &[PathBuf],
    root: &Path,
    directory: &Path,
) -> Result<(), ImageError> {
    let keeper = Keeper::start(containerd, root, directory)?;
    for archive in archives {
        let mut import = keeper.client(&["images", "import", "--local", "--label", MANAGED]);
        command::output(import.arg(archive))?;
    }
    keeper.end()
}

impl Keeper {
    fn start(programs: &Path, root: &Path, directory: &Path) -> Result<Self, ImageError> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let config = directory.join("containerd.toml");
        fs::write(&config, settings::containerd_config(false)).map_err(at(&config))?;
        let socket = directory.join("containerd.sock");
        let log = directory.join("containerd.log");
        let file = fs::File::create(&log).map_err(at(&log))?;
        let program = programs.join("containerd");
        let mut command = Command::new(&program);
        command.arg("--config").arg(&config).arg("--root").arg(root);
        command.arg("--state").arg(directory.join("state"));
        command.arg("--address").arg(&socket);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        let process = command.spawn().map_err(at(&program))?;
        let keeper = Self {
            process,
            socket,
            client: programs.join("ctr"),
            log,
        };
        let deadline = Instant::now() + PATIENCE;
        while command::output(&mut keeper.client(&["version"])).is_err() {
            if Instant::now() > deadline {
                let log = keeper.log.clone();
                return Err(ImageError::Silent { log });
            }
            thread::sleep(ASK_AGAIN);
        }
        Ok(keeper)
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--address").arg(&self.socket);
        command.args(["--namespace", NAMESPACE]).args(arguments);
        command
    }

    /// Ends it by SIGTERM, so that its database is whole.
    fn end(mut self) -> Result<(), ImageError> {
        let id = i32::try_from(self.process.id()).expect("the number of a process");
        // It may have ended by itself, which the wait shows.
        let _asked = kill(Pid::from_raw(id), Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait().map_err(at(&self.log))?.is_none() {
            if Instant::now() > deadline {
                let log = self.log.clone();
                return Err(ImageError::Silent { log });
            }
            thread::sleep(ASK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Both fail only for a process that was reaped already.
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Io { path, source }
}
