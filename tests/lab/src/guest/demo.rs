//! The first chapter of `cargo demo`: a volume whose cable is pulled and plugged in again, on the command line.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use nix::mount::{MsFlags, mount, umount};

use super::context;
use super::fabrics::wait_state;
use super::net::{self, NetworkNamespace};
use super::nvmet::{self, Port, Subsystem};

const NQN: &str = "nqn.2026-01.org.example:demo";
const FILE: &str = "/mnt/letter.txt";
const LETTER: &str = "written before the cable was pulled\n";

/// How a line begins that is a step of the story, and not what a step has shown.
pub const STEP: &str = "step: ";

/// Tells the chapter, line by line.
///
/// # Errors
/// What did not go as the story wants it.
pub fn run(say: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let mut story = Story { say };
    let _far = export_volume()?;
    story
        .step("connect: one write to /dev/nvme-fabrics, then wait for the device by its uevent")?;
    story.program(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        "10.0.0.2",
        "--nqn",
        NQN,
        "--wait",
        "--keep-alive-tmo",
        "1",
        "--reconnect-delay",
        "1",
    ])?;
    let device = story.program(&["resolve", "--nqn", NQN])?.trim().to_owned();

    story.step(&format!(
        "make a filesystem on {device}, mount it, write a file"
    ))?;
    make_and_mount(&device)?;
    fs::write(FILE, LETTER)?;
    fs::File::open(FILE)?.sync_all()?;

    let controller = only_controller()?;
    story.step("pull the cable")?;
    net::set_down("v0")?;
    wait_state(&controller, "connecting")?;
    story.program(&["list-subsys"])?;
    story.step("plug it in again")?;
    net::set_up("v0")?;
    wait_state(&controller, "live")?;
    story.step("read the file from the target, past the page cache")?;
    umount("/mnt")?;
    mount_volume(&device)?;
    let letter = fs::read_to_string(FILE)?;
    if letter != LETTER {
        return Err(io::Error::other(format!("the file holds {letter:?}")));
    }
    story.say(&format!("  {FILE}: {}", letter.trim_end()))?;

    story.step("disconnect while it is mounted: refused")?;
    story.refused(&["disconnect", "--nqn", NQN])?;
    story.step("unmount, disconnect")?;
    umount("/mnt")?;
    story.program(&["disconnect", "--nqn", NQN])?;
    story.program(&["list-subsys"])?;
    nvmet::clear()
}

struct Story<'a> {
    say: &'a mut dyn FnMut(&str) -> io::Result<()>,
}

impl Story<'_> {
    fn step(&mut self, text: &str) -> io::Result<()> {
        (self.say)(&format!("{STEP}{text}"))
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| (self.say)(line))
    }

    /// Runs our program, shows the command and what it printed, and wants exit code 0.
    fn program(&mut self, arguments: &[&str]) -> io::Result<String> {
        self.run(arguments, 0)
    }

    /// The same for a command that must be refused for safety.
    fn refused(&mut self, arguments: &[&str]) -> io::Result<String> {
        self.run(arguments, 5)
    }

    fn run(&mut self, arguments: &[&str], code: i32) -> io::Result<String> {
        self.say(&format!("  $ nvmeof-csi {}", arguments.join(" ")))?;
        let output = super::program("nvmeof-csi").args(arguments).output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in printed
            .lines()
            .chain(String::from_utf8_lossy(&output.stderr).lines())
        {
            self.say(&format!("    {line}"))?;
        }
        if output.status.code() == Some(code) {
            return Ok(printed);
        }
        Err(io::Error::other(format!(
            "nvmeof-csi {} ended with {}",
            arguments.join(" "),
            output.status
        )))
    }
}

/// The target: a 64 MiB volume behind cable `v0`, in a network of its own.
fn export_volume() -> io::Result<NetworkNamespace> {
    let far = NetworkNamespace::new()?;
    net::add_veth("v0", "t0", &far)?;
    net::add_address("v0", IpAddr::from([10, 0, 0, 1]), 24)?;
    net::set_up("v0")?;
    nvmet::backing_file(Path::new("/tmp/demo.img"), 64 << 20)?;
    let volume = Subsystem::create(NQN)?;
    volume.add_namespace(
        1,
        Path::new("/tmp/demo.img"),
        "dddddddd-dddd-4ddd-8ddd-dddddddddddd",
    )?;
    let port = Port::tcp(1, IpAddr::from([10, 0, 0, 2]), 4420)?;
    far.run(|| {
        net::add_address("t0", IpAddr::from([10, 0, 0, 2]), 24)?;
        net::set_up("t0")?;
        port.export(&volume)
    })?;
    Ok(far)
}

fn make_and_mount(device: &str) -> io::Result<()> {
    let made = context(
        super::program("mke2fs")
            .args(["-q", "-t", "ext4", device])
            .status(),
        || "mke2fs".to_owned(),
    )?;
    if !made.success() {
        return Err(io::Error::other(format!("mke2fs {device}: {made}")));
    }
    fs::create_dir_all("/mnt")?;
    mount_volume(device)
}

fn mount_volume(device: &str) -> io::Result<()> {
    let mounted = mount(
        Some(device),
        "/mnt",
        Some("ext4"),
        MsFlags::empty(),
        None::<&str>,
    );
    context(mounted.map_err(io::Error::from), || {
        format!("mount {device}")
    })
}

fn only_controller() -> io::Result<String> {
    let mut names = fs::read_dir("/sys/class/nvme")?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names
        .next()
        .ok_or_else(|| io::Error::other("no controller"))?
}
