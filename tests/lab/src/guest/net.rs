//! Links that can be cut: veth pairs into a network namespace, by route netlink.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use super::context;
use super::rtnetlink::{self, Request, attribute, nested};

/// What `linux/veth.h` calls the other end.
const VETH_INFO_PEER: u16 = 1;
/// All flags of an address, which did not fit into the fixed part (`linux/if_addr.h`).
const IFA_FLAGS: u16 = 8;
/// `IFF_UP` as the kernel's structure has it.
const UP: u32 = libc::IFF_UP.cast_unsigned();

/// A network namespace of its own, alive as long as this value or a socket in it.
#[derive(Debug)]
pub struct NetworkNamespace {
    handle: OwnedFd,
}

impl NetworkNamespace {
    /// Makes a new, empty namespace with its loopback link up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new() -> io::Result<Self> {
        let handle = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            set_up("lo")?;
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
        })?;
        Ok(Self { handle })
    }

    /// A namespace that has a file, such as a container runtime makes.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = context(File::open(path), || path.display().to_string())?;
        Ok(Self {
            handle: file.into(),
        })
    }

    /// Another handle of the same namespace.
    ///
    /// # Errors
    /// When the process has too many open files.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            handle: self.handle.try_clone()?,
        })
    }

    /// Runs `work` on a thread inside the namespace. Only the network changes: `/sys` and configfs stay visible.
    ///
    /// # Errors
    /// Those of `work`, or of entering.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread(|| {
            setns(&self.handle, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }
}

/// A namespace belongs to a thread: a thread of its own keeps the caller where it is.
fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes a pair of links joined back to back; `peer` goes into `namespace`. Both are down.
///
/// # Errors
/// When the kernel refuses, or a name is taken.
pub fn add_veth(name: &str, peer: &str, namespace: &NetworkNamespace) -> io::Result<()> {
    let far = rtnetlink::link(
        0,
        0,
        0,
        &[
            rtnetlink::name(libc::IFLA_IFNAME, peer),
            attribute(
                libc::IFLA_NET_NS_FD,
                &namespace.handle.as_raw_fd().to_ne_bytes(),
            ),
        ],
    );
    let peer = nested(libc::IFLA_INFO_DATA, &[attribute(VETH_INFO_PEER, &far)]);
    add_link(name, &[kind("veth"), peer])
}

/// Makes a link that swallows all it is given: no answer ever comes from behind it.
///
/// # Errors
/// When the kernel refuses, or the name is taken.
pub fn add_dummy(name: &str) -> io::Result<()> {
    add_link(name, &[kind("dummy")])
}

fn kind(name: &str) -> Vec<u8> {
    attribute(libc::IFLA_INFO_KIND, name.as_bytes())
}

fn add_link(name: &str, info: &[Vec<u8>]) -> io::Result<()> {
    let attributes = [
        rtnetlink::name(libc::IFLA_IFNAME, name),
        nested(libc::IFLA_LINKINFO, info),
    ];
    let request = Request::make(libc::RTM_NEWLINK, rtnetlink::link(0, 0, 0, &attributes));
    context(request.send(), || format!("add link {name}"))
}

/// Removes a link (for a veth pair, both ends).
///
/// # Errors
/// When there is no such link.
pub fn delete_link(name: &str) -> io::Result<()> {
    let link = rtnetlink::link(index(name)?, 0, 0, &[]);
    let request = Request::change(libc::RTM_DELLINK, link);
    context(request.send(), || format!("delete link {name}"))
}

/// Brings a link up.
///
/// # Errors
/// When there is no such link.
pub fn set_up(name: &str) -> io::Result<()> {
    set_flags(name, UP)
}

/// Takes a link down: the cable is pulled.
///
/// # Errors
/// When there is no such link.
pub fn set_down(name: &str) -> io::Result<()> {
    set_flags(name, 0)
}

fn set_flags(name: &str, flags: u32) -> io::Result<()> {
    let link = rtnetlink::link(index(name)?, flags, UP, &[]);
    let request = Request::change(libc::RTM_SETLINK, link);
    context(request.send(), || format!("set link {name} {flags:#x}"))
}

/// Gives a link an address; IPv6 addresses are usable at once (no duplicate detection).
///
/// # Errors
/// When there is no such link or it has the address already.
pub fn add_address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let mut attributes = vec![
        attribute(libc::IFA_LOCAL, &octets),
        attribute(libc::IFA_ADDRESS, &octets),
    ];
    if address.is_ipv6() {
        attributes.push(attribute(IFA_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes()));
    }
    let body = rtnetlink::address(family_byte(family), prefix, index(name)?, &attributes);
    let request = Request::make(libc::RTM_NEWADDR, body);
    context(request.send(), || {
        format!("add address {address}/{prefix} to {name}")
    })
}

/// Sends all that has no other route over a link.
///
/// # Errors
/// When there is such a route already, or the gateway is not on the link.
pub fn add_default_route(name: &str, gateway: Ipv4Addr) -> io::Result<()> {
    let attributes = [
        attribute(libc::RTA_OIF, &index(name)?.to_ne_bytes()),
        attribute(libc::RTA_GATEWAY, &gateway.octets()),
    ];
    let body = rtnetlink::default_route(family_byte(libc::AF_INET), &attributes);
    let request = Request::make(libc::RTM_NEWROUTE, body);
    context(request.send(), || {
        format!("add a route over {name} by {gateway}")
    })
}

/// Whether a link of this name exists here.
pub fn exists(name: &str) -> bool {
    index(name).is_ok()
}

fn index(name: &str) -> io::Result<u32> {
    context(if_nametoindex(name).map_err(io::Error::from), || {
        format!("link {name}")
    })
}

fn family_byte(family: libc::c_int) -> u8 {
    u8::try_from(family).expect("the families of the internet fit a byte")
}
