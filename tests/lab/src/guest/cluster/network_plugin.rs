//! The network of pods that are not on the node's: a link to the node for each, with a route to all that the node is.
//!
//! Source: the CNI specification 1.0, sections 2 and 5. Pods do not reach each other, which nothing here asks for.

use std::env;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use crate::guest::net::{self, NetworkNamespace};

const VERSIONS: &str = r#"{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}"#;

/// Whether this process was started as a plugin, and for what.
pub(super) fn verb() -> Option<String> {
    env::var("CNI_COMMAND").ok()
}

pub(super) fn main(verb: &str) -> ExitCode {
    let answer = match verb {
        "VERSION" => Ok(VERSIONS.to_owned()),
        "ADD" => add(),
        // A link goes with the network of its pod.
        _ => Ok(String::new()),
    };
    let (text, code) = match answer {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => (failure(&error), ExitCode::FAILURE),
    };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The answer of section 5; 999 is one of the codes that are a plugin's own.
fn failure(error: &io::Error) -> String {
    let words = error.to_string().replace(['"', '\\'], "'");
    format!(r#"{{"cniVersion":"1.0.0","code":999,"msg":"{words}"}}"#)
}

fn add() -> io::Result<String> {
    let sandbox = variable("CNI_NETNS")?;
    let link = variable("CNI_IFNAME")?;
    let pod = NetworkNamespace::open(Path::new(&sandbox))?;
    let number = add_link(&link, &pod)?;
    let (near, far) = (address(number, 1), address(number, 2));
    let name = near_name(number);
    net::add_address(&name, near.into(), 24)?;
    net::set_up(&name)?;
    pod.run(|| {
        net::add_address(&link, far.into(), 24)?;
        net::set_up(&link)?;
        net::add_default_route(&link, near)
    })?;
    Ok(format!(
        r#"{{"cniVersion":"1.0.0","interfaces":[{{"name":"{link}","sandbox":"{sandbox}"}}],"ips":[{{"address":"{far}/24","gateway":"{near}","interface":0}}]}}"#
    ))
}

/// Takes the first number whose link does not exist, also where several pods start at once.
fn add_link(link: &str, pod: &NetworkNamespace) -> io::Result<u8> {
    let mut last = None;
    for number in 1..=u8::MAX {
        let name = near_name(number);
        if net::exists(&name) {
            continue;
        }
        match net::add_veth(&name, link, pod) {
            Ok(()) => return Ok(number),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("there are 255 pods")))
}

fn near_name(number: u8) -> String {
    format!("pod{number}")
}

fn address(number: u8, end: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, number, end)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}
