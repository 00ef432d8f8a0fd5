//! Puts the kernel into the situations that the fixtures show, and sends what it says then.

mod maps;

use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;

use nix::mount::{MsFlags, mount, umount};

use super::fabrics::{connect, controller, delete, wait_path, wait_state};
use super::net::{self, NetworkNamespace};
use super::nvmet::{self, Port, Subsystem};
use super::uevents::Uevents;
use super::{Channel, Machine, context};
use crate::tree;

const HOST: &str = "hostnqn=nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa,hostid=aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const NQN: &str = "nqn.2026-01.org.example:volume-1";
const DISCOVERY: &str = "nqn.2014-08.org.nvmexpress.discovery";
const TARGET: &str = "10.0.0.2";
const UUIDS: [&str; 2] = [
    "11111111-1111-4111-8111-111111111111",
    "22222222-2222-4222-8222-222222222222",
];
/// What a capture holds; entries that a kernel lacks are left out.
const PATHS: [&str; 9] = [
    "sys/class/nvme",
    "sys/class/nvme-subsystem",
    "sys/class/nvme-fabrics",
    "sys/devices/virtual/nvme-fabrics",
    "sys/devices/virtual/nvme-subsystem",
    "sys/block",
    "sys/dev/block",
    "sys/module/nvme_core/parameters",
    "sys/module/nvme_core/version",
];

/// Runs every recipe that the machine was booted for (`lab.capture=` on its command line).
pub(super) fn run(machine: &Machine, what: &str, channel: &mut Channel) -> io::Result<()> {
    let suite = super::word("lab.suite=")?.unwrap_or_else(|| "unknown".to_owned());
    let mut capture = Capture {
        machine,
        suite,
        channel,
        far: NetworkNamespace::new()?,
    };
    capture.lay_cable()?;
    match what {
        "fabrics" => capture.fabrics(),
        "multipath-off" => capture.multipath_off(),
        "pcie" => capture.pcie(),
        "maps" => capture.maps(),
        other => Err(io::Error::other(format!("no capture is called {other:?}"))),
    }
}

struct Capture<'a> {
    machine: &'a Machine,
    suite: String,
    channel: &'a mut Channel,
    far: NetworkNamespace,
}

