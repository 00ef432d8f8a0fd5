//! What a cluster boots from: the images, the disk, the keys.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kernel_lab::cluster::credentials::Credentials;
use kernel_lab::cluster::disk::{self, Contents};
use kernel_lab::cluster::image::{self, Recipe};
use kernel_lab::cluster::machine::{Machine, MachineError, Start};
use kernel_lab::cluster::peers::Peers;
use kernel_lab::cluster::settings;
use kernel_lab::command::find_program;
use kernel_lab::qemu::ConsoleOutput;
use kernel_lab::{Kernel, Suite, available, place};
use tempfile::TempDir;

use crate::{keys, writer};

/// As the manifests name them, in the runtime's words.
const PRODUCT_IMAGE: &str = "docker.io/library/nvmeof-csi:0.1.0";
const ATTACHER_IMAGE: &str = "registry.k8s.io/sig-storage/csi-attacher:v4.13.0";
/// A machine on which all cases run is hung by then.
const DEADLINE: Duration = Duration::from_secs(90 * 60);
/// One on which the few run that every run has.
const DEADLINE_OF_FEW: Duration = Duration::from_secs(18 * 60);

/// All that is needed to boot, any number of times.
pub(crate) struct Lab {
    kernel: Kernel,
    peers: Peers,
    credentials: Credentials,
    init: PathBuf,
    directory: TempDir,
}

/// Whether all cases are to run, and not only those of every run.
pub(crate) fn all_asked() -> bool {
    std::env::var_os("LAB_CLUSTER").is_some_and(|value| value == "all")
}

/// What of it this machine has.
#[derive(Debug)]
pub(crate) struct Parts {
    kernel: Kernel,
    peers: Peers,
}

impl Parts {
    /// The parts, or the command that gets what is missing.
    pub(crate) fn find() -> Result<Parts, String> {
        let kernel = available(Suite::Trixie).map_err(|reason| reason.to_string())?;
        if !nix::unistd::geteuid().is_root() {
            return Err("containerd's store is filled by root only: run as root".to_owned());
        }
        let peers = Peers::find();
        let image_packages = repository().join("target/image/packages");
        match peers {
            Some(peers) if find_program("buildah").is_some() && image_packages.is_dir() => {
                Ok(Parts { kernel, peers })
            }
            _ => Err("no programs of a cluster: run `cargo lab cluster`".to_owned()),
        }
    }
}

impl Lab {
    /// Builds the images and the disk: about twenty seconds.
    pub(crate) fn new(parts: Parts) -> Result<Lab, Box<dyn Error>> {
        let Parts { kernel, peers } = parts;
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let init = directory.path().join("program");
        shrink(&std::env::current_exe()?, &init)?;
        let lab = Lab {
            kernel,
            peers,
            credentials: keys::new()?,
            init,
            directory,
        };
        let archives = lab.images()?;
        let root = lab.path("root");
        let contents = Contents {
            peers: &lab.peers,
            kernel: &lab.kernel,
            init: &lab.init,
            product: product(),
            credentials: &lab.credentials,
        };
        disk::fill(&root, &contents)?;
        let keeper = lab.path("containerd");
        image::fill_store(
            &lab.peers.containerd,
            &archives,
            &disk::store(&root),
            &keeper,
        )?;
        disk::make(&root, &lab.path("disk"))?;
        fs::remove_dir_all(&root)?;
        Ok(lab)
    }

    /// Boots.
    pub(crate) fn boot(&self, console: ConsoleOutput) -> Result<Machine, MachineError> {
        Machine::start(&Start {
            kernel: &self.kernel,
            init: &self.init,
            disk: &self.path("disk"),
            kubeconfig: &self.kubeconfig(),
            credentials: &self.credentials,
            kubernetes: &self.peers.kubernetes,
            deadline: match all_asked() {
                true => DEADLINE,
                false => DEADLINE_OF_FEW,
            },
            console,
        })
    }

    /// For clients on this machine, once it was booted.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// What proves the API server.
    pub(crate) fn authority(&self) -> &str {
        &self.credentials.authority
    }

    /// The archives of the three images.
    fn images(&self) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let context = self.path("context");
        let mut make = Command::new(repository().join("deploy/image/make-context"));
        make.arg("--binary")
            .arg(product())
            .arg("--output")
            .arg(&context);
        make.env("SOURCE_DATE_EPOCH", "1700000000")
            .stdout(Stdio::null());
        if !make.status()?.success() {
            return Err("make-context failed".into());
        }
        let recipe = Recipe {
            name: PRODUCT_IMAGE.to_owned(),
            dockerfile: repository().join("deploy/image/Dockerfile"),
            context,
        };
        let product = recipe.build(&self.path("product"))?;
        let single = |name: &str, program: &Path, argument, directory: &str| {
            let directory = self.path(directory);
            Recipe::of_one_program(name, program, argument, &directory)?.build(&directory)
        };
        let pause = Some(writer::PAUSE);
        let pod = single(settings::POD_IMAGE, &self.init, pause, "pod")?;
        let attacher = single(ATTACHER_IMAGE, &self.peers.attacher, None, "attacher")?;
        Ok(vec![product, pod, attacher])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A copy without what only a debugger reads: it is in the initramfs, on the disk and in an image.
fn shrink(program: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut strip = Command::new("strip");
    strip.arg("--strip-all").arg("-o").arg(to).arg(program);
    match strip.status()?.success() {
        true => Ok(()),
        false => Err("strip failed".into()),
    }
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn product() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_nvmeof-csi"))
}

/// Where logs of a cluster are kept.
pub(crate) fn logs() -> PathBuf {
    place::workspace().join("target/lab/logs/cluster")
}
