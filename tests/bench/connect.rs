//! What `Fabrics::connect` costs beside the bare write and read of the same options, on a real kernel.
//!
//! One binary, both sides: on the host it boots trixie's kernel with itself as `/init`; in the guest it is PID 1, exports
//! a volume over TCP on the loopback link, and connects to it both ways by turns.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kernel_lab::guest::nvmet::{self, Port, Subsystem};
use kernel_lab::guest::{Channel, Machine, live};
use kernel_lab::{Boot, Suite, protocol};
use nvme_fabrics::{ConnectHow, ConnectOptions, Disconnected, Fabrics, Reply};
use nvme_sysfs::{Instance, Nqn, Transport};

use times::Times;

mod times;

const ROUNDS: usize = 25;
/// Far longer than anything takes on the slowest emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const UUID: &str = "11111111-1111-4111-8111-111111111111";
const HOSTNQN: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const SERVICE: u16 = 4420;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        live(|machine, channel| measure(machine, channel).map_err(io::Error::other));
    }
    // `cargo test --benches` leaves this word out: there is nothing to test here.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match boot() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn boot() -> Result<(), Box<dyn Error>> {
    let kernel = match kernel_lab::available(Suite::Trixie) {
        Ok(kernel) => kernel,
        Err(reason) => {
            println!("connect: not measured: {reason}");
            return Ok(());
        }
    };
    let exit = Boot::new(&kernel, env::current_exe()?).run(&mut |line| {
        if line != protocol::AGAIN {
            println!("{line}");
        }
    })?;
    match exit.status {
        0 => Ok(()),
        status => Err(format!("the guest ended with {status}; see {}", exit.log.display()).into()),
    }
}

/// The guest's side.
fn measure(machine: &Machine, channel: &mut Channel) -> Result<(), Box<dyn Error + Send + Sync>> {
    let _port = export()?;
    let nqn: Nqn = NQN.parse()?;
    let options = ConnectOptions::builder(Transport::Tcp, nqn.clone())
        .traddr(Ipv4Addr::LOCALHOST.to_string())
        .trsvcid(SERVICE.to_string())
        .hostnqn(HOSTNQN.parse()?)
        .hostid(HOSTID.parse()?)
        .build()?;
    let fabrics = Fabrics::at("/");
    let (mut bare, mut library) = (Times::default(), Times::default());
    for round in 0..=ROUNDS {
        let (bare_time, instance) = time(|| connect_bare(&options))?;
        disconnect(&fabrics, instance, &nqn)?;
        let (library_time, instance) = time(|| connect(&fabrics, &options))?;
        disconnect(&fabrics, instance, &nqn)?;
        // The first round finds cold caches.
        if round > 0 {
            bare.add(bare_time);
            library.add(library_time);
        }
    }
    let release = &machine.release;
    channel.line(&format!(
        "connect over TCP on Linux {release}, emulated, {ROUNDS} rounds (fastest / median)"
    ))?;
    channel.line(&format!("bare open, write, read   {bare}"))?;
    channel.line(&format!("Fabrics::connect         {library}"))?;
    let ratio = library.ratio_to(&bare).ok_or("no rounds")?;
    channel.line(&format!("ratio of the medians     {ratio:.2}"))?;
    Ok(())
}

fn export() -> io::Result<Port> {
    let file = Path::new("/tmp/volume.img");
    nvmet::backing_file(file, 64 << 20)?;
    let subsystem = Subsystem::create(NQN)?;
    subsystem.add_namespace(1, file, UUID)?;
    let port = Port::tcp(1, Ipv4Addr::LOCALHOST.into(), SERVICE)?;
    port.export(&subsystem)?;
    Ok(port)
}

fn time<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(Duration, T), E> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}

/// No more than the kernel asks for.
fn connect_bare(options: &ConnectOptions) -> Result<Instance, Box<dyn Error + Send + Sync>> {
    let text = options.encode();
    let mut device = File::options()
        .read(true)
        .write(true)
        .open("/dev/nvme-fabrics")?;
    device.write_all(text.as_bytes())?;
    let mut reply = [0; 128];
    let length = device.read(&mut reply)?;
    Ok(Reply::parse(&String::from_utf8_lossy(&reply[..length]))?.instance)
}

fn connect(
    fabrics: &Fabrics,
    options: &ConnectOptions,
) -> Result<Instance, Box<dyn Error + Send + Sync>> {
    let connected = fabrics.connect(options, PATIENCE)?;
    match connected.how {
        ConnectHow::Created => Ok(connected.controller),
        ConnectHow::Adopted => Err(format!("{} was still there", connected.controller).into()),
    }
}

fn disconnect(
    fabrics: &Fabrics,
    instance: Instance,
    nqn: &Nqn,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    match fabrics.disconnect(instance, nqn, PATIENCE)? {
        Disconnected::Deleted => Ok(()),
        Disconnected::AlreadyGone => Err(format!("{instance} went by itself").into()),
    }
}
