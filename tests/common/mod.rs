//! Runs the built program on a tree of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// Fails unless the program ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Fails unless standard error contains each of `words`.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Run {
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not said: {self:#?}");
        }
        self
    }
}

/// The program, to be run on the tree at `root`.
pub(crate) fn program(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command
        .arg("--root")
        .arg(root)
        .args(arguments)
        .env_remove("NVMEOF_ROOT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program on the tree at `root` to its end.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Run {
    program(root, arguments).output().expect("it starts").into()
}

/// A captured tree, to be changed at will.
pub(crate) fn captured(name: &str) -> TempDir {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/sysfs")
        .join(format!("{name}.tree"));
    kernel_lab::tree::unpack(&file).expect("a captured tree")
}

/// A machine without NVMe: sysfs is there, and nothing of ours in it.
pub(crate) fn empty() -> TempDir {
    let root = tempfile::tempdir().expect("temporary directory");
    fs::create_dir_all(root.path().join("sys/class")).expect("directory");
    root
}

/// Writes a file below `root`, with the directories that it needs.
pub(crate) fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
    fs::write(path, content).expect("file");
}

/// Reads a file below `root`.
pub(crate) fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).expect("a readable file")
}
