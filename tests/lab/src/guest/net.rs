//! Links that can be cut: veth pairs into a network namespace, by route netlink.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::thread;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use super::context;

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
    let mut far = LinkMessage::default();
    far.attributes.push(LinkAttribute::IfName(peer.to_owned()));
    far.attributes
        .push(LinkAttribute::NetNsFd(namespace.handle.as_raw_fd()));
    let info = vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
    ];
    add_link(name, info)
}

/// Makes a link that swallows all it is given: no answer ever comes from behind it.
///
/// # Errors
/// When the kernel refuses, or the name is taken.
pub fn add_dummy(name: &str) -> io::Result<()> {
    add_link(name, vec![LinkInfo::Kind(InfoKind::Dummy)])
}

fn add_link(name: &str, info: Vec<LinkInfo>) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link.attributes.push(LinkAttribute::LinkInfo(info));
    let made = request(
        RouteNetlinkMessage::NewLink(link),
        NLM_F_CREATE | NLM_F_EXCL,
    );
    context(made, || format!("add link {name}"))
}

/// Removes a link (for a veth pair, both ends).
///
/// # Errors
/// When there is no such link.
pub fn delete_link(name: &str) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index(name)?;
    context(request(RouteNetlinkMessage::DelLink(link), 0), || {
        format!("delete link {name}")
    })
}

/// Brings a link up.
///
/// # Errors
/// When there is no such link.
pub fn set_up(name: &str) -> io::Result<()> {
    set_flags(name, LinkFlags::Up)
}

/// Takes a link down: the cable is pulled.
///
/// # Errors
/// When there is no such link.
pub fn set_down(name: &str) -> io::Result<()> {
    set_flags(name, LinkFlags::empty())
}

fn set_flags(name: &str, flags: LinkFlags) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index(name)?;
    link.header.flags = flags;
    link.header.change_mask = LinkFlags::Up;
    context(request(RouteNetlinkMessage::SetLink(link), 0), || {
        format!("set link {name} {flags:?}")
    })
}

/// Gives a link an address; IPv6 addresses are usable at once (no duplicate detection).
///
/// # Errors
/// When there is no such link or it has the address already.
pub fn add_address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    message.header.prefix_len = prefix;
    message.header.index = index(name)?;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    if address.is_ipv6() {
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    let made = request(
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_EXCL,
    );
    context(made, || format!("add address {address}/{prefix} to {name}"))
}

/// Sends all that has no other route over a link.
///
/// # Errors
/// When there is such a route already, or the gateway is not on the link.
pub fn add_default_route(name: &str, gateway: Ipv4Addr) -> io::Result<()> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        RouteAttribute::Oif(index(name)?),
        RouteAttribute::Gateway(gateway.into()),
    ];
    let made = request(
        RouteNetlinkMessage::NewRoute(message),
        NLM_F_CREATE | NLM_F_EXCL,
    );
    context(made, || format!("add a route over {name} by {gateway}"))
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

/// One request, one acknowledgement.
fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer =
        NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::Error(_) => Ok(()),
        other => Err(io::Error::other(format!(
            "unexpected netlink answer {other:?}"
        ))),
    }
}
