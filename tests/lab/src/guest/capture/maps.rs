//! A device-mapper map over a head, in the situations that a loss brings it into.
//!
//! dmsetup makes and changes it: what a fixture shows is the kernel's, and the program under test has no part in it.

use std::fs;
use std::io;

use super::super::fabrics::{delete, wait_for};
use super::super::nvmet;
use super::{Capture, context, head};

/// The map of a volume that is called `volume-1`.
const NAME: &str = "nvmeof-d7bcad7efe1f4d75";
const UUID: &str = "NVMEOF-CSI-d7bcad7efe1f4d75";
const DIRECTORY: &str = "sys/devices/virtual/block/dm-0";

impl Capture<'_> {
    /// The map while all is well, suspended, with a failed path; then over a head that is gone, beside the new one, and let
    /// go.
    pub(super) fn maps(&mut self) -> io::Result<()> {
        self.target(&[1])?;
        let first = self.connect(4420, "ctrl_loss_tmo=0")?;
        let device = head(&first)?;
        let number = attribute(&device, "dev")?;
        create(&device, &number)?;
        self.map("map", "a map over the head of one TCP path")?;
        dmsetup(&["suspend", "--noflush", "--nolockfs", NAME])?;
        self.map("map-suspended", "the map, suspended")?;
        dmsetup(&["resume", NAME])?;
        dmsetup(&["message", NAME, "0", &format!("fail_path {number}")])?;
        self.map("map-failed", "the map, its only path failed")?;
        dmsetup(&["message", NAME, "0", &format!("reinstate_path {number}")])?;
        delete(&first)?;
        self.map("map-lost", "the map over a head that is gone")?;
        let second = self.connect(4420, "ctrl_loss_tmo=0")?;
        wait_for("the new head", || head_of_subsystem().is_some())?;
        self.map("map-behind", "the map over a gone head beside the new one")?;
        dmsetup(&["message", NAME, "0", "fail_if_no_path"])?;
        self.map("map-let-go", "the same, and I/O without a path fails")?;
        dmsetup(&["remove", NAME])?;
        delete(&second)?;
        nvmet::clear()
    }

    /// The tree, and what device-mapper says of the map: its table, then its status.
    fn map(&mut self, name: &str, recipe: &str) -> io::Result<()> {
        self.tree(name, recipe, &[DIRECTORY])?;
        let table = dmsetup(&["table", NAME])?;
        let status = dmsetup(&["status", "--noflush", NAME])?;
        let path = format!("dm/{}-{name}.txt", self.suite);
        self.channel.file(&path, &[table, status].concat())
    }
}

fn create(device: &str, number: &str) -> io::Result<()> {
    let sectors = attribute(device, "size")?;
    let table = format!(
        "0 {sectors} multipath 3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 {number} 1"
    );
    dmsetup(&["create", NAME, "--uuid", UUID, "--table", &table]).map(drop)
}

fn attribute(device: &str, name: &str) -> io::Result<String> {
    let path = format!("/sys/block/{device}/{name}");
    let text = context(fs::read_to_string(&path), || path.clone())?;
    Ok(text.trim().to_owned())
}

/// A head that has a path; one that is gone may keep its name taken for as long as the map has it open.
fn head_of_subsystem() -> Option<String> {
    let entries = fs::read_dir("/sys/block").ok()?;
    let names =
        entries.map_while(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let mut heads = names.filter(|name| name.starts_with("nvme") && !name.contains('c'));
    heads.find(|name| fs::metadata(format!("/dev/{name}")).is_ok())
}

/// What it prints. There is no udev in the guest to wait for.
fn dmsetup(arguments: &[&str]) -> io::Result<Vec<u8>> {
    let mut command = super::super::program("dmsetup");
    command
        .args(arguments)
        .args(["--noudevsync", "--noudevrules"]);
    let output = context(command.output(), || "dmsetup".to_owned())?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(format!(
            "dmsetup {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))),
    }
}