impl Capture<'_> {
    fn lay_cable(&self) -> io::Result<()> {
        net::add_veth("v0", "t0", &self.far)?;
        net::add_address("v0", IpAddr::from([10, 0, 0, 1]), 24)?;
        net::set_up("v0")?;
        self.far.run(|| {
            net::add_address("t0", IpAddr::from([10, 0, 0, 2]), 24)?;
            net::set_up("t0")
        })
    }

    fn fabrics(&mut self) -> io::Result<()> {
        self.supported_options()?;
        self.one_path()?;
        self.two_paths()?;
        self.two_namespaces()?;
        self.connecting()?;
        self.orphan()?;
        self.held()?;
        self.discovery_log()?;
        self.loopback()
    }

    fn supported_options(&mut self) -> io::Result<()> {
        let mut text = String::new();
        fs::File::open("/dev/nvme-fabrics")?.read_to_string(&mut text)?;
        let path = format!("supported/{}.txt", self.suite);
        self.channel.file(&path, text.as_bytes())
    }

    /// One TCP path; then its events, a mounted filesystem's row in mountinfo, and its removal.
    fn one_path(&mut self) -> io::Result<()> {
        let volume = self.target(&[1])?;
        let events = Uevents::listen()?;
        let name = self.connect(4420, "keep_alive_tmo=1,reconnect_delay=1")?;
        let device = head(&name)?;
        self.events("connect", &events)?;
        self.tree("one-path", "one TCP path, one namespace", &[])?;
        self.mountinfo(&device)?;

        net::set_down("v0")?;
        wait_state(&name, "connecting")?;
        net::set_up("v0")?;
        wait_state(&name, "live")?;
        self.events("reconnect", &events)?;
        delete(&name)?;
        self.events("removal", &events)?;
        drop(volume);
        nvmet::clear()
    }

    fn two_paths(&mut self) -> io::Result<()> {
        let volume = self.target(&[1])?;
        let second = self.port(2, 4421, &volume)?;
        second.set_ana_state(1, "inaccessible")?;
        let first = self.connect(4420, "ctrl_loss_tmo=-1")?;
        head(&first)?;
        let other = self.connect(4421, "fast_io_fail_tmo=7")?;
        wait_path_of(&other)?;
        self.tree(
            "two-paths-ana",
            "two TCP paths, ANA optimized and inaccessible",
            &[],
        )?;
        self.delete_all(&[first, other])
    }

    fn two_namespaces(&mut self) -> io::Result<()> {
        self.target(&[1, 7])?;
        let name = self.connect(4420, "hdr_digest")?;
        wait_path("/dev/nvme0n2")?;
        self.tree("two-namespaces", "one TCP path, namespaces 1 and 7", &[])?;
        self.delete_all(&[name])
    }

    fn connecting(&mut self) -> io::Result<()> {
        self.target(&[1])?;
        let name = self.connect(4420, "keep_alive_tmo=1,reconnect_delay=1")?;
        head(&name)?;
        net::set_down("v0")?;
        wait_state(&name, "connecting")?;
        self.tree("connecting", "one TCP path whose link is cut", &[])?;
        net::set_up("v0")?;
        wait_state(&name, "live")?;
        self.delete_all(&[name])
    }

    fn orphan(&mut self) -> io::Result<()> {
        let volume = self.target(&[1])?;
        volume.disable(1)?;
        let name = self.connect(4420, "nr_io_queues=1")?;
        wait_state(&name, "live")?;
        self.tree(
            "orphan",
            "a live controller, its only namespace not enabled",
            &[],
        )?;
        self.delete_all(&[name])
    }

    /// The head outlives its controller where the kernel has `delayed_removal_secs`.
    fn held(&mut self) -> io::Result<()> {
        self.target(&[1])?;
        let name = self.connect(4420, "nr_io_queues=1")?;
        let device = head(&name)?;
        let delay = Path::new("/sys/block")
            .join(&device)
            .join("delayed_removal_secs");
        if delay.exists() {
            fs::write(&delay, "5")?;
            delete(&name)?;
            self.tree(
                "held",
                "controller deleted, head kept by delayed_removal_secs",
                &[],
            )?;
            let gone = || !delay.exists();
            return super::fabrics::wait_for("the held head to go", gone)
                .and_then(|()| nvmet::clear());
        }
        self.delete_all(&[name])
    }

    /// One subsystem, the discovery subsystem itself, and a referral.
    fn discovery_log(&mut self) -> io::Result<()> {
        let volume = self.target(&[1])?;
        let port = self.port(2, 4421, &volume)?;
        port.refer("second", IpAddr::from([10, 0, 0, 3]), 8009)?;
        let name = connect(&format!(
            "transport=tcp,traddr={TARGET},trsvcid=4421,nqn={DISCOVERY},{HOST}"
        ))?;
        wait_state(&name, "live")?;
        let log = super::admin::discovery_log(&name, 4096)?;
        let path = format!("discovery/{}-one-subsystem-one-referral.bin", self.suite);
        self.channel.file(&path, &log)?;
        self.delete_all(&[name])
    }

    fn loopback(&mut self) -> io::Result<()> {
        if self.machine.lacks("nvme-loop") {
            return Ok(());
        }
        let volume = volume(&[1])?;
        Port::loopback(9)?.export(&volume)?;
        let name = connect(&format!("transport=loop,nqn={NQN},{HOST}"))?;
        head(&name)?;
        self.tree("loop", "the loop transport, no address", &[])?;
        self.delete_all(&[name])
    }

    fn multipath_off(&mut self) -> io::Result<()> {
        let volume = self.target(&[1])?;
        self.port(2, 4421, &volume)?;
        let first = self.connect(4420, "nr_io_queues=1")?;
        let second = self.connect(4421, "nr_io_queues=1")?;
        wait_path("/dev/nvme0n1")?;
        wait_path("/dev/nvme1n1")?;
        self.tree("multipath-off", "nvme_core.multipath=N, two TCP paths", &[])?;
        self.delete_all(&[first, second])
    }

    fn pcie(&mut self) -> io::Result<()> {
        self.target(&[1])?;
        let name = self.connect(4420, "nr_io_queues=1")?;
        head(&name)?;
        let pcie = fs::read_link("/sys/class/nvme/nvme0")?;
        let directory = format!("sys/{}", pcie.to_string_lossy().trim_start_matches("../"));
        self.tree(
            "pcie",
            "QEMU's PCIe controller beside one TCP path",
            &[&directory],
        )?;
        self.delete_all(&[name])
    }

    /// A subsystem with these namespaces on port 4420.
    fn target(&self, namespaces: &[u32]) -> io::Result<Subsystem> {
        let volume = volume(namespaces)?;
        self.port(1, 4420, &volume)?;
        Ok(volume)
    }

    fn port(&self, number: u16, service: u16, volume: &Subsystem) -> io::Result<Port> {
        let port = Port::tcp(number, IpAddr::from([10, 0, 0, 2]), service)?;
        self.far.run(|| port.export(volume))?;
        Ok(port)
    }

    fn connect(&self, service: u16, more: &str) -> io::Result<String> {
        connect(&format!(
            "transport=tcp,traddr={TARGET},trsvcid={service},nqn={NQN},{HOST},{more}"
        ))
    }

    fn delete_all(&self, names: &[String]) -> io::Result<()> {
        names.iter().try_for_each(|name| delete(name))?;
        nvmet::clear()
    }

    fn tree(&mut self, name: &str, recipe: &str, more: &[&str]) -> io::Result<()> {
        let header = [format!("Linux {}", self.machine.release), recipe.to_owned()];
        let paths = [&PATHS[..], more].concat();
        let tree = tree::capture(Path::new("/"), &paths, &header).map_err(io::Error::other)?;
        let path = format!("sysfs/{}-{name}.tree", self.suite);
        self.channel.file(&path, tree.to_text().as_bytes())
    }

    fn events(&mut self, name: &str, events: &Uevents) -> io::Result<()> {
        let path = format!("uevent/{}-{name}.bin", self.suite);
        self.channel.file(&path, &events.record()?)
    }

    fn mountinfo(&mut self, device: &str) -> io::Result<()> {
        let device = format!("/dev/{device}");
        let made = context(
            super::program("mke2fs")
                .args(["-q", "-t", "ext4", &device])
                .status(),
            || "mke2fs".to_owned(),
        )?;
        if !made.success() {
            return Err(io::Error::other(format!("mke2fs: {made}")));
        }
        let target = "/mnt/with space";
        fs::create_dir_all(target)?;
        context(
            mount(
                Some(&*device),
                target,
                Some("ext4"),
                MsFlags::empty(),
                None::<&str>,
            )
            .map_err(Into::into),
            || device.clone(),
        )?;
        let table = fs::read("/proc/self/mountinfo")?;
        umount(target)?;
        self.channel
            .file(&format!("mountinfo/{}-ext4.txt", self.suite), &table)
    }
}

