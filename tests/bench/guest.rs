//! One binary, two sides: on the host it boots trixie's kernel with itself as `/init`; in the guest it is PID 1, where a
//! volume is exported over TCP on the loopback link, and measures.

use std::env;
use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kernel_lab::guest::nvmet::{self, Port, Subsystem};
use kernel_lab::guest::{Channel, Machine, live};
use kernel_lab::{Boot, Suite, protocol};
use nvme_fabrics::ConnectOptions;
use nvme_sysfs::Transport;

/// What may go wrong in the guest.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Far longer than anything takes on the slowest emulated machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const NQN: &str = "nqn.2026-01.org.example:volume-1";
const UUID: &str = "11111111-1111-4111-8111-111111111111";
const HOSTNQN: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const SERVICE: u16 = 4420;

/// Measures in a guest; `name` is the benchmark's.
pub(crate) fn main(
    name: &str,
    measure: fn(&Machine, &mut Channel) -> Result<(), Failure>,
) -> ExitCode {
    if std::process::id() == 1 {
        live(|machine, channel| {
            let _port = export()?;
            measure(machine, channel).map_err(io::Error::other)
        });
    }
    // `cargo test --benches` leaves this word out: there is nothing to test here.
    if !env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match boot(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn boot(name: &str) -> Result<(), Box<dyn Error>> {
    let kernel = match kernel_lab::available(Suite::Trixie) {
        Ok(kernel) => kernel,
        Err(reason) => {
            println!("{name}: not measured: {reason}");
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

fn export() -> io::Result<Port> {
    let file = Path::new("/tmp/volume.img");
    nvmet::backing_file(file, 64 << 20)?;
    let subsystem = Subsystem::create(NQN)?;
    subsystem.add_namespace(1, file, UUID)?;
    let port = Port::tcp(1, Ipv4Addr::LOCALHOST.into(), SERVICE)?;
    port.export(&subsystem)?;
    Ok(port)
}

/// How to connect to the volume.
pub(crate) fn options() -> Result<ConnectOptions, Failure> {
    let options = ConnectOptions::builder(Transport::Tcp, NQN.parse()?)
        .traddr(Ipv4Addr::LOCALHOST.to_string())
        .trsvcid(SERVICE.to_string())
        .hostnqn(HOSTNQN.parse()?)
        .hostid(HOSTID.parse()?)
        .build()?;
    Ok(options)
}
