//! What the host asks of the guest's agent, one order on a connection (pure).
//!
//! An order is one line; the answer is a line `ok LENGTH` and so many bytes, or a line `error TEXT`.

use std::fmt;
use std::str::FromStr;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Cuts the link to the target at its far end: what is sent is lost without an answer.
    Cut,
    /// Joins the link again.
    Join,
    /// Makes a volume of so many MiB, which keeps what it holds where it was made before, and exports it.
    Make {
        /// The last part of its NQN, and of its backing file's name.
        volume: String,
        /// Its size.
        mib: u64,
    },
    /// Takes a volume's subsystem off the port: its controllers end.
    Withdraw(String),
    /// Exports it again.
    Export(String),
    /// Stops the target: no subsystem is exported, nothing listens.
    StopTarget,
    /// Exports all volumes again.
    StartTarget,
    /// Deletes the node's controllers of a volume, as `nvme disconnect` does.
    DeleteControllers(String),
    /// The bytes of a file.
    Read(String),
    /// The paths below a directory, one per line; a mount point below is not entered.
    List(String),
    /// Sends SIGKILL to every process whose command line begins so, by the file name of its program.
    Kill(String),
    /// Stops a component and starts it again.
    Restart(String),
    /// Runs a program of the node, its arguments with spaces between, and gives what it printed.
    Run(String),
    /// The components that have ended by themselves, one per line with how.
    Ended,
    /// Shuts the node down in order, and boots it again.
    Reboot,
    /// Ends the machine.
    PowerOff,
}

/// A line that is no order.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an order: {line:?}")]
pub struct NoOrder {
    /// The line.
    pub line: String,
}

impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => write!(formatter, "cut"),
            Self::Join => write!(formatter, "join"),
            Self::Make { volume, mib } => write!(formatter, "make {mib} {volume}"),
            Self::Withdraw(volume) => write!(formatter, "withdraw {volume}"),
            Self::Export(volume) => write!(formatter, "export {volume}"),
            Self::StopTarget => write!(formatter, "stop-target"),
            Self::StartTarget => write!(formatter, "start-target"),
            Self::DeleteControllers(volume) => write!(formatter, "delete-controllers {volume}"),
            Self::Read(path) => write!(formatter, "read {path}"),
            Self::List(path) => write!(formatter, "list {path}"),
            Self::Kill(program) => write!(formatter, "kill {program}"),
            Self::Restart(component) => write!(formatter, "restart {component}"),
            Self::Run(line) => write!(formatter, "run {line}"),
            Self::Ended => write!(formatter, "ended"),
            Self::Reboot => write!(formatter, "reboot"),
            Self::PowerOff => write!(formatter, "power-off"),
        }
    }
}

impl FromStr for Order {
    type Err = NoOrder;

    fn from_str(line: &str) -> Result<Self, NoOrder> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let word = rest.to_owned();
        let order = match verb {
            "make" => parse_make(rest),
            "cut" => Some(Self::Cut),
            "join" => Some(Self::Join),
            "stop-target" => Some(Self::StopTarget),
            "start-target" => Some(Self::StartTarget),
            "ended" => Some(Self::Ended),
            "reboot" => Some(Self::Reboot),
            "power-off" => Some(Self::PowerOff),
            _ if rest.is_empty() => None,
            "withdraw" => Some(Self::Withdraw(word)),
            "export" => Some(Self::Export(word)),
            "delete-controllers" => Some(Self::DeleteControllers(word)),
            "read" => Some(Self::Read(word)),
            "list" => Some(Self::List(word)),
            "kill" => Some(Self::Kill(word)),
            "restart" => Some(Self::Restart(word)),
            "run" => Some(Self::Run(word)),
            _ => None,
        };
        order.ok_or_else(|| NoOrder {
            line: line.to_owned(),
        })
    }
}

fn parse_make(rest: &str) -> Option<Order> {
    let (mib, volume) = rest.split_once(' ')?;
    Some(Order::Make {
        volume: volume.to_owned(),
        mib: mib.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_read_back() {
        let word = || "nvmeof-csi release --all".to_owned();
        for order in [
            Order::Cut,
            Order::Join,
            Order::Make {
                volume: "data".to_owned(),
                mib: 64,
            },
            Order::Withdraw(word()),
            Order::Export(word()),
            Order::StopTarget,
            Order::StartTarget,
            Order::DeleteControllers(word()),
            Order::Read(word()),
            Order::List(word()),
            Order::Kill(word()),
            Order::Restart(word()),
            Order::Run(word()),
            Order::Ended,
            Order::Reboot,
            Order::PowerOff,
        ] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for line in [
            "",
            "cute",
            "make",
            "make x data",
            "make 64",
            "withdraw",
            "read",
        ] {
            assert!(line.parse::<Order>().is_err(), "{line:?}");
        }
    }
}