fn volume(namespaces: &[u32]) -> io::Result<Subsystem> {
    let volume = Subsystem::create(NQN)?;
    // Serial numbers are random by default: a fixture that is captured again shall differ only where the kernel does.
    volume.set("attr_serial", "lab-serial-1")?;
    for (nsid, uuid) in namespaces.iter().zip(UUIDS) {
        let file = format!("/tmp/{uuid}.img");
        nvmet::backing_file(Path::new(&file), 64 << 20)?;
        volume.add_namespace(*nsid, Path::new(&file), uuid)?;
    }
    Ok(volume)
}

/// Waits for the first disk of a controller's subsystem, until it can be opened, and gives its name.
///
/// The open waits until the kernel has looked for partitions: a link cut in the middle of that keeps a controller of 6.1
/// in `resetting` until the read times out, and no capture is to show that.
fn head(name: &str) -> io::Result<String> {
    wait_state(name, "live")?;
    let number = name.trim_start_matches("nvme");
    let device = format!("nvme{number}n1");
    let path = format!("/dev/{device}");
    wait_path(&path)?;
    context(fs::File::open(&path), || path.clone())?;
    Ok(device)
}

/// Waits for a hidden path disk of a controller.
fn wait_path_of(name: &str) -> io::Result<()> {
    let directory = controller(name);
    super::fabrics::wait_for(&format!("a path of {name}"), || {
        fs::read_dir(&directory).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    let name = entry.file_name();
                    name.to_string_lossy().starts_with("nvme")
                        && name.to_string_lossy().contains('c')
                })
            })
        })
    })
}
