//! Hosts for tests: captured sysfs trees with files of `/dev` and `/etc` beside them.

use std::fs;
use std::path::{Path, PathBuf};

use kernel_lab::tree::unpack;
use nvme_sysfs::{Nqn, Transport};
use tempfile::TempDir;

use crate::options::{ConnectOptions, ConnectOptionsBuilder};
use crate::tuning::ConnectTuning;

/// UUID of the host on which the trees were captured.
pub(crate) const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// NQN of that host.
pub(crate) const HOSTNQN: &str =
    "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// The subsystem that the trees are connected to.
pub(crate) const VOLUME: &str = "nqn.2026-01.org.example:volume-1";

/// The tree `fixtures/sysfs/<name>.tree` as a root.
pub(crate) fn host(name: &str) -> TempDir {
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/sysfs");
    unpack(&trees.join(format!("{name}.tree"))).expect(name)
}

/// The NQN of the trees' subsystem.
pub(crate) fn volume() -> Nqn {
    VOLUME.parse().expect("a name")
}

/// Options of the trees' host for the trees' subsystem.
pub(crate) fn options(transport: Transport) -> ConnectOptionsBuilder {
    let mut builder = ConnectOptions::builder(transport, volume());
    builder.hostnqn(HOSTNQN.parse().expect("a name"));
    builder.hostid(HOSTID.parse().expect("a UUID"));
    builder
}

/// Options for the trees' subsystem at a TCP address, without a host.
pub(crate) fn tcp() -> ConnectOptionsBuilder {
    let mut builder = ConnectOptions::builder(Transport::Tcp, volume());
    builder.traddr("192.0.2.1");
    builder
}

/// The same, tuned.
pub(crate) fn tuned(change: impl FnOnce(&mut ConnectTuning)) -> ConnectOptionsBuilder {
    let mut tuning = ConnectTuning::default();
    change(&mut tuning);
    let mut builder = tcp();
    builder.tuning(tuning);
    builder
}

/// What `build` says of options that break a rule.
pub(crate) fn refusal(builder: &ConnectOptionsBuilder) -> String {
    builder.build().expect_err("a broken rule").to_string()
}

/// Path of one attribute of `nvmeN` below a root.
pub(crate) fn attribute(root: &TempDir, controller: &str, name: &str) -> PathBuf {
    root.path()
        .join("sys/class/nvme")
        .join(controller)
        .join(name)
}

/// Writes `text` to a file below a root, and the directories that lead to it.
pub(crate) fn put(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, text).expect("a file");
}

/// A plain file that answers like `/dev/nvme-fabrics` to one connect with `options`.
///
/// Read from the start it lists the tokens of the options, padded with empty pieces to the length
/// of the encoded text; what stands behind the written text is read as the reply.
pub(crate) fn put_device(root: &TempDir, options: &ConnectOptions, reply: &str) {
    let tokens: Vec<String> = options.tokens().tokens().collect();
    let list = format!("instance=-1,cntlid=-1,{}", tokens.join(","));
    let padding = ",".repeat(options.encode().as_bytes().len() - list.len());
    put(root, "dev/nvme-fabrics", &format!("{list}{padding}{reply}"));
}
