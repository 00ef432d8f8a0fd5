//! The guest's root: a base archive per kernel (directories, /dev/console, modules), and one per boot behind it.
//!
//! The guest finds `/lab/modules/<name>.ko` and `/lab/modules.order`, one name per line in load order. The base
//! is kept in `target/lab/initramfs` under a hash of all that goes into it, so that it can never be out of date.

use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, CommandError};
use crate::cpio::{Archive, DeviceNumber, TooLarge};
use crate::kernels::Kernel;
use crate::modules::{self, Module, Selection};
use crate::place;

/// Directories that PID 1 mounts something on, or writes to.
const DIRECTORIES: [&str; 7] = ["proc", "sys", "dev", "run", "tmp", "etc", "mnt"];

/// The console that the kernel opens for PID 1 (Documentation/admin-guide/devices.txt).
const CONSOLE: DeviceNumber = DeviceNumber { major: 5, minor: 1 };

/// A file for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Where it stands in the guest.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// What it holds.
    pub content: Content,
}

impl GuestFile {
    /// A copy of the host's file, executable.
    pub fn program(path: impl Into<String>, host: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: 0o755,
            content: Content::Host(host.into()),
        }
    }

    /// A plain file with this content.
    pub fn text(path: impl Into<String>, text: &str) -> Self {
        Self {
            path: path.into(),
            mode: 0o644,
            content: Content::Bytes(text.as_bytes().to_vec()),
        }
    }
}

/// What a guest's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A copy of a file of the host.
    Host(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this path.
    Link(String),
}

/// Why no archive could be made.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file of the host cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A module cannot be decompressed.
    #[error("cannot decompress a module")]
    Decompress(#[source] CommandError),
    /// A file does not fit.
    #[error("cannot pack a file")]
    TooLarge(#[from] TooLarge),
}

/// Writes the whole initramfs of one boot: the kernel's base with the wanted modules, then `files`.
///
/// # Errors
/// [`InitramfsError`] with the file that could not be packed.
pub fn write(
    kernel: &Kernel,
    wanted: &[&str],
    files: &[GuestFile],
    to: &Path,
) -> Result<(), InitramfsError> {
    let base = base(kernel, wanted)?;
    fs::copy(&base, to).map_err(at(&base))?;
    let mut archive = Archive::default();
    for file in files {
        match &file.content {
            Content::Bytes(bytes) => archive.file(&file.path, file.mode, bytes)?,
            Content::Link(target) => archive.symlink(&file.path, target)?,
            Content::Host(host) => {
                archive.file(&file.path, file.mode, &fs::read(host).map_err(at(host))?)?;
            }
        }
    }
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(to)
        .map_err(at(to))?;
    file.write_all(&archive.finish()).map_err(at(to))
}

/// The kernel's base archive, made when it is not there.
fn base(kernel: &Kernel, wanted: &[&str]) -> Result<PathBuf, InitramfsError> {
    let directory = place::of("initramfs");
    let selection = modules::select_of(&kernel.modules, wanted).map_err(at(&kernel.modules))?;
    let path = directory.join(format!(
        "{}-{:016x}.cpio",
        kernel.release,
        hash(&selection)?
    ));
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(&directory)
        .map_err(at(&directory))?;
    file.write_all(&pack_base(&selection)?).map_err(at(&path))?;
    // Two processes may do this at once: each renames the same content over the other's.
    file.persist(&path).map_err(|error| InitramfsError::Io {
        path: path.clone(),
        source: error.error,
    })?;
    Ok(path)
}

fn pack_base(selection: &Selection) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Archive::default();
    for directory in DIRECTORIES {
        archive.directory(directory);
    }
    archive.character_device("dev/console", 0o600, CONSOLE);
    let mut order = String::new();
    for module in &selection.load {
        archive.file(
            &format!("lab/modules/{}.ko", module.name),
            0o644,
            &decompressed(module)?,
        )?;
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("lab/modules.order", 0o644, order.as_bytes())?;
    Ok(archive.finish())
}

/// Of everything that decides the content: the modules, and the code that packs them.
fn hash(selection: &Selection) -> Result<u64, InitramfsError> {
    let mut hasher = DefaultHasher::new();
    (include_str!("initramfs.rs"), include_str!("cpio.rs")).hash(&mut hasher);
    for module in &selection.load {
        let content = fs::read(&module.path).map_err(at(&module.path))?;
        (&module.name, content).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// The code of a module.
///
/// # Errors
/// [`InitramfsError`] where it cannot be read or decompressed.
pub fn decompressed(module: &Module) -> Result<Vec<u8>, InitramfsError> {
    if module
        .path
        .extension()
        .is_some_and(|extension| extension == "xz")
    {
        return command::output(Command::new("xz").arg("-dc").arg(&module.path))
            .map_err(InitramfsError::Decompress);
    }
    fs::read(&module.path).map_err(at(&module.path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InitramfsError {
    let path = path.to_owned();
    move |source| InitramfsError::Io { path, source }
}
