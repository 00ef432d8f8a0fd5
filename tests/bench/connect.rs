//! What `Fabrics::connect` costs beside the bare write and read of the same options, on a real kernel.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its result")]

use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kernel_lab::guest::{Channel, Machine};
use nvme_fabrics::{ConnectHow, ConnectOptions, Disconnected, Fabrics, Reply};
use nvme_sysfs::{Instance, Nqn};

use guest::{Failure, NQN, PATIENCE};
use times::Times;

mod guest;
mod times;

const ROUNDS: usize = 25;

fn main() -> ExitCode {
    guest::main("connect", measure)
}

/// Both ways by turns.
fn measure(machine: &Machine, channel: &mut Channel) -> Result<(), Failure> {
    let nqn: Nqn = NQN.parse()?;
    let options = guest::options()?;
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

fn time<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(Duration, T), E> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}

/// No more than the kernel asks for.
fn connect_bare(options: &ConnectOptions) -> Result<Instance, Failure> {
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

fn connect(fabrics: &Fabrics, options: &ConnectOptions) -> Result<Instance, Failure> {
    let connected = fabrics.connect(options, PATIENCE)?;
    match connected.how {
        ConnectHow::Created => Ok(connected.controller),
        ConnectHow::Adopted => Err(format!("{} was still there", connected.controller).into()),
    }
}

fn disconnect(fabrics: &Fabrics, instance: Instance, nqn: &Nqn) -> Result<(), Failure> {
    match fabrics.disconnect(instance, nqn, PATIENCE)? {
        Disconnected::Deleted => Ok(()),
        Disconnected::AlreadyGone => Err(format!("{instance} went by itself").into()),
    }
}
