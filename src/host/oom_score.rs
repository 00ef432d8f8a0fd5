//! Whom the kernel ends when memory runs out: `/proc/PID/oom_score_adj` (proc(5)), from -1000, never,
//! to 1000, first.
//!
//! The plugin is to be among the last: it is what brings volumes back, and dirty memory of theirs is
//! what may have filled the machine. The programs that it starts are not: a check of a large
//! filesystem takes much memory, and can be repeated.

use std::path::Path;

use super::attribute::{AttributeError, write};

/// Behind everything but what may never be ended.
const LAST: &str = "-999";
/// As any program.
const ORDINARY: &str = "0";

/// Puts this process among the last; the kernel wants `CAP_SYS_RESOURCE` for it.
///
/// # Errors
/// [`AttributeError`].
pub fn be_among_the_last(root: &Path) -> Result<(), AttributeError> {
    write(&root.join("proc/self/oom_score_adj"), LAST)
}

/// Makes a program, which began with our score, as likely to be ended as any.
///
/// # Errors
/// [`AttributeError`].
pub(crate) fn make_ordinary(root: &Path, process: u32) -> Result<(), AttributeError> {
    write(
        &root.join(format!("proc/{process}/oom_score_adj")),
        ORDINARY,
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_process_gets_its_score_below_the_root() {
        let root = tempfile::tempdir().expect("temporary directory");
        for process in ["self", "7"] {
            let directory = root.path().join("proc").join(process);
            fs::create_dir_all(&directory).expect("directory");
            fs::write(directory.join("oom_score_adj"), "-997\n").expect("file");
        }
        be_among_the_last(root.path()).expect("written");
        make_ordinary(root.path(), 7).expect("written");
        let read = |process: &str| {
            let path = root.path().join("proc").join(process);
            fs::read_to_string(path.join("oom_score_adj")).expect("a score")
        };
        assert!(read("self").starts_with("-999"));
        assert!(read("7").starts_with('0'));
    }

    #[test]
    fn a_machine_without_scores_gets_none() {
        let root = tempfile::tempdir().expect("temporary directory");
        let error = be_among_the_last(root.path()).expect_err("nothing is there");
        assert!(error.to_string().ends_with("proc/self/oom_score_adj"));
        assert!(!root.path().join("proc").exists());
    }
}
